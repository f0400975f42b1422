"""Teachers for distillation: embedders, networks in ONNX files, and stored embeddings."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt
from scipy.linalg import orthogonal_procrustes

from facekit.alignment import Aligner
from facekit.embedding import Embedder
from facekit.errors import InvalidArgumentError, TrainingDataError, WeightsError
from facekit.io.files import is_file
from facekit.training.data.dataset import FaceDataset
from facekit.utils.openvino import Graph, available_cores
from facekit.utils.progress import track
from facekit.utils.validation import reals, vectors

Vectors: TypeAlias = npt.NDArray[np.float32]

ARCFACE_TEMPLATE: tuple[tuple[float, float], ...] = (
    (38.2946 / 112, 51.6963 / 112),
    (73.5318 / 112, 51.5014 / 112),
    (56.0252 / 112, 71.7366 / 112),
    (41.5493 / 112, 92.3655 / 112),
    (70.7299 / 112, 92.2041 / 112),
)
"""Where the keypoints lie in the faces that networks of ArcFace's kind read, as fractions of the
side (J. Deng et al., "ArcFace", CVPR 2019; InsightFace's ``arcface_src``)."""

_READ_AT_A_TIME = 256


@runtime_checkable
class Teacher(Protocol):
    """A teacher for :class:`facekit.training.Distiller`; a :class:`facekit.Embedder` also works.

    Example:
        >>> from facekit.training import StoredTeacher
        >>> from facekit.training.distillation.teachers import Teacher
        >>> import numpy as np
        >>> isinstance(StoredTeacher(["a"], np.ones((1, 4))), Teacher)
        True
    """

    @property
    def identity(self) -> str:
        """The identity of the teacher; equal identities give equal embeddings."""

    @property
    def embedding_size(self) -> int:
        """The number of components d of an embedding."""

    def aligner(self) -> Aligner | None:
        """Returns what cuts out the faces that it reads, or ``None`` if it needs no images."""

    def embed_faces(self, faces: FaceDataset, *, progress: bool = False) -> Vectors:
        """Returns the embeddings of the faces of a data set, float32 ``(n, d)`` of unit norm.

        Args:
            faces: The faces, as its aligner cuts them, or of another size.
            progress: Whether to show a progress bar, if standard error is a terminal.
        """


class OnnxTeacher:
    """A network in an ONNX file, with its alignment and pixel scaling.

    The file must have one input ``(batch, 3, S, S)``, RGB, and one output of d values per face. A
    fixed batch size in the file is overridden.

    Args:
        path: The file.
        input_mean: What is subtracted from the pixel values, 0 to 255; one number or one a channel.
        input_scale: What the difference is then divided by; likewise.
        aligner: Cuts out the faces that it reads; by default one of the file's S with
            ``ARCFACE_TEMPLATE``.
        mirrored: Whether the embedding is the mean of those of the face and its mirror image.
        threads: The number of cores to use; ``None`` for all.

    Attributes:
        identity: The file's name, and a digest of it and of how images are given to it.
        embedding_size: The number of components d of an embedding.

    Raises:
        WeightsError: If the file is missing, damaged, or of another form.
        InvalidArgumentError: If the aligner makes images of another size.

    Example:
        >>> from facekit.training import OnnxTeacher
        >>> OnnxTeacher("missing.onnx")
        Traceback (most recent call last):
        ...
        facekit.errors.WeightsError: missing.onnx: no such file
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        input_mean: float | Sequence[float] = 127.5,
        input_scale: float | Sequence[float] = 127.5,
        aligner: Aligner | None = None,
        mirrored: bool = False,
        threads: int | None = None,
    ) -> None:
        from facekit.utils.openvino import ov

        path = Path(path)
        if not is_file(path):
            raise WeightsError(f"{path}: no such file")
        self._copied = partial(
            OnnxTeacher,
            input_mean=input_mean,
            input_scale=input_scale,
            aligner=aligner,
            mirrored=mirrored,
            threads=threads,
        )
        self._path = path
        try:
            model = ov.Core().read_model(path)
            (shape,) = (tuple(entry.get_partial_shape()) for entry in model.inputs)
            side = int(shape[2].get_length())
            self.embedding_size = _values(model)
            model.reshape([-1, 3, side, side])
        except (RuntimeError, ValueError, IndexError) as error:
            raise WeightsError(f"{path}: is not an ONNX face network ({error})") from error
        cores = threads or available_cores()
        self._graph = Graph(lambda: model, threads=cores, streams=1)
        self._mean, self._scale = (
            np.broadcast_to(reals(value, name).astype(np.float32), 3)
            for name, value in (("input_mean", input_mean), ("input_scale", input_scale))
        )
        self._aligner = aligner or Aligner(side, template=ARCFACE_TEMPLATE)
        if self._aligner.size != side:
            raise InvalidArgumentError(
                f"aligner gives faces of side {self._aligner.size}, {path} reads {side}"
            )
        self._mirrored = mirrored
        digest = hashlib.sha256(path.read_bytes())
        digest.update(repr((self._mean.tolist(), self._scale.tolist(), mirrored)).encode())
        self.identity = f"{path.stem}@{digest.hexdigest()[:12]}"

    def __reduce__(self) -> tuple[Any, ...]:
        return self._copied, (self._path.absolute(),)

    def aligner(self) -> Aligner:
        """Returns what cuts out the faces that it reads."""
        return self._aligner

    def embed(self, faces: npt.NDArray[np.uint8]) -> Vectors:
        """Returns the embeddings of aligned faces, float32 ``(n, d)`` of unit norm.

        Args:
            faces: uint8 ``(n, S, S, 3)``, RGB.
        """
        raw = self._run(faces)
        return _unit(raw + self._run(faces[:, :, ::-1]) if self._mirrored else raw)

    def embed_faces(self, faces: FaceDataset, *, progress: bool = False) -> Vectors:
        """Returns the embeddings of the faces of a data set, float32 ``(n, d)`` of unit norm.

        Args:
            faces: The faces, as its aligner cuts them, or of another size.
            progress: Whether to show a progress bar, if standard error is a terminal.
        """
        return _embed_in_parts(self, self._aligner.size, faces, progress=progress)

    def _run(self, faces: npt.NDArray[np.uint8]) -> Vectors:
        scaled = (faces.astype(np.float32) - self._mean) / self._scale
        given = np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))
        # A batch size fixed inside the graph makes one row of all; the values are in order.
        return _unit(np.array(self._graph.infer(given)[0]).reshape(len(faces), self.embedding_size))


class StoredTeacher:
    """Precomputed embeddings, by the key of each face.

    Args:
        keys: The name of each face in :attr:`facekit.training.FaceDataset.keys`, n strings.
        embeddings: float ``(n, d)``; normalized to unit vectors.

    Attributes:
        keys: The names of the faces.
        embedding_size: The number of components d of an embedding.

    Raises:
        InvalidArgumentError: If there is not one embedding per key, keys are repeated, or an
            embedding is not finite or 0.

    Example:
        >>> import numpy as np
        >>> from facekit.training import FaceDataset, StoredTeacher
        >>> teacher = StoredTeacher(["a", "b"], np.eye(2))
        >>> images = np.zeros((1, 8, 8, 3), dtype=np.uint8)
        >>> teacher.embed_faces(FaceDataset.from_arrays(images, [None], keys=["b"])).tolist()
        [[0.0, 1.0]]
    """

    def __init__(self, keys: Sequence[str], embeddings: npt.ArrayLike) -> None:
        rows = vectors(embeddings, None, "embeddings")
        self._rows = {str(key): row for row, key in enumerate(keys)}
        if not len(keys) == len(rows) == len(self._rows):
            raise InvalidArgumentError(
                f"embeddings must be (n, d) for n different keys, got {rows.shape} for "
                f"{len(keys)} keys, {len(self._rows)} of them different"
            )
        if not (directed := rows.any(axis=1)).all():
            raise InvalidArgumentError(
                f"embeddings must not be 0, that of {keys[int(directed.argmin())]!r} is"
            )
        self._vectors = _unit(rows)
        self.keys = tuple(self._rows)
        self.embedding_size: int = rows.shape[1]

    @classmethod
    def from_npz(cls, path: str | os.PathLike[str]) -> StoredTeacher:
        """Reads an npz file with ``names``, n strings, and ``embeddings``, ``(n, d)``.

        Args:
            path: The file.

        Returns:
            The teacher.

        Raises:
            TrainingDataError: If the file is missing, damaged, or holds other arrays.
            InvalidArgumentError: As the constructor.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                keys, vectors = file["names"].tolist(), file["embeddings"]
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise TrainingDataError(f"{path}: holds no names and embeddings ({error})") from error
        return cls(keys, vectors)

    @property
    def identity(self) -> str:
        """A digest of keys and embeddings."""
        digest = hashlib.sha256("\0".join(self._rows).encode())
        digest.update(self._vectors.tobytes())
        return f"stored@{digest.hexdigest()[:12]}"

    def aligner(self) -> None:
        """Returns ``None``: it needs no images."""

    def embed_faces(self, faces: FaceDataset, *, progress: bool = False) -> Vectors:
        """Returns the embeddings of the faces of a data set, float32 ``(n, d)`` of unit norm.

        Args:
            faces: The faces, known by their keys.
            progress: Changes nothing; finding them takes no time.

        Raises:
            TrainingDataError: If some are not stored.
        """
        missing = [key for key in faces.keys if key not in self._rows]
        if missing:
            raise TrainingDataError(
                f"{len(missing):,} of {len(faces):,} faces have no stored embedding, such as "
                f"{missing[0]}; leave them out with FaceDataset.subset"
            )
        found: Vectors = self._vectors[[self._rows[key] for key in faces.keys]]
        return found


class EmbedderTeacher:
    """An embedder as a teacher; :class:`facekit.training.Distiller` makes it of one given."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self.identity = embedder.record.identity
        self.embedding_size = embedder.embedding_size

    def aligner(self) -> Aligner:
        """Returns the aligner that the weights were trained with."""
        return self.embedder.aligner()

    def embed_faces(self, faces: FaceDataset, *, progress: bool = False) -> Vectors:
        """Returns the embeddings of the faces of a data set."""
        return _embed_in_parts(self.embedder, self.embedder.input_size, faces, progress=progress)


def as_teachers(given: Embedder | Teacher | Sequence[Embedder | Teacher]) -> tuple[Teacher, ...]:
    """Returns one teacher or several as a tuple of teachers."""
    several = given if isinstance(given, list | tuple) else (given,)
    teachers = tuple(
        EmbedderTeacher(teacher) if isinstance(teacher, Embedder) else teacher
        for teacher in several
    )
    if not teachers or not all(isinstance(teacher, Teacher) for teacher in teachers):
        raise InvalidArgumentError(f"teacher must be an Embedder or a Teacher, got {given!r}")
    return teachers


def joined(embeddings: Sequence[Vectors], weights: Sequence[float], size: int) -> Vectors:
    """Returns the principal components of several teachers' embeddings, put side by side."""
    # The cosine of two joined vectors is the mean of the teachers' cosines by the squared weights.
    vectors = np.concatenate(
        [weight * each for weight, each in zip(weights, embeddings, strict=True)], axis=1
    )
    if len(embeddings) == 1 and vectors.shape[1] == size:
        return embeddings[0]
    return _unit((vectors @ principal_axes(vectors, size)).astype(np.float32))


def principal_axes(vectors: Vectors, size: int) -> npt.NDArray[np.float64]:
    """Returns the axes of the principal components, ``(d, size)``."""
    # Not centered, to preserve the angles between embeddings.
    axes: npt.NDArray[np.float64]
    _, axes = np.linalg.eigh(vectors.T.astype(np.float64) @ vectors)
    return axes[:, ::-1][:, :size]


def rotation_between(source: Vectors, target: Vectors) -> npt.NDArray[np.float64]:
    """Returns the orthogonal matrix R that brings ``source @ R`` nearest to ``target``."""
    rotation: npt.NDArray[np.float64]
    rotation, _ = orthogonal_procrustes(source.astype(np.float64), target)
    return rotation


def resized(faces: FaceDataset, indices: npt.NDArray[np.intp], side: int) -> Any:
    """Returns faces of a data set in another size."""
    import cv2

    images = faces.images(indices)
    if faces.input_size == side:
        return images
    how = cv2.INTER_LINEAR if side > faces.input_size else cv2.INTER_AREA
    return np.stack([cv2.resize(image, (side, side), interpolation=how) for image in images])


def _embed_in_parts(
    network: Embedder | OnnxTeacher, side: int, faces: FaceDataset, *, progress: bool
) -> Vectors:
    embeddings = np.empty((len(faces), network.embedding_size), dtype=np.float32)
    starts = range(0, len(faces), _READ_AT_A_TIME)
    for start in track(starts, "Embedding with the teacher", total=len(starts), shown=progress):
        part = np.arange(start, min(start + _READ_AT_A_TIME, len(faces)))
        embeddings[part] = network.embed(resized(faces, part, side))
    return embeddings


def _values(model: Any) -> int:
    """Returns how many values a graph gives for one face."""
    (output,) = model.outputs
    return int(np.prod([side.get_length() for side in tuple(output.get_partial_shape())[1:]]))


def _unit(vectors: Vectors) -> Vectors:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-12), dtype=np.float32)
