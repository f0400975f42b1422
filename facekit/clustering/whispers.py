"""Chinese whispers: communities of unit vectors, in linear memory."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from facekit.clustering.apart import apart
from facekit.clustering.neighbors import Links, near_links

_MOST_ROUNDS = 50
# The vectors of one part of a round are updated together.
_PARTS = 16


def chinese_whispers(
    vectors: npt.NDArray[np.float32],
    threshold: float,
    *,
    images: npt.NDArray[np.int64] | None = None,
    seed: int = 0,
) -> npt.NDArray[np.int64]:
    """Groups unit vectors linked by small distances; see :func:`facekit.cluster`."""
    # Each vector starts as its own group; then, repeatedly and in random order, each joins the
    # group that its linked vectors vote for, near ones with more weight. A single wrong link
    # between two people is outvoted.
    # Sorted, so that the order does not matter, not even through rounding; adding 0 turns −0 into
    # 0.
    distinct, first, place, counts = np.unique(
        vectors + np.float32(0.0),
        axis=0,
        return_index=True,
        return_inverse=True,
        return_counts=True,
    )
    place = place.reshape(-1)
    links = near_links(distinct, threshold)
    # A vector that stands for several equal ones has that many votes.
    links = links._replace(weight=links.weight * counts[links.target].astype(np.float32))
    if images is not None:
        # Equal vectors from several images belong to no particular one.
        links = _without_same_image(links, np.where(counts == 1, images[first], -1))
    groups = _whisper(links, np.random.default_rng(seed))[place]
    if images is not None:
        groups = apart(vectors, groups, images)
    return np.asarray(np.unique(groups, return_inverse=True)[1].reshape(-1), dtype=np.int64)


def _without_same_image(links: Links, images: npt.NDArray[np.int64]) -> Links:
    owner = np.repeat(np.arange(len(links.start) - 1), np.diff(links.start))
    kept = (images[owner] < 0) | (images[owner] != images[links.target])
    lengths = np.bincount(owner[kept], minlength=len(links.start) - 1)
    start = np.concatenate([[0], np.cumsum(lengths)])
    return Links(start, links.target[kept], links.weight[kept])


def _whisper(links: Links, random: np.random.Generator) -> npt.NDArray[np.int64]:
    number = len(links.start) - 1
    group = np.arange(number)
    waiting = np.diff(links.start) > 0
    for _ in range(_MOST_ROUNDS):
        order = random.permutation(np.flatnonzero(waiting))
        if not len(order):
            break
        waiting[:] = False
        for part in np.array_split(order, min(_PARTS, len(order))):
            voted = _votes(links, part, group)
            changed = part[voted != group[part]]
            group[part] = voted
            waiting[links.target[links.of(changed)[0]]] = True
            waiting[changed] = True
    return group


def _votes(
    links: Links, rows: npt.NDArray[np.int64], group: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Returns the group that each row's links vote for; the first if tied."""
    places, owner = links.of(rows)
    heard = group[links.target[places]]
    order = np.lexsort((heard, owner))
    owner, heard = owner[order], heard[order]
    new = np.concatenate([[True], (np.diff(owner) != 0) | (np.diff(heard) != 0)])
    starts = np.flatnonzero(new)
    votes = np.add.reduceat(links.weight[places][order].astype(np.float64), starts)
    owner, heard = owner[starts], heard[starts]
    best = np.lexsort((heard, -votes, owner))
    _, first = np.unique(owner[best], return_index=True)
    return heard[best[first]]
