"""Training on several devices or processes, as far as Keras' distribution leaves it to a trainer.

Keras divides each batch among the devices and keeps the weights equal on all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from facekit.errors import InvalidArgumentError


@dataclass(frozen=True)
class Workers:
    """The processes of a training, and which of them this one is."""

    index: int = 0  # the number of this process, from 0; the first one writes
    count: int = 1  # how many processes there are
    devices: int = 1  # how many devices they have in all

    @classmethod
    def current(cls) -> Workers:
        """Returns those of ``keras.distribution``, or this process alone if none is set."""
        distribution = keras.distribution.distribution()
        if distribution is None:
            return cls()
        if keras.backend.backend() != "jax":
            raise InvalidArgumentError(
                "training on several devices needs the JAX backend (KERAS_BACKEND=jax), got "
                f"{keras.backend.backend()}"
            )
        if not isinstance(distribution, keras.distribution.DataParallel):
            raise InvalidArgumentError(
                "trainers run under keras.distribution.DataParallel, got "
                f"{type(distribution).__name__}"
            )
        import jax

        return cls(jax.process_index(), jax.process_count(), distribution.num_model_replicas)

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.index == 0

    def check(self, batch_size: int, *, in_parts: bool, features: bool) -> None:
        """Raises an InvalidArgumentError if a training cannot be divided among the devices."""
        if self.devices == 1:
            return
        if batch_size % self.devices:
            raise InvalidArgumentError(
                f"the {self.devices} devices must divide the batch of {batch_size} faces"
            )
        if in_parts:
            raise InvalidArgumentError(
                "micro_batch is for one device; on several, each has a part of the batch already"
            )
        if features:
            raise InvalidArgumentError(
                'trainable="head" without augmentation trains one layer on features that are '
                "computed once: use one device, or an augmentation"
            )

    def agreed(self, value: int) -> int:
        """Returns the value that the first process has; all processes wait here for each other."""
        if self.count == 1:
            return value
        from jax.experimental import multihost_utils

        return int(multihost_utils.broadcast_one_to_all(np.int32(value)))


def predictor(network: Any) -> Callable[[Any], Any]:
    """Returns what runs a network in inference on a batch, without the other devices."""
    if keras.distribution.distribution() is None:
        return network.predict_on_batch  # type: ignore[no-any-return]
    import jax

    run = jax.jit(lambda *state_and_x: network.stateless_call(*state_and_x, training=False)[0])

    def predict(x: Any) -> Any:
        state = [
            [variable.value.addressable_data(0) for variable in variables]
            for variables in (network.trainable_variables, network.non_trainable_variables)
        ]
        return np.asarray(run(*state, x))

    return predict
