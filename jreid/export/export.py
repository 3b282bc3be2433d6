"""Writes an export, and a JSON card next to it that describes it."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

import jreid
from jreid import config as configs
from jreid.data.pixels import IMAGENET_MEAN, IMAGENET_STD
from jreid.datasets import MODALITIES
from jreid.engine.model import Model
from jreid.errors import InputError
from jreid.export import onnx, stablehlo
from jreid.export.embedder import make_embedder
from jreid.files import read_json, write_text, write_whole
from jreid.methods import Config, Variables
from jreid.optional_parts import require_part
from jreid.runs.bundle import warn_of_paths, without_paths
from jreid.versions import installed, revision

# By name: each has `write(embedder)`, the content of a file; `Reader(content)`, which embeds by it;
# `ABOUT`, fields of the card; `PACKAGES`, which the optional part of the format's name installs.
FORMATS = {"onnx": onnx, "stablehlo": stablehlo}


def card_of(output: Path) -> Path:
    """The path of the card of an export."""
    return output.with_name(f"{output.name}.json")


def check_packages(format: str) -> None:
    """Raises InputError if a package is not installed that a format needs."""
    if FORMATS[format].PACKAGES:
        require_part(format, f"--format={format}")


def check_output(output: Path) -> None:
    """Raises InputError if the file cannot be written, before anything is computed."""
    if not output.parent.is_dir():
        raise InputError(f"{output.parent} is not a folder; create it, or choose another --output.")
    if output.is_dir():
        raise InputError(f"{output} is a folder; name a file.")
    card = card_of(output)
    if card.exists() and not _is_card(card):
        raise InputError(
            f"{card}, where the card would be written, is another file; choose another --output."
        )
    if output.exists() and not card.exists():
        raise InputError(
            f"{output} exists and has no card of an export beside it; choose another --output, or "
            "remove the file."
        )


def _is_card(path: Path) -> bool:
    try:
        content = read_json(path)
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and {"format", "file", "sha256"} <= content.keys()


def export(
    format: str, model: Model, variables: Variables, checkpoint: Mapping[str, Any], output: Path
) -> bytes:
    """Writes the model to a file, writes its card, and returns the file's content.

    Args:
        format: a name of `FORMATS`.
        checkpoint: the fields of a result row that describe the variables' checkpoint.

    Raises:
        InputError: a file cannot be written.
    """
    host = jax.device_get(variables)
    content = FORMATS[format].write(make_embedder(model.config, model.method, host))
    write_whole(output, lambda file: file.write(content))
    card = {
        "format": format,
        "file": output.name,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        **_interface(model.config),
        **checkpoint,
        "config_hash": configs.digest(model.config),
        "config": without_paths(model.config).to_dict(),
        "jreid": jreid.__version__,
        "revision": revision(),
        "versions": installed(("jax", "jaxlib", "flax", *FORMATS[format].PACKAGES)),
        **FORMATS[format].ABOUT,
    }
    warn_of_paths(without_paths(model.config), card_of(output))
    write_text(card_of(output), json.dumps(card, indent=2) + "\n")
    return content


def _interface(config: Config) -> dict[str, Any]:
    """The inputs, the outputs, and how pixels are prepared."""
    image = config.image
    numbers = ", ".join(f"{place} {modality}" for place, modality in enumerate(MODALITIES))
    return {
        "inputs": {
            "pixels": "uint8 [N, height, width, 3], RGB; any N, height and width of 1 or more",
            "modality": f"int32 scalar, of all N images: {numbers}",
        },
        "output": "float32 [N, D], unit vectors: their products are cosine similarities",
        "method": config.method,
        "preprocessing": {
            "depth_range": [*config.data.depth_range],  # not inside: pixels have 8 bits
            "size": [*image.size],
            "resize": image.resize,
            "gray": {m: bool(image[f"gray_{m}"]) for m in MODALITIES},
            "mean": IMAGENET_MEAN,
            "std": IMAGENET_STD,
            "flip": bool(config.evaluation.flip),
        },
    }
