"""Finds what a name in a config means: a plain name is jreid's, a dotted one is other code.

`idkl` is a module of jreid. `mylab.circle` is imported; it may be installed, or be in the
current directory.
"""

import difflib
import functools
import importlib
import importlib.metadata
import importlib.util
import os
import pkgutil
import re
import sys
import traceback
from collections.abc import Callable, Collection, Iterable, Mapping
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast

from jreid.errors import InputError, describe
from jreid.files import sha256_of

T = TypeVar("T")
CONTRACTS = "see docs/extending.md for what it must have"
OUTSIDE = "MODULE.NAME"  # among a field's choices: the field may also name code outside of jreid


def find_module(source: str, name: str, package: str, symbol: str) -> ModuleType:
    """The module that a name stands for.

    Args:
        source: the field with the name, for errors: `config.method`.
        name: of a module of the package, such as `idkl`, or a dotted one, such as `mylab.circle`.
        package: of jreid's own modules: `jreid.methods`.
        symbol: the function that the module must have: `create`.

    Raises:
        InputError: there is no such module, it does not import, or it lacks the function.
    """
    if is_outside(name):
        module = _import(source, name)
    else:
        require_name(source, name, own_modules(package, symbol))
        module = importlib.import_module(f"{package}.{name}")
    if not callable(getattr(module, symbol, None)):
        raise InputError(f"{source}={name} has no function called {symbol}; {CONTRACTS}.")
    return module


def find_symbol(source: str, name: str, choices: Mapping[str, T]) -> T:
    """The function that a name stands for.

    Args:
        source: the field with the name, for errors: `config.triplet.kind`.
        name: one of the choices, or a dotted one, such as `mylab.losses.circle`; the last dot may
            be a colon.
        choices: jreid's own, by name.

    Raises:
        InputError: there is no such choice or module, the module does not import, or it has no
            such function.
    """
    if not is_outside(name):
        require_name(source, name, choices)
        return choices[name]
    dotted = name.replace(":", ".")
    if not _is_dotted(dotted):
        raise InputError(f"{source}: {name!r} is not the name of a Python function.")
    path, _, symbol = dotted.rpartition(".")
    module = _import(source, path)
    found: Any = getattr(module, symbol, None)
    if not callable(found):
        functions = [key for key, value in vars(module).items() if callable(value)]
        raise InputError(
            f"{source}={name}: there is no function called {symbol}; did you mean "
            f"{nearest(symbol, functions)}? {CONTRACTS}."
        )
    return cast(T, found)


def call(
    source: str, function: Callable[..., Any], kind: type[T], /, *arguments: Any, **options: Any
) -> T:
    """Calls a function, which may be outside of jreid, and checks the type of what it returns.

    Args:
        source: the function, for errors: `create of mylab.circle`.
        function: the function to call.
        kind: the type that it must return.
        arguments, options: of the function.

    Raises:
        InputError: a function outside of jreid raises something else, or it returns another type.
    """
    try:
        value = function(*arguments, **options)
    except InputError:
        raise
    except Exception as error:
        if function.__module__.partition(".")[0] == "jreid":
            raise
        raise InputError(f"{source} raises {_with_place(error)}; {CONTRACTS}.") from error
    return require_type(source, value, kind)


def require_type(source: str, value: Any, kind: type[T]) -> T:
    """The value, if it has the required type.

    Args:
        source: the function that returned it, for the error: `create of mylab.circle`.
        value: what it returned.
        kind: the type.

    Raises:
        InputError: it is of another type.
    """
    if not isinstance(value, kind):
        raise InputError(
            f"{source} returns a {type(value).__name__}, not a {kind.__module__}.{kind.__name__}; "
            f"{CONTRACTS}."
        )
    return value


def is_outside(name: str) -> bool:
    """Whether a name means code outside of jreid: whether it has a dot."""
    return "." in name


def names_in(values: Any) -> list[str]:
    """The texts in nested lists that may be names of code outside of jreid.

    No text that a field may import is left out: neither one with spaces around it nor one with a
    colon in place of the dot.
    """
    if isinstance(values, tuple | list):
        return [name for value in values for name in names_in(value)]
    if not isinstance(values, str):
        return []
    # Values follow in parentheses or after a colon; the name itself may have a colon, too.
    parts = [part.strip() for part in re.split("[:(]", values)]
    names = ".".join(parts[:1]), ".".join(parts[:2])
    return [values] if any(is_outside(name) and _is_dotted(name) for name in names) else []


class Trust:
    """Whether a run's config may name code to import; the command line decides it.

    A run's folder may come from another person, who must not choose what runs here.

    Attributes:
        given: whether it may name any code.
        names: the code that the user's own config names, which a run's config may name too.
    """

    given = False
    names: frozenset[str] = frozenset()


def require_name(source: str, name: str, choices: Iterable[str]) -> None:
    """Raises InputError, with the nearest choice, unless the name is one of the choices."""
    choices = sorted(choices)
    if name not in choices:
        raise InputError(
            f"{source}={name} does not exist; did you mean {nearest(name, choices)}? Choices: "
            f"{', '.join(choices)}."
        )


def require_choice(field: str, value: Any, choices: Collection[str]) -> None:
    """As `require_name`, for a config field or for each item of a list."""
    if isinstance(value, tuple | list):
        for item in value:
            require_choice(field, item, choices)
    elif OUTSIDE not in choices or not is_outside(value):
        require_name(f"config.{field}", value, choices)


def require_choices(config: Any, choices: Mapping[str, Collection[str]]) -> None:
    """As `require_choice`, for several fields.

    Args:
        config: an object of objects.
        choices: the texts that each field may be, by its full name, such as `image.resize`.
    """
    for field, allowed in choices.items():
        require_choice(field, attrgetter(field)(config), allowed)


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """The choice with the most similar spelling, if there are choices."""
    return next(iter(difflib.get_close_matches(name, [*choices], n=1, cutoff=0.0)), None)


def outside_version(name: str) -> tuple[str, str]:
    """The package of an imported name, and its version.

    For code that is not installed, the module and the SHA-256 of its file.
    """
    path = re.split("[:(]", name)[0].strip()
    for package in _packages(tuple(sys.path)).get(path.partition(".")[0], ()):
        return package, importlib.metadata.version(package)
    file = _file_of(path)
    if file is None and "." in path:
        path = path.rpartition(".")[0]  # of a function
        file = _file_of(path)
    return path, f"sha256:{sha256_of(file) if file else 'unknown'}"


@functools.cache
def _packages(places: tuple[str, ...]) -> Mapping[str, list[str]]:
    """The packages by the names of their modules; reading the records of all takes 0.3 seconds.

    Args:
        places: where Python finds packages.
    """
    return importlib.metadata.packages_distributions()


def _file_of(module: str) -> Path | None:
    """The file of a module's code, if it has one; imports the packages that it is in."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin and Path(spec.origin).is_file() else None


def own_modules(package: str, symbol: str) -> dict[str, str]:
    """A package's modules that define a function, each with its docstring's first line.

    Reads their text without running it: importing all of them takes seconds. Python 3.11's parser
    fails in several threads at once, and datasets are read in threads.
    """
    folder = Path(__file__).parent.joinpath(*package.split(".")[1:])
    found = {}
    for module in pkgutil.iter_modules([str(folder)]):
        name = f"{module.name}/__init__.py" if module.ispkg else f"{module.name}.py"
        text = (folder / name).read_text(encoding="utf-8")
        if re.search(rf"^def {symbol}\(", text, re.MULTILINE):
            docstring = re.match(r'"""(.*?)("""|\n)', text)
            found[module.name] = docstring[1] if docstring else ""
    return found


def _is_dotted(name: str) -> bool:
    """Whether a name is made of Python identifiers and dots between them."""
    return all(part.isidentifier() for part in name.split("."))


def _import(source: str, name: str) -> ModuleType:
    """Imports the module of a dotted name, which runs its code."""
    if not _is_dotted(name):
        raise InputError(f"{source}: {name!r} is not the name of a Python module.")
    _make_current_directory_importable()
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name
        if missing and f"{name}.".startswith(f"{missing}."):
            raise InputError(
                f"{source}: there is no Python module {missing}; install it, or give the command "
                f"in the folder that has it (the current one is {os.getcwd()})."
            ) from error
        raise InputError(f"{source}: {name} cannot be imported: {_with_place(error)}.") from error


def _with_place(error: BaseException) -> str:
    """The message of an error, and the file and line that raised it."""
    *_, last = traceback.extract_tb(error.__traceback__)
    return f"{describe(error)} ({last.filename}, line {last.lineno})"


def _make_current_directory_importable() -> None:
    """Appends the current directory to the import path, so that it hides no other module.

    `python -m jreid` has it there, the script `jreid` has not. It stays, since a module may import
    others of its package later.
    """
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
