"""Statistics of a batch for triplet losses."""

from __future__ import annotations

from typing import Any

from keras import ops

from facekit.training.losses.distances import DistanceMetric, Tensor, pairwise_distances, precise
from facekit.training.losses.labels import integer_labels, pair_masks
from facekit.training.losses.miners import active_triplets
from facekit.training.losses.sorting import sorted_rows


def triplet_statistics(
    labels: Any,
    embeddings: Tensor,
    margin: float = 0.2,
    distance_metric: DistanceMetric = "squared-L2",
) -> dict[str, Tensor]:
    """Describes the triplets of a batch.

    Can be used inside a compiled training step on every backend. A share or mean over nothing is 0.

    Args:
        labels: The person of each embedding, ``(B,)`` or ``(B, 1)``: integers, names, or other
            hashable values; in a compiled step integers.
        embeddings: ``(B, d)``.
        margin: By how much a negative should be farther from the anchor than a positive.
        distance_metric: ``"L2"``, ``"squared-L2"``, ``"angular"`` or a function; see
            :func:`~facekit.training.losses.distances.pairwise_distances`.

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
        InvalidArgumentError: If the metric is unknown, or labels or shapes do not match.

    Example:
        >>> from facekit.training.losses.statistics import triplet_statistics
        >>> found = triplet_statistics([0, 0, 1], [[0.0, 0.0], [0.3, 0.0], [0.4, 0.0]], margin=0.1)
        >>> {name: round(float(found[name]), 2) for name in ("triplets", "hard", "semihard")}
        {'triplets': 2.0, 'hard': 0.5, 'semihard': 0.5}

    References:
        F. Schroff, D. Kalenichenko and J. Philbin, "FaceNet", CVPR 2015, section 3.2, for what is
        semi-hard and hard.
    """
    embeddings = precise(embeddings)
    labels = integer_labels(labels, embeddings)
    if embeddings.shape[0] == 0:
        return dict.fromkeys(_NAMES, ops.zeros((), embeddings.dtype))
    distances = ops.stop_gradient(pairwise_distances(embeddings, distance_metric))
    positive, negative = (ops.cast(mask, distances.dtype) for mask in pair_masks(labels))
    triplets = ops.sum(ops.sum(positive, axis=1) * ops.sum(negative, axis=1))
    rows = sorted_rows(labels, distances, negatives_first=True)
    no_farther = ops.cumsum(ops.cast(rows.negative, distances.dtype), axis=1)
    hard = _share(ops.sum(ops.where(rows.positive, no_farther, 0.0)), triplets)
    active = _share(active_triplets(labels, distances, margin).count, triplets)
    easy = ops.where(triplets > 0, 1.0 - ops.maximum(active, hard), 0.0)
    return {
        "triplets": triplets,
        "easy": easy,
        "semihard": ops.maximum(active - hard, 0.0),
        "hard": hard,
        "active": active,
        "positive_distance": _share(ops.sum(positive * distances), ops.sum(positive)),
        "negative_distance": _share(ops.sum(negative * distances), ops.sum(negative)),
        "spread": spread(embeddings),
    }


def spread(embeddings: Tensor) -> Tensor:
    """Returns the mean Euclidean distance from the embeddings to their mean."""
    mean = ops.mean(embeddings, axis=0, keepdims=True)
    return ops.mean(ops.norm(ops.stop_gradient(embeddings - mean), axis=1))


_NAMES = (
    *("triplets", "easy", "semihard", "hard", "active"),
    *("positive_distance", "negative_distance", "spread"),
)


def _share(part: Tensor, whole: Tensor) -> Tensor:
    return part / ops.maximum(whole, 1.0)
