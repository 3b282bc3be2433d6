"""The networks of PFANet's players in one module: extractor F, generators and discriminators."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jreid.nn.derivation import from_unit
from jreid.nn.gan import Generator, ImageDiscriminator, JointDiscriminator
from jreid.nn.heads import BottleneckClassifier, Embedder
from jreid.nn.pooling import global_average
from jreid.nn.resize import resize_bilinear
from jreid.nn.resnet import ResNet

SIDES = ("generated", "infrared")  # the two kinds of images that F sees, and treats alike

Pixels = Float[Array, "n h w 3"]  # in -1..1, as generators and discriminators have them


class Features(NamedTuple):
    """What F makes of images: the map M, its mean V, the embedding for triplets, the logits."""

    map: Float[Array, "n p q c"]
    pooled: Float[Array, "n c"]
    embedding: Float[Array, "n e"]
    logits: Float[Array, "n identities"]

    def of(self, side: str) -> "Features":
        """Of one of the two sides, where both were given."""
        return Features(*(values[SIDES.index(side) :: 2] for values in self))


class Networks(nn.Module):
    """PFANet (2022), sections 3.1 and 4.1. F is `backbone`, `embedder` and `classifier`.

    Attributes:
        identities: how many logits F has.
        size: height and width that F's backbone sees.
        embedding: numbers of an embedding.
        backbone_options: of `ResNet`.
        classifier_options: of `BottleneckClassifier`.
        generator_options: of `Generator`.
        discriminator_options: of `JointDiscriminator` and `ImageDiscriminator`.
        dtype: of the convolutions; parameters and statistics are float32.
    """

    identities: int
    size: tuple[int, int]
    embedding: int
    backbone_options: Mapping[str, Any]
    classifier_options: Mapping[str, Any]
    generator_options: Mapping[str, Any]
    discriminator_options: Mapping[str, Any]
    dtype: Any = jnp.float32

    def setup(self) -> None:
        dtype = self.dtype
        self.backbone = ResNet(**self.backbone_options, modalities=SIDES, dtype=dtype)
        self.embedder = Embedder(self.embedding)
        self.classifier = BottleneckClassifier(self.identities, **self.classifier_options)
        self.to_infrared = Generator(**self.generator_options, dtype=dtype)
        self.to_visible = Generator(**self.generator_options, dtype=dtype)
        self.visible_discriminator = ImageDiscriminator(**self.discriminator_options, dtype=dtype)
        self.infrared_discriminator = JointDiscriminator(**self.discriminator_options, dtype=dtype)

    def __call__(self, visible: Pixels, infrared: Pixels) -> None:
        """Initialises everything."""
        features = self.features({"generated": visible, "infrared": infrared}, train=False)
        self.to_infrared(visible)
        self.to_visible(infrared)
        self.visible_discriminator(visible)
        self.infrared_discriminator(infrared, features.of("infrared").map)

    def features(self, images: Mapping[str, Pixels], train: bool) -> Features:
        """F, of images by side: with both, row 2i is generated, row 2i + 1 infrared.

        Their size is the generators'; gradients flow through the resizing to where they come from.
        """
        resized = {
            side: from_unit((resize_bilinear(x, self.size) + 1) / 2) for side, x in images.items()
        }
        last = self.backbone(resized, train)[-1]
        pooled = global_average(last)
        return Features(last, pooled, self.embedder(pooled), self.classifier(pooled, train))
