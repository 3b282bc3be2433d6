"""What discriminators and generators play for, and the cycle that keeps an image's content."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jreid.losses.shapes import checked

FORMS = ("lsgan", "log")


@checked
def real_or_fake(logits: Float[Array, "*n"], real: bool, form: str = "lsgan") -> Float[Array, ""]:
    """How far a discriminator is from calling all of these real, or all of them fake.

    Args:
        logits: of any shape; the mean over all patches of all images counts.
        form: `lsgan`, the squared distance from 1 or 0 (Mao et al., 2017), as CycleGAN and AlignGAN
            have it; `log`, -log D or -log(1 - D) with D the sigmoid (Goodfellow et al., 2014), as
            PFANet (2022) prints it in equations 1, 3 and 4, there to be maximised.

    Raises:
        ValueError: an unknown form.
    """
    logits = logits.astype(jnp.float32)
    if form == "lsgan":
        return ((logits - float(real)) ** 2).mean()
    if form == "log":
        return jax.nn.softplus(-logits if real else logits).mean()
    raise ValueError(f"adversarial loss {form!r} is none of {', '.join(FORMS)}")


def discriminator_loss(
    real: Float[Array, "*n"], fakes: Sequence[Float[Array, "*n"]], form: str = "lsgan"
) -> Float[Array, ""]:
    """Half the loss on what is real and half the mean over the sets of what is fake.

    PFANet's equations 2 to 5, where the sets are three of pairs (image, features), of equal sizes;
    the half is CycleGAN's and AlignGAN's.
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
    """Mean absolute difference of images and their ways there and back (PFANet, equation 6)."""
    return jnp.abs(visible_again - visible).mean() + jnp.abs(infrared_again - infrared).mean()


@checked
def relative_variation(
    images: Float[Array, "n h w c"], real: Float[Array, "m h w c"]
) -> Float[Array, ""]:
    """How much images differ from each other, as a share of how much real ones do.

    The variance over images at each place, averaged over places. Near 0 a generator has collapsed:
    it makes one image of all.
    """
    return images.var(0).mean() / jnp.maximum(real.var(0).mean(), 1e-12)
