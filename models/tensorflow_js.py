"""Writes published TensorFlow.js graphs as ONNX: convolutional networks with the operations of MobileNet.

Such a graph is a JSON file (GraphDef) beside a file of weights. It computes on (batch, height, width, channels), and
ONNX on (batch, channels, height, width); so kernels are transposed.
"""

import base64
import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

OPSET, IR_VERSION = 13, 8
"""Versions of ONNX that the file is written in."""

Array = NDArray[Any]
Node = Mapping[str, Any]


class ConversionError(Exception):
    """A graph holds what cannot be written as ONNX; the text names it."""


def convert(graph: Path, weights: Path, target: Path) -> None:
    """Writes a graph as ONNX, with a dynamic batch axis and outputs named as their nodes.

    Raises:
        ConversionError: the graph has an unknown operation, or the weights do not fit.
    """
    model = json.loads(graph.read_bytes())
    _Converter(model, _read_weights(model, weights)).write(target)


def _read_weights(model: Node, file: Path) -> dict[str, Array]:
    """Returns the weights by name: float32 (stored in half precision or not) and int32."""
    content, start, arrays = file.read_bytes(), 0, dict[str, Array]()
    for entry in (entry for group in model["weightsManifest"] for entry in group["weights"]):
        stored = np.dtype(entry.get("quantization", entry)["dtype"])
        if stored.name not in ("float16", "float32", "int32"):
            raise ConversionError(f"{entry['name']} is stored as {stored.name}")
        count = int(np.prod(entry["shape"], dtype=np.int64))
        if start + count * stored.itemsize > len(content):
            raise ConversionError(f"{file.name} ends before {entry['name']}")
        values = np.frombuffer(content, stored, count, start).reshape(entry["shape"])
        arrays[entry["name"]] = values if stored.kind == "i" else values.astype(np.float32)
        start += values.nbytes
    if start != len(content):
        raise ConversionError(f"{file.name} has {len(content) - start} bytes more than the graph says")
    return arrays


class _Converter:
    def __init__(self, model: Node, weights: Mapping[str, Array]) -> None:
        self._graph, self._weights = model["modelTopology"]["node"], weights
        self._signature = model["signature"]
        self._users = Counter(name for node in self._graph for name in node.get("input", ()))
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, Array] = {}

    def write(self, target: Path) -> None:
        """Converts every node in order; a graph lists nodes after those that they need."""
        operations: dict[str, Callable[[Node], None]] = {
            "Conv2D": self._convolve, "DepthwiseConv2dNative": self._convolve, "Mean": self._mean,
            "_FusedMatMul": self._multiply, "Add": self._by_channel, "Mul": self._by_channel,
            "Minimum": self._limit, "Maximum": self._limit,
            "Relu": self._plain, "Sigmoid": self._plain, "Softmax": self._plain,
        }  # fmt: skip
        for node in self._graph:
            if node["op"] in ("Const", "Placeholder"):
                continue
            if node["op"] not in operations:
                raise ConversionError(f"{node['name']} is a {node['op']}, which is not known")
            operations[node["op"]](node)
        made = helper.make_graph(
            self._nodes,
            "converted",
            [_value(entry, channels_first=True) for entry in self._signature["inputs"].values()],
            [_value(entry) for entry in self._signature["outputs"].values()],
            [
                numpy_helper.from_array(np.ascontiguousarray(array), name)
                for name, array in self._constants.items()
            ],
        )
        model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model)
        onnx.save(model, target)

    def _emit(self, operation: str, node: Node, inputs: list[str], **attributes: Any) -> None:
        self._nodes.append(helper.make_node(operation, inputs, [node["name"]], **attributes))

    def _constant(self, name: str, change: Callable[[Array], Array] = lambda array: array) -> str:
        if name not in self._weights:
            raise ConversionError(f"{name} has no weights")
        self._constants[name] = change(self._weights[name])
        return name

    def _convolve(self, node: Node) -> None:
        """Kernels are (height, width, in, out), of a depthwise convolution (height, width, in, 1)."""
        attributes, (source, kernel) = node["attr"], node["input"]
        if (padding := _text(attributes["padding"]["s"])) != "SAME":
            raise ConversionError(f"{node['name']} has padding {padding}")
        depthwise = node["op"] != "Conv2D"
        axes = (2, 3, 0, 1) if depthwise else (3, 2, 0, 1)
        self._emit(
            "Conv",
            node,
            [source, self._constant(kernel, lambda array: array.transpose(axes))],
            strides=[int(step) for step in attributes["strides"]["list"]["i"][1:3]],
            group=self._weights[kernel].shape[2] if depthwise else 1,
            auto_pad="SAME_UPPER",
        )

    def _by_channel(self, node: Node) -> None:
        source, factor = node["input"]
        self._emit(node["op"], node, [source, self._constant(factor, lambda array: array.reshape(-1, 1, 1))])

    def _limit(self, node: Node) -> None:
        """A limit from above or below; ONNX Runtime fuses one Clip into the convolution before it, not Min and Max.

        A limit from below takes the one from above, if this comes right before it, into the same Clip.
        """
        source, limit = node["input"]
        if node["op"] == "Minimum":
            self._emit("Clip", node, [source, "", self._constant(limit)])
            return
        ends = [self._constant(limit)]
        if (
            self._users[source] == 1
            and (above := self._nodes[-1]).output[0] == source
            and above.op_type == "Clip"
        ):
            source, ends = above.input[0], [*ends, above.input[2]]
            self._nodes.pop()
        self._emit("Clip", node, [source, *ends])

    def _mean(self, node: Node) -> None:
        source, axes = node["input"]
        if sorted(self._weights[axes].tolist()) != [1, 2]:
            raise ConversionError(f"{node['name']} is a mean over other axes than height and width")
        self._emit("ReduceMean", node, [source], axes=[2, 3], keepdims=0)

    def _multiply(self, node: Node) -> None:
        source, matrix, bias = node["input"]
        fused = [_text(entry) for entry in node["attr"]["fused_ops"]["list"]["s"]]
        product = {"name": f"{node['name']}/product"} if "Relu" in fused else node
        if not set(fused) <= {"BiasAdd", "Relu"}:
            raise ConversionError(f"{node['name']} is fused with {fused}")
        self._emit("Gemm", product, [source, self._constant(matrix), self._constant(bias)])
        if product is not node:
            self._emit("Relu", node, [product["name"]])

    def _plain(self, node: Node) -> None:
        self._emit(node["op"], node, node["input"])


def _value(entry: Node, *, channels_first: bool = False) -> onnx.ValueInfoProto:
    sides = [int(axis["size"]) for axis in entry["tensorShape"]["dim"]][1:]
    if channels_first:
        sides = [sides[-1], *sides[:-1]]
    return helper.make_tensor_value_info(
        entry["name"].partition(":")[0], onnx.TensorProto.FLOAT, ["batch", *sides]
    )


def _text(encoded: str) -> str:
    return base64.b64decode(encoded).decode()
