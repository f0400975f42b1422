"""The matrix of distances within a batch, from which mining and losses are computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import keras
from keras import ops

from facekit.errors import InvalidArgumentError

Tensor: TypeAlias = Any

DistanceMetric: TypeAlias = Literal["L2", "squared-L2", "angular"] | Callable[[Tensor], Tensor]
"""The name of a distance, or a function from embeddings ``(n, d)`` to distances ``(n, n)``."""

METRICS = ("L2", "squared-L2", "angular")
"""The named distances."""

# Below this squared norm an embedding has no direction; the same bound as in tensorflow-addons.
_SMALLEST_SQUARED_NORM = 1e-12


def pairwise_distances(embeddings: Tensor, metric: DistanceMetric = "L2") -> Tensor:
    """Computes the distance of every embedding of a batch to every other.

    The gradient is exact, and it is finite everywhere: it is zero where there is none, for the
    Euclidean distance between equal embeddings and the angle of an embedding of zeros.

    Args:
        embeddings: ``(n, d)``, of any floating-point dtype. float16 and bfloat16 are computed in
            float32.
        metric: ``"L2"`` is the Euclidean distance; ``"squared-L2"`` its square; ``"angular"``
            1 − cos of the angle, from 0 to 2, and 1 to an embedding of zeros. A function is called
            with the embeddings and returns the matrix.

    Returns:
        The distances, ``(n, n)``; row a holds those from a. float32, or float64 for float64.

    Raises:
        InvalidArgumentError: If the metric is unknown, or the embeddings are not a matrix of real
            numbers.

    Example:
        >>> from facekit.training.losses.distances import pairwise_distances
        >>> distances = pairwise_distances([[0.0, 0.0], [3.0, 4.0]])
        >>> [[float(x) for x in row] for row in distances]
        [[0.0, 5.0], [5.0, 0.0]]
    """
    check_metric(metric)
    embeddings = precise(embeddings)
    if callable(metric):
        return ops.convert_to_tensor(metric(embeddings))
    if metric == "angular":
        return _angular(embeddings)
    return _euclidean(embeddings, squared=metric == "squared-L2")


def check_metric(metric: object) -> None:
    """Raises an error unless the metric is a known name or a function."""
    if not callable(metric) and metric not in METRICS:
        names = ", ".join(repr(name) for name in METRICS)
        raise InvalidArgumentError(
            f"distance_metric must be {names} or a function of the embeddings, got {metric!r}"
        )


def precise(embeddings: Tensor) -> Tensor:
    """Returns embeddings ``(n, d)`` as float32, or as float64 where they come as that."""
    embeddings = real_tensor(embeddings)
    if len(embeddings.shape) != 2:
        raise InvalidArgumentError(
            f"embeddings must have the shape (n, d), got {tuple(embeddings.shape)}"
        )
    if keras.backend.standardize_dtype(embeddings.dtype) == "float64":
        return embeddings
    return ops.cast(embeddings, "float32")


def real_tensor(embeddings: Any) -> Tensor:
    """Returns embeddings as a tensor of their own dtype, which must be one of real numbers."""
    try:
        tensor = ops.convert_to_tensor(embeddings)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(f"embeddings must be an array of numbers ({error})") from error
    kind = str(tensor.dtype)  # a cast would drop imaginary parts
    if "float" not in kind and "int" not in kind:
        raise InvalidArgumentError(
            f"embeddings must hold real numbers, got a tensor of type {kind}"
        )
    return tensor


def _euclidean(embeddings: Tensor, *, squared: bool) -> Tensor:
    # The squared norms come from the same product as the rest, so that they are rounded alike and
    # equal embeddings have the distance zero.
    distances = ops.matmul(-2.0 * embeddings, ops.transpose(embeddings))
    norms = -0.5 * ops.diagonal(distances)
    distances = distances + norms[:, None] + norms[None, :]
    # A NaN is not equal to anything, so that it stays in the matrix and is noticed.
    equal = ops.logical_or(distances <= 0.0, diagonal(embeddings))
    if not squared:
        # The square root has no gradient at zero, and what is not taken must not be NaN either.
        distances = ops.sqrt(ops.where(equal, 1.0, distances))
    return ops.where(equal, 0.0, distances)


def _angular(embeddings: Tensor) -> Tensor:
    norms = ops.sum(ops.square(embeddings), axis=1, keepdims=True)
    none = norms < _SMALLEST_SQUARED_NORM
    units = ops.where(none, 0.0, embeddings * ops.rsqrt(ops.where(none, 1.0, norms)))
    return ops.maximum(1.0 - ops.matmul(units, ops.transpose(units)), 0.0)


def diagonal(rows: Tensor) -> Tensor:
    """Returns ``(n, n)`` for n rows: true on the diagonal."""
    index = ops.arange(ops.shape(rows)[0])
    return index[:, None] == index[None, :]
