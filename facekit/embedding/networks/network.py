"""The embedder's network as a Keras 3 graph, built from a small description."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from facekit.embedding.networks.backbones import BACKBONES
from facekit.errors import InvalidArgumentError
from facekit.utils.extras import import_extra
from facekit.utils.validation import choice, flag, number, whole

Backbone: TypeAlias = Literal["inception_resnet_v1", "inception_resnet_v2"]

# Larger than any useful network: a forged weights file must not request an enormous one.
_MOST_TIMES, _LARGEST_INPUT, _MOST_COMPONENTS = 16.0, 2048, 65_536


@dataclass(frozen=True)
class Architecture:
    """The architecture of an embedder's network; weights fit exactly one.

    Args:
        backbone: ``"inception_resnet_v2"`` or ``"inception_resnet_v1"`` (FaceNet's).
        width: Multiplies the number of filters of every layer of the backbone; at most 16.
        blocks: Multiplies how often the backbone's blocks repeat; at most 16.
        input_size: The side S of the images it reads, in pixels, 75 to 2048.
        embedding_size: The number of components d of an embedding, at most 65,536.
        dropout: The share of pooled features that training drops, in [0, 1).
        head_batch_normalization: Whether the head's dense layer is batch-normalized.
        input_mean: Subtracted from every pixel value (0 to 255) at the input of the network.
        input_scale: The divisor of the difference.

    Raises:
        InvalidArgumentError: If an argument lies outside its range.

    Example:
        >>> from facekit import Architecture
        >>> Architecture(width=0.5, blocks=0.5, input_size=112, embedding_size=256).backbone
        'inception_resnet_v2'

    References:
        C. Szegedy, S. Ioffe, V. Vanhoucke and A. Alemi, "Inception-v4, Inception-ResNet and the
        Impact of Residual Connections on Learning", AAAI 2017, section 3.
    """

    backbone: Backbone = "inception_resnet_v2"
    width: float = 1.0
    blocks: float = 1.0
    input_size: int = 160
    embedding_size: int = 128
    dropout: float = 0.0
    head_batch_normalization: bool = False
    input_mean: float = 127.5
    input_scale: float = 127.5

    def __post_init__(self) -> None:
        choice(self.backbone, "backbone", get_args(Backbone))
        for name in ("width", "blocks"):
            number(getattr(self, name), name, high=_MOST_TIMES, above=0.0)
        number(self.input_scale, "input_scale", above=0.0)
        whole(self.input_size, "input_size", least=75, most=_LARGEST_INPUT)
        whole(self.embedding_size, "embedding_size", least=1, most=_MOST_COMPONENTS)
        number(self.dropout, "dropout", 0.0, below=1.0)
        number(self.input_mean, "input_mean")
        flag(self.head_batch_normalization, "head_batch_normalization")

    def to_dict(self) -> dict[str, Any]:
        """Returns the arguments as plain Python values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Architecture:
        """Creates an architecture from the values of :meth:`to_dict`.

        Args:
            values: The arguments by name, as :meth:`to_dict` returns them; missing ones get their
                defaults.

        Returns:
            The architecture.

        Raises:
            InvalidArgumentError: If a name is unknown or a value lies outside its range.
        """
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise InvalidArgumentError(f"unknown parts of an architecture: {sorted(unknown)}")
        return cls(**values)


def build_network(architecture: Architecture, *, folded: bool = False, seed: int = 0) -> Any:
    """Builds the network, with random weights.

    Args:
        architecture: The architecture to build.
        folded: Whether to build the graph without batch normalization, for inference.
        seed: Seed of the random weights, which are Glorot-uniform and the same on every Keras
            backend, and of dropout. The weights of a folded graph are zero, to be filled.

    Returns:
        A ``keras.Model`` from images, ``(batch, S, S, 3)`` with values 0 to 255, to embeddings,
        float32 ``(batch, d)`` of unit L2 norm.

    Raises:
        InvalidArgumentError: If the seed is not a whole number of at least 0.

    Example:
        >>> from facekit.embedding import Architecture, build_network
        >>> small = Architecture(width=0.25, blocks=0.1, input_size=80, embedding_size=64)
        >>> build_network(small).output_shape
        (None, 64)

    References:
        C. Szegedy, S. Ioffe, V. Vanhoucke and A. Alemi, "Inception-v4, Inception-ResNet and the
        Impact of Residual Connections on Learning", AAAI 2017, section 3. F. Schroff,
        D. Kalenichenko and J. Philbin, "FaceNet", CVPR 2015, figure 2, for the head. X. Glorot and
        Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks",
        AISTATS 2010, equation 16, for the random weights.
    """
    seed = whole(seed, "seed", least=0)
    keras = import_extra("keras")
    from facekit.embedding.networks.keras_graph import KerasBuilder

    side = architecture.input_size
    images = keras.Input((side, side, 3), name="pictures")
    x = keras.layers.Rescaling(
        1.0 / architecture.input_scale,
        offset=-architecture.input_mean / architecture.input_scale,
        name="standardization",
    )(images)
    build = KerasBuilder(architecture.width, folded=folded)
    features = BACKBONES[architecture.backbone](build, x, blocks=architecture.blocks)
    embeddings = build.head(features, architecture, seed)
    network = keras.Model(images, embeddings, name=architecture.backbone)
    if not folded:
        _initialize(network, seed)
    return network


def _initialize(network: Any, seed: int) -> None:
    # Keras' initializers draw from a process-wide generator; this leaves the user's unchanged.
    generator = np.random.default_rng(seed)
    for layer in network.layers:
        for weight in layer.weights:
            if weight.name == "kernel":
                receptive_field = math.prod(weight.shape[:-2])
                fan_in, fan_out = (receptive_field * size for size in weight.shape[-2:])
                limit = math.sqrt(6.0 / (fan_in + fan_out))
                weight.assign(
                    generator.uniform(-limit, limit, size=tuple(weight.shape)).astype(np.float32)
                )
