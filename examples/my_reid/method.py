"""Your own method: a small network with one stem for each modality, trained by two losses."""

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jreid.losses import cross_entropy
from jreid.losses.triplet import triplet
from jreid.methods import Batch, Config, Method, Terms, single_network
from jreid.nn import BatchNorm, BatchNormNeck, Classifier, global_average


class Network(nn.Module):
    """Images of one or both modalities to pooled features, embeddings and logits."""

    identities: int
    width: int

    @nn.compact
    def __call__(
        self, images: Mapping[str, Float[Array, "n h w 3"]], train: bool
    ) -> tuple[Float[Array, "m d"], Float[Array, "m d"], Float[Array, "m identities"]]:
        """Rows are those of the modalities one after the other."""
        stems = [nn.Conv(self.width, (3, 3), 2, name=name)(x) for name, x in images.items()]
        x = nn.relu(BatchNorm(name="norm1")(jnp.concatenate(stems), train))
        x = nn.Conv(2 * self.width, (3, 3), 2, name="conv2")(x)
        pooled = global_average(nn.relu(BatchNorm(name="norm2")(x, train)))
        embedding = BatchNormNeck(name="neck")(pooled, train)
        return pooled, embedding, Classifier(self.identities, name="classifier")(embedding)


def create(config: Config) -> Method:
    """The method as the config describes it; jreid calls this by config.method."""

    def terms(outputs: tuple[Array, Array, Array], batch: Batch) -> Terms:
        pooled, _, logits = outputs
        identity = jnp.tile(batch["identity"], 2)
        metric = triplet(config.triplet.kind, pooled, identity, config.triplet.margin)
        losses = {
            "identity": (1.0, cross_entropy(logits, identity)),
            "metric": (config.my_reid.weight, metric),
        }
        return Terms(losses, logits, identity)

    network = Network(config.data.identities, config.my_reid.width)
    return single_network(network, terms, lambda outputs: outputs[1], config)
