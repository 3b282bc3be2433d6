"""The argument of a config, such as `regdb,trial=3` or `folder,small`: one grammar for all configs.

Words separated by commas, in any order: a dataset, a scale, and options such as `name=value`. Every
config takes `trial`, one of RegDB's ten splits, and `experiment`, one of MP-ReID's; it gives its
own options to `read_argument`.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from jreid.datasets import DATASETS, SETTINGS, TITLES, Setting
from jreid.errors import InputError
from jreid.find import nearest

# The first is the paper's own scale; `small` is the quickstart's and takes minutes on two CPU
# cores; `long` is the same for longer, with one budget of images for every method; `tiny` is for
# tests, takes seconds, and exists only for the tiny datasets.
SCALES = ("full", "small", "long", "tiny")
FREE_WORDS = (*DATASETS, "small", "long")


class Argument(NamedTuple):
    """What a config's argument asks for.

    Attributes:
        dataset: a name of `DATASETS`.
        scale: one of `SCALES`.
        setting: which of the dataset's lists of identities, if it has several: the number of
            RegDB's split, the name of MP-ReID's experiment; else 0.
        options: the config's own options, by name.
    """

    dataset: str
    scale: str
    setting: int | str
    options: Mapping[str, str]


def read_argument(argument: str | Argument, **options: Iterable[str]) -> Argument:
    """Reads the argument of a config.

    Args:
        argument: its text, or an `Argument`, which is returned as it is.
        options: the config's own options, each with its allowed values; the first is the default.

    Raises:
        InputError: a word that is not understood (the nearest is named), or two words of one kind.
    """
    if isinstance(argument, Argument):
        return argument
    of_layout = {setting.option: layout for layout, setting in SETTINGS.items()}
    grammar = {option: SETTINGS[layout] for option, layout in of_layout.items()} | options
    given: dict[str, Any] = {}
    for word in argument.split(","):
        kind, value = _kind_and_value(word.strip(), grammar)
        if kind in given:
            raise InputError(f"{argument!r} gives the {kind} twice: {given[kind]} and {value}")
        given[kind] = value
    dataset = given.pop("dataset", "sysu_mm01")
    known = DATASETS[dataset]
    for option, layout in of_layout.items():
        if option in given and layout != known.layout:
            raise InputError(
                f"{argument!r} has {option}=, which only {TITLES[layout]} has, not {dataset}"
            )
    own = SETTINGS.get(known.layout)
    setting = given.pop(own.option, own.choices[0]) if own else 0
    defaults = {name: next(iter(choices)) for name, choices in options.items()}
    return Argument(dataset, given.pop("scale", known.scale), setting, {**defaults, **given})


def _kind_and_value(
    word: str, options: Mapping[str, Setting | Iterable[str]]
) -> tuple[str, str | int]:
    """The kind and the value of a word."""
    name, equals, value = word.partition("=")
    if not equals:
        if word in FREE_WORDS:
            return "dataset" if word in DATASETS else "scale", word
        raise InputError(
            f"{word!r} is neither a dataset nor a scale; did you mean {nearest(word, FREE_WORDS)}? "
            f"Choices: {', '.join(FREE_WORDS)}"
        )
    if name not in options:
        raise InputError(
            f"{word!r} is not an option of this config; did you mean {nearest(name, options)}=? "
            f"Choices: {', '.join(options)}"
        )
    choices = options[name]
    if isinstance(choices, Setting):
        return name, choices.read(value)
    if value not in (choices := [*choices]):
        raise InputError(
            f"{word!r} does not exist; did you mean {name}={nearest(value, choices)}? Choices: "
            f"{', '.join(choices)}"
        )
    return name, value
