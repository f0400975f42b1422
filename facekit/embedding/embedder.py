"""The embedder: from aligned faces to unit vectors whose distance tells people apart."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facekit import storage
from facekit.alignment import Aligner
from facekit.embedding.folding import (
    LayerWeights,
    assign,
    fold,
    layer_weights,
    residual_scales,
    unfold,
)
from facekit.embedding.head import HEAD_LAYER
from facekit.embedding.inference import CompiledNetwork
from facekit.embedding.network import Architecture, build_network
from facekit.embedding.published import read_published
from facekit.embedding.weights import (
    DEFAULT_WEIGHTS,
    REGISTRY,
    WeightsRecord,
    identify,
    locate,
    record_for,
)
from facekit.errors import (
    InvalidArgumentError,
    RandomWeightsWarning,
    WeightsError,
    WeightsNotFoundError,
)
from facekit.progress import track

_FILE_KIND = "facekit.embedder"
_FILE_VERSION = 1
_READABLE_SUFFIXES = (".safetensors", ".npz", ".h5")


class Embedder:
    """Maps aligned faces to embeddings: unit vectors, near for one person, far for two.

    Args:
        weights: A name from :data:`facekit.embedding.weights.REGISTRY`, the path of a file (one of
            the published ones, or one that :meth:`save` wrote), or ``None`` for random weights.
        architecture: The network to build for ``weights=None``; otherwise the weights decide.
        batch_size: How many faces run through the network at a time. More is faster up to about
            32 and needs more memory, some 20 MB a face for the full networks.
        seed: Decides the weights for ``weights=None``.

    Attributes:
        record: What is known about the weights, a
            :class:`facekit.embedding.weights.WeightsRecord`.

    Raises:
        WeightsNotFoundError: If the weights are not on this machine and cannot be fetched.
        WeightsError: If the file is damaged or altered or does not fit.
        InvalidArgumentError: If an argument lies outside its range.

    Warns:
        RandomWeightsWarning: For ``weights=None``: such an embedder recognises nobody.

    Example:
        >>> import warnings
        >>> import numpy as np
        >>> from facekit import Architecture, Embedder
        >>> small = Architecture(width=0.25, blocks=0.1, input_size=80, embedding_size=64)
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     embedder = Embedder(weights=None, architecture=small)
        >>> embeddings = embedder.embed(np.zeros((3, 80, 80, 3), dtype=np.uint8))
        >>> embeddings.shape, embeddings.dtype
        ((3, 64), dtype('float32'))

    References:
        Schroff, Kalenichenko and Philbin, "FaceNet" (CVPR 2015), section 3.
    """

    def __init__(
        self,
        weights: str | os.PathLike[str] | None = DEFAULT_WEIGHTS,
        *,
        architecture: Architecture | None = None,
        batch_size: int = 32,
        seed: int = 0,
    ) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise InvalidArgumentError(
                f"batch_size must be a positive whole number, got {batch_size!r}"
            )
        if weights is not None and architecture is not None:
            raise InvalidArgumentError(
                "architecture goes with weights=None; the architecture of existing weights is fixed"
            )
        if weights is None:
            record, arrays = _random(architecture or Architecture(), seed)
        elif isinstance(weights, str) and not _looks_like_path(weights):
            record = record_for(weights)
            path, file = locate(record)
            arrays = read_published(path, file.layout, record.architecture)
        else:
            record, arrays = _read_path(Path(weights))
        self._start(record, arrays, batch_size)

    @classmethod
    def from_network(
        cls,
        network: Any,
        architecture: Architecture,
        *,
        name: str,
        alignment: Aligner | None = None,
        thresholds: dict[float, float] | None = None,
        batch_size: int = 32,
    ) -> Embedder:
        """Makes an embedder of a network that was trained, by folding it.

        Args:
            network: A ``keras.Model`` of :func:`facekit.embedding.build_network`.
            architecture: What it was built from.
            name: How to call the weights.
            alignment: The aligner that it was trained with; by default a similarity to its size.
            thresholds: Distance by false-accept rate, as far as measured.
            batch_size: As for the constructor.

        Returns:
            The embedder; :meth:`save` keeps it.

        Raises:
            WeightsError: If the network does not have that architecture.
        """
        arrays = fold(layer_weights(network), residual_scales(network))
        aligner = alignment or Aligner(architecture.input_size)
        if aligner.size != architecture.input_size:
            raise InvalidArgumentError(
                f"alignment gives pictures of side {aligner.size}, the network reads "
                f"{architecture.input_size}"
            )
        record = WeightsRecord(
            name=name,
            version=_digest(arrays),
            architecture=architecture,
            alignment=aligner.to_dict(),
            thresholds=dict(thresholds or {}),
        )
        embedder = cls.__new__(cls)
        embedder._start(record, arrays, batch_size)
        return embedder

    def to_network(
        self, *, embedding_size: int | None = None, dropout: float | None = None, seed: int = 0
    ) -> tuple[Any, Architecture]:
        """Makes a network that can be trained on from these weights: :meth:`from_network` undone.

        Its batch normalisations have no statistics, because these are folded into the kernels.
        They must stay in inference mode (``layer.trainable = False``), as
        :class:`facekit.training.TripletTrainer` keeps them.

        Args:
            embedding_size: The number of components of a new, random head; ``None`` keeps the head.
            dropout: The share of pooled features that training drops; ``None`` leaves it as it was.
            seed: Decides the new head and what is dropped.

        Returns:
            A ``keras.Model`` of :func:`facekit.embedding.build_network` with these weights, and its
            architecture.

        Example:
            >>> import warnings
            >>> from facekit import Architecture, Embedder
            >>> small = Architecture(width=0.25, blocks=0.1, input_size=80, embedding_size=64)
            >>> with warnings.catch_warnings():
            ...     warnings.simplefilter("ignore")
            ...     embedder = Embedder(weights=None, architecture=small)
            >>> network, architecture = embedder.to_network(embedding_size=32)
            >>> network.output_shape, architecture.embedding_size
            ((None, 32), 32)
        """
        architecture = self.record.architecture
        folded = layer_weights(self._network)
        if embedding_size is not None:
            architecture = dataclasses.replace(
                architecture, embedding_size=embedding_size, head_batch_normalization=False
            )
            del folded[HEAD_LAYER]
        if dropout is not None:
            architecture = dataclasses.replace(architecture, dropout=dropout)
        network = build_network(architecture, seed=seed)
        assign(network, unfold(folded, network))
        return network, architecture

    def _start(self, record: WeightsRecord, arrays: LayerWeights, batch_size: int) -> None:
        self.record = record
        self.batch_size = batch_size
        network = build_network(record.architecture, folded=True)
        assign(network, arrays)
        self._network = network
        self._compiled = CompiledNetwork(network, batch_size)

    def __repr__(self) -> str:
        return f"Embedder(weights={self.record.name!r}, batch_size={self.batch_size})"

    @property
    def input_size(self) -> int:
        """The side S of the aligned faces that it reads, in pixels."""
        return self.record.architecture.input_size

    @property
    def embedding_size(self) -> int:
        """The number of components d of an embedding."""
        return self.record.architecture.embedding_size

    @property
    def traces(self) -> int:
        """How often the network has been traced, which is once, whatever is embedded."""
        return self._compiled.traces

    def aligner(self) -> Aligner:
        """Returns the aligner that these weights were trained with."""
        return Aligner(**self.record.alignment)

    def embed(
        self,
        faces: npt.NDArray[np.uint8] | Sequence[npt.NDArray[np.uint8]],
        *,
        progress: bool = False,
    ) -> npt.NDArray[np.float32]:
        """Embeds aligned faces.

        Args:
            faces: uint8 ``(n, S, S, 3)``, RGB, of an :class:`facekit.Aligner`, or a list of such
                pictures.
            progress: Whether to show a progress bar, if standard error is a terminal.

        Returns:
            float32 ``(n, d)``, each row of unit L2 norm; ``(0, d)`` for no faces.

        Raises:
            InvalidArgumentError: If the faces have another shape or type.
        """
        pictures = self._checked(faces)
        embeddings = np.empty((len(pictures), self.embedding_size), dtype=np.float32)
        starts = range(0, len(pictures), self.batch_size)
        for start in track(starts, "Embedding faces", total=len(starts), shown=progress):
            batch = slice(start, start + self.batch_size)
            embeddings[batch] = self._compiled(pictures[batch])
        return embeddings

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the weights and their record to one safetensors file.

        Args:
            path: Where to write, ending in ``.safetensors``. ``Embedder(path)`` reads it.

        Raises:
            InvalidArgumentError: If the path ends otherwise.
            FileFormatError: If the file cannot be written.
        """
        if Path(path).suffix != ".safetensors":
            raise InvalidArgumentError(
                f"the file of an embedder ends in .safetensors, got {os.fspath(path)!r}"
            )
        storage.write(
            path,
            kind=_FILE_KIND,
            version=_FILE_VERSION,
            header=self.record.to_dict(),
            arrays={
                f"{layer}/{name}": array
                for layer, arrays in layer_weights(self._network).items()
                for name, array in arrays.items()
            },
        )

    def _checked(
        self, faces: npt.NDArray[np.uint8] | Sequence[npt.NDArray[np.uint8]]
    ) -> npt.NDArray[np.uint8]:
        side = self.input_size
        if len(faces) == 0:
            return np.empty((0, side, side, 3), dtype=np.uint8)
        try:
            pictures = np.asarray(faces)
        except ValueError as error:
            raise InvalidArgumentError(
                f"faces must all have the shape ({side}, {side}, 3); align them first"
            ) from error
        if pictures.shape[1:] != (side, side, 3) or pictures.dtype != np.uint8:
            raise InvalidArgumentError(
                f"faces must be uint8 (n, {side}, {side}, 3), got {pictures.dtype} "
                f"{pictures.shape}; cut them out with embedder.aligner().align(image, faces)"
            )
        return pictures


def _looks_like_path(weights: str) -> bool:
    return os.sep in weights or "/" in weights or Path(weights).suffix in _READABLE_SUFFIXES


def _read_path(path: Path) -> tuple[WeightsRecord, LayerWeights]:
    if path.is_dir():
        inside = [file for file in sorted(path.iterdir()) if _is_published_name(file)]
        if not inside:
            raise WeightsNotFoundError(f"{path}: the folder holds no weights file")
        path = inside[0]
    if not path.is_file():
        raise WeightsNotFoundError(f"{path}: no such file; give a path, a name, or None")
    if path.suffix == ".safetensors":
        header, flat = storage.read(path, kind=_FILE_KIND, newest_version=_FILE_VERSION)
        arrays: LayerWeights = {}
        for key, array in flat.items():
            layer, _, name = key.rpartition("/")
            arrays.setdefault(layer, {})[name] = array
        return WeightsRecord.from_dict(header), arrays
    if path.suffix in _READABLE_SUFFIXES:
        record, file = identify(path)
        return record, read_published(path, file.layout, record.architecture)
    raise WeightsError(
        f"{path}: files of weights end in {', '.join(_READABLE_SUFFIXES)}; nothing else is read"
    )


def _is_published_name(path: Path) -> bool:
    published = {file.name for record in REGISTRY.values() for file in record.files}
    return path.suffix == ".safetensors" or path.name in published


def _random(architecture: Architecture, seed: int) -> tuple[WeightsRecord, LayerWeights]:
    warnings.warn(
        "weights=None: this embedder has random weights and recognises nobody; train it first",
        RandomWeightsWarning,
        stacklevel=3,
    )
    network = build_network(architecture, seed=seed)
    arrays = fold(layer_weights(network), residual_scales(network))
    record = WeightsRecord(
        name="random",
        version=f"seed-{seed}-{_digest(arrays)}",
        architecture=architecture,
        alignment=Aligner(architecture.input_size).to_dict(),
    )
    return record, arrays


def _digest(arrays: LayerWeights) -> str:
    digest = hashlib.sha256()
    for layer in sorted(arrays):
        for name in sorted(arrays[layer]):
            digest.update(f"{layer}/{name}".encode())
            digest.update(np.ascontiguousarray(arrays[layer][name]).data)
    return digest.hexdigest()[:12]
