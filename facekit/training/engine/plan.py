"""The plan of a training: trainable layers, objective and learning rate by epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from facekit.training.data.features import StandIn, run_network
from facekit.training.engine.collapse import not_finite
from facekit.training.engine.freezing import set_trainable
from facekit.training.engine.objectives import Objective, Statistics
from facekit.training.engine.precision import Precision, fresh_optimizer
from facekit.training.engine.schedules import Schedule, learning_rate, value_at
from facekit.training.engine.step import TrainingStep
from facekit.training.engine.validation import ValidationResult, validate
from facekit.training.engine.workers import predictor

_VALIDATION_BATCH = 128


class Phase(NamedTuple):
    """The settings of some epochs; where ``trainable`` changes, the optimizer restarts."""

    trainable: str
    objective: Objective


@dataclass(kw_only=True)
class Plan:
    """The plan of a training."""

    network: Any  # the whole network, in which layers are frozen
    # What the steps train: the network, or its head if the backbone's features are kept.
    trained: Any
    # Which layers learn, by the epoch from which on; likewise the next.
    trainable: Mapping[int, str]
    objectives: Mapping[int, Objective]  # what is minimized
    statistics: Statistics  # what else every step measures
    freeze_batch_normalization: bool
    optimizer: Any
    learning_rates: Mapping[int, Any]  # numbers, or Keras schedules
    schedule: Schedule
    warm_up_steps: int
    precision: Precision
    micro_batch: int | None = None
    parts: int = 1  # how many parts of `micro_batch` faces a batch has
    held_out: StandIn | Any = None  # faces to validate on, or `None`
    validation: ValidationResult | None = None  # the result of the last validation
    _predict: Any = field(default=None, init=False)

    def phase(self, epoch: int) -> Phase:
        """Returns the phase of an epoch."""
        return Phase(value_at(self.trainable, epoch), value_at(self.objectives, epoch))

    def new_optimizer(self, phase: Phase) -> Any:
        """Freezes layers that are not trained, and returns an optimizer built for the rest."""
        set_trainable(
            self.network,
            phase.trainable,
            freeze_batch_normalization=self.freeze_batch_normalization,
        )
        return fresh_optimizer(
            self.optimizer,
            self.trained.trainable_variables,
            precision=self.precision,
            parts=self.parts,
        )

    def new_step(self, phase: Phase, optimizer: Any) -> TrainingStep:
        """Returns the step of a phase."""
        return TrainingStep(
            self.trained,
            phase.objective,
            self.statistics,
            optimizer,
            micro_batch=self.micro_batch,
        )

    def learning_rate(self, epoch: int, step: int, steps: int) -> float:
        """Returns the learning rate of a step."""
        return learning_rate(
            value_at(self.learning_rates, epoch),
            step,
            steps,
            schedule=self.schedule,
            warm_up_steps=self.warm_up_steps,
        )

    def validate(self) -> dict[str, float]:
        """Validates the network, if there are faces to validate on, and returns a history's row."""
        if self.held_out is None:
            return {}
        # Kept, so that it is compiled once.
        self._predict = self._predict or predictor(self.trained)
        embeddings = run_network(
            self.trained,
            self.held_out,
            batch_size=self.micro_batch or _VALIDATION_BATCH,
            predict=self._predict,
        )
        if not np.isfinite(embeddings).all():
            raise not_finite("the validation")
        self.validation = validate(embeddings, self.held_out.labels)
        return self.validation.to_row()
