"""Measuring how well embeddings distinguish people."""

from facekit.evaluation.lfw import evaluate_lfw, read_pairs
from facekit.evaluation.plots.confusion import plot_confusion
from facekit.evaluation.plots.distances import plot_distances
from facekit.evaluation.plots.embeddings import plot_embeddings
from facekit.evaluation.plots.roc import plot_roc
from facekit.evaluation.verification import evaluate_verification, roc

__all__ = [
    "evaluate_lfw",
    "evaluate_verification",
    "plot_confusion",
    "plot_distances",
    "plot_embeddings",
    "plot_roc",
    "read_pairs",
    "roc",
]
