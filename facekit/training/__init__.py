"""Training an embedder: faces, batches, augmentation, losses, mining, and the trainers.

The names are imported when they are first used, so that preparing faces does not load Keras.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOMES = {
    "Augmentation": "facekit.training.augmentation",
    "BalancedBatches": "facekit.training.batches",
    "DatasetReport": "facekit.training.report",
    "Distiller": "facekit.training.distillation",
    "FaceDataset": "facekit.training.dataset",
    "FaceNetLoss": "facekit.training.losses",
    "FaceOutcome": "facekit.training.report",
    "History": "facekit.training.history",
    "OnnxTeacher": "facekit.training.teachers",
    "ShuffledBatches": "facekit.training.batches",
    "StoredTeacher": "facekit.training.teachers",
    "Teacher": "facekit.training.teachers",
    "TripletBatchAllLoss": "facekit.training.losses",
    "TripletHardLoss": "facekit.training.losses",
    "TripletSemiHardLoss": "facekit.training.losses",
    "TripletTrainer": "facekit.training.trainer",
    "facenet_loss": "facekit.training.losses",
    "pairwise_distances": "facekit.training.distances",
    "plot_history": "facekit.training.plots",
    "triplet_batch_all_loss": "facekit.training.losses",
    "triplet_hard_loss": "facekit.training.losses",
    "triplet_semihard_loss": "facekit.training.losses",
    "triplet_statistics": "facekit.training.mining",
}

__all__ = [*_HOMES]

if TYPE_CHECKING:
    from facekit.training.augmentation import Augmentation as Augmentation
    from facekit.training.batches import BalancedBatches as BalancedBatches
    from facekit.training.batches import ShuffledBatches as ShuffledBatches
    from facekit.training.dataset import FaceDataset as FaceDataset
    from facekit.training.distances import pairwise_distances as pairwise_distances
    from facekit.training.distillation import Distiller as Distiller
    from facekit.training.history import History as History
    from facekit.training.losses import FaceNetLoss as FaceNetLoss
    from facekit.training.losses import TripletBatchAllLoss as TripletBatchAllLoss
    from facekit.training.losses import TripletHardLoss as TripletHardLoss
    from facekit.training.losses import TripletSemiHardLoss as TripletSemiHardLoss
    from facekit.training.losses import facenet_loss as facenet_loss
    from facekit.training.losses import triplet_batch_all_loss as triplet_batch_all_loss
    from facekit.training.losses import triplet_hard_loss as triplet_hard_loss
    from facekit.training.losses import triplet_semihard_loss as triplet_semihard_loss
    from facekit.training.mining import triplet_statistics as triplet_statistics
    from facekit.training.plots import plot_history as plot_history
    from facekit.training.report import DatasetReport as DatasetReport
    from facekit.training.report import FaceOutcome as FaceOutcome
    from facekit.training.teachers import OnnxTeacher as OnnxTeacher
    from facekit.training.teachers import StoredTeacher as StoredTeacher
    from facekit.training.teachers import Teacher as Teacher
    from facekit.training.trainer import TripletTrainer as TripletTrainer


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
