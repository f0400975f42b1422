"""The objective of a training, and the statistics it measures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from facekit.training.losses.distances import Tensor

Statistics: TypeAlias = Callable[[Tensor, Tensor], dict[str, Tensor]]
"""From labels and embeddings to scalars to be reported; ``spread`` is among them."""


class Objective(Protocol):
    """The objective of a training: computes a loss from the labels and embeddings of a batch.

    Any ``keras.losses.Loss`` or function works. It runs inside a compiled training step, so it must
    use ``keras.ops``.

    Example:
        >>> from keras import ops
        >>> from facekit import Architecture
        >>> from facekit.training import TripletTrainer
        >>> def apart(labels, embeddings):
        ...     return ops.mean(ops.matmul(embeddings, ops.transpose(embeddings)))
        >>> trainer = TripletTrainer(Architecture(), objective=apart, folder="runs/apart")
        >>> float(trainer.objective(["Ann", "Bob"], [[1.0, 0.0], [0.0, 1.0]]))
        0.5
    """

    def __call__(self, labels: Tensor, embeddings: Tensor, /) -> Tensor:
        """Computes the loss of a batch.

        Args:
            labels: The person of each face, integers ``(B,)``.
            embeddings: float32 ``(B, d)``, of unit L2 norm.

        Returns:
            The loss, a scalar.
        """
