"""IDKL: its parts and counts, its presets and options, what it learns, and its pictures."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.batches import random_batch
from helpers.idkl import CONFIG, VARIANTS, config_of
from helpers.paths import ROOT
from helpers.variables import count, filled, flat, shapes
from jax.sharding import AxisType

from jreid.config import flat as fields_of
from jreid.config import load as load_config
from jreid.distributed.mesh import replicated, split
from jreid.errors import InputError
from jreid.methods import load
from jreid.methods.idkl.network import Network
from jreid.methods.idkl.objectives import weights_of_batch
from jreid.nn.colors import to_unit


@functools.cache
def start(variant, *flags) -> Any:
    """Random variables of the tiny network, filled without compiling its `init`."""
    return filled(shapes(load(config_of(variant, *flags))), seed=3, gain=2)


@functools.cache
def gradient(variant) -> Any:
    """The compiled `(params, state, batch, rng, progress)` to loss, metrics, state, gradients.

    The paper's reversal rises, to what the preset has all the time.
    """
    config = config_of(variant, "idkl.reversal.schedule=rising")
    function = jax.value_and_grad(load(config).players[0].loss, has_aux=True)
    return jax.jit(function)


@functools.cache
def loss_of(variant, key=1, progress=1.0) -> Any:
    """`(loss, (metrics, model state)), gradients` from the start, at this share of the epochs."""
    variables, epochs = start(variant), config_of(variant).epochs
    state = {"batch_stats": variables["batch_stats"]}
    rest = (random_batch(8), jax.random.key(key), jnp.float32(progress * epochs))
    return gradient(variant)(variables["params"], state, *rest)


@functools.cache
def forward(variant) -> Any:
    apply: Any = Network(config_of(variant)).apply
    run = jax.jit(lambda v, x: apply(v, {"visible": x}, train=False))
    return run(start(variant), random_batch(8)["visible"])


TRUNK, DEEP = 9_536 + 215_808 + 1_219_584, 7_098_368 + 14_964_736
HEAD = {width: width * 100 + 100 + 200 + 10_100 + 200 + 202 for width in (512, 1024, 2048)}
MASKS, NECK, CLASSIFIER = 2 * 2 * 2048 * 128, 2048, 395 * 2048


@pytest.mark.parametrize(
    ("variant", "flags", "expected"),
    [
        # Necks of f_sh, f~_sp, f_sp and f^d+; D at layer3, 4, C at layer2, 3, 4.
        (
            "paper",
            (),
            MASKS + 4 * NECK + 2 * CLASSIFIER + 2 * (HEAD[1024] + HEAD[2048]) + HEAD[512],
        ),
        # An affine instance norm, two necks, and a classifier for L_e alone.
        ("code", (), MASKS + 2 * 2048 + 2 * NECK + 3 * CLASSIFIER + 2 * HEAD[2048]),
        # A quarter of table 4: the base loss alone.
        (
            "code",
            ("idkl.purifier.masks=none", "idkl.confuser_at=()"),
            2 * NECK + 2 * CLASSIFIER + HEAD[2048],
        ),
    ],
)
def test_parameters_at_the_published_size(variant, flags, expected):
    params = shapes(load(config_of(variant, *flags, data="sysu_mm01")))["params"]
    assert count(params["backbone"]) == TRUNK + 2 * DEEP
    assert count(params) - count(params["backbone"]) == expected


def test_presets_are_fields_and_fields_go_over_presets():
    paper, code = (config_of(variant, data="sysu_mm01") for variant in VARIANTS)
    assert load_config(f"{CONFIG}:sysu_mm01").to_dict() == paper.to_dict()
    assert flat(paper.idkl.to_dict()).keys() == flat(code.idkl.to_dict()).keys()
    assert (paper.idkl.confuser, code.idkl.confuser) == ("grl", "scrambled")
    assert paper.idkl.divergence.to_dict() == {"symmetric": False, "reduce": "mean"}
    assert (paper.image.size, code.image.size) == ((384, 128), (384, 144))
    assert (paper.optimizer.learning_rate, code.optimizer.learning_rate) == (3e-5, 3.5e-4)
    assert (paper.optimizer.milestones, code.optimizer.milestones) == ((60, 100), (55, 95))
    mixed = config_of("code", "idkl.confuser=grl", data="sysu_mm01").idkl
    assert mixed.confuser == "grl"
    mixed.confuser = "scrambled"
    assert mixed.to_dict() == code.idkl.to_dict()


def test_the_page_names_every_field_in_which_the_variants_differ():
    page = (ROOT / "docs/methods/idkl.md").read_text()
    paper, code = (
        fields_of(load_config(f"{CONFIG}:sysu_mm01,variant={variant}").idkl.to_dict())
        for variant in VARIANTS
    )
    differing = {f"idkl.{name}" for name in paper if paper[name] != code[name]}
    assert {"idkl.tgsa.diagonal", "idkl.purifier.epsilon"} <= differing
    assert not {name for name in differing if f"`{name}`" not in page}


def test_the_released_code_has_other_weights_on_regdb_and_another_protocol_on_llcm():
    paper, code = (config_of(variant, data="regdb,trial=3") for variant in VARIANTS)
    assert paper.data.split_number == code.data.split_number == 3
    code = config_of("code", "idkl.follow_batch=True", data="regdb,trial=3")
    rows = 2 * code.batch.identities * code.batch.images
    assert rows == 60
    weights = [weights_of_batch(c.idkl, rows)[0] for c in (paper, code)]
    assert [[w[name] for name in ("tgsa", "csa", "mdr_tgsa")] for w in weights] == [
        [0.6, 0.8, 1.0], [0.0, 0.3, 0.0]
    ]  # fmt: skip
    assert (paper.batch.identities, code.batch.identities) == (12, 6)
    assert code.image.size == (256, 128)
    llcm = [config_of(variant, data="llcm").protocols[0] for variant in VARIANTS]
    assert [text.partition(":")[0] for text in llcm] == ["llcm", "llcm_all"]
    for data in ("folder", "synthetic", "synthetic_regdb", "synthetic_llcm", "tiny_llcm"):
        for variant in VARIANTS:
            load(config_of(variant, data=data))


def test_the_codes_weights_follow_its_batch():
    options = config_of("code", "idkl.follow_batch=True", data="sysu_mm01").idkl
    assert load_config(f"{CONFIG}:sysu_mm01,variant=code").idkl.follow_batch
    assert weights_of_batch(options, 120) == (options.weights.to_dict(), "mixed")
    weights, between_modalities = weights_of_batch(options, 64)
    assert {name for name in weights if weights[name] != options.weights[name]} == {
        "tgsa", "mdr_tgsa", "csa"
    }  # fmt: skip
    assert (weights["tgsa"], weights["mdr_tgsa"], weights["csa"]) == (0.1, 0.1, 0.3)
    assert between_modalities == "none"
    assert weights_of_batch(config_of("paper").idkl, 64) == (options.weights.to_dict(), "full")


def test_a_weight_that_the_batch_would_replace_is_refused():
    for name, given, used in (("tgsa", 0.4, 0.1), ("mdr_tgsa", 0.5, 0.1), ("csa", 0.1, 0.3)):
        flag = f"idkl.weights.{name}={given}"
        with pytest.raises(InputError, match=rf"{flag} would not .* has {used}; .*follow_batch="):
            load(config_of("code", "idkl.follow_batch=True", flag, data="synthetic"))
        load(config_of("code", flag, data="synthetic"))
        load(config_of("code", "idkl.follow_batch=True", flag, data="sysu_mm01"))
    flag = "idkl.tgsa.between_modalities=full"
    with pytest.raises(InputError, match=rf"{flag} would not .* has none; .*follow_batch=False"):
        load(config_of("code", "idkl.follow_batch=True", flag, data="synthetic"))
    for flag in ("idkl.weights.tgsa=0.0", "idkl.weights.csa=0.3", "idkl.weights.mdr_csa=0.2"):
        load(config_of("code", "idkl.follow_batch=True", flag, data="synthetic"))


@pytest.mark.parametrize("option", ["variant=codes", "variant=paper,variant=code", "varaint=code"])
def test_options_that_do_not_exist_are_named(option):
    with pytest.raises(InputError) as caught:
        load_config(f"{CONFIG}:sysu_mm01,{option}")
    assert option in str(caught.value)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("idkl.discriminator_at=('layer2',)", "layer2"),
        ("idkl.tgsa.temperature=0.0", "idkl.tgsa.temperature=0.0"),
        ("idkl.weights.csa=-1.0", "config.idkl.weights.csa=-1.0 trains against this loss"),
    ],
)
def test_values_that_do_not_fit_are_named(flag, message):
    with pytest.raises(InputError) as caught:
        load(config_of("paper", flag))
    assert message in str(caught.value)


def test_a_mixed_affinity_needs_an_even_number_of_pairs():
    with pytest.raises(InputError, match="halves the 15 images of a modality"):
        load(config_of("code", "batch.identities=5", "batch.images=3"))
    load(config_of("paper", "batch.identities=5", "batch.images=3"))
    # A batch of other than 120 rows has no mixed affinity.
    load(config_of("code", "batch.identities=5", "batch.images=3", "idkl.follow_batch=True"))


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["paper", "code"])
def test_losses_and_gradients_are_finite(variant):
    (loss, (aux, changed)), gradients = loss_of(variant)
    weights = {"shared_reid": 1, "specific_reid": 1, "purified_reid": 0.1, "enhancement": 0.1}
    weights |= {"reduction": 0.1, **config_of(variant).idkl.weights}
    total = sum(weights[name] * aux[name] for name in weights if name in aux)
    np.testing.assert_allclose(loss, total, rtol=1e-5)
    assert 0 < aux["distillation_share"] < 1
    for head in ("shared", "specific"):
        parts = aux[f"{head}_identity"] + aux[f"{head}_triplet"]
        np.testing.assert_allclose(aux[f"{head}_reid"], parts, rtol=1e-5)
    assert jnp.isfinite(loss)
    assert jax.tree.structure(changed["batch_stats"]) == jax.tree.structure(
        start(variant)["batch_stats"]
    )
    for path, leaf in flat(gradients).items():
        assert leaf.dtype == jnp.float32
        assert jnp.isfinite(leaf).all(), path
        assert jnp.abs(leaf).max() > 0, path


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["paper", "code"])
def test_four_devices_give_what_one_gives(variant):
    (loss, (aux, state)), gradients = loss_of(variant)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    variables = jax.device_put(start(variant), replicated(mesh))
    rest = (jax.device_put(random_batch(8), split(mesh)), jax.random.key(1), jnp.float32(2))
    stats = {"batch_stats": variables["batch_stats"]}
    (loss_4, (aux_4, state_4)), gradients_4 = gradient(variant)(variables["params"], stats, *rest)
    np.testing.assert_allclose(loss_4, loss, rtol=1e-4)
    assert {k: float(v) for k, v in aux_4.items()} == pytest.approx(
        {k: float(v) for k, v in aux.items()}, rel=1e-3, abs=1e-5
    )
    for one, four in ((state, state_4), (gradients, gradients_4)):
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(four), strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-2, atol=3e-3 * float(jnp.abs(a).max()) + 1e-6)


def test_dropout_is_the_keys():
    first, again, other = (loss_of("paper", key=key)[0][1][0] for key in (1, 1, 2))
    assert {k: float(v) for k, v in first.items()} == {k: float(v) for k, v in again.items()}
    changed = {name for name in first if float(first[name]) != float(other[name])}
    assert changed == {"confuser", "discriminator"}


def test_the_reversal_rises_over_the_run():
    def of(progress):
        gradients = loss_of("paper", progress=progress)[1]
        trunk = gradients["backbone"]["shared"]["layer2_0"]["conv2"]["kernel"]
        return np.asarray(trunk), np.asarray(gradients["confusers_layer2"]["fc1"]["kernel"])

    (none, own), (some, same), (most, _) = (of(progress) for progress in (0.0, 0.1, 1.0))
    np.testing.assert_allclose(own, same, rtol=1e-4, atol=1e-6)  # the confuser itself minds not
    rising = [2 / (1 + np.exp(-10 * p)) - 1 for p in (0.1, 1)]
    ratio = np.linalg.norm(some - none) / np.linalg.norm(most - none)
    np.testing.assert_allclose(ratio, rising[0] / rising[1], rtol=1e-2)


def test_the_test_feature_is_the_shared_neck_of_either_modality():
    method, variables = load(config_of("code")), start("code")
    images = random_batch(8)["visible"]
    embed = jax.jit(method.embed, static_argnums=2)
    got = embed(variables, images, "visible")
    np.testing.assert_allclose(got, forward("code").shared.embedding, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(got, embed(variables, images, "infrared"))
    params = dict(variables["params"])
    params["backbone"] = {
        **params["backbone"],
        "specific_branch": jax.tree.map(
            lambda x: x * np.nan, params["backbone"]["specific_branch"]
        ),
    }
    np.testing.assert_array_equal(got, embed({**variables, "params": params}, images, "visible"))


@pytest.mark.parametrize("variant", [pytest.param("paper", marks=pytest.mark.slow), "code"])
def test_pictures_show_heat_and_masks(variant):
    images = jnp.asarray(random_batch(8)["visible"])
    pixels = np.clip(to_unit(images), 0, 1)
    pictures = load(config_of(variant)).pictures
    purified = forward(variant).purified

    @jax.jit
    def draw(variables):
        return {name: picture(variables, images, "visible") for name, picture in pictures.items()}

    for name, shown in jax.device_get(draw(start(variant))).items():
        assert shown.shape == (8, 32, 3 * 16, 3)
        assert (shown >= 0).all()
        assert (shown <= 1).all()
        left, middle, right = np.split(shown, 3, axis=2)
        np.testing.assert_allclose(left, pixels, rtol=1e-6)
        assert np.abs(middle - right).max() > 1e-3
        if name == "grad_cam":  # half of each is the image
            for heat in (2 * middle - pixels, 2 * right - pixels):
                assert heat.max() == pytest.approx(1, abs=1e-3)
                assert np.std(heat, axis=(1, 2)).max() > 0.01
        else:
            masks = (purified.enhancement_mask, purified.reduction_mask)
            for half, mask in zip((middle, right), masks, strict=True):
                expected = mask.mean(-1) if variant == "code" else mask
                np.testing.assert_allclose(
                    half.mean((1, 2, 3)), expected.mean(tuple(range(1, expected.ndim))), rtol=1e-4
                )
    without = load(config_of(variant, "idkl.purifier.masks=none"))
    with pytest.raises(InputError, match="has no masks to show"):
        flags = ("idkl.purifier.masks=none",)
        without.pictures["masks"](start(variant, *flags), images[:1], "visible")
