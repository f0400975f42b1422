"""What changes while a training goes on: values by epoch, and the learning rate by step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, TypeAlias, TypeVar, get_args

from facekit.errors import InvalidArgumentError

Value = TypeVar("Value")

Schedule: TypeAlias = Literal["constant", "cosine"]
"""How the learning rate goes on after its warm-up. It stays as it is, or falls to zero."""


def by_epoch(name: str, value: Value | Mapping[int, Value]) -> dict[int, Value]:
    """Returns a value, or values that each hold from an epoch on, as a mapping from epoch 0 on.

    Args:
        name: The argument's name, for the error.
        value: One value, or values by the number of the epoch, from 0, that they begin with.

    Returns:
        The values by the epoch that they begin with, in order.

    Raises:
        InvalidArgumentError: If there is no value for epoch 0, or a key is no epoch.

    Example:
        >>> from facekit.training.engine.schedules import by_epoch
        >>> by_epoch("mining", "semihard")
        {0: 'semihard'}
        >>> by_epoch("mining", {2: "semihard", 0: "batch-all"})
        {0: 'batch-all', 2: 'semihard'}
    """
    if not isinstance(value, Mapping):
        return {0: value}
    if not value or any(isinstance(key, bool) or not isinstance(key, int) for key in value):
        raise InvalidArgumentError(
            f"{name} by epoch must have whole numbers as keys, got {list(value)}"
        )
    if min(value) != 0:
        raise InvalidArgumentError(f"{name} by epoch must begin with epoch 0, got {sorted(value)}")
    return {epoch: value[epoch] for epoch in sorted(value)}


def value_at(values: Mapping[int, Value], epoch: int) -> Value:
    """Returns the value that holds in an epoch.

    Args:
        values: Values by the epoch that they begin with, of :func:`by_epoch`.
        epoch: The epoch, from 0.

    Example:
        >>> from facekit.training.engine.schedules import value_at
        >>> [value_at({0: "head", 2: "all"}, epoch) for epoch in range(4)]
        ['head', 'head', 'all', 'all']
    """
    return values[max(start for start in values if start <= epoch)]


def check_schedule(schedule: str, warm_up_steps: int) -> None:
    """Checks the arguments of :func:`learning_rate_factor`.

    Raises:
        InvalidArgumentError: If one lies outside its range.
    """
    if schedule not in get_args(Schedule):
        raise InvalidArgumentError(
            f"schedule must be one of {get_args(Schedule)}, got {schedule!r}"
        )
    if isinstance(warm_up_steps, bool) or not isinstance(warm_up_steps, int) or warm_up_steps < 0:
        raise InvalidArgumentError(
            f"warm_up_steps must be a whole number, zero or more, got {warm_up_steps!r}"
        )


def learning_rate_factor(
    step: int, steps: int, *, schedule: Schedule = "cosine", warm_up_steps: int = 0
) -> float:
    """Returns what the learning rate is multiplied by in a step.

    It rises linearly over the warm-up, and then stays at 1 or falls along half a cosine to 0.

    Args:
        step: The step, from 0.
        steps: How many steps there are in all.
        schedule: ``"constant"`` or ``"cosine"``.
        warm_up_steps: How many steps the rise takes.

    Returns:
        The factor, in [0, 1].

    Example:
        >>> from facekit.training.engine.schedules import learning_rate_factor
        >>> [round(learning_rate_factor(s, 8, warm_up_steps=2), 2) for s in range(0, 8)]
        [0.5, 1.0, 1.0, 0.93, 0.75, 0.5, 0.25, 0.07]

    References:
        I. Loshchilov and F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR
        2017, equation 5, without restarts.
    """
    if step < warm_up_steps:
        return (step + 1) / warm_up_steps
    if schedule == "constant":
        return 1.0
    progress = (step - warm_up_steps) / max(1, steps - warm_up_steps)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
