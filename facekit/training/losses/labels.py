"""Converts labels, such as names, to integers."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from facekit.errors import InvalidArgumentError
from facekit.training.losses.distances import Tensor, diagonal


def integer_labels(labels: Any, embeddings: Tensor) -> Tensor:
    """Returns labels as numbers ``(B,)``, one for each embedding; equal labels, equal numbers."""
    if not ops.is_tensor(labels):
        labels = ops.convert_to_tensor(_numbered(labels))
    elif keras.backend.standardize_dtype(labels.dtype) == "string":
        raise InvalidArgumentError(
            "labels in a compiled model must be integers, got strings; use "
            "numpy.unique(labels, return_inverse=True)[1]"
        )
    shape, size = tuple(labels.shape), embeddings.shape[0]
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


def pair_masks(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Returns whether [a, p] is another embedding of a's label, and [a, n] one of another label."""
    same = labels[:, None] == labels[None, :]
    return ops.logical_and(same, ops.logical_not(diagonal(labels))), ops.logical_not(same)


def _numbered(labels: Any) -> npt.NDArray[np.int32]:
    try:
        values = np.asarray(labels)
        numbers: dict[Any, int] = {}
        found = [numbers.setdefault(value, len(numbers)) for value in values.ravel().tolist()]
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(
            f"labels must be integers, strings or other hashable values ({error})"
        ) from error
    if any(value is None or value != value for value in numbers):
        raise InvalidArgumentError("labels must name the person of each embedding, got None or NaN")
    return np.array(found, dtype=np.int32).reshape(values.shape)
