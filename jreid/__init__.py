"""jreid: visible-infrared person re-identification in JAX and Flax.

    model = jreid.load("runs/quickstart")
    features = model.embed("photos/", modality="visible")
    hits = model.search("query.png", "photos/", top=10)

`load` gives a trained model; `evaluate`, `cmc_map`, `rerank` and `nearest` take anybody's features.
Each name is imported when it is first used: `import jreid` imports no JAX.
"""

import importlib
import importlib.metadata
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jreid.evaluation import cmc_map, evaluate, load_features, nearest, rerank
    from jreid.retrieval.model import load

__all__ = ["__version__", "cmc_map", "evaluate", "load", "load_features", "nearest", "rerank"]
_MODULES = {
    "load": "jreid.retrieval.model",
    **dict.fromkeys(
        ("cmc_map", "evaluate", "load_features", "nearest", "rerank"), "jreid.evaluation"
    ),
}


def _version() -> str:
    """The version of this code, which may be a clone while another jreid is installed."""
    project = Path(__file__).resolve().parents[1] / "pyproject.toml"
    if project.is_file():
        content = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
        if content["name"] == "jreid":
            return f"{content['version']}+clone"
    return importlib.metadata.version("jreid")


__version__ = _version()


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'jreid' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value  # so that the next time it is found at once
    return value


def __dir__() -> list[str]:
    return __all__
