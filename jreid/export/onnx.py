"""An embedder as an ONNX file, which onnxruntime and others read without JAX."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from jreid.export.embedder import Embedder

OPSET = 18
IR_VERSION = 9  # of the file; read by onnxruntime 1.15 and later
COMPATIBILITY = (
    f"ONNX opset {OPSET}: onnxruntime 1.15 and later read this file. Convolutions are computed in "
    "float32, also those of a model that computes them in bfloat16."
)
ABOUT = {"opset": OPSET, "compatibility": COMPATIBILITY}
PACKAGES = ("onnx", "onnxruntime")


def write(embedder: Embedder) -> bytes:
    """The file's content. The number, height and width of images are symbolic."""
    from onnx import TensorProto, checker, helper

    from jreid.export.onnx_graph import Graph, inputs_of, used
    from jreid.export.onnx_operators import OPERATORS

    sizes = jax.export.symbolic_shape("n, h, w")
    pixels = jax.ShapeDtypeStruct((*sizes, 3), jnp.uint8)
    traced = jax.jit(embedder).trace(pixels, jax.ShapeDtypeStruct((), jnp.int32)).jaxpr
    graph = Graph(OPERATORS)
    shape = graph.add("Shape", "pixels")
    for axis, size in enumerate("nhw"):
        place = np.array([axis], np.int64)
        graph.sizes[size] = graph.add("Gather", shape, place)
    (features,) = graph.walk(traced.jaxpr, traced.consts, ["pixels", "modality"])
    graph.nodes.append(helper.make_node("Identity", [graph.name_of(features)], ["features"]))
    inputs = [
        helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", "h", "w", 3]),
        helper.make_tensor_value_info("modality", TensorProto.INT32, []),
    ]
    D = traced.out_avals[0].shape[1]
    outputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", D])]
    nodes = used(graph.nodes, ["features"])
    read = set().union(*map(inputs_of, nodes))
    constants = [constant for name, constant in graph.constants.items() if name in read]
    whole = helper.make_graph(nodes, "embedder", inputs, outputs, constants)
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(
        whole, opset_imports=opset, ir_version=IR_VERSION, producer_name="jreid"
    )
    checker.check_model(model, full_check=True)
    return model.SerializeToString()


class Reader:
    """Embeds with a file's content alone, by onnxruntime on the CPU."""

    def __init__(self, content: bytes) -> None:
        import onnxruntime

        self._session: Any = onnxruntime.InferenceSession(
            content, providers=["CPUExecutionProvider"]
        )

    def __call__(
        self, pixels: UInt8[np.ndarray, "n h w 3"], modality: int
    ) -> Float[np.ndarray, "n d"]:
        """Unit vectors of N images of one modality: 0 is visible, 1 is infrared."""
        inputs = {"pixels": pixels, "modality": np.array(modality, np.int32)}
        return self._session.run(["features"], inputs)[0]
