"""What every trainer has: where it starts, how it steps, what it keeps."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from facekit.alignment import Aligner
from facekit.embedding import Architecture, Embedder, build_network
from facekit.embedding.folding import assign, layer_weights
from facekit.errors import InvalidArgumentError, NotFittedError
from facekit.training.augmentation import Augmentation
from facekit.training.batches import SeededBatches
from facekit.training.checks import check_whole
from facekit.training.collapse import CollapseGuard
from facekit.training.dataset import FaceDataset
from facekit.training.features import features_of, split_head
from facekit.training.freezing import ALL, HEAD
from facekit.training.history import History
from facekit.training.loop import TrainingLoop
from facekit.training.plan import Plan
from facekit.training.precision import (
    Precision,
    check_precision,
    computing_in,
    optimizer_config,
)
from facekit.training.schedules import Schedule, by_epoch, check_schedule
from facekit.training.step import Objective
from facekit.training.validation import ValidationResult

EMBEDDER_NAME = "embedder.safetensors"

EpochCallback: TypeAlias = Callable[[Mapping[str, float]], None]
"""Called after every epoch with its row of the history."""

# What may change between a training and its resumption without changing what it computes.
_FREE_SETTINGS = {"network", "folder", "checkpoint_interval", "tensorboard", "workers"}


class FitArguments(NamedTuple):
    """What ``fit`` takes beside the faces."""

    epochs: int
    resume: bool
    progress: bool
    on_epoch_end: EpochCallback | None


@dataclass(kw_only=True, eq=False)
class Trainer:
    """What the trainers share: where they start, how they step, what they keep.

    Made as :class:`facekit.training.TripletTrainer` or :class:`facekit.training.Distiller`, whose
    ``fit`` trains.

    Args:
        start: Where to start: an architecture, for random weights, or an embedder.
        folder: As for :class:`facekit.training.TripletTrainer`, like all others: ``network``,
            ``embedding_size``, ``dropout``, ``aligner``, ``augmentation``, ``trainable``,
            ``optimizer``, ``learning_rate``, ``schedule``, ``warm_up_steps``, ``precision``,
            ``patience``, ``checkpoint_interval``, ``tensorboard``, ``workers`` and ``seed``.

    Raises:
        InvalidArgumentError: If an argument lies outside its range.

    Example:
        >>> from facekit.training import Distiller, TripletTrainer
        >>> from facekit.training.base import Trainer
        >>> issubclass(TripletTrainer, Trainer), issubclass(Distiller, Trainer)
        (True, True)
    """

    start: Architecture | Embedder = field(kw_only=False)
    folder: str | os.PathLike[str]
    network: Any = None
    embedding_size: int | None = None
    dropout: float | None = None
    aligner: Aligner | None = None
    augmentation: Augmentation | None = field(default_factory=Augmentation)
    trainable: str | Mapping[int, str] = ALL
    optimizer: Any = "adam"
    learning_rate: float | Mapping[int, float] | None = None
    schedule: Schedule = "cosine"
    warm_up_steps: int = 0
    precision: Precision = "float32"
    patience: int = 50
    checkpoint_interval: float = 60.0
    tensorboard: bool = False
    workers: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.start, Architecture | Embedder):
            raise InvalidArgumentError(
                f"start must be an Architecture or an Embedder, got {self.start!r}"
            )
        if isinstance(self.start, Embedder) and self.network is not None:
            raise InvalidArgumentError(
                "network goes with an Architecture; an Embedder has its weights"
            )
        if isinstance(self.start, Architecture) and (self.embedding_size, self.dropout) != (
            None,
            None,
        ):
            raise InvalidArgumentError(
                "embedding_size and dropout go with an Embedder; an Architecture has its own"
            )
        if self._aligner().size != self.start.input_size:
            # Noticed only when the embedder is saved, it would cost the whole training.
            raise InvalidArgumentError(
                f"aligner gives pictures of side {self._aligner().size}, the network reads "
                f"{self.start.input_size}"
            )
        by_epoch("trainable", self.trainable)
        for rate in by_epoch("learning_rate", self.learning_rate).values():
            if rate is not None and not (math.isfinite(rate) and rate > 0):
                raise InvalidArgumentError(f"learning_rate must be positive, got {rate!r}")
        optimizer_config(self.optimizer)
        check_schedule(self.schedule, self.warm_up_steps)
        check_precision(self.precision)
        check_whole(self.patience, "patience", 1)
        check_whole(self.workers, "workers", 1)
        check_whole(self.seed, "seed", 0)
        if not self.checkpoint_interval >= 0:
            raise InvalidArgumentError(
                f"checkpoint_interval must be zero or more, got {self.checkpoint_interval!r}"
            )

    def embedder(self, name: str | None = None) -> Embedder:
        """Returns the trained network as an embedder.

        Its thresholds are those that the validation gave.

        Args:
            name: How to call the weights; the folder's name by default.

        Returns:
            The embedder, which :meth:`facekit.Embedder.save` keeps.

        Raises:
            NotFittedError: If nothing was trained yet.
            InvalidArgumentError: If ``aligner`` makes pictures of another size than the network
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
        objectives: Mapping[int, str],
        make_objective: Callable[[str], Objective],
        margin: float | None,
        micro_batch: int | None = None,
        parts: int = 1,
        network: Any = None,
    ) -> History:
        """Trains on batches; what differs between the trainers is given."""
        check_whole(run.epochs, "epochs", 1)
        self._make_folder()
        folder = Path(self.folder)
        settings = self._settings(batches.dataset)
        self.network_, self.architecture_ = self._build(
            self.network if network is None else network
        )
        trained: Any = self.network_
        held_out: Any = validation
        trainable = by_epoch("trainable", self.trainable)
        if set(trainable.values()) == {HEAD} and self.augmentation is None:
            backbone, trained = split_head(self.network_)
            features: Any = features_of(backbone, batches.dataset, folder, progress=run.progress)
            batches.dataset = features
            if validation is not None:
                held_out = features_of(backbone, validation, folder, progress=run.progress)
        plan = Plan(
            network=self.network_,
            trained=trained,
            trainable=trainable,
            objectives=objectives,
            make_objective=make_objective,
            freeze_batch_normalization=isinstance(self.start, Embedder),
            optimizer=self.optimizer,
            learning_rates=self._learning_rates(),
            schedule=self.schedule,
            warm_up_steps=self.warm_up_steps,
            precision=self.precision,
            micro_batch=micro_batch,
            parts=parts,
            held_out=held_out,
        )
        loop = TrainingLoop(
            batches,
            plan,
            CollapseGuard(margin, patience=self.patience),
            folder=folder,
            settings=settings,
            checkpoint_interval=self.checkpoint_interval,
            tensorboard=self.tensorboard,
        )
        self._plan = plan
        self.history_ = loop.run(
            run.epochs,
            resume=run.resume,
            progress=run.progress,
            on_epoch_end=run.on_epoch_end,
        )
        if plan.validation is None:
            # Resumed at its end, a training has not validated; the thresholds come from there.
            plan.validate()
        self.embedder().save(folder / EMBEDDER_NAME)
        return self.history_

    def _make_folder(self) -> None:
        try:
            Path(self.folder).mkdir(parents=True, exist_ok=True)
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

    def _learning_rates(self) -> dict[int, float | None]:
        """Returns the rates by epoch; ``None`` where the optimiser has a schedule of its own."""
        if self.learning_rate is not None:
            return {**by_epoch("learning_rate", self.learning_rate)}
        own = optimizer_config(self.optimizer)["config"]["learning_rate"]
        return {0: own if isinstance(own, float) else None}

    def _settings(self, faces: FaceDataset) -> dict[str, Any]:
        """Returns what must be the same for a training to go on, as JSON gives it back."""
        values = {
            entry.name: getattr(self, entry.name)
            for entry in fields(self)
            if entry.name not in _FREE_SETTINGS
        }
        values["optimizer"] = optimizer_config(self.optimizer)
        values["aligner"] = self._aligner()
        digest = hashlib.sha256("\0".join(faces.keys).encode())
        digest.update(faces.labels.tobytes())
        values["faces"] = f"{len(faces)} faces, {digest.hexdigest()[:16]}"
        settings: dict[str, Any] = json.loads(json.dumps(values, default=_plain))
        return settings


def _plain(value: Any) -> Any:
    if isinstance(value, Embedder):
        return value.record.identity
    if hasattr(value, "identity"):  # a teacher
        return value.identity
    if isinstance(value, Architecture | Aligner):
        return value.to_dict()
    if isinstance(value, Augmentation):
        return asdict(value)
    # A distance given as a function is known by its name; its address changes from run to run.
    return getattr(value, "__qualname__", None) or str(value)
