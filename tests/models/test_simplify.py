"""Simplified graphs compute the same, with fewer channels and without slow operations."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from models.fetch import ensure
from models.simplify import CHANNEL_BLOCK, ZERO_BELOW, simplify

CHANNELS, CONSTANT, INPUTS = 40, 25, 4


def bottleneck(slopes: float | None = None, *, two_users: bool = False) -> onnx.ModelProto:
    """Convolution, PRelu, depthwise convolution, PRelu, convolution; 25 of 40 channels are constant."""
    rng = np.random.default_rng(5)
    weights = {
        "w1": rng.normal(size=(CHANNELS, INPUTS, 1, 1)), "b1": rng.normal(size=CHANNELS),
        "w2": rng.normal(size=(CHANNELS, 1, 3, 3)), "b2": rng.normal(size=CHANNELS),
        "w3": rng.normal(size=(INPUTS, CHANNELS, 1, 1)), "b3": rng.normal(size=INPUTS),
        "a1": rng.uniform(-0.6, 0.6, (CHANNELS, 1, 1)), "a2": rng.uniform(-0.6, 0.6, (CHANNELS, 1, 1)),
    }  # fmt: skip
    weights["w2"][rng.permutation(CHANNELS)[:CONSTANT]] *= 1e-14
    weights["w3"][0, 0] = 1e-39
    if slopes is not None:
        weights["a1"][:] = slopes
    nodes = [
        helper.make_node("Conv", ["in", "w1", "b1"], ["first"]),
        helper.make_node("PRelu", ["first", "a1"], ["bent"]),
        helper.make_node("Conv", ["bent", "w2", "b2"], ["deep"], group=CHANNELS, pads=[1, 1, 1, 1]),
        helper.make_node("PRelu", ["deep", "a2"], ["bent again"]),
        helper.make_node("Conv", ["bent again", "w3", "b3"], ["out"]),
    ]
    outputs = ["out", "first"] if two_users else ["out"]
    kind = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "bottleneck",
        [helper.make_tensor_value_info("in", kind, ["batch", INPUTS, 6, 5])],
        [helper.make_tensor_value_info(name, kind, ["batch", None, 6, 5]) for name in outputs],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


@pytest.mark.parametrize(
    ("slope", "two_users", "channels", "bent"),
    [
        pytest.param(None, False, CHANNEL_BLOCK, 0, id="everything"),
        pytest.param(1.0, False, CHANNEL_BLOCK, 1, id="a slope of 1 stays a PRelu"),
        pytest.param(None, True, CHANNELS, 0, id="channels that others see stay"),
    ],
)
def test_a_simplified_graph_computes_the_same(
    slope: float | None, two_users: bool, channels: int, bent: int
) -> None:
    model = bottleneck(slope, two_users=two_users)
    sample = np.random.default_rng(1).normal(size=(2, INPUTS, 6, 5)).astype(np.float32)
    expected = ReferenceEvaluator(model).run(None, {"in": sample})
    simplify(model.graph)
    onnx.checker.check_model(model)
    found = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"in": sample})
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=2e-5)
    sizes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    assert sizes["w1"][0] == sizes["b1"][0] == sizes["w2"][0] == sizes["w3"][1] == channels
    assert sum(node.op_type == "PRelu" for node in model.graph.node) == bent


def test_no_network_of_the_open_pack_computes_with_tiny_weights(models_path: Path) -> None:
    for file in sorted(ensure("open", models_path).glob("*.onnx")):
        graph = onnx.load(file).graph
        weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        used = [
            weights[n]
            for node in graph.node
            if node.op_type == "Conv"
            for n in node.input[1:]
            if n in weights
        ]
        assert used and all(np.abs(values[values != 0]).min(initial=1) >= ZERO_BELOW for values in used), file
        assert not any(node.op_type == "PRelu" for node in graph.node), file
