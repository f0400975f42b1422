"""Networks as Keras graphs: to be trained, or folded for inference."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from facekit.embedding.networks.blocks import GraphBuilder, Padding, Tensor
from facekit.embedding.networks.names import (
    BATCH_NORMALIZATION_EPSILON,
    BATCH_NORMALIZATION_SUFFIX,
    RESIDUAL_SCALE_SUFFIX,
)


class KerasBuilder(GraphBuilder):
    """Builds a graph of Keras layers.

    A folded graph holds no batch normalization and no residual scale: both are linear and live in
    the kernels and biases of the convolutions before them. All kernels are zero, to be filled:
    :func:`facekit.embedding.build_network` draws random ones.

    Args:
        width: Multiplies the number of filters of every layer, rounded to a multiple of eight.
        folded: Whether to build the folded graph.
    """

    def __init__(self, width: float, *, folded: bool) -> None:
        super().__init__(width)
        self.folded = folded
        # Every kernel is filled afterwards, at random by build_network or from a file. Keras' own
        # initializers would cost time for nothing and draw their seeds from Python's generator.
        self._initializer = "zeros"

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
        """Adds convolution, batch normalization (unless folded) and ReLU."""
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
        mixed = self.concatenation(branches, f"{name}_Concat")
        projection = f"{name}_Conv2d_1x1"
        update = keras.layers.Conv2D(
            x.shape[-1], 1, kernel_initializer=self._initializer, name=projection
        )(mixed)
        if not self.folded:
            update = keras.layers.Rescaling(scale, name=projection + RESIDUAL_SCALE_SUFFIX)(update)
        x = keras.layers.Add(name=f"{name}_Add")([x, update])
        return x if linear else keras.layers.Activation("relu", name=f"{name}_Relu")(x)

    def max_pooling(self, x: Tensor, name: str) -> Tensor:
        """Adds the maximum over windows of 3 × 3, two pixels apart, none across the border."""
        return keras.layers.MaxPooling2D(3, strides=2, name=name)(x)

    def average_pooling(self, x: Tensor, name: str) -> Tensor:
        """Adds the mean over the 3 × 3 pixels around each, as far as they lie in the picture."""
        return keras.layers.AveragePooling2D(3, strides=1, padding="same", name=name)(x)

    def concatenation(self, branches: Sequence[Tensor], name: str) -> Tensor:
        """Joins the channels of several tensors."""
        return keras.layers.Concatenate(name=name)(list(branches))
