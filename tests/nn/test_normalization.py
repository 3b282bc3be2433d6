import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jreid.nn.normalization import (
    BatchNorm,
    InstanceBatchNorm,
    RunningInstanceNorm,
    instance_norm,
)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def train_step(module, x):
    x = jnp.asarray(x)
    variables = module.init(jax.random.key(0), x, True)
    return module.apply(variables, x, True, mutable=["batch_stats"])


def test_batch_norm_by_hand():
    x = np.array([[1.0], [3.0], [5.0]], np.float32)
    y, updates = train_step(BatchNorm(), x)
    spread = np.sqrt(8 / 3 + 1e-5)
    np.testing.assert_allclose(y[:, 0], [-2 / spread, 0, 2 / spread], rtol=1e-6)
    np.testing.assert_allclose(updates["batch_stats"]["mean"], [0.1 * 3], rtol=1e-6)
    # unbiased: the sum of squares, 8, over n - 1
    np.testing.assert_allclose(updates["batch_stats"]["var"], [0.9 + 0.1 * 8 / 2], rtol=1e-6)


def test_batch_norm_evaluates_by_running_statistics():
    variables = {
        "params": {"scale": jnp.array([2.0]), "bias": jnp.array([1.0])},
        "batch_stats": {"mean": jnp.array([10.0]), "var": jnp.array([4.0])},
    }
    y = BatchNorm().apply(variables, jnp.array([[14.0], [10.0]]), False)
    np.testing.assert_allclose(y, [[5.0], [1.0]], rtol=1e-5)


def test_initialising_leaves_the_running_statistics():
    variables = BatchNorm().init(jax.random.key(0), jnp.asarray(normal(4, 3) + 7), True)
    np.testing.assert_array_equal(variables["batch_stats"]["mean"], np.zeros(3))
    np.testing.assert_array_equal(variables["batch_stats"]["var"], np.ones(3))


def test_variance_far_from_zero_does_not_cancel():
    x = 1000 + 0.01 * normal(64, 8, 4, 2)
    _, updates = train_step(BatchNorm(), x)
    want = x.astype(np.float64).var((0, 1, 2), ddof=1)
    got = (np.asarray(updates["batch_stats"]["var"], np.float64) - 0.9) / 0.1
    np.testing.assert_allclose(got, want, rtol=0.05, atol=1e-6)


def test_one_value_has_no_batch_statistics():
    with pytest.raises(ValueError, match="more than one value"):
        train_step(BatchNorm(), normal(1, 4))


def test_bfloat16_output_float32_statistics():
    y, updates = train_step(BatchNorm(dtype=jnp.bfloat16), jnp.asarray(normal(8, 4), jnp.bfloat16))
    assert y.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(updates)} == {jnp.dtype("float32")}


def test_a_sharded_batch_has_global_statistics():
    devices = jax.device_count()
    if devices == 1:
        pytest.skip("needs more than one device")
    mesh = jax.make_mesh((devices,), ("data",), axis_types=(AxisType.Auto,))
    # each device sees values around another mean
    x = normal(2 * devices, 4, 4, 3) + np.arange(2 * devices, dtype=np.float32)[:, None, None, None]
    variables = BatchNorm().init(jax.random.key(0), jnp.asarray(x), True)

    @jax.jit
    def step(x):
        return BatchNorm().apply(variables, x, True, mutable=["batch_stats"])

    want = step(x)
    got = step(jax.device_put(x, NamedSharding(mesh, PartitionSpec("data"))))
    jax.tree.map(lambda g, w: np.testing.assert_allclose(g, w, atol=2e-6), got, want)


def test_instance_norm_against_numpy():
    x = normal(2, 5, 3, 4) * 3 + 2
    centered = x - x.mean((1, 2), keepdims=True)
    want = centered / np.sqrt(x.var((1, 2), keepdims=True) + 1e-5)
    np.testing.assert_allclose(instance_norm(jnp.asarray(x)), want, atol=1e-6)
    assert instance_norm(jnp.asarray(x, jnp.bfloat16)).dtype == jnp.bfloat16


def test_instance_batch_norm_halves_an_odd_number_of_channels():
    x = normal(3, 4, 2, 5)
    y, updates = train_step(InstanceBatchNorm(), x)
    np.testing.assert_allclose(y[..., :2], instance_norm(jnp.asarray(x[..., :2])), atol=1e-6)
    want, _ = train_step(BatchNorm(), x[..., 2:])
    np.testing.assert_allclose(y[..., 2:], want, atol=1e-6)
    assert updates["batch_stats"]["BN"]["mean"].shape == (3,)


def test_batch_norm_equals_torch_in_output_gradient_and_statistics(reference):
    x, weights = normal(4, 6, 5, 3) * 2 + 1, normal(4, 6, 5, 3, seed=1)
    theirs = reference.randomize(reference.nn.BatchNorm2d(3))
    before = reference.arrays(theirs)
    x_torch = reference.to_nchw(x).requires_grad_()
    y_torch = theirs(x_torch)
    (y_torch * reference.to_nchw(weights)).sum().backward()
    after = reference.arrays(theirs)

    variables = {
        "params": {"scale": before["weight"], "bias": before["bias"]},
        "batch_stats": {"mean": before["running_mean"], "var": before["running_var"]},
    }

    def total(x):
        y, updates = BatchNorm().apply(variables, x, True, mutable=["batch_stats"])
        return jnp.sum(y * weights), (y, updates["batch_stats"])

    gradient, (y, statistics) = jax.grad(total, has_aux=True)(x)
    np.testing.assert_allclose(y, reference.to_nhwc(y_torch), atol=2e-6)
    np.testing.assert_allclose(gradient, reference.to_nhwc(x_torch.grad), atol=2e-6)
    np.testing.assert_allclose(statistics["mean"], after["running_mean"], atol=1e-6)
    np.testing.assert_allclose(statistics["var"], after["running_var"], atol=1e-6)


def test_running_instance_norm_equals_torch_when_training_and_when_not(reference):
    x = normal(4, 6, 5, 3) * np.float32([1, 2, 3]) + 1
    layer = reference.nn.InstanceNorm2d(3, affine=True, track_running_stats=True)
    theirs = reference.randomize(layer)
    before = reference.arrays(theirs)
    trained = theirs(reference.to_nchw(x))
    after = reference.arrays(theirs)
    tested = theirs.eval()(reference.to_nchw(x))

    module = RunningInstanceNorm()
    params = {"scale": before["weight"], "bias": before["bias"]}
    statistics = {"mean": before["running_mean"], "var": before["running_var"]}
    variables, x = {"params": params, "batch_stats": statistics}, jnp.asarray(x)
    y, updates = module.apply(variables, x, True, mutable=["batch_stats"])
    np.testing.assert_allclose(y, reference.to_nhwc(trained), atol=2e-6)
    np.testing.assert_allclose(updates["batch_stats"]["mean"], after["running_mean"], atol=1e-6)
    np.testing.assert_allclose(updates["batch_stats"]["var"], after["running_var"], atol=1e-6)
    y = module.apply({"params": params, **updates}, x, False)
    np.testing.assert_allclose(y, reference.to_nhwc(tested), atol=2e-6)
    with pytest.raises(ValueError, match="map of one position"):
        module.apply(variables, x[:, :1, :1], True, mutable=["batch_stats"])
