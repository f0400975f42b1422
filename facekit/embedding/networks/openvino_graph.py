"""Networks as OpenVINO graphs, for inference without Keras and TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facekit.embedding.networks.backbones import BACKBONES
from facekit.embedding.networks.blocks import Convolution, GraphBuilder, Tensor
from facekit.embedding.networks.folding import LayerWeights
from facekit.embedding.networks.names import HEAD_LAYER
from facekit.embedding.networks.network import Architecture
from facekit.utils.openvino import ops, ov


def openvino_network(architecture: Architecture, weights: LayerWeights) -> Any:
    """Builds a network for inference."""
    build = _OpenVinoBuilder(architecture.width, weights)
    side = architecture.input_size
    images = ops.parameter([-1, side, side, 3], np.uint8, name="pictures")
    x = ops.convert(images, "f32")
    x = ops.transpose(x, ops.constant(np.array([0, 3, 1, 2])))
    x = ops.subtract(x, ops.constant(np.float32(architecture.input_mean)))
    x = ops.multiply(x, ops.constant(np.float32(1.0 / architecture.input_scale)))
    x = BACKBONES[architecture.backbone](build, x, blocks=architecture.blocks)
    x = build.dense(ops.reduce_mean(x, np.array([2, 3])), HEAD_LAYER)
    x = ops.normalize_l2(x, np.array([1]), 1e-24, "max")
    return ov.Model([x], [images], architecture.backbone)


class _OpenVinoBuilder(GraphBuilder):
    """Builds a folded graph of OpenVINO's operations, channels first; weights hold the scales."""

    def __init__(self, width: float, weights: LayerWeights) -> None:
        super().__init__(width)
        self._weights = weights

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
        channels_first = ops.constant(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)))
        x = ops.convolution(x, channels_first, [strides, strides], border, border, [1, 1])
        return ops.add(x, ops.constant(bias.reshape(1, -1, 1, 1)))
