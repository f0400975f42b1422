"""Training an embedder: faces, batches, losses, mining, and the trainers."""

from facekit.training.augmentation import Augmentation
from facekit.training.batches import BalancedBatches, ShuffledBatches
from facekit.training.dataset import FaceDataset
from facekit.training.distances import pairwise_distances
from facekit.training.distillation import Distiller
from facekit.training.history import History
from facekit.training.losses import (
    FaceNetLoss,
    TripletBatchAllLoss,
    TripletHardLoss,
    TripletSemiHardLoss,
    facenet_loss,
    triplet_batch_all_loss,
    triplet_hard_loss,
    triplet_semihard_loss,
)
from facekit.training.mining import triplet_statistics
from facekit.training.report import DatasetReport, FaceOutcome
from facekit.training.trainer import TripletTrainer

__all__ = [
    "Augmentation",
    "BalancedBatches",
    "DatasetReport",
    "Distiller",
    "FaceDataset",
    "FaceNetLoss",
    "FaceOutcome",
    "History",
    "ShuffledBatches",
    "TripletBatchAllLoss",
    "TripletHardLoss",
    "TripletSemiHardLoss",
    "TripletTrainer",
    "facenet_loss",
    "pairwise_distances",
    "triplet_batch_all_loss",
    "triplet_hard_loss",
    "triplet_semihard_loss",
    "triplet_statistics",
]
