"""Validation during a training: how well embeddings distinguish people."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from facekit.errors import InvalidArgumentError
from facekit.evaluation.verification import equal_error_rate, roc, true_accept_rate
from facekit.utils.grouping import rows_by_label

_THRESHOLD_RATES = (0.01, 0.001, 0.0001)
# A threshold is only stated if at least that many pairs of strangers would pass it.
_FEWEST_PASSING = 10
_PAIRS_AT_A_TIME = 16_384


@dataclass(frozen=True)
class ValidationResult:
    """The figures of a validation."""

    auc: float  # area under the ROC curve
    eer: float  # equal error rate
    tar: float  # true-accept rate at a false-match rate of 1 %
    # Recall@1: the share of images whose nearest other image shows the same person, of those of
    # people with two or more.
    recall: float
    # Euclidean distance by false-match rate, as far as there are pairs enough.
    thresholds: dict[float, float] = field(default_factory=dict)

    def to_row(self) -> dict[str, float]:
        """Returns the figures under the names that they have in a history."""
        names = ("auc", "eer", "tar", "recall")
        return {f"validation_{name}": getattr(self, name) for name in names}


def validate(
    embeddings: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int32],
    *,
    pairs: int = 1_000_000,
    seed: int = 0,
) -> ValidationResult:
    """Computes the figures of embeddings; a label of −1 is left out, pairs of two are sampled."""
    known = labels >= 0
    embeddings, labels = embeddings[known], labels[known]
    of_one, of_two = _pairs_of_one(labels), _pairs_of_two(labels, pairs, seed)
    if len(of_one[0]) == 0 or len(np.unique(labels)) < 2:
        raise InvalidArgumentError(
            "a validation needs two people or more, and at least one of them with two photos; "
            f"got {len(labels)} photos of {len(np.unique(labels))} people"
        )
    distances = np.concatenate([_distances(embeddings, *kind) for kind in (of_one, of_two)])
    same = np.arange(len(distances)) < len(of_one[0])
    curve = roc(distances, same)
    return ValidationResult(
        auc=float(roc_auc_score(same, -distances)),
        eer=equal_error_rate(curve),
        tar=true_accept_rate(curve, 0.01),
        recall=_recall_at_1(embeddings, labels),
        thresholds={
            rate: float(curve.threshold[curve.false_match_rate <= rate].max())
            for rate in _THRESHOLD_RATES
            if rate * len(of_two[0]) >= _FEWEST_PASSING
        },
    )


def _pairs_of_one(labels: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int64], ...]:
    pairs = [
        images[np.stack(np.triu_indices(len(images), k=1))] for images in rows_by_label(labels)
    ]
    first, second = np.concatenate([np.empty((2, 0), dtype=np.int64), *pairs], axis=1)
    return first, second


def _pairs_of_two(
    labels: npt.NDArray[np.int32], count: int, seed: int
) -> tuple[npt.NDArray[np.int64], ...]:
    images = len(labels)
    if images * (images - 1) // 2 <= count:
        first, second = np.triu_indices(images, k=1)
    else:
        generator = np.random.default_rng(seed)
        first, second = generator.integers(0, images, size=(2, count))
    different = labels[first] != labels[second]
    return first[different], second[different]


def _distances(
    embeddings: npt.NDArray[np.float32],
    first: npt.NDArray[np.int64],
    second: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    squared = np.empty(len(first))
    # In blocks: a million pairs of 512 numbers each would take gigabytes.
    for start in range(0, len(first), _PAIRS_AT_A_TIME):
        block = slice(start, start + _PAIRS_AT_A_TIME)
        difference = embeddings[first[block]] - embeddings[second[block]]
        squared[block] = np.einsum("ij,ij->i", difference, difference, dtype=np.float64)
    return np.sqrt(squared)


def _recall_at_1(embeddings: npt.NDArray[np.float32], labels: npt.NDArray[np.int32]) -> float:
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    nearest = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(embeddings).kneighbors()[1]
    right = labels[nearest[:, 0]] == labels
    return float(np.mean(right[counts[inverse] > 1]))
