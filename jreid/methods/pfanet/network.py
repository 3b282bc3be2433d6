"""The networks of PFANet's players in one module: extractor F, generators and discriminators."""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
from jaxtyping import Array, Float

from jreid.methods.method import Config
from jreid.methods.pfanet.bng import BNG
from jreid.methods.pfanet.heads import BottleneckClassifier, Embedder
from jreid.methods.pfanet.modality_alleviation import ModalityAlleviation
from jreid.nn.colors import from_unit, to_unit
from jreid.nn.gan import Generator, ImageDiscriminator, JointDiscriminator
from jreid.nn.pooling import global_average
from jreid.nn.resize import resize
from jreid.nn.resnet import ResNet

SIDES = ("generated", "infrared")  # the two kinds of images; F handles both in the same way

Pixels = Float[Array, "n h w 3"]  # in -1..1, as generators and discriminators have them


class Features(NamedTuple):
    """F's outputs for images: the map M, its mean V, the embedding for triplets, the logits."""

    map: Float[Array, "n p q c"]
    pooled: Float[Array, "n c"]
    embedding: Float[Array, "n e"]
    logits: Float[Array, "n identities"]

    def of(self, side: str) -> "Features":
        """The features of one of the two sides, if both were given."""
        return Features(*(values[SIDES.index(side) :: 2] for values in self))


class Networks(nn.Module):
    """PFANet (2022), sections 3.1 and 4.1. F is `backbone`, `embedder` and `classifier`."""

    config: Config

    def setup(self) -> None:
        config, options, dtype = self.config, self.config.pfanet, self.config.dtype
        self.backbone = backbone(config.backbone, SIDES, dtype)
        self.embedder = Embedder(options.embedding)
        self.classifier = BottleneckClassifier(config.data.identities, **options.classifier)
        generator, discriminator = options.generator, options.discriminator
        blocks, stages = generator.residual_blocks, discriminator.stages
        self.to_infrared = Generator(generator.width, blocks, dtype)
        self.to_visible = Generator(generator.width, blocks, dtype)
        self.visible_discriminator = ImageDiscriminator(discriminator.width, stages, dtype)
        self.infrared_discriminator = JointDiscriminator(discriminator.width, stages, dtype)

    def __call__(self, visible: Pixels, infrared: Pixels) -> None:
        """Initializes everything."""
        features = self.features({"generated": visible, "infrared": infrared}, train=False)
        self.to_infrared(visible)
        self.to_visible(infrared)
        self.visible_discriminator(visible)
        self.infrared_discriminator(infrared, features.of("infrared").map)

    def features(self, images: Mapping[str, Pixels], train: bool) -> Features:
        """F, for images by side: with both, row 2i is generated, row 2i + 1 infrared.

        Images have the generators' size. Gradients flow through the resizing to the generators.
        """
        resized = {
            side: from_unit((resize(x, self.config.pfanet.reid_size) + 1) / 2)
            for side, x in images.items()
        }
        last = self.backbone(resized, train)[-1]
        pooled = global_average(last)
        return Features(last, pooled, self.embedder(pooled), self.classifier(pooled, train))


def backbone(options: Config, modalities: tuple[str, ...], dtype: Any) -> ResNet:
    """A ResNet with BNG attention and modality alleviation where the options ask for them.

    Args:
        options: of `ResNet`, and `attention` (`none` or `bng`), `bng` (options of `BNG`, and its
            `place`: `stage`, once after each of layer1-4, or `block`, in every residual block),
            `normalization` (`none` or `mmm`) and `mmm` (options of `ModalityAlleviation`, and the
            `stages` of layer1-4 after which it is used).
        modalities: of `ResNet`.
        dtype: of `ResNet`.
    """
    own = ("attention", "bng", "normalization", "mmm")
    attention, bng, normalization, mmm = (options[name] for name in own)
    attend = partial(BNG, **{k: bng[k] for k in bng if k != "place"}, dtype=dtype)
    alleviate = partial(
        ModalityAlleviation, **{k: mmm[k] for k in mmm if k != "stages"}, dtype=dtype
    )
    place = bng["place"] if attention == "bng" else "none"
    alleviated = mmm["stages"] if normalization == "mmm" else ()

    def stage_modules(stage: int) -> list[nn.Module]:
        modules: list[nn.Module] = []
        if place == "stage":
            modules.append(attend(name=f"layer{stage}_bng"))
        if stage in alleviated:
            modules.append(alleviate(name=f"layer{stage}_mmm"))
        return modules

    return ResNet(
        **{name: options[name] for name in options if name not in own},
        modalities=modalities,
        block_module=partial(attend, name="bng") if place == "block" else None,
        stage_modules=stage_modules,
        dtype=dtype,
    )


def as_pixels(images: Float[Array, "n h w 3"]) -> Pixels:
    """Normalized images, converted to the pixels in -1..1 that generators take."""
    return 2 * to_unit(images) - 1
