"""The precision of a network's computations, and a matching optimizer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

import keras

from facekit.errors import InvalidArgumentError

Precision: TypeAlias = Literal["float32", "mixed_float16", "mixed_bfloat16"]
"""The precision of computations; weights, embeddings and the loss are always float32."""


@contextmanager
def computing_in(precision: Precision) -> Iterator[None]:
    """Lets Keras build layers of a precision within a block, whatever the user has set."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def fresh_optimizer(
    optimizer: Any, variables: Sequence[Any], *, precision: Precision, parts: int
) -> Any:
    """Returns a new optimizer like the one given, which gathers the gradients of some parts."""
    config = optimizer_config(optimizer)
    # The rate is set in every step, also that of a schedule: it counts the steps of the training.
    config["config"]["learning_rate"] = 0.0
    if parts > 1:
        config["config"]["gradient_accumulation_steps"] = parts
    made = keras.optimizers.deserialize(config)
    if precision == "mixed_float16":
        made = keras.optimizers.LossScaleOptimizer(made)
    made.build(variables)
    return made


def optimizer_config(optimizer: Any) -> dict[str, Any]:
    """Returns what Keras makes an equal optimizer from."""
    try:
        config: dict[str, Any] = keras.optimizers.serialize(keras.optimizers.get(optimizer))
    except (ValueError, TypeError) as error:
        raise InvalidArgumentError(
            f"optimizer must be a name that Keras knows or a Keras optimizer, got {optimizer!r}"
        ) from error
    # Keras numbers the names of optimizers in a process; they mean nothing.
    config["config"].pop("name", None)
    return config
