"""IDKL's network: two branches on one trunk, the purifier, and what is classified (figure 2)."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import flax.linen as nn
from jaxtyping import Array, Float

from jreid.methods.idkl.branched_resnet import BranchedResNet
from jreid.methods.idkl.discriminator import ModalityDiscriminator
from jreid.methods.idkl.purifier import InformationPurifier, Purified
from jreid.methods.method import Config
from jreid.nn.gradient_reversal import reverse_gradient
from jreid.nn.heads import BatchNormNeck
from jreid.nn.layers import LINEAR_INIT, Linear
from jreid.nn.pooling import generalized_mean

STAGES = ("layer1", "layer2", "layer3", "layer4")
PLACES = (*STAGES, "neck")

gem = partial(generalized_mean, p=3.0, minimum=1e-6, epsilon=0.0)


class Head(NamedTuple):
    """What is computed from a map: the pooled feature f, the neck's output, identity logits."""

    feature: Float[Array, "m d"]
    embedding: Float[Array, "m d"]
    logits: Float[Array, "m identities"]


class Output(NamedTuple):
    """Everything that the losses and the pictures need; rows are sample-major.

    With two modalities row 2i is visible, row 2i + 1 infrared.

    Attributes:
        maps: the last map of each branch, by the branch's name.
        shared: of the shared branch.
        specific: of the specific branch's purified map; without a purifier, of its raw map.
        raw: of the specific branch's raw map, if there is a purifier and a loss on the raw map.
        purified: the purifier's output, if there is a purifier.
        entropy_logits: logits of the enhanced and of the raw specific features, for L_e.
        discriminators: logits of the modality by place, in the specific branch.
        confusers: logits of the modality by place, in the shared branch.
    """

    maps: Mapping[str, Float[Array, "m h w c"]]
    shared: Head
    specific: Head
    raw: Head | None
    purified: Purified | None
    entropy_logits: tuple[Array, Array] | None
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
        discriminated = self._modality(
            self.discriminators, specific_maps, specific.embedding, train
        )
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
            self._entropy_logits(purified, last, raw, train) if purified else None,
            discriminated,
            confused,
        )

    def read_shared(self, x: Float[Array, "m h w c"], train: bool) -> Head:
        """Of the shared branch's last map."""
        feature = self.perturb("features", gem(x))
        return head_of(feature, self.shared_neck, self.shared_classifier, train)

    def read_specific(self, x: Float[Array, "m h w c"], train: bool) -> Head:
        """Of the specific branch's last map, which is purified first if there is a purifier."""
        return self.read_purified(self.purifier(x, train).map if self.purifies else x, train)

    def read_purified(self, x: Float[Array, "m h w c"], train: bool) -> Head:
        """Of the purified map."""
        return head_of(gem(x), self.specific_neck, self.specific_classifier, train)

    def _read_raw(self, x: Array, train: bool) -> Head | None:
        options = self.config.idkl
        if options.specific_reid == "purified" and options.purifier.classifier == "own":
            return None
        return head_of(gem(x), self.raw_neck, self.specific_classifier, train)

    def _entropy_logits(
        self, purified: Purified, x: Array, raw: Head | None, train: bool
    ) -> tuple[Array, Array]:
        """C_sp(f^d+) and C_sp(f) of equation 10, or logits of a classifier only for this loss.

        C_sp is trained on outputs of necks, so each of its inputs has its own neck.
        """
        if self.config.idkl.purifier.classifier == "own" or raw is None:
            own = self.entropy_classifier
            return own(gem(purified.enhanced)), own(gem(x))
        enhanced = head_of(
            gem(purified.enhanced), self.enhanced_neck, self.specific_classifier, train
        )
        return enhanced.logits, raw.logits

    def _modality(
        self,
        heads: Mapping[str, ModalityDiscriminator],
        maps: tuple[Array, ...],
        embedding: Array,
        train: bool,
        reverse: Callable[[Array], Array] | None = None,
    ) -> dict[str, Float[Array, "m 2"]]:
        """The heads' logits, from pooled maps or the neck's output, by place."""
        logits = {}
        for place, head in heads.items():
            x = embedding if place == "neck" else gem(maps[STAGES.index(place)])
            logits[place] = head(reverse(x) if reverse else x, train)
        return logits


def head_of(
    feature: Float[Array, "m d"], neck: BatchNormNeck, classifier: Linear, train: bool
) -> Head:
    """The head of a pooled feature."""
    embedding = neck(feature, train)
    return Head(feature, embedding, classifier(embedding))
