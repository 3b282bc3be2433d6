"""TensorFlow and TensorFlow Datasets: the optional packages that training needs."""

from importlib.util import find_spec

from jreid.errors import InputError

MODULES = ("tensorflow", "tensorflow_datasets", "importlib_resources")


def is_missing() -> bool:
    """Whether one of the packages is not installed. Importing them would take seconds."""
    return any(find_spec(module) is None for module in MODULES)


def require(what: str) -> None:
    """Raises InputError if a package is missing.

    Args:
        what: the work that needs them, such as `training`.
    """
    if is_missing():
        raise InputError(
            f"{what} needs TensorFlow and TensorFlow Datasets, which are not installed; install "
            'them by `pip install "jreid[data]"`, or in a clone by `pip install -r '
            "requirements.txt`."
        )
