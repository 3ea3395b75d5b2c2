"""TensorFlow.js graphs become ONNX that computes the same."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from models.fetch import ensure
from models.tensorflow_js import ConversionError, convert

MALE, AGE_MOMENT, EMBEDDING_MOMENT = 0.93039298, 26.08318145, 20191.34703592
"""What TensorFlow.js 4.22 gives for the pattern below: probability, and sums of the other outputs by their index."""


def test_the_converted_network_gives_what_tensorflow_js_gives(models_path: Path) -> None:
    session = onnxruntime.InferenceSession(ensure("open", models_path) / "faceres.onnx")
    y, x, channel = np.mgrid[:224, :224, :3]
    pattern = 128 * np.sin(x / (9 + 5 * channel)) * np.cos(y / (13 - 3 * channel))
    sample = np.ascontiguousarray(pattern.transpose(2, 0, 1)[None], np.float32)
    male, embedding, age = session.run(None, {session.get_inputs()[0].name: sample})
    assert male[0, 0] == pytest.approx(MALE, rel=1e-5)
    assert age[0] @ np.arange(100) == pytest.approx(AGE_MOMENT, rel=1e-5)
    assert embedding[0] @ np.arange(1024) == pytest.approx(EMBEDDING_MOMENT, rel=1e-5)


@pytest.mark.parametrize(
    ("operation", "stored", "message"),
    [
        ("Elu", "float16", "out is a Elu, which is not known"),
        ("Relu", "uint8", "w is stored as uint8"),
        ("Relu", "float32", "ends before w"),
    ],
)
def test_what_cannot_be_converted_is_named(tmp_path: Path, operation: str, stored: str, message: str) -> None:
    graph, weights = tmp_path / "graph.json", tmp_path / "weights.bin"
    side = {"dtype": "DT_FLOAT", "tensorShape": {"dim": [{"size": "-1"}, {"size": "2"}]}}
    graph.write_text(json.dumps({
        "modelTopology": {"node": [{"name": "out", "op": operation, "input": ["in"]}]},
        "signature": {"inputs": {"in": {"name": "in", **side}}, "outputs": {"out": {"name": "out", **side}}},
        "weightsManifest": [{"weights": [
            {"name": "w", "shape": [2], "dtype": "float32", "quantization": {"dtype": stored}}
        ]}],
    }))  # fmt: skip
    weights.write_bytes(bytes(4))
    with pytest.raises(ConversionError, match=message):
        convert(graph, weights, tmp_path / "made.onnx")
    assert not (tmp_path / "made.onnx").exists()
