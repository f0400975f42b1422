"""Chinese whispers: communities of unit vectors, in memory that grows with their number only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# So many similarities are in memory at a time: 64 MiB of them.
_SIMILARITIES_AT_A_TIME = 1 << 24
# A vector listens to so many others at the most, the nearest: of one person's ten thousand photos
# some hundred are as good as all, and all of the links would not fit into memory.
_MOST_LINKS = 256
_MOST_ROUNDS = 50


class _Links(NamedTuple):
    """The links of vector i are those from ``start[i]`` to ``start[i + 1]``."""

    start: npt.NDArray[np.int64]
    target: npt.NDArray[np.int32]
    weight: npt.NDArray[np.float32]


def chinese_whispers(
    vectors: npt.NDArray[np.float32], threshold: float, *, seed: int = 0
) -> npt.NDArray[np.int64]:
    """Groups unit vectors that are linked by small distances.

    Vectors within the threshold are linked. At first each is a group of its own; then, in random
    order and again and again, each joins the group that the vectors linked with it vote for, near
    ones with more weight. One wrong link between two people is outvoted by the right ones; if
    whatever is linked were joined, a single chance likeness would merge two people.

    Args:
        vectors: float32 ``(n, d)`` of unit L2 norm.
        threshold: The largest Euclidean distance of linked vectors.
        seed: Of the random order.

    Returns:
        int64 ``(n,)``, the number of each vector's group, from 0. The order in which the vectors
        are given changes at most how the groups are numbered. Equal vectors share a group.

    Example:
        >>> import numpy as np
        >>> from facekit.clustering.whispers import chinese_whispers
        >>> chinese_whispers(np.array([[1, 0], [0, 1], [0.8, 0.6]], dtype=np.float32), 0.7)
        array([1, 0, 1])

    References:
        C. Biemann, "Chinese Whispers: an Efficient Graph Clustering Algorithm and its Application
        to Natural Language Processing Problems", TextGraphs 2006.
    """
    # Sorted, so that the order given cannot matter, not even by rounding; adding 0 turns −0 into 0.
    distinct, place, counts = np.unique(
        vectors + np.float32(0.0), axis=0, return_inverse=True, return_counts=True
    )
    links = _links(distinct, counts.astype(np.float32), threshold)
    groups = _whisper(links, np.random.default_rng(seed))
    return np.asarray(groups[place.reshape(-1)], dtype=np.int64)


def _links(
    vectors: npt.NDArray[np.float32], counts: npt.NDArray[np.float32], threshold: float
) -> _Links:
    number = len(vectors)
    least = np.float32(1.0 - threshold**2 / 2.0)
    step = max(1, _SIMILARITIES_AT_A_TIME // max(1, number))
    lengths = np.zeros(number + 1, dtype=np.int64)
    targets, weights = [np.empty(0, np.int32)], [np.empty(0, np.float32)]
    for start in range(0, number, step):
        similarity = vectors[start : start + step] @ vectors.T
        rows = np.arange(len(similarity))
        similarity[rows, start + rows] = -np.inf
        linked = similarity >= least
        crowded = np.flatnonzero(linked.sum(axis=1) > _MOST_LINKS)
        if len(crowded):
            kept = -np.partition(-similarity[crowded], _MOST_LINKS - 1, axis=1)[:, _MOST_LINKS - 1]
            linked[crowded] &= similarity[crowded] >= kept[:, None]
        row, target = np.nonzero(linked)
        lengths[start + 1 : start + 1 + len(similarity)] = np.bincount(row, minlength=len(rows))
        targets.append(target.astype(np.int32))
        # A vector that stands for several equal ones has as many votes.
        weights.append(np.maximum(similarity[row, target], 1e-6) * counts[target])
    return _Links(np.cumsum(lengths), np.concatenate(targets), np.concatenate(weights))


def _whisper(links: _Links, random: np.random.Generator) -> npt.NDArray[np.int64]:
    number = len(links.start) - 1
    group = np.arange(number)
    linked = np.flatnonzero(np.diff(links.start))
    for _ in range(_MOST_ROUNDS):
        changed = False
        for vector in random.permutation(linked):
            own = slice(links.start[vector], links.start[vector + 1])
            heard, votes_for = np.unique(group[links.target[own]], return_inverse=True)
            best = heard[np.bincount(votes_for, links.weight[own]).argmax()]
            if best != group[vector]:
                group[vector] = best
                changed = True
        if not changed:
            break
    return np.unique(group, return_inverse=True)[1].reshape(-1)
