"""Training an embedder: faces, batches, losses, mining, and the trainer."""

from facekit.training.augmentation import Augmentation
from facekit.training.batches import BalancedBatches, ShuffledBatches
from facekit.training.dataset import FaceDataset
from facekit.training.history import History
from facekit.training.report import DatasetReport, FaceOutcome
from facekit.training.trainer import TripletTrainer

__all__ = [
    "Augmentation",
    "BalancedBatches",
    "DatasetReport",
    "FaceDataset",
    "FaceOutcome",
    "History",
    "ShuffledBatches",
    "TripletTrainer",
]
