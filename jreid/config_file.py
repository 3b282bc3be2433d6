"""Config files: Python code, of jreid or of the user, that is run to get a config."""

import importlib.util
from pathlib import Path
from types import ModuleType

from ml_collections import ConfigDict

from jreid.errors import InputError, describe
from jreid.find import nearest, require_name
from jreid.paths import from_here, local_path

PACKAGE = Path(__file__).resolve().parent


def run_config_file(source: str) -> ConfigDict:
    """The config that `get_config` of a file returns; the file runs with the user's rights.

    Args:
        source: the name of one of jreid's configs, such as `agw`, or the path of a file; then a
            colon and the argument of `get_config`.

    Raises:
        InputError: no such config or file, or code that raises or returns something else.
    """
    path, argument = _file_and_argument(source)
    try:
        get_config = _load(path).get_config
        config = get_config(argument) if argument else get_config()
        if not isinstance(config, ConfigDict):
            kind = type(config).__name__
            raise TypeError(f"get_config returns a {kind}, not an ml_collections.ConfigDict")
        return config.copy_and_resolve_references()
    except InputError as error:
        raise InputError(f"--config={source}: {str(error).rstrip('.')}.") from error
    except (Exception, SystemExit) as error:
        raise InputError(
            f"--config={source} does not load: {describe(error, str(path))}."
        ) from error


def file_of(source: str) -> Path:
    """The file of a config, as in `run_config_file`."""
    return _file_and_argument(source)[0]


def shipped_configs() -> dict[str, Path]:
    """The files of jreid's own configs, by name."""
    inside, beside = PACKAGE / "configs", PACKAGE.parent / "configs"  # of a wheel, of a clone
    folder = inside if inside.is_dir() else beside
    return {file.stem: file for file in sorted(folder.glob("[a-z]*.py"))}


def _file_and_argument(source: str) -> tuple[Path, str]:
    """A config's file, and its argument.

    A path may have colons: the longest part before a colon that is a file is taken.
    """
    shipped = shipped_configs()
    name, _, argument = source.partition(":")
    if name in shipped:
        return shipped[name], argument
    parts = source.split(":")
    for count in range(len(parts), 0, -1):
        path = Path(local_path(":".join(parts[:count]), "--config"))
        if path.is_file():
            return path, ":".join(parts[count:])
    if name.isidentifier():
        require_name("--config", name, shipped)
    raise InputError(
        f"{from_here(name)} is not a config file; give the path of one, or the name of one of "
        f"jreid's, such as --config={nearest(Path(name).stem, shipped) or 'agw'}:synthetic."
    )


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError("the name of a config file must end in .py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
