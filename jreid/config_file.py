"""Config files: Python code of the user's, which is run to get its config."""

import contextlib
import functools
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from ml_collections import ConfigDict

from jreid.errors import InputError
from jreid.paths import from_here, local_path

PACKAGE = Path(__file__).resolve().parent


def run_config_file(source: str) -> ConfigDict:
    """What `get_config` of a file returns; the file runs with all rights of the user.

    In it, `from configs import common` gives jreid's own defaults, whatever else is called
    `configs` beside the file or in the current directory.

    Args:
        source: the file's path, and the argument of `get_config` after a colon.

    Raises:
        InputError: no such file, or code that raises or returns something else.
    """
    path, argument = _file_and_argument(source)
    with _own_configs(path):
        try:
            get_config = _load(path).get_config
            config = get_config(argument) if argument else get_config()
            if not isinstance(config, ConfigDict):
                kind = type(config).__name__
                raise TypeError(f"get_config returns a {kind}, not an ml_collections.ConfigDict")
            return config.copy_and_resolve_references()
        except (Exception, SystemExit) as error:
            raise InputError(f"--config={source} does not load: {_cause(error, path)}.") from error


@functools.cache
def shared_defaults() -> dict[str, Any]:
    """The defaults that all configs share; empty where jreid came without them."""
    home = _own_home()
    return _load(home / "common.py").defaults("sysu_mm01").to_dict() if home else {}


def _file_and_argument(source: str) -> tuple[Path, str]:
    """The longest part before a colon that is a file, and what follows that colon."""
    parts = source.split(":")
    for count in range(len(parts), 0, -1):
        path = Path(local_path(":".join(parts[:count]), "--config"))
        if path.is_file():
            return path, ":".join(parts[count:])
    raise InputError(
        f"{from_here(parts[0])} is no config file; give one such as "
        "--config=configs/agw.py:synthetic."
    )


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError("the name of a config file ends in .py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _own_configs(path: Path) -> Iterator[None]:
    """Has `configs` be jreid's own package; where jreid came without, the config file's folder."""
    package = ModuleType("configs")
    package.__path__ = [str(_own_home() or path.parent)]
    others = _forget_configs()
    sys.modules["configs"] = package
    try:
        yield
    finally:
        _forget_configs()
        sys.modules.update(others)


def _own_home() -> Path | None:
    """The folder of jreid's own configs, if it came with them."""
    places = [place / "configs" for place in (PACKAGE, PACKAGE.parent)]
    return next((place for place in places if (place / "common.py").is_file()), None)


def _forget_configs() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name.partition(".")[0] == "configs"]
    return {name: sys.modules.pop(name) for name in names}


def _cause(error: BaseException, path: Path) -> str:
    """What an error says, in one line, with its type and the config file's line where it helps."""
    text = " ".join(str(error).split()).rstrip(".")
    if not text or not isinstance(error, ValueError | SyntaxError | TypeError):
        text = f"{type(error).__name__}: {text}".removesuffix(": ")
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    return f"{text} (line {lines[-1]})" if lines else text
