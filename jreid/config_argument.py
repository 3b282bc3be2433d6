"""The argument of a config, such as `regdb,trial=3` or `folder,small`: one grammar for all configs.

Words separated by commas, in any order: a dataset, a scale, and options such as `name=value`. Every
config takes `trial`, one of RegDB's ten splits; it gives its own options to `read_argument`.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from jreid.datasets import DATASETS
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
        trial: the number of the split, if the dataset has several to choose from; else 0.
        options: the config's own options, by name.
    """

    dataset: str
    scale: str
    trial: int
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
    given: dict[str, str] = {}
    for word in argument.split(","):
        kind, value = _kind_and_value(word.strip(), {"trial": None, **options})
        if kind in given:
            raise InputError(f"{argument!r} gives the {kind} twice: {given[kind]} and {value}")
        given[kind] = value
    dataset = given.pop("dataset", "sysu_mm01")
    splits = DATASETS[dataset].layout == "regdb"
    if "trial" in given and not splits:
        raise InputError(f"{argument!r} has a trial, which only RegDB has, not {dataset}")
    scale = DATASETS[dataset].scale
    defaults = {name: next(iter(choices)) for name, choices in options.items()}
    return Argument(
        dataset, given.pop("scale", scale), int(given.pop("trial", splits)), {**defaults, **given}
    )


def _kind_and_value(word: str, options: Mapping[str, Iterable[str] | None]) -> tuple[str, str]:
    """The kind and the value of a word; an option without choices takes a number."""
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
    if choices is None:
        if not (value.isdecimal() and value.isascii()):
            raise InputError(f"{word!r} is not understood; {name} takes a number, as in {name}=3")
    elif value not in (choices := [*choices]):
        raise InputError(
            f"{word!r} does not exist; did you mean {name}={nearest(value, choices)}? Choices: "
            f"{', '.join(choices)}"
        )
    return name, value
