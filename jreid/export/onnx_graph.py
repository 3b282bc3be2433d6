"""Builds an ONNX graph from a jaxpr, JAX's list of the operations of a function.

An operation on constants is computed while the graph is built. For each other one
`onnx_operators.OPERATORS` says what it is in ONNX.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.extend.core as core
import numpy as np
import onnx
from onnx import helper, numpy_helper

from jreid.errors import InputError

# The name of a value that is computed when the graph runs, or a constant.
Value: TypeAlias = str | np.ndarray
FOLDED = 1 << 24  # elements of a constant, at most, that is computed here


def onnx_type(dtype: Any) -> np.dtype:
    """The type of a JAX array in the graph: bfloat16 is float32, which ONNX runtimes have."""
    return np.dtype(np.float32 if jax.numpy.issubdtype(dtype, jax.numpy.floating) else dtype)


class Linear(NamedTuple):
    """A convolution or matrix product with constant weights: scales and shifts join its weights.

    Attributes:
        kernel: its weights.
        bias: `[C]`, one for each output channel, the last axis of the output.
        axis: of the kernel, the output channels.
        build: adds the operation for a kernel and a bias, and returns its output's name.
        source: where the input is a flattened image: the image and its shape `[N, H, W, C]`.
    """

    kernel: np.ndarray
    bias: np.ndarray
    axis: int
    build: Callable[[np.ndarray, np.ndarray], str]
    source: tuple[Value, tuple[Any, ...]] | None = None


class Graph:
    """An ONNX graph while it is built.

    Attributes:
        nodes: its operations so far; some may have no use.
        linear: by the names of their outputs, the convolutions and products.
        images: by the names of flattened images, these images and their shapes.
        constants: by name; equal ones are stored once, and subgraphs share them.
        sizes: the names of the symbolic sizes of the inputs' axes: values of shape [1], int64.
    """

    def __init__(self, operators: Mapping[str, Any], outer: "Graph | None" = None) -> None:
        self.operators = operators
        self.nodes: list[onnx.NodeProto] = []
        self.linear: dict[str, Linear] = {}
        self.images: dict[str, tuple[Value, tuple[Any, ...]]] = {}
        self.constants: dict[str, onnx.TensorProto] = outer.constants if outer else {}
        self.sizes: dict[str, str] = outer.sizes if outer else {}
        self._names: list[None] = outer._names if outer else []  # as many as there are names

    def add(self, operator: str, *inputs: Value, **attributes: Any) -> str:
        """Adds an operation with one output, and returns the output's name."""
        return self.add_many(operator, *inputs, outputs=1, **attributes)[0]

    def add_many(self, operator: str, *inputs: Value, outputs: int, **attributes: Any) -> list[str]:
        """Adds an operation, and returns the names of its outputs."""
        names = [self.new_name() for _ in range(outputs)]
        given = [self.name_of(value) for value in inputs]
        self.nodes.append(helper.make_node(operator, given, names, names[0], **attributes))
        return names

    def add_linear(self, linear: Linear) -> str:
        """Adds a convolution or product, and remembers it under its output's name."""
        name = linear.build(linear.kernel, linear.bias)
        self.linear[name] = linear
        return name

    def join(self, operator: str, x: Value, y: Value) -> str | None:
        """The product or sum of a `Linear` and constants as a `Linear`; None if it is not one."""
        if isinstance(x, np.ndarray) and operator != "Sub":
            x, y = y, x
        linear = self.linear.get(x) if isinstance(x, str) else None
        if linear is None or isinstance(y, str):
            return None
        if y.size not in (1, linear.bias.size) or y.shape[-1:] not in ((), (y.size,)):
            return None
        values = np.broadcast_to(y.reshape(-1), linear.bias.shape)
        if operator == "Mul":
            shape = [1] * linear.kernel.ndim
            shape[linear.axis] = -1
            kernel = linear.kernel * values.reshape(shape)
            return self.add_linear(linear._replace(kernel=kernel, bias=linear.bias * values))
        bias = linear.bias + (values if operator == "Add" else -values)
        return self.add_linear(linear._replace(bias=bias))

    def new_name(self) -> str:
        """A name that nothing in the file has."""
        self._names.append(None)
        return f"v{len(self._names)}"

    def name_of(self, value: Value) -> str:
        """The name of a value; a constant is stored in the file."""
        if isinstance(value, str):
            return value
        array = np.ascontiguousarray(value).reshape(value.shape)
        content = f"{array.dtype} {array.shape} ".encode() + array.tobytes()
        name = f"c{hashlib.sha256(content).hexdigest()[:24]}"
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(array, name)
        return name

    def shape(self, sizes: Sequence[Any]) -> Value:
        """A shape as an int64 vector; sizes may be symbolic."""
        if is_static(sizes):
            return np.array(sizes, np.int64)
        return self.add("Concat", *map(self.size, sizes), axis=0)

    def size(self, size: Any) -> Value:
        """A size, which may be symbolic, as an int64 vector of one element."""
        if isinstance(size, int):
            return np.array([size], np.int64)
        if str(size) not in self.sizes:
            raise InputError(f"ONNX exports cannot compute the size {size} of an array.")
        return self.sizes[str(size)]

    def walk(
        self, jaxpr: core.Jaxpr, consts: Sequence[Any], inputs: Sequence[Value]
    ) -> list[Value]:
        """Adds the operations of a jaxpr, and returns the values of its outputs.

        Raises:
            InputError: an operation has no counterpart in the table.
        """
        known: dict[Any, Value] = dict(zip(jaxpr.invars, inputs, strict=True))
        known |= zip(jaxpr.constvars, map(constant, consts), strict=True)

        def read(atom: Any) -> Value:
            return constant(atom.val) if isinstance(atom, core.Literal) else known[atom]

        for equation in jaxpr.eqns:
            outputs = self._apply(equation, [*map(read, equation.invars)])
            known |= zip(equation.outvars, outputs, strict=True)
        return [*map(read, jaxpr.outvars)]

    def _apply(self, equation: core.JaxprEqn, inputs: list[Value]) -> Sequence[Value]:
        name, params = equation.primitive.name, equation.params
        for key in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
            if key in params:
                inner = params[key]
                if isinstance(inner, core.ClosedJaxpr):
                    return self.walk(inner.jaxpr, inner.consts, inputs)
                return self.walk(inner, (), inputs)
        if _is_foldable(equation, inputs):
            found = equation.primitive.bind(*map(jax.numpy.asarray, inputs), **params)
            return [
                constant(one) for one in (found if isinstance(found, list | tuple) else [found])
            ]
        if name not in self.operators:
            raise InputError(
                f"ONNX exports do not support the operation {name} of JAX, which this model uses; "
                "choose --format=stablehlo."
            )
        found = self.operators[name](self, equation, *inputs)
        return found if isinstance(found, list) else [found]


def used(nodes: Sequence[onnx.NodeProto], outputs: Iterable[str]) -> list[onnx.NodeProto]:
    """The operations that the outputs depend on, in order."""
    needed, kept = {*outputs}, []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            kept.append(node)
            needed |= inputs_of(node)
    return kept[::-1]


def inputs_of(node: onnx.NodeProto) -> set[str]:
    """The names that an operation reads, its subgraphs included."""
    graphs = [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    return {*node.input}.union(*(inputs_of(inner) for graph in graphs for inner in graph.node))


def constant(value: Any) -> np.ndarray:
    """A constant as a numpy array of a type that the graph has."""
    return np.asarray(value, onnx_type(jax.numpy.result_type(value)))


def is_static(sizes: Sequence[Any]) -> bool:
    """Whether no size is symbolic."""
    return all(isinstance(size, int) for size in sizes)


def _is_foldable(equation: core.JaxprEqn, inputs: Sequence[Value]) -> bool:
    shapes = [one.aval.shape for one in equation.outvars]  # pyright: ignore
    return (
        equation.primitive.name != "dim_as_value"  # of a symbolic size
        and not any(isinstance(value, str) for value in inputs)
        and all(map(is_static, shapes))
        and all(np.prod(shape) <= FOLDED for shape in shapes)
    )
