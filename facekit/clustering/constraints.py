"""Groups changed by pairs of faces that are the same person, or different ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from facekit.errors import InvalidArgumentError
from facekit.utils.validation import whole

IntArray = npt.NDArray[np.int64]


def constrained(
    vectors: npt.NDArray[np.float32],
    labels: IntArray,
    same: Sequence[tuple[int, int]],
    different: Sequence[tuple[int, int]],
) -> IntArray:
    """Changes groups so that pairs share a group or do not.

    Groups with a pair of one person are merged, unless they hold a pair of different people; then
    the faces that are surely one person get a group of their own. Of a pair of different people
    in one group, the part that is less like the rest of it moves out.
    """
    if not len(same) and not len(different):
        return labels
    together, apart = (
        [
            tuple(whole(place, name, least=0, most=len(labels) - 1) for place in pair)
            for pair in given
        ]
        for given, name in ((same, "same"), (different, "different"))
    )
    links = np.array(together, dtype=np.int64).reshape(-1, 2)
    part = _parts(links, len(labels))
    forbidden = [(int(part[one]), int(part[other])) for one, other in apart]
    if any(one == other for one, other in forbidden):
        raise InvalidArgumentError("same and different contradict each other")
    groups = labels.copy()
    for one, other in together:
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


def _parts(links: IntArray, count: int) -> IntArray:
    """Returns the number of the part of each, after those of linked ones are joined."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(links), bool), (links[:, 0], links[:, 1])), (count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)
