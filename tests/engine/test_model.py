import io

import numpy as np
import pytest
from PIL import Image

from jreid.datasets import MODALITIES
from jreid.engine.model import Model
from jreid.engine.out_of_memory import OutOfMemoryError


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


def test_a_batch_that_does_not_fit_is_halved_for_good(tiny_config, monkeypatch, caplog):
    asked = []

    def embed_by(self, rows, *_):
        asked.append(rows)
        if rows > 8:
            raise OutOfMemoryError(f"a batch of {rows} images does not fit.")
        return np.ones((5, 2), np.float32)

    monkeypatch.setattr(Model, "_embed_by", embed_by)
    model, none = Model(tiny_config), {}
    assert tiny_config.evaluation.batch_size == 16
    for _ in range(2):
        assert model.embed(none, [b""] * 5, ["a"] * 5, "visible").shape == (5, 2)
    assert asked == [16, 8, 8]
    assert "a batch of 16 images does not fit. jreid goes on with 8 images at once." in caplog.text
    monkeypatch.setattr(Model, "_embed_by", lambda self, rows, *_: embed_by(self, 2 * rows + 8))
    with pytest.raises(OutOfMemoryError):  # as few as there are devices
        model.embed(none, [b""] * 5, ["a"] * 5, "visible")
