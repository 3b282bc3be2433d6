import io

import numpy as np
import pytest
from PIL import Image

from jreid.datasets import MODALITIES
from jreid.engine.model import Model


@pytest.mark.parametrize("gray", MODALITIES)
def test_images_to_embed_become_gray_by_their_modality(tiny_config, gray):
    noise = np.random.default_rng(0).integers(0, 256, (20, 10, 3), np.uint8)
    colored, grayed = io.BytesIO(), io.BytesIO()
    Image.fromarray(noise).save(colored, "PNG")
    Image.fromarray(noise).convert("L").save(grayed, "PNG")
    config = tiny_config.copy_and_resolve_references().unlock()
    config.image[f"gray_{gray}"] = True
    model, plain = Model(config), Model(tiny_config)
    for modality in MODALITIES:
        (found,) = model.decode([colored.getvalue()], ["a"], modality)
        same = grayed if modality == gray else colored
        (expected,) = plain.decode([same.getvalue()], ["a"], modality)
        np.testing.assert_array_equal(found, expected)
