"""Training an embedder: faces, batches, augmentation."""

from facekit.training.augmentation import Augmentation
from facekit.training.batches import BalancedBatches, ShuffledBatches
from facekit.training.dataset import FaceDataset
from facekit.training.report import DatasetReport, FaceOutcome

__all__ = [
    "Augmentation",
    "BalancedBatches",
    "DatasetReport",
    "FaceDataset",
    "FaceOutcome",
    "ShuffledBatches",
]
