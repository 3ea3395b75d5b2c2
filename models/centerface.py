"""Rewrites CenterFace's graph: pictures as bytes go in, and candidates come out instead of maps.

The published graph takes float32 planes, four times the bytes, and gives fifteen maps, of which detection reads a few
dozen places. Its sides had to be multiples of 32: larger ones were filled with black, which was computed like the
picture.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.prepare import TOLERANCE, PrepareError

CANDIDATE_SCORE = 0.1
"""Least score of a candidate: `facecore.detection.detector.HINT_SCORE`."""
REGRESSIONS = 14
"""Values of a candidate beside its score."""
OPSET = 13
"""Version of the operations: the first in which Split and Squeeze take their sizes and axes as inputs. Those of the
published graph (version 9) are the same in it."""
CHECKED_SIDES = 2, 128, 96
"""Pictures, height and width for the comparison."""
CHECKED_CANDIDATES = 50


def rewrite(source: Path, target: Path) -> float:
    """Writes the graph with other ends.

    Its input is a batch of pictures, (N, H, W, 3) bytes, blue-green-red, with sides divisible by 8, so that the maps
    of stride 4 are twice as large as those of stride 8. Its outputs are the n candidates of all pictures:

    - (n, 3): number of the picture, row and column in cells of 4 pixels;
    - (n,): score;
    - (n, 14): log of height and width, offset y, x, and five landmarks y, x, relative to the box.

    Args:
        source: as `models.prepare.prepare` writes it.

    Returns:
        The largest relative difference between both graphs at the candidates of noise.

    Raises:
        PrepareError: the difference is too large, or the candidates are others.
    """
    onnx.save(_rewritten(onnx.load(source), CANDIDATE_SCORE), target)
    return _compare(onnx.load(source))


def _rewritten(model: onnx.ModelProto, least_score: float) -> onnx.ModelProto:
    graph = model.graph
    model.opset_import[0].version, model.ir_version = OPSET, max(model.ir_version, 7)
    makers = {name: node for node in graph.node for name in node.output}
    (planes,) = graph.input
    heat, *others = (makers[output.name] for output in graph.output)
    heads = [makers[heat.input[0]], *others]
    nodes = [node for node in graph.node if node not in (heat, *heads)]
    _compose(graph, nodes)
    _cut(graph, nodes)
    _swap_colours(graph, nodes, planes.name)
    nodes = [
        helper.make_node("Transpose", ["pictures"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planes"], [planes.name], to=TensorProto.FLOAT),
        *nodes,
        *_candidates(graph, heads, least_score),
    ]
    used = {name for node in nodes for name in node.input}
    weights = [tensor for tensor in graph.initializer if tensor.name in used]
    name = graph.name
    model.graph.CopyFrom(helper.make_graph(nodes, name, _inputs(), _outputs(), weights))
    onnx.checker.check_model(model)
    return model


def _inputs() -> list[onnx.ValueInfoProto]:
    shape = ["batch", "height", "width", 3]
    return [helper.make_tensor_value_info("pictures", TensorProto.UINT8, shape)]


def _outputs() -> list[onnx.ValueInfoProto]:
    return [
        helper.make_tensor_value_info("places", TensorProto.INT64, ["candidates", 3]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["candidates"]),
        helper.make_tensor_value_info("regressions", TensorProto.FLOAT, ["candidates", REGRESSIONS]),
    ]


def _compose(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    """Makes one convolution of two of a single pixel each with nothing between them, where that is less work."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for second in nodes:
        first = next((node for node in nodes if node.output[0] == second.input[0]), None)
        if first is None or not first.op_type == second.op_type == "Conv":
            continue
        if sum(first.output[0] in node.input for node in nodes) > 1:
            continue
        kernels, biases, narrow, sums = (
            numpy_helper.to_array(weights[name]).astype(np.float64)
            for name in (*first.input[1:], *second.input[1:])
        )
        one_pixel = kernels.shape[2:] == narrow.shape[2:] == (1, 1)
        if not one_pixel or narrow.shape[0] * kernels.shape[1] >= kernels.size + narrow.size:
            continue
        for name, values in (
            (second.input[1], (narrow[:, :, 0, 0] @ kernels[:, :, 0, 0])[:, :, None, None]),
            (second.input[2], narrow[:, :, 0, 0] @ biases + sums),
        ):
            weights[name].CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))
        second.input[0] = first.input[0]
        nodes.remove(first)


def _cut(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    """Cuts enlarged maps to the size of the finer map that is added to them.

    The coarsest maps of a picture whose sides are no multiples of 32 cover more than the picture.
    """
    for name, values in (("corner", [0, 0]), ("plane_axes", [2, 3]), ("two", [2]), ("four", [4])):
        _constant(graph, name, values)
    users = {name: node for node in nodes for name in node.input}
    *coarse, _ = [node for node in nodes if node.op_type == "ConvTranspose"]
    for enlarging in coarse:
        name = enlarging.output[0]
        while (total := users[name]).op_type != "Add":
            name = total.output[0]
        (finer,) = set(total.input) - {name}
        shape, size, cut = f"{name}/shape", f"{name}/size", f"{name}/cut"
        position = nodes.index(total)
        nodes[position:position] = [
            helper.make_node("Shape", [finer], [shape]),
            helper.make_node("Slice", [shape, "two", "four"], [size]),
            helper.make_node("Slice", [name, "corner", size, "plane_axes"], [cut]),
        ]
        total.input[list(total.input).index(name)] = cut


def _swap_colours(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto], planes: str) -> None:
    """Gives the first convolution its kernels for red-green-blue in the order blue-green-red."""
    (first,) = (node for node in nodes if planes in node.input)
    (kernels,) = (tensor for tensor in graph.initializer if tensor.name == first.input[1])
    swapped = np.ascontiguousarray(numpy_helper.to_array(kernels)[:, ::-1])
    kernels.CopyFrom(numpy_helper.from_array(swapped, kernels.name))


def _candidates(
    graph: onnx.GraphProto, heads: Sequence[onnx.NodeProto], least_score: float
) -> list[onnx.NodeProto]:
    """Returns the nodes that compute all maps at once and take from them what lies at the candidates."""
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    (features,) = {head.input[0] for head in heads}
    for name, place in (("kernels", 1), ("biases", 2)):
        together = np.concatenate([weights[head.input[place]] for head in heads])
        graph.initializer.append(numpy_helper.from_array(together, name))
    graph.initializer.append(numpy_helper.from_array(np.array(least_score, np.float32), "least_score"))
    _constant(graph, "sizes", [1, REGRESSIONS])
    _constant(graph, "channel_axis", [1])
    return [
        helper.make_node("Conv", [features, "kernels", "biases"], ["maps"], kernel_shape=[1, 1]),
        helper.make_node("Split", ["maps", "sizes"], ["logit_maps", "regression_maps"], axis=1),
        helper.make_node("Squeeze", ["logit_maps", "channel_axis"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["heat"]),
        helper.make_node("Greater", ["heat", "least_score"], ["found"]),
        helper.make_node("NonZero", ["found"], ["coordinates"]),
        helper.make_node("Transpose", ["coordinates"], ["places"], perm=[1, 0]),
        helper.make_node("GatherND", ["heat", "places"], ["scores"]),
        helper.make_node("Transpose", ["regression_maps"], ["by_place"], perm=[0, 2, 3, 1]),
        helper.make_node("GatherND", ["by_place", "places"], ["regressions"]),
    ]


def _constant(graph: onnx.GraphProto, name: str, values: Sequence[int]) -> None:
    graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), name))


def _compare(source: onnx.ModelProto) -> float:
    """Compares the candidates of noise, with a threshold that some of its scores pass."""
    pictures = np.random.default_rng(0).integers(0, 256, (*CHECKED_SIDES, 3), np.uint8)
    planes = np.ascontiguousarray(pictures[..., ::-1].transpose(0, 3, 1, 2), np.float32)
    heat, *maps = _run(source, planes)
    lower, upper = np.sort(heat.ravel())[-CHECKED_CANDIDATES - 1 :][:2]
    places, *found = _run(_rewritten(source, float(lower + upper) / 2), pictures)
    expected = np.argwhere(heat[:, 0] > (lower + upper) / 2)
    if not np.array_equal(places, expected):
        raise PrepareError("the detector gives other candidates than the published graph")
    number, row, column = expected.T
    regressions = np.concatenate(maps, 1)[number, :, row, column]
    worst = 0.0
    for one, other in zip((heat[number, 0, row, column], regressions), found, strict=True):
        worst = max(worst, float(np.abs(one - other).max() / np.abs(one).max()))
    if not worst <= TOLERANCE:
        raise PrepareError(f"the detector's candidates differ by {worst:.2g}")
    return worst


def _run(
    model: onnx.ModelProto, samples: NDArray[np.uint8] | NDArray[np.float32]
) -> list[NDArray[np.float32]]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    outputs: list[NDArray[np.float32]] = session.run(None, {session.get_inputs()[0].name: samples})
    return outputs
