"""A choice between two functions in ONNX: one graph where they differ in few weights, else `If`."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper

from jreid.errors import InputError
from jreid.export.onnx_graph import Graph, Value, onnx_type, used

# The share of a function's weights, at most, that are chosen instead of the function.
CHOSEN = 0.2


class Branch(NamedTuple):
    """One of the functions: its operations in order, and the names of its outputs."""

    nodes: list[onnx.NodeProto]
    outputs: list[str]


def branch(graph: Graph, equation: Any, index: Value, *inputs: Value) -> list[str]:
    """`cond`."""
    functions = equation.params["branches"]
    if len(functions) != 2:
        raise InputError(f"ONNX exports need a choice of 2 branches, not of {len(functions)}.")
    branches = []
    for function in functions:
        inner = Graph(graph.operators, graph)
        found = inner.walk(function.jaxpr, function.consts, inputs)
        # An output must be made by the subgraph itself.
        names = [inner.add("Identity", value) for value in found]
        branches.append(Branch(used(inner.nodes, names), names))
    second = graph.add("Equal", index, np.ones((), np.int32))
    if merge(graph, second, *branches):
        return branches[0].outputs
    first, other = (
        helper.make_graph(nodes, graph.new_name(), [], [*map(_about, names, function.out_avals)])
        for function, (nodes, names) in zip(functions, branches, strict=True)
    )
    outputs = len(equation.outvars)
    return graph.add_many("If", second, outputs=outputs, then_branch=other, else_branch=first)


def merge(graph: Graph, second: str, first: Branch, other: Branch) -> bool:
    """Adds the operations of the first branch with weights that are chosen, where that is possible.

    Runtimes compute that faster than an `If`: they prepare weights only in the outermost graph.
    """
    pairs = _differences(graph, first, other)
    if pairs is None:
        return False
    read = {name for node in first.nodes for name in node.input} & graph.constants.keys()
    every = sum(len(graph.constants[name].raw_data) for name in read)
    if sum(len(graph.constants[name].raw_data) for name in {x for _, _, x, _ in pairs}) > (
        CHOSEN * every
    ):
        return False
    chosen: dict[tuple[str, str], str] = {}
    for node, place, x, y in pairs:
        if (x, y) not in chosen:
            chosen[x, y] = graph.add("Where", second, y, x)
        first.nodes[node].input[place] = chosen[x, y]
    graph.nodes += first.nodes
    return True


def _differences(
    graph: Graph, first: Branch, other: Branch
) -> list[tuple[int, int, str, str]] | None:
    """The weights that differ, by the number and input of their operation; None if more differs."""
    if len(first.nodes) != len(other.nodes):
        return None
    same, pairs = {}, []
    for number, (node, twin) in enumerate(zip(first.nodes, other.nodes, strict=True)):
        if (node.op_type, [*node.attribute]) != (twin.op_type, [*twin.attribute]):
            return None
        if len(node.input) != len(twin.input):
            return None
        for place, (x, y) in enumerate(zip(node.input, twin.input, strict=True)):
            if x == same.get(y, y):
                continue
            weights = [graph.constants.get(name) for name in (x, y)]
            if not _are_alike(weights):
                return None
            pairs.append((number, place, x, y))
        same |= zip(twin.output, node.output, strict=True)
    return pairs if [same[name] for name in other.outputs] == first.outputs else None


def _are_alike(weights: Sequence[TensorProto | None]) -> bool:
    """Whether both are weights of one shape."""
    x, y = weights
    if x is None or y is None or [*x.dims] != [*y.dims]:
        return False
    return x.data_type == y.data_type == TensorProto.FLOAT


def _about(name: str, array: Any) -> onnx.ValueInfoProto:
    """The type and shape of a subgraph's output."""
    kind = helper.np_dtype_to_tensor_dtype(onnx_type(array.dtype))
    shape = [size if isinstance(size, int) else str(size) for size in array.shape]
    return helper.make_tensor_value_info(name, kind, shape)
