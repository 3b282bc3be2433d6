"""AGW (Ye et al., Deep Learning for Person Re-identification, TPAMI 2021), the field's baseline.

One stem for each modality, shared residual stages with non-local blocks, generalized-mean pooling
and a BNNeck; cross-entropy on the neck's output and a triplet loss on its input.
"""

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jreid.find import OUTSIDE, require_choices
from jreid.losses.classification import cross_entropy
from jreid.losses.triplet import TRIPLETS, find_triplet, triplet
from jreid.methods.method import Batch, Config, Method, Terms, single_network
from jreid.methods.stuck import (
    configured_triplet_at_margin,
    identity_at_chance,
    judged_epochs,
)
from jreid.nn.heads import BatchNormNeck, Classifier
from jreid.nn.pooling import POOLING
from jreid.nn.resnet import ResNet
from jreid.nn.torch_layout import Layout, resnet_renames

CHOICES = {"pooling": POOLING, "triplet.kind": (*TRIPLETS, OUTSIDE)}

# The released code keeps a whole ResNet-50 in each of its three modules and uses a part of each.
TORCH_LAYOUT = Layout(
    renames=(
        (r"^backbone/visible/", "visible_module.visible."),
        (r"^backbone/infrared/", "thermal_module.thermal."),
        (r"^backbone/shared/layer(\d)_non_local_(\d)/g/", r"NL_\1.\2.g.0/"),
        (r"^backbone/shared/layer(\d)_non_local_(\d)/W/", r"NL_\1.\2.W.0/"),
        (r"^backbone/shared/layer(\d)_non_local_(\d)/norm/", r"NL_\1.\2.W.1/"),
        (r"^backbone/shared/layer(\d)_non_local_(\d)/", r"NL_\1.\2/"),
        *resnet_renames("backbone/shared/", "base_resnet.base."),
        (r"^neck/", "bottleneck/"),
    ),
    unused=(
        r"(visible_module\.visible|thermal_module\.thermal)\.layer[1-4]\.",
        r"base_resnet\.base\.(conv1|bn1)\.",
    ),
)


class Network(nn.Module):
    """Images of one or both modalities to pooled features, embeddings and logits."""

    config: Config

    @nn.compact
    def __call__(
        self, images: Mapping[str, Float[Array, "n h w 3"]], train: bool
    ) -> tuple[Float[Array, "m d"], Float[Array, "m d"], Float[Array, "m identities"]]:
        """Rows are sample-major: with two modalities row 2i is visible, row 2i + 1 infrared."""
        backbone = ResNet(**self.config.backbone, dtype=self.config.dtype, name="backbone")
        pooled = POOLING[self.config.pooling](backbone(images, train)[-1])
        embedding = BatchNormNeck(name="neck")(pooled, train)
        logits = Classifier(self.config.data.identities, name="classifier")(embedding)
        return pooled, embedding, logits


def create(config: Config) -> Method:
    """AGW as the config describes it.

    Raises:
        InputError: a config field has a value that does not exist.
    """
    require_choices(config, CHOICES)
    find_triplet(config.triplet.kind)

    def terms(outputs: tuple[Array, Array, Array], batch: Batch) -> Terms:
        pooled, _, logits = outputs
        identity = jnp.repeat(batch["identity"], 2)
        metric = triplet(config.triplet.kind, pooled, identity, config.triplet.margin)
        losses = {"identity": (1.0, cross_entropy(logits, identity)), "triplet": (1.0, metric)}
        return Terms(losses, logits, identity)

    def embedding(outputs: tuple[Array, Array, Array]) -> Float[Array, "n d"]:
        """The neck's output. The released code calls it the FC feature and selects models by it."""
        return outputs[1]

    return single_network(
        Network(config),
        terms,
        embedding,
        config,
        torch_layout=TORCH_LAYOUT,
        metric_warnings=(
            identity_at_chance("model/identity", config, judged_epochs(config)),
            *configured_triplet_at_margin("model/triplet", config),
        ),
    )
