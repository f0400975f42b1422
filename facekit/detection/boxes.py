"""Box arithmetic, on float64 arrays ``(n, 4)`` of the corners x1, y1, x2, y2 in pixels."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Boxes: TypeAlias = npt.NDArray[np.float64]
OverlapMeasure: TypeAlias = Literal["union", "min"]

# How many boxes are compared with their neighbors at a time; fewer boxes have fewer neighbors.
_ROWS = 64


def overlap(first: Boxes, second: Boxes, measure: OverlapMeasure = "union") -> Boxes:
    """Returns the intersection of each pair over its union or its smaller box, ``(n, m)``."""
    intersection, base = _shared(first, second, measure)
    shares: Boxes = np.divide(
        intersection, base, out=np.zeros_like(intersection), where=base != 0.0
    )
    return shares


def suppress_non_maxima(
    boxes: Boxes,
    scores: npt.NDArray[np.floating[Any]],
    threshold: float,
    measure: OverlapMeasure = "union",
) -> npt.NDArray[np.intp]:
    """Returns the boxes that no better one overlaps by more than a threshold, the best first.

    A box is also suppressed by a better one that is itself suppressed, as in ``mtcnn`` 1.0. The
    usual greedy suppression would keep it.
    """
    # Many scores of P-Net are the same number just below 1. To break ties as mtcnn does, they are
    # sorted in double precision by NumPy's default method.
    order = np.argsort(scores.astype(np.float64))[::-1]
    ranked = boxes[order]
    stays = np.ones(len(ranked), dtype=bool)
    places = np.arange(len(ranked)) if len(ranked) <= _ROWS else _by_position(ranked)
    for start in range(0, len(ranked), _ROWS):
        ranks = places[start : start + _ROWS]
        block = ranked[ranks]
        first, last = block[:, :2].min(axis=0), block[:, 2:].max(axis=0)
        near = (ranked[:, :2] < last) & (ranked[:, 2:] > first)
        neighbors = np.flatnonzero(near.all(axis=1))
        intersection, base = _shared(block, ranked[neighbors], measure)
        suppressed = intersection > threshold * base
        stays[ranks] = ~(suppressed & (neighbors < ranks[:, None])).any(axis=1)
    return order[stays]


def _by_position(boxes: Boxes) -> npt.NDArray[np.intp]:
    """Sorts boxes so that neighbors in the order are close to each other, square by square."""
    centers = boxes[:, :2] + boxes[:, 2:]
    side = 2.0 * np.sqrt(_ROWS / len(boxes) * np.prod(np.ptp(centers / 2.0, axis=0) + 1.0))
    row, column = np.floor(centers / side).T
    return np.lexsort((row, column))


def squared(boxes: Boxes) -> Boxes:
    """Returns the smallest squares that cover boxes and share their centers."""
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    side = np.maximum(width, height)
    corner = boxes[:, :2] + 0.5 * np.stack([width - side, height - side], axis=1)
    return np.concatenate([corner, corner + side[:, None]], axis=1)


def moved(boxes: Boxes, offsets: npt.NDArray[np.floating[Any]]) -> Boxes:
    """Returns boxes with their corners moved by a network's offsets."""
    sizes = boxes[:, 2:] - boxes[:, :2] + 1.0
    corners: Boxes = boxes + offsets * np.tile(sizes, 2)
    return corners


def clipped(boxes: Boxes, height: int, width: int) -> Boxes:
    """Clips boxes to an image, between its first and last pixel."""
    last = np.array([width - 1, height - 1, width - 1, height - 1], dtype=np.float64)
    return np.clip(boxes, 0.0, last)


def _shared(first: Boxes, second: Boxes, measure: OverlapMeasure) -> tuple[Boxes, Boxes]:
    """Returns the shared areas of pairs of boxes, and the areas to divide them by."""
    width = np.minimum(first[:, None, 2], second[None, :, 2])
    width -= np.maximum(first[:, None, 0], second[None, :, 0])
    height = np.minimum(first[:, None, 3], second[None, :, 3])
    height -= np.maximum(first[:, None, 1], second[None, :, 1])
    intersection = np.maximum(width, 0.0, out=width)
    intersection *= np.maximum(height, 0.0, out=height)
    areas = _areas(first)[:, None], _areas(second)[None, :]
    if measure == "min":
        return intersection, np.minimum(*areas)
    base = areas[0] + areas[1]
    base -= intersection
    return intersection, base


def _areas(boxes: Boxes) -> npt.NDArray[np.float64]:
    areas: npt.NDArray[np.float64] = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return areas
