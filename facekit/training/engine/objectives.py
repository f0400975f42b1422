"""What a training minimizes, and what it measures on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from facekit.training.losses.distances import Tensor

Statistics: TypeAlias = Callable[[Tensor, Tensor], dict[str, Tensor]]
"""From labels and embeddings to scalars to be reported; ``spread`` is among them."""


class Objective(Protocol):
    """What a training minimizes: from the labels and embeddings of a batch to a loss.

    Every ``keras.losses.Loss`` is one, and a function is enough. It runs inside a compiled training
    step, so it computes with ``keras.ops``.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from keras import ops
        >>> from facekit import Architecture
        >>> from facekit.training import FaceDataset, TripletTrainer
        >>> def apart(labels, embeddings):
        ...     return ops.mean(ops.matmul(embeddings, ops.transpose(embeddings)))
        >>> faces = np.random.default_rng(0).integers(0, 256, (4, 75, 75, 3), dtype=np.uint8)
        >>> trainer = TripletTrainer(
        ...     Architecture(width=0.25, blocks=0.1, input_size=75, embedding_size=8),
        ...     objective=apart, folder=tempfile.mkdtemp(), identities=2, photos=2)
        >>> len(trainer.fit(FaceDataset.from_arrays(faces, ["Ann", "Bob"] * 2), epochs=1))
        1
    """

    def __call__(self, labels: Tensor, embeddings: Tensor, /) -> Tensor:
        """Computes the loss of a batch.

        Args:
            labels: Whose each face is, integers ``(B,)``.
            embeddings: float32 ``(B, d)``, of unit L2 norm.

        Returns:
            The loss, a scalar.
        """
