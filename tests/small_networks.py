"""Networks for the tests: small ones, and the full ones that are built once a session."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from facekit.embedding import Architecture, build_network

SIDE = 80
SMALL_V1 = Architecture(
    backbone="inception_resnet_v1",
    width=0.25,
    blocks=0.1,
    input_size=SIDE,
    embedding_size=64,
    head_batch_normalization=True,
    input_scale=128.0,
)
SMALL_V2 = Architecture(width=0.25, blocks=0.1, input_size=SIDE, embedding_size=64)


def random_pictures(count: int, side: int = SIDE, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Returns pictures of large colored patches, more like photos than noise is."""
    patches = np.random.default_rng(seed).integers(0, 256, size=(count, 5, 5, 3), dtype=np.uint8)
    return patches.repeat(side // 5, axis=1).repeat(side // 5, axis=2)


def predict(network: Any, pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Runs a network in inference."""
    return np.asarray(network(pictures.astype(np.float32), training=False))


def randomize_normalizations(network: Any, seed: int = 0) -> None:
    """Gives batch normalizations statistics as after a training: fresh ones hide mistakes."""
    generator = np.random.default_rng(seed)
    for layer in network.layers:
        for weight in layer.weights:
            size = tuple(weight.shape)
            if weight.name == "moving_variance":
                weight.assign(generator.uniform(0.3, 1.5, size))
            elif weight.name in ("beta", "moving_mean"):
                weight.assign(generator.normal(0.0, 0.3, size))
            elif weight.name == "bias":
                weight.assign(generator.normal(0.0, 0.1, size))


@lru_cache(maxsize=1)
def full_network() -> Any:
    """Returns the default network in full size."""
    return build_network(Architecture())


@lru_cache(maxsize=1)
def network_of_keras() -> Any:
    """Returns Keras' own Inception-ResNet-v2 with random weights."""
    import keras

    return keras.applications.InceptionResNetV2(
        include_top=False, weights=None, input_shape=(160, 160, 3)
    )
