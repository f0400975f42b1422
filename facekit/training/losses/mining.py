"""Online mining: which triplets of a batch are easy, semi-hard or hard, in memory of O(B²).

For anchor a, positive p and negative n a triplet is

- *hard* if n is no farther from a than p is,
- *semi-hard* if n is farther than p, but by less than the margin,
- *easy* if n is farther than p by the margin or more.

A batch of B embeddings has up to B³ triplets. None of them is ever written down: each anchor's row
of the distance matrix is sorted once, and what lies before and after a positive in it is counted.

References:
    F. Schroff, D. Kalenichenko and J. Philbin, "FaceNet: A Unified Embedding for Face Recognition
    and Clustering", CVPR 2015, section 3.2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from keras import ops

from facekit.errors import InvalidArgumentError
from facekit.training.losses.distances import DistanceMetric, Tensor, pairwise_distances, precise


class SemihardNegatives(NamedTuple):
    """The negative that each pair of an anchor and a positive is given.

    Attributes:
        distance: At [a, p] the distance from a to its negative, ``(B, B)``: to the nearest negative
            that is farther from a than p is; where there is none, to the farthest negative; where
            the batch holds no negative of a, the smallest distance of its row.
        found: Whether a negative is farther than p, bool ``(B, B)``.
        share: A function that takes an amount for each pair, ``(B, B)``, and returns at [a, n] what
            negative n receives from the pairs of a that it was given to, ``(B, B)``. Negatives at
            exactly the same distance share equally.
    """

    distance: Tensor
    found: Tensor
    share: Callable[[Tensor], Tensor]


class ActiveTriplets(NamedTuple):
    """The triplets whose negative is farther than the positive by less than the margin.

    Attributes:
        count: How many there are, a scalar.
        loss: The sum of d(a, p) − d(a, n) + margin over them, a scalar.
        weights: The derivative of that sum by each distance, ``(B, B)``.
    """

    count: Tensor
    loss: Tensor
    weights: Tensor


def pair_masks(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Tells the positive and the negative pairs of a batch.

    Args:
        labels: Who each embedding is of, ``(B,)``.

    Returns:
        Two masks, bool ``(B, B)``: at [a, p] whether p is another embedding of the same label, and
        at [a, n] whether n has another label.
    """
    same = labels[:, None] == labels[None, :]
    index = ops.arange(ops.shape(labels)[0])
    return ops.logical_and(same, index[:, None] != index[None, :]), ops.logical_not(same)


def semihard_negatives(labels: Tensor, distances: Tensor) -> SemihardNegatives:
    """Finds the semi-hard negative of every pair of an anchor and a positive.

    Args:
        labels: Who each embedding is of, ``(B,)``.
        distances: All distances, ``(B, B)``, an anchor a row. No gradient flows into them.

    Returns:
        The negatives. What stands at pairs [a, b] that are not positive has no meaning.
    """
    distances = ops.stop_gradient(distances)
    size = ops.shape(distances)[0]
    rows = _sorted_rows(labels, distances, negatives_first=True)
    # The distinct distances of a row's negatives are numbered from 1. In sorted order, negatives
    # first among equals, the number of those begun so far is a negative's own number, and for a
    # positive the number of those that are no farther. The next is then its semi-hard negative.
    begins = ops.logical_and(rows.negative, _differs_from_previous(rows.keys))
    number = ops.cumsum(ops.cast(begins, "int32"), axis=1)
    last = number[:, -1:]
    values = _sum_into(ops.where(begins, rows.keys, 0.0), number, size + 1)
    copies = _sum_into(ops.cast(rows.negative, distances.dtype), number, size + 1)
    number = _sum_into(number, rows.columns, size)
    given = ops.minimum(number + 1, last)

    # Without negatives only number 0 is there. It stands for the row's smallest distance.
    smallest = ops.min(distances, axis=1, keepdims=True)
    receives = ops.where(last > 0, pair_masks(labels)[1], distances == smallest)
    copies = ops.where(
        last > 0, copies, ops.sum(ops.cast(receives, copies.dtype), axis=1, keepdims=True)
    )

    def share(amounts: Tensor) -> Tensor:
        received = _sum_into(amounts, given, size + 1) / ops.maximum(copies, 1.0)
        return ops.where(receives, _pick(received, number), 0.0)

    return SemihardNegatives(
        ops.where(last > 0, _pick(values, given), smallest), number < last, share
    )


def active_triplets(labels: Tensor, distances: Tensor, margin: float) -> ActiveTriplets:
    """Counts and adds up all triplets that violate the margin.

    Args:
        labels: Who each embedding is of, ``(B,)``.
        distances: All distances, ``(B, B)``, an anchor a row. No gradient flows into them.
        margin: By how much a negative should be farther than a positive.

    Returns:
        Their number, the sum of what they lack, and the derivative of that sum.
    """
    distances = ops.stop_gradient(distances)
    # Once the margin is added to the positives, the negatives before one are those that are too
    # close to it, and the positives after a negative are those that it is too close to.
    keys = ops.where(pair_masks(labels)[1], distances, distances + margin)
    rows = _sorted_rows(labels, keys, negatives_first=False)
    negative, positive = (
        ops.cast(mask, distances.dtype) for mask in (rows.negative, rows.positive)
    )
    closer = positive * ops.cumsum(negative, axis=1)
    violated = negative * (ops.sum(positive, axis=1, keepdims=True) - ops.cumsum(positive, axis=1))
    weights = closer - violated
    return ActiveTriplets(
        ops.sum(closer),
        ops.sum(weights * rows.keys),
        _sum_into(weights, rows.columns, ops.shape(distances)[0]),
    )


def triplet_statistics(
    labels: Tensor,
    embeddings: Tensor,
    margin: float = 0.2,
    distance_metric: DistanceMetric = "squared-L2",
) -> dict[str, Tensor]:
    """Describes a batch as the triplet loss sees it.

    Usable inside a compiled training step of every backend. A share or mean over nothing is 0.

    Args:
        labels: Who each embedding is of, integers ``(B,)`` or ``(B, 1)``.
        embeddings: ``(B, d)``.
        margin: By how much a negative should be farther from the anchor than a positive.
        distance_metric: ``"L2"``, ``"squared-L2"``, ``"angular"`` or a function; see
            :func:`~facekit.training.pairwise_distances`.

    Returns:
        Scalars (float32, or float64 for embeddings of float64) that are exact up to rounding.

        - ``"triplets"``: how many triplets of anchor, positive and negative the batch holds;
        - ``"easy"``, ``"semihard"``, ``"hard"``: their shares of all triplets, which add up to 1;
        - ``"active"``: the share of those whose loss is not 0;
        - ``"positive_distance"``, ``"negative_distance"``: mean distance of all pairs of one label,
          and of two;
        - ``"spread"``: mean Euclidean distance from the embeddings to their mean, which is close
          to 0 when the embeddings collapse to a point.

    Raises:
        InvalidArgumentError: If the metric has no such name, or shapes do not fit together.

    Example:
        >>> from facekit.training import triplet_statistics
        >>> found = triplet_statistics([0, 0, 1], [[0.0, 0.0], [0.3, 0.0], [0.4, 0.0]], margin=0.1)
        >>> {name: round(float(found[name]), 2) for name in ("triplets", "hard", "semihard")}
        {'triplets': 2.0, 'hard': 0.5, 'semihard': 0.5}

    References:
        F. Schroff, D. Kalenichenko and J. Philbin, "FaceNet", CVPR 2015, section 3.2, for what is
        semi-hard and hard.
    """
    embeddings = precise(embeddings)
    labels = checked_labels(labels, embeddings)
    distances = ops.stop_gradient(pairwise_distances(embeddings, distance_metric))
    positive, negative = (ops.cast(mask, distances.dtype) for mask in pair_masks(labels))
    triplets = ops.sum(ops.sum(positive, axis=1) * ops.sum(negative, axis=1))
    rows = _sorted_rows(labels, distances, negatives_first=True)
    no_farther = ops.cumsum(ops.cast(rows.negative, distances.dtype), axis=1)
    hard = _share(ops.sum(ops.where(rows.positive, no_farther, 0.0)), triplets)
    active = _share(active_triplets(labels, distances, margin).count, triplets)
    easy = ops.where(triplets > 0, 1.0 - ops.maximum(active, hard), 0.0)
    mean = ops.mean(embeddings, axis=0, keepdims=True)
    return {
        "triplets": triplets,
        "easy": easy,
        "semihard": ops.maximum(active - hard, 0.0),
        "hard": hard,
        "active": active,
        "positive_distance": _share(ops.sum(positive * distances), ops.sum(positive)),
        "negative_distance": _share(ops.sum(negative * distances), ops.sum(negative)),
        "spread": ops.mean(ops.norm(ops.stop_gradient(embeddings - mean), axis=1)),
    }


def checked_labels(labels: Tensor, embeddings: Tensor) -> Tensor:
    """Returns labels as a vector, one for each embedding.

    Raises:
        InvalidArgumentError: If their number is known to be another.
    """
    labels = ops.convert_to_tensor(labels)
    shape = tuple(labels.shape)
    size = embeddings.shape[0]
    if (
        len(shape) not in (1, 2)
        or shape[1:] not in ((), (1,), (None,))
        or (None not in (shape[0], size) and shape[0] != size)
    ):
        raise InvalidArgumentError(
            f"labels must have the shape (B,) or (B, 1), one for each of the embeddings "
            f"{tuple(embeddings.shape)}, got {shape}; labels are not one-hot"
        )
    return ops.reshape(labels, (-1,))


class _SortedRows(NamedTuple):
    """Each row of a matrix in ascending order: the keys, where they stood, and of what kind."""

    keys: Tensor
    columns: Tensor
    negative: Tensor
    positive: Tensor


def _sorted_rows(labels: Tensor, keys: Tensor, *, negatives_first: bool) -> _SortedRows:
    """Sorts each row, and among equal keys the negatives before the anchor's own label or after."""
    size = ops.shape(keys)[0]
    index = ops.arange(size, dtype="int32")
    # Sorting keeps the order of equals, so that it is enough to begin with each row in an order
    # where the anchor's label is last (or first): the columns by label, from there on and around.
    by_label = ops.cast(ops.argsort(labels), "int32")
    own = ops.sum(ops.cast(labels[:, None] == labels[None, :], "int32"), axis=1, keepdims=True)
    start = ops.sum(ops.cast(labels[None, :] < labels[:, None], "int32"), axis=1, keepdims=True)
    if negatives_first:
        start = start + own
    columns = ops.take(by_label, (start + index[None, :]) % size)
    order = ops.cast(ops.argsort(_pick(keys, columns), axis=1), "int32")
    negative = order < size - own if negatives_first else order >= own
    columns = ops.take(by_label, (start + order) % size)
    positive = ops.logical_and(ops.logical_not(negative), columns != index[:, None])
    return _SortedRows(_pick(keys, columns), columns, negative, positive)


def _differs_from_previous(rows: Tensor) -> Tensor:
    first = ops.ones_like(rows[:, :1], dtype="bool")
    return ops.concatenate([first, rows[:, 1:] > rows[:, :-1]], axis=1)


def _pick(matrix: Tensor, columns: Tensor) -> Tensor:
    """Returns ``matrix[a, columns[a, k]]`` at [a, k]."""
    return ops.take(ops.reshape(matrix, (-1,)), _flat(columns, ops.shape(matrix)[1]))


def _sum_into(values: Tensor, columns: Tensor, width: int) -> Tensor:
    """Returns at [a, c] the sum of ``values[a, k]`` over all k with ``columns[a, k] == c``."""
    height = ops.shape(values)[0]
    sums = ops.segment_sum(
        ops.reshape(values, (-1,)), ops.reshape(_flat(columns, width), (-1,)), height * width
    )
    return ops.reshape(sums, (height, width))


def _flat(columns: Tensor, width: int) -> Tensor:
    return columns + width * ops.arange(ops.shape(columns)[0], dtype="int32")[:, None]


def _share(part: Tensor, whole: Tensor) -> Tensor:
    return part / ops.maximum(whole, 1.0)
