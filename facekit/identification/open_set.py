"""The core of identification: candidates, distances and a threshold, using only NumPy."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from facekit.gallery.enrolled import Enrolled
from facekit.gallery.index import FloatArray, IntArray
from facekit.identification.answers import Explanation, Identification, Neighbor
from facekit.identification.calibration import Calibration
from facekit.identification.strategies import Machine, Resemblance, Strategy, resemblance, train

SHORTLIST = 32
"""With more people than this, only the eight nearest are compared for each face."""

_NEAREST_PEOPLE = 8
# They are chosen among the people of this many nearest images.
_NEAREST_IMAGES = 128
# The number of distances that are computed at a time; they take 100 MB.
_MOST_DISTANCES = 2**22


class OpenSet:
    """Names the person of an embedding, or rejects it as a stranger."""

    def __init__(
        self, enrolled: Enrolled, strategy: Strategy, C: float, calibration: Calibration | None
    ) -> None:
        # Of a few people all are compared, so each must have an image.
        if sum(enrolled.sizes.values()) <= SHORTLIST:
            enrolled = enrolled.dense
        self.enrolled, self.classes = enrolled, enrolled.classes
        self._strategy, self._C, self._calibration = strategy, C, calibration
        self.threshold = None if calibration is None else calibration.threshold
        # With more people, every face has its own machine.
        self.machine: Machine | None = None
        if strategy == "svm" and 2 <= len(self.classes) <= SHORTLIST:
            self.machine = self._trained(self._images_of(np.arange(len(self.classes)))[0])

    def identify(self, X: npt.NDArray[Any]) -> Identification:
        """Returns the most similar person for each embedding; the threshold is not applied."""
        chosen = np.zeros(len(X), dtype=np.int64)
        distance, probability = np.zeros(len(X)), np.zeros(len(X))
        for rows, people, found in self._resemblances(X):
            best = found.scores.argmax(axis=1)
            each = np.arange(len(best))
            chosen[rows] = people[best]
            distance[rows] = found.distances[each, best]
            probability[rows] = self._probabilities(found)[each, best]
        return Identification(self.classes[chosen], distance, probability)

    def among(
        self, x: npt.NDArray[Any], wanted: str | None, refused: Collection[str]
    ) -> tuple[str, float, float] | None:
        """Returns the most similar person for one embedding, among one person or all but some."""
        X = np.asarray(x, dtype=np.float64)[None]
        if wanted is not None:
            people = np.flatnonzero(self.classes == wanted)
            people = people[[len(self.enrolled.images_of(int(person))) > 0 for person in people]]
        else:
            without = np.flatnonzero(np.isin(self.classes, list(refused)))
            hidden = sum(len(self.enrolled.images_of(int(person))) for person in without)
            count = min(_NEAREST_IMAGES + hidden, len(self.enrolled))
            (images,) = self.enrolled.search(X, count).rows
            labels = self.enrolled.labels[images[images >= 0]]
            people = _first_people(labels[~np.isin(labels, without)])
        if not len(people):
            return None
        found = self._compared(X, people, None)
        best = int(found.scores[0].argmax())
        probability = self._probabilities(found)[0, best]
        return str(self.classes[people[best]]), float(found.distances[0, best]), float(probability)

    def named(self, found: Identification) -> npt.NDArray[Any]:
        """Applies the threshold to an identification."""
        if self.threshold is None:
            return found.candidate
        names = found.candidate.astype(object)
        names[found.distance > self.threshold] = None
        return names

    def probabilities(self, X: npt.NDArray[Any]) -> FloatArray:
        """Returns the probability of each of the people, ``(n, k)``."""
        probabilities = np.zeros((len(X), len(self.classes)))
        for rows, people, found in self._resemblances(X):
            probabilities[np.ix_(rows, people)] = self._probabilities(found)
        return probabilities

    def scores(self, X: npt.NDArray[Any]) -> FloatArray:
        """Returns the strategy's score of each of the people, ``(n, k)``."""
        scores = np.zeros((len(X), len(self.classes)))
        for rows, people, found in self._resemblances(X):
            scores[rows] = found.scores.min(axis=1, keepdims=True) - 1.0
            scores[np.ix_(rows, people)] = found.scores
        return scores

    def explain(self, X: npt.NDArray[Any], count: int) -> list[Explanation]:
        """Explains the name of each embedding, with its nearest enrolled embeddings."""
        found = self.identify(X)
        nearest = self.enrolled.search(X, count)
        return [
            Explanation(
                name,
                candidate,
                float(distance),
                self.threshold,
                float(probability),
                tuple(
                    Neighbor(self.classes[self.enrolled.labels[row]], float(far), int(row))
                    for row, far in zip(rows, distances, strict=True)
                    if row >= 0
                ),
            )
            for name, candidate, distance, probability, rows, distances in zip(
                self.named(found), *found, *nearest, strict=True
            )
        ]

    def _resemblances(
        self, X: npt.NDArray[Any]
    ) -> Iterator[tuple[IntArray, IntArray, Resemblance]]:
        # Rows of X, the people that they were compared with, and the similarities.
        X = np.asarray(X, dtype=np.float64)
        if len(X) == 0:
            return
        if len(self.classes) <= SHORTLIST:
            each = len(self.classes) if self._strategy == "centroid" else len(self.enrolled)
            starts = range(0, len(X), max(1, _MOST_DISTANCES // each))
            blocks = np.split(np.arange(len(X)), starts[1:])
            groups = [(rows, np.arange(len(self.classes))) for rows in blocks]
        else:
            found = self.enrolled.search(X, min(_NEAREST_IMAGES, len(self.enrolled)))
            groups = []
            for row, images in enumerate(found.rows):
                labels = self.enrolled.labels[images[images >= 0]]
                groups.append((np.array([row]), _first_people(labels)))
        for rows, people in groups:
            yield rows, people, self._compared(X[rows], people, self.machine)

    def _compared(
        self, X: npt.NDArray[Any], people: IntArray, machine: Machine | None
    ) -> Resemblance:
        images, starts = self._images_of(people)
        if machine is None and self._strategy == "svm" and len(people) > 1:
            machine = self._trained(images)
        embeddings, least_norm = self.enrolled.embeddings[images], self.enrolled.least_norm
        return resemblance(self._strategy, X, embeddings, starts, machine, least_norm)

    def _images_of(self, people: IntArray) -> tuple[IntArray, IntArray]:
        images = [self.enrolled.images_of(int(person)) for person in people]
        starts = np.cumsum([0, *(len(rows) for rows in images[:-1])])
        return np.concatenate(images), starts

    def _trained(self, images: IntArray) -> Machine:
        labels = self.enrolled.labels[images]
        return train(self.enrolled.embeddings[images], labels, self._C)

    def _probabilities(self, found: Resemblance) -> FloatArray:
        if self._calibration is None or not self._calibration.probabilistic:
            return found.shares
        best = found.scores.argmax(axis=1)
        known = self._calibration.known(found.distances[np.arange(len(best)), best])
        probabilities: FloatArray = found.shares * known[:, None]
        return probabilities


def _first_people(labels: IntArray) -> IntArray:
    """Returns the people of the nearest images, sorted."""
    _, first = np.unique(labels, return_index=True)
    return np.sort(labels[np.sort(first)[:_NEAREST_PEOPLE]]).astype(np.int64)
