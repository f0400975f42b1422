"""Adjusts groups by pairs of faces known to be the same person, or different people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from facekit.errors import InvalidArgumentError
from facekit.utils.validation import reals

IntArray = npt.NDArray[np.int64]


def constrained(
    vectors: npt.NDArray[np.float32],
    labels: IntArray,
    same: Sequence[tuple[int, int]] | IntArray,
    different: Sequence[tuple[int, int]] | IntArray,
) -> IntArray:
    """Changes groups so that pairs do or do not share a group."""
    # Groups joined by a pair of the same person are merged, unless they contain a pair of different
    # people; the faces known to be one person then form a group of their own. If a group contains a
    # pair of different people, the part less similar to the rest moves out.
    together = _checked(same, "same", len(labels))
    apart = _checked(different, "different", len(labels))
    if not len(together) and not len(apart):
        return labels
    part = _joined(together, len(labels))
    if (part[apart[:, 0]] == part[apart[:, 1]]).any():
        raise InvalidArgumentError("same and different contradict each other")
    groups = labels.copy()
    following = int(labels.max()) + 1
    for members, *pairs in _islands(labels, together, apart):
        own = _settled(vectors[members], labels[members], part[members], *pairs)
        groups[members] = following + own
        following += int(own.max()) + 1
    return np.unique(groups, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _checked(pairs: npt.ArrayLike, name: str, count: int) -> IntArray:
    """Returns pairs of indices as int64 ``(n, 2)``."""
    found = reals(pairs, name)
    if not found.size:
        return np.empty((0, 2), np.int64)
    whole = found.dtype.kind in "iu" and found.shape[1:] == (2,)
    if not whole or found.min() < 0 or found.max() >= count:
        raise InvalidArgumentError(
            f"{name} must be pairs of indices from 0 to {count - 1}, got {pairs!r:.200}"
        )
    return found.astype(np.int64)


def _islands(
    labels: IntArray, together: IntArray, apart: IntArray
) -> Iterator[tuple[IntArray, IntArray, IntArray]]:
    """Yields independent sets of faces whose groups the pairs may change, with pairs of indices."""
    island = _joined(labels[together], int(labels.max()) + 1)[labels]
    apart = apart[island[apart[:, 0]] == island[apart[:, 1]]]
    merged = together[labels[together[:, 0]] != labels[together[:, 1]]]
    changed = np.unique(island[np.concatenate([merged[:, 0], apart[:, 0]])])
    faces = np.flatnonzero(np.isin(island, changed))
    for members, links, bars in zip(
        _by(island[faces], faces, changed),
        _by(island[together[:, 0]], together, changed),
        _by(island[apart[:, 0]], apart, changed),
        strict=True,
    ):
        yield members, np.searchsorted(members, links), np.searchsorted(members, bars)


def _by(island: IntArray, items: IntArray, wanted: IntArray) -> list[IntArray]:
    """Returns the items of each wanted island, in their order."""
    order = np.argsort(island, kind="stable")
    starts = np.searchsorted(island[order], wanted)
    ends = np.searchsorted(island[order], wanted, side="right")
    return [items[order[start:end]] for start, end in zip(starts, ends, strict=True)]


def _settled(
    vectors: npt.NDArray[np.float32],
    groups: IntArray,
    part: IntArray,
    together: IntArray,
    apart: IntArray,
) -> IntArray:
    """Returns the groups of the faces of one island, from 0, after applying its pairs."""
    groups = groups.copy()
    forbidden = part[apart].tolist()
    for one, other in together.tolist():
        if groups[one] == groups[other]:
            continue
        merged = (groups == groups[one]) | (groups == groups[other])
        inside = set(part[merged].tolist())
        if any(a in inside and b in inside for a, b in forbidden):
            merged = part == part[one]
        groups[merged] = groups.max() + 1
    for one, other in forbidden:
        rest = groups == groups[np.flatnonzero(part == one)[0]]
        first, second = rest & (part == one), rest & (part == other)
        if not second.any():
            continue
        mean = vectors[rest].astype(np.float64).mean(axis=0)
        fits = [float((vectors[members] @ mean).mean()) for members in (first, second)]
        groups[first if fits[0] < fits[1] else second] = groups.max() + 1
    return np.unique(groups, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _joined(links: IntArray, count: int) -> IntArray:
    """Returns the connected component of each item."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(links), bool), (links[:, 0], links[:, 1])), (count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)
