import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jreid.losses import semantic_alignment


def logits(seed, rows=6, classes=5):
    return np.random.default_rng(seed).normal(size=(rows, classes)).astype(np.float32)


def kl(a, b):
    """KL(softmax(a), softmax(b)) of two vectors in float64."""
    p, q = (np.exp(np.asarray(x, np.float64)) for x in (a, b))
    p, q = p / p.sum(), q / q.sum()
    return (p * np.log(p / q)).sum()


def test_sample_form_by_rows():
    a, b = logits(0), logits(1)
    rows = [kl(x, y) for x, y in zip(a, b, strict=True)]
    back = [kl(y, x) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(semantic_alignment(a, b), sum(rows), rtol=1e-5)
    got = semantic_alignment(a, b, symmetric=True, reduce="mean")
    np.testing.assert_allclose(got, np.mean(rows) + np.mean(back), rtol=1e-5)
    warm = [kl(x / 4, y / 4) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(semantic_alignment(a, b, temperature=4.0), sum(warm), rtol=1e-4)


def test_stacked_form_puts_the_kth_images_of_all_identities_side_by_side():
    a, b = logits(0), logits(1)  # 3 identities of 2 images
    rows = [
        kl(np.concatenate([a[k], a[k + 2], a[k + 4]]), np.concatenate([b[k], b[k + 2], b[k + 4]]))
        for k in (0, 1)
    ]
    np.testing.assert_allclose(semantic_alignment(a, b, "stacked", 2), sum(rows), rtol=1e-5)
    got = semantic_alignment(a, b, "stacked", 2, reduce="mean")
    np.testing.assert_allclose(got, np.mean(rows), rtol=1e-5)


def test_forms_differ_in_what_they_overlook():
    a = logits(0)
    shifted = a + np.arange(6, dtype=np.float32)[:, None]
    np.testing.assert_allclose(semantic_alignment(a, shifted), 0, atol=1e-5)
    assert semantic_alignment(a, shifted, "stacked", 2) > 0.1
    together = a + np.tile(np.float32([3, 9]), 3)[:, None]
    np.testing.assert_allclose(semantic_alignment(a, together, "stacked", 2), 0, atol=1e-5)


@pytest.mark.parametrize("form", ["sample", "stacked"])
def test_gradients_flow_into_both_sides_and_stay_finite(form):
    for scale in (1, 1e4):
        for gradient in jax.grad(semantic_alignment, argnums=(0, 1))(
            scale * logits(0), scale * logits(1), form, 3
        ):
            assert jnp.isfinite(gradient).all()
            # One-hot rows have no way to go.
            assert scale > 1 or jnp.abs(gradient).max() > 0


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="sample, stacked"):
        semantic_alignment(logits(0), logits(1), "class")
    with pytest.raises(ValueError, match="6 rows cannot be divided into identities of 4"):
        semantic_alignment(logits(0), logits(1), "stacked", 4)
