"""What each operation of JAX is in ONNX, opset 18."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from onnx import helper

from jreid.errors import InputError
from jreid.export.onnx_branch import branch
from jreid.export.onnx_graph import Graph, Value, is_static, onnx_type
from jreid.export.onnx_linear import build_pointwise, convolution, max_pool, product

LAST, FIRST = np.iinfo(np.int64).max, np.iinfo(np.int64).min  # ends of a slice

SAME = {
    "abs": "Abs",
    "and": "And",
    "ceil": "Ceil",
    "copy": "Identity",
    "cos": "Cos",
    "eq": "Equal",
    "erf": "Erf",
    "exp": "Exp",
    "floor": "Floor",
    "ge": "GreaterOrEqual",
    "gt": "Greater",
    "le": "LessOrEqual",
    "log": "Log",
    "logistic": "Sigmoid",
    "lt": "Less",
    "min": "Min",
    "neg": "Neg",
    "not": "Not",
    "optimization_barrier": "Identity",
    "or": "Or",
    "pow": "Pow",
    "sign": "Sign",
    "sin": "Sin",
    "sqrt": "Sqrt",
    "stop_gradient": "Identity",
    "tanh": "Tanh",
}


def _same(operator: str) -> Callable[..., Value]:
    return lambda graph, equation, *inputs: graph.add(operator, *inputs)


def _reduce(operator: str) -> Callable[..., Value]:
    def reduce(graph: Graph, equation: Any, x: Value) -> Value:
        axes = np.array(equation.params["axes"], np.int64)
        return graph.add(operator, x, axes, keepdims=0)

    return reduce


def _joined(operator: str) -> Callable[..., Value]:
    def join(graph: Graph, equation: Any, x: Value, y: Value) -> Value:
        return graph.join(operator, x, y) or graph.add(operator, x, y)

    return join


def _divide(graph: Graph, equation: Any, x: Value, y: Value) -> Value:
    # onnxruntime would make x * (1 / y) into x / y, which may round a pixel's level to another.
    if isinstance(x, np.ndarray) and x.dtype == np.float32 and x.shape == () and x == 1:
        return graph.add("Reciprocal", y)
    return graph.add("Div", x, y)


def _maximum(graph: Graph, equation: Any, x: Value, y: Value) -> Value:
    if isinstance(y, np.ndarray) and y.dtype == np.float32 and y.shape == () and y == 0:
        return graph.add("Relu", x)  # which runtimes merge with a convolution
    return graph.add("Max", x, y)


def _integer_power(graph: Graph, equation: Any, x: Value) -> Value:
    power = equation.params.get("y", 2)
    product = x
    for _ in range(abs(power) - 1):
        product = graph.add("Mul", product, x)
    if power == 0:
        raise InputError("ONNX exports do not support the power 0.")
    return graph.add("Reciprocal", product) if power < 0 else product


def _select(graph: Graph, equation: Any, which: Value, *cases: Value) -> Value:
    if len(cases) != 2:
        raise InputError(f"ONNX exports select from 2 arrays, not from {len(cases)}.")
    return graph.add("Where", which, cases[1], cases[0])


def _cast(graph: Graph, equation: Any, x: Value) -> Value:
    old, new = (onnx_type(one.aval.dtype) for one in (equation.invars[0], equation.outvars[0]))
    return x if old == new else graph.add("Cast", x, to=helper.np_dtype_to_tensor_dtype(new))


def _size_as_value(graph: Graph, equation: Any) -> Value:
    size = graph.size(equation.params["dim"])
    type = helper.np_dtype_to_tensor_dtype(onnx_type(equation.outvars[0].aval.dtype))
    return graph.add("Squeeze", graph.add("Cast", size, to=type))


def _iota(graph: Graph, equation: Any) -> Value:
    shape, axis = equation.params["shape"], equation.params["dimension"]
    start, step = np.zeros((), np.int64), np.ones((), np.int64)
    numbers = graph.add("Range", start, graph.add("Squeeze", graph.size(shape[axis])), step)
    type = helper.np_dtype_to_tensor_dtype(onnx_type(equation.params["dtype"]))
    return _expand(
        graph, graph.add("Cast", numbers, to=type), shape[axis : axis + 1], shape, [axis]
    )


def _broadcast(graph: Graph, equation: Any, x: Value) -> Value:
    params = equation.params
    before = equation.invars[0].aval.shape
    return _expand(graph, x, before, params["shape"], params["broadcast_dimensions"])


def _expand(
    graph: Graph, x: Value, before: Sequence[Any], after: Sequence[Any], axes: Sequence[int]
) -> Value:
    """Repeats an array, whose axes become `axes` of the new shape."""
    new = [axis for axis in range(len(after)) if axis not in axes]
    if new:
        x = graph.add("Unsqueeze", x, np.array(new, np.int64))
    aligned = [1] * len(after)
    for axis, size in zip(axes, before, strict=True):
        aligned[axis] = size
    return x if tuple(aligned) == tuple(after) else graph.add("Expand", x, graph.shape(after))


def _reshape(graph: Graph, equation: Any, x: Value) -> Value:
    before, sizes = equation.invars[0].aval.shape, equation.outvars[0].aval.shape
    linear = graph.linear.get(x) if isinstance(x, str) else None
    if linear and sizes[-1:] == before[-1:]:
        build = partial(_build_reshaped, graph, linear.build, sizes)
        if linear.source and linear.source[1][:-1] == sizes[:-1]:  # a convolution of 1x1
            build = partial(build_pointwise, graph, linear.source[0])
        return graph.add_linear(linear._replace(build=build, source=None))
    name = _reshaped(graph, x, sizes)
    if len(before) == 4 and len(sizes) == 2 and sizes[-1] == before[-1]:
        graph.images[name] = x, before
    return name


def _reshaped(graph: Graph, x: Value, sizes: Sequence[Any]) -> str:
    symbolic = [size for size in sizes if not isinstance(size, int)]
    if len(symbolic) == 1:  # the runtime computes it
        shape = np.array([size if isinstance(size, int) else -1 for size in sizes], np.int64)
        return graph.add("Reshape", x, shape)
    return graph.add("Reshape", x, graph.shape(sizes))


def _build_reshaped(
    graph: Graph, build: Any, sizes: Sequence[Any], kernel: np.ndarray, bias: np.ndarray
) -> str:
    return _reshaped(graph, build(kernel, bias), sizes)


def _transpose(graph: Graph, equation: Any, x: Value) -> Value:
    return graph.add("Transpose", x, perm=[*equation.params["permutation"]])


def _reverse(graph: Graph, equation: Any, x: Value) -> Value:
    axes = np.array(equation.params["dimensions"], np.int64)
    ones = np.ones_like(axes)
    return graph.add("Slice", x, -ones, FIRST * ones, axes, -ones)


def _slice(graph: Graph, equation: Any, x: Value) -> Value:
    params, shape = equation.params, equation.invars[0].aval.shape
    strides = params["strides"] or (1,) * len(shape)
    every = zip(params["start_indices"], params["limit_indices"], strides, shape, strict=True)
    cuts = [
        (axis, start, LAST if limit is size or limit == size else limit, stride)
        for axis, (start, limit, stride, size) in enumerate(every)
        if (start, stride) != (0, 1) or not (limit is size or limit == size)
    ]
    if not all(is_static(cut) for cut in cuts):
        raise InputError("ONNX exports do not support a slice that ends at a symbolic size.")
    if not cuts:
        return x
    axes, starts, ends, steps = (np.array(column, np.int64) for column in zip(*cuts, strict=True))
    return graph.add("Slice", x, starts, ends, axes, steps)


def _concatenate(graph: Graph, equation: Any, *inputs: Value) -> Value:
    return graph.add("Concat", *inputs, axis=equation.params["dimension"])


def _stack(graph: Graph, equation: Any, *inputs: Value) -> Value:
    axis = equation.params["axis"]
    rows = [graph.add("Unsqueeze", x, np.array([axis], np.int64)) for x in inputs]
    return rows[0] if len(rows) == 1 else graph.add("Concat", *rows, axis=axis)


def _split(graph: Graph, equation: Any, x: Value) -> list[str]:
    sizes, axis = equation.params["sizes"], equation.params["axis"]
    return graph.add_many("Split", x, np.array(sizes, np.int64), outputs=len(sizes), axis=axis)


def _pad(graph: Graph, equation: Any, x: Value, value: Value) -> Value:
    low, high, between = zip(*equation.params["padding_config"], strict=True)
    if any(between) or min(*low, *high) < 0:
        raise InputError(
            "ONNX exports do not support a padding between elements, or a negative one."
        )
    return graph.add("Pad", x, np.array([*low, *high], np.int64), value)


OPERATORS: dict[str, Callable[..., Value | list[str]]] = {
    **{name: _same(operator) for name, operator in SAME.items()},
    "reduce_max": _reduce("ReduceMax"),
    "reduce_min": _reduce("ReduceMin"),
    "reduce_sum": _reduce("ReduceSum"),
    "add": _joined("Add"),
    "mul": _joined("Mul"),
    "sub": _joined("Sub"),
    "div": _divide,
    "max": _maximum,
    "integer_pow": _integer_power,
    "square": _integer_power,
    "rsqrt": lambda graph, equation, x: graph.add("Reciprocal", graph.add("Sqrt", x)),
    "ne": lambda graph, equation, x, y: graph.add("Not", graph.add("Equal", x, y)),
    "clamp": lambda graph, equation, low, x, high: graph.add("Min", graph.add("Max", x, low), high),
    "rem": lambda graph, equation, x, y: graph.add("Mod", x, y, fmod=1),
    "select_n": _select,
    "convert_element_type": _cast,
    "dim_as_value": _size_as_value,
    "iota": _iota,
    "cond": branch,
    "broadcast_in_dim": _broadcast,
    "reshape": _reshape,
    "squeeze": _reshape,
    "transpose": _transpose,
    "rev": _reverse,
    "slice": _slice,
    "concatenate": _concatenate,
    "split": _split,
    "stack": _stack,
    "pad": _pad,
    "dot_general": product,
    "conv_general_dilated": convolution,
    "reduce_window_max": max_pool,
}
