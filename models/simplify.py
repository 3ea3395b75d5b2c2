"""Rewrites convolutional graphs so that they compute the same in less time.

The decay of weights in training leaves two things behind in published networks: channels that no longer depend on the
picture, and weights so small that their products are subnormal numbers, with which some processors compute up to a
hundred times slower.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

CONSTANT_BELOW = 1e-12
"""Largest weight of a depthwise kernel whose output is its bias: float32 keeps seven digits, and activations stay
below a thousand."""
ZERO_BELOW = 1e-20
"""Smaller weights become 0: what they add is lost in a sum, and their products may be subnormal (below 1e-38)."""
CHANNEL_BLOCK = 16
"""Channels that ONNX Runtime computes at a time with AVX-512; 8 with AVX2."""
SLOPE_MARGIN = 0.05
"""Least difference from 1 of the slopes of a PRelu that is rewritten."""


class _Bottleneck(NamedTuple):
    """A depthwise convolution between two others, perhaps with a PRelu on either side."""

    first: onnx.NodeProto
    first_bend: onnx.NodeProto | None
    depthwise: onnx.NodeProto
    last_bend: onnx.NodeProto | None
    last: onnx.NodeProto


def simplify(graph: onnx.GraphProto) -> None:
    """Drops constant channels and tiny weights, and writes PRelu as ONNX Runtime computes it fastest."""
    network = _Network(graph)
    for node in graph.node:
        if bottleneck := network.bottleneck(node):
            _drop_constant_channels(network, bottleneck)
    nodes = [made for node in graph.node for made in _without_prelu(network, node)]
    del graph.node[:]
    graph.node.extend(nodes)
    for name in {name for node in nodes if node.op_type == "Conv" for name in node.input[1:]}:
        if name in network.weights:
            values = network.weights[name]
            network.weights[name] = np.where(np.abs(values) < ZERO_BELOW, np.float32(0), values)
    network.store(graph)


class _Network:
    """A graph with its weights and the users of each tensor."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self._makers = {name: node for node in graph.node for name in node.output}
        self._users = defaultdict[str, list[onnx.NodeProto]](list)
        for node in graph.node:
            for name in node.input:
                self._users[name].append(node)
        self._outputs = {value.name for value in graph.output}

    def store(self, graph: onnx.GraphProto) -> None:
        """Writes the changed weights into the graph."""
        for tensor in graph.initializer:
            values = self.weights[tensor.name]
            if not np.array_equal(values, numpy_helper.to_array(tensor), equal_nan=values.dtype.kind == "f"):
                tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))

    def bottleneck(self, node: onnx.NodeProto) -> _Bottleneck | None:
        """Returns the bottleneck around a depthwise convolution; None if there is none."""
        if not self.is_own(node, "Conv", 3) or _groups(node) != len(self.weights[node.input[1]]):
            return None
        first, last = self._before(node), self.after(node)
        first_bend = first if self.is_own(first, "PRelu", 2) else None
        last_bend = last if self.is_own(last, "PRelu", 2) else None
        first = self._before(first_bend) if first_bend else first
        last = self.after(last_bend) if last_bend else last
        if first is None or last is None or not all(self.is_own(one, "Conv", 3) for one in (first, last)):
            return None
        one_pixel = self.weights[last.input[1]].shape[1:] == (_groups(node), 1, 1)
        return (
            _Bottleneck(first, first_bend, node, last_bend, last)
            if one_pixel and _groups(first) == 1
            else None
        )

    def _before(self, node: onnx.NodeProto) -> onnx.NodeProto | None:
        """The node that makes the input of a node alone; None: others need it too, or it is an input of the graph."""
        maker = self._makers.get(node.input[0])
        return maker if maker is not None and self.after(maker) is node else None

    def after(self, node: onnx.NodeProto) -> onnx.NodeProto | None:
        """The only user of the output of a node; None: there are others, or it is an output of the graph."""
        users = self._users[node.output[0]]
        return users[0] if len(users) == 1 and node.output[0] not in self._outputs else None

    def is_own(self, node: onnx.NodeProto | None, operation: str, inputs: int) -> bool:
        """Returns whether a node is this operation with so many inputs, and its weights are its own."""
        return (
            node is not None
            and node.op_type == operation
            and len(node.input) == inputs
            and all(name in self.weights and len(self._users[name]) == 1 for name in node.input[1:])
        )


def _drop_constant_channels(network: _Network, found: _Bottleneck) -> None:
    """Removes the channels whose depthwise kernel is negligible; their constant output goes into the last bias.

    So many of them stay, as zeros, as fill the last block of channels.
    """
    weights, (kernels, bias), (columns, sums) = (
        network.weights,
        found.depthwise.input[1:],
        found.last.input[1:],
    )
    largest = np.abs(weights[kernels]).reshape(len(weights[kernels]), -1).max(1)
    constant = largest < CONSTANT_BELOW
    if not constant.any():
        return
    values = weights[bias].astype(np.float64)
    if found.last_bend:
        values = np.where(values < 0, values * weights[found.last_bend.input[1]].reshape(-1), values)
    added = weights[columns][:, constant, 0, 0].astype(np.float64) @ values[constant]
    weights[sums] = (weights[sums] + added).astype(np.float32)
    weights[columns] = np.where(constant[:, None, None], np.float32(0), weights[columns])
    for name in (*found.first.input[1:], kernels, bias):
        shape = (-1, *[1] * (weights[name].ndim - 1))
        weights[name] = np.where(constant.reshape(shape), np.float32(0), weights[name])
    room = -(-int((~constant).sum()) // CHANNEL_BLOCK) * CHANNEL_BLOCK
    kept = np.sort(np.argsort(constant, kind="stable")[:room])
    bends = [bend.input[1] for bend in (found.first_bend, found.last_bend) if bend]
    for name in (*found.first.input[1:], kernels, bias, *bends):
        weights[name] = weights[name][kept]
    weights[columns] = weights[columns][:, kept]
    next(one for one in found.depthwise.attribute if one.name == "group").i = len(kept)


def _without_prelu(network: _Network, node: onnx.NodeProto) -> Sequence[onnx.NodeProto]:
    """Returns the nodes that replace a node: of a PRelu with slopes a before a convolution, (1 - a) (Relu(x) + r x)
    with r = a / (1 - a), where the convolution takes the factor.

    ONNX Runtime keeps the layout of its convolutions in these operations (the product is a depthwise convolution of
    one pixel), but not in PRelu, which takes longer than the convolutions.
    """
    following = network.after(node) if network.is_own(node, "PRelu", 2) else None
    if following is None or not network.is_own(following, "Conv", 3):
        return [node]
    kernels, slopes = following.input[1], network.weights[node.input[1]].reshape(-1).astype(np.float64)
    depthwise = _groups(following) == len(network.weights[kernels])
    if (_groups(following) != 1 and not depthwise) or np.abs(1 - slopes).min() < SLOPE_MARGIN:
        return [node]
    factors = (1 - slopes).reshape((-1, 1, 1, 1) if depthwise else (1, -1, 1, 1))
    network.weights[kernels] = (network.weights[kernels] * factors).astype(np.float32)
    (source, slope), (output,) = node.input, node.output
    network.weights[slope] = (slopes / (1 - slopes)).astype(np.float32).reshape(-1, 1, 1, 1)
    positive, product = f"{output}/positive", f"{output}/product"
    return [
        helper.make_node("Relu", [source], [positive]),
        helper.make_node("Conv", [source, slope], [product], group=len(slopes), kernel_shape=[1, 1]),
        helper.make_node("Add", [product, positive], [output]),
    ]


def _groups(convolution: onnx.NodeProto) -> int:
    return next((attribute.i for attribute in convolution.attribute if attribute.name == "group"), 1)
