"""The triplet head: from a feature map to a unit embedding."""

from __future__ import annotations

import keras

from facekit.embedding.networks.blocks import Tensor
from facekit.embedding.networks.names import (
    BATCH_NORMALIZATION_EPSILON,
    BATCH_NORMALIZATION_SUFFIX,
    FEATURES_LAYER,
    HEAD_LAYER,
)


def triplet_head(
    features: Tensor,
    embedding_size: int,
    *,
    dropout: float = 0.0,
    batch_normalization: bool = False,
    folded: bool = False,
    seed: int = 0,
) -> Tensor:
    """Adds global average pooling, dropout, a dense layer and L2 normalization.

    References:
        Schroff, Kalenichenko and Philbin, "FaceNet" (CVPR 2015), figure 2: the constraint
        ‖f(x)‖₂ = 1.
    """
    # Without a seed, Keras would draw one from the user's generator; it accepts 32 bits.
    seed = int(seed) % 2**32
    x = keras.layers.GlobalAveragePooling2D(name=FEATURES_LAYER)(features)
    if dropout and not folded:
        x = keras.layers.Dropout(dropout, seed=seed, name="Dropout")(x)
    separate = batch_normalization and not folded
    x = keras.layers.Dense(
        embedding_size,
        use_bias=not separate,
        kernel_initializer="zeros" if folded else keras.initializers.GlorotUniform(seed),
        name=HEAD_LAYER,
    )(x)
    if separate:
        x = keras.layers.BatchNormalization(
            scale=False,
            epsilon=BATCH_NORMALIZATION_EPSILON,
            name=HEAD_LAYER + BATCH_NORMALIZATION_SUFFIX,
        )(x)
    return keras.layers.UnitNormalization(axis=-1, dtype="float32", name="embedding")(x)
