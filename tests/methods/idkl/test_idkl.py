"""IDKL: its parts and counts, its terms and switches, both variants, the published checkpoint."""

import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.batches import random_batch
from helpers.entries import listed
from helpers.paths import ROOT
from helpers.variables import count, filled, flat, shapes
from jax.sharding import AxisType

from jreid.config import load as load_config
from jreid.distributed.mesh import replicated, split
from jreid.errors import InputError
from jreid.losses import (
    cross_entropy,
    discrepancy_margin,
    entropy_margin,
    graph_alignment,
    semantic_alignment,
)
from jreid.methods import load
from jreid.methods.idkl.network import Head, Network, Output, gem
from jreid.methods.idkl.objectives import (
    base_terms,
    distillation_terms,
    purifier_terms,
    weights_of_batch,
)
from jreid.methods.idkl.purifier import Purified
from jreid.nn.colors import to_unit
from jreid.weights.torch import convert

CONFIG = f"{ROOT}/configs/idkl.py"
VARIANTS = ("paper", "code")
IDENTITY = np.repeat(np.arange(4), 2).astype(np.int32)  # of the tiny batch: 4 identities of 2


def config_of(variant, *flags, data="tiny"):
    """By default with the weights of the code's own batch, which has more rows than these."""
    flags = ("idkl.follow_batch=False", *flags)
    return load_config(f"{CONFIG}:{data},variant={variant}", [f"--config.{f}" for f in flags])


def batch_of(size=(32, 16), rows=8) -> Any:
    return random_batch(rows, size) | {"identity": IDENTITY[:rows]}


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
    rest = (batch_of(), jax.random.key(key), jnp.float32(progress * epochs))
    return gradient(variant)(variables["params"], state, *rest)


@functools.cache
def forward(variant) -> Any:
    apply: Any = Network(config_of(variant)).apply
    run = jax.jit(lambda v, x: apply(v, {"visible": x}, train=False))
    return run(start(variant), batch_of()["visible"])


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
    assert (paper.idkl.divergence.reduce, code.idkl.divergence.reduce) == ("sum", "mean")
    assert (paper.image.size, code.image.size) == ((384, 128), (384, 144))
    assert (paper.optimizer.learning_rate, code.optimizer.learning_rate) == (3e-5, 3.5e-4)
    assert (paper.optimizer.milestones, code.optimizer.milestones) == ((60, 100), (55, 95))
    mixed = config_of("code", "idkl.confuser=grl", data="sysu_mm01").idkl
    assert mixed.confuser == "grl"
    mixed.confuser = "scrambled"
    assert mixed.to_dict() == code.idkl.to_dict()


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


@functools.cache
def output() -> Output:
    """An output of random numbers, of 8 pairs of images."""
    rng = np.random.default_rng(0)

    def normal(*shape):
        return jnp.asarray(rng.normal(size=shape).astype(np.float32))

    def reading():
        return Head(normal(16, 6), normal(16, 6), normal(16, 8))

    purified = Purified(*(normal(16, 2, 2, 6) for _ in range(6)))
    entropy_logits = normal(16, 8), normal(16, 8)
    discriminators = {"layer3": normal(16, 2), "layer4": normal(16, 2)}
    confusers = {"layer2": normal(16, 2), "neck": normal(16, 2)}
    readings = (reading(), reading(), reading())
    return Output({}, *readings, purified, entropy_logits, discriminators, confusers)


def terms(variant, *flags, out=None):
    """Every term's weight and value, as a float."""
    config, out = config_of(variant, *flags), out or output()
    identity = jnp.repeat(jnp.asarray(IDENTITY), 2)
    found = base_terms(out, identity, config) | distillation_terms(out, config)
    found |= purifier_terms(out, identity, config)
    return {name: (weight, float(value)) for name, (weight, value) in found.items()}


def halves(x):
    return x[0::2], x[1::2]


def test_distillation_is_as_equations_17_19_and_20_have_it():
    out, found = output(), terms("paper")
    (v, i), (v_sp, i_sp) = halves(out.shared.feature), halves(out.specific.feature)
    expected = graph_alignment(v_sp, v) + graph_alignment(i_sp, i)
    np.testing.assert_allclose(found["tgsa"], (0.6, expected), rtol=1e-5)
    np.testing.assert_allclose(found["mdr_tgsa"], (1, graph_alignment(v, i)), rtol=1e-5)
    (v, i), (v_sp, i_sp) = halves(out.shared.logits), halves(out.specific.logits)
    expected = semantic_alignment(v, v_sp) + semantic_alignment(i, i_sp)
    np.testing.assert_allclose(found["csa"], (0.8, expected), rtol=1e-5)
    np.testing.assert_allclose(found["mdr_csa"], (1, semantic_alignment(v, i)), rtol=1e-5)


def test_distillation_is_as_the_released_code_has_it():
    out, found = output(), terms("code")
    rule: dict = {"symmetric": True, "reduce": "mean"}
    (v, i), (v_sp, i_sp) = halves(out.shared.feature), halves(out.specific.feature)
    inter = functools.partial(graph_alignment, cross="none", diagonal=False, **rule)
    np.testing.assert_allclose(found["tgsa"], (0.6, inter(v_sp, v) + inter(i_sp, i)), rtol=1e-5)
    intra = graph_alignment(v, i, "mixed", diagonal=False, **rule)
    np.testing.assert_allclose(found["mdr_tgsa"], (1, intra), rtol=1e-5)
    (v, i), (v_sp, i_sp) = halves(out.shared.logits), halves(out.specific.logits)

    def both(a, b):
        stacked = semantic_alignment(a, b, "stacked", 2, **rule)
        return semantic_alignment(a, b, **rule) + stacked

    np.testing.assert_allclose(found["csa"], (0.8, both(v, v_sp) + both(i, i_sp)), rtol=1e-5)
    np.testing.assert_allclose(found["mdr_csa"], (1, both(v, i)), rtol=1e-5)


def test_the_purifier_compares_what_it_made_with_what_it_had():
    out = output()
    for variant, hinge in (("paper", "softplus"), ("code", "relu")):
        found = terms(variant)
        expected = entropy_margin(*out.entropy_logits, hinge)
        np.testing.assert_allclose(found["enhancement"], (0.1, expected), rtol=1e-5)
        reduced, normalized = (
            halves(gem(x)) for x in (out.purified.reduced, out.purified.normalized)
        )
        expected = discrepancy_margin(reduced, normalized, 2, hinge)
        np.testing.assert_allclose(found["reduction"], (0.1, expected), rtol=1e-5)


def test_modality_labels_true_and_scrambled():
    out = output()
    modality = jnp.array([0, 1] * 8)
    # Of the released code, whose rows are infrared, visible, ...: 1 0 0 1 1 0 0 1, by pairs.
    scrambled = jnp.array([0, 1, 1, 0] * 4)
    for variant, target in (("paper", modality), ("code", scrambled)):
        found = terms(variant)
        expected = sum(cross_entropy(x, target) for x in out.confusers.values())
        np.testing.assert_allclose(found["confuser"], (1, expected), rtol=1e-5)
        expected = sum(cross_entropy(x, modality) for x in out.discriminators.values())
        np.testing.assert_allclose(found["discriminator"], (1, expected), rtol=1e-5)


def test_raw_specific_features_are_trained_on_in_the_paper_alone():
    out = output()
    paper, code = (terms(variant) for variant in VARIANTS)
    assert paper["purified_reid"] == (pytest.approx(0.1), pytest.approx(code["specific_reid"][1]))
    assert "purified_reid" not in code
    swapped = terms("code", out=out._replace(specific=out.raw))
    assert paper["specific_reid"] == pytest.approx(swapped["specific_reid"])
    assert paper["shared_reid"] == pytest.approx(code["shared_reid"])


TGSA, CSA = {"tgsa", "mdr_tgsa"}, {"csa", "mdr_csa"}


@pytest.mark.parametrize(
    ("flag", "changed"),
    [
        ("idkl.confuser=scrambled", {"confuser"}),
        ("idkl.specific_reid=purified", {"specific_reid", "purified_reid"}),
        ("idkl.purifier.hinge=relu", {"enhancement", "reduction"}),
        ("idkl.tgsa.between_branches=none", {"tgsa"}),
        ("idkl.tgsa.between_modalities=mixed", {"mdr_tgsa"}),
        ("idkl.tgsa.diagonal=False", TGSA),
        ("idkl.tgsa.temperature=2.0", TGSA),
        ("idkl.csa.forms=('sample','stacked')", CSA),
        ("idkl.csa.temperature=2.0", CSA),
        ("idkl.divergence.symmetric=True", TGSA | CSA),
        ("idkl.divergence.reduce=mean", TGSA | CSA),
        ("idkl.weights.purifier=0.3", {"enhancement", "reduction", "purified_reid"}),
        ("idkl.weights.tgsa=0.0", {"tgsa"}),
        ("idkl.weights.mdr_csa=0.0", {"mdr_csa"}),
        ("triplet.margin=0.3", {"shared_reid", "specific_reid", "purified_reid"}),
        ("idkl.stop_gradient=False", set()),
    ],
)
def test_a_switch_alone_changes_what_it_should(flag, changed):
    before, after = terms("paper"), terms("paper", flag)
    same = {
        name for name in {*before} & {*after} if before[name] == pytest.approx(after[name], 1e-6)
    }
    different = {*before, *after} - same
    assert different == changed


def test_stopped_gradients_leave_the_specific_branch_to_its_own_losses():
    def distilled(specific, config):
        found = distillation_terms(output()._replace(specific=specific), config)
        return sum(weight * value for weight, value in found.values())

    for stop in (True, False):
        config = config_of("paper", f"idkl.stop_gradient={stop}")
        got = jax.grad(distilled)(output().specific, config)
        for array in (got.feature, got.logits):
            assert (float(jnp.abs(array).max()) == 0) is stop


@pytest.mark.parametrize("variant", ["paper", pytest.param("code", marks=pytest.mark.slow)])
def test_losses_and_gradients_are_finite(variant):
    (loss, (aux, changed)), gradients = loss_of(variant)
    weights = {"shared_reid": 1, "specific_reid": 1, "purified_reid": 0.1, "enhancement": 0.1}
    weights |= {"reduction": 0.1, **config_of(variant).idkl.weights}
    total = sum(weights[name] * aux[name] for name in weights if name in aux)
    np.testing.assert_allclose(loss, total, rtol=1e-5)
    distilled = sum(weights[name] * aux[name] for name in ("tgsa", "csa", "mdr_tgsa", "mdr_csa"))
    np.testing.assert_allclose(aux["distillation_share"], distilled / total, rtol=1e-5)
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
    rest = (jax.device_put(batch_of(), split(mesh)), jax.random.key(1), jnp.float32(2))
    stats = {"batch_stats": variables["batch_stats"]}
    (loss_4, (aux_4, state_4)), gradients_4 = gradient(variant)(variables["params"], stats, *rest)
    np.testing.assert_allclose(loss_4, loss, rtol=1e-4)
    assert {k: float(v) for k, v in aux_4.items()} == pytest.approx(
        {k: float(v) for k, v in aux.items()}, rel=1e-3, abs=1e-5
    )
    for one, four in ((state, state_4), (gradients, gradients_4)):
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(four), strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-2, atol=1e-3 * float(jnp.abs(a).max()) + 1e-6)


def test_dropout_is_the_keys():
    first, again, other = (loss_of("paper", key=key)[0][1][0] for key in (1, 1, 2))
    assert {k: float(v) for k, v in first.items()} == {k: float(v) for k, v in again.items()}
    changed = {name for name in first if float(first[name]) != float(other[name])}
    # The share is of the whole loss, which both are part of.
    assert changed == {"confuser", "discriminator", "distillation_share"}


def test_the_reversal_rises_over_the_run():
    def of(progress):
        gradients = loss_of("paper", progress=progress)[1]
        trunk = gradients["backbone"]["shared"]["layer2_1"]["conv2"]["kernel"]
        return np.asarray(trunk), np.asarray(gradients["confusers_layer2"]["fc1"]["kernel"])

    (none, own), (some, same), (most, _) = (of(progress) for progress in (0.0, 0.1, 1.0))
    np.testing.assert_allclose(own, same, rtol=1e-4, atol=1e-6)  # the confuser itself minds not
    rising = [2 / (1 + np.exp(-10 * p)) - 1 for p in (0.1, 1)]
    ratio = np.linalg.norm(some - none) / np.linalg.norm(most - none)
    np.testing.assert_allclose(ratio, rising[0] / rising[1], rtol=1e-2)


def test_the_test_feature_is_the_shared_neck_of_either_modality():
    method, variables = load(config_of("code")), start("code")
    images = batch_of()["visible"]
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


@pytest.mark.parametrize("variant", VARIANTS)
def test_pictures_show_heat_and_masks(variant):
    images = jnp.asarray(batch_of()["visible"])
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


def released_network(torch, width, identities=None):
    """The released network with its published names, and its two test embeddings."""
    from helpers import torch_reference
    from torch import nn

    channels = 32 * width

    def resnet():
        return torch_reference.ResNet((3, 4, 6, 3), torch_reference.BOTTLENECK, width)

    def mask():
        squeeze = nn.Conv2d(channels, channels // 16, 1, bias=False)
        excite = nn.Conv2d(channels // 16, channels, 1, bias=False)
        layers = nn.Sequential(squeeze, nn.ReLU(), excite, nn.Sigmoid())
        return nn.ModuleDict({"channel_attention": layers})

    def holder(name):
        return nn.ModuleDict({name: resnet()})

    backbone = nn.ModuleDict(
        {
            "shared_module_fr": holder("model_sh_fr"),
            "shared_module_bh": holder("model_sh_bh"),
            "special": holder("special_module"),
            "IN": nn.InstanceNorm2d(channels, affine=True, track_running_stats=True),
            "special_att": mask(),
            "mask1": mask(),
            "mask2": mask(),
        }
    )
    parts: dict[str, Any] = {"backbone": backbone}
    parts |= {name: nn.BatchNorm1d(channels) for name in ("bn_neck", "bn_neck_sp")}
    if identities:
        parts["classifier_sp"] = nn.Linear(channels, identities, bias=False)

    def pooled(x):
        return (x.clamp(min=1e-6) ** 3).mean((2, 3)) ** (1 / 3)

    def part(resnet, x, stages):
        for stage in stages:
            for block in resnet.get_submodule(f"layer{stage}"):
                x = block(x)
        return x

    def embed(x):
        trunk = backbone["shared_module_fr"]["model_sh_fr"]
        x = part(trunk, trunk.stem(x), (1, 2))
        shared = part(backbone["shared_module_bh"]["model_sh_bh"], x, (3, 4))
        special = part(backbone["special"]["special_module"], x, (3, 4))
        normalized = backbone["IN"](special)
        m_r = backbone["mask1"]["channel_attention"](normalized)
        m_e = backbone["mask2"]["channel_attention"](special)
        purified = m_r * (m_e * special) + m_e * (m_r * normalized)
        return parts["bn_neck"](pooled(shared)), parts["bn_neck_sp"](pooled(purified))

    return nn.ModuleDict(parts), embed


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="parity with PyTorch: torch is not installed")


def test_every_published_entry_has_its_place(torch):
    with torch.device("meta"):
        state = released_network(torch, 64)[0].state_dict()
    published = Path(__file__).with_name("published_entries.txt")
    assert listed(state) == published.read_text().splitlines()
    zeros = {name: np.broadcast_to(np.float32(0), tuple(v.shape)) for name, v in state.items()}
    config = config_of("code", data="sysu_mm01")
    method = load(config)
    got = convert(zeros, shapes(method), method.torch_layout)
    heads = {"shared_classifier", "specific_classifier", "entropy_classifier"}
    heads |= {"discriminators_neck", "confusers_neck"}
    for name, tree in got["params"].items():
        for leaf in jax.tree.leaves(tree):  # what the file lacks is still only a shape
            assert isinstance(leaf, jax.ShapeDtypeStruct) is (name in heads), name


def test_a_published_checkpoint_embeds_as_pytorch_does(torch):
    from helpers import torch_reference

    network, embed = released_network(torch, width=8, identities=10)
    torch_reference.randomize(network).eval()
    flags = ("weights=none", "backbone.width=8", "data.identities=10")
    config = config_of("code", *flags, data="sysu_mm01")
    method = load(config)
    entries = torch_reference.arrays(network)
    variables = convert(entries, shapes(method), method.torch_layout)
    classifier = variables["params"]["specific_classifier"]["kernel"]
    np.testing.assert_array_equal(classifier, entries["classifier_sp.weight"].T)
    present = jax.tree.map(
        lambda x: np.zeros(x.shape, x.dtype) if isinstance(x, jax.ShapeDtypeStruct) else x,
        variables,
    )
    images = batch_of((96, 48), rows=2)["visible"]
    with torch.no_grad():
        expected = [x.numpy() for x in embed(torch_reference.to_nchw(images))]
    apply: Any = Network(config).apply
    run = jax.jit(lambda v, x: apply(v, {"infrared": x}, train=False))
    out = run(present, images)
    for reading, theirs in zip((out.shared, out.specific), expected, strict=True):
        assert theirs.shape == (2, 256)
        assert 0.1 < np.abs(theirs).max() < 100
        np.testing.assert_allclose(reading.embedding, theirs, atol=1e-4)
