"""Training an embedder: faces, batches, augmentation, losses, mining, and the trainers.

The names are imported when they are first used, so that preparing faces does not load Keras.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOMES = {
    "Augmentation": "facekit.training.data.augmentation",
    "BalancedBatches": "facekit.training.data.batches",
    "DatasetReport": "facekit.training.engine.report",
    "Distiller": "facekit.training.distillation.distiller",
    "FaceDataset": "facekit.training.data.dataset",
    "FaceOutcome": "facekit.training.engine.report",
    "History": "facekit.training.engine.history",
    "Miner": "facekit.training.losses.miners",
    "Objective": "facekit.training.engine.objectives",
    "ShuffledBatches": "facekit.training.data.batches",
    "TripletHardLoss": "facekit.training.losses.losses",
    "TripletLoss": "facekit.training.losses.losses",
    "TripletSemiHardLoss": "facekit.training.losses.losses",
    "TripletTrainer": "facekit.training.trainer",
    "facenet_loss": "facekit.training.losses.functional",
    "pairwise_distances": "facekit.training.losses.distances",
    "plot_history": "facekit.training.engine.plots",
    "triplet_batch_all_loss": "facekit.training.losses.functional",
    "triplet_hard_loss": "facekit.training.losses.functional",
    "triplet_semihard_loss": "facekit.training.losses.functional",
    "triplet_statistics": "facekit.training.losses.statistics",
}

__all__ = [*_HOMES]

if TYPE_CHECKING:
    from facekit.training.data.augmentation import Augmentation as Augmentation
    from facekit.training.data.batches import BalancedBatches as BalancedBatches
    from facekit.training.data.batches import ShuffledBatches as ShuffledBatches
    from facekit.training.data.dataset import FaceDataset as FaceDataset
    from facekit.training.distillation.distiller import Distiller as Distiller
    from facekit.training.engine.history import History as History
    from facekit.training.engine.objectives import Objective as Objective
    from facekit.training.engine.plots import plot_history as plot_history
    from facekit.training.engine.report import DatasetReport as DatasetReport
    from facekit.training.engine.report import FaceOutcome as FaceOutcome
    from facekit.training.losses.distances import pairwise_distances as pairwise_distances
    from facekit.training.losses.functional import facenet_loss as facenet_loss
    from facekit.training.losses.functional import triplet_batch_all_loss as triplet_batch_all_loss
    from facekit.training.losses.functional import triplet_hard_loss as triplet_hard_loss
    from facekit.training.losses.functional import triplet_semihard_loss as triplet_semihard_loss
    from facekit.training.losses.losses import TripletHardLoss as TripletHardLoss
    from facekit.training.losses.losses import TripletLoss as TripletLoss
    from facekit.training.losses.losses import TripletSemiHardLoss as TripletSemiHardLoss
    from facekit.training.losses.miners import Miner as Miner
    from facekit.training.losses.statistics import triplet_statistics as triplet_statistics
    from facekit.training.trainer import TripletTrainer as TripletTrainer


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
