"""IDKL's losses: of the branches, of the purifier and of the distillation, and their sum."""

from collections.abc import Iterable, Mapping

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jreid.losses.alignment import graph_alignment, semantic_alignment
from jreid.losses.classification import cross_entropy
from jreid.losses.purification import discrepancy_margin, entropy_margin
from jreid.losses.triplet import triplet
from jreid.methods.idkl.network import Head, Output, gem
from jreid.methods.method import Batch, Config, Losses, Terms, by_modality

# The released code uses OTHER_WEIGHTS for batches that do not have RELEASED_ROWS rows, which are 12
# identities with 10 images each.
RELEASED_ROWS = 120
RELEASED_WEIGHTS = {"tgsa": 0.6, "mdr_tgsa": 1.0, "csa": 0.8}
OTHER_WEIGHTS = {"tgsa": 0.1, "mdr_tgsa": 0.1, "csa": 0.3}

DISTILLATION = ("tgsa", "csa", "mdr_tgsa", "mdr_csa")


def all_terms(config: Config, out: Output, batch: Batch) -> Terms:
    """All terms of equation 21."""
    identity = jnp.repeat(batch["identity"], 2)
    losses = base_terms(out, identity, config) | distillation_terms(out, config)
    if out.purified:
        losses |= purifier_terms(out, identity, config)
    metrics = {}
    for name, head in trained_heads(out, config).items():
        parts = _identity_and_triplet(head, identity, config)
        metrics[f"{name}_identity"], metrics[f"{name}_triplet"] = parts
    return Terms(losses, out.shared.logits, identity, metrics)


def trained_heads(out: Output, config: Config) -> dict[str, Head]:
    """The heads that L_reid trains: one for each branch, and one more for the purified map."""
    if out.purified and out.raw and config.idkl.specific_reid == "raw_and_purified":
        return {"shared": out.shared, "specific": out.raw, "purified": out.specific}
    return {"shared": out.shared, "specific": out.specific}


def base_terms(out: Output, identity: Array, config: Config) -> Losses:
    """L_b (equations 2 to 6): for each branch L_reid, and L_C or L_D.

    `scrambled` confusers reverse no gradient. As in the released code, the modality labels are
    exchanged in every second pair of images, so that half of the labels are wrong.
    """
    options = config.idkl
    pair, modality = jnp.divmod(jnp.arange(len(identity)), 2)
    confusing = modality if options.confuser == "grl" else (modality + pair) % 2
    discriminated = _sum(cross_entropy(logits, modality) for logits in out.discriminators.values())
    confused = _sum(cross_entropy(logits, confusing) for logits in out.confusers.values())
    heads = trained_heads(out, config)
    return {
        "shared_reid": (1.0, _reid(heads["shared"], identity, config)),
        "specific_reid": (1.0, _reid(heads["specific"], identity, config)),
        "confuser": (options.weights.confuser, confused),
        "discriminator": (options.weights.discriminator, discriminated),
    }


def _reid(head: Head, identity: Array, config: Config) -> Array:
    cross_entropies, triplets = _identity_and_triplet(head, identity, config)
    return cross_entropies + triplets


def _identity_and_triplet(head: Head, identity: Array, config: Config) -> tuple[Array, Array]:
    kind, margin = config.triplet.kind, config.triplet.margin
    triplets = triplet(kind, head.feature, identity, margin)
    return cross_entropy(head.logits, identity), triplets


def purifier_terms(out: Output, identity: Array, config: Config) -> Losses:
    """L_ip (equations 10, 11 and 13)."""
    assert out.purified and out.entropy_logits
    options, images = config.idkl, config.batch.images
    hinge, epsilon = options.purifier.hinge, options.purifier.epsilon
    weight = options.weights.purifier
    reduced, before = (by_modality(gem(x)) for x in (out.purified.reduced, out.purified.normalized))
    terms: Losses = {
        "enhancement": (weight, entropy_margin(*out.entropy_logits, hinge)),
        "reduction": (weight, discrepancy_margin(reduced, before, images, hinge, epsilon)),
    }
    heads = trained_heads(out, config)
    if "purified" in heads:
        terms["purified_reid"] = (weight, _reid(heads["purified"], identity, config))
    return terms


def distillation_terms(out: Output, config: Config) -> Losses:
    """L_tgsa and L_csa (equations 17 and 19) and, as two terms, L_mdr (equation 20)."""
    options = config.idkl
    weights, modalities = weights_of_batch(options, len(out.shared.feature))

    def tgsa(a: Array, b: Array, cross: str) -> Array:
        temperature, diagonal = options.tgsa.temperature, options.tgsa.diagonal
        return graph_alignment(a, b, cross, temperature, diagonal, **options.divergence)

    def csa(a: Array, b: Array) -> Array:
        rest = config.batch.images, options.csa.temperature
        forms = options.csa.forms
        return _sum(semantic_alignment(a, b, form, *rest, **options.divergence) for form in forms)

    specific = lax.stop_gradient(out.specific) if options.stop_gradient else out.specific
    f_sh, f_sp = by_modality(out.shared.feature), by_modality(specific.feature)
    z_sh, z_sp = by_modality(out.shared.logits), by_modality(specific.logits)
    across = options.tgsa.between_branches
    terms = {
        "tgsa": _sum(tgsa(sp, sh, across) for sp, sh in zip(f_sp, f_sh, strict=True)),
        "csa": _sum(csa(sh, sp) for sh, sp in zip(z_sh, z_sp, strict=True)),
        "mdr_tgsa": tgsa(*f_sh, modalities),
        "mdr_csa": csa(*z_sh),
    }
    return {name: (weights[name], value) for name, value in terms.items() if weights[name]}


def weights_of_batch(options: Config, rows: int) -> tuple[Mapping[str, float], str]:
    """The terms' weights, and the third matrix between modalities, for this number of rows.

    The released code uses the paper's weights only for batches of RELEASED_ROWS rows.
    """
    weights = dict(options.weights)
    if not options.follow_batch or rows == RELEASED_ROWS:
        return weights, options.tgsa.between_modalities
    others = {name: value for name, value in OTHER_WEIGHTS.items() if weights[name]}
    return weights | others, "none"


def _sum(values: Iterable[Array]) -> Float[Array, ""]:
    return sum(values, start=jnp.zeros(()))
