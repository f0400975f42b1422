"""Networks as Keras graphs: trainable, or folded for inference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras

from facekit.embedding.networks.blocks import Convolution, GraphBuilder, Tensor
from facekit.embedding.networks.names import (
    BATCH_NORMALIZATION_EPSILON,
    BATCH_NORMALIZATION_SUFFIX,
    FEATURES_LAYER,
    HEAD_LAYER,
    RESIDUAL_SCALE_SUFFIX,
)

if TYPE_CHECKING:
    from facekit.embedding.networks.network import Architecture


class KerasBuilder(GraphBuilder):
    """Builds a graph of Keras layers; a folded one has no batch normalizations and no scales."""

    def __init__(self, width: float, *, folded: bool) -> None:
        super().__init__(width)
        self.folded = folded
        # Every kernel is filled afterwards, at random by build_network or from a file. Keras'
        # initializers would waste time and draw their seeds from Python's generator.
        self._initializer = "zeros"

    def convolved(self, x: Tensor, layer: Convolution) -> Tensor:
        """Adds convolution, batch normalization (unless folded) and ReLU."""
        x = keras.layers.Conv2D(
            layer.filters,
            layer.sides,
            strides=layer.strides,
            padding=layer.padding,
            use_bias=self.folded,
            kernel_initializer=self._initializer,
            name=layer.name,
        )(x)
        if not self.folded:
            x = _normalized(x, layer.name)
        return keras.layers.Activation("relu", name=f"{layer.name}_Relu")(x)

    def added(self, x: Tensor, mixed: Tensor, scale: float, name: str, *, linear: bool) -> Tensor:
        """Adds the projection of ``mixed``, scaled (unless folded), to ``x``, and ReLU."""
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
        """Adds the mean over the 3 × 3 pixels around each, as far as they lie in the image."""
        return keras.layers.AveragePooling2D(3, strides=1, padding="same", name=name)(x)

    def concatenation(self, branches: Sequence[Tensor], name: str) -> Tensor:
        """Joins the channels of several tensors."""
        return keras.layers.Concatenate(name=name)(list(branches))

    def head(self, x: Tensor, architecture: Architecture, seed: int) -> Tensor:
        """Adds global average pooling, dropout, a dense layer and L2 normalization."""
        x = keras.layers.GlobalAveragePooling2D(name=FEATURES_LAYER)(x)
        if architecture.dropout and not self.folded:
            # Without a seed, Keras would draw one from the user's generator; it accepts 32 bits.
            x = keras.layers.Dropout(architecture.dropout, seed=seed % 2**32, name="Dropout")(x)
        normalized = architecture.head_batch_normalization and not self.folded
        x = keras.layers.Dense(
            architecture.embedding_size,
            use_bias=not normalized,
            kernel_initializer=self._initializer,
            name=HEAD_LAYER,
        )(x)
        if normalized:
            x = _normalized(x, HEAD_LAYER)
        return keras.layers.UnitNormalization(axis=-1, dtype="float32", name="embedding")(x)


def _normalized(x: Tensor, layer: str) -> Tensor:
    return keras.layers.BatchNormalization(
        scale=False, epsilon=BATCH_NORMALIZATION_EPSILON, name=layer + BATCH_NORMALIZATION_SUFFIX
    )(x)
