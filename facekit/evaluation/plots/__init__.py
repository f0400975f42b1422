"""Plots of evaluations: matplotlib axes in, axes out."""

from facekit.evaluation.plots.confusion import plot_confusion
from facekit.evaluation.plots.distances import plot_distances
from facekit.evaluation.plots.embeddings import plot_embeddings
from facekit.evaluation.plots.roc import plot_roc

__all__ = ["plot_confusion", "plot_distances", "plot_embeddings", "plot_roc"]
