"""JAX's matrix products, convolutions and pooling in ONNX.

JAX's images are `[N, H, W, C]` and its kernels `[H, W, I, O]`; ONNX has `[N, C, H, W]` and
`[O, I, H, W]`. Runtimes remove two transpositions that undo each other.
"""

from functools import partial
from typing import Any

import numpy as np

from jreid.errors import InputError
from jreid.export.onnx_graph import Graph, Linear, Value

LAST_CHANNELS = (0, 3, 1, 2)  # where JAX's outputs have N, C, H, W


def product(graph: Graph, equation: Any, x: Value, y: Value) -> Value:
    """`dot_general`."""
    (x_sum, y_sum), (x_batch, y_batch) = equation.params["dimension_numbers"]
    ranks = [len(one.aval.shape) for one in equation.invars]
    if not x_batch and (tuple(x_sum), tuple(y_sum), ranks[1]) == ((ranks[0] - 1,), (0,), 2):
        if isinstance(y, str) or isinstance(x, np.ndarray):
            return graph.add("MatMul", x, y)
        bias, build = np.zeros(y.shape[1], y.dtype), partial(_build_product, graph, x)
        return graph.add_linear(Linear(y, bias, 1, build, graph.images.get(x)))
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    x_names = [next(letters) for _ in range(ranks[0])]
    y_names = [next(letters) for _ in range(ranks[1])]
    for one, other in ((x_sum, y_sum), (x_batch, y_batch)):
        for x_axis, y_axis in zip(one, other, strict=True):
            y_names[y_axis] = x_names[x_axis]
    batch = [x_names[axis] for axis in x_batch]
    rest = [
        name
        for names, used in ((x_names, {*x_sum, *x_batch}), (y_names, {*y_sum, *y_batch}))
        for axis, name in enumerate(names)
        if axis not in used
    ]
    terms = ("".join(names) for names in (x_names, y_names, batch + rest))
    return graph.add("Einsum", x, y, equation="{},{}->{}".format(*terms))


def _build_product(graph: Graph, x: Value, kernel: np.ndarray, bias: np.ndarray) -> str:
    y = graph.add("MatMul", x, kernel)
    return graph.add("Add", y, bias) if bias.any() else y


def _given(bias: np.ndarray) -> tuple[np.ndarray, ...]:
    return (bias,) if bias.any() else ()


def convolution(graph: Graph, equation: Any, x: Value, kernel: Value) -> Value:
    """`conv_general_dilated`."""
    params = equation.params
    numbers, groups = params["dimension_numbers"], params["feature_group_count"]
    if params["batch_group_count"] != 1:
        raise InputError("ONNX exports do not support a convolution with groups of the batch.")
    x = permuted(graph, x, numbers.lhs_spec)
    kernel = permuted(graph, kernel, numbers.rhs_spec)
    low, high = zip(*params["padding"], strict=True)
    attributes: dict[str, Any] = {"group": groups, "dilations": [*params["rhs_dilation"]]}
    if any(stride != 1 for stride in params["lhs_dilation"]):
        y = _transposed_convolution(graph, equation, x, kernel, attributes)
    else:
        attributes |= {"strides": [*params["window_strides"]], "pads": [*low, *high]}
        if isinstance(kernel, np.ndarray) and numbers.out_spec == LAST_CHANNELS:
            build = partial(_build_convolution, graph, x, attributes)
            return graph.add_linear(Linear(kernel, np.zeros(len(kernel), np.float32), 0, build))
        y = graph.add("Conv", x, kernel, **attributes)
    return permuted(graph, y, np.argsort(numbers.out_spec))


def _build_convolution(
    graph: Graph, x: Value, attributes: dict[str, Any], kernel: np.ndarray, bias: np.ndarray
) -> str:
    y = graph.add("Conv", x, kernel, *_given(bias), **attributes)
    return graph.add("Transpose", y, perm=[0, 2, 3, 1])


def _transposed_convolution(
    graph: Graph, equation: Any, x: Value, kernel: Value, attributes: dict[str, Any]
) -> Value:
    """A convolution with zeros between the inputs, as the gradient of one with strides."""
    params = equation.params
    ones = attributes["group"] == 1 and {*attributes["dilations"], *params["window_strides"]} == {1}
    if not ones or isinstance(kernel, str):
        raise InputError("ONNX exports support transposed convolutions without groups or dilation.")
    pads = [
        [
            size - 1 - padding[side]
            for size, padding in zip(kernel.shape[2:], params["padding"], strict=True)
        ]
        for side in (0, 1)
    ]
    if min(*pads[0], *pads[1]) < 0:
        raise InputError("ONNX exports do not support the padding of a transposed convolution.")
    turned = np.ascontiguousarray(np.flip(kernel, (2, 3)).swapaxes(0, 1))
    strides = [*params["lhs_dilation"]]
    return graph.add("ConvTranspose", x, turned, strides=strides, pads=[*pads[0], *pads[1]])


def permuted(graph: Graph, x: Value, axes: Any) -> Value:
    """Transposes, a constant at once."""
    order = [int(axis) for axis in axes]
    return (
        x.transpose(order) if isinstance(x, np.ndarray) else graph.add("Transpose", x, perm=order)
    )


def max_pool(graph: Graph, equation: Any, x: Value) -> Value:
    """`reduce_window_max`."""
    params = equation.params
    size, strides = params["window_dimensions"], params["window_strides"]
    dilated = {*params["base_dilation"], *params["window_dilation"]} != {1}
    outer = (size[0], size[-1], strides[0], strides[-1], *params["padding"][0])
    if len(size) != 4 or dilated or outer != (1, 1, 1, 1, 0, 0):
        raise InputError("ONNX exports support the maximum of windows of height and width alone.")
    low, high = zip(*params["padding"][1:3], strict=True)
    y = graph.add(
        "MaxPool",
        permuted(graph, x, (0, 3, 1, 2)),
        kernel_shape=[*size[1:3]],
        strides=[*strides[1:3]],
        pads=[*low, *high],
    )
    return permuted(graph, y, (0, 2, 3, 1))


def build_pointwise(graph: Graph, image: Value, kernel: np.ndarray, bias: np.ndarray) -> str:
    """A convolution of 1x1 with a kernel `[I, O]`."""
    image = permuted(graph, image, (0, 3, 1, 2))
    y = graph.add("Conv", image, kernel.T[..., None, None], *_given(bias))
    return graph.add("Transpose", y, perm=[0, 2, 3, 1])
