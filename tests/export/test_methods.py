"""The inference network of every method exports, and embeds as the model does."""

import io

import jax
import numpy as np
import pytest
from helpers.paths import ROOT
from helpers.variables import filled
from PIL import Image

from jreid import config as configs
from jreid.datasets import MODALITIES
from jreid.distributed.mesh import mesh_over
from jreid.engine.model import Model
from jreid.export.embedder import make_embedder
from jreid.export.export import FORMATS

METHODS = ["base_derivative", "idkl", "mutual_prediction", "pfanet", "pfinet"]
CASES = [*((name, []) for name in METHODS), ("agw", ["--config.backbone.ibn=True"])]


@pytest.mark.parametrize(
    ("name", "flags"), [("agw", []), *(pytest.param(*m, marks=pytest.mark.slow) for m in CASES)]
)
def test_an_exported_method_embeds_as_the_model(name, flags):
    flags = ["--config.evaluation.batch_size=4", *flags]
    config = configs.load(f"{ROOT}/configs/{name}.py:tiny", flags)
    config = configs.with_identities(config, 8) if not config.data.identities else config
    model = Model(config, mesh_over(jax.devices()[:1]))
    shapes = model.shapes()
    variables = filled({"params": shapes.params, **shapes.model_state})
    embedder = make_embedder(config, model.method, jax.device_get(variables))
    readers = [format.Reader(format.write(embedder)) for format in FORMATS.values()]
    H, W = config.image.size
    pixels = np.random.default_rng(0).integers(0, 256, (4, 2 * H, 2 * W, 3), np.uint8)
    for number, modality in enumerate(MODALITIES):
        own = model.embed(variables, [*map(png, pixels)], [*"abcd"], modality)
        own /= np.linalg.norm(own, axis=1, keepdims=True)
        for read in readers:
            np.testing.assert_allclose(read(pixels, number), own, rtol=0, atol=1e-5)


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
