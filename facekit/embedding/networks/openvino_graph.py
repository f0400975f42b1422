"""Networks as OpenVINO graphs, for inference without Keras and TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from facekit.embedding.networks.backbones import BACKBONES
from facekit.embedding.networks.blocks import Convolution, GraphBuilder, Tensor
from facekit.embedding.networks.folding import LayerWeights
from facekit.embedding.networks.names import HEAD_LAYER
from facekit.embedding.networks.network import Architecture
from facekit.utils.openvino import Graph, available_cores, ops, ov

# Steps of 8 bits: from 0 to 255 for inputs, from -127 to 127 for kernels.
_INPUT_LEVELS, _KERNEL_LEVELS = 256, 255
# What follows a ReLU has no negative numbers. Left are the pixels and the last residual sum.
_NEVER_NEGATIVE = {"Relu", "Concat", "MaxPool", "AvgPool"}


def openvino_network(
    architecture: Architecture, weights: LayerWeights, input_ranges: Mapping[str, float]
) -> Any:
    """Builds a network for inference; layers with an input range compute in 8 bits."""
    build = _OpenVinoBuilder(architecture.width, weights, input_ranges)
    images, features = _features(build, architecture)
    x = build.dense(ops.reduce_mean(features, np.array([2, 3])), HEAD_LAYER)
    x = ops.normalize_l2(x, np.array([1]), 1e-24, "max")
    return ov.Model([x], [images], architecture.backbone)


def measured_ranges(
    architecture: Architecture,
    weights: LayerWeights,
    faces: npt.NDArray[np.uint8],
    batch_size: int,
) -> dict[str, float]:
    """Returns the largest input of each layer that can compute in 8 bits, by layer name."""
    names: list[str] = []

    def build_watched() -> Any:
        build = _OpenVinoBuilder(architecture.width, weights, {})
        images, _ = _features(build, architecture)
        names.extend(build.inputs)
        largest = [ops.reduce_max(x, np.array([0, 1, 2, 3])) for x in build.inputs.values()]
        return ov.Model(largest, [images], architecture.backbone)

    graph = Graph(build_watched, threads=available_cores(), streams=1)
    maxima = np.zeros(())
    for start in range(0, len(faces), batch_size):
        batch = np.ascontiguousarray(faces[start : start + batch_size])
        maxima = np.maximum(maxima, graph.infer(batch))
    # A layer without input has no range to divide into steps.
    return {name: float(high) for name, high in zip(names, maxima, strict=True) if high > 0.0}


def _features(build: _OpenVinoBuilder, architecture: Architecture) -> tuple[Any, Any]:
    """Adds the input, its scaling and the backbone."""
    side = architecture.input_size
    images = ops.parameter([-1, side, side, 3], np.uint8, name="pictures")
    x = ops.convert(images, "f32")
    x = ops.transpose(x, ops.constant(np.array([0, 3, 1, 2])))
    x = ops.subtract(x, ops.constant(np.float32(architecture.input_mean)))
    x = ops.multiply(x, ops.constant(np.float32(1.0 / architecture.input_scale)))
    return images, BACKBONES[architecture.backbone](build, x, blocks=architecture.blocks)


class _OpenVinoBuilder(GraphBuilder):
    """Builds a folded graph of OpenVINO's operations, channels first; weights hold the scales."""

    def __init__(
        self, width: float, weights: LayerWeights, input_ranges: Mapping[str, float]
    ) -> None:
        super().__init__(width)
        self._weights = weights
        self._input_ranges = input_ranges
        self.inputs: dict[str, Tensor] = {}  # those that are never negative, by layer name

    def convolved(self, x: Tensor, layer: Convolution) -> Tensor:
        return ops.relu(self._convolution(x, layer.name, layer.strides, layer.border))

    def added(self, x: Tensor, mixed: Tensor, scale: float, name: str, *, linear: bool) -> Tensor:
        x = ops.add(x, self._convolution(mixed, f"{name}_Conv2d_1x1", 1, [0, 0]))
        return x if linear else ops.relu(x)

    def max_pooling(self, x: Tensor, name: str) -> Tensor:
        return ops.max_pool(x, [2, 2], [1, 1], [0, 0], [0, 0], [3, 3], "floor").output(0)

    def average_pooling(self, x: Tensor, name: str) -> Tensor:
        return ops.avg_pool(x, [1, 1], [1, 1], [1, 1], [3, 3], exclude_pad=True)

    def concatenation(self, branches: Sequence[Tensor], name: str) -> Tensor:
        return ops.concat(list(branches), axis=1)

    def dense(self, x: Tensor, name: str) -> Tensor:
        """Adds a dense layer with a bias."""
        weights = self._weights[name]
        product = ops.matmul(x, ops.constant(weights["kernel"]), False, False)
        return ops.add(product, ops.constant(weights["bias"]))

    def _convolution(self, x: Tensor, name: str, strides: int, border: list[int]) -> Tensor:
        kernel, bias = self._weights[name]["kernel"], self._weights[name]["bias"]
        channels_first = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))
        kernels = ops.constant(channels_first)
        node = x.get_node() if isinstance(x, ov.Output) else x
        if node.get_type_name() in _NEVER_NEGATIVE:
            self.inputs[name] = x
            if name in self._input_ranges:
                x = _in_steps(x, 0.0, self._input_ranges[name], _INPUT_LEVELS)
                high = np.abs(channels_first).max(axis=(1, 2, 3), keepdims=True)
                high = np.maximum(high, np.finfo(np.float32).tiny)
                kernels = _in_steps(kernels, -high, high, _KERNEL_LEVELS)
        x = ops.convolution(x, kernels, [strides, strides], border, border, [1, 1])
        return ops.add(x, ops.constant(bias.reshape(1, -1, 1, 1)))


def _in_steps(x: Tensor, low: Any, high: Any, levels: int) -> Tensor:
    """Rounds to steps, which OpenVINO replaces by integers where both factors have them."""
    ends = [ops.constant(np.asarray(end, dtype=np.float32)) for end in (low, high)]
    return ops.fake_quantize(x, *ends, *ends, levels)
