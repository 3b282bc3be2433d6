"""The maximum of 3x3 windows with stride 2, and its gradient, which XLA computes slowly on CPUs."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

TAPS = [(i, j) for i in range(3) for j in range(3)]


@jax.custom_vjp
def max_pool(x: Float[Array, "n h w c"]) -> Float[Array, "n (h+1)//2 (w+1)//2 c"]:
    """The maximum of each 3x3 window; windows are 2 apart and reach 1 beyond the border.

    The gradient goes to a window's first maximum, row by row, as PyTorch's does.
    """
    return _maximum(x)


def _maximum(x: Array) -> Array:
    padding = ((0, 0), (1, 1), (1, 1), (0, 0))
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), padding)


def _forward(x: Array) -> tuple[Array, Array]:
    return _maximum(x), x


def _backward(x: Array, gradient: Array) -> tuple[Array]:
    dx = lax.platform_dependent(
        x, gradient, cpu=_gradient_by_position, default=_gradient_by_scattering
    )
    return (dx,)


def _gradient_by_scattering(x: Array, gradient: Array) -> Array:
    return jax.vjp(_maximum, x)[1](gradient)[0]


def _gradient_by_position(x: Array, gradient: Array) -> Array:
    """Elementwise: positions of even and odd rows and columns have each their own windows.

    Each window's first maximum is found among its taps alone, not by comparing them with the result
    of the forward pass: XLA may compute `x` again here, with other rounding, so that no tap equals
    that result, and the window's gradient is lost.
    """
    n, h, w, c = x.shape
    rows, columns = gradient.shape[1:3]
    border = ((0, 0), (1, 1), (1, 1), (0, 0))
    padded = jnp.pad(x, border, constant_values=-jnp.inf)
    first = jnp.zeros(gradient.shape, jnp.int32)  # of the taps, the first with the maximum
    greatest = jnp.full(gradient.shape, -jnp.inf, x.dtype)
    for tap, (i, j) in enumerate(TAPS):
        end = (n, i + 2 * rows - 1, j + 2 * columns - 1, c)
        window = lax.slice(padded, (0, i, j, 0), end, (1, 2, 2, 1))
        first = jnp.where(window > greatest, tap, first)
        greatest = jnp.maximum(window, greatest)
    following = ((0, 0), (0, 1), (0, 1), (0, 0))
    first = jnp.pad(first, following, constant_values=len(TAPS))
    # Without the barrier, XLA computes both maps again wherever they are read.
    first, gradient = lax.optimization_barrier((first, jnp.pad(gradient, following)))

    def through(tap: int) -> Array:
        """What position (2q, 2r), (2q, 2r + 1), ... gets as this tap of its window."""
        i, j = TAPS[tap]
        here = (slice(None), slice(i == 0, rows + (i == 0)), slice(j == 0, columns + (j == 0)))
        return jnp.where(first[here] == tap, gradient[here], jnp.zeros((), gradient.dtype))

    even_row = jnp.stack([through(4), through(5) + through(3)], 3)
    odd_row = jnp.stack([through(7) + through(1), sum(map(through, (8, 6, 2, 0)))], 3)
    return jnp.stack([even_row, odd_row], 2).reshape(n, 2 * rows, 2 * columns, c)[:, :h, :w]


max_pool.defvjp(_forward, _backward)
