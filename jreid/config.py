"""Configs: a Python file with an argument, overridden by flags, and kept as JSON in a run.

A config file imports `defaults`, `read_argument`, `scale_down` and `both_directions` from here.
"""

import hashlib
import json
import re
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags
from ml_collections import ConfigDict, config_flags

from jreid.config_argument import Argument as Argument
from jreid.config_argument import read_argument as read_argument
from jreid.config_file import run_config_file
from jreid.config_older import MOVED, filled, migrated, new_name
from jreid.config_types import not_plain, wrong_type
from jreid.defaults import Config, defaults
from jreid.defaults import both_directions as both_directions
from jreid.defaults import scale_down as scale_down
from jreid.errors import InputError
from jreid.files import read_json
from jreid.find import names_in, nearest
from jreid.paths import local_path

PLACES = {"data.folder", "data.prepared"}
PATHS = (*PLACES, "weights")  # the fields that are a path, or may be one
# Fields that no number depends on: a config with others counts as the same.
NEUTRAL = {*PLACES, "data.cache", "tracker"}

# The fields that are lists of texts with commas, and an example of each.
TEXTS = {
    "protocols": "sysu_mm01:search=all,shots=1",
    "evaluation.rerank": "none,standard:k1=20,k2=6,lambda=0.3",
}


def load(source: str, overrides: Sequence[str] = ()) -> Config:
    """The locked config of `agw:synthetic` or of a file such as `mine.py:synthetic`, which is run.

    Args:
        source: the name of a config that jreid has, or the path of a Python file with
            `get_config`; and its argument after a colon.
        overrides: flags such as `--config.batch.images=8`.

    Raises:
        InputError: no such file, argument or field, a value of the wrong type or of one that JSON
            does not have, or code that raises or returns no ConfigDict.
    """
    begin = f"--config={source}: "
    return override(_plain(run_config_file(source), begin), overrides, begin)


def override(config: ConfigDict, overrides: Sequence[str], source: str = "") -> Config:
    """A locked copy of the config with `--config.field=value` flags applied.

    Args:
        source: the start of an error about a type.

    Raises:
        InputError: an unknown flag or field (the nearest is named), a value of the wrong type or of
            one that JSON does not have, or a URL in place of a path.
    """
    config = config.copy_and_resolve_references()
    for flag in overrides:
        name = re.match(r"--(?:no)?config\.([\w.]+)(=|$)", flag)
        if not name:
            raise InputError(
                f"{flag} is not understood; set config fields by --config.field=value."
            )
        _check_known(config, name[1])
    values = flags.FlagValues()
    arguments = ["jreid", *map(_with_quotes, overrides)]
    try:
        config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=arguments)
        values(arguments)
    except (flags.Error, TypeError, ValueError) as error:
        raise InputError(f"{' '.join(str(error).split())}.") from error
    config = _plain(_with_local_paths(values["config"].value), "")
    _check_types(config, source)
    return config


def _plain(config: ConfigDict, source: str) -> Config:
    """The locked config as `read` gives it: lists are tuples, and all values can be kept as JSON.

    Raises:
        InputError: a value cannot.
    """
    values = config.to_dict()
    if fault := not_plain(values):
        raise InputError(f"{source}{fault}.")
    return ConfigDict(_tuples(values)).lock()


def with_identities(config: Config, identities: int) -> Config:
    """A locked copy of the config with this number of training identities."""
    copy = config.copy_and_resolve_references()
    copy.data.identities = identities
    return copy.lock()


def with_data(config: Config, argument: str, folder: Path | None = None) -> Config:
    """A locked copy of a run's config, to evaluate the run on another dataset by its protocols.

    The number of identities stays, since the run's model was built for it.

    Args:
        argument: the dataset, such as `llcm` or `regdb,trial=3`; a scale in it has no effect.
        folder: of the dataset; None for its default.

    Raises:
        InputError: the argument is not understood.
    """
    try:
        own = defaults(argument)
    except InputError as error:
        raise InputError(f"--data={argument}: {str(error).rstrip('.')}.") from error
    copy = config.copy_and_resolve_references()
    copy.protocols = own.protocols
    kept = {"identities": config.data.identities, "prepared": config.data.prepared}
    copy.data = ConfigDict({**own.data.to_dict(), **kept})
    if folder:
        copy.data.folder = str(folder)
    return _with_local_paths(copy).lock()


def to_text(config: ConfigDict) -> str:
    """The config as JSON, which `read` reads."""
    return json.dumps(config.to_dict(), indent=2) + "\n"


def read(path: Path) -> Config:
    """The config of a JSON file, tuples as tuples again.

    Raises:
        InputError: it cannot be read, holds no config, or a value is of another type than its
            default.
    """
    try:
        content = read_json(path)
        if not isinstance(content, dict):
            raise ValueError("it is not a JSON object")
        config = ConfigDict(_tuples(migrated(content))).lock()
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        cause = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path} is not a run's config ({cause}); restore the file that `jreid train` wrote: "
            "run.json beside it has the same content under `config`."
        ) from error
    _check_types(config, f"{path}: ")
    return config


def _check_types(config: Config, source: str) -> None:
    """Raises InputError where a value is of another type than its default."""
    fault = wrong_type(config.to_dict(), defaults().to_dict())
    if fault:
        raise InputError(f"{source}config.{fault}.")


def of_record(record: Mapping[str, Any], own: Config) -> Config:
    """The config in a run's record; fields that it lacks are taken from the run's own file.

    A version of jreid with fewer fields recorded fewer.
    """
    return ConfigDict(_tuples(filled(migrated(record), own.to_dict()))).lock()


def digest(config: ConfigDict) -> str:
    """SHA-256 of every field but the neutral ones, as hexadecimal digits."""
    return _digest(config.to_dict())


def digest_as_written(path: Path) -> str:
    """The `digest` of a JSON file that `read` reads, by the version of jreid that wrote it."""
    return _digest(json.loads(path.read_text(encoding="utf-8")))


def _digest(values: dict[str, Any]) -> str:
    fields = {name: value for name, value in flat(values).items() if name not in NEUTRAL}
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def missing_field(error: AttributeError) -> str | None:
    """The missing field, if the error says that a config lacks a field; else None."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    if frame.f_code is not ConfigDict.__getattr__.__code__:
        return None
    return frame.f_locals["attribute"]


def outside_names(config: ConfigDict) -> dict[str, str]:
    """The names of code outside of jreid in a config, by field."""
    fields = flat(config.to_dict())
    return {
        field: name
        for field, value in fields.items()
        if field not in (*PATHS, "data.name")
        for name in names_in(value)
    }


class Difference(NamedTuple):
    """A field with different values in two configs; `-` stands for a missing field."""

    field: str
    ours: Any
    theirs: Any

    def __str__(self) -> str:
        return f"{self.field}: {self.ours}, {self.theirs}"


def differences(ours: ConfigDict, theirs: ConfigDict) -> list[Difference]:
    """The fields that differ, except the neutral ones."""
    left, right = flat(ours.to_dict()), flat(theirs.to_dict())
    found = [
        Difference(field, left.get(field, "-"), right.get(field, "-"))
        for field in sorted({*left, *right} - NEUTRAL)
    ]
    return [difference for difference in found if difference.ours != difference.theirs]


def _with_quotes(flag: str) -> str:
    """A flag with a value that has commas, as a list of this one text."""
    name, _, value = flag.partition("=")
    if name.removeprefix("--config.") in TEXTS and not value.startswith(("(", "[", "'", '"')):
        return f"{name}={(value,)!r}"
    return flag


def _with_local_paths(config: Config) -> Config:
    """The config with `~` expanded in the fields that are paths."""
    for field, value in flat(config.to_dict()).items():
        if field in PATHS and isinstance(value, str):
            group, _, name = field.rpartition(".")
            owner = config[group] if group else config
            owner[name] = local_path(value, f"config.{field}")
    return config


def _check_known(config: ConfigDict, field: str) -> None:
    known = flat(config.to_dict())
    if field in known:
        return
    inside = [name for name in known if name.startswith(f"{field}.")]
    if inside:
        raise InputError(f"config.{field} is a group; set a field of it, such as {inside[0]}.")
    if moved := MOVED.get(field):
        raise InputError(
            f"config.{field} is no longer a config field; it is part of config.{moved} now, such "
            f"as --config.{moved}={TEXTS[moved]}."
        )
    renamed = new_name(field)
    meant = renamed if renamed in known else nearest(field, known)
    raise InputError(f"config.{field} is not a config field; did you mean config.{meant}?")


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The fields of nested groups by their full names, such as `data.folder`."""
    found = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _tuples(item) for name, item in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, tuple | list) else value
