"""Distillation: a small embedder learns to give the embeddings of a large one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops

from facekit.embedding import Architecture, Embedder
from facekit.errors import InvalidArgumentError
from facekit.training.data.batches import ShuffledBatches
from facekit.training.data.dataset import FaceDataset
from facekit.training.data.features import cached_array
from facekit.training.distillation.pruning import (
    check_prunable,
    fit_head,
    measure_normalization,
    prune,
)
from facekit.training.engine.backends import Tensor
from facekit.training.engine.base import FitArguments, Trainer
from facekit.training.engine.history import History
from facekit.training.engine.loop import CHECKPOINT_NAME
from facekit.training.losses.distances import pairwise_distances
from facekit.training.losses.statistics import spread
from facekit.utils.progress import track
from facekit.utils.validation import whole

_READ_AT_A_TIME = 256
# What pruning is measured on; the statistics of the batch normalizations on a part, which goes
# through the network at once.
_MEASURED_FACES = 3000
_AT_ONCE = 512


class DistillationObjective:
    """How far a student's embeddings are from a teacher's, singly and in their relations.

    The loss is the sum of three terms, each with a weight:

    - cosine: 1 − cos(student, teacher), the mean over the batch;
    - distances: Huber's loss between the distances of all pairs of the batch, the student's and
      the teacher's each divided by their mean;
    - angles: Huber's loss between the cosines of the angles of all triplets of the batch. It takes
      memory that grows as the cube of the batch.

    Args:
        cosine_weight: The weight of the first term.
        distance_weight: The weight of the second.
        angle_weight: The weight of the third; at 0 it is not computed.

    References:
        W. Park, D. Kim, Y. Lu and M. Cho, "Relational Knowledge Distillation", CVPR 2019,
        equations 5 to 9.
    """

    def __init__(
        self, *, cosine_weight: float, distance_weight: float, angle_weight: float
    ) -> None:
        self._terms: list[tuple[float, Callable[[Tensor, Tensor], Tensor]]] = [
            (weight, term)
            for weight, term in (
                (cosine_weight, _cosine_term),
                (distance_weight, _distance_term),
                (angle_weight, _angle_term),
            )
            if weight
        ]

    def loss(self, y: Tensor, embeddings: Tensor) -> Tensor:
        """Returns the loss of the student's embeddings, given the teacher's as ``y``."""
        return sum(weight * term(y, embeddings) for weight, term in self._terms)

    def statistics(self, y: Tensor, embeddings: Tensor) -> dict[str, Tensor]:
        """Returns the mean cosine similarity to the teacher, and the spread."""
        return {
            "cosine_similarity": 1.0 - _cosine_term(y, embeddings),
            "spread": spread(embeddings),
        }


def _cosine_term(teacher: Tensor, student: Tensor) -> Tensor:
    return 1.0 - ops.mean(ops.sum(ops.multiply(teacher, student), axis=1))


def _distance_term(teacher: Tensor, student: Tensor) -> Tensor:
    def relative(embeddings: Tensor) -> Tensor:
        distances = pairwise_distances(embeddings, "L2")
        count = ops.cast(ops.shape(distances)[0], distances.dtype)
        # The diagonal is zero, so that the mean over the other pairs has a smaller divisor.
        mean = ops.sum(distances) / ops.maximum(count * (count - 1.0), 1.0)
        return distances / ops.maximum(mean, 1e-6)

    return ops.mean(_huber(relative(student) - relative(teacher)))


def _angle_term(teacher: Tensor, student: Tensor) -> Tensor:
    def cosines(embeddings: Tensor) -> Tensor:
        # [j, i] is the direction from the vertex j to i.
        directions = embeddings[None, :, :] - embeddings[:, None, :]
        squared = ops.sum(ops.square(directions), axis=2, keepdims=True)
        directions = directions * ops.rsqrt(ops.maximum(squared, 1e-12))
        return ops.matmul(directions, ops.transpose(directions, (0, 2, 1)))

    return ops.mean(_huber(cosines(student) - cosines(teacher)))


def _huber(difference: Tensor) -> Tensor:
    size = ops.abs(difference)
    return ops.where(size <= 1.0, 0.5 * ops.square(size), size - 0.5)


@dataclass(kw_only=True, eq=False)
class Distiller(Trainer):
    """Trains a small embedder, the student, to follow a large one, the teacher.

    The faces need no names. The teacher embeds each face once, as it is; the student sees it
    altered by the augmentation and learns to give the same embedding. Where the student's
    embeddings have fewer components than the teacher's, it follows the teacher's principal
    components, which keep the distances best.

    The folder holds the same files as that of :class:`TripletTrainer`, and the teacher's embeddings
    of the faces.

    Args:
        start: The student: an architecture, for random weights, or an embedder.
        teacher: The teacher.
        batch_size: How many faces a batch has.
        cosine_weight: How much the direction of each embedding counts.
        distance_weight: How much the distances of pairs count.
        angle_weight: How much the angles of triplets count. Their memory grows as the cube of the
            batch.
        pruned: Whether the student starts as the teacher with as many channels pruned as its
            ``width`` says, instead of with random weights. It must then be an architecture of the
            teacher's backbone and ``blocks``, narrower or of another ``input_size``.
        folder: As for :class:`TripletTrainer`, like all others: ``network``, ``embedding_size``,
            ``dropout``, ``aligner``, ``augmentation``, ``trainable``, ``optimizer``,
            ``learning_rate``, ``schedule``, ``warm_up_steps``, ``precision``, ``patience``,
            ``checkpoint_interval``, ``workers`` and ``seed``.

    Attributes:
        network_: The trained ``keras.Model``.
        architecture_: Its architecture.
        history_: What each epoch measured, a :class:`History`; ``cosine_similarity`` is the mean
            to the teacher.
        validation_: The result of the last validation, or ``None``.

    Raises:
        InvalidArgumentError: If an argument lies outside its range.

    Example:
        >>> import tempfile, warnings
        >>> import numpy as np
        >>> from facekit import Architecture, Embedder
        >>> from facekit.training import Distiller, FaceDataset
        >>> faces = np.random.default_rng(0).integers(0, 256, (8, 75, 75, 3), dtype=np.uint8)
        >>> small = Architecture(width=0.25, blocks=0.1, input_size=75, embedding_size=16)
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     teacher = Embedder(weights=None, architecture=small, seed=1)
        >>> distiller = Distiller(
        ...     small, teacher=teacher, folder=tempfile.mkdtemp(), batch_size=8, augmentation=None)
        >>> history = distiller.fit(FaceDataset.from_arrays(faces, [None] * 8), epochs=1)
        >>> history.names[:2]
        ['epoch', 'cosine_similarity']

    References:
        W. Park, D. Kim, Y. Lu and M. Cho, "Relational Knowledge Distillation", CVPR 2019.
        Y. He, X. Zhang and J. Sun, "Channel Pruning for Accelerating Very Deep Neural Networks",
        ICCV 2017 (``pruned``).
    """

    teacher: Embedder
    batch_size: int = 128
    cosine_weight: float = 1.0
    distance_weight: float = 1.0
    angle_weight: float = 0.0
    pruned: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self.batch_size, "batch_size", least=2)
        weights = (self.cosine_weight, self.distance_weight, self.angle_weight)
        if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or not any(weights):
            raise InvalidArgumentError(
                "cosine_weight, distance_weight and angle_weight must be zero or more, and one of "
                f"them positive, got {weights}"
            )
        if self._size() > self.teacher.embedding_size:
            raise InvalidArgumentError(
                f"the student's embedding_size must be at most the teacher's, "
                f"{self.teacher.embedding_size}, got {self._size()}"
            )
        if self.pruned:
            if self.network is not None or not isinstance(self.start, Architecture):
                raise InvalidArgumentError(
                    "pruned goes with an architecture and without a network; each is a start"
                )
            check_prunable(self.teacher.record.architecture, self.start)

    def fit(
        self,
        train: FaceDataset,
        validation: FaceDataset | None = None,
        *,
        teacher_faces: FaceDataset | None = None,
        epochs: int = 10,
        resume: bool = False,
        progress: bool = True,
        callbacks: Sequence[Any] = (),
    ) -> History:
        """Trains on faces, of known people or not.

        Args:
            train: The faces.
            validation: Faces of known people, on which every epoch is validated as in a triplet
                training.
            teacher_faces: The same faces in the same order, aligned as the teacher wants them. By
                default the pictures of ``train`` are resized to the teacher's size.
            epochs: As for :meth:`TripletTrainer.fit`.
            resume: Likewise.
            progress: Likewise.
            callbacks: Likewise.

        Returns:
            What each epoch measured.

        Raises:
            TrainingDataError: If there are no faces.
            InvalidArgumentError: If ``teacher_faces`` are other faces or of another size, or the
                folder holds another training.
            TrainingError: As :meth:`TripletTrainer.fit`, like the others.
        """
        seen = train if teacher_faces is None else teacher_faces
        if tuple(seen.keys) != tuple(train.keys):
            raise InvalidArgumentError(
                f"teacher_faces must be the faces of train in the same order, got {len(seen)} "
                f"faces for {len(train)}, or others"
            )
        batches = ShuffledBatches(
            train,
            batch_size=self.batch_size,
            seed=self.seed,
            augmentation=self.augmentation,
            workers=self.workers,
        )
        self._make_folder()
        targets = cached_array(
            Path(self.folder),
            "teacher",
            (self.teacher.record.identity, str(seen.input_size), *seen.keys),
            lambda: _embed_all(self.teacher, seen, progress=progress),
        )
        targets = _reduced(targets, self._size())
        followed: Any = _WithTargets(train, targets)
        batches.dataset = followed
        objective = DistillationObjective(
            cosine_weight=self.cosine_weight,
            distance_weight=self.distance_weight,
            angle_weight=self.angle_weight,
        )
        begins = self.pruned and not (Path(self.folder) / CHECKPOINT_NAME).exists()
        return self._run(
            batches,
            validation,
            FitArguments(epochs, resume, progress, callbacks),
            objectives={0: objective.loss},
            statistics=objective.statistics,
            margin=None,
            network=self._narrowed(train, seen, targets, progress=progress) if begins else None,
        )

    def _narrowed(
        self,
        faces: FaceDataset,
        teacher_faces: FaceDataset,
        targets: npt.NDArray[np.float32],
        *,
        progress: bool,
    ) -> Any:
        """Returns the teacher with the student's width, its head fitted to the targets."""
        assert isinstance(self.start, Architecture)
        generator = np.random.default_rng(self.seed)
        count = min(_MEASURED_FACES, len(faces))
        chosen = np.sort(generator.choice(len(faces), count, replace=False))
        network = prune(
            self.teacher,
            self.start,
            _pictures(self.teacher, teacher_faces, chosen),
            seed=self.seed,
            progress=progress,
        )
        pictures = faces.images(chosen)
        measure_normalization(network, pictures[:_AT_ONCE])
        fit_head(network, pictures, targets[chosen], progress=progress)
        return network

    def _size(self) -> int:
        if isinstance(self.start, Architecture):
            return self.start.embedding_size
        return self.embedding_size or self.start.embedding_size


class _WithTargets:
    """Faces whose labels are the teacher's embeddings."""

    def __init__(self, faces: Any, targets: npt.NDArray[np.float32]) -> None:
        self._faces = faces
        self.labels = targets
        self.identities: tuple[str, ...] = faces.identities
        self.keys: Sequence[str] = faces.keys
        self.images = faces.images

    def __len__(self) -> int:
        return len(self._faces)


def _embed_all(teacher: Embedder, faces: FaceDataset, *, progress: bool) -> npt.NDArray[np.float32]:
    embeddings = np.empty((len(faces), teacher.embedding_size), dtype=np.float32)
    starts = range(0, len(faces), _READ_AT_A_TIME)
    for start in track(starts, "The teacher embeds", total=len(starts), shown=progress):
        part = np.arange(start, min(start + _READ_AT_A_TIME, len(faces)))
        embeddings[part] = teacher.embed(_pictures(teacher, faces, part))
    return embeddings


def _pictures(
    teacher: Embedder, faces: FaceDataset, indices: npt.NDArray[np.intp]
) -> npt.NDArray[np.uint8]:
    """Returns faces in the teacher's size."""
    import cv2

    pictures, side = faces.images(indices), teacher.input_size
    if faces.input_size == side:
        return pictures
    how = cv2.INTER_LINEAR if side > faces.input_size else cv2.INTER_AREA
    return np.stack([cv2.resize(picture, (side, side), interpolation=how) for picture in pictures])


def _reduced(embeddings: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.float32]:
    """Returns the principal components of embeddings, of unit norm, if there are too many."""
    if embeddings.shape[1] == size:
        return embeddings
    # Not centerd: the angles between embeddings are what is to be kept.
    _, axes = np.linalg.eigh(embeddings.T.astype(np.float64) @ embeddings)
    components = embeddings @ axes[:, ::-1][:, :size]
    norms = np.linalg.norm(components, axis=1, keepdims=True)
    unit: npt.NDArray[np.float32] = (components / np.maximum(norms, 1e-12)).astype(np.float32)
    return unit
