"""The strategies for comparing a face with a few people."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from facekit.embedding.weights.distances import Measure
from facekit.gallery.index import FloatArray, IntArray, is_erased

Strategy: TypeAlias = Literal["svm", "nearest", "centroid"]
"""How the candidate among the enrolled people is chosen."""

# The steepness of the conversion of scores to shares. A linear SVM's scores of the right and a
# wrong person differ by up to 2, squared distances of unit embeddings by about 1.
_SVM_TEMPERATURE = 0.10
_DISTANCE_TEMPERATURE = 0.10

_CANCELLATION_DISTANCE = 1e-4

# A person removed during the query: beyond every threshold.
_GONE = 4.0


class Resemblance(NamedTuple):
    """The similarities of n faces to k people."""

    scores: FloatArray  # the larger, the more alike, float64 `(n, k)`
    distances: FloatArray  # the distance that is compared with the threshold, float64 `(n, k)`
    # The share of each person, float64 `(n, k)`; rows add up to 1.
    shares: FloatArray


class Machine(NamedTuple):
    """A trained linear support vector machine, one person against the rest."""

    coef: FloatArray  # the weights of the decision functions; one row for two people
    intercept: FloatArray  # their constants


def measure_of(strategy: Strategy) -> Measure:
    """Returns the distance that a strategy compares with the threshold."""
    return "centroid" if strategy == "centroid" else "nearest"


def train(embeddings: npt.NDArray[Any], labels: IntArray, C: float) -> Machine:
    """Trains a machine to distinguish two or more people."""
    from sklearn.svm import LinearSVC

    machine = LinearSVC(C=C, class_weight="balanced", random_state=0, max_iter=10_000)
    machine.fit(embeddings.astype(np.float64), labels)
    return Machine(machine.coef_, machine.intercept_)


def resemblance(
    strategy: Strategy,
    X: FloatArray,
    embeddings: npt.NDArray[Any],
    starts: IntArray,
    machine: Machine | None,
    least_norm: float,
) -> Resemblance:
    """Compares faces with people."""
    erased = is_erased(embeddings, least_norm)
    if strategy == "centroid":
        sums = np.add.reduceat(embeddings.astype(np.float64), starts)
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        distances = _distances(X, sums / np.where(norms > 0, norms, 1.0))
        distances[:, np.logical_and.reduceat(erased, starts)] = _GONE
    else:
        to_each = _distances(X, embeddings)
        to_each[:, erased] = _GONE
        distances = np.minimum.reduceat(to_each, starts, axis=1)
    if machine is None:
        scores = -np.square(distances)
        return Resemblance(scores, distances, _softmax(scores / _DISTANCE_TEMPERATURE))
    values = X @ machine.coef.T + machine.intercept
    scores = np.hstack([-values, values]) if len(starts) == 2 else values
    return Resemblance(scores, distances, _softmax(scores / _SVM_TEMPERATURE))


def _softmax(scores: FloatArray) -> FloatArray:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: FloatArray = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _distances(X: FloatArray, embeddings: npt.NDArray[Any]) -> FloatArray:
    enrolled = embeddings.astype(np.float64)
    squared = np.square(X).sum(axis=1)[:, None] + np.square(enrolled).sum(axis=1)
    distances: FloatArray = np.sqrt(np.maximum(0.0, squared - 2.0 * X @ enrolled.T))
    # The fast formula loses precision where two embeddings nearly coincide: an embedding would be
    # 1e-8 away from itself, outside a threshold of 0.
    rows, columns = np.nonzero(distances < _CANCELLATION_DISTANCE)
    distances[rows, columns] = np.linalg.norm(X[rows] - enrolled[columns], axis=1)
    return distances
