import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from jreid.methods.idkl.discriminator import ModalityDiscriminator

X = jnp.asarray(np.random.default_rng(0).normal(size=(16, 6)).astype(np.float32))
NETWORK = ModalityDiscriminator(hidden=8, dropout=0.5)


@pytest.fixture(scope="module")
def variables():
    return NETWORK.init(jax.random.key(0), X, train=False)


def logits(variables, x, seed=None, network=NETWORK):
    if seed is None:
        return network.apply(variables, x, train=False)
    rngs = {"dropout": jax.random.key(seed)}
    return network.apply(variables, x, train=True, rngs=rngs, mutable=["batch_stats"])[0]


def test_parameters():
    params = ModalityDiscriminator().init(jax.random.key(0), jnp.zeros((2, 2048)), False)["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == (
        2048 * 100 + 100 + 200 + 100 * 100 + 100 + 200 + 100 * 2 + 2
    )


def test_dropout_is_the_keys_and_of_training_alone(variables):
    np.testing.assert_array_equal(logits(variables, X, 1), logits(variables, X, 1))
    assert not np.allclose(logits(variables, X, 1), logits(variables, X, 2))
    np.testing.assert_array_equal(logits(variables, X), logits(variables, X))
    sure = ModalityDiscriminator(hidden=8, dropout=0.0)
    np.testing.assert_array_equal(logits(variables, X, 1, sure), logits(variables, X, 2, sure))


def test_without_dropout_it_is_what_pytorch_makes_of_it(variables):
    torch = pytest.importorskip("torch", reason="parity with PyTorch: torch is not installed")
    from torch import nn

    params = flatten_dict(variables["params"], sep="/")
    layers = []
    for i in (1, 2, 3):
        kernel = torch.from_numpy(np.array(params[f"fc{i}/kernel"]).T.copy())
        linear = nn.Linear(kernel.shape[1], kernel.shape[0])
        linear.weight.data, linear.bias.data = kernel, torch.zeros(kernel.shape[0])
        layers += [linear] if i == 3 else [linear, nn.BatchNorm1d(8), nn.ReLU()]
    theirs = nn.Sequential(*layers)(torch.from_numpy(np.array(X))).detach().numpy()
    sure = ModalityDiscriminator(hidden=8, dropout=0.0)
    np.testing.assert_allclose(logits(variables, X, 1, sure), theirs, rtol=1e-3, atol=1e-5)


@jax.numpy_dtype_promotion("standard")
def test_it_learns_to_tell_two_kinds_apart(variables):
    kind = jnp.arange(16) % 2
    x = X + 2.0 * kind[:, None]

    def loss(params, key):
        output, state = NETWORK.apply(
            {**variables, "params": params},
            x,
            train=True,
            rngs={"dropout": key},
            mutable=["batch_stats"],
        )
        return -jnp.take_along_axis(jax.nn.log_softmax(output), kind[:, None], 1).mean(), state

    step = jax.jit(jax.grad(loss, has_aux=True))
    params, state = variables["params"], {}
    for i in range(60):
        gradient, state = step(params, jax.random.key(i))
        params = jax.tree.map(lambda p, g: p - 0.3 * g, params, gradient)
    assert jax.tree.structure(state) == jax.tree.structure(
        {"batch_stats": variables["batch_stats"]}
    )
    output = logits({"params": params, "batch_stats": variables["batch_stats"]}, x, 0)
    assert (output.argmax(1) == kind).mean() > 0.8
