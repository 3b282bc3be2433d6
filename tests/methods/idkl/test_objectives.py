"""IDKL's losses as the paper's equations and the released code have them, and its switches."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.idkl import VARIANTS, config_of

from jreid.losses import (
    cross_entropy,
    discrepancy_margin,
    entropy_margin,
    graph_alignment,
    semantic_alignment,
)
from jreid.methods.idkl.network import Head, Output, gem
from jreid.methods.idkl.objectives import (
    DISTILLATION,
    base_terms,
    distillation_terms,
    purifier_terms,
)
from jreid.methods.idkl.purifier import Purified

IDENTITY = np.repeat(np.arange(4), 2).astype(np.int32)  # of a modality's 8 images


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


def test_the_distillation_whose_share_is_measured_is_all_of_it():
    assert {*DISTILLATION} == {*distillation_terms(output(), config_of("paper"))}


def test_distillation_is_as_equations_17_19_and_20_have_it():
    out, found = output(), terms("paper", "idkl.divergence.reduce=sum")
    (v, i), (v_sp, i_sp) = halves(out.shared.feature), halves(out.specific.feature)
    expected = graph_alignment(v_sp, v) + graph_alignment(i_sp, i)
    np.testing.assert_allclose(found["tgsa"], (0.6, expected), rtol=1e-5)
    np.testing.assert_allclose(found["mdr_tgsa"], (1, graph_alignment(v, i)), rtol=1e-5)
    (v, i), (v_sp, i_sp) = halves(out.shared.logits), halves(out.specific.logits)
    expected = semantic_alignment(v, v_sp) + semantic_alignment(i, i_sp)
    np.testing.assert_allclose(found["csa"], (0.8, expected), rtol=1e-5)
    np.testing.assert_allclose(found["mdr_csa"], (1, semantic_alignment(v, i)), rtol=1e-5)
    by_default = terms("paper")
    for name in TGSA | CSA:  # 8 rows of each modality
        assert by_default[name] == pytest.approx((found[name][0], found[name][1] / 8))


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


def test_the_released_codes_other_batches_have_other_weights_and_no_mixed_matrix():
    (v, i), found = halves(output().shared.feature), terms("code", "idkl.follow_batch=True")
    intra = graph_alignment(v, i, "none", diagonal=False, symmetric=True, reduce="mean")
    np.testing.assert_allclose(found["mdr_tgsa"], (0.1, intra), rtol=1e-5)
    as_released = terms("code")
    for name, weight in (("tgsa", 0.1), ("csa", 0.3), ("mdr_csa", 1.0)):
        assert found[name] == pytest.approx((weight, as_released[name][1]))


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
        ("idkl.purifier.epsilon=0.5", {"reduction"}),
        ("idkl.follow_batch=True", {"tgsa", "csa", "mdr_tgsa"}),
        ("idkl.tgsa.between_branches=none", {"tgsa"}),
        ("idkl.tgsa.between_modalities=mixed", {"mdr_tgsa"}),
        ("idkl.tgsa.diagonal=False", TGSA),
        ("idkl.tgsa.temperature=2.0", TGSA),
        ("idkl.csa.forms=('sample','stacked')", CSA),
        ("idkl.csa.temperature=2.0", CSA),
        ("idkl.divergence.symmetric=True", TGSA | CSA),
        ("idkl.divergence.reduce=sum", TGSA | CSA),
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
