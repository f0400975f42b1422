"""Complex numbers, ragged rows and text in place of numbers are refused, not cut to a part."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from facekit import Aligner, FaceRecognizer, Gallery, IdentityClassifier, InvalidArgumentError
from facekit.clustering import cluster
from facekit.embedding.weights.distances import DistanceTable
from facekit.embedding.weights.registry import REGISTRY
from facekit.evaluation import plot_distances, plot_embeddings, roc
from facekit.gallery.enrolled import Enrolled
from facekit.identification.means import MeanIdentifier
from facekit.training import (
    StoredTeacher,
    TripletHardLoss,
    TripletLoss,
    triplet_hard_loss,
    triplet_semihard_loss,
)
from facekit.training.losses.distances import pairwise_distances
from facekit.training.losses.statistics import triplet_statistics

RECORD = REGISTRY["facekit-small"]
LABELS = [0, 0, 1]
ROWS: dict[str, Any] = {
    "complex": np.eye(3, dtype=complex) + 1j,
    "complex64": np.eye(3, dtype=np.complex64),
    "a list of complex numbers": [[1j, 0.0], [0.0, 1.0], [1.0, 0.0]],
    "ragged": [[1.0, 0.0], [1.0], [0.0, 1.0]],
    "text": [["a", "b"], ["c", "d"], ["e", "f"]],
}


@cache
def recognizer() -> FaceRecognizer:
    found = FaceRecognizer()
    size = found.embedder.embedding_size
    found.gallery.enroll("Ann", np.eye(size)[:1], ["ann.jpg"])
    return found


TAKERS: dict[str, Callable[[Any], object]] = {
    "triplet_semihard_loss": lambda rows: triplet_semihard_loss(LABELS, rows),
    "triplet_hard_loss": lambda rows: triplet_hard_loss(LABELS, rows),
    "TripletLoss facenet": lambda rows: TripletLoss("facenet")(LABELS, rows),
    "TripletLoss": lambda rows: TripletLoss("batch-all")(LABELS, rows),
    "TripletHardLoss": lambda rows: TripletHardLoss(soft=True)(LABELS, rows),
    "TripletLoss.call": lambda rows: TripletLoss().call(LABELS, rows),
    "triplet_statistics": lambda rows: triplet_statistics(LABELS, rows),
    "pairwise_distances": lambda rows: pairwise_distances(rows, "angular"),
    "cluster": lambda rows: cluster(rows, threshold=0.8),
    "FaceRecognizer.identify": lambda rows: recognizer().identify(rows),
    "Gallery.search": lambda rows: Gallery("weights", 3).search(rows),
    "Gallery.enroll": lambda rows: Gallery("weights", 3).enroll("Ann", rows, ["a", "b", "c"]),
    "StoredTeacher": lambda rows: StoredTeacher(["a", "b", "c"], rows),
    "DistanceTable.measure": lambda rows: DistanceTable.measure(rows, LABELS),
    "plot_embeddings": lambda rows: plot_embeddings(rows, ["Ann", "Ann", "Bob"]),
}


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS.keys())
@pytest.mark.parametrize("take", TAKERS.values(), ids=TAKERS.keys())
def test_embeddings_are_real_numbers(take: Callable[[Any], object], rows: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InvalidArgumentError):
            take(rows)


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS.keys())
def test_the_estimator_refuses_them_as_scikit_learn_does(rows: Any) -> None:
    fitted = IdentityClassifier("nearest", threshold=1.0).fit(np.eye(3), ["Ann", "Bob", "Cy"])
    means = MeanIdentifier(fitted, Enrolled(np.eye(3), np.arange(3), fitted.classes_))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for take in (fitted.identify, lambda rows: means.identify(rows, [1, 1, 1])):
            with pytest.raises(ValueError, match=r"[Cc]omplex|inhomogeneous|convert|features"):
                take(rows)
        with pytest.raises(ValueError, match=r"[Cc]omplex|inhomogeneous|convert"):
            IdentityClassifier(threshold=1.0).fit(rows, ["Ann", "Bob", "Cy"])


VALUES: dict[str, Callable[[Any], object]] = {
    "roc": lambda values: roc(values, [True, False]),
    "bins": lambda values: plot_distances([0.1, 0.2], [True, False], bins=values),
    "false_match_rate": lambda values: RECORD.distances.false_match_rate("nearest", 1, values),
    "cohort": lambda values: recognizer().calibrate(np.tile(values, (2, 128))),
    "template": lambda values: Aligner(template=np.stack([values] * 5)),
    "margin": lambda values: triplet_semihard_loss(LABELS, np.eye(3), margin=complex(values[0])),
}


@pytest.mark.parametrize("take", VALUES.values(), ids=VALUES.keys())
def test_other_values_are_real_numbers(take: Callable[[Any], object]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InvalidArgumentError, match=r"real numbers|(margin|bins|template) must"):
            take(np.array([0.1 + 1j, 0.2]))
