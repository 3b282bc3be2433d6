"""An embedder as a StableHLO file, which JAX reads without jreid."""

import contextlib
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from jaxtyping import Float, UInt8

from jreid.export.embedder import Embedder

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
# https://docs.jax.dev/en/latest/export/export.html#compatibility-guarantees
COMPATIBILITY = (
    "JAX guarantees that this file is read by versions of jaxlib released up to 6 months after the "
    "one in `versions`, and up to 3 weeks before it. Later versions may refuse the file: keep the "
    "run, and export it again."
)
ABOUT = {"platforms": PLATFORMS, "compatibility": COMPATIBILITY}
PACKAGES = ()


def write(embedder: Embedder) -> bytes:
    """The file's content. The number, height and width of images are symbolic."""
    n, h, w = export.symbolic_shape("n, h, w")
    pixels = jax.ShapeDtypeStruct((n, h, w, 3), jnp.uint8)
    modality = jax.ShapeDtypeStruct((), jnp.int32)
    with _without_paths():
        exported = export.export(jax.jit(embedder), platforms=PLATFORMS)(pixels, modality)
    return bytes(exported.serialize())


@contextlib.contextmanager
def _without_paths() -> Iterator[None]:
    """Within the block, JAX writes no path of a source file into what it exports."""
    name = "jax_hlo_source_file_canonicalization_regex"
    before = getattr(jax.config, name)
    jax.config.update(name, ".*")
    try:
        yield
    finally:
        jax.config.update(name, before)


class Reader:
    """Embeds with a file's content alone; XLA compiles it once for each shape of pixels."""

    def __init__(self, content: bytes) -> None:
        self._call = jax.jit(export.deserialize(bytearray(content)).call)

    def __call__(
        self, pixels: UInt8[np.ndarray, "n h w 3"], modality: int
    ) -> Float[np.ndarray, "n d"]:
        """Unit vectors of N images of one modality: 0 is visible, 1 is infrared."""
        return np.asarray(self._call(pixels, np.int32(modality)))
