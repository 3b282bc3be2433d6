"""PFINet (Pyramid Feature Integration Network for visible-infrared person re-ID, CVM 2022).

Visible images are first turned gray. Then both modalities share one whole network: a ResNet-50, a
feature pyramid on its four maps, and a response map on each level that selects the regions which
show the identity. The feature is the concatenation of the levels' averages.
"""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jreid.errors import InputError
from jreid.find import require_choices
from jreid.losses.centers import center_cluster
from jreid.losses.classification import cross_entropy
from jreid.methods.method import (
    Batch,
    Config,
    Method,
    Terms,
    Variables,
    single_network,
)
from jreid.methods.stuck import identity_at_chance, judged_epochs
from jreid.nn.colors import LUMA, to_unit
from jreid.nn.heads import BatchNormNeck
from jreid.nn.layers import LINEAR_INIT, Linear
from jreid.nn.pooling import global_average
from jreid.nn.pyramid import PYRAMIDS, Pyramid
from jreid.nn.region_response import ATTENTIONS, SHARES, RegionResponse
from jreid.nn.resize import resize
from jreid.nn.resnet import ResNet
from jreid.nn.torch_layout import Layout, resnet_renames

LEVELS = ((4,), (4, 3), (4, 3, 2), (4, 3, 2, 1))  # Table 5
CHOICES = {
    "pfinet.pyramid": (*PYRAMIDS, "none"),
    "pfinet.response.attention": ATTENTIONS,
    "pfinet.response.share": SHARES,
    "pfinet.transformation.kind": ("none", "lsp", "lmp"),
    "pfinet.transformation.reduce": ("sum_to_gray", "none"),
    "pfinet.transformation.weight_init": ("randn", "bt601"),
}

# Of `pyramid=code` with last_stride=1. The released code also keeps a lateral convolution of C_4
# that it does not use, and ImageNet's classifier.
TORCH_LAYOUT = Layout(
    renames=(
        *resnet_renames("backbone/shared/", "backbone."),
        (r"^pyramid/lateral(\d)/", r"horizontal\1/"),
        (r"^pyramid/top_down3/", r"up_sample4.0/"),
        (r"^pyramid/top_down2/", r"up_sample3.1/"),
        (r"^pyramid/top_down1/", r"up_sample2.1/"),
        (r"^pyramid/output(\d)/", r"Conv_unit\1/"),
        (r"^response/level(\d)/", r"space_att\1.att.0/"),
        (r"^neck/", "bottleneck/"),
    ),
    unused=(r"horizontal4\.", r"backbone\.fc\."),
)


class TaskTransformation(nn.Module):
    """Table 4's learned conversions of visible images, in place of the fixed one to gray.

    Attributes:
        kind: `lsp` has one weight for each channel, `lmp` one for each channel of each pixel.
        reduce: `sum_to_gray` adds the weighted channels up and repeats the sum; `none` keeps them
            apart, as the released code does.
        weight_init: `randn`, weights from a normal distribution, or `bt601`, those of equation 1.
    """

    kind: str
    reduce: str
    weight_init: str

    @nn.compact
    def __call__(self, images: Float[Array, "n h w 3"]) -> Float[Array, "n h w 3"]:
        shape = (1, 1, 1, 3) if self.kind == "lsp" else (1, *images.shape[1:])
        luma = jnp.array(LUMA)[None, None, None]
        inits = {
            "randn": nn.initializers.normal(1.0),
            "bt601": lambda key, shape: jnp.broadcast_to(luma, shape),
        }
        weighted = images * self.param("weight", inits[self.weight_init], shape)
        if self.reduce == "none":
            return weighted
        return jnp.repeat(weighted.sum(-1, keepdims=True), 3, axis=-1)


class Network(nn.Module):
    """Images of one or both modalities to representations, embeddings, logits and responses."""

    config: Config

    @nn.compact
    def __call__(
        self, images: Mapping[str, Float[Array, "n h w 3"]], train: bool
    ) -> tuple[
        Float[Array, "m d"],
        Float[Array, "m d"],
        Float[Array, "m identities"],
        list[Float[Array, "m _ _ 1"]],
    ]:
        """Rows are sample-major: with two modalities row 2i is visible, row 2i + 1 infrared.

        The responses are in 0..1, from level 4 down; the baseline (`pyramid=none`) has none.
        """
        options, dtype = self.config.pfinet, self.config.dtype
        if "visible" in images and options.transformation.kind != "none":
            transform = TaskTransformation(**options.transformation, name="transformation")
            images = {**images, "visible": transform(images["visible"])}
        maps = ResNet(**self.config.backbone, dtype=dtype, name="backbone")(images, train)
        levels, responses = [], []
        if options.pyramid != "none":
            pyramid = Pyramid(options.pyramid, min(options.levels), dtype, name="pyramid")
            levels = pyramid(maps)
            responses = RegionResponse(**options.response, dtype=dtype, name="response")(levels)
        # Equations 5 to 7. Level 4 is first, as in the released code and its weights.
        features = [global_average(m * p) for m, p in zip(responses, levels, strict=True)]
        if options.add_raw_c4 or not features:
            features = [global_average(maps[-1]), *features]
        representation = jnp.concatenate(features, axis=1)
        neck = BatchNormNeck(scale_init=nn.initializers.ones, name="neck")
        embedding = neck(representation, train)
        classifier = Linear(self.config.data.identities, False, LINEAR_INIT, name="classifier")
        return representation, embedding, classifier(embedding), responses


def create(config: Config) -> Method:
    """PFINet as the config describes it.

    Raises:
        InputError: a config field has a value that does not exist or contradicts another.
    """
    require_choices(config, CHOICES)
    _check(config)
    network, options = Network(config), config.pfinet

    def terms(outputs: Any, batch: Batch) -> Terms:
        representation, _, logits, _ = outputs
        identity = jnp.repeat(batch["identity"], 2)
        clusters = center_cluster(representation, identity, options.margin, options.groups)
        # The sum over groups of equation 8, which is a mean, is the batch's mean times the number
        # of groups.
        identities = options.groups * cross_entropy(logits, identity)
        losses = {"identity": (1.0, identities), "center_cluster": (1.0, clusters)}
        return Terms(losses, logits, identity)

    def embedding(outputs: Any) -> Float[Array, "n d"]:
        """The neck's output, which the released code uses for testing, too."""
        return outputs[1]

    pictures = {"responses": _responses(network.apply)}
    stuck = identity_at_chance("model/identity", config, judged_epochs(config), options.groups)
    return single_network(
        network, terms, embedding, config, pictures, TORCH_LAYOUT, metric_warnings=(stuck,)
    )


def _responses(apply: Any) -> Callable[..., Array]:
    """Figure 3: `(variables, images [N, H, W, 3], modality)` to pixels `[N, H, (1 + L) W, 3]`.

    The images and, to their right, the responses of L levels from level 4 down, enlarged to the
    size of the image and in gray. White is 1: the network uses these regions.
    """

    def responses(variables: Variables, images: Array, modality: str) -> Array:
        maps = apply(variables, {modality: images}, train=False)[-1]
        if not maps:
            raise InputError(
                "config.pfinet.pyramid=none has no responses to show; train with another pyramid."
            )
        large = [resize(m.astype(jnp.float32), images.shape[1:3]) for m in maps]
        gray = [jnp.repeat(m, 3, axis=-1) for m in large]
        return jnp.concatenate([jnp.clip(to_unit(images), 0, 1), *gray], axis=2)

    return responses


def _check(config: Config) -> None:
    options = config.pfinet
    if options.levels not in LEVELS:
        raise InputError(
            f"config.pfinet.levels={options.levels} must be one of {', '.join(map(str, LEVELS))}."
        )
    if options.groups < 1 or config.batch.identities % options.groups:
        raise InputError(
            f"config.pfinet.groups={options.groups} does not divide the "
            f"{config.batch.identities} identities of a batch; set it to 1 or 2."
        )
    if config.image.gray_visible and options.transformation.kind != "none":
        raise InputError(
            f"config.pfinet.transformation.kind={options.transformation.kind} learns from colors; "
            "set --config.image.gray_visible=False, or the kind to none."
        )
