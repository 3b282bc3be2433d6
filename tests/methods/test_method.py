"""A method with one network: what it computes from the network's terms."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from jreid.config import load as load_config
from jreid.methods import Terms, single_network


class Identity(nn.Module):
    """Logits of the identity that each image shows by its color; one modality, then the other."""

    @nn.compact
    def __call__(self, images, train):
        self.param("unused", nn.initializers.zeros, ())
        return jnp.concatenate(
            [jax.nn.one_hot(x[:, 0, 0, 0].astype(jnp.int32), 8) for x in images.values()]
        )


@pytest.mark.parametrize(("order", "accuracy"), [(jnp.tile, 1.0), (jnp.repeat, 0.25)])
def test_the_accuracy_is_of_the_identities_that_the_terms_name(order, accuracy):
    def terms(logits, batch):
        return Terms({}, logits, order(batch["identity"], 2))

    identity = jnp.arange(4)
    color = jnp.broadcast_to(identity[:, None, None, None].astype(jnp.float32), (4, 2, 2, 3))
    batch = {"visible": color, "infrared": color, "identity": identity}
    (player,) = single_network(Identity(), terms, lambda x: x, load_config("agw:tiny")).players
    _, (metrics, _) = player.loss({"unused": 0.0}, {}, batch, jax.random.key(0), jnp.zeros(()))
    assert metrics["accuracy"] == accuracy
