"""Training an embedder: faces, batches, augmentation, losses, mining, and the trainers.

The names are imported when they are first used, so that preparing faces does not load Keras.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from facekit.utils.extras import keep_files_at_home, missing_extra

keep_files_at_home()

_HOMES = {
    "Augmentation": "facekit.training.data.augmentation",
    "BalancedBatches": "facekit.training.data.batches",
    "DatasetReport": "facekit.training.engine.report",
    "Distiller": "facekit.training.distillation.distiller",
    "FaceDataset": "facekit.training.data.dataset",
    "FaceNetLoss": "facekit.training.losses.losses",
    "FaceOutcome": "facekit.training.engine.report",
    "History": "facekit.training.engine.history",
    "ShuffledBatches": "facekit.training.data.batches",
    "TripletBatchAllLoss": "facekit.training.losses.losses",
    "TripletHardLoss": "facekit.training.losses.losses",
    "TripletSemiHardLoss": "facekit.training.losses.losses",
    "TripletTrainer": "facekit.training.trainer",
    "facenet_loss": "facekit.training.losses.losses",
    "pairwise_distances": "facekit.training.losses.distances",
    "plot_history": "facekit.training.engine.plots",
    "triplet_batch_all_loss": "facekit.training.losses.losses",
    "triplet_hard_loss": "facekit.training.losses.losses",
    "triplet_semihard_loss": "facekit.training.losses.losses",
    "triplet_statistics": "facekit.training.losses.mining",
}

__all__ = [*_HOMES]

if TYPE_CHECKING:
    from facekit.training.data.augmentation import Augmentation as Augmentation
    from facekit.training.data.batches import BalancedBatches as BalancedBatches
    from facekit.training.data.batches import ShuffledBatches as ShuffledBatches
    from facekit.training.data.dataset import FaceDataset as FaceDataset
    from facekit.training.distillation.distiller import Distiller as Distiller
    from facekit.training.engine.history import History as History
    from facekit.training.engine.plots import plot_history as plot_history
    from facekit.training.engine.report import DatasetReport as DatasetReport
    from facekit.training.engine.report import FaceOutcome as FaceOutcome
    from facekit.training.losses.distances import pairwise_distances as pairwise_distances
    from facekit.training.losses.losses import FaceNetLoss as FaceNetLoss
    from facekit.training.losses.losses import TripletBatchAllLoss as TripletBatchAllLoss
    from facekit.training.losses.losses import TripletHardLoss as TripletHardLoss
    from facekit.training.losses.losses import TripletSemiHardLoss as TripletSemiHardLoss
    from facekit.training.losses.losses import facenet_loss as facenet_loss
    from facekit.training.losses.losses import triplet_batch_all_loss as triplet_batch_all_loss
    from facekit.training.losses.losses import triplet_hard_loss as triplet_hard_loss
    from facekit.training.losses.losses import triplet_semihard_loss as triplet_semihard_loss
    from facekit.training.losses.mining import triplet_statistics as triplet_statistics
    from facekit.training.trainer import TripletTrainer as TripletTrainer


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        try:
            return getattr(importlib.import_module(_HOMES[name]), name)
        except ModuleNotFoundError as error:
            raise missing_extra(error) from error
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
