import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.variables import count

from jreid.errors import InputError
from jreid.nn import RegionResponse

SIZES = ((2, 1, 6), (2, 1, 5), (4, 2, 4), (8, 4, 3))  # height, width, channels from level 4 down


def levels_of(sizes=SIZES):
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.normal(size=(2, *size)).astype(np.float32)) for size in sizes]


def respond(levels, **options):
    """The responses and the parameters they come from, all numpy arrays."""
    module = RegionResponse(**options)
    run = jax.jit(lambda x: module.init_with_output(jax.random.key(0), x))
    responses, variables = jax.device_get(run(levels))
    return responses, variables["params"]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("attention", ["conv1x1", "cbam7"])
@pytest.mark.parametrize("share", ["per_level", "top_upsampled", "joint"])
def test_one_map_a_level_in_0_to_1(attention, share):
    levels = levels_of()
    responses, _ = respond(levels, attention=attention, share=share)
    assert [m.shape for m in responses] == [(*level.shape[:3], 1) for level in levels]
    for m in responses:
        assert ((m > 0) & (m < 1)).all()
        assert np.ptp(m) > 0


def test_each_level_has_its_own_by_default():
    levels = levels_of()
    responses, params = respond(levels)
    assert sorted(params, reverse=True) == ["level4", "level3", "level2", "level1"]
    for m, p, number in zip(responses, levels, "4321", strict=True):
        conv = params[f"level{number}"]
        np.testing.assert_allclose(
            m, sigmoid(np.asarray(p) @ conv["kernel"][0, 0] + conv["bias"]), rtol=1e-5
        )


def test_parameters_of_the_released_network_count_3844():
    levels = [jax.ShapeDtypeStruct((1, 2, 2, c), jnp.float32) for c in (2048, 1024, 512, 256)]
    shapes = jax.eval_shape(lambda *x: RegionResponse().init(jax.random.key(0), x), *levels)
    assert count(shapes) == 3_844


def test_the_top_response_on_all_levels():
    levels = levels_of()
    (top, *rest), params = respond(levels, share="top_upsampled")
    conv = params["shared"]
    expected = sigmoid(np.asarray(levels[0]) @ conv["kernel"][0, 0] + conv["bias"])
    np.testing.assert_allclose(top, expected, rtol=1e-5)
    for m in rest:
        repeat = m.shape[1] // 2
        np.testing.assert_array_equal(m, top.repeat(repeat, 1).repeat(repeat, 2))


def test_the_joint_response_sees_all_levels_averaged():
    levels = levels_of()
    (top, *rest), params = respond(levels, share="joint")
    windows = [np.asarray(x).reshape(2, 2, x.shape[1] // 2, -1, x.shape[-1]) for x in levels]
    joint = np.concatenate([x.mean((2, 3)) for x in windows], axis=-1)[:, :, None]
    conv = params["shared"]
    assert conv["kernel"].shape == (1, 1, 18, 1)
    np.testing.assert_allclose(top, sigmoid(joint @ conv["kernel"][0, 0] + conv["bias"]), rtol=1e-5)
    np.testing.assert_array_equal(rest[-1][:, 0:4, 0:4], np.broadcast_to(top[:, :1], (2, 4, 4, 1)))


def test_cbam_looks_at_mean_and_maximum_around():
    level = levels_of(((9, 8, 5),))
    (response,), params = respond(level, attention="cbam7")
    (conv,) = params.values()
    assert conv["kernel"].shape == (7, 7, 2, 1)
    channels = np.stack([np.mean(level[0], -1), np.max(level[0], -1)], axis=-1)
    window = channels[:, 1:8, 0:7]  # around row 4, column 3
    logit = (window * conv["kernel"][..., 0]).sum((1, 2, 3)) + conv["bias"]
    np.testing.assert_allclose(response[:, 4, 3, 0], sigmoid(logit), rtol=1e-4)


def test_unequal_windows_are_refused():
    with pytest.raises(InputError, match=r"cannot average a map of 5x3 to 2x1.*multiples of 32"):
        respond(levels_of(((2, 1, 4), (5, 3, 4))), share="joint")


def test_what_does_not_exist_is_refused():
    for options in ({"attention": "cbam"}, {"share": "all"}):
        with pytest.raises(ValueError, match="no region response"):
            respond(levels_of(), **options)
