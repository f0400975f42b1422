"""Measuring how well embeddings distinguish people."""

from facekit.evaluation.lfw import evaluate_lfw, read_pairs
from facekit.evaluation.plots import plot_confusion, plot_distances, plot_embeddings, plot_roc
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
