"""Grad-CAM of any method's embeddings: the regions of an image that they depend on."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array

from jreid.errors import InputError
from jreid.nn.colors import to_unit
from jreid.nn.resnet import ResNet
from jreid.nn.visualize import grad_cam_heat, overlay_heat

Place = tuple[tuple[str, ...], int]  # a module's path, and which of its calls


def grad_cam_of(embed: Callable[..., Array]) -> Callable[..., Array]:
    """`(variables, images [N, H, W, 3], modality)` to pixels `[N, H, 2W, 3]` in 0..1.

    The images and, to their right, a heat map: how much each region of the last map adds to the
    length of the embedding, which is its product with itself. The last map is the ResNet's; in a
    network without one, it is the last output of a module that has more than one row, column and
    channel.

    Args:
        embed: as `Method.embed`, of a network of Flax's modules.
    """

    def pictures(variables: Any, images: Array, modality: str) -> Array:
        def embedded(tap: Callable[[Place, bool, Array], Array]) -> Array:
            """The embeddings; `tap` gets every map, and whether it is a ResNet's last one."""
            calls: Counter[tuple[str, ...]] = Counter()

            def intercept(call: Any, args: Any, options: Any, context: Any) -> Any:
                output: Any = call(*args, **options)
                several = isinstance(output, tuple | list) and len(output) > 0
                last: Any = [*output][-1] if several else output
                if context.method_name != "__call__" or not _is_map(last):
                    return output
                path = context.module.path
                calls[path] += 1
                last = tap((path, calls[path]), isinstance(context.module, ResNet), last)
                if not several:
                    return last
                values = [*output[:-1], last]
                of_fields: Any = getattr(type(output), "_make", type(output))  # of a NamedTuple
                return of_fields(values)

            with nn.intercept_methods(intercept):
                return embed(variables, images, modality)

        found: list[tuple[bool, Place, jax.ShapeDtypeStruct]] = []

        def note(place: Place, of_resnet: bool, x: Array) -> Array:
            found.append((of_resnet, place, jax.ShapeDtypeStruct(x.shape, x.dtype)))
            return x

        jax.eval_shape(lambda: embedded(note))
        if not found:
            raise InputError("The method's network has no map of an image's regions to show.")
        _, place, shape = ([one for one in found if one[0]] or found)[-1]

        def score(change: Array) -> tuple[Array, Array]:
            maps: list[Array] = []

            def add(here: Place, _: bool, x: Array) -> Array:
                if here != place:
                    return x
                maps.append(x)
                return x + change

            features = embedded(add)
            return (features * jax.lax.stop_gradient(features)).sum(), maps[0]

        gradient, last = jax.grad(score, has_aux=True)(jnp.zeros(shape.shape, shape.dtype))
        heat = grad_cam_heat(last, gradient)
        pixels = jnp.clip(to_unit(images), 0, 1)
        return jnp.concatenate([pixels, overlay_heat(pixels, heat)], axis=2)

    return pictures


def _is_map(value: Any) -> bool:
    return isinstance(value, jax.Array) and value.ndim == 4 and min(value.shape[1:]) > 1
