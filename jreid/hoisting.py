"""Compiled functions that take the numbers of a config as arguments.

XLA compiles a Python number into the code, so a run with another weight of a loss would compile its
own. `hoistable` makes the number an array, and `Hoisted` compiles a function whose hoistable arrays
are arguments. So runs whose arrays have the same shapes share what is compiled.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from jax.sharding import Sharding
from jax.typing import ArrayLike


def hoistable(numbers: ArrayLike) -> Array:
    """A number or several, as an array that `Hoisted` gives to compiled code as an argument.

    A number of Python becomes a float. Within a nested `jax.jit` the array is compiled into the
    code.
    """
    if isinstance(numbers, Array):
        return numbers
    with jax.ensure_compile_time_eval():
        return jnp.asarray(float(numbers) if isinstance(numbers, int) else numbers)


class Hoisted:
    """A function as `jax.jit` has it, but compiled once for all values of hoistable arrays."""

    def __init__(
        self,
        function: Callable[..., Any],
        constants_sharding: Sharding,
        in_shardings: Sequence[Any],
        donate: int | None = None,
        **options: Any,
    ) -> None:
        """Nothing is traced before the first call.

        Args:
            function: takes and returns pytrees of arrays; it closes over hoistable ones.
            constants_sharding: of the hoistable arrays.
            in_shardings: of its arguments, which are positional.
            donate: the number of the argument whose memory is used for the results.
            options: of `jax.jit`.
        """
        self._function = function
        self._sharding = constants_sharding
        donated = () if donate is None else (donate,)
        self._plain = jax.jit(
            function, in_shardings=tuple(in_shardings), donate_argnums=donated, **options
        )
        self._options = {
            **options,
            "in_shardings": (constants_sharding, *in_shardings),
            "donate_argnums": tuple(number + 1 for number in donated),
        }
        self._bound: dict[Any, tuple[Any, list[np.ndarray]]] = {}  # by the arguments' shapes
        self._placed: dict[Any, list[Array]] = {}  # the constants on their devices

    def __call__(self, *arguments: Any) -> Any:
        settings: Any = jax.config
        if settings.jax_disable_jit or settings.jax_debug_nans or settings.jax_debug_infs:
            return self._plain(*arguments)  # JAX then names the operation and the line
        function, constants = self.bind(*arguments)
        if function not in self._placed:
            self._placed[function] = jax.device_put(constants, self._sharding)
        return function(self._placed[function], *arguments)

    def lower(self, *arguments: Any) -> Any:
        """As `lower` of `jax.jit`: arguments are arrays or their shapes."""
        function, constants = self.bind(*arguments)
        return function.lower(constants, *arguments)

    def bind(self, *arguments: Any) -> tuple[Any, list[np.ndarray]]:
        """The function from `jax.jit` for such arguments, and its first one: the constants."""
        leaves, tree = jax.tree.flatten(arguments)
        shapes = tuple((leaf.shape, leaf.dtype) for leaf in leaves)
        config: Any = jax.config
        settings = config.jax_default_matmul_precision, config.jax_enable_x64
        key = tree, shapes, settings
        if key not in self._bound:
            self._bound[key] = self._trace(arguments)
        return self._bound[key]

    def _trace(self, arguments: tuple[Any, ...]) -> tuple[Any, list[np.ndarray]]:
        closed, results = jax.make_jaxpr(self._function, return_shape=True)(*arguments)
        tree = jax.tree.structure(results)
        hoisted = [number for number, one in enumerate(closed.consts) if _is_hoistable(one)]

        def function(constants: list[Array], *arguments: Any) -> Any:
            given = dict(zip(hoisted, constants, strict=True))
            consts = [given.get(number, one) for number, one in enumerate(closed.consts)]
            run = jaxpr_as_fun(ClosedJaxpr(closed.jaxpr, consts))
            return tree.unflatten(run(*jax.tree.leaves(arguments)))

        function.__name__ = getattr(self._function, "__name__", "function")
        constants = [np.asarray(closed.consts[number]) for number in hoisted]
        return jax.jit(function, **self._options), constants


def _is_hoistable(constant: Any) -> bool:
    """Whether it is an array on this process's devices; random keys and numpy's arrays are not."""
    numeric = isinstance(constant, Array) and isinstance(constant.dtype, np.dtype)
    return numeric and constant.is_fully_addressable
