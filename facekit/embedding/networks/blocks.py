"""The building blocks of a backbone: one graph description for any framework."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

Tensor: TypeAlias = Any
"""A symbolic tensor of the framework that the graph is built in."""
Padding: TypeAlias = Literal["same", "valid"]


class Convolution(NamedTuple):
    """A convolution, its filters counted at the width of the graph."""

    name: str
    filters: int
    sides: tuple[int, int]
    strides: int = 1
    padding: Padding = "same"

    @property
    def border(self) -> list[int]:
        """The zero padding on each side of the height and the width."""
        # Kernels have odd sides, and those of stride 2 no padding, so both sides get the same.
        return [side // 2 for side in self.sides] if self.padding == "same" else [0, 0]


class GraphBuilder(ABC):
    """Builds a graph in some framework, from the calls in which a backbone is written once."""

    # Layers are named after the TensorFlow originals (Block35_1_Branch_0_Conv2d_1x1), so that
    # published weights load by name.

    def __init__(self, width: float) -> None:
        self.width = width  # multiplies the number of filters of every layer

    def filters(self, full: int) -> int:
        """Returns the number of filters of a layer that has ``full`` filters at width 1."""
        return max(8, 8 * round(full * self.width / 8))

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
        """Adds convolution, batch normalization and ReLU; ``filters`` counts at width 1."""
        sides = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
        return self.convolved(x, Convolution(name, self.filters(filters), sides, strides, padding))

    def chain(
        self, x: Tensor, name: str, *layers: tuple[str, int, int | tuple[int, int]]
    ) -> Tensor:
        """Adds a chain of convolutions of stride 1, each given as (name, filters, kernel size)."""
        for layer, filters, kernel_size in layers:
            x = self.convolution(x, filters, kernel_size, f"{name}_{layer}")
        return x

    def residual(
        self, x: Tensor, branches: Sequence[Tensor], scale: float, name: str, *, linear: bool
    ) -> Tensor:
        """Joins branches, projects them to the depth of ``x`` and adds them, scaled, to it."""
        mixed = self.concatenation(branches, f"{name}_Concat")
        return self.added(x, mixed, scale, name, linear=linear)

    @abstractmethod
    def convolved(self, x: Tensor, layer: Convolution) -> Tensor:
        """Adds convolution, batch normalization and ReLU."""

    @abstractmethod
    def added(self, x: Tensor, mixed: Tensor, scale: float, name: str, *, linear: bool) -> Tensor:
        """Adds the projection of ``mixed``, scaled, to ``x``, and ReLU unless ``linear``."""

    def max_pooling(self, x: Tensor, name: str) -> Tensor:
        """Adds the maximum over windows of 3 × 3, two pixels apart, none across the border."""
        return x  # where only layers with weights count

    def average_pooling(self, x: Tensor, name: str) -> Tensor:
        """Adds the mean over the 3 × 3 pixels around each, as far as they lie in the image."""
        return x

    @abstractmethod
    def concatenation(self, branches: Sequence[Tensor], name: str) -> Tensor:
        """Joins the channels of several tensors."""


def block_counts(full: tuple[int, int, int], multiplier: float) -> tuple[int, int, int]:
    """Returns the repetitions of blocks A, B and C: ``full`` times the multiplier, at least 1."""
    a, b, c = (max(1, round(count * multiplier)) for count in full)
    return a, b, c
