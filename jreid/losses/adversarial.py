"""Losses of discriminators and generators, and the cycle loss that keeps an image's content."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jreid.losses._checks import checked, require

FORMS = ("lsgan", "log")


@checked
def real_or_fake(logits: Float[Array, "..."], real: bool, form: str = "lsgan") -> Float[Array, ""]:
    """How far a discriminator is from calling all of these real, or all of them fake.

    Args:
        logits: of any shape; the loss is the mean over all patches of all images. Any float type,
            computed in float32.
        real: the answer that has the least loss: True for real, False for fake.
        form: `lsgan`, the squared distance from 1 or 0 (Mao et al., 2017), as CycleGAN and AlignGAN
            have it; `log`, -log D or -log(1 - D) with D the sigmoid (Goodfellow et al., 2014), as
            PFANet (2022) prints it in equations 1, 3 and 4, where it is maximized.

    Raises:
        ValueError: arrays that do not fit their annotations, or an unknown form.

    >>> float(real_or_fake(jnp.array([[1.0, 3.0]]), real=True))
    2.0
    """
    require(form, FORMS, "form")
    logits = logits.astype(jnp.float32)
    if form == "lsgan":
        return ((logits - float(real)) ** 2).mean()
    return jax.nn.softplus(-logits if real else logits).mean()


@checked
def discriminator_loss(
    real: Float[Array, "..."], fakes: Sequence[Float[Array, "..."]], form: str = "lsgan"
) -> Float[Array, ""]:
    """Half the loss on what is real plus half the mean loss over the sets of what is fake.

    PFANet (2022), equations 2 to 5, where there are three sets of pairs (image, features). The
    factor of one half is from CycleGAN and AlignGAN. The arguments are those of `real_or_fake`.

    Raises:
        ValueError: arrays that do not fit their annotations, or an unknown form.

    >>> float(discriminator_loss(jnp.array([2.0]), [jnp.array([1.0]), jnp.array([3.0])]))
    3.0
    """
    fake = jnp.stack([real_or_fake(logits, False, form) for logits in fakes]).mean()
    return (real_or_fake(real, True, form) + fake) / 2


@checked
def cycle_loss(
    visible: Float[Array, "n h w c"],
    visible_again: Float[Array, "n h w c"],
    infrared: Float[Array, "m h w c"],
    infrared_again: Float[Array, "m h w c"],
) -> Float[Array, ""]:
    """Mean absolute difference between images and their reconstructions (PFANet, equation 6).

    Raises:
        ValueError: arrays that do not fit their annotations.

    >>> visible, infrared = jnp.zeros((2, 1, 2, 3)), jnp.ones((1, 1, 2, 3))
    >>> float(cycle_loss(visible, visible + 0.5, infrared, infrared / 4))
    1.25
    """
    return jnp.abs(visible_again - visible).mean() + jnp.abs(infrared_again - infrared).mean()


@checked
def relative_variation(
    images: Float[Array, "n h w c"], real: Float[Array, "m h w c"]
) -> Float[Array, ""]:
    """How much images differ from each other, divided by how much real ones do.

    The variance over images at each pixel, averaged over pixels. If it is near 0, a generator has
    collapsed: it makes the same image from every input.
    """
    return images.var(0).mean() / jnp.maximum(real.var(0).mean(), 1e-12)


@checked
def brightness_correlation(
    images: Float[Array, "n h w c"], originals: Float[Array, "n h w c"]
) -> Float[Array, ""]:
    """Whether images are bright where their originals are: Pearson's correlation, -1 to 1.

    Of the mean over channels, at all pixels of an image; averaged over images. An image without
    contrast counts 0. Below 0, a generator makes negatives, which an adversarial loss and a cycle
    loss cannot notice.
    """
    x, y = (_centered(values.mean(-1).reshape(len(values), -1)) for values in (images, originals))
    lengths = jnp.linalg.norm(x, axis=1) * jnp.linalg.norm(y, axis=1)
    return ((x * y).sum(1) / jnp.maximum(lengths, 1e-12)).mean()


def _centered(x: Float[Array, "n d"]) -> Float[Array, "n d"]:
    return x - x.mean(1, keepdims=True)
