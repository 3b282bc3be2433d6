"""Convolutions that jreid computes as products of matrices, beside XLA's convolutions.

python -m experiments.benchmarks.convolutions [--rounds=R]

At the sizes of the synthetic dataset: kernels with more taps than their map has positions, such as
BNG attention's of 7 x 7, and the generators' transposed convolutions. Forward and backward,
compiled with the options of a training step; both forms take turns, and the median of each counts.
The table has milliseconds of processor time.
"""

import argparse
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from experiments.benchmarks.measure import by_turns
from jreid import markdown
from jreid.engine.step import COMPILER_OPTIONS
from jreid.nn.gan import Deconv
from jreid.nn.layers import wide_convolution
from jreid.process import configure

LAYOUT = ("NHWC", "HWIO", "NHWC")
CALLS = 10  # in a round


class Case(NamedTuple):
    """A convolution: its name, the shapes of images and kernel, and both forms."""

    name: str
    images: tuple[int, ...]
    kernel: tuple[int, ...]
    ours: Callable[[Any, Any], Any]
    xla: Callable[[Any, Any], Any]


def _transposed(x: Any, kernel: Any) -> Any:
    return Deconv(kernel.shape[-1]).apply({"params": {"kernel": kernel}}, x)


_convolve = partial(lax.conv_general_dilated, window_strides=(1, 1), dimension_numbers=LAYOUT)
_wide = (wide_convolution, partial(_convolve, padding="SAME"))
_doubling = (_transposed, partial(_convolve, padding=[(2, 2)] * 2, lhs_dilation=(2, 2)))
CASES = (
    Case("7 x 7 on 6 x 3, 128 to 32 channels", (64, 6, 3, 128), (7, 7, 128, 32), *_wide),
    Case("7 x 7 on 6 x 3, 32 to 128", (64, 6, 3, 32), (7, 7, 32, 128), *_wide),
    Case("7 x 7 on 6 x 3, 64 to 16", (64, 6, 3, 64), (7, 7, 64, 16), *_wide),
    Case("3 x 3 on 4 x 2, 128 to 128", (64, 4, 2, 128), (3, 3, 128, 128), *_wide),
    Case("transposed 4 x 4 on 16 x 8, 32 to 16", (16, 16, 8, 32), (4, 4, 32, 16), *_doubling),
    Case("transposed 4 x 4 on 32 x 16, 16 to 8", (16, 32, 16, 16), (4, 4, 16, 8), *_doubling),
)


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    configure()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args(arguments)
    rows = [_row(case, options.rounds) for case in CASES]
    heads = ["forward and backward", "jreid, ms", "XLA's convolution, ms", "ratio"]
    print(markdown.table(heads, rows, numbers=3))


def _row(case: Case, rounds: int) -> list[str]:
    random = np.random.default_rng(0)
    arrays = [jnp.asarray(random.normal(size=shape), jnp.float32) for shape in case[1:3]]
    forms = {"ours": _calls(case.ours, arrays), "xla": _calls(case.xla, arrays)}
    seconds = by_turns(forms, rounds)
    ours, xla = (statistics.median(seconds[name].work) * 1e3 / CALLS for name in forms)
    return [case.name, f"{ours:.1f}", f"{xla:.1f}", f"{xla / ours:.1f}"]


def _calls(convolve: Callable[[Any, Any], Any], arrays: list[Any]) -> Callable[[], object]:
    """Computes the result and both gradients some times."""

    def gradients(x, kernel):
        return jax.grad(lambda x, kernel: jnp.square(convolve(x, kernel)).sum(), (0, 1))(x, kernel)

    options = COMPILER_OPTIONS.get(jax.default_backend(), {})
    compiled = jax.jit(gradients).lower(*arrays).compile(compiler_options=options)
    jax.block_until_ready(compiled(*arrays))
    return lambda: jax.block_until_ready([compiled(*arrays) for _ in range(CALLS)])


if __name__ == "__main__":
    main()
