"""ImageNet weights for the whole Inception-ResNet-v2 backbone, as a start for training."""

from __future__ import annotations

from typing import Any

from facekit.embedding.network import Architecture, build_network
from facekit.errors import InvalidArgumentError, WeightsNotFoundError

_HEAD_LAYERS = ("Bottleneck",)


def build_imagenet_network(
    embedding_size: int = 128, *, input_size: int = 160, dropout: float = 0.0, seed: int = 0
) -> Any:
    """Builds the full network with Keras' ImageNet weights in its backbone.

    The head stays random: the result is where a training starts from, not an embedder of faces.
    Keras downloads the weights (219 MB) at the first call and keeps them.

    Args:
        embedding_size: The number of components of an embedding.
        input_size: The side of the pictures, in pixels.
        dropout: The share of pooled features that training drops.
        seed: Decides the random weights of the head.

    Returns:
        A ``keras.Model``, as :func:`facekit.embedding.build_network` makes it.

    Raises:
        WeightsNotFoundError: If Keras cannot fetch the weights.

    Example:
        >>> from facekit.embedding import build_imagenet_network
        >>> network = build_imagenet_network(embedding_size=128)  # doctest: +SKIP
    """
    import keras

    try:
        source = keras.applications.InceptionResNetV2(
            include_top=False, weights="imagenet", input_shape=(input_size, input_size, 3)
        )
    except (OSError, ValueError) as error:
        message = str(error)
        if "fetch" not in message.lower() and not isinstance(error, OSError):
            raise
        raise WeightsNotFoundError(
            f"Keras could not fetch its ImageNet weights ({message.splitlines()[0]}); "
            "download the file named there into ~/.keras/models yourself"
        ) from error
    network = build_network(
        Architecture(input_size=input_size, embedding_size=embedding_size, dropout=dropout),
        seed=seed,
    )
    copy_backbone_weights(source, network)
    return network


def copy_backbone_weights(source: Any, network: Any) -> None:
    """Copies the weights of a ``keras.applications.InceptionResNetV2`` into a network's backbone.

    Both build the same layers in the same order, so the weights correspond one to one.

    Args:
        source: The model of ``keras.applications``, without its top.
        network: A network with a full ``inception_resnet_v2`` backbone, not folded.

    Raises:
        InvalidArgumentError: If the two differ in the number or shape of their weights.
    """
    targets = [
        layer for layer in network.layers if layer.weights and layer.name not in _HEAD_LAYERS
    ]
    sources = [layer for layer in source.layers if layer.weights]
    shapes = [[tuple(w.shape) for w in layer.weights] for layer in targets]
    if shapes != [[tuple(w.shape) for w in layer.weights] for layer in sources]:
        raise InvalidArgumentError(
            f"the weights of {source.name} do not fit the backbone of {network.name}: only the "
            "full inception_resnet_v2 (width 1, blocks 1) has the same layers"
        )
    for target, layer in zip(targets, sources, strict=True):
        target.set_weights(layer.get_weights())
