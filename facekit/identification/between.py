"""Distances between the people of a small gallery, continued from one state to the next."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from facekit.embedding.weights.distances import Measure
from facekit.gallery.enrolled import Enrolled
from facekit.gallery.index import FloatArray, IntArray
from facekit.identification.calibration import probes_among

_BLOCK = 256


class _Compared(NamedTuple):
    measure: Measure
    embeddings: npt.NDArray[Any]
    owners: IntArray  # the label of each row, −1 if it is erased, `(n,)`
    columns: FloatArray  # what is compared with: the mean of each person, or each row, `(c, d)`
    nearest: FloatArray  # the largest similarity of each row to a column of someone else, `(n,)`
    which: IntArray  # that column, −1 without another person


class DistancesBetweenPeople:
    """Compares everyone with everyone once, and then only what came, went or changed."""

    def __init__(self) -> None:
        self._known: _Compared | None = None

    def of(self, enrolled: Enrolled, measure: Measure) -> FloatArray:
        """Returns the distances from enrolled images to the nearest other person."""
        self._known = found = _compared(enrolled, measure, self._known)
        rows = probes_among(enrolled.embeddings, np.flatnonzero(found.owners >= 0))
        # Rounded, so that the result does not depend on the order of the changes.
        similarity = np.round(found.nearest[rows[found.which[rows] >= 0]], 9)
        distances: FloatArray = np.sqrt(np.maximum(0.0, 2.0 - 2.0 * similarity))
        return distances


def _compared(enrolled: Enrolled, measure: Measure, known: _Compared | None) -> _Compared:
    embeddings, owners = enrolled.embeddings, enrolled.labels.astype(np.int64)
    owners[enrolled.left] = -1
    count, size = embeddings.shape
    people = len(enrolled.classes)
    columns = np.zeros((people if measure == "centroid" else count, size))
    if (
        known is None
        or known.measure != measure
        or len(known.owners) > count
        or len(known.columns) > len(columns)
    ):
        known = _Compared(measure, embeddings[:0], owners[:0], columns[:0], np.empty(0), owners[:0])
    before = len(known.owners)
    same = np.zeros(count, dtype=bool)
    same[:before] = (known.owners == owners[:before]) & (
        known.embeddings == embeddings[:before]
    ).all(axis=1)
    columns[: len(known.columns)] = known.columns
    if measure == "centroid":
        touched = np.unique(np.concatenate((owners[~same], known.owners[~same[:before]])))
        touched = touched[touched >= 0]
        rows = np.flatnonzero(np.isin(owners, touched))
        sums = np.zeros_like(columns)
        np.add.at(sums, owners[rows], embeddings[rows].astype(np.float64))
        norms = np.linalg.norm(sums[touched], axis=1, keepdims=True)
        columns[touched] = sums[touched] / np.where(norms > 0, norms, 1.0)
        there = np.bincount(owners[owners >= 0], minlength=people) > 0
        owner_of = np.where(there, np.arange(people), -1)
    else:
        touched, owner_of = np.flatnonzero(~same), owners
        columns[touched] = embeddings[touched]
    nearest, which = np.full(count, -np.inf), np.full(count, -1)
    # A row is compared with everyone if it is new, or if its nearest was touched.
    is_touched = np.zeros(len(columns) + 1, dtype=bool)
    is_touched[touched] = True
    same[:before] &= ~is_touched[known.which]
    kept, others = np.flatnonzero(same), np.flatnonzero(~same)
    nearest[kept], which[kept] = known.nearest[kept], known.which[kept]
    for rows, among in ((others, np.arange(len(columns))), (kept, touched)):
        among = among[owner_of[among] >= 0]
        for start in range(0, len(rows) if len(among) else 0, _BLOCK):
            block = rows[start : start + _BLOCK]
            products = embeddings[block].astype(np.float64) @ columns[among].T
            products[owner_of[among] == owners[block, None]] = -np.inf
            best = products.argmax(axis=1)
            found = products[np.arange(len(block)), best]
            nearer = found > nearest[block]
            nearest[block[nearer]], which[block[nearer]] = found[nearer], among[best[nearer]]
    return _Compared(measure, embeddings, owners, columns, nearest, which)
