"""A snapshot of the enrolled embeddings with their people."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from facekit.gallery.index import (
    EXACT_LIMIT,
    NO_ROWS,
    ExactIndex,
    FaissIndex,
    IntArray,
    Neighbors,
    build_index,
)
from facekit.gallery.records import Match
from facekit.utils.forking import ForkLock

# Rows added since the last sorting by person are searched linearly, up to this share of all.
_UNSORTED_SHARE, _UNSORTED_LEAST = 8, 1024


class Enrolled:
    """Embeddings and people that never change, so that any number of threads may read them."""

    def __init__(
        self,
        embeddings: npt.NDArray[Any],  # `(n, d)`; rows of erased images hold zeros
        labels: npt.NDArray[Any],  # the place of each row's person in `classes`; -1 if erased
        classes: npt.NDArray[Any],  # the people; one whose rows are all among `left` has gone
        least_norm: float = 0.0,  # a row of a smaller norm counts as erased
        sizes: Mapping[int, int] | None = None,  # how many people have each number of images
        left: IntArray = NO_ROWS,  # erased rows that keep their labels until all are relabeled
    ) -> None:
        self.embeddings, self.labels, self.classes = embeddings, labels, classes
        self.least_norm, self.left, self._sizes = least_norm, left, sizes
        self._index: ExactIndex | FaissIndex | None = None
        self._searched_in: Enrolled | None = None
        self._sorted: tuple[IntArray, IntArray] | None = None
        self._lock = ForkLock()

    def __reduce__(self) -> tuple[type[Enrolled], tuple[Any, ...]]:
        # A copy searches with an index of its own.
        dense = self.dense
        return Enrolled, (dense.embeddings, dense.labels, dense.classes, dense.least_norm)

    def __len__(self) -> int:
        return sum(images * people for images, people in self.sizes.items())

    @property
    def sizes(self) -> Mapping[int, int]:
        """How many people have each number of images."""
        if self._sizes is None:
            each = np.bincount(self.labels[self.rows])
            images, people = np.unique(each[each > 0], return_counts=True)
            self._sizes = dict(zip(images.tolist(), people.tolist(), strict=True))
        return self._sizes

    @cached_property
    def rows(self) -> IntArray:
        """The rows that are not erased."""
        return np.flatnonzero(self.dense.labels >= 0)

    @cached_property
    def dense(self) -> Enrolled:
        """The same, with labels of the rows and people that are there only."""
        if not len(self.left):
            return self
        found = self.without(NO_ROWS)
        found._searched_in = self
        return found

    def without(self, rows: IntArray | list[int]) -> Enrolled:
        """Returns the same without some rows, and without people who have no others."""
        labels = self.labels.copy()
        labels[self.left] = labels[rows] = -1
        there = np.bincount(labels[labels >= 0], minlength=len(self.classes)) > 0
        numbers = np.append(np.where(there, np.cumsum(there) - 1, -1), -1).astype(labels.dtype)
        return Enrolled(
            self.embeddings, numbers[labels], self.classes[there], least_norm=self.least_norm
        )

    @property
    def index(self) -> ExactIndex | FaissIndex:
        """The search index of the embeddings."""
        if self._searched_in is not None:
            return self._searched_in.index
        with self._lock:
            if self._index is None:
                erased = np.append(np.flatnonzero(self.labels < 0), self.left)
                self._index = build_index(self.embeddings, erased, self.least_norm)
            return self._index

    @cached_property
    def by_person(self) -> tuple[IntArray, IntArray]:
        """The rows sorted by person, and where each person's rows start, ``(k + 1,)``."""
        order = np.argsort(self.labels, kind="stable")
        each = np.bincount(self.labels + 1, minlength=len(self.classes) + 1)
        return order, np.cumsum(each)

    @cached_property
    def centroids(self) -> npt.NDArray[Any]:
        """The mean of each person's embeddings, scaled to unit norm, ``(k, d)``."""
        order, starts = self.by_person
        rows = order[starts[0] :]
        sums = np.add.reduceat(self.embeddings[rows].astype(np.float64), starts[:-1] - starts[0])
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        # Opposite embeddings have no mean direction; any direction will do.
        centroids: npt.NDArray[Any] = sums / np.where(norms > 0, norms, 1.0)
        return centroids.astype(self.embeddings.dtype)

    def images_of(self, person: int) -> IntArray:
        """Returns the rows of the person at an index of :attr:`classes`, in ascending order."""
        if self._sorted is None:
            self._sorted = self.by_person
        order, starts = self._sorted
        found = (
            order[starts[person] : starts[person + 1]] if person + 1 < len(starts) else order[:0]
        )
        later = np.flatnonzero(self.labels[len(order) :] == person) + len(order)
        rows = np.concatenate([found, later])
        return rows[~np.isin(rows, self.left)] if len(self.left) else rows

    def followed_by(
        self, after: Enrolled, erased: IntArray = NO_ROWS, *, relabeled: bool = False
    ) -> Enrolled:
        """Hands on what is known to a later state, whose first rows are those of this one."""
        index, known = self._index, 0 if self._sorted is None else len(self._sorted[0])
        large = len(after.embeddings) > EXACT_LIMIT and after.least_norm > 0
        if index is not None and not (isinstance(index, ExactIndex) and large):
            after._index = index.updated(after.embeddings, erased)
        unsorted = len(after.labels) - known
        if known and not relabeled and unsorted <= max(_UNSORTED_LEAST, known // _UNSORTED_SHARE):
            after._sorted = self._sorted
        return after

    def search(self, probes: npt.NDArray[Any], count: int) -> Neighbors:
        """Finds the enrolled images that are nearest to each probe."""
        found = self.index.search(probes, min(count, max(1, len(self.labels))))
        # An index that grows may know rows that are not enrolled in this state.
        unknown = (found.rows >= len(self.labels)) | (found.rows < 0)
        unknown |= self.labels[np.where(unknown, 0, found.rows)] < 0 if len(self.labels) else True
        rows = np.where(unknown, -1, found.rows)
        distances = np.where(unknown, np.inf, found.distances)
        order = np.argsort(distances, axis=1, kind="stable")
        return Neighbors(
            np.take_along_axis(rows, order, axis=1), np.take_along_axis(distances, order, axis=1)
        )

    def matches(self, probes: npt.NDArray[Any], count: int) -> list[list[Match]]:
        """Like :meth:`search`, with the names; images are numbered from 1."""
        found = self.search(probes, count)
        return [
            [
                Match(str(self.classes[self.labels[row]]), float(distance), int(row) + 1)
                for row, distance in zip(rows, distances, strict=True)
                if row >= 0
            ]
            for rows, distances in zip(found.rows, found.distances, strict=True)
        ]
