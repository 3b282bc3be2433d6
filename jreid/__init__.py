"""jreid: visible-infrared person re-identification in JAX and Flax."""

import importlib.metadata
import tomllib
from pathlib import Path


def _version() -> str:
    """The version of this code, which may be a clone while another jreid is installed."""
    project = Path(__file__).resolve().parents[1] / "pyproject.toml"
    if project.is_file():
        content = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
        if content["name"] == "jreid":
            return f"{content['version']}+clone"
    return importlib.metadata.version("jreid")


__version__ = _version()
