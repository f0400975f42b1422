"""What changes during a training: values by epoch, and the learning rate by step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, TypeVar

import keras

from facekit.errors import InvalidArgumentError
from facekit.utils.validation import number, whole

Value = TypeVar("Value")

Schedule: TypeAlias = Literal["constant", "cosine"]
"""How the learning rate goes on after its warm-up. It stays as it is, or falls to zero."""


def by_epoch(name: str, value: Any) -> dict[int, Any]:
    """Returns values by the epoch from which on they hold, of one value or a mapping."""
    if not isinstance(value, Mapping):
        return {0: value}
    epochs = [whole(key, f"the epoch of a value of {name}", least=0) for key in value]
    if 0 not in epochs:
        raise InvalidArgumentError(f"{name} by epoch must begin with epoch 0, got {sorted(epochs)}")
    return {epoch: value[epoch] for epoch in sorted(epochs)}


def value_at(values: Mapping[int, Value], epoch: int) -> Value:
    """Returns the value that holds in an epoch, of those that :func:`by_epoch` returned."""
    return values[max(start for start in values if start <= epoch)]


def check_learning_rate(rate: object) -> None:
    """Raises an error unless it is a positive number, a Keras schedule, or ``None``."""
    if rate is not None and not isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        number(rate, "learning_rate", above=0.0)


def learning_rate(
    rate: Any, step: int, steps: int, *, schedule: Schedule, warm_up_steps: int
) -> float:
    """Returns the learning rate of a step, by one of Keras' schedules."""
    # The cosine is equation 5 of I. Loshchilov and F. Hutter, "SGDR: Stochastic Gradient Descent
    # with Warm Restarts", ICLR 2017, without restarts.
    if not isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        rate = keras.optimizers.schedules.CosineDecay(
            rate / max(warm_up_steps, 1),
            decay_steps=max(steps - warm_up_steps, 1),
            alpha=1.0 if schedule == "constant" else 0.0,
            warmup_target=rate if warm_up_steps else None,
            warmup_steps=warm_up_steps,
        )
    return float(rate(step))
