"""Training an embedder: losses and mining."""

from facekit.training.distances import pairwise_distances
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

__all__ = [
    "FaceNetLoss",
    "TripletBatchAllLoss",
    "TripletHardLoss",
    "TripletSemiHardLoss",
    "facenet_loss",
    "pairwise_distances",
    "triplet_batch_all_loss",
    "triplet_hard_loss",
    "triplet_semihard_loss",
    "triplet_statistics",
]
