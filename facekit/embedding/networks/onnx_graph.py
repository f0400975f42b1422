"""Networks as ONNX models, for other runtimes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from facekit.embedding.networks.backbones import BACKBONES
from facekit.embedding.networks.blocks import Convolution, GraphBuilder
from facekit.embedding.networks.centering import LocalCentering
from facekit.embedding.networks.folding import LayerWeights
from facekit.embedding.networks.names import HEAD_LAYER
from facekit.embedding.networks.network import Architecture
from facekit.embedding.networks.zoom import zoom_matrix
from facekit.utils.extras import import_extra

_OPSET, _IR = 17, 8


def onnx_network(
    architecture: Architecture,
    weights: LayerWeights,
    *,
    mirrored: bool,
    mirror_zoom: float,
    centering: LocalCentering | None,
    metadata: Mapping[str, str],
) -> Any:
    """Builds a network for inference."""
    onnx = import_extra("onnx")
    build = _OnnxBuilder(architecture.width, weights)
    side, size = architecture.input_size, architecture.embedding_size
    x = build.node("Cast", "faces", to=onnx.TensorProto.FLOAT)
    x = build.node("Transpose", x, perm=[0, 3, 1, 2])
    count = build.node("Shape", x, start=0, end=1)
    if mirrored:
        # One pass over both, so that the model contains the weights once.
        x = build.node("Concat", x, build.mirror_image(x, mirror_zoom, side), axis=0)
    x = build.node("Sub", x, build.constant(np.float32(architecture.input_mean)))
    x = build.node("Mul", x, build.constant(np.float32(1.0 / architecture.input_scale)))
    x = BACKBONES[architecture.backbone](build, x, blocks=architecture.blocks)
    x = build.node("ReduceMean", x, axes=[2, 3], keepdims=0)
    x = build.unit(build.dense(x, HEAD_LAYER))
    if mirrored:
        start, end, axis = (build.constant(np.array([value])) for value in (0, 2**31 - 1, 0))
        first = build.node("Slice", x, start, count, axis)
        x = build.unit(build.node("Add", first, build.node("Slice", x, count, end, axis)))
    if centering is not None:
        near = build.node("Softmax", build.node("MatMul", x, build.constant(centering.directions)))
        center = build.node("MatMul", near, build.constant(centering.share * centering.centers))
        x = build.unit(build.node("Sub", x, center))
    build.node("Identity", x, output="embeddings")
    helper, types = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        build.nodes,
        architecture.backbone,
        [helper.make_tensor_value_info("faces", types.UINT8, ["n", side, side, 3])],
        [helper.make_tensor_value_info("embeddings", types.FLOAT, ["n", size])],
        build.constants,
    )
    opsets = [helper.make_opsetid("", _OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR, producer_name="facekit")
    helper.set_model_props(model, dict(metadata))
    return model


class _OnnxBuilder(GraphBuilder):
    """Builds a folded graph of ONNX' operations, channels first; weights hold the scales."""

    def __init__(self, width: float, weights: LayerWeights) -> None:
        super().__init__(width)
        self._weights = weights
        self._onnx = import_extra("onnx")
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def node(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Adds an operation and returns the name of its output."""
        name = output or f"{kind}_{len(self.nodes)}"
        self.nodes.append(self._onnx.helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, value: npt.ArrayLike) -> str:
        """Adds an array and returns its name."""
        name = f"constant_{len(self.constants)}"
        array = np.ascontiguousarray(value) if np.ndim(value) else np.asarray(value)
        self.constants.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def mirror_image(self, x: str, zoom: float, side: int) -> str:
        """Adds the mirror image of pixels, enlarged."""
        ends = [self.constant(np.array([value])) for value in (-1, -(2**31), 3, -1)]
        x = self.node("Slice", x, *ends)
        if zoom == 1.0:
            return x
        matrix = zoom_matrix(side, zoom)
        x = self.node(
            "MatMul", self.node("MatMul", self.constant(matrix), x), self.constant(matrix.T)
        )
        return self.node("Floor", self.node("Add", x, self.constant(np.float32(0.5))))

    def unit(self, x: str) -> str:
        """Adds the division of each row by its norm."""
        norm = self.node("ReduceL2", x, axes=[1], keepdims=1)
        return self.node("Div", x, self.node("Max", norm, self.constant(np.float32(1e-12))))

    def convolved(self, x: str, layer: Convolution) -> str:
        return self.node("Relu", self._convolution(x, layer.name, layer.strides, layer.border))

    def added(self, x: str, mixed: str, scale: float, name: str, *, linear: bool) -> str:
        x = self.node("Add", x, self._convolution(mixed, f"{name}_Conv2d_1x1", 1, [0, 0]))
        return x if linear else self.node("Relu", x)

    def max_pooling(self, x: str, name: str) -> str:
        return self.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2])

    def average_pooling(self, x: str, name: str) -> str:
        return self.node(
            "AveragePool", x, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=0
        )

    def concatenation(self, branches: Sequence[str], name: str) -> str:
        return self.node("Concat", *branches, axis=1)

    def dense(self, x: str, name: str) -> str:
        """Adds a dense layer with a bias."""
        kernel, bias = (self.constant(self._weights[name][part]) for part in ("kernel", "bias"))
        return self.node("Add", self.node("MatMul", x, kernel), bias)

    def _convolution(self, x: str, name: str, strides: int, border: list[int]) -> str:
        kernel, bias = self._weights[name]["kernel"], self._weights[name]["bias"]
        channels_first = self.constant(kernel.transpose(3, 2, 0, 1))
        return self.node(
            "Conv", x, channels_first, self.constant(bias), strides=[strides] * 2, pads=border * 2
        )
