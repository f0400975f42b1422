"""Distillation: a small embedder learns the embeddings of one or several large ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from facekit.embedding import Architecture, Embedder
from facekit.errors import InvalidArgumentError
from facekit.training.data.batches import ShuffledBatches, nearest_faces
from facekit.training.data.dataset import FaceDataset
from facekit.training.data.features import StandIn, cached_array, digest_of
from facekit.training.distillation.pruning import (
    check_prunable,
    fit_head,
    measure_normalization,
    prune,
)
from facekit.training.distillation.teachers import (
    EmbedderTeacher,
    Teacher,
    as_teachers,
    joined,
    resized,
    rotation_between,
)
from facekit.training.engine.backends import Tensor
from facekit.training.engine.base import FitArguments, Trainer
from facekit.training.engine.history import History
from facekit.training.engine.loop import CHECKPOINT_NAME
from facekit.training.losses.distances import pairwise_distances
from facekit.training.losses.statistics import spread
from facekit.utils.validation import number, unit_rows, whole

# What pruning is measured on; the statistics of the batch normalizations on a part, which goes
# through the network at once.
_MEASURED_FACES = 3000
_AT_ONCE = 512
# Faces whose cosine the teachers put below this count as two people's. Of each face, that many
# of those that the student finds nearest are weighed by the impostor term.
_IMPOSTOR_COSINE = 0.4
_HARDEST = 4


class DistillationObjective:
    """The distance of a student's embeddings from a teacher's, individually and in relations."""

    # The loss is the weighted sum of four terms (Park et al. 2019, equations 5 to 9).

    def __init__(
        self,
        cosine_weight: float,
        distance_weight: float,
        angle_weight: float,
        impostor_weight: float = 0.0,
    ) -> None:
        weights = (cosine_weight, distance_weight, angle_weight, impostor_weight)
        terms = (_cosine_term, _distance_term, _angle_term, _impostor_term)
        self._terms = [pair for pair in zip(weights, terms, strict=True) if pair[0]]

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
    """Returns Huber's loss of the distances of all pairs, each divided by their mean."""

    def relative(embeddings: Tensor) -> Tensor:
        distances = pairwise_distances(embeddings, "L2")
        count = ops.cast(ops.shape(distances)[0], distances.dtype)
        # The diagonal is zero, so that the mean over the other pairs has a smaller divisor.
        mean = ops.sum(distances) / ops.maximum(count * (count - 1.0), 1.0)
        return distances / ops.maximum(mean, 1e-6)

    return ops.mean(keras.losses.huber(relative(teacher), relative(student)))


def _angle_term(teacher: Tensor, student: Tensor) -> Tensor:
    """Returns Huber's loss of the cosines of the angles of all triplets."""

    def cosines(embeddings: Tensor) -> Tensor:
        # [j, i] is the direction from the vertex j to i.
        directions = embeddings[None, :, :] - embeddings[:, None, :]
        squared = ops.sum(ops.square(directions), axis=2, keepdims=True)
        directions = directions * ops.rsqrt(ops.maximum(squared, 1e-12))
        return ops.matmul(directions, ops.transpose(directions, (0, 2, 1)))

    return ops.mean(keras.losses.huber(cosines(teacher), cosines(student)))


def _impostor_term(teacher: Tensor, student: Tensor) -> Tensor:
    """Returns the squared excess of the cosines of each face's nearest impostors."""
    given, found = (ops.matmul(e, ops.transpose(e)) for e in (teacher, student))
    impostors = ops.where(given < _IMPOSTOR_COSINE, found, -2.0)
    hardest = ops.argsort(impostors, axis=1)[:, -_HARDEST:]
    excess = ops.where(given < _IMPOSTOR_COSINE, ops.relu(found - given), 0.0)
    return ops.mean(ops.square(ops.take_along_axis(excess, hardest, axis=1)))


@dataclass(kw_only=True, eq=False)
class Distiller(Trainer):
    """Trains a small embedder, the student, to follow one or several large ones, the teachers.

    The faces need no names. The teacher embeds each face once, unaltered; the student sees it
    altered by the augmentation and learns to produce the same embedding. The embeddings of several
    teachers are concatenated, so that the student follows the mean of their cosines. If the
    student's embeddings have fewer components, it follows the principal components, which best
    preserve distances. For a student that starts with its own head, the targets are first rotated
    to its embeddings (``rotated``).

    The folder holds the same files as that of :class:`TripletTrainer`, and the teachers' embeddings
    of the faces.

    Args:
        start: The student: an architecture, for random weights, or an embedder.
        teacher: The teacher, or a list of teachers: embedders,
            :class:`facekit.training.OnnxTeacher` and :class:`facekit.training.StoredTeacher`, or
            others with the methods of :class:`facekit.training.distillation.teachers.Teacher`.
        teacher_weights: How much each teacher counts, one number each; the mean of the cosines is
            weighted by their squares. All count the same by default.
        batch_size: How many faces a batch has.
        neighbors: A batch is made of groups of this many faces that the teachers find alike; 1
            draws each face by itself. Groups bring pairs that are hard to tell apart into one
            batch.
        cosine_weight: The weight of the direction of each embedding.
        distance_weight: The weight of the distances of pairs.
        angle_weight: The weight of the angles of triplets. Their memory grows with the cube of the
            batch size.
        impostor_weight: The weight of the nearest faces of other people that the student finds
            closer than the teachers do.
        rotated: Whether to rotate the targets to the embeddings of the start, if that is an
            embedder that keeps its head.
        pruned: Whether the student starts as the first teacher, an embedder, pruned to the
            student's ``width``, instead of with random weights. It must then be an architecture
            with the teacher's backbone and ``blocks``, narrower or with another ``input_size``.
        folder: As for :class:`TripletTrainer`, like all others: ``network``, ``embedding_size``,
            ``dropout``, ``aligner``, ``augmentation``, ``trainable``, ``optimizer``,
            ``learning_rate``, ``schedule``, ``warm_up_steps``, ``precision``, ``patience``,
            ``checkpoint_interval``, ``workers`` and ``seed``.

    Attributes:
        network_: The trained ``keras.Model``.
        architecture_: Its architecture.
        history_: The measurements of each epoch, a :class:`History`; ``cosine_similarity`` is the
            mean similarity to the teacher.
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
        P. Schönemann, "A Generalized Solution of the Orthogonal Procrustes Problem", Psychometrika
        31(1), 1966 (``rotated``).
    """

    teacher: Embedder | Teacher | Sequence[Embedder | Teacher]
    teacher_weights: Sequence[float] | None = None
    batch_size: int = 128
    neighbors: int = 1
    cosine_weight: float = 1.0
    distance_weight: float = 1.0
    angle_weight: float = 0.0
    impostor_weight: float = 0.0
    rotated: bool = True
    pruned: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self.batch_size, "batch_size", least=2)
        whole(self.neighbors, "neighbors", least=1)
        weights = "cosine_weight, distance_weight, angle_weight and impostor_weight"
        _check_weights(weights, self._weights)
        teachers = as_teachers(self.teacher)
        if self.teacher_weights is not None:
            _check_weights("teacher_weights", self.teacher_weights)
            if len(self.teacher_weights) != len(teachers):
                raise InvalidArgumentError(
                    f"teacher_weights must be as many as teachers, {len(teachers)}, got "
                    f"{len(self.teacher_weights)}"
                )
        most = sum(teacher.embedding_size for teacher in teachers)
        if self._size() > most:
            raise InvalidArgumentError(
                f"the student's embedding_size must be at most the teacher's, {most}, got "
                f"{self._size()}"
            )
        if self.pruned:
            if self.network is not None or not isinstance(self.start, Architecture):
                raise InvalidArgumentError(
                    "pruned needs an architecture and cannot be combined with a network"
                )
            check_prunable(_first_embedder(teachers).record.architecture, self.start)

    def fit(
        self,
        train: FaceDataset,
        validation: FaceDataset | None = None,
        *,
        teacher_faces: FaceDataset | Sequence[FaceDataset | None] | None = None,
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
            teacher_faces: The same faces in the same order, aligned for the teacher; for several
                teachers one data set each, or ``None`` for those that need no images. By default
                the images of ``train`` are resized to the teacher's size.
            epochs: As for :meth:`TripletTrainer.fit`.
            resume: Likewise.
            progress: Likewise.
            callbacks: Likewise.

        Returns:
            The measurements of each epoch.

        Raises:
            TrainingDataError: If there are no faces.
            InvalidArgumentError: If ``teacher_faces`` are other faces or of another size, or the
                folder holds another training.
            TrainingError: As :meth:`TripletTrainer.fit`, like the others.
        """
        teachers = as_teachers(self.teacher)
        given: Sequence[FaceDataset | None]
        if teacher_faces is None or isinstance(teacher_faces, FaceDataset):
            given = [teacher_faces] * len(teachers)
        else:
            given = teacher_faces
        seen = [train if faces is None else faces for faces in given]
        if len(seen) != len(teachers) or any(
            tuple(faces.keys) != tuple(train.keys) for faces in seen
        ):
            raise InvalidArgumentError(
                "teacher_faces must be the faces of train in the same order, for each teacher, got "
                f"{[len(faces) for faces in seen]} faces for {len(train)}, or others"
            )
        batches = ShuffledBatches(
            train,
            batch_size=self.batch_size,
            seed=self.seed,
            augmentation=self.augmentation,
            workers=self.workers,
            group_size=self.neighbors,
        )
        self._make_folder()
        folder = Path(self.folder)
        embeddings = [
            cached_array(
                folder,
                "teacher",
                (teacher.identity, digest_of(faces)),
                partial(_taught, teacher, faces, progress=progress),
            )
            for teacher, faces in zip(teachers, seen, strict=True)
        ]
        targets = joined(embeddings, self.teacher_weights or [1.0] * len(teachers), self._size())
        if self.rotated and isinstance(self.start, Embedder) and self.embedding_size is None:
            targets = self._rotated(train, targets)
        if self.neighbors > 1:
            batches.nearest = nearest_faces(targets, 4 * self.neighbors)
        followed: Any = StandIn(train, labels=targets)
        batches.dataset = followed
        objective = DistillationObjective(*self._weights)
        # The checkpoint of a head alone does not contain the pruned network.
        begins = self._on_features or not (folder / CHECKPOINT_NAME).exists()
        return self._run(
            batches,
            validation,
            FitArguments(epochs, resume, progress, callbacks),
            objectives={0: objective.loss},
            statistics=objective.statistics,
            margin=None,
            network=(
                self._narrowed(train, seen[0], targets, progress=progress)
                if self.pruned and begins
                else None
            ),
        )

    @property
    def _weights(self) -> tuple[float, float, float, float]:
        return self.cosine_weight, self.distance_weight, self.angle_weight, self.impostor_weight

    def _rotated(
        self, faces: FaceDataset, targets: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        """Returns the targets turned to the axes of the start's own embeddings."""
        assert isinstance(self.start, Embedder)
        chosen = self._some(faces)
        start = self.start.without_centering()
        own = start.embed(resized(faces, chosen, start.input_size))
        return (targets @ rotation_between(targets[chosen], own)).astype(np.float32)

    def _some(self, faces: FaceDataset) -> npt.NDArray[np.intp]:
        """Returns the places of some thousand faces, to measure on."""
        count = min(_MEASURED_FACES, len(faces))
        return np.sort(np.random.default_rng(self.seed).choice(len(faces), count, replace=False))

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
        teacher, chosen = _first_embedder(as_teachers(self.teacher)), self._some(faces)
        network = prune(
            teacher,
            self.start,
            resized(teacher_faces, chosen, teacher.input_size),
            seed=self.seed,
            progress=progress,
        )
        images = faces.images(chosen)
        measure_normalization(network, images[:_AT_ONCE])
        fit_head(network, images, targets[chosen], progress=progress)
        return network

    def _size(self) -> int:
        if isinstance(self.start, Architecture):
            return self.start.embedding_size
        return self.embedding_size or self.start.embedding_size


def _taught(teacher: Teacher, faces: FaceDataset, *, progress: bool) -> npt.NDArray[np.float32]:
    """Returns the embeddings of a teacher, which may be the user's own, checked before use."""
    name = f"embeddings of the teacher {teacher.identity}"
    found = unit_rows(teacher.embed_faces(faces, progress=progress), teacher.embedding_size, name)
    if len(found) != len(faces):
        raise InvalidArgumentError(f"{name} must be {len(faces)}, one a face, got {len(found)}")
    return found


def _check_weights(names: str, weights: Sequence[float]) -> None:
    if not max((number(weight, names, 0.0) for weight in weights), default=0.0):
        raise InvalidArgumentError(f"one of {names} must be positive, got {tuple(weights)}")


def _first_embedder(teachers: Sequence[Teacher]) -> Embedder:
    if not isinstance(teachers[0], EmbedderTeacher):
        raise InvalidArgumentError("pruned needs an Embedder as the first teacher")
    return teachers[0].embedder
