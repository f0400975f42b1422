"""The training loop: epochs, steps, checkpoints, reports and stopping.

Keras' ``fit`` can neither resume in the middle of an epoch nor delay a checkpoint until the next
step has shown that it is good.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from facekit.errors import InvalidArgumentError, TrainingError
from facekit.training.data.batches import SeededBatches
from facekit.training.engine.checkpoints import Checkpoint, Progress, Snapshot
from facekit.training.engine.collapse import CollapseGuard
from facekit.training.engine.history import History
from facekit.training.engine.plan import Phase, Plan
from facekit.training.engine.workers import Workers
from facekit.utils.progress import track

CHECKPOINT_NAME = "checkpoint.safetensors"
EMBEDDER_NAME = "embedder.safetensors"
HISTORY_NAME = "history.csv"
PLOT_NAME = "history.png"

# Drawing takes a second, as long as an epoch of a head alone.
_SECONDS_BETWEEN_PLOTS = 60.0


@dataclass(kw_only=True)
class TrainingLoop:
    """Trains a network, with everything needed to resume in a folder."""

    batches: SeededBatches
    plan: Plan
    guard: CollapseGuard
    folder: Path
    settings: dict[str, Any]  # must be the same for a training to go on
    workers: Workers
    checkpoint_interval: float

    def __post_init__(self) -> None:
        self._path = self.folder / CHECKPOINT_NAME
        self._unconfirmed: Snapshot | None = None
        self._snapshot_at = 0.0
        self._plotted_at = time.monotonic()
        self._callbacks: Any = None

    def run(
        self,
        epochs: int,
        *,
        resume: bool,
        progress: bool = True,
        callbacks: Sequence[Any] = (),
    ) -> History:
        """Trains up to an epoch, those before a resumption included, and returns the history."""
        state = self._start(resume)
        self._callbacks = keras.callbacks.CallbackList(
            list(callbacks), model=self._step.model, epochs=epochs, steps=len(self.batches)
        )
        self._callbacks.on_train_begin()
        try:
            while state.epoch < epochs and not self._step.model.stop_training:
                self._train_epoch(state, epochs, progress=progress)
                self._finish_epoch(state, epochs)
            self._confirm()
        except TrainingError as error:
            if state.rows:
                self._plot(state)
            self.workers.agreed(state.step)  # the first has written its last checkpoint
            kept = Checkpoint(self._path)
            kept.restore("network", self.plan.trained.variables)
            at = f"epoch {kept.progress.epoch + 1}, step {kept.progress.step}"
            raise type(error)(
                f"{error}. The last good checkpoint is kept: {self._path} ({at})"
            ) from error
        self._plot(state)
        stopped = self._step.model.stop_training
        if stopped and state.epoch < epochs:
            self._finalize()
        self._callbacks.on_train_end()
        if stopped:
            # EarlyStopping may have given back the weights of another epoch.
            self.plan.validate()
        return History(state.rows)

    def _start(self, resume: bool) -> Progress:
        exists = bool(self.workers.agreed(self._path.exists()))
        if exists and not resume:
            raise InvalidArgumentError(
                f"folder {self.folder} already holds a training; resume it (resume=True), "
                "or give another folder"
            )
        if not exists:
            if self.workers.agreed((self.folder / EMBEDDER_NAME).exists()):
                raise InvalidArgumentError(
                    f"folder {self.folder} holds an {EMBEDDER_NAME}, which this training would "
                    "overwrite; give another folder"
                )
            state = Progress()
            self._begin_phase(self.plan.phase(0))
            measured = self.plan.validate()
            if measured:
                self._add_row(state, {"epoch": 0, **measured})
            self._take_snapshot(state)
            self._confirm()
            return state
        checkpoint = Checkpoint(self._path)
        self._check_settings(checkpoint.settings)
        state = checkpoint.progress
        if self.workers.agreed(state.step) != state.step:
            raise InvalidArgumentError(
                f"{self._path} is not the checkpoint that the first process has (step "
                f"{state.step}); all processes need the same folder"
            )
        self._begin_phase(self.plan.phase(state.trained_epoch))
        checkpoint.restore("network", self.plan.trained.variables)
        checkpoint.restore("optimizer", self._optimizer.variables)
        return state

    def _check_settings(self, found: Mapping[str, Any]) -> None:
        differing = sorted(
            name for name in {*found, *self.settings} if found.get(name) != self.settings.get(name)
        )
        if differing:
            name = differing[0]
            raise InvalidArgumentError(
                f"{self._path} was made with other settings, so it cannot be resumed: "
                f"{', '.join(differing)} (for instance {name}={found.get(name)!r}, now "
                f"{self.settings.get(name)!r})"
            )

    def _begin_phase(self, phase: Phase, before: Phase | None = None) -> None:
        if before is None or before.trainable != phase.trainable:
            self._optimizer = self.plan.new_optimizer(phase)
        self._step = self.plan.new_step(phase, self._optimizer)

    def _train_epoch(self, state: Progress, epochs: int, *, progress: bool) -> None:
        before, phase = self.plan.phase(state.trained_epoch), self.plan.phase(state.epoch)
        if before != phase:
            self._begin_phase(phase, before)
            self._callbacks.set_model(self._step.model)
        state.trained_epoch = state.epoch
        self.batches.epoch = state.epoch
        count = len(self.batches)
        self._snapshot_at = time.monotonic()
        self._callbacks.on_epoch_begin(state.epoch)
        remaining = self.batches.read(state.batch)
        title = f"Epoch {state.epoch + 1}/{epochs}"
        shown = progress and self.workers.first
        for x, y in track(remaining, title, total=count - state.batch, shown=shown):
            self._callbacks.on_train_batch_begin(state.batch)
            self._optimizer.learning_rate = self.plan.learning_rate(
                state.epoch, state.step, epochs * count
            )
            measured = self._step(x, y)
            self._callbacks.on_train_batch_end(state.batch, measured)
            state.step += 1
            state.batch += 1
            self.guard.check(measured, f"epoch {state.epoch + 1}, step {state.step}")
            self._confirm()
            for name, value in measured.items():
                state.sums[name] = state.sums.get(name, 0.0) + value
            due = time.monotonic() - self._snapshot_at >= self.checkpoint_interval
            if due and state.batch < count:
                self._take_snapshot(state)

    def _finish_epoch(self, state: Progress, epochs: int) -> None:
        if state.epoch + 1 == epochs:
            self._finalize()
        row = {
            "epoch": state.epoch + 1,
            **{name: total / state.batch for name, total in state.sums.items()},
            "learning_rate": float(self._optimizer.learning_rate),
            **self.plan.validate(),
        }
        state.epoch, state.batch, state.sums = state.epoch + 1, 0, {}
        self._add_row(state, row)
        self._take_snapshot(state)
        logs = {name: value for name, value in row.items() if name != "epoch"}
        self._callbacks.on_epoch_end(state.epoch - 1, logs)

    def _finalize(self) -> None:
        # As Keras' own fit does: an optimizer that averages the weights gives the average.
        self._optimizer.finalize_variable_values(self.plan.trained.trainable_variables)

    def _add_row(self, state: Progress, row: dict[str, float]) -> None:
        # Not Keras' CSVLogger: a training killed after a row was appended would append it again.
        state.rows.append(row)
        if not self.workers.first:
            return
        History(state.rows).to_csv(self.folder / HISTORY_NAME)
        if time.monotonic() - self._plotted_at >= _SECONDS_BETWEEN_PLOTS:
            self._plot(state)

    def _plot(self, state: Progress) -> None:
        if not self.workers.first:
            return
        History(state.rows).plot(self.folder / PLOT_NAME)
        self._plotted_at = time.monotonic()

    def _take_snapshot(self, state: Progress) -> None:
        if not self.workers.first:
            return
        self._unconfirmed = Snapshot(
            state, self.settings, network=self.plan.trained, optimizer=self._optimizer
        )
        self._snapshot_at = time.monotonic()

    def _confirm(self) -> None:
        """Writes the last snapshot, unless a later step was suspicious."""
        # A step measures the network as it was before: a ruined one shows in the next step.
        if self._unconfirmed is not None and not self.guard.suspicious:
            self._unconfirmed.write(self._path)
        self._unconfirmed = None
