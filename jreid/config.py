"""Configs: a Python file with an argument, overridden by flags, and kept as JSON in a run."""

import difflib
import importlib.util
import json
import re
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags
from ml_collections import ConfigDict, config_flags

from jreid.errors import InputError

# A locked ConfigDict, whose fields a type checker cannot know.
Config = Any

PLACES = {"data.folder", "data.prepared"}  # where data lies: another place is no other config


def load(source: str, overrides: Sequence[str] = ()) -> Config:
    """The locked config of a file such as `configs/agw.py:synthetic`.

    Args:
        source: path of a Python file with `get_config`, and its argument after a colon.
        overrides: flags such as `--config.batch.images=8`.

    Raises:
        InputError: no such file, argument or field, or a value of the wrong type.
    """
    file, _, argument = source.partition(":")
    path = Path(file)
    if not path.is_file():
        raise InputError(
            f"{file} is no config file; give one such as --config=configs/agw.py:synthetic."
        )
    try:
        get_config = _module(path).get_config
        config = get_config(argument) if argument else get_config()
    except (ValueError, TypeError, AttributeError, ImportError, SyntaxError) as error:
        raise InputError(f"--config={source} does not load: {error}.") from error
    return override(config, overrides)


def override(config: ConfigDict, overrides: Sequence[str]) -> Config:
    """A locked copy of the config with `--config.field=value` flags applied.

    Raises:
        InputError: an unknown flag or field (the nearest is named), or a value of the wrong type.
    """
    config = config.copy_and_resolve_references()
    for flag in overrides:
        name = re.match(r"--(?:no)?config\.([\w.]+)(=|$)", flag)
        if not name:
            raise InputError(
                f"{flag} is not understood; config fields are set as --config.field=value."
            )
        _check_known(config, name[1])
    values = flags.FlagValues()
    arguments = ["jreid", *overrides]
    try:
        config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=arguments)
        values(arguments)
    except (flags.Error, TypeError, ValueError) as error:
        raise InputError(f"{' '.join(str(error).split())}.") from error
    return values["config"].value


def to_text(config: ConfigDict) -> str:
    """The config as JSON, which `read` reads."""
    return json.dumps(config.to_dict(), indent=2) + "\n"


def read(path: Path) -> Config:
    """The config of a JSON file, tuples as tuples again."""
    try:
        return ConfigDict(_tuples(json.loads(path.read_text()))).lock()
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a run's config: {error}.") from error


def missing_field(error: AttributeError) -> str | None:
    """The field that a config was asked for and does not have, if that is what the error means."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    if frame.f_code is not ConfigDict.__getattr__.__code__:
        return None
    return frame.f_locals["attribute"]


class Difference(NamedTuple):
    """A field that two configs have different values of, `-` where one has none."""

    field: str
    ours: Any
    theirs: Any

    def __str__(self) -> str:
        return f"{self.field}: {self.ours}, {self.theirs}"


def differences(ours: ConfigDict, theirs: ConfigDict) -> list[Difference]:
    """The fields that differ. Where the data lies does not count."""
    left, right = _flat(ours.to_dict()), _flat(theirs.to_dict())
    found = [
        Difference(field, left.get(field, "-"), right.get(field, "-"))
        for field in sorted({*left, *right} - PLACES)
    ]
    return [difference for difference in found if difference.ours != difference.theirs]


def _module(path: Path) -> Any:
    """Runs a config file with its project's root importable, for `from configs import common`."""
    root = str(path.resolve().parent.parent)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, root)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(root)
    return module


def _check_known(config: ConfigDict, field: str) -> None:
    known = _flat(config.to_dict())
    if field in known:
        return
    inside = [name for name in known if name.startswith(f"{field}.")]
    if inside:
        raise InputError(f"config.{field} is a group; set a field of it, such as {inside[0]}.")
    nearest = difflib.get_close_matches(field, known, n=1, cutoff=0.0)[0]
    raise InputError(f"config.{field} is no config field; did you mean config.{nearest}?")


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _tuples(item) for name, item in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
