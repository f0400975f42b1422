"""The base of all trainers: start, steps and saved files."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple, get_args

import keras

from facekit.alignment import Aligner
from facekit.embedding import Architecture, Embedder, build_network
from facekit.embedding.networks.folding import assign, layer_weights
from facekit.errors import InvalidArgumentError, NotFittedError
from facekit.io.files import without_nul
from facekit.training.data.augmentation import Augmentation
from facekit.training.data.batches import SeededBatches
from facekit.training.data.dataset import FaceDataset
from facekit.training.data.features import digest_of, features_of, split_head
from facekit.training.engine.collapse import CollapseGuard
from facekit.training.engine.freezing import ALL, HEAD
from facekit.training.engine.history import History
from facekit.training.engine.loop import EMBEDDER_NAME, TrainingLoop
from facekit.training.engine.objectives import Objective, Statistics
from facekit.training.engine.plan import Plan
from facekit.training.engine.precision import Precision, computing_in, optimizer_config
from facekit.training.engine.schedules import Schedule, by_epoch, check_learning_rate
from facekit.training.engine.step import parts_of
from facekit.training.engine.validation import ValidationResult
from facekit.training.engine.workers import Workers
from facekit.utils.validation import choice, number, whole

# Settings that may change at a resumption without changing the results.
_FREE_SETTINGS = {"network", "folder", "checkpoint_interval", "workers"}


class FitArguments(NamedTuple):
    """The arguments of ``fit`` other than the faces."""

    epochs: int
    resume: bool
    progress: bool
    callbacks: Sequence[Any]


@dataclass(kw_only=True, eq=False)
class Trainer:
    """The base of the trainers; :class:`facekit.training.TripletTrainer` has the arguments."""

    start: Architecture | Embedder = field(kw_only=False)
    folder: str | os.PathLike[str]
    network: Any = None
    embedding_size: int | None = None
    dropout: float | None = None
    aligner: Aligner | None = None
    augmentation: Augmentation | None = field(default_factory=Augmentation)
    trainable: str | Mapping[int, str] = ALL
    optimizer: Any = "adam"
    learning_rate: Any = None
    schedule: Schedule = "cosine"
    warm_up_steps: int = 0
    precision: Precision = "float32"
    patience: int = 50
    checkpoint_interval: float = 60.0
    workers: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.start, Architecture | Embedder):
            raise InvalidArgumentError(
                f"start must be an Architecture or an Embedder, got {self.start!r}"
            )
        if isinstance(self.start, Embedder) and self.network is not None:
            raise InvalidArgumentError(
                "network needs an Architecture; an Embedder has its own weights"
            )
        if isinstance(self.start, Architecture) and (self.embedding_size, self.dropout) != (
            None,
            None,
        ):
            raise InvalidArgumentError(
                "embedding_size and dropout need an Embedder; an Architecture has its own"
            )
        if self._aligner().size != self.start.input_size:
            # Detected only when the embedder is saved, this would waste the whole training.
            raise InvalidArgumentError(
                f"aligner gives faces of side {self._aligner().size}, the network reads "
                f"{self.start.input_size}"
            )
        by_epoch("trainable", self.trainable)
        for rate in by_epoch("learning_rate", self.learning_rate).values():
            check_learning_rate(rate)
        optimizer_config(self.optimizer)
        choice(self.schedule, "schedule", get_args(Schedule))
        whole(self.warm_up_steps, "warm_up_steps", least=0)
        choice(self.precision, "precision", get_args(Precision))
        whole(self.patience, "patience", least=1)
        whole(self.workers, "workers", least=1)
        whole(self.seed, "seed", least=0)
        number(self.checkpoint_interval, "checkpoint_interval", 0.0)

    def embedder(self, name: str | None = None) -> Embedder:
        """Returns the trained network as an embedder, with the thresholds of the validation.

        Args:
            name: The name of the weights; the folder's name by default.

        Raises:
            NotFittedError: If nothing has been trained yet.
            InvalidArgumentError: If ``aligner`` makes images of another size than the network
                reads.
        """
        if not hasattr(self, "network_"):
            raise NotFittedError("this trainer has not trained yet; call fit first")
        validation = self.validation_
        return Embedder.from_network(
            self.network_,
            self.architecture_,
            name=name or Path(self.folder).resolve().name,
            alignment=self._aligner(),
            thresholds=validation.thresholds if validation else None,
        )

    @property
    def validation_(self) -> ValidationResult | None:
        """The result of the last validation, or ``None`` without one."""
        return self._plan.validation if hasattr(self, "_plan") else None

    @property
    def _on_features(self) -> bool:
        """Whether the backbone runs once for each face, and the head is trained on its features."""
        always = set(by_epoch("trainable", self.trainable).values())
        return always == {HEAD} and self.augmentation is None

    def _aligner(self) -> Aligner:
        if self.aligner is not None:
            return self.aligner
        if isinstance(self.start, Embedder):
            return self.start.aligner()
        return Aligner(self.start.input_size)

    def _run(
        self,
        batches: SeededBatches,
        validation: FaceDataset | None,
        run: FitArguments,
        *,
        objectives: Mapping[int, Objective],
        statistics: Statistics,
        margin: float | None,
        micro_batch: int | None = None,
        network: Any = None,
    ) -> History:
        """Trains on batches, with the parts that differ between trainers."""
        whole(run.epochs, "epochs", least=1)
        workers, size = Workers.current(), len(batches.rows(0, 0))
        workers.check(size, in_parts=micro_batch is not None, features=self._on_features)
        batches.part = (workers.index, workers.count)
        self._make_folder()
        folder = Path(self.folder)
        settings = self._settings(batches.dataset)
        self.network_, self.architecture_ = self._build(
            self.network if network is None else network
        )
        trained: Any = self.network_
        held_out: Any = validation
        if self._on_features:
            backbone, trained = split_head(self.network_)
            features: Any = features_of(backbone, batches.dataset, folder, progress=run.progress)
            batches.dataset = features
            if validation is not None:
                held_out = features_of(backbone, validation, folder, progress=run.progress)
        plan = Plan(
            network=self.network_,
            trained=trained,
            trainable=by_epoch("trainable", self.trainable),
            objectives=objectives,
            statistics=statistics,
            freeze_batch_normalization=isinstance(self.start, Embedder),
            optimizer=self.optimizer,
            learning_rates=self._learning_rates(),
            schedule=self.schedule,
            warm_up_steps=self.warm_up_steps,
            precision=self.precision,
            micro_batch=micro_batch,
            parts=parts_of(size, micro_batch),
            held_out=held_out,
        )
        loop = TrainingLoop(
            batches=batches,
            plan=plan,
            guard=CollapseGuard(margin, patience=self.patience),
            folder=folder,
            settings=settings,
            workers=workers,
            checkpoint_interval=self.checkpoint_interval,
        )
        self._plan = plan
        self.history_ = loop.run(
            run.epochs,
            resume=run.resume,
            progress=run.progress,
            callbacks=run.callbacks,
        )
        if plan.validation is None:
            # Resumed at its end, a training has not validated; the thresholds come from there.
            plan.validate()
        if workers.first:
            self.embedder().save(folder / EMBEDDER_NAME)
        workers.agreed(0)  # no process returns before the file is there
        return self.history_

    def _make_folder(self) -> None:
        try:
            without_nul(Path(self.folder)).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidArgumentError(f"folder {self.folder}: cannot be made ({error})") from error

    def _build(self, start: Any) -> tuple[Any, Architecture]:
        with computing_in(self.precision):
            if isinstance(self.start, Embedder):
                return self.start.to_network(
                    embedding_size=self.embedding_size, dropout=self.dropout, seed=self.seed
                )
            network = build_network(self.start, seed=self.seed)
        if start is not None:
            assign(network, layer_weights(start))
        return network, self.start

    def _learning_rates(self) -> dict[int, Any]:
        """Returns the rates by epoch; by default the optimizer's own rate or schedule."""
        if self.learning_rate is not None:
            return by_epoch("learning_rate", self.learning_rate)
        own = optimizer_config(self.optimizer)["config"]["learning_rate"]
        return {0: own if isinstance(own, float) else keras.optimizers.schedules.deserialize(own)}

    def _settings(self, faces: FaceDataset) -> dict[str, Any]:
        """Returns what must be the same for a training to go on, as JSON gives it back."""
        values = {
            entry.name: getattr(self, entry.name)
            for entry in fields(self)
            if entry.name not in _FREE_SETTINGS
        }
        values["optimizer"] = optimizer_config(self.optimizer)
        values["aligner"] = self._aligner()
        digest = hashlib.sha256(digest_of(faces).encode())
        digest.update(faces.labels.tobytes())
        values["faces"] = f"{len(faces)} faces, {digest.hexdigest()[:16]}"
        settings: dict[str, Any] = json.loads(json.dumps(values, default=_plain))
        return settings


def _plain(value: Any) -> Any:
    """Returns what tells an object from others of its kind, in every process the same."""
    if isinstance(value, Embedder):
        return value.record.identity
    if hasattr(value, "identity"):  # a teacher
        return value.identity
    if isinstance(value, Architecture | Aligner):
        return value.to_dict()
    if is_dataclass(value) and not isinstance(value, type):
        return {type(value).__qualname__: asdict(value)}
    if isinstance(value, keras.losses.Loss | keras.optimizers.schedules.LearningRateSchedule):
        return {type(value).__qualname__: value.get_config()}
    # A function is known by its name; its address changes from run to run.
    return getattr(value, "__qualname__", type(value).__qualname__)
