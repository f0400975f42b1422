"""The enrolled embeddings with their people, as they were at one moment."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from facekit.gallery.index import LEAST_NORM, Index, IntArray, Neighbors, build_index


class Enrolled:
    """Embeddings and people that never change, so that any number of threads may read them.

    Args:
        embeddings: ``(n, d)``. Rows of erased photos hold zeros.
        labels: The index in ``classes`` of each row's person, ``(n,)``; −1 for an erased one.
        classes: The people, sorted, ``(k,)``.
        index: What searches the embeddings; made when it is first needed by default.
        least_norm: A row of a smaller norm counts as erased; 0 for embeddings of any length.

    Attributes:
        embeddings: As given.
        labels: As given.
        classes: As given.
        least_norm: As given.

    Example:
        >>> import numpy as np
        >>> from facekit.gallery.enrolled import Enrolled
        >>> people = np.array(["Ada", "Grace"], dtype=object)
        >>> enrolled = Enrolled(np.eye(2), np.array([0, 1]), people)
        >>> rows, distances = enrolled.search(np.array([[0.8, 0.6]]), count=1)
        >>> people[enrolled.labels[rows]].tolist(), distances.round(3).tolist()
        ([['Ada']], [[0.632]])
    """

    def __init__(
        self,
        embeddings: npt.NDArray[Any],
        labels: npt.NDArray[Any],
        classes: npt.NDArray[Any],
        index: Index | None = None,
        least_norm: float = 0.0,
    ) -> None:
        self.least_norm = least_norm
        self.embeddings, self.labels, self.classes = embeddings, labels, classes
        self._index = index
        self._lock = threading.Lock()

    @classmethod
    def of(
        cls,
        embeddings: npt.NDArray[Any],
        people: Sequence[tuple[int, str]],
        owners: IntArray,
    ) -> Enrolled:
        """Puts together what a catalogue says.

        Args:
            embeddings: All rows, ``(n, d)``.
            people: Number and name of everybody, by name.
            owners: Number and person of every photo, ``(m, 2)``; photos count from 1.

        Returns:
            The embeddings with their people; rows that no photo has count as erased.
        """
        numbers = np.array([number for number, _ in people], dtype=np.int64)
        by_number = np.argsort(numbers)
        labels = np.full(len(embeddings), -1, dtype=np.int32)
        if len(owners):
            labels[owners[:, 0] - 1] = by_number[np.searchsorted(numbers[by_number], owners[:, 1])]
        names = np.array([name for _, name in people], dtype=object)
        # A gallery's are of unit norm, and another thread may be erasing one at this moment.
        return cls(embeddings, labels, names, least_norm=LEAST_NORM)

    def __reduce__(self) -> tuple[type[Enrolled], tuple[Any, ...]]:
        # A copy searches with an index of its own.
        return Enrolled, (self.embeddings, self.labels, self.classes, None, self.least_norm)

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def rows(self) -> IntArray:
        """The rows that are not erased."""
        return np.flatnonzero(self.labels >= 0)

    @property
    def index(self) -> Index:
        """What searches the embeddings."""
        with self._lock:
            if self._index is None:
                self._index = build_index(self.embeddings, self._erased(), self.least_norm)
            return self._index

    @cached_property
    def by_person(self) -> tuple[IntArray, IntArray]:
        """The rows sorted by person, and where each person's begin, ``(k + 1,)``."""
        order = np.argsort(self.labels, kind="stable")
        return order, np.searchsorted(self.labels[order], np.arange(len(self.classes) + 1))

    @cached_property
    def centroids(self) -> npt.NDArray[Any]:
        """The mean of each person's embeddings, scaled to unit norm, ``(k, d)``."""
        order, starts = self.by_person
        rows = order[starts[0] :]
        sums = np.add.reduceat(self.embeddings[rows].astype(np.float64), starts[:-1] - starts[0])
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        # Opposite embeddings have no mean direction; any will do.
        centroids: npt.NDArray[Any] = sums / np.where(norms > 0, norms, 1.0)
        return centroids.astype(self.embeddings.dtype)

    def photos_of(self, person: int) -> IntArray:
        """Finds the rows of a person.

        Args:
            person: The place of the person in :attr:`classes`.

        Returns:
            The rows, int64 ``(m,)``, rising.
        """
        order, starts = self.by_person
        return order[starts[person] : starts[person + 1]]

    def extended(self, embeddings: npt.NDArray[Any], names: Sequence[str]) -> Enrolled:
        """Returns what there is after more photos were enrolled.

        Args:
            embeddings: All rows, the new ones last.
            names: The people of the new ones.
        """
        new = np.array(sorted(set(names) - set(self._present(names))), dtype=object)
        places = np.searchsorted(self.classes, new)
        classes = np.insert(self.classes, places, new)
        # Each label moves up by the number of new names before its own.
        moved = np.arange(len(self.classes)) + np.searchsorted(
            places, np.arange(len(self.classes)), side="right"
        )
        labels = self.labels
        if len(new):
            labels = np.where(labels >= 0, moved[labels] if len(moved) else -1, -1)
        added = np.searchsorted(classes, np.array(names, dtype=object))
        labels = np.concatenate([labels, added]).astype(np.int32)
        return self._changed(embeddings, labels, classes)

    def without(self, rows: IntArray) -> Enrolled:
        """Returns what there is after photos were erased.

        Args:
            rows: Their rows, which stay and hold zeros.
        """
        labels = self.labels.copy()
        labels[rows] = -1
        left = np.zeros(len(self.classes), dtype=bool)
        left[labels[labels >= 0]] = True
        moved = np.cumsum(left, dtype=labels.dtype) - 1
        labels = np.where(labels >= 0, moved[labels], -1).astype(np.int32)
        return self._changed(self.embeddings, labels, self.classes[left])

    def with_index_of(self, before: Enrolled) -> Enrolled:
        """Takes over the index of an earlier state, brought up to date.

        Args:
            before: The earlier state, whose rows come first in this one.

        Returns:
            The same embeddings and people; itself, if the earlier state has no index yet.
        """
        if before._index is None:
            return self
        index = before._index.updated(self.embeddings, self._erased())
        return Enrolled(self.embeddings, self.labels, self.classes, index, self.least_norm)

    def search(self, probes: npt.NDArray[Any], count: int) -> Neighbors:
        """Finds the enrolled photos that are nearest to each probe.

        Args:
            probes: Embeddings, ``(n, d)``.
            count: How many photos to find for each.

        Returns:
            int64 rows ``(n, count)``, the nearest first and −1 where there are no more, and their
            Euclidean distances, float64 ``(n, count)``, infinite there.
        """
        found = self.index.search(probes, count)
        # An index that grows may know rows that are not enrolled in this state.
        unknown = (found.rows >= len(self.labels)) | (found.rows < 0)
        unknown |= self.labels[np.where(unknown, 0, found.rows)] < 0 if len(self.labels) else True
        rows = np.where(unknown, -1, found.rows)
        distances = np.where(unknown, np.inf, found.distances)
        order = np.argsort(distances, axis=1, kind="stable")
        return Neighbors(
            np.take_along_axis(rows, order, axis=1), np.take_along_axis(distances, order, axis=1)
        )

    def _changed(
        self, embeddings: npt.NDArray[Any], labels: npt.NDArray[Any], classes: npt.NDArray[Any]
    ) -> Enrolled:
        changed = Enrolled(embeddings, labels, classes, least_norm=self.least_norm)
        return changed.with_index_of(self)

    def _present(self, names: Sequence[str]) -> list[str]:
        places = np.searchsorted(self.classes, np.array(names, dtype=object))
        return [
            name
            for name, place in zip(names, places, strict=True)
            if place < len(self.classes) and self.classes[place] == name
        ]

    def _erased(self) -> IntArray:
        return np.flatnonzero(self.labels < 0)
