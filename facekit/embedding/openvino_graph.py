"""Networks as OpenVINO graphs, for inference without Keras and TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset13 as ops

from facekit.embedding.backbones import BACKBONES
from facekit.embedding.blocks import GraphBuilder, Padding, Tensor
from facekit.embedding.folding import LayerWeights, check_fit
from facekit.embedding.names import HEAD_LAYER
from facekit.embedding.network import Architecture

FloatArray = npt.NDArray[np.float32]


def openvino_network(architecture: Architecture, weights: LayerWeights) -> ov.Model:
    """Builds a network for inference.

    Args:
        architecture: What to build.
        weights: The weights of the folded network.

    Returns:
        A graph from pictures, uint8 ``(n, S, S, 3)``, to embeddings, float32 ``(n, d)`` of unit L2
        norm.

    Raises:
        WeightsError: If the weights do not fit the architecture.
    """
    build = OpenVinoBuilder(architecture.width, weights)
    side = architecture.input_size
    pictures = ops.parameter([-1, side, side, 3], np.uint8, name="pictures")
    x = ops.convert(pictures, "f32")
    x = ops.transpose(x, ops.constant(np.array([0, 3, 1, 2])))
    x = ops.subtract(x, ops.constant(np.float32(architecture.input_mean)))
    x = ops.multiply(x, ops.constant(np.float32(1.0 / architecture.input_scale)))
    x = BACKBONES[architecture.backbone](build, x, blocks=architecture.blocks)
    x = build.dense(ops.reduce_mean(x, np.array([2, 3])), architecture.embedding_size, HEAD_LAYER)
    x = ops.normalize_l2(x, np.array([1]), 1e-24, "max")
    build.finish(architecture.backbone)
    return ov.Model([x], [pictures], architecture.backbone)


class OpenVinoBuilder(GraphBuilder):
    """Builds a folded graph of OpenVINO's operations, channels first, with its weights.

    Args:
        width: Multiplies the number of filters of every layer, rounded to a multiple of eight.
        weights: The weights of the folded network. Those that are missing or of another shape are
            taken as zero until :meth:`finish` reports them.
    """

    def __init__(self, width: float, weights: LayerWeights) -> None:
        super().__init__(width)
        self._weights = weights
        self._shapes: dict[tuple[str, str], tuple[int, ...]] = {}

    def finish(self, network: str) -> None:
        """Checks that every weight had its place and every place its weight.

        Args:
            network: What to call the network.

        Raises:
            WeightsError: If not.
        """
        check_fit(self._weights, self._shapes, network)

    def convolution(
        self,
        x: Tensor,
        filters: int,
        kernel_size: int | tuple[int, int],
        name: str,
        *,
        strides: int = 1,
        padding: Padding = "same",
    ) -> Tensor:
        """Adds convolution and ReLU."""
        size = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
        return ops.relu(self._convolution(x, self.filters(filters), size, name, strides, padding))

    def residual(
        self,
        x: Tensor,
        branches: Sequence[Tensor],
        scale: float,
        name: str,
        *,
        linear: bool = False,
    ) -> Tensor:
        """Joins branches, projects them to the depth of ``x`` and adds them to it."""
        mixed = self.concatenation(branches, f"{name}_Concat")
        # The weights of a folded network hold the scale.
        update = self._convolution(mixed, _channels(x), (1, 1), f"{name}_Conv2d_1x1", 1, "valid")
        x = ops.add(x, update)
        return x if linear else ops.relu(x)

    def max_pooling(self, x: Tensor, name: str) -> Tensor:
        """Adds the maximum over windows of 3 × 3, two pixels apart, none across the border."""
        return ops.max_pool(x, [2, 2], [1, 1], [0, 0], [0, 0], [3, 3], "floor").output(0)

    def average_pooling(self, x: Tensor, name: str) -> Tensor:
        """Adds the mean over the 3 × 3 pixels around each, as far as they lie in the picture."""
        return ops.avg_pool(x, [1, 1], [1, 1], [1, 1], [3, 3], exclude_pad=True)

    def concatenation(self, branches: Sequence[Tensor], name: str) -> Tensor:
        """Joins the channels of several tensors."""
        return ops.concat(list(branches), axis=1)

    def dense(self, x: Tensor, size: int, name: str) -> Tensor:
        """Adds a dense layer with a bias."""
        kernel = self._weight(name, "kernel", (_channels(x), size))
        product = ops.matmul(x, ops.constant(kernel), False, False)
        return ops.add(product, ops.constant(self._weight(name, "bias", (size,))))

    def _convolution(
        self,
        x: Tensor,
        filters: int,
        size: tuple[int, int],
        name: str,
        strides: int,
        padding: Padding,
    ) -> Tensor:
        kernel = self._weight(name, "kernel", (*size, _channels(x), filters))
        bias = self._weight(name, "bias", (filters,))
        # Kernels have odd sides, and those of stride 2 no padding, so both sides get the same.
        pad = [side // 2 for side in size] if padding == "same" else [0, 0]
        channels_first = ops.constant(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)))
        x = ops.convolution(x, channels_first, [strides, strides], pad, pad, [1, 1])
        return ops.add(x, ops.constant(bias.reshape(1, -1, 1, 1)))

    def _weight(self, layer: str, name: str, shape: tuple[int, ...]) -> FloatArray:
        self._shapes[layer, name] = shape
        array = self._weights.get(layer, {}).get(name)
        if array is None or array.shape != shape:
            return np.zeros(shape, np.float32)
        return array


def _channels(x: Tensor) -> int:
    length: int = (
        x.get_output_partial_shape(0)[1].get_length()
        if isinstance(x, ov.Node)
        else x.get_partial_shape()[1].get_length()
    )
    return length
