"""Detects a failed training: NaN, or all embeddings collapsed to one point."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from facekit.errors import TrainingError

_SMALLEST_SPREAD = 1e-2
_LOWER_THE_RATE = "use a lower learning rate or a longer warm-up (warm_up_steps)"


@dataclass
class CollapseGuard:
    """Stops a training that failed: at once if not finite, or after suspicious steps in a row."""

    # If all embeddings coincide, every distance is zero, a triplet loss is exactly the margin (None
    # for a loss without one), and its gradient is zero: training stands still.

    margin: float | None
    patience: int = 50
    suspicious_steps: int = field(default=0, init=False)

    @property
    def suspicious(self) -> bool:
        """Whether the last step was suspicious, so that no checkpoint should be kept."""
        return self.suspicious_steps > 0

    def check(self, step: Mapping[str, float], where: str) -> None:
        """Checks the measurements of a step."""
        if not (math.isfinite(step["loss"]) and math.isfinite(step["spread"])):
            raise not_finite(where)
        signs = self._signs(step)
        self.suspicious_steps = self.suspicious_steps + 1 if signs else 0
        if self.suspicious_steps >= self.patience:
            raise TrainingError(
                f"the embeddings collapsed: for {self.patience} steps up to {where}, "
                f"{' and '.join(signs)}. {_LOWER_THE_RATE[0].upper()}{_LOWER_THE_RATE[1:]}, or "
                'start with easier triplets: miner={0: "batch-all", 2: "semihard"} instead of '
                '"hard"'
            )

    def _signs(self, step: Mapping[str, float]) -> list[str]:
        signs = []
        if step["spread"] < _SMALLEST_SPREAD:
            signs.append(f"their spread was below {_SMALLEST_SPREAD:g}")
        if self.margin is not None:
            stuck = abs(step["loss"] - self.margin) <= 1e-3 * self.margin
            apart = step.get("negative_distance", 0.0) - step.get("positive_distance", 0.0)
            if stuck and apart <= 1e-2 * self.margin:
                signs.append(f"the loss equaled the margin of {self.margin:g}")
        return signs


def not_finite(where: str) -> TrainingError:
    """Returns the error for a network that computes NaN or infinite values."""
    return TrainingError(
        f"the loss or the embeddings became NaN or infinite at {where}; {_LOWER_THE_RATE}, "
        'limit the gradient (an optimizer with clipnorm=1.0), or use precision="float32"'
    )
