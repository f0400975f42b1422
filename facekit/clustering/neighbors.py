"""The neighbor graph: each vector with its nearest neighbors within a distance."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from facekit.gallery.index import faiss_is_installed, filled, product_code

MOST_LINKS = 64
"""The maximum number of neighbors that a vector links to: a few dozen of a person's ten thousand
images are as good as all, and all links would not fit into memory."""

# The number of similarities in memory at a time: 64 MiB.
_SIMILARITIES_AT_A_TIME = 1 << 24
# Up to this many vectors, FAISS compares all pairs; beyond that, only vectors in the nearest cells.
_EXACT_LIMIT = 20_000
_CELLS_SEARCHED, _LEARNT_FROM_A_CELL, _LEARNING_ROUNDS = 32, 40, 10
# How many extra candidates, nearest by short codes, are compared exactly.
_CANDIDATES = 16
_SEARCHED_AT_A_TIME = 16_384


class Links(NamedTuple):
    """The links of vector i are those from ``start[i]`` to ``start[i + 1]``."""

    start: npt.NDArray[np.int64]
    target: npt.NDArray[np.int32]
    weight: npt.NDArray[np.float32]

    def of(self, rows: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], ...]:
        """Returns the indices of the links of some vectors, and the vector of each link."""
        lengths = self.start[rows + 1] - self.start[rows]
        owner = np.repeat(np.arange(len(rows)), lengths)
        first = np.cumsum(lengths) - lengths
        return np.arange(len(owner)) - first[owner] + self.start[rows][owner], owner


def near_links(vectors: npt.NDArray[np.float32], threshold: float) -> Links:
    """Links unit vectors within a distance, weighted by similarity."""
    least = np.float32(1.0 - threshold**2 / 2.0)
    search = search_by_faiss if len(vectors) > 1 and faiss_is_installed() else _by_products
    owners, targets = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    weights = [np.empty(0, np.float32)]
    for start, similarity, found in search(vectors, vectors, MOST_LINKS + 1):
        rows = np.broadcast_to(start + np.arange(len(found))[:, None], found.shape)
        linked = (similarity >= least) & (found >= 0) & (found != rows)
        owners.append(rows[linked])
        targets.append(found[linked])
        weights.append(np.maximum(similarity[linked], np.float32(1e-6)))
    return _both_ways(
        np.concatenate(owners), np.concatenate(targets), np.concatenate(weights), len(vectors)
    )


def _both_ways(
    owner: npt.NDArray[np.int64],
    target: npt.NDArray[np.int64],
    weight: npt.NDArray[np.float32],
    number: int,
) -> Links:
    """Makes links symmetric: one end may have nearer neighbors than the other."""
    keys = np.concatenate([owner * number + target, target * number + owner])
    keys, first = np.unique(keys, return_index=True)
    start = np.searchsorted(keys, np.arange(number + 1, dtype=np.int64) * number)
    return Links(
        start, (keys % max(1, number)).astype(np.int32), weight[first % max(1, len(weight))]
    )


_Found = Iterator[tuple[int, npt.NDArray[np.float32], npt.NDArray[np.int64]]]


def _by_products(
    vectors: npt.NDArray[np.float32], among: npt.NDArray[np.float32], count: int
) -> _Found:
    step = max(1, _SIMILARITIES_AT_A_TIME // max(1, len(among)))
    kept = min(count, len(among))
    for start in range(0, len(vectors), step):
        similarity = vectors[start : start + step] @ among.T
        nearest = np.argpartition(-similarity, kept - 1, axis=1)[:, :kept]
        yield start, np.take_along_axis(similarity, nearest, axis=1), nearest


def search_by_faiss(
    vectors: npt.NDArray[np.float32], among: npt.NDArray[np.float32], count: int
) -> _Found:
    """Yields the nearest neighbors of blocks of vectors, with the index of the first vector."""
    import faiss

    number, size = among.shape
    if number > _EXACT_LIMIT:
        yield from _by_cells(vectors, among, count)
        return
    index: Any = faiss.IndexFlatIP(size)
    index.add(among)
    for start in range(0, len(vectors), _SEARCHED_AT_A_TIME):
        block = vectors[start : start + _SEARCHED_AT_A_TIME]
        similarity, nearest = index.search(block, min(count, number))
        yield start, similarity, nearest


def _by_cells(
    vectors: npt.NDArray[np.float32], among: npt.NDArray[np.float32], count: int
) -> _Found:
    """Like :func:`search_by_faiss`, by cells (an inverted file) and short codes: misses a few."""
    import faiss

    number, (size, parts) = len(among), product_code(among.shape[1])
    cells = round(4 * math.sqrt(number))
    inner, flat = faiss.METRIC_INNER_PRODUCT, faiss.IndexFlatIP(size)
    index: Any = faiss.IndexIVFPQFastScan(flat, size, cells, parts, 4, inner)
    index.by_residual, index.cp.niter, index.nprobe = False, _LEARNING_ROUNDS, _CELLS_SEARCHED
    # Evenly spaced, since the vectors may be sorted.
    index.train(filled(among[:: max(1, number // (_LEARNT_FROM_A_CELL * cells))], size))
    for start in range(0, number, _SEARCHED_AT_A_TIME):
        index.add(filled(among[start : start + _SEARCHED_AT_A_TIME], size))
    for start in range(0, len(vectors), _SEARCHED_AT_A_TIME):
        block = vectors[start : start + _SEARCHED_AT_A_TIME]
        _, nearest = index.search(filled(block, size), count + _CANDIDATES)
        similarity = np.empty(nearest.shape, dtype=np.float32)
        for row, (vector, near) in enumerate(zip(block, nearest, strict=True)):
            np.dot(among[near], vector, out=similarity[row])
        similarity[nearest < 0] = -2.0
        kept = np.argpartition(-similarity, count - 1, axis=1)[:, :count]
        found = np.take_along_axis(nearest, kept, axis=1)
        yield start, np.take_along_axis(similarity, kept, axis=1), found
