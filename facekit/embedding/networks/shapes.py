"""The shapes of a network's weights and its residual scales, without building the network."""

from __future__ import annotations

from collections.abc import Sequence

from facekit.embedding.networks.backbones import BACKBONES
from facekit.embedding.networks.blocks import Convolution, GraphBuilder, Tensor
from facekit.embedding.networks.names import BATCH_NORMALIZATION_SUFFIX, HEAD_LAYER
from facekit.embedding.networks.network import Architecture

Shapes = dict[tuple[str, str], tuple[int, ...]]
"""Shapes by layer and weight name."""


def weight_shapes(architecture: Architecture, *, folded: bool) -> tuple[Shapes, dict[str, float]]:
    """Returns the shapes of a network's weights."""
    build = _ShapeBuilder(architecture.width, folded=folded)
    channels = BACKBONES[architecture.backbone](build, 3, blocks=architecture.blocks)
    build.layer(
        HEAD_LAYER,
        (channels, architecture.embedding_size),
        normalized=architecture.head_batch_normalization,
    )
    return build.shapes, build.scales


class _ShapeBuilder(GraphBuilder):
    """Traverses a graph and records the weights; its tensors are numbers of channels."""

    def __init__(self, width: float, *, folded: bool) -> None:
        super().__init__(width)
        self.folded = folded
        self.shapes: Shapes = {}
        self.scales: dict[str, float] = {}

    def layer(self, name: str, kernel: tuple[int, ...], *, normalized: bool) -> None:
        """Records the weights of a layer and of its batch normalization, if any."""
        self.shapes[name, "kernel"] = kernel
        size = kernel[-1:]
        if normalized and not self.folded:
            for weight in ("beta", "moving_mean", "moving_variance"):
                self.shapes[name + BATCH_NORMALIZATION_SUFFIX, weight] = size
        else:
            self.shapes[name, "bias"] = size

    def convolved(self, x: Tensor, layer: Convolution) -> Tensor:
        self.layer(layer.name, (*layer.sides, x, layer.filters), normalized=True)
        return layer.filters

    def added(self, x: Tensor, mixed: Tensor, scale: float, name: str, *, linear: bool) -> Tensor:
        projection = f"{name}_Conv2d_1x1"
        self.layer(projection, (1, 1, mixed, x), normalized=False)
        self.scales[projection] = scale
        return x

    def concatenation(self, branches: Sequence[Tensor], name: str) -> Tensor:
        return sum(branches)
