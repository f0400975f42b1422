"""The value and the gradient of a loss on whichever backend Keras runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np


def loss_and_gradient(
    loss: Callable[[Any, Any], Any], labels: Any, embeddings: Any, dtype: str = "float32"
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the loss of embeddings, and its derivative by them, both as float64."""
    labels = np.asarray(labels)
    embeddings = keras.ops.cast(keras.ops.convert_to_tensor(np.asarray(embeddings)), dtype)
    value, gradient = _BACKENDS[keras.backend.backend()](loss, labels, embeddings)
    return tuple(_array(x) for x in (value, gradient))


def _array(tensor: Any) -> np.ndarray:
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    wide = tensor if dtype == "float64" else keras.ops.cast(tensor, "float32")
    return keras.ops.convert_to_numpy(wide).astype(np.float64)


def _tensorflow(loss: Callable[[Any, Any], Any], labels: Any, embeddings: Any) -> tuple[Any, Any]:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        value = loss(labels, embeddings)
    return value, tape.gradient(value, embeddings)


def _jax(loss: Callable[[Any, Any], Any], labels: Any, embeddings: Any) -> tuple[Any, Any]:
    import jax

    return jax.value_and_grad(lambda x: loss(labels, x))(embeddings)


def _torch(loss: Callable[[Any, Any], Any], labels: Any, embeddings: Any) -> tuple[Any, Any]:
    embeddings = embeddings.detach().clone().requires_grad_()
    value = loss(labels, embeddings)
    value.backward()
    return value.detach(), embeddings.grad


_BACKENDS = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
