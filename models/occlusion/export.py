"""Exports the trained network to ONNX: ``python -m models.occlusion.export --weights FILE --out FILE``.

The graph is built node by node, without an exporter. Batch normalisation is folded into the convolutions. Weights are
stored as 8-bit integers with a scale for each channel (6 MB instead of 24); the graph dequantises them, which ONNX
Runtime does once when it loads the file, and computes in float32. The graph first shrinks its input to the side of
the last training stage.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import structlog
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from models.occlusion.data import SIDE
from models.occlusion.evaluate import Classifier
from models.occlusion.network import Block, ResNet18

log = structlog.get_logger(__name__)

OPSET, IR_VERSION = 18, 8
INT8_MAX = 127
Float = NDArray[np.float32]


class Graph:
    """An ONNX graph under construction; the methods return the name of their output.

    Args:
        quantised: store the weights of convolutions as 8-bit integers instead of float32.
    """

    def __init__(self, quantised: bool) -> None:
        self._quantised = quantised
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Adds a node."""
        self._nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def weights(self, name: str, values: Float) -> str:
        """Adds float32 weights."""
        self._weights.append(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))
        return name

    def shrunk(self, x: str, side: int) -> str:
        """Adds the mean over squares of pixels, which shrinks the pictures as the training does.

        Raises:
            ValueError: 224 is no multiple of ``side``.
        """
        if SIDE % side:
            raise ValueError(f"{SIDE} is no multiple of the side {side}")
        pixels = [SIDE // side] * 2
        return self.node("AveragePool", [x], "shrunk", kernel_shape=pixels, strides=pixels)

    def conv(self, x: str, name: str, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> str:
        """Adds a convolution with the following batch normalisation folded in."""
        gain = _array(norm.weight) / np.sqrt(_array(norm.running_var) + norm.eps)
        kernel = _array(conv.weight) * gain[:, None, None, None]
        bias = _array(norm.bias) - _array(norm.running_mean) * gain
        pad, stride = int(conv.padding[0]), int(conv.stride[0])
        return self.node(
            "Conv", [x, self._kernel(f"{name}.kernel", kernel), self.weights(f"{name}.bias", bias)], name,
            pads=[pad] * 4, strides=[stride] * 2,
        )  # fmt: skip

    def model(self, output: str) -> onnx.ModelProto:
        """Returns the checked model with this output."""
        pictures = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])
        logits = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", 2])
        graph = helper.make_graph(self._nodes, "occlusion", [pictures], [logits], self._weights)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="faces"
        )
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model, full_check=True)
        return model

    def _kernel(self, name: str, kernel: Float) -> str:
        if not self._quantised:
            return self.weights(name, kernel)
        scale = np.maximum(np.abs(kernel).max(axis=(1, 2, 3), keepdims=True), 1e-12) / INT8_MAX
        whole = np.rint(kernel / scale).astype(np.int8)
        self._weights.append(numpy_helper.from_array(whole, f"{name}.int8"))
        wide = self.node("Cast", [f"{name}.int8"], f"{name}.wide", to=TensorProto.FLOAT)
        return self.node("Mul", [wide, self.weights(f"{name}.scale", scale)], name)


def exported(network: ResNet18, quantised: bool, side: int = SIDE) -> onnx.ModelProto:
    """Returns the graph, (N, 3, 224, 224) float32 → (N, 2) logits.

    Args:
        side: of the pictures in the last training stage; the graph first shrinks its input to it.
    """
    graph, stem, head = Graph(quantised), network.stem, network.head
    x = "input" if side == SIDE else graph.shrunk("input", side)
    x = graph.node("Relu", [graph.conv(x, "stem", stem[0], stem[1])], "stem.relu")
    x = graph.node("MaxPool", [x], "stem.pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    for number, block in enumerate(network.stages):
        x = _block(graph, x, f"block{number}", block)
    x = graph.node("Flatten", [graph.node("GlobalAveragePool", [x], "pool")], "features")
    linear = head[-1]
    weights = (
        graph.weights("head.weight", _array(linear.weight)),
        graph.weights("head.bias", _array(linear.bias)),
    )
    return graph.model(graph.node("Gemm", [x, *weights], "logits", transB=1))


def _block(graph: Graph, x: str, name: str, block: Block) -> str:
    inner = graph.node("Relu", [graph.conv(x, f"{name}.conv1", block.conv1, block.bn1)], f"{name}.relu1")
    inner = graph.conv(inner, f"{name}.conv2", block.conv2, block.bn2)
    shortcut = block.shortcut
    past = (
        x
        if isinstance(shortcut, nn.Identity)
        else graph.conv(x, f"{name}.shortcut", shortcut[0], shortcut[1])
    )
    return graph.node("Relu", [graph.node("Add", [inner, past], f"{name}.sum")], f"{name}.relu2")


def difference(network: ResNet18, file: Path, side: int = SIDE, batch: int = 8) -> float:
    """Returns the largest difference of a probability between the network and its export, on random pictures."""
    pictures = torch.randn(batch, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        small = nn.functional.avg_pool2d(pictures, SIDE // side)
        expected = network.eval()(small).softmax(dim=1)[:, 1].numpy()
    return float(np.abs(Classifier(file).probabilities(pictures.numpy()) - expected).max())


def _array(values: Any) -> Float:
    return np.asarray(values.detach().cpu().numpy(), np.float32)


def mean_of(weights: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Returns the mean of the weights of runs that began from one another (Wortsman et al. 2022, "Model soups")."""
    first = weights[0]
    return {
        name: torch.stack([one[name] for one in weights]).mean(0) if value.is_floating_point() else value
        for name, value in first.items()
    }


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description="Export the occlusion classifier to ONNX.")
    parser.add_argument(
        "--weights",
        type=Path,
        nargs="+",
        required=True,
        help="weights.pt as the training writes it; of several, their mean is exported",
    )
    parser.add_argument("--out", type=Path, required=True, help="the ONNX file")
    parser.add_argument("--side", type=int, default=SIDE, help=f"of the last training stage (default {SIDE})")
    parser.add_argument("--float32", action="store_true", help="store the weights as they are")
    args = parser.parse_args()
    network = ResNet18()
    network.load_state_dict(mean_of([torch.load(file, weights_only=True) for file in args.weights]))
    onnx.save(exported(network.eval(), not args.float32, args.side), args.out)
    log.info(
        "network exported",
        file=str(args.out),
        bytes=args.out.stat().st_size,
        difference=difference(network, args.out, args.side),
    )


if __name__ == "__main__":
    main()
