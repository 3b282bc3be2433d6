"""Stripes: each pools its own rows, and nothing of one reaches another."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.variables import count

from jreid.errors import InputError
from jreid.nn import PartClassifier, Parts


def map_of(images=4, height=6, width=2, channels=3) -> Any:
    return jax.random.normal(jax.random.key(0), (images, height, width, channels))


def counted(identities) -> int:
    """Parameters of six stripes of a ResNet-50's map and their classifiers."""
    x = jax.ShapeDtypeStruct((2, 18, 9, 2048), jnp.float32)
    key = jax.random.key(0)
    parts = Parts(6, 256)
    variables = jax.eval_shape(lambda x: parts.init(key, x, train=False), x)
    described: Any = jax.eval_shape(lambda v, x: parts.apply(v, x, train=False), variables, x)
    assert described.shape == (2, 6, 256)
    classifier = jax.eval_shape(lambda y: PartClassifier(identities).init(key, y), described)
    return count(variables["params"]) + count(classifier["params"])


def test_parameters_of_six_stripes():
    assert counted(395) == 3_759_426
    assert counted(206) == 3_467_988


@pytest.mark.parametrize(
    ("pool", "expected"), [("average", [2.0, 6.0]), ("max", [4.0, 8.0]), ("generalized_mean", None)]
)
def test_a_stripe_by_hand(pool, expected):
    """Two stripes of two rows; kernels 1 and 10, biases 0 and 1, statistics of the start."""
    x = jnp.array([0.0, 2.0, 2.0, 4.0, 4.0, 6.0, 6.0, 8.0]).reshape(1, 4, 2, 1)
    expected = expected or [(80 / 4) ** (1 / 3), (1008 / 4) ** (1 / 3)]
    params = {
        "kernel": jnp.array([1.0, 10.0]).reshape(2, 1, 1),
        "bias": jnp.array([0.0, 1.0]).reshape(2, 1),
        "norm": {"scale": jnp.ones(2), "bias": jnp.zeros(2)},
    }
    statistics = {"norm": {"mean": jnp.zeros(2), "var": jnp.ones(2)}}
    variables = {"params": params, "batch_stats": statistics}
    got: Any = Parts(2, 1, pool).apply(variables, x, train=False)
    want = [[[expected[0]], [10 * expected[1] + 1]]]
    np.testing.assert_allclose(got, want, rtol=1e-4)
    params["kernel"] *= -1
    got = Parts(2, 1, pool).apply(variables, x, train=False)
    np.testing.assert_array_equal(got, 0)  # the ReLU


def test_nothing_of_one_stripe_reaches_another():
    x, parts = map_of(), Parts(3, 4)
    variables = jax.jit(lambda x: parts.init(jax.random.key(1), x, train=False))(x)
    kernel = variables["params"]["kernel"]
    assert not np.allclose(kernel[0], kernel[1])

    def middle(x) -> Any:
        described, changed = parts.apply(variables, x, train=True, mutable=["batch_stats"])
        statistics = changed["batch_stats"]["norm"]["mean"].reshape(3, 4)
        return described[:, 1].sum(), (described, statistics)

    run = jax.jit(jax.value_and_grad(middle, has_aux=True))
    other = np.array(x)
    other[:, 2:4] += 1
    other[0, 2:4] *= 3
    ((_, (before, mean)), gradient), ((_, (after, changed)), _) = run(x), run(other)
    for stripe in (0, 2):
        np.testing.assert_array_equal(after[:, stripe], before[:, stripe])
        np.testing.assert_array_equal(changed[stripe], mean[stripe])
        np.testing.assert_array_equal(gradient[:, 2 * stripe : 2 * stripe + 2], 0)
    assert not np.allclose(after[:, 1], before[:, 1])
    assert np.abs(gradient[:, 2:4]).max() > 0
    assert 0 < (before > 0).mean() < 1  # before the ReLU the batch's mean is 0


def test_classifiers_by_hand():
    x = jnp.array([[[1.0, 2.0], [3.0, 4.0]]])
    kernel = jnp.array([[[1.0], [10.0]], [[100.0], [1000.0]]])
    variables = {"params": {"kernel": kernel, "bias": jnp.array([[0.5], [0.25]])}}
    np.testing.assert_allclose(
        PartClassifier(1).apply(variables, x), [[[21.5], [4300.25]]], rtol=1e-6
    )


def test_a_bfloat16_map_gives_float32():
    x = map_of().astype(jnp.bfloat16)
    run = jax.eval_shape(lambda x: Parts(2, 4).init_with_output(jax.random.key(0), x, False), x)
    assert run[0].dtype == jnp.float32


def test_rows_that_do_not_divide_are_refused():
    with pytest.raises(InputError, match="6 rows cannot be cut into 4"):
        Parts(4, 2).init(jax.random.key(0), map_of(), train=False)
