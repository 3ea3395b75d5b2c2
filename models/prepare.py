"""Rewrites published ONNX graphs for any batch size and less work, and checks that they still give the same outputs.

The published files were exported with a fixed batch size: it is a constant in inputs, outputs and Reshape nodes. Old
exports also list weights as inputs, which prevents ONNX Runtime from folding constants.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper

from models.simplify import simplify

TOLERANCE = 1e-4
"""Largest allowed difference to the published graph, relative to the output's largest magnitude. Folding constants
and fusing layers reorder float32 sums (observed: below 1e-5)."""
SAMPLES = 3


class PrepareError(Exception):
    """A prepared graph gives other outputs than the published one."""


def prepare(source: Path, target: Path, *, any_size: bool = False) -> float:
    """Writes a graph with a dynamic batch axis, simplified.

    Args:
        source, target: the published and the prepared file.
        any_size: makes height and width of input and outputs dynamic as well (fully convolutional graphs).

    Returns:
        The largest relative difference between both graphs, on seeded random input, as a batch and one by one.

    Raises:
        PrepareError: the difference is above `TOLERANCE`.
    """
    model = onnx.load(source)
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    del graph.input[:]
    graph.input.extend(inputs)
    del graph.value_info[:]  # shapes of the exported size
    for value in (*graph.input, *graph.output):
        _free_axes(value, any_size=any_size)
    _free_reshapes(graph)
    simplify(graph)
    model.ir_version = max(model.ir_version, 4)  # since version 4 weights need not be inputs
    onnx.checker.check_model(model)
    onnx.save(model, target)
    return _compare(source, target)


def _free_axes(value: onnx.ValueInfoProto, *, any_size: bool) -> None:
    axes = value.type.tensor_type.shape.dim
    axes[0].dim_param = "batch"
    if any_size:
        axes[2].dim_param, axes[3].dim_param = f"{value.name}_height", f"{value.name}_width"


def _free_reshapes(graph: onnx.GraphProto) -> None:
    """Replaces the exported batch, a leading 1 in the shape of Reshape, by 0, which keeps the input's dimension."""
    shapes = {node.input[1] for node in graph.node if node.op_type == "Reshape"}
    constants = [tensor for tensor in graph.initializer if tensor.name in shapes]
    constants += [
        node.attribute[0].t for node in graph.node if node.op_type == "Constant" and node.output[0] in shapes
    ]
    for tensor in constants:
        shape = numpy_helper.to_array(tensor).copy()
        if shape.size and shape[0] == 1:
            shape[0] = 0
            tensor.CopyFrom(numpy_helper.from_array(shape, tensor.name))


def _compare(source: Path, target: Path) -> float:
    published, prepared = _session(source), _session(target)
    entry = published.get_inputs()[0]
    exported = int(entry.shape[0])
    shape = (max(exported, SAMPLES), *entry.shape[1:])
    samples = np.random.default_rng(0).standard_normal(shape, np.float32)
    expected = _in_chunks(published, samples, exported)
    worst = 0.0
    for chunk in (len(samples), 1):
        for name, one, other in zip(
            (output.name for output in published.get_outputs()),
            expected,
            _in_chunks(prepared, samples, chunk),
            strict=True,
        ):
            if one.shape != other.shape:
                raise PrepareError(f"{target.name}: output {name} is {other.shape}, expected {one.shape}")
            difference = float(np.abs(one - other).max() / max(float(np.abs(one).max()), 1e-6))
            if not difference <= TOLERANCE:
                raise PrepareError(f"{target.name}: output {name} differs by {difference:.2g}")
            worst = max(worst, difference)
    return worst


def _in_chunks(
    session: onnxruntime.InferenceSession, samples: NDArray[np.float32], chunk: int
) -> Sequence[NDArray[np.float32]]:
    name = session.get_inputs()[0].name
    runs = [session.run(None, {name: samples[i : i + chunk]}) for i in range(0, len(samples), chunk)]
    return [np.concatenate(outputs) for outputs in zip(*runs, strict=True)]


def _session(file: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # old exports cause many warnings
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
