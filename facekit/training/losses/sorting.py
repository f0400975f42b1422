"""Sorted rows of a matrix of distances: what mining counts in, in memory of O(B²)."""

from __future__ import annotations

from typing import NamedTuple

from keras import ops

from facekit.training.losses.distances import Tensor


class SortedRows(NamedTuple):
    """Each row of a matrix in ascending order: the keys, where they stood, and of what kind."""

    keys: Tensor
    columns: Tensor
    negative: Tensor
    positive: Tensor


def sorted_rows(labels: Tensor, keys: Tensor, *, negatives_first: bool) -> SortedRows:
    """Sorts each row; among equal keys the negatives stand before the anchor's label, or after."""
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
    order = ops.cast(ops.argsort(pick(keys, columns), axis=1), "int32")
    negative = order < size - own if negatives_first else order >= own
    columns = ops.take(by_label, (start + order) % size)
    positive = ops.logical_and(ops.logical_not(negative), columns != index[:, None])
    return SortedRows(pick(keys, columns), columns, negative, positive)


def differs_from_previous(rows: Tensor) -> Tensor:
    """Returns at [a, k] whether ``rows[a, k]`` is larger than the entry before it, or the first."""
    first = ops.ones_like(rows[:, :1], dtype="bool")
    return ops.concatenate([first, rows[:, 1:] > rows[:, :-1]], axis=1)


def pick(matrix: Tensor, columns: Tensor) -> Tensor:
    """Returns ``matrix[a, columns[a, k]]`` at [a, k]."""
    return ops.take(ops.reshape(matrix, (-1,)), _flat(columns, ops.shape(matrix)[1]))


def sum_into(values: Tensor, columns: Tensor, width: int) -> Tensor:
    """Returns at [a, c] the sum of ``values[a, k]`` over all k with ``columns[a, k] == c``."""
    height = ops.shape(values)[0]
    sums = ops.segment_sum(
        ops.reshape(values, (-1,)), ops.reshape(_flat(columns, width), (-1,)), height * width
    )
    return ops.reshape(sums, (height, width))


def _flat(columns: Tensor, width: int) -> Tensor:
    return columns + width * ops.arange(ops.shape(columns)[0], dtype="int32")[:, None]
