"""The building blocks that both Inception-ResNet backbones are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import keras

Tensor: TypeAlias = Any
"""A symbolic Keras tensor."""

BATCH_NORMALIZATION_EPSILON = 1e-3
BATCH_NORMALIZATION_SUFFIX = "_BatchNorm"
RESIDUAL_SCALE_SUFFIX = "_Scale"


class BlockBuilder:
    """Builds convolution and residual blocks, either to be trained or folded for inference.

    Layers are named after the TensorFlow originals (``Block35_1_Branch_0_Conv2d_1x1``), so that
    published weights load by name. A folded graph holds no batch normalisation and no residual
    scale: both are linear and live in the kernels and biases of the convolutions before them. All
    kernels are zero, to be filled: :func:`facekit.embedding.build_network` draws random ones.

    Args:
        width: Multiplies the number of filters of every layer, rounded to a multiple of eight.
        folded: Whether to build the folded graph.
    """

    def __init__(self, width: float, *, folded: bool) -> None:
        self.width = width
        self.folded = folded
        # Every kernel is filled afterwards, at random by build_network or from a file. Keras' own
        # initialisers would cost time for nothing and draw their seeds from Python's generator.
        self._initializer = "zeros"

    def filters(self, full: int) -> int:
        """Returns how many filters a layer has that has ``full`` of them at width 1."""
        return max(8, 8 * round(full * self.width / 8))

    def convolution(
        self,
        x: Tensor,
        filters: int,
        kernel_size: int | tuple[int, int],
        name: str,
        *,
        strides: int = 1,
        padding: str = "same",
    ) -> Tensor:
        """Adds convolution, batch normalisation and ReLU."""
        x = keras.layers.Conv2D(
            self.filters(filters),
            kernel_size,
            strides=strides,
            padding=padding,
            use_bias=self.folded,
            kernel_initializer=self._initializer,
            name=name,
        )(x)
        if not self.folded:
            x = keras.layers.BatchNormalization(
                scale=False,
                epsilon=BATCH_NORMALIZATION_EPSILON,
                name=name + BATCH_NORMALIZATION_SUFFIX,
            )(x)
        return keras.layers.Activation("relu", name=f"{name}_Relu")(x)

    def chain(
        self, x: Tensor, name: str, *layers: tuple[str, int, int | tuple[int, int]]
    ) -> Tensor:
        """Adds convolutions of stride 1 one after the other: (name, filters, kernel size) each."""
        for layer, filters, kernel_size in layers:
            x = self.convolution(x, filters, kernel_size, f"{name}_{layer}")
        return x

    def residual(
        self,
        x: Tensor,
        branches: Sequence[Tensor],
        scale: float,
        name: str,
        *,
        linear: bool = False,
    ) -> Tensor:
        """Joins branches, projects them to the depth of ``x`` and adds them, scaled, to it."""
        mixed = keras.layers.Concatenate(name=f"{name}_Concat")(list(branches))
        projection = f"{name}_Conv2d_1x1"
        update = keras.layers.Conv2D(
            x.shape[-1], 1, kernel_initializer=self._initializer, name=projection
        )(mixed)
        if not self.folded:
            update = keras.layers.Rescaling(scale, name=projection + RESIDUAL_SCALE_SUFFIX)(update)
        x = keras.layers.Add(name=f"{name}_Add")([x, update])
        return x if linear else keras.layers.Activation("relu", name=f"{name}_Relu")(x)


def block_counts(full: tuple[int, int, int], multiplier: float) -> tuple[int, int, int]:
    """Returns how often the blocks A, B and C repeat: ``full`` times the multiplier, or once."""
    a, b, c = (max(1, round(count * multiplier)) for count in full)
    return a, b, c
