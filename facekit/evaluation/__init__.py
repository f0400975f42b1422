"""Measuring how well embeddings tell people apart."""

from facekit.evaluation.lfw import LFWResult, Pair, evaluate_lfw, read_pairs
from facekit.evaluation.plots import (
    plot_confusion,
    plot_distances,
    plot_embeddings,
    plot_roc,
)
from facekit.evaluation.verification import (
    RocCurve,
    VerificationReport,
    evaluate_verification,
    roc,
)

__all__ = [
    "LFWResult",
    "Pair",
    "RocCurve",
    "VerificationReport",
    "evaluate_lfw",
    "evaluate_verification",
    "plot_confusion",
    "plot_distances",
    "plot_embeddings",
    "plot_roc",
    "read_pairs",
    "roc",
]
