"""`jreid list`, `jreid config show` and `config schema`: what there is, and a config's fields."""

import argparse
import ast
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jreid.commands.common import CONFIG_FILE, verb


def add(verbs: Any) -> None:
    """Adds the verbs."""
    help = "list the available methods, datasets, protocols, re-rankings, losses or configs"
    listing = verb(verbs, "list", _list, help, config=False)
    listing.add_argument("kind", choices=KINDS, help="what to list")
    listing.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="your own modules, such as mylab.circle, to list as well",
    )
    help = "show the fields of a config, or its JSON schema"
    sentence = f"{help[0].upper()}{help[1:]}."
    config = verbs.add_parser("config", help=help, description=sentence, allow_abbrev=False)
    actions = config.add_subparsers(title="actions", metavar="ACTION", required=True)
    help = "print every field of a config: its value, the default if it differs, a comment"
    show = verb(actions, "show", _show, help, config=True)
    show.add_argument("config", metavar="CONFIG", help=CONFIG_FILE)
    help = "print a JSON schema of a config: the types, defaults and choices of its fields"
    schema = verb(actions, "schema", _schema, help, config=True)
    schema.add_argument("config", metavar="CONFIG", help=CONFIG_FILE)


def _list(options: argparse.Namespace) -> None:
    lines = KINDS[options.kind](options.names)
    options.document = {options.kind: [{"name": n, "about": line} for n, line in lines.items()]}
    width = max(map(len, lines))
    for name, line in lines.items():
        print(f"{name:{width}}  {line}")


def _show(options: argparse.Namespace) -> None:
    from jreid import config as configs
    from jreid import defaults
    from jreid.config_comments import comment_of, comments_of
    from jreid.config_file import file_of

    config = configs.load(options.config, options.overrides).to_dict()
    own = configs.flat(defaults.defaults().to_dict())
    comments = comments_of([file_of(options.config), Path(defaults.__file__)])
    fields = options.document = {}
    for field, value in configs.flat(config).items():
        other = field in own and own[field] != value and not field.startswith("data.")
        comment = comment_of(field, comments)
        fields[field] = {"value": value, "default": own.get(field), "comment": comment}
        notes = [comment, f"default: {own[field]!r}" if other else ""]
        note = "; ".join(filter(None, notes))
        print(f"config.{field} = {value!r}" + (f"  # {note}" if note else ""))


def _schema(options: argparse.Namespace) -> None:
    from jreid import config as configs
    from jreid import defaults
    from jreid.config_comments import comment_of, comments_of
    from jreid.config_file import file_of
    from jreid.config_schema import schema
    from jreid.runs.check_config import choices

    config = configs.load(options.config, options.overrides)
    comments = comments_of([file_of(options.config), Path(defaults.__file__)])
    options.document = schema(
        config.to_dict(),
        options.config,
        lambda field: comment_of(field, comments),
        choices(config),
    )
    print(json.dumps(options.document, indent=2))


def _methods(names: list[str]) -> dict[str, str]:
    return _modules(names, "config.method", "jreid.methods", "create")


def _datasets(names: list[str]) -> dict[str, str]:
    from jreid.datasets import DATASETS

    known = {name: dataset.about for name, dataset in DATASETS.items()}
    outside = _modules(names, "config.data.layout", "jreid.data.layouts", "list_images")
    return known | {name: outside[name] for name in names}


def _protocols(names: list[str]) -> dict[str, str]:
    from jreid.evaluation import PROTOCOLS

    return _functions(names, "--protocol", PROTOCOLS)


def _rerankings(names: list[str]) -> dict[str, str]:
    from jreid.errors import InputError
    from jreid.evaluation.ranking.rerank_options import ABOUT, PUBLISHED

    if names:
        raise InputError(f"re-rankings are jreid's own; leave {' '.join(names)} out.")
    published = {
        f"{kind}:published={name}": f"{one}, chosen by its authors on the TEST data of this dataset"
        for kind, presets in PUBLISHED.items()
        for name, one in presets.items()
    }
    return {"none": "the distances as they are", **ABOUT, **published}


def _losses(names: list[str]) -> dict[str, str]:
    from jreid import losses

    own = {name: getattr(losses, name) for name in losses.__all__}
    return _functions(names, "config.triplet.kind", own)


def _configs(names: list[str]) -> dict[str, str]:
    from jreid.config_file import file_of, shipped_configs

    files = shipped_configs() | {name: file_of(name) for name in names}
    return {name: _first_line(_docstring(file)) for name, file in files.items()}


def _docstring(file: Path) -> str | None:
    """The docstring of a Python file, which is not run; InputError if it is none."""
    from jreid.errors import InputError, describe

    try:
        return ast.get_docstring(ast.parse(file.read_bytes(), file.name))
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(
            f"{file} is not a config file ({describe(error)}); correct it, or give another."
        ) from error


def _modules(names: list[str], source: str, package: str, symbol: str) -> dict[str, str]:
    """Modules of one of jreid's packages and of the user's, with the first lines of docstrings."""
    from jreid.find import find_module, own_modules

    outside = {name: find_module(source, name, package, symbol) for name in names}
    return own_modules(package, symbol) | {
        name: _first_line(module.__doc__) for name, module in outside.items()
    }


def _functions(names: list[str], source: str, own: Mapping[str, Any]) -> dict[str, str]:
    from jreid.find import find_symbol

    found = {**own, **{name: find_symbol(source, name, own) for name in names}}
    return {name: _first_line(function.__doc__) for name, function in found.items()}


def _first_line(docstring: str | None) -> str:
    return (docstring or "").strip().partition("\n")[0]


KINDS: Mapping[str, Callable[[list[str]], dict[str, str]]] = {
    "methods": _methods,
    "datasets": _datasets,
    "protocols": _protocols,
    "rerankings": _rerankings,
    "losses": _losses,
    "configs": _configs,
}
