"""The optional parts of jreid, which a user installs by `pip install "jreid[PART]"`."""

import sys
from importlib.util import find_spec

from jreid.errors import InputError

# The modules that each part installs and jreid imports; it imports none of cuda12, tpu or ray.
MODULES = {
    "data": ("tensorflow", "tensorflow_datasets", "importlib_resources"),
    "faiss": ("faiss",),
    "hub": ("huggingface_hub",),
    "onnx": ("onnx", "onnxruntime"),
    "parquet": ("pyarrow",),
    "serve": ("fastapi", "prometheus_client", "uvicorn"),
    "slurm": ("submitit",),
    "torch": ("torch",),
    "trackio": ("trackio",),
    "viz": ("sklearn",),
    "wandb": ("wandb",),
}


def has_part(part: str) -> bool:
    """Whether all modules of a part are installed; imports none, which may take seconds."""
    return all(map(_is_installed, MODULES[part]))


def part_of(module: str | None) -> str | None:
    """The part that installs a module, such as `torch.nn`; None for a module of no part."""
    package = (module or "").partition(".")[0]
    return next((part for part, modules in MODULES.items() if package in modules), None)


def require_part(part: str, what: str, otherwise: str = "") -> None:
    """Raises InputError, with the command that installs it, if a part is not installed.

    Args:
        part: such as `data`.
        what: the work that needs it, such as `training`.
        otherwise: what the user can do without it, such as `use .npz`.
    """
    for module in MODULES[part]:
        if not _is_installed(module):
            raise InputError(
                f"{what} needs the Python module {module}, which is not installed; install it by "
                f'`pip install "jreid[{part}]"`{", or " if otherwise else ""}{otherwise}.'
            )


def _is_installed(module: str) -> bool:
    if module in sys.modules:
        return sys.modules[module] is not None
    spec = find_spec(module)
    # A folder of that name in the current directory is importable, but it has no file of its own.
    return spec is not None and spec.origin is not None
