"""Miners: choose the triplets of a batch and weigh their distances.

For anchor a, positive p and negative n a triplet is

- *hard* if n is not farther from a than p is,
- *semi-hard* if n is farther than p, but by less than the margin,
- *easy* if n is farther than p by the margin or more.

The up to B³ triplets of a batch are never enumerated: each anchor's row of the distance matrix is
sorted once, and the entries before and after a positive are counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from keras import ops

from facekit.errors import InvalidArgumentError
from facekit.training.losses.distances import Tensor
from facekit.training.losses.labels import pair_masks
from facekit.training.losses.sorting import differs_from_previous, pick, sorted_rows, sum_into


class Mined(NamedTuple):
    """The result of mining a batch."""

    loss: Tensor  # a scalar
    # Its derivative by each distance, `(B, B)`: positive where an anchor is pulled to a positive,
    # negative where it is pushed away from a negative.
    weights: Tensor


class Miner(Protocol):
    """Chooses the triplets of a batch and weighs their distances; a function also works.

    A miner runs inside a compiled training step, so it must use ``keras.ops`` and preserve shapes.
    Its gradient is not used: the gradient of the loss is computed from the weights.

    Example:
        All positive pairs are pulled together, and nothing is pushed away.

        >>> from keras import ops
        >>> from facekit.training import TripletLoss
        >>> def pull(labels, distances, margin):
        ...     same = ops.cast(labels[:, None] == labels[None, :], distances.dtype)
        ...     return ops.sum(same * distances), same
        >>> loss = TripletLoss(pull)
        >>> float(loss(["Ann", "Ann", "Bob"], [[0.0, 1.0], [1.0, 0.0], [0.6, 0.8]]))
        4.0
    """

    def __call__(
        self, labels: Tensor, distances: Tensor, margin: float, /
    ) -> tuple[Tensor, Tensor]:
        """Mines a batch.

        Args:
            labels: The person of each embedding, integers ``(B,)``.
            distances: From each anchor, a row, to each other embedding, ``(B, B)``.
            margin: By how much a negative should be farther than a positive.

        Returns:
            The loss, a scalar, and its derivative by each distance, ``(B, B)``; a :class:`Mined`.
        """


def mine_semihard(labels: Tensor, distances: Tensor, margin: float) -> Mined:
    """Mines for each positive pair the nearest negative beyond it, or else the farthest."""
    positive, _ = pair_masks(labels)
    mined = semihard_negatives(labels, distances)
    excess = distances - mined.distance + margin
    # At exactly 0 the pair still counts in the gradient, as in tensorflow-addons.
    active = ops.cast(ops.logical_and(positive, excess >= 0.0), distances.dtype)
    pairs = ops.maximum(ops.sum(ops.cast(positive, distances.dtype)), 1.0)
    weights = (active - mined.share(active)) / pairs
    return Mined(ops.sum(active * excess) / pairs, weights)


def mine_facenet(labels: Tensor, distances: Tensor, margin: float) -> Mined:
    """Mines for each positive pair the nearest semi-hard negative, if there is one; a sum."""
    positive, _ = pair_masks(labels)
    mined = semihard_negatives(labels, distances)
    excess = distances - mined.distance + margin
    semihard = ops.logical_and(positive, ops.logical_and(mined.found, excess > 0.0))
    semihard = ops.cast(semihard, distances.dtype)
    return Mined(ops.sum(semihard * excess), semihard - mined.share(semihard))


@dataclass(frozen=True)
class HardMiner:
    """Mines for each anchor the farthest positive and the nearest negative."""

    soft: bool = False  # whether the loss is log(1 + exp(d(a, p) − d(a, n))), which has no margin

    def __call__(self, labels: Tensor, distances: Tensor, margin: float) -> Mined:
        """Mines a batch."""
        positive, negative = pair_masks(labels)
        positive = _or_where_none(positive, distances == ops.min(distances, axis=1, keepdims=True))
        negative = _or_where_none(negative, distances == ops.max(distances, axis=1, keepdims=True))
        farthest = ops.max(ops.where(positive, distances, -math.inf), axis=1, keepdims=True)
        nearest = ops.min(ops.where(negative, distances, math.inf), axis=1, keepdims=True)
        difference = farthest - nearest
        if self.soft:
            each, slope = ops.softplus(difference), ops.sigmoid(difference)
        else:
            each = ops.maximum(difference + margin, 0.0)
            # At exactly 0 the anchor still counts in the gradient, as in tensorflow-addons.
            slope = ops.cast(difference + margin >= 0.0, distances.dtype)
        weights = _equal_shares(positive, distances, farthest)
        weights = weights - _equal_shares(negative, distances, nearest)
        anchors = ops.maximum(ops.cast(ops.shape(distances)[0], distances.dtype), 1.0)
        return Mined(ops.sum(each) / anchors, slope * weights / anchors)


def mine_batch_all(labels: Tensor, distances: Tensor, margin: float) -> Mined:
    """Mines all triplets that violate the margin; their mean."""
    active = active_triplets(labels, distances, margin)
    count = ops.maximum(active.count, 1.0)
    return Mined(active.loss / count, active.weights / count)


MINERS: dict[str, Miner] = {
    "batch-all": mine_batch_all,
    "semihard": mine_semihard,
    "hard": HardMiner(),
    "facenet": mine_facenet,
}
"""The named miners."""


def miner_of(miner: str | Miner) -> Miner:
    """Returns the miner of a name, or the one given."""
    if callable(miner):
        return miner
    if miner not in MINERS:
        names = ", ".join(f'"{name}"' for name in MINERS)
        raise InvalidArgumentError(
            f"miner must be one of {names} or a function of labels, distances and margin, got "
            f"{miner!r}"
        )
    return MINERS[miner]


class SemihardNegatives(NamedTuple):
    """The negative that each pair of an anchor and a positive is given."""

    # At [a, p] the distance from a to its negative, `(B, B)`: to the nearest negative that is
    # farther from a than p is; where there is none, to the farthest negative; where the batch holds
    # no negative of a, the smallest distance of its row.
    distance: Tensor
    found: Tensor  # whether a negative is farther than p, bool `(B, B)`
    # A function that takes an amount for each pair, `(B, B)`, and returns at [a, n] what negative n
    # receives from the pairs of a that it was given to, `(B, B)`. Negatives at exactly the same
    # distance share equally.
    share: Callable[[Tensor], Tensor]


class ActiveTriplets(NamedTuple):
    """Triplets that violate the margin: how many, their sum, its derivative by each distance."""

    count: Tensor
    loss: Tensor
    weights: Tensor


def semihard_negatives(labels: Tensor, distances: Tensor) -> SemihardNegatives:
    """Finds the semi-hard negative of every positive pair; at other pairs the result is unused."""
    size = ops.shape(distances)[0]
    rows = sorted_rows(labels, distances, negatives_first=True)
    # The distinct distances of a row's negatives are numbered from 1. In sorted order, negatives
    # first among equals, the number of those begun so far is a negative's own number, and for a
    # positive the number of those that are no farther. The next is then its semi-hard negative.
    begins = ops.logical_and(rows.negative, differs_from_previous(rows.keys))
    number = ops.cumsum(ops.cast(begins, "int32"), axis=1)
    last = number[:, -1:]
    values = sum_into(ops.where(begins, rows.keys, 0.0), number, size + 1)
    copies = sum_into(ops.cast(rows.negative, distances.dtype), number, size + 1)
    number = sum_into(number, rows.columns, size)
    given = ops.minimum(number + 1, last)

    # Without negatives only number 0 is there. It stands for the row's smallest distance.
    smallest = ops.min(distances, axis=1, keepdims=True)
    receives = ops.where(last > 0, pair_masks(labels)[1], distances == smallest)
    copies = ops.where(
        last > 0, copies, ops.sum(ops.cast(receives, copies.dtype), axis=1, keepdims=True)
    )

    def share(amounts: Tensor) -> Tensor:
        received = sum_into(amounts, given, size + 1) / ops.maximum(copies, 1.0)
        return ops.where(receives, pick(received, number), 0.0)

    return SemihardNegatives(
        ops.where(last > 0, pick(values, given), smallest), number < last, share
    )


def active_triplets(labels: Tensor, distances: Tensor, margin: float) -> ActiveTriplets:
    """Counts and adds up all triplets that violate the margin."""
    # Once the margin is added to the positives, the negatives before one are those that are too
    # close to it, and the positives after a negative are those that it is too close to.
    keys = ops.where(pair_masks(labels)[1], distances, distances + margin)
    rows = sorted_rows(labels, keys, negatives_first=False)
    negative, positive = (
        ops.cast(mask, distances.dtype) for mask in (rows.negative, rows.positive)
    )
    closer = positive * ops.cumsum(negative, axis=1)
    violated = negative * (ops.sum(positive, axis=1, keepdims=True) - ops.cumsum(positive, axis=1))
    weights = closer - violated
    return ActiveTriplets(
        ops.sum(closer),
        ops.sum(weights * rows.keys),
        sum_into(weights, rows.columns, ops.shape(distances)[0]),
    )


def _or_where_none(mask: Tensor, other: Tensor) -> Tensor:
    """Returns a mask, with the rows of another in place of those that it leaves empty."""
    return ops.where(ops.any(mask, axis=1, keepdims=True), mask, other)


def _equal_shares(candidates: Tensor, distances: Tensor, extreme: Tensor) -> Tensor:
    """Shares 1 among those candidates of each row that lie at its extreme distance."""
    chosen = ops.cast(ops.logical_and(candidates, distances == extreme), distances.dtype)
    return chosen / ops.maximum(ops.sum(chosen, axis=1, keepdims=True), 1.0)
