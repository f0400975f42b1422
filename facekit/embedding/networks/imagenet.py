"""ImageNet weights for the full Inception-ResNet-v2 backbone, as a start for training."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from facekit.embedding.networks.folding import LayerWeights
from facekit.embedding.networks.names import BATCH_NORMALIZATION_SUFFIX, HEAD_LAYER
from facekit.embedding.networks.network import Architecture, build_network
from facekit.embedding.weights.published import read_ordered_h5
from facekit.errors import WeightsError, WeightsNotFoundError
from facekit.io.files import is_file
from facekit.utils.extras import import_extra

_HEAD_LAYERS = (HEAD_LAYER, HEAD_LAYER + BATCH_NORMALIZATION_SUFFIX)
# The file of keras.applications, and its MD5 there.
_FILE = "inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop.h5"
_FILE_URL = (
    f"https://storage.googleapis.com/tensorflow/keras-applications/inception_resnet_v2/{_FILE}"
)
_FILE_HASH = "d19885ff4a710c122648d3b5c3b684e4"
# Keras' messages for a failed or damaged download, for which it has no exception class.
_FETCH_FAILURES = ("fetch failure", "corrupted file")


def build_imagenet_network(
    embedding_size: int = 128,
    *,
    input_size: int = 160,
    dropout: float = 0.0,
    seed: int = 0,
    weights: str | os.PathLike[str] | None = None,
) -> Any:
    """Builds the full network with Keras' ImageNet weights in its backbone.

    The head is random: the result is a starting point for training, not an embedder of faces. If no
    file is given, Keras downloads the weights (219 MB) at the first call and caches them.

    Args:
        embedding_size: The number of components of an embedding.
        input_size: The side of the images, in pixels.
        dropout: The share of pooled features that training drops.
        seed: Seed of the random weights of the head.
        weights: Keras' weights file without the top, if it is on this machine:
            ``inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop.h5``.

    Returns:
        A ``keras.Model``, as :func:`facekit.embedding.build_network` makes it.

    Raises:
        InvalidArgumentError: If an argument lies outside its range.
        WeightsNotFoundError: If the weights cannot be downloaded, ``FACEKIT_OFFLINE`` forbids it,
            or the file does not exist.
        WeightsError: If the file is damaged or holds the weights of another network.

    Example:
        >>> from facekit.embedding import build_imagenet_network
        >>> network = build_imagenet_network(embedding_size=128)  # doctest: +SKIP

    References:
        ``keras.applications.InceptionResNetV2``, whose weights these are.
    """
    architecture = Architecture(
        input_size=input_size, embedding_size=embedding_size, dropout=dropout
    )
    path = Path(_fetched() if weights is None else weights)
    if not is_file(path):
        raise WeightsNotFoundError(f"{path}: no such file; download {_FILE_URL}")
    arrays = read_ordered_h5(path)
    network = build_network(architecture, seed=seed)
    fill_backbone(network, arrays, source=str(path))
    return network


def _fetched() -> str:
    """Returns the path of the file in Keras' cache, downloaded if it may be."""
    keras = import_extra("keras")
    if os.environ.get("FACEKIT_OFFLINE"):
        cache = os.environ.get("KERAS_HOME") or Path("~/.keras").expanduser()
        return str(Path(cache, "models", _FILE))
    try:
        path: str = keras.utils.get_file(
            _FILE, _FILE_URL, file_hash=_FILE_HASH, cache_subdir="models"
        )
    except Exception as error:
        # Keras raises a bare Exception if the server does not respond.
        failed = any(words in str(error) for words in _FETCH_FAILURES)
        if not failed and not isinstance(error, OSError):
            raise
        reason = str(error).partition("\n")[0]
        raise WeightsNotFoundError(
            f"Keras could not fetch its ImageNet weights ({reason}); download {_FILE_URL} and pass "
            "its path as weights="
        ) from error
    return path


def fill_backbone(network: Any, weights: LayerWeights, *, source: str) -> None:
    """Fills a backbone with weights in the order in which Keras builds the layers."""
    # Keras numbers most layers in the order of creation (conv2d_17), so the order identifies them.
    # Layers that Keras names after their block must belong to that block.
    targets = [
        layer for layer in network.layers if layer.weights and layer.name not in _HEAD_LAYERS
    ]
    if len(targets) != len(weights):
        raise WeightsError(
            f"{source}: holds {len(weights)} layers with weights, the backbone of {network.name} "
            f"has {len(targets)}; it belongs to another network. Download {_FILE_URL}"
        )
    for target, (name, arrays) in zip(targets, weights.items(), strict=True):
        needed = {weight.name: tuple(weight.shape) for weight in target.weights}
        found = {weight: array.shape for weight, array in arrays.items()}
        block = re.fullmatch(r"(block\d+_\d+)_conv", name)
        named_otherwise = block and target.name != f"{block[1].capitalize()}_Conv2d_1x1"
        if found != needed or named_otherwise:
            raise WeightsError(
                f"{source}: {name} holds {found}, the backbone has {target.name} with {needed} "
                f"there; it belongs to another network. Download {_FILE_URL}"
            )
    for target, arrays in zip(targets, weights.values(), strict=True):
        target.set_weights([arrays[weight.name] for weight in target.weights])
