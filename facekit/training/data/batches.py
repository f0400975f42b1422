"""Training batches: P people with K images each, or every face once; all of one shape.

A compiled training step depends on the first batch shape that it sees, and so do the last digits of
all later weights. A training resumed in the middle of an epoch sees another batch first. So all
batches have the same shape.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

import keras
import numpy as np
import numpy.typing as npt
from sklearn.neighbors import NearestNeighbors

from facekit.errors import InvalidArgumentError, TrainingDataError
from facekit.training.data.augmentation import Augmentation
from facekit.training.data.dataset import FaceDataset
from facekit.utils.forking import ForkLock
from facekit.utils.grouping import rows_by_label
from facekit.utils.validation import whole

Batch: TypeAlias = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]
"""Faces, uint8 ``(n, S, S, 3)``, and their labels, int32 ``(n,)``."""

Rows: TypeAlias = npt.NDArray[np.int64]

_MADE_AHEAD = 4


class SeededBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """Base of both kinds of batches: a batch is a pure function of seed, epoch and index.

    These three numbers suffice to resume in the middle of an epoch; threads may create batches in
    any order, and a batch can be recreated for inspection.

    Attributes:
        epoch: The epoch, from 0; set it to start with another one.
        part: ``(index, number)`` of the equal part of each batch to read; ``(0, 1)`` for the whole
            batch.
    """

    def __init__(
        self,
        dataset: FaceDataset,
        *,
        seed: int,
        augmentation: Augmentation | None,
        workers: int,
    ) -> None:
        super().__init__(workers=whole(workers, "workers", least=1), max_queue_size=_MADE_AHEAD)
        self.dataset = dataset
        self.seed = whole(seed, "seed", least=0)
        self.epoch = 0
        self.augmentation = augmentation
        self.part = (0, 1)
        self._plan: tuple[int, list[Rows]] | None = None
        self._lock = ForkLock()

    def __getitem__(self, index: int) -> Batch:
        return self.batch(self.epoch, index)

    def batch(self, epoch: int, index: int) -> Batch:
        """Creates one batch of one epoch; any number of threads may do so at once.

        Args:
            epoch: From 0.
            index: From 0 to ``len(self) - 1``.

        Returns:
            Faces, uint8 ``(n, S, S, 3)``, and labels, int32 ``(n,)``.

        Raises:
            IndexError: If there is no batch of that index.
            FileFormatError: If the data set's cache is missing or damaged.
        """
        share, shares = self.part
        rows = np.split(self.rows(epoch, index), shares)[share]
        images = self.dataset.images(rows)
        if self.augmentation is not None:
            # From 1, because a trailing 0 would give the seed of the plan.
            rng = np.random.default_rng((self.seed, epoch, index + 1))
            images = self.augmentation(images, rng, part=self.part)
        return images, self.dataset.labels[rows]

    def rows(self, epoch: int, index: int) -> npt.NDArray[np.int64]:
        """Returns the indices of the faces in the data set that make up a batch, int64 ``(n,)``.

        Args:
            epoch: From 0.
            index: From 0 to ``len(self) - 1``.

        Raises:
            IndexError: If there is no batch of that index.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"index must be from 0 to {len(self) - 1}, got {index}")
        with self._lock:
            if self._plan is None or self._plan[0] != epoch:
                self._plan = (epoch, self._draw(np.random.default_rng((self.seed, epoch))))
            return self._plan[1][index]

    def read(self, start: int = 0) -> Iterator[Batch]:
        """Yields the batches of the epoch in order, prefetched by ``workers`` threads.

        Args:
            start: The index of the first batch.

        Yields:
            Faces, uint8 ``(n, S, S, 3)``, and labels, int32 ``(n,)``, of each batch.
        """
        epoch = self.epoch
        ahead: deque[Future[Batch]] = deque()
        with ThreadPoolExecutor(self.workers) as executor:
            try:
                for index in range(start, len(self)):
                    ahead.append(executor.submit(self.batch, epoch, index))
                    if len(ahead) > self.max_queue_size:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:
                for future in ahead:
                    future.cancel()

    def on_epoch_end(self) -> None:
        """Advances to the next epoch.

        Keras's ``fit`` calls it at the end of each epoch, and once before the first if it has to
        build the model, so that training may start with epoch 1. If the number matters, set
        ``epoch`` in a callback's ``on_epoch_begin``.
        """
        self.epoch += 1

    @abstractmethod
    def _draw(self, rng: np.random.Generator) -> list[Rows]:
        """Draws which faces make up each batch of an epoch."""


class BalancedBatches(SeededBatches):
    """Batches of P people with K images each, for triplet losses.

    In every batch, each person has at least two different images. In every epoch, each image of the
    people used occurs at least once. In detail:

    - A person's images are shuffled and dealt into groups of K. The last group is filled up with
      other images of the person.
    - A person with fewer than K images, but two at least, is one group, in which images repeat.
      With augmentation the copies differ.
    - A person with one image gives no pair: the image is left out, and listed in ``left_out``.
    - Faces of unknown people are left out.
    - The groups are dealt into as many batches as needed for every batch to have groups of P
      different people. Where some people have many more images than others, groups of the others
      are drawn again to fill the batches.

    Args:
        dataset: The faces.
        identities: P, the number of people in a batch, at least 2.
        images: K, the number of images of each, at least 2.
        seed: Seed of all random choices.
        augmentation: Alters the faces; ``None`` leaves them as they are.
        workers: The number of threads that create batches, in ``read`` and in Keras's ``fit``.

    Attributes:
        left_out: The names of the people with only one image.

    Raises:
        TrainingDataError: If fewer than two people have two images.
        InvalidArgumentError: If an argument lies outside its range.

    Example:
        >>> import numpy as np
        >>> from facekit.training import BalancedBatches, FaceDataset
        >>> faces = np.zeros((7, 32, 32, 3), dtype=np.uint8)
        >>> data = FaceDataset.from_arrays(faces, ["A", "A", "A", "A", "B", "B", "C"])
        >>> batches = BalancedBatches(data, identities=2, images=2)
        >>> len(batches), batches.left_out
        (2, ('C',))
        >>> images, labels = batches[0]
        >>> images.shape, sorted(labels.tolist())
        ((4, 32, 32, 3), [0, 0, 1, 1])

    References:
        A. Hermans, L. Beyer and B. Leibe, "In Defense of the Triplet Loss for Person
        Re-Identification", 2017, section 2 (batches of P × K).
    """

    def __init__(
        self,
        dataset: FaceDataset,
        *,
        identities: int = 32,
        images: int = 4,
        seed: int = 0,
        augmentation: Augmentation | None = None,
        workers: int = 2,
    ) -> None:
        super().__init__(dataset, seed=seed, augmentation=augmentation, workers=workers)
        self.identities = whole(identities, "identities", least=2)
        self.images = whole(images, "images", least=2)
        by_label = rows_by_label(dataset.labels)
        images_of = [rows for rows in by_label if dataset.labels[rows[0]] >= 0]
        self._images_of = [rows for rows in images_of if len(rows) > 1]
        self.left_out = tuple(
            name for name, rows in zip(dataset.identities, images_of, strict=True) if len(rows) == 1
        )
        people = len(self._images_of)
        if people < 2:
            raise TrainingDataError(
                "triplets need two photos of each of two people at least; of the "
                f"{len(dataset.identities)} people of the data set, {people} have two photos or "
                "more. Add photos"
            )
        if identities > people:
            raise InvalidArgumentError(
                f"identities must be at most {people}, the number of people with two photos or "
                f"more, got {identities}"
            )
        groups = [-(-len(rows) // images) for rows in self._images_of]
        # Every group is placed, and no batch holds two groups of one person.
        self._length = max(-(-sum(groups) // identities), max(groups))

    def __len__(self) -> int:
        return self._length

    def summary(self) -> str:
        """Returns a description of an epoch and of what is left out."""
        images = sum(len(rows) for rows in self._images_of)
        text = (
            f"an epoch: {images:,} photos of {len(self._images_of):,} people in "
            f"{len(self):,} batches of {self.identities} people × {self.images} photos"
        )
        unknown = int(np.count_nonzero(self.dataset.labels < 0))
        if self.left_out:
            text += f"; people left out for lack of a second photo: {len(self.left_out):,}"
        if unknown:
            text += f"; photos left out, because the person is not known: {unknown:,}"
        return text

    def _draw(self, rng: np.random.Generator) -> list[Rows]:
        groups_of = [_groups(rows, self.images, rng) for rows in self._images_of]
        # Groups of one person are dealt consecutively, and so to different batches, because no
        # person has more groups than there are batches.
        people = rng.permutation(len(groups_of))
        dealt = [(person, group) for person in people for group in groups_of[person]]
        seats = rng.permutation(len(self))
        batches: list[list[Rows]] = [[] for _ in seats]
        members: list[list[int]] = [[] for _ in seats]
        for turn, (person, group) in enumerate(dealt):
            batches[seats[turn % len(seats)]].append(group)
            members[seats[turn % len(seats)]].append(person)
        for batch, present in zip(batches, members, strict=True):
            if len(batch) < self.identities:
                absent = np.setdiff1d(people, present)
                for person in rng.choice(absent, self.identities - len(batch), replace=False):
                    batch.append(groups_of[person][rng.integers(len(groups_of[person]))])
        return [np.concatenate(batch) for batch in batches]


class ShuffledBatches(SeededBatches):
    """Batches that contain every face in every epoch, for distillation.

    All batches have the same size: the last of an epoch is filled with faces of the first.

    Args:
        dataset: The faces, of known people or not.
        batch_size: The number of faces in a batch, at most the size of the data set.
        seed: Seed of all random choices.
        augmentation: Alters the faces; ``None`` leaves them as they are.
        workers: The number of threads that create batches, in ``read`` and in Keras's ``fit``.
        group_size: The size of groups of similar faces, if ``nearest`` is set.

    Attributes:
        nearest: For each face the indices of the most similar ones, int64 ``(n, k)``, or ``None``
            to draw faces independently.

    Raises:
        TrainingDataError: If the data set is empty.
        InvalidArgumentError: If an argument lies outside its range.

    Example:
        >>> import numpy as np
        >>> from facekit.training import FaceDataset, ShuffledBatches
        >>> data = FaceDataset.from_arrays(np.zeros((5, 32, 32, 3), dtype=np.uint8), [None] * 5)
        >>> [len(images) for images, _ in ShuffledBatches(data, batch_size=2).read()]
        [2, 2, 2]
    """

    def __init__(
        self,
        dataset: FaceDataset,
        *,
        batch_size: int = 128,
        seed: int = 0,
        augmentation: Augmentation | None = None,
        workers: int = 2,
        group_size: int = 1,
    ) -> None:
        super().__init__(dataset, seed=seed, augmentation=augmentation, workers=workers)
        self.batch_size = whole(batch_size, "batch_size", least=1)
        self.group_size = whole(group_size, "group_size", least=1)
        self.nearest: Rows | None = None
        if not len(dataset):
            raise TrainingDataError("the data set holds no faces")
        self.batch_size = min(self.batch_size, len(dataset))

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size)

    def _draw(self, rng: np.random.Generator) -> list[Rows]:
        if self.nearest is None:
            order = rng.permutation(len(self.dataset))
        else:
            order = _grouped(self.nearest, self.group_size, rng)
        filled = np.concatenate([order, order[: -len(order) % self.batch_size]])
        return list(filled.reshape(-1, self.batch_size))


def nearest_faces(embeddings: npt.NDArray[np.float32], count: int) -> Rows:
    """Returns the indices of the most similar faces of each, ``(n, count)``, nearest first."""
    count = min(count, len(embeddings) - 1)
    if count < 1:
        return np.empty((len(embeddings), 0), dtype=np.int64)
    # Of unit vectors the nearest are those with the largest cosine.
    search = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(embeddings)
    nearest: Rows = search.kneighbors(return_distance=False)
    return nearest


def _grouped(nearest: Rows, size: int, rng: np.random.Generator) -> Rows:
    """Returns all faces in random order, in groups of similar faces."""
    free = np.ones(len(nearest), dtype=bool)
    groups = []
    for face in rng.permutation(len(nearest)):
        if not free[face]:
            continue
        free[face] = False
        alike = rng.permutation(nearest[face][free[nearest[face]]])[: size - 1]
        free[alike] = False
        groups.append(np.concatenate([[face], alike]))
    return np.concatenate([groups[place] for place in rng.permutation(len(groups))])


def _groups(rows: Rows, images: int, rng: np.random.Generator) -> list[Rows]:
    """Deals the images of one person into groups of K, filling the last one with others."""
    order = rng.permutation(rows)
    # The images that are dealt first are not in the last group, unless there are fewer than K.
    filled = np.concatenate([order, np.resize(order, -len(order) % images)])
    return list(filled.reshape(-1, images))
