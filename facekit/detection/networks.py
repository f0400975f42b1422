"""MTCNN's three networks as OpenVINO graphs, with the published weights.

Every network is compiled once, for one input shape. A dynamic graph would be compiled again for
each shape, which costs a few milliseconds and half a megabyte per image size.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from facekit.detection.weights import read_weights
from facekit.utils.home import home
from facekit.utils.openvino import Graph, ops, ov

FloatArray: TypeAlias = npt.NDArray[np.float32]
Node: TypeAlias = Any

# The networks were trained on (pixel - 127.5) / 128. Here that step is part of the first
# convolution, so that they accept plain pixels.
MEAN_PIXEL = 127.5
_PIXEL_SCALE = 128.0

# Added where the max-pooling of a part of an image must not look.
HIDDEN = np.float32(-1e30)

# The number of filters of P-Net's first convolution.
PROPOSAL_CHANNELS = 10


class Network:
    """A compiled network, which as many threads may run at once, each on a core of its own."""

    def __init__(self, build: Callable[..., Any], sizes: Sequence[int], threads: int) -> None:
        # The weights are part of facekit's version, which is part of the file's name.
        name = "-".join(["mtcnn", build.__name__, *map(str, sizes)])
        self._graph = Graph(
            lambda: build(*sizes),
            threads=threads,
            streams=threads,
            cache=home() / "compiled" / name,
        )
        self._filled = threading.local()

    def inputs(self) -> list[FloatArray]:
        """Returns the calling thread's arrays for :meth:`run`, to be filled."""
        tensors = [tensor.data for tensor in self._graph.request().input_tensors]
        if not hasattr(self._filled, "done"):
            # Unfilled parts would hold arbitrary memory, which is not always finite.
            for array in tensors:
                array.fill(0)
            self._filled.done = True
        return tensors

    def run(self) -> list[FloatArray]:
        """Runs the network on what :meth:`inputs` holds."""
        return self._graph.infer()


def proposal_network(height: int, width: int) -> Any:
    """Builds P-Net, the fully convolutional network that proposes windows."""
    weights = _Reader(read_weights("pnet"))
    pixels = ops.parameter([1, height, width, 3], np.float32)
    # Adding one value per channel, in the engine's layout, is four times as fast as a scalar.
    hidden = ops.parameter([1, height - 2, width - 2, PROPOSAL_CHANNELS], np.float32)
    x = weights.prelu(weights.first_convolution(_channels_first(pixels)))
    x = _max_pool(ops.add(x, _channels_first(hidden)), 2, padding=0)
    x = weights.prelu(weights.convolution(x))
    x = weights.prelu(weights.convolution(x))
    offset_kernel, offset_bias, score_kernel, score_bias = (weights.next() for _ in range(4))
    # The softmax of two scores depends only on their difference, which can be compared with a
    # threshold directly.
    kernel = np.concatenate([offset_kernel, score_kernel[..., 1:] - score_kernel[..., :1]], axis=3)
    bias = np.concatenate([offset_bias, score_bias[1:] - score_bias[:1]])
    return ov.Model([_convolution(x, kernel, bias)], [pixels, hidden], "pnet")


def refinement_network(windows: int) -> Any:
    """Builds R-Net, which classifies windows and refines their boxes."""
    weights = _Reader(read_weights("rnet"))
    pixels = ops.parameter([windows, 24, 24, 3], np.float32)
    x = weights.prelu(weights.first_convolution(_channels_first(pixels)))
    x = _max_pool(x, 3, padding=1)
    x = weights.prelu(weights.convolution(x))
    x = _max_pool(x, 3, padding=0)
    x = weights.prelu(weights.convolution(x))
    x = weights.prelu(weights.dense(_flattened(x)))
    offsets, scores = weights.dense(x), weights.dense(x)
    return ov.Model([offsets, ops.softmax(scores, 1)], [pixels], "rnet")


def output_network(windows: int) -> Any:
    """Builds O-Net, which is like R-Net but more accurate, and finds the five keypoints."""
    weights = _Reader(read_weights("onet"))
    pixels = ops.parameter([windows, 48, 48, 3], np.float32)
    x = weights.prelu(weights.first_convolution(_channels_first(pixels)))
    x = _max_pool(x, 3, padding=1)
    x = weights.prelu(weights.convolution(x))
    x = _max_pool(x, 3, padding=0)
    x = weights.prelu(weights.convolution(x))
    x = _max_pool(x, 2, padding=0)
    x = weights.prelu(weights.convolution(x))
    x = weights.prelu(weights.dense(_flattened(x)))
    offsets, keypoints, scores = (weights.dense(x) for _ in range(3))
    return ov.Model([offsets, keypoints, ops.softmax(scores, 1)], [pixels], "onet")


class _Reader:
    """Turns the arrays of a network into layers of a graph, one after the other."""

    def __init__(self, arrays: Sequence[FloatArray]) -> None:
        self._arrays = iter(arrays)

    def next(self) -> FloatArray:
        return next(self._arrays)

    def first_convolution(self, x: Node) -> Node:
        kernel, bias = self.next(), self.next()
        scaled = kernel / _PIXEL_SCALE
        return _convolution(x, scaled, bias - MEAN_PIXEL * scaled.sum(axis=(0, 1, 2)))

    def convolution(self, x: Node) -> Node:
        return _convolution(x, self.next(), self.next())

    def dense(self, x: Node) -> Node:
        product = ops.matmul(x, ops.constant(self.next()), False, False)
        return ops.add(product, ops.constant(self.next()))

    def prelu(self, x: Node) -> Node:
        return ops.prelu(x, ops.constant(self.next().ravel()))


def _channels_first(pixels: Node) -> Node:
    return ops.transpose(pixels, ops.constant(np.array([0, 3, 1, 2])))


def _convolution(x: Node, kernel: FloatArray, bias: FloatArray) -> Node:
    channels_first = ops.constant(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)))
    convolved = ops.convolution(x, channels_first, [1, 1], [0, 0], [0, 0], [1, 1])
    return ops.add(convolved, ops.constant(bias.reshape(1, -1, 1, 1)))


def _max_pool(x: Node, side: int, *, padding: int) -> Node:
    # Where padding is needed, TensorFlow's "same" pads the end alone, with nothing at the start.
    pooled = ops.max_pool(
        x, [2, 2], [1, 1], [0, 0], [padding, padding], [side, side], rounding_type="floor"
    )
    return pooled.output(0)


def _flattened(x: Node) -> Node:
    # The networks come from Caffe for MATLAB, whose images are stored column by column.
    columns_first = ops.transpose(x, ops.constant(np.array([0, 3, 2, 1])))
    return ops.reshape(columns_first, ops.constant(np.array([0, -1])), True)
