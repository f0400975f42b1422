"""The only place where training uses TensorFlow, JAX or PyTorch directly: Keras has no gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

Tensor: TypeAlias = Any
Loss: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, dict[str, Tensor]]]
"""From ``y`` and embeddings to the loss and other values."""


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function of tensors without gradient, compiled where the backend compiles."""
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.function(function, autograph=False)  # type: ignore[no-any-return]
    if backend == "jax":
        import jax

        return jax.jit(function)  # type: ignore[no-any-return]
    import torch

    return torch.no_grad()(function)  # type: ignore[no-any-return]


def with_gradient(
    loss: Loss,
) -> Callable[[Tensor, Tensor], tuple[Tensor, dict[str, Tensor], Tensor]]:
    """Returns a function for a loss, its other values, and its gradient by the embeddings."""
    import keras

    backends = {"tensorflow": _with_tensorflow, "jax": _with_jax, "torch": _with_torch}
    return backends[keras.backend.backend()](loss)


def _with_tensorflow(loss: Loss) -> Callable[..., Any]:
    import tensorflow as tf

    def run(y: Tensor, embeddings: Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            value, others = loss(y, embeddings)
        return value, others, tape.gradient(value, embeddings)

    return tf.function(run, autograph=False)  # type: ignore[no-any-return]


def _with_jax(loss: Loss) -> Callable[..., Any]:
    import jax

    def run(y: Tensor, embeddings: Tensor) -> Any:
        by_embeddings = jax.value_and_grad(lambda x: loss(y, x), has_aux=True)
        (value, others), gradient = by_embeddings(embeddings)
        return value, others, gradient

    return jax.jit(run)  # type: ignore[no-any-return]


def _with_torch(loss: Loss) -> Callable[..., Any]:
    import torch

    def run(y: Tensor, embeddings: Tensor) -> Any:
        variable = embeddings.detach().requires_grad_(True)
        with torch.enable_grad():
            value, others = loss(y, variable)
            (gradient,) = torch.autograd.grad(value, variable)
        return value.detach(), {name: other.detach() for name, other in others.items()}, gradient

    return run
