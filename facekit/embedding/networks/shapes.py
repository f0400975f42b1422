"""The shapes of a network's weights, and its residual scales, without building the network."""

from __future__ import annotations

from collections.abc import Sequence

from facekit.embedding.networks.backbones import BACKBONES
from facekit.embedding.networks.blocks import GraphBuilder, Padding, Tensor
from facekit.embedding.networks.names import BATCH_NORMALIZATION_SUFFIX, HEAD_LAYER
from facekit.embedding.networks.network import Architecture

Shapes = dict[tuple[str, str], tuple[int, ...]]
"""Shapes by layer and weight name."""


def weight_shapes(architecture: Architecture, *, folded: bool) -> tuple[Shapes, dict[str, float]]:
    """Returns what weights a network has."""
    build = ShapeBuilder(architecture.width, folded=folded)
    channels = BACKBONES[architecture.backbone](build, 3, blocks=architecture.blocks)
    build.layer(
        HEAD_LAYER,
        (channels, architecture.embedding_size),
        normalized=architecture.head_batch_normalization,
    )
    return build.shapes, build.scales


class ShapeBuilder(GraphBuilder):
    """Goes through a graph and notes the weights; its tensors are numbers of channels.

    Args:
        width: Multiplies the number of filters of every layer, rounded to a multiple of eight.
        folded: Whether the graph is the one without batch normalization.

    Attributes:
        shapes: Shapes by layer and weight name, in the order of the layers.
        scales: The scale of each residual projection, by layer name.
    """

    def __init__(self, width: float, *, folded: bool) -> None:
        super().__init__(width)
        self.folded = folded
        self.shapes: Shapes = {}
        self.scales: dict[str, float] = {}

    def layer(self, name: str, kernel: tuple[int, ...], *, normalized: bool) -> None:
        """Notes the weights of a layer and of the batch normalization after it, if any."""
        self.shapes[name, "kernel"] = kernel
        size = kernel[-1:]
        if normalized and not self.folded:
            for weight in ("beta", "moving_mean", "moving_variance"):
                self.shapes[name + BATCH_NORMALIZATION_SUFFIX, weight] = size
        else:
            self.shapes[name, "bias"] = size

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
        """Notes a convolution with its batch normalization."""
        size = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
        self.layer(name, (*size, x, self.filters(filters)), normalized=True)
        return self.filters(filters)

    def residual(
        self,
        x: Tensor,
        branches: Sequence[Tensor],
        scale: float,
        name: str,
        *,
        linear: bool = False,
    ) -> Tensor:
        """Notes the projection and its scale."""
        projection = f"{name}_Conv2d_1x1"
        self.layer(projection, (1, 1, sum(branches), x), normalized=False)
        self.scales[projection] = scale
        return x

    def max_pooling(self, x: Tensor, name: str) -> Tensor:
        """Has no weights."""
        return x

    def average_pooling(self, x: Tensor, name: str) -> Tensor:
        """Has no weights."""
        return x

    def concatenation(self, branches: Sequence[Tensor], name: str) -> Tensor:
        """Has no weights; the channels add up."""
        return sum(branches)
