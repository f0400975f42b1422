"""Triplet losses with the arguments and the numbers of ``tensorflow_addons`` 0.23.0.

There is one difference on purpose: a batch without two embeddings of one label, for which
``tensorflow_addons`` returns NaN, has the loss 0 and no gradient.
"""

from __future__ import annotations

from numbers import Number
from typing import Any

import keras
from keras import ops

from facekit.training.losses.distances import (
    DistanceMetric,
    Tensor,
    pairwise_distances,
    precise,
)
from facekit.training.losses.labels import integer_labels
from facekit.training.losses.miners import HardMiner, Miner, mine_semihard
from facekit.utils.validation import number


def triplet_semihard_loss(
    y_true: Any,
    y_pred: Tensor,
    margin: float = 1.0,
    distance_metric: DistanceMetric = "L2",
) -> Tensor:
    """Computes the triplet loss with semi-hard negative mining.

    Every pair of an anchor and a positive is taken with its semi-hard negative: the nearest one
    that is farther from the anchor than the positive is. Where there is none, it is taken with the
    farthest negative. The loss is the mean of max(0, d(a, p) − d(a, n) + margin) over all pairs.

    Args:
        y_true: The person of each embedding, ``(B,)`` or ``(B, 1)``: integers, names, or other
            hashable values; in a compiled model integers.
        y_pred: Embeddings ``(B, d)``, normally of unit L2 norm. float16 and bfloat16 are computed
            in float32.
        margin: By how much a negative should be farther from the anchor than a positive, ≥ 0.
        distance_metric: ``"L2"``, ``"squared-L2"``, ``"angular"`` or a function; see
            :func:`~facekit.training.losses.distances.pairwise_distances`.

    Returns:
        The loss, a scalar of the dtype of ``y_pred``; 0 where no two embeddings have one label, and
        for an empty batch.

    Raises:
        InvalidArgumentError: If an argument has a value that cannot work.

    Example:
        >>> from facekit.training import triplet_semihard_loss
        >>> labels, embeddings = ["Ann", "Ann", "Bob"], [[0.0, 0.0], [0.3, 0.0], [0.5, 0.0]]
        >>> round(float(triplet_semihard_loss(labels, embeddings, margin=0.5)), 3)
        0.45

    References:
        F. Schroff, D. Kalenichenko and J. Philbin, "FaceNet", CVPR 2015, section 3.2;
        ``tensorflow_addons.losses.triplet_semihard_loss``.
    """
    return mined_loss(mine_semihard, y_true, y_pred, margin, distance_metric)


def triplet_hard_loss(
    y_true: Any,
    y_pred: Tensor,
    margin: float = 1.0,
    soft: bool = False,
    distance_metric: DistanceMetric = "L2",
) -> Tensor:
    """Computes the triplet loss with the hardest positive and negative of each anchor.

    The loss is the mean over all anchors of max(0, d(a, p) − d(a, n) + margin) for the farthest
    positive p and the nearest negative n. As in ``tensorflow_addons``, an anchor without a positive
    takes the smallest distance of its row in its place (normally 0, to itself), and one without a
    negative the largest.

    Args:
        y_true: As for :func:`~facekit.training.triplet_semihard_loss`, like the others.
        y_pred: Likewise.
        margin: Likewise.
        soft: Whether to take log(1 + exp(d(a, p) − d(a, n))) instead, which has no margin.
        distance_metric: Likewise.

    Returns:
        The loss, a scalar of the dtype of ``y_pred``; 0 for an empty batch.

    Raises:
        InvalidArgumentError: If an argument has a value that cannot work.

    Example:
        >>> from facekit.training import triplet_hard_loss
        >>> labels, embeddings = [0, 0, 1, 1], [[0.0], [0.3], [0.5], [0.9]]
        >>> round(float(triplet_hard_loss(labels, embeddings, margin=0.1)), 3)
        0.125

    References:
        A. Hermans, L. Beyer and B. Leibe, "In Defense of the Triplet Loss for Person
        Re-Identification", 2017, equation 5; ``tensorflow_addons.losses.triplet_hard_loss``.
    """
    return mined_loss(HardMiner(soft), y_true, y_pred, margin, distance_metric)


def check_margin(margin: object) -> None:
    """Raises an error if the margin is a number that cannot be one; a tensor passes."""
    if margin is None or isinstance(margin, str | bytes | Number):
        number(margin, "margin", 0.0)


def mined_loss(
    miner: Miner, y_true: Any, y_pred: Tensor, margin: float, distance_metric: DistanceMetric
) -> Tensor:
    """Computes the loss that a miner makes of a batch, with the gradient of its weights."""
    check_margin(margin)
    embeddings = precise(y_pred)
    labels = integer_labels(y_true, embeddings)
    distances = pairwise_distances(embeddings, distance_metric)
    if distances.shape[0] == 0:
        value = ops.sum(distances)  # exactly 0, with a gradient of no entries
    else:
        # The gradient of this weighted sum of distances is exact for every kind of mining.
        value, weights = miner(labels, ops.stop_gradient(distances), margin)
        weighted = ops.sum(ops.stop_gradient(weights) * distances)
        # What is added is exactly 0, and NaN if a distance is NaN.
        value = ops.stop_gradient(value) + (weighted - ops.stop_gradient(weighted))
    dtype = keras.backend.standardize_dtype(ops.convert_to_tensor(y_pred).dtype)
    return ops.cast(value, dtype) if dtype in ("float16", "bfloat16") else value


# A model compiled with one of the functions can be saved and loaded.
for _function in (triplet_semihard_loss, triplet_hard_loss):
    keras.saving.register_keras_serializable(package="facekit")(_function)
