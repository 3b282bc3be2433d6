import functools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jreid.errors import InputError
from jreid.nn.normalization import BatchNorm
from jreid.nn.resnet import HE, ResNet, interleave
from jreid.nn.torch_layout import Layout, resnet_renames
from jreid.weights.torch import convert

LAYOUT = Layout(resnet_renames("shared/", ""))
TRUNK = {"stem": 9_536, "layer1": 215_808, "layer2": 1_219_584, "layer3": 7_098_368}
TRUNK["layer4"] = 14_964_736


def images(rows=2, height=64, width=32, seed=0):
    values = np.random.default_rng(seed).normal(size=(2, rows, height, width, 3))
    visible, infrared = jnp.asarray(values, jnp.float32)
    return {"visible": visible, "infrared": infrared}


def shapes(net, batch):
    return jax.eval_shape(lambda key: net.init(key, batch, True), jax.random.key(0))


def any_values(tree):
    """Positive numbers, for a variance too."""
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda leaf: rng.uniform(0.01, 0.1, leaf.shape).astype(np.float32), tree)


def parameters(net):
    """Number of parameters by scope and stage."""
    counts = {}
    for (scope, name, *_), leaf in flatten_dict(shapes(net, images())["params"]).items():
        stage = name.split("_")[0] if name.startswith("layer") else "stem"
        counts[scope, stage] = counts.get((scope, stage), 0) + leaf.size
    return counts


def test_resnet50_has_the_published_parameters():
    counts = parameters(ResNet(50))
    assert counts == {("shared", stage): count for stage, count in TRUNK.items()}
    assert sum(counts.values()) == 23_508_032


@pytest.mark.parametrize(("depth", "count"), [(10, 4_905_792), (18, 11_176_512), (34, 21_284_672)])
def test_shallow_resnets_have_the_published_parameters(depth, count):
    assert sum(parameters(ResNet(depth)).values()) == count


@pytest.mark.parametrize("split", range(6))
def test_split_stages_are_there_once_a_modality(split):
    want = {}
    for i, (stage, count) in enumerate(TRUNK.items()):
        for scope in ("visible", "infrared") if i < split else ("shared",):
            want[scope, stage] = count
    assert parameters(ResNet(50, split_stages=split)) == want


@pytest.mark.parametrize(
    ("size", "last_stride", "want"),
    [
        ((384, 128), 1, [(96, 32, 256), (48, 16, 512), (24, 8, 1024), (24, 8, 2048)]),
        ((288, 144), 1, [(72, 36, 256), (36, 18, 512), (18, 9, 1024), (18, 9, 2048)]),
        ((256, 128), 2, [(64, 32, 256), (32, 16, 512), (16, 8, 1024), (8, 4, 2048)]),
    ],
)
def test_maps_have_the_published_shapes(size, last_stride, want):
    net = ResNet(50, last_stride=last_stride, split_stages=1, dtype="bfloat16")
    batch = images(1, *size)
    maps, _ = jax.eval_shape(lambda key: net.init_with_output(key, batch, True), jax.random.key(0))
    assert [m.shape for m in maps] == [(2, *shape) for shape in want]
    assert {m.dtype for m in maps} == {jnp.dtype("bfloat16")}


@pytest.mark.parametrize("split", [0, 1, 5])
def test_rows_are_interleaved_by_sample(split):
    net = ResNet(18, width=8, split_stages=split)
    batch = images()
    variables = any_values(shapes(net, batch))
    apply = jax.jit(lambda given: net.apply(variables, given, False))
    both = apply(dict(reversed(batch.items())))
    alone = {name: apply({name: batch[name]}) for name in batch}
    for i, stage in enumerate(both):
        np.testing.assert_allclose(stage[0::2], alone["visible"][i], rtol=1e-5)
        np.testing.assert_allclose(stage[1::2], alone["infrared"][i], rtol=1e-5)
    # the stems differ, and only where they are split
    swapped = apply({"infrared": batch["visible"]})
    assert (split == 0) == np.allclose(swapped[0], alone["visible"][0], rtol=1e-4)


def test_interleaving_a_sharded_batch_moves_nothing():
    devices = jax.device_count()
    if devices == 1:
        pytest.skip("needs more than one device")
    mesh = jax.make_mesh((devices,), ("data",), axis_types=(AxisType.Auto,))
    rows = jax.ShapeDtypeStruct(
        (2 * devices, 8, 4, 3), jnp.float32, sharding=NamedSharding(mesh, PartitionSpec("data"))
    )
    compiled = jax.jit(lambda a, b: interleave([a, b])).lower(rows, rows).compile()
    assert not any(word in compiled.as_text() for word in ("all-to-all", "all-gather", "permute"))


def test_non_local_blocks_follow_the_last_blocks():
    scope = shapes(ResNet(50, non_local=(0, 2, 3, 0)), images())["params"]["shared"]
    added = {name for name in scope if "non_local" in name}
    assert added == {f"layer2_non_local_{i}" for i in (0, 1)} | {
        f"layer3_non_local_{i}" for i in (0, 1, 2)
    }


def test_kernels_start_by_fan_out():
    values = np.asarray(HE(jax.random.key(0), (3, 3, 64, 256)))
    assert math.isclose(values.std(), math.sqrt(2 / (3 * 3 * 256)), rel_tol=0.02)
    assert abs(values).max() > 3 * values.std()  # not cut off at two standard deviations


class Half(nn.Module):
    """Half of a map, with a parameter and a batch norm."""

    @nn.compact
    def __call__(self, x, train):
        scale = self.param("scale", nn.initializers.constant(0.5), x.shape[-1:])
        return BatchNorm(name="norm")(x, train) * scale[None, None, None]


def test_modules_stand_within_blocks_and_behind_stages():
    def behind(stage):
        return [Half(name=f"layer{stage}_half")] if stage > 2 else []

    net = ResNet(18, 8, block_module=functools.partial(Half, name="half"), stage_modules=behind)
    scope = shapes(net, images())["params"]["shared"]
    assert {name for name in scope if name.endswith("half")} == {"layer3_half", "layer4_half"}
    blocks = [block for name, block in scope.items() if name[-2:] in ("_0", "_1")]
    assert len(blocks) == 8 and all("half" in block for block in blocks)


@pytest.mark.slow
def test_rematerializing_changes_nothing_but_the_memory():
    options: Any = {"split_stages": 1, "block_module": functools.partial(Half, name="half")}
    batch = images()
    plain, remade = (ResNet(10, 8, **options, rematerialize=on) for on in (False, True))
    variables = jax.tree.map(
        np.float32, jax.jit(plain.init, static_argnums=2)(jax.random.key(0), batch, True)
    )
    assert flatten_dict(shapes(remade, batch)) == flatten_dict(shapes(plain, batch))

    def gradients(net):
        def loss(params):
            given = {**variables, "params": params}
            maps, seen = net.apply(given, batch, True, mutable=["batch_stats"])
            return sum((m**2).mean() for m in maps), seen

        return jax.value_and_grad(loss, has_aux=True)

    (value, seen), found = jax.jit(gradients(remade))(variables["params"])
    (want, expected), wanted = jax.jit(gradients(plain))(variables["params"])
    np.testing.assert_allclose(value, want, rtol=1e-5)
    for ours, theirs in ((seen, expected), (found, wanted)):
        ours, theirs = flatten_dict(ours), flatten_dict(theirs)
        assert ours.keys() == theirs.keys()
        for path, leaf in theirs.items():
            np.testing.assert_allclose(ours[path], leaf, rtol=1e-3, atol=1e-5, err_msg=str(path))
    for net, again in ((plain, 0), (remade, 4)):  # blocks that the backward pass makes anew
        assert str(jax.make_jaxpr(gradients(net))(variables["params"])).count("remat") == again


@pytest.mark.parametrize(
    "wrong",
    [
        {"depth": 101},
        {"split_stages": 6},
        {"depth": 18, "non_local": (0, 2, 3, 0)},
        {"non_local": (2, 3)},
    ],
)
def test_networks_that_cannot_be_built_are_refused(wrong):
    with pytest.raises(InputError, match=r"depth|split_stages|non_local"):
        shapes(ResNet(**wrong), images())


def test_unknown_and_missing_modalities_are_refused():
    net = ResNet(18, width=8, split_stages=1)
    with pytest.raises(ValueError, match="modalities"):
        shapes(net, {"visible": images()["visible"]})
    with pytest.raises(ValueError, match="modalities"):
        shapes(net, images() | {"thermal": images()["visible"]})


@pytest.mark.parametrize(
    ("depth", "width", "ibn", "last_stride"),
    [
        (18, 16, False, 2),
        pytest.param(50, 64, False, 1, marks=pytest.mark.slow),
        pytest.param(18, 16, True, 1, marks=pytest.mark.slow),
        pytest.param(50, 16, True, 2, marks=pytest.mark.slow),
    ],
)
def test_equals_torch(reference, depth, width, ibn, last_stride):
    blocks, widening = ((2, 2, 2, 2), 1) if depth == 18 else ((3, 4, 6, 3), 4)
    theirs = reference.randomize(reference.ResNet(blocks, widening, width, last_stride, ibn))
    net = ResNet(depth, width, last_stride, ibn, modalities=("visible",))
    x = images(rows=4)["visible"]
    apply = jax.jit(net.apply, static_argnums=2, static_argnames="mutable")
    variables = convert(reference.arrays(theirs), shapes(net, {"visible": x}), LAYOUT)
    for train in (False, True):
        want = theirs.train(train)(reference.to_nchw(x))
        got, updates = apply(variables, {"visible": x}, train, mutable="batch_stats")
        for ours, other in zip(got, want, strict=True):
            other = reference.to_nhwc(other)
            # Statistics of few values amplify rounding, which differs between processors.
            tolerance = 1e-3 if train else 1e-5
            np.testing.assert_allclose(ours, other, atol=tolerance * abs(other).max(), rtol=0)
    after = convert(reference.arrays(theirs), variables, LAYOUT)["batch_stats"]
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4),
        updates["batch_stats"],
        after,
    )
