"""IDKL (Ren and Zhang, Implicit Discriminative Knowledge Learning for VI-ReID, CVPR 2024).

Two branches on one trunk. The shared branch is kept from telling the modalities apart and is what
searches. The specific branch is made to tell them apart; what it knows of identities besides, its
purified features, is distilled into the shared branch, by distances and by logits.

The paper and its released code differ in nearly every part. Each difference is a field of
`config.idkl`, and each may be chosen alone. Where the paper is silent, this is the code: the
discriminators, the generalised mean with p = 3, the necks, the triplet loss on what is pooled.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jreid.errors import InputError
from jreid.losses.alignment import CROSSES, FORMS, REDUCTIONS, graph_alignment, semantic_alignment
from jreid.losses.classification import cross_entropy
from jreid.losses.purification import HINGES, discrepancy_margin, entropy_margin
from jreid.losses.triplet import TRIPLETS, triplet
from jreid.methods.method import Batch, Config, Loss, Method, Player, Variables, require_choice
from jreid.nn.branches import BranchedResNet
from jreid.nn.derivation import to_unit
from jreid.nn.discriminator import ModalityDiscriminator
from jreid.nn.gradient import reverse_gradient, rising_strength
from jreid.nn.heads import BatchNormNeck
from jreid.nn.layers import LINEAR_INIT, Linear
from jreid.nn.pictures import as_grid, grad_cam, heat_colors
from jreid.nn.pooling import generalized_mean
from jreid.nn.purifier import MASKS, NORMS, InformationPurifier, Purified
from jreid.nn.pyramid import upsample
from jreid.nn.torch_layout import Layout, resnet_renames

STAGES = ("layer1", "layer2", "layer3", "layer4")
PLACES = (*STAGES, "neck")
CHOICES = {
    "dtype": ("float32", "bfloat16"),
    "triplet.kind": TRIPLETS,
    "idkl.confuser": ("grl", "scrambled"),
    "idkl.reversal.schedule": ("constant", "rising"),
    "idkl.specific_reid": ("raw_and_purified", "purified"),
    "idkl.purifier.masks": (*MASKS, "none"),
    "idkl.purifier.norm": NORMS,
    "idkl.purifier.hinge": HINGES,
    "idkl.purifier.classifier": ("specific", "own"),
    "idkl.tgsa.between_branches": CROSSES,
    "idkl.tgsa.between_modalities": CROSSES,
    "idkl.divergence.reduce": tuple(REDUCTIONS),
}
SEVERAL = {
    "idkl.confuser_at": PLACES,
    "idkl.discriminator_at": PLACES[2:],  # where the branch is on its own
    "idkl.csa.forms": FORMS,
}

# The released code keeps three whole ResNet-50 and uses a part of each; `special_att` it builds and
# does not use. Its test network has no heads.
TORCH_LAYOUT = Layout(
    renames=(
        *resnet_renames("backbone/shared/", "backbone.shared_module_fr.model_sh_fr."),
        *resnet_renames("backbone/shared_branch/", "backbone.shared_module_bh.model_sh_bh."),
        *resnet_renames("backbone/specific_branch/", "backbone.special.special_module."),
        (r"^purifier/norm/", "backbone.IN/"),
        (r"^purifier/reduction_mask/", "backbone.mask1.channel_attention."),
        (r"^purifier/enhancement_mask/", "backbone.mask2.channel_attention."),
        (r"\.squeeze/", ".0/"),
        (r"\.excite/", ".2/"),
        (r"^shared_neck/", "bn_neck/"),
        (r"^specific_neck/", "bn_neck_sp/"),
        (r"^shared_classifier/", "classifier/"),
        (r"^specific_classifier/", "classifier_sp/"),
        (r"^entropy_classifier/", "C_sp_f/"),
        (r"^discriminators_neck/", "D_special/"),
        (r"^confusers_neck/", "D_shared_pseu/"),
    ),
    unused=(
        r"backbone\.shared_module_fr\.model_sh_fr\.(layer[34]|fc)\.",
        r"backbone\.(shared_module_bh\.model_sh_bh|special\.special_module)\.(conv1|bn1|fc)\.",
        r"backbone\.(shared_module_bh\.model_sh_bh|special\.special_module)\.layer[12]\.",
        r"backbone\.(special_att|IN)\.",
        r"classifier|C_sp_f\.|D_special\.|D_shared_pseu\.",
    ),
    optional=(r"\w+_classifier/", r"(discriminators|confusers)_\w+/", r"(raw|enhanced)_neck/"),
)

# A loss's weight and value, by name.
Terms = dict[str, tuple[float, Float[Array, ""]]]

gem = partial(generalized_mean, p=3.0, minimum=1e-6, epsilon=0.0)


class Reading(NamedTuple):
    """What is read off a map: the pooled feature f, the neck's output and the identity logits."""

    feature: Float[Array, "m d"]
    embedding: Float[Array, "m d"]
    logits: Float[Array, "m identities"]


class Output(NamedTuple):
    """Everything that the losses and the pictures need; rows are sample-major.

    With two modalities row 2i is visible, row 2i + 1 infrared.

    Attributes:
        maps: the last map of each branch, by its name.
        shared: of the shared branch.
        specific: of the specific branch's purified map; of its raw one without a purifier.
        raw: of the specific branch's raw map, if there is a purifier and a loss on it.
        purified: what the purifier made, if there is one.
        sureness: logits of the enhanced and of the raw specific features, for L_e.
        discriminators: logits of the modality by place, in the specific branch.
        confusers: likewise, in the shared branch.
    """

    maps: Mapping[str, Float[Array, "m h w c"]]
    shared: Reading
    specific: Reading
    raw: Reading | None
    purified: Purified | None
    sureness: tuple[Array, Array] | None
    discriminators: Mapping[str, Float[Array, "m 2"]]
    confusers: Mapping[str, Float[Array, "m 2"]]


class Network(nn.Module):
    """Images of one or both modalities to an `Output` (figure 2)."""

    config: Config

    def setup(self) -> None:
        options, dtype = self.config.idkl, self.config.dtype
        self.backbone = BranchedResNet(**self.config.backbone, dtype=dtype)
        purifier = options.purifier
        self.purifies = purifier.masks != "none"
        if self.purifies:
            self.purifier = InformationPurifier(purifier.masks, purifier.norm, dtype=dtype)
        necks = [BatchNormNeck(scale_init=nn.initializers.ones) for _ in range(4)]
        self.shared_neck, self.specific_neck, self.raw_neck, self.enhanced_neck = necks
        classifier = partial(Linear, self.config.data.identities, False, LINEAR_INIT)
        self.shared_classifier, self.specific_classifier = classifier(), classifier()
        self.entropy_classifier = classifier()
        head = partial(ModalityDiscriminator, **options.head)
        self.discriminators = {place: head() for place in options.discriminator_at}
        self.confusers = {place: head() for place in options.confuser_at}

    def __call__(
        self,
        images: Mapping[str, Float[Array, "n h w 3"]],
        train: bool,
        reversal: float | Float[Array, ""] = 1.0,
    ) -> Output:
        """`reversal` is the strength of the confusers' gradient reversal."""
        branches = self.backbone(images, train)  # equation 1
        shared_maps, specific_maps = branches["shared_branch"], branches["specific_branch"]
        shared = self.read_shared(shared_maps[-1], train)
        last = specific_maps[-1]
        purified = self.purifier(last, train) if self.purifies else None
        specific = self.read_purified(purified.map if purified else last, train)
        raw = self._read_raw(last, train) if purified else None
        told = self._modality(self.discriminators, specific_maps, specific.embedding, train)
        reverse = None
        if self.config.idkl.confuser == "grl":
            reverse = partial(reverse_gradient, strength=reversal)
        confused = self._modality(self.confusers, shared_maps, shared.embedding, train, reverse)
        return Output(
            {name: maps[-1] for name, maps in branches.items()},
            shared,
            specific,
            raw,
            purified,
            self._sureness(purified, last, raw, train) if purified else None,
            told,
            confused,
        )

    def read_shared(self, x: Float[Array, "m h w c"], train: bool) -> Reading:
        """Of the shared branch's last map."""
        return _read(x, self.shared_neck, self.shared_classifier, train)

    def read_specific(self, x: Float[Array, "m h w c"], train: bool) -> Reading:
        """Of the specific branch's last map, which is purified first if there is a purifier."""
        return self.read_purified(self.purifier(x, train).map if self.purifies else x, train)

    def read_purified(self, x: Float[Array, "m h w c"], train: bool) -> Reading:
        """Of the purified map."""
        return _read(x, self.specific_neck, self.specific_classifier, train)

    def _read_raw(self, x: Array, train: bool) -> Reading | None:
        options = self.config.idkl
        if options.specific_reid == "purified" and options.purifier.classifier == "own":
            return None
        return _read(x, self.raw_neck, self.specific_classifier, train)

    def _sureness(
        self, purified: Purified, x: Array, raw: Reading | None, train: bool
    ) -> tuple[Array, Array]:
        """C_sp(f^d+) and C_sp(f) of equation 10, or of a classifier that has no other task.

        C_sp is trained on what comes out of necks, so each of its inputs has a neck of its own.
        """
        if self.config.idkl.purifier.classifier == "own" or raw is None:
            own = self.entropy_classifier
            return own(gem(purified.enhanced)), own(gem(x))
        enhanced = _read(purified.enhanced, self.enhanced_neck, self.specific_classifier, train)
        return enhanced.logits, raw.logits

    def _modality(
        self,
        heads: Mapping[str, ModalityDiscriminator],
        maps: tuple[Array, ...],
        embedding: Array,
        train: bool,
        reverse: Callable[[Array], Array] | None = None,
    ) -> dict[str, Float[Array, "m 2"]]:
        """The heads' logits at their places: pooled maps, or the neck's output."""
        logits = {}
        for place, head in heads.items():
            x = embedding if place == "neck" else gem(maps[STAGES.index(place)])
            logits[place] = head(reverse(x) if reverse else x, train)
        return logits


def create(config: Config) -> Method:
    """IDKL as the config describes it.

    Raises:
        InputError: a config field has a value that does not exist or contradicts another.
    """
    _check(config)
    network = Network(config)
    apply: Any = network.apply

    def init(rng: jax.Array, batch: Batch) -> Variables:
        return network.init(rng, _images(batch), train=False)

    def embed(
        variables: Variables, images: Float[Array, "n h w 3"], modality: str
    ) -> Float[Array, "n d"]:
        """The neck's output in the shared branch, as the released code tests with."""
        return apply(variables, {modality: images}, train=False).shared.embedding

    player = Player("model", lambda path: True, _loss(apply, config), config.optimizer)
    pictures = {"grad_cam": _grad_cam(apply), "masks": _masks(apply)}
    return Method(init, (player,), embed, pictures, TORCH_LAYOUT)


def _loss(apply: Any, config: Config) -> Loss:
    """Equation 21: the sum of all terms by their weights."""
    reversal = config.idkl.reversal

    def loss(params, model_state, batch, rng, progress):
        rise = rising_strength(progress / config.epochs) if reversal.schedule == "rising" else 1.0
        out, model_state = apply(
            {"params": params, **model_state},
            _images(batch),
            train=True,
            reversal=reversal.strength * rise,
            mutable=[*model_state],
            rngs={"dropout": rng},
        )
        identity = jnp.repeat(batch["identity"], 2)
        terms = base_terms(out, identity, config) | distillation_terms(out, config)
        if out.purified:
            terms |= purifier_terms(out, identity, config)
        told = {name: value for name, (_, value) in terms.items()}
        accuracy = (out.shared.logits.argmax(1) == identity).mean()
        total = _sum(weight * value for weight, value in terms.values())
        return total, ({**told, "accuracy": accuracy}, model_state)

    return loss


def base_terms(out: Output, identity: Array, config: Config) -> Terms:
    """L_b (equations 2 to 6): of each branch L_reid and L_C or L_D.

    `scrambled` confusers reverse no gradient. Their labels are those of the released code: in every
    second pair of images the modalities are exchanged, so that half of them are wrong.
    """
    options = config.idkl
    pair, modality = jnp.divmod(jnp.arange(len(identity)), 2)
    confusing = modality if options.confuser == "grl" else (modality + pair) % 2
    told = _sum(cross_entropy(logits, modality) for logits in out.discriminators.values())
    confused = _sum(cross_entropy(logits, confusing) for logits in out.confusers.values())
    twice = out.purified and options.specific_reid == "raw_and_purified"
    specific = out.raw if twice and out.raw else out.specific
    return {
        "shared_reid": (1.0, _reid(out.shared, identity, config)),
        "specific_reid": (1.0, _reid(specific, identity, config)),
        "confuser": (options.weights.confuser, confused),
        "discriminator": (options.weights.discriminator, told),
    }


def _reid(reading: Reading, identity: Array, config: Config) -> Array:
    kind, margin = config.triplet.kind, config.triplet.margin
    metric = triplet(kind, reading.feature, identity, margin)
    return cross_entropy(reading.logits, identity) + metric


def purifier_terms(out: Output, identity: Array, config: Config) -> Terms:
    """L_ip (equations 10, 11 and 13)."""
    assert out.purified and out.sureness
    options, images = config.idkl, config.batch.images
    hinge, weight = options.purifier.hinge, options.weights.purifier
    reduced, before = (_halves(gem(x)) for x in (out.purified.reduced, out.purified.normalized))
    terms: Terms = {
        "enhancement": (weight, entropy_margin(*out.sureness, hinge)),
        "reduction": (weight, discrepancy_margin(reduced, before, images, hinge)),
    }
    if options.specific_reid == "raw_and_purified":
        terms["purified_reid"] = (weight, _reid(out.specific, identity, config))
    return terms


def distillation_terms(out: Output, config: Config) -> Terms:
    """L_tgsa and L_csa (equations 17 and 19) and, as two terms, L_mdr (equation 20)."""
    options, weights = config.idkl, config.idkl.weights

    def tgsa(a: Array, b: Array, cross: str) -> Array:
        temperature, diagonal = options.tgsa.temperature, options.tgsa.diagonal
        return graph_alignment(a, b, cross, temperature, diagonal, **options.divergence)

    def csa(a: Array, b: Array) -> Array:
        rest = config.batch.images, options.csa.temperature
        forms = options.csa.forms
        return _sum(semantic_alignment(a, b, form, *rest, **options.divergence) for form in forms)

    specific = lax.stop_gradient(out.specific) if options.stop_gradient else out.specific
    f_sh, f_sp = _halves(out.shared.feature), _halves(specific.feature)
    z_sh, z_sp = _halves(out.shared.logits), _halves(specific.logits)
    across = options.tgsa.between_branches
    terms = {
        "tgsa": _sum(tgsa(sp, sh, across) for sp, sh in zip(f_sp, f_sh, strict=True)),
        "csa": _sum(csa(sh, sp) for sh, sp in zip(z_sh, z_sp, strict=True)),
        "mdr_tgsa": tgsa(*f_sh, options.tgsa.between_modalities),
        "mdr_csa": csa(*z_sh),
    }
    return {name: (weights[name], value) for name, value in terms.items() if weights[name]}


def _grad_cam(apply: Any) -> Callable[..., Array]:
    """Figure 4: `(variables, images [N, H, W, 3], modality)` to pixels `[N, H, 3W, 3]`.

    The images and, to their right, where the shared and the specific branch see what speaks for
    the identity, among those of training, that each of them finds likeliest.
    """

    def pictures(variables: Variables, images: Array, modality: str) -> Array:
        def score(method: str, x: Array) -> Array:
            reading = apply(variables, x, train=False, method=method)
            return reading.logits.max(1)

        maps = apply(variables, {modality: images}, train=False).maps
        pixels = jnp.clip(to_unit(images), 0, 1)
        shown = [pixels]
        for branch, method in (
            ("shared_branch", "read_shared"),
            ("specific_branch", "read_specific"),
        ):
            heat = grad_cam(maps[branch].astype(jnp.float32), partial(score, method))
            large = jnp.clip(upsample(heat[..., None], images)[..., 0], 0, 1)
            shown.append(0.5 * pixels + 0.5 * heat_colors(large))
        return jnp.concatenate(shown, axis=2)

    return pictures


def _masks(apply: Any) -> Callable[..., Array]:
    """`(variables, images [N, H, W, 3], modality)` to pixels `[N, H, 3W, 3]`: the purifier's masks.

    The images and, to their right, m_e and m_r in gray, white for 1: the mean over the channels at
    each place where masks are per pixel; a cell a channel, in reading order, where they are pooled.
    """

    def pictures(variables: Variables, images: Array, modality: str) -> Array:
        purified = apply(variables, {modality: images}, train=False).purified
        if not purified:
            raise InputError(
                "config.idkl.purifier.masks=none has no masks to show; train with another value."
            )
        shown = [jnp.clip(to_unit(images), 0, 1)]
        for mask in (purified.enhancement_mask, purified.reduction_mask):
            pooled = mask.shape[1:3] == (1, 1)
            gray = as_grid(mask[:, 0, 0]) if pooled else mask.mean(-1, keepdims=True)
            large = upsample(gray.astype(jnp.float32), images, "nearest")
            shown.append(jnp.repeat(large, 3, axis=-1))
        return jnp.concatenate(shown, axis=2)

    return pictures


def _check(config: Config) -> None:
    for field, choices in CHOICES.items():
        require_choice(field, attrgetter(field)(config), choices)
    for field, choices in SEVERAL.items():
        for value in attrgetter(field)(config):
            require_choice(field, value, choices)
    for name in ("tgsa", "csa"):
        if config.idkl[name].temperature <= 0:
            raise InputError(
                f"config.idkl.{name}.temperature={config.idkl[name].temperature} is not positive; "
                "set it to 1.0, or to more for softer probabilities."
            )
    pairs = config.batch.identities * config.batch.images
    crosses = (config.idkl.tgsa.between_branches, config.idkl.tgsa.between_modalities)
    if "mixed" in crosses and pairs % 2:
        raise InputError(
            f"config.idkl.tgsa's mixed affinity halves the {pairs} images of a modality; set "
            "--config.batch.identities or --config.batch.images to an even number."
        )


def _read(x: Array, neck: BatchNormNeck, classifier: Linear, train: bool) -> Reading:
    feature = gem(x)
    embedding = neck(feature, train)
    return Reading(feature, embedding, classifier(embedding))


def _halves(x: Float[Array, "2*n d"]) -> tuple[Float[Array, "n d"], Float[Array, "n d"]]:
    """The visible and the infrared rows."""
    pairs = x.reshape(-1, 2, x.shape[1])
    return pairs[:, 0], pairs[:, 1]


def _sum(values: Iterable[Array]) -> Float[Array, ""]:
    return sum(values, start=jnp.zeros(()))


def _images(batch: Batch) -> Mapping[str, jax.Array]:
    return {"visible": batch["visible"], "infrared": batch["infrared"]}
