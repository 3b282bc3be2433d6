import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.variables import count

from jreid.errors import InputError
from jreid.methods.idkl.branched_resnet import BranchedResNet
from jreid.nn import ResNet

IMAGES = np.random.default_rng(0).normal(size=(2, 2, 32, 16, 3)).astype(np.float32)
BOTH = {"visible": jnp.asarray(IMAGES[0]), "infrared": jnp.asarray(IMAGES[1])}


@pytest.fixture(scope="module")
def forked():
    """A small network with random variables, which take no compiling."""
    network, rng = BranchedResNet(depth=18, width=8), np.random.default_rng(1)

    def fill(path, leaf):
        if path[-1].key in ("scale", "var"):
            return rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
        scale = np.prod(leaf.shape[:-1]) ** -0.5
        return rng.normal(0, scale, leaf.shape).astype(np.float32)

    shapes = jax.eval_shape(lambda: network.init(jax.random.key(0), BOTH, train=False))
    return network, jax.tree_util.tree_map_with_path(fill, shapes)


def test_parameters_of_two_deep_halves_on_one_trunk():
    network = BranchedResNet()
    images = {name: jnp.zeros((1, 64, 32, 3)) for name in ("visible", "infrared")}
    shapes = jax.eval_shape(lambda: network.init(jax.random.key(0), images, train=False))
    params = shapes["params"]
    trunk, deep = 9_536 + 215_808 + 1_219_584, 7_098_368 + 14_964_736
    assert count(params["shared"]) == trunk
    assert count(params["shared_branch"]) == count(params["specific_branch"]) == deep


def test_each_branch_is_a_resnet(forked):
    network, variables = forked
    branches = jax.jit(lambda v: network.apply(v, BOTH, train=False))(variables)
    whole = ResNet(depth=18, width=8)
    for name, maps in branches.items():
        joined = {
            kind: {"shared": {**tree["shared"], **tree[name]}} for kind, tree in variables.items()
        }
        alone = jax.jit(lambda v: whole.apply(v, BOTH, train=False))(joined)
        assert len(maps) == len(alone) == 4
        for got, expected in zip(maps, alone, strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    first, second = branches["shared_branch"], branches["specific_branch"]
    np.testing.assert_array_equal(first[1], second[1])
    assert not np.allclose(first[2], second[2])


def test_a_stem_may_be_one_a_modality_but_a_branch_may_not():
    split = BranchedResNet(depth=18, width=8, split_stages=1)
    shapes = jax.eval_shape(lambda: split.init(jax.random.key(0), BOTH, train=False))
    scopes = {"visible", "infrared", "shared", "shared_branch", "specific_branch"}
    assert set(shapes["params"]) == scopes
    deep = BranchedResNet(depth=18, width=8, split_stages=4)
    with pytest.raises(InputError, match="split_stages=4 reaches into the branches"):
        jax.eval_shape(lambda: deep.init(jax.random.key(0), BOTH, train=False))
