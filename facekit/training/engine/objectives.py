"""What a triplet training minimizes and measures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from facekit.errors import InvalidArgumentError
from facekit.training.engine.backends import Tensor
from facekit.training.losses.losses import (
    facenet_loss,
    triplet_batch_all_loss,
    triplet_hard_loss,
    triplet_semihard_loss,
)
from facekit.training.losses.mining import triplet_statistics

_LOSSES: dict[str, Callable[..., Tensor]] = {
    "batch-all": triplet_batch_all_loss,
    "semihard": triplet_semihard_loss,
    "hard": triplet_hard_loss,
}

FACENET = "facenet"
MINING = (*_LOSSES, FACENET)
"""The ways of choosing triplets in a batch."""


class TripletObjective:
    """A triplet loss and the statistics of its triplets.

    Args:
        mining: One of :data:`MINING`.
        margin: By how much a negative has to be farther than a positive.
        distance_metric: As the losses take it.

    Raises:
        InvalidArgumentError: If there is no such mining.
    """

    def __init__(
        self, mining: str, *, margin: float, distance_metric: str | Callable[[Tensor], Tensor]
    ) -> None:
        if mining not in MINING:
            raise InvalidArgumentError(f"mining must be one of {MINING}, got {mining!r}")
        if mining == FACENET and distance_metric != "squared-L2":
            raise InvalidArgumentError(
                f'mining="{FACENET}" is defined with distance_metric="squared-L2", got '
                f"{distance_metric!r}"
            )
        self._mining = mining
        self._arguments: dict[str, Any] = {"margin": margin, "distance_metric": distance_metric}

    def loss(self, y: Tensor, embeddings: Tensor) -> Tensor:
        """Returns the loss of a batch."""
        if self._mining == FACENET:
            return facenet_loss(y, embeddings, self._arguments["margin"])
        return _LOSSES[self._mining](y, embeddings, **self._arguments)

    def statistics(self, y: Tensor, embeddings: Tensor) -> dict[str, Tensor]:
        """Returns the shares of the triplets, mean distances and spread."""
        return triplet_statistics(y, embeddings, **self._arguments)
