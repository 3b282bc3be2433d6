"""A method with one network: what it computes from the network's terms."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from jreid.config import load as load_config
from jreid.errors import InputError
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


class Marked(nn.Module):
    """Features `2 w x` of all images, which the losses see through a further factor of 5."""

    @nn.compact
    def __call__(self, images, train):
        x = jnp.stack([images["visible"], images["infrared"]]).mean((2, 3, 4))
        scale = self.param("w", nn.initializers.ones, ())
        return 5 * self.perturb("features", 2 * scale * x)


def test_the_share_of_distillation_is_of_the_gradient_at_the_marked_features():
    def of_terms(features, batch):
        losses = {"own": (1.0, features.sum()), "taught": (0.5, -6 * features[0].sum())}
        return Terms(losses, jnp.zeros((1, 2)), jnp.zeros(1, jnp.int32))

    method = single_network(
        Marked(),
        of_terms,
        lambda x: x,
        load_config("agw:tiny"),
        distillation=("taught", "not_trained"),
    )
    images = jnp.ones((4, 2, 2, 3))
    batch = {"visible": images, "infrared": images, "identity": jnp.zeros(4, jnp.int32)}
    variables = method.init(jax.random.key(0), batch)
    assert list(variables) == ["params"]
    run = jax.value_and_grad(method.players[0].loss, has_aux=True)
    (loss, (metrics, _)), gradients = run(variables["params"], {}, batch, jax.random.key(0), 0.0)
    own, taught = 5 * 8**0.5, 15 * 4**0.5
    assert metrics["distillation_share"] == pytest.approx(taught / (own + taught))
    assert float(loss) == float(gradients["w"])  # all terms are linear in w = 1


def test_distillation_without_marked_features_is_refused_with_what_to_add():
    method = single_network(
        Identity(),
        lambda logits, batch: Terms({}, logits, jnp.repeat(batch["identity"], 2)),
        lambda x: x,
        load_config("agw:tiny"),
        distillation=("taught",),
    )
    color = jnp.zeros((4, 2, 2, 3))
    batch = {"visible": color, "infrared": color, "identity": jnp.arange(4)}
    with pytest.raises(InputError, match=r'self\.perturb\("features", x\)'):
        method.players[0].loss({"unused": 0.0}, {}, batch, jax.random.key(0), jnp.zeros(()))
