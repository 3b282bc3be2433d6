"""Embeds images with a file of `jreid export --format=stablehlo`, by JAX and without jreid.

python examples/stablehlo_embed.py model.stablehlo infrared query.jpg ...

It prints the cosine similarity of each image to the first. Pillow reads the images, of 8 bits.
"""

import sys
from pathlib import Path

import jax.export
import numpy as np
from PIL import Image


def embed(model: Path, modality: str, images: list[Path]) -> np.ndarray:
    """Unit vectors `[N, D]` of N images of one modality, visible or infrared, of any sizes."""
    exported = jax.export.deserialize(bytearray(model.read_bytes()))
    call = jax.jit(exported.call)  # compiles once for each size of image and number of images
    number = np.int32(["visible", "infrared"].index(modality))
    pixels = [read(image) for image in images]
    return np.concatenate([np.asarray(call(one[None], number)) for one in pixels])


def read(image: Path) -> np.ndarray:
    """Pixels uint8 `[height, width, 3]`, RGB."""
    with image.open("rb") as file:
        header = file.read(25)
    if header.startswith(b"\x89PNG") and header[24] == 16:  # Pillow would clip or cut the values
        sys.exit(f"{image} has 16 bits per channel: first stretch it, as docs/export.md says.")
    return np.asarray(Image.open(image).convert("RGB"))


if __name__ == "__main__":
    features = embed(Path(sys.argv[1]), sys.argv[2], [Path(name) for name in sys.argv[3:]])
    for name, similarity in zip(sys.argv[3:], features @ features[0], strict=True):
        print(f"{similarity:6.3f}  {name}")
