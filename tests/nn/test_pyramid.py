import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.variables import count

from jreid.nn import Pyramid
from jreid.nn.resize import resize

# 384 x 128 through a ResNet-50 with last_stride=1.
PUBLISHED = ((1, 96, 32, 256), (1, 48, 16, 512), (1, 24, 8, 1024), (1, 24, 8, 2048))
SMALL = ((2, 8, 4, 3), (2, 4, 2, 4), (2, 2, 1, 5), (2, 2, 1, 6))


def maps_of(shapes=SMALL):
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.normal(size=shape).astype(np.float32)) for shape in shapes]


def built(kind, lowest=1, shapes=PUBLISHED):
    """Shapes of the levels, and the parameters by convolution."""
    maps = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    pyramid = Pyramid(kind, lowest)
    levels, variables = jax.eval_shape(
        lambda *maps: pyramid.init_with_output(jax.random.key(0), maps), *maps
    )
    return [level.shape for level in levels], variables.get("params", {})


def of(params, prefix):
    return count({name: leaf for name, leaf in params.items() if name.startswith(prefix)})


def test_the_released_pyramid():
    shapes, params = built("code")
    assert shapes == [*reversed(PUBLISHED)]
    assert of(params, "lateral") == 1_378_048
    assert of(params, "top_down") == 2_754_304
    assert of(params, "output") == 12_388_096
    assert count(params) == 16_524_292 - 3_844  # the specification counts the responses too


def test_equation_3_as_printed():
    shapes, params = built("literal")
    assert [shape[-1] for shape in shapes] == [2048, 2048, 1024, 512]
    assert [shape[1:3] for shape in shapes] == [(24, 8), (24, 8), (48, 16), (96, 32)]
    assert {name: count(conv) for name, conv in params.items()} == {
        "output1": 1_180_160,
        "output2": 4_719_616,
        "output3": 18_876_416,
    }


def test_the_feature_pyramid_network():
    shapes, params = built("fpn256")
    assert [shape[-1] for shape in shapes] == [256] * 4
    assert count(params) == 3_344_384


@pytest.mark.parametrize("kind", ["code", "literal", "fpn256"])
def test_lower_levels_cost_nothing_where_they_are_not_wanted(kind):
    below, sizes = built(kind, 1)
    for lowest in (2, 3, 4):
        shapes, params = built(kind, lowest)
        assert shapes == below[: 5 - lowest]
        assert params == {name: sizes[name] for name in sizes if int(name[-1]) >= lowest}


@pytest.mark.parametrize(
    "strides", [((8, 4), (4, 2), (2, 1), (1, 1)), ((25, 13), (13, 7)) + ((7, 4),) * 2]
)
def test_any_backbone(strides):
    """last_stride=2, narrow networks, and heights and widths that do not halve."""
    shapes = tuple((2, *hw, c) for hw, c in zip(strides, (8, 16, 32, 64), strict=True))
    assert built("code", shapes=shapes)[0] == [*reversed(shapes)]


def run(kind, maps):
    """The levels and the parameters they come from, all numpy arrays."""
    rng = np.random.default_rng(1)
    _, shapes = built(kind, shapes=[x.shape for x in maps])
    params = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes)
    apply = jax.jit(Pyramid(kind).apply)
    return jax.device_get(apply({"params": params}, maps)), params


def numpy_conv(params, x):
    """A padded convolution by shifted matrix products."""
    kernel = params["kernel"]
    size = kernel.shape[0]
    pad = size // 2
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    h, w = x.shape[1:3]
    shifted = (
        padded[:, i : i + h, j : j + w] @ kernel[i, j] for i in range(size) for j in range(size)
    )
    return sum(shifted) + params["bias"]


def doubled(x):
    """Bilinear enlargement by two: three quarters of the nearest, one of the next."""
    for axis in (1, 2):
        edge = [(0, 0)] * 4
        edge[axis] = (1, 1)
        padded = np.moveaxis(np.pad(x, edge, mode="edge"), axis, 0)
        before = 0.75 * padded[1:-1] + 0.25 * padded[:-2]
        after = 0.75 * padded[1:-1] + 0.25 * padded[2:]
        x = np.moveaxis(np.stack([before, after], 1).reshape(-1, *before.shape[1:]), 0, axis)
    return x


def close(got, want):
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-3)


def test_the_released_pyramid_step_by_step():
    maps = maps_of()
    c1, c2, c3, c4 = map(np.asarray, maps)
    (p4, p3, p2, p1), params = run("code", maps)

    def conv(name, x):
        return numpy_conv(params[name], x)

    np.testing.assert_array_equal(p4, c4)
    t3 = conv("top_down3", c4) + conv("lateral3", c3)
    t2 = conv("top_down2", doubled(t3)) + conv("lateral2", c2)  # enlarged first, as released
    t1 = conv("top_down1", doubled(t2)) + conv("lateral1", c1)
    for name, got, t in (("output3", p3, t3), ("output2", p2, t2), ("output1", p1, t1)):
        close(got, conv(name, t))


def test_the_others_step_by_step():
    maps = maps_of()
    c1, c2, c3, c4 = map(np.asarray, maps)
    (p4, p3, p2, p1), params = run("literal", maps)
    np.testing.assert_array_equal(p4, c4)
    close(p3, c4 + numpy_conv(params["output3"], c3))
    close(p2, doubled(c3) + numpy_conv(params["output2"], c2))
    close(p1, doubled(c2) + numpy_conv(params["output1"], c1))
    (p4, p3, p2, _), params = run("fpn256", maps)
    t4 = numpy_conv(params["lateral4"], c4)
    t3 = t4 + numpy_conv(params["lateral3"], c3)
    t2 = doubled(t3) + numpy_conv(params["lateral2"], c2)
    for name, got, t in (("output4", p4, t4), ("output3", p3, t3), ("output2", p2, t2)):
        close(got, numpy_conv(params[name], t))


def test_bilinear_equals_pytorch():
    torch = pytest.importorskip("torch", reason="parity with PyTorch: torch is not installed")
    x = maps_of(((2, 3, 5, 4),))[0]
    nchw = torch.from_numpy(np.asarray(x).transpose(0, 3, 1, 2).copy())
    want = torch.nn.functional.interpolate(nchw, scale_factor=2, mode="bilinear")
    got = resize(x, (6, 10))
    np.testing.assert_allclose(got, want.numpy().transpose(0, 2, 3, 1), rtol=1e-5, atol=1e-6)


def test_what_does_not_exist_is_refused():
    for kind, lowest in (("fpn", 1), ("code", 0), ("code", 5)):
        with pytest.raises(ValueError, match="no pyramid"):
            Pyramid(kind, lowest).init(jax.random.key(0), maps_of())
