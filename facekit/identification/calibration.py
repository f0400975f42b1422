"""Calibration: derives a threshold from the share of strangers that may get a name."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from facekit.embedding.weights.distances import DistanceTable, Measure
from facekit.errors import InvalidArgumentError
from facekit.gallery.enrolled import Enrolled
from facekit.gallery.index import FloatArray, IntArray
from facekit.utils.validation import unit_rows

MIN_PEOPLE = 30
"""With at least this many people, a gallery's own images refine the calibration."""

# The gallery's images show where their distances lie, the table how rare small ones are; with this
# many images, both have equal weight.
_WEIGHT_OF_TABLE = 100
# More images make the refinement slower, not better.
_MOST_PROBES = 1000
# A rate is only read off at least this many small distances.
_MISTAKES_NEEDED = 10
# Enrolled people count as resembling each other if images lie within another's threshold this many
# times as often as the table predicts, and at least that often.
_RESEMBLING, _RESEMBLING_LEAST = 4.0, 3

_GRID = np.linspace(0.0, 2.0, 2001)
_BLOCK = 256


@dataclass(frozen=True)
class Calibration:
    """How a classifier decides whether a face belongs to an enrolled person.

    Args:
        fpir: The share of strangers' faces that may get a name; ``None`` if the threshold was
            given.
        threshold: The largest distance at which a name is given.
        shift: How much the gallery's distances between different people, or to a cohort, exceed
            those of the table; 0 if there are too few to tell.
        probes: The number of gallery images, or cohort faces, compared for that.
        slope: How fast the log-odds that the person is enrolled fall with the distance; 0 if
            unknown.
        intercept: These log-odds at distance 0.
        resembling: The number of gallery images within the threshold of another person.
        foretold: The number that the table predicts.

    Example:
        >>> import numpy as np
        >>> from facekit.identification.calibration import Calibration
        >>> calibration = Calibration(fpir=0.001, threshold=0.9, slope=10.0, intercept=9.0)
        >>> calibration.known(np.array([0.5, 0.9])).round(3).tolist()
        [0.982, 0.5]

    References:
        J. Platt, "Probabilistic Outputs for Support Vector Machines", 1999, for slope and
        intercept.
    """

    fpir: float | None
    threshold: float
    shift: float = 0.0
    probes: int = 0
    slope: float = 0.0
    intercept: float = 0.0
    resembling: int = 0
    foretold: float = 0.0

    @property
    def probabilistic(self) -> bool:
        """Whether the probability that a face is a stranger's is known."""
        return self.slope != 0.0 or self.intercept != 0.0

    @property
    def doubt(self) -> str:
        """Why the rate may not hold for these people, in words; empty if there is no such sign.

        The table predicts how often images of different people are close to each other. If enrolled
        people are so far more often, because they are related or belong to a group that the weights
        distinguish poorly, strangers like them get a name more often than ``fpir`` says.
        """
        if self.resembling < max(_RESEMBLING_LEAST, _RESEMBLING * self.foretold):
            return ""
        return (
            f"{self.resembling} enrolled photos lie within the threshold of another enrolled "
            f"person, where the weights' table predicts {self.foretold:.2g}: these people "
            "resemble each other, and strangers like them get a name more often than asked "
            "for; calibrate with a cohort of faces like theirs, or set a smaller fpir"
        )

    def known(self, distances: npt.NDArray[Any]) -> FloatArray:
        """Returns the probability that faces are not strangers.

        Args:
            distances: Of each face to its candidate, of any shape.

        Returns:
            One probability for each distance.
        """
        odds = self.intercept - self.slope * np.asarray(distances, dtype=np.float64)
        probability: FloatArray = 1.0 / (1.0 + np.exp(-odds))
        return probability


def calibrate(
    enrolled: Enrolled,
    *,
    measure: Measure,
    fpir: float,
    threshold: float | None = None,
    table: DistanceTable | None = None,
    prior: float = 0.5,
    shift: tuple[float, int] | None = None,
    cohort: npt.ArrayLike | None = None,
    own: FloatArray | None = None,
) -> Calibration:
    """Finds the threshold at which that share of strangers gets a name."""
    if cohort is not None or table is None or (own is None and shift is None):
        enrolled = enrolled.dense  # its images are compared
    impostors = None
    if cohort is not None:
        faces = unit_rows(cohort, enrolled.embeddings.shape[1], "cohort")
        if not len(faces):
            raise InvalidArgumentError("cohort must hold at least one face")
        impostors = _nearest(enrolled, measure, faces, np.full(len(faces), -1))
    if table is None:
        if threshold is not None:
            return Calibration(None, threshold)
        return _without_table(enrolled, measure, fpir, impostors)
    foretold = _Foretold(table, measure, enrolled.sizes)
    if impostors is not None:
        # A large cohort shows the rate itself, a small one only where its distances lie.
        rates = _rates(len(impostors), highest=100 / len(impostors))
        if len(impostors) * fpir >= _MISTAKES_NEEDED:
            rates = np.array([fpir])
        moved, probes = foretold.shift(impostors, rates), len(impostors)
    elif shift is not None:
        moved, probes = shift
    else:
        # Cameras and people differ: each image is compared with all other people, as if its own
        # person were not enrolled.
        moved, probes = 0.0, 0
        own = distances_between_people(enrolled, measure) if own is None else own
        if foretold.people >= MIN_PEOPLE and len(own):
            moved = foretold.without_one().shift(own, _rates(len(own)))
            moved, probes = moved * len(own) / (len(own) + _WEIGHT_OF_TABLE), len(own)
    slope, intercept = _platt(foretold, moved, prior)
    if threshold is not None:
        return Calibration(None, threshold, moved, probes, slope, intercept)
    found = float(np.clip(foretold.distance(fpir) + moved, 0.0, 2.0))
    near, expected = 0, 0.0
    if own is not None and len(own):
        unshifted = float(foretold.distance(fpir))
        near = int((own <= unshifted).sum())
        expected = len(own) * float(foretold.without_one().rate(unshifted))
    return Calibration(fpir, found, moved, probes, slope, intercept, near, expected)


def distances_between_people(
    enrolled: Enrolled, measure: Measure, most: int = _MOST_PROBES
) -> FloatArray:
    """Returns the distances from enrolled images to the nearest other person."""
    rows = probes_among(enrolled.embeddings, enrolled.rows, most)
    own = enrolled.labels[rows]
    found = _nearest(enrolled, measure, enrolled.embeddings[rows], own)
    return found[np.isfinite(found)]


def probes_among(
    embeddings: npt.NDArray[Any], rows: IntArray, most: int = _MOST_PROBES
) -> IntArray:
    """Returns the rows to compare, spread evenly over the first component."""
    if len(rows) <= most:
        return rows
    rows = rows[np.argsort(embeddings[rows, 0], kind="stable")]
    return np.sort(rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)])


def _nearest(
    enrolled: Enrolled, measure: Measure, probes: npt.NDArray[Any], own: IntArray
) -> FloatArray:
    """Returns the distance of each probe to the nearest person who is not its own."""
    if measure == "centroid":
        people, labels = enrolled.centroids, np.arange(len(enrolled.classes))
    else:
        people, labels = enrolled.embeddings, enrolled.labels
    similarity = np.empty(len(probes))
    for start in range(0, len(probes), _BLOCK):
        block = slice(start, start + _BLOCK)
        products = probes[block] @ people.T
        products[:, labels < 0] = -np.inf
        products[labels == own[block, None]] = -np.inf
        similarity[block] = products.max(axis=1)
    distances: FloatArray = np.sqrt(np.maximum(0.0, 2.0 - 2.0 * similarity))
    return distances


class _Foretold:
    """The share of strangers within a distance of a gallery, according to the table."""

    def __init__(self, table: DistanceTable, measure: Measure, sizes: Mapping[int, int]) -> None:
        self.table, self.measure, self.people = table, measure, sum(sizes.values())
        logs = sum(people * math.log(images) for images, people in sizes.items())
        self.typical = math.exp(logs / self.people)  # the geometric mean of the numbers of images
        # Each person is missed with probability 1 − rate(distance), and all must be missed.
        missed = np.zeros_like(_GRID)
        for images, people in sizes.items():
            share = np.minimum(table.false_match_rate(measure, images, _GRID), 1.0 - 1e-12)
            missed -= people * np.log1p(-share)
        self._missed = np.log(np.maximum(missed, 1e-300))

    def without_one(self) -> _Foretold:
        """Returns the rates for an image whose own person is left out."""
        fewer = copy.copy(self)
        fewer._missed = self._missed + math.log(max(self.people - 1.0, 1e-9) / self.people)
        return fewer

    def distance(self, rate: float | FloatArray) -> Any:
        """Returns the distance within which that share of strangers matches a person."""
        return np.interp(np.log(-np.log1p(-np.asarray(rate))), self._missed, _GRID)

    def rate(self, distance: float | FloatArray) -> Any:
        """Returns the share of strangers who match a person within a distance."""
        return -np.expm1(-np.exp(np.interp(distance, _GRID, self._missed)))

    def shift(self, distances: FloatArray, rates: FloatArray) -> float:
        """Returns how much observed distances exceed those predicted."""
        return float(np.mean(np.quantile(distances, rates) - self.distance(rates)))


def _rates(number: int, highest: float = 0.5) -> FloatArray:
    # Rates below ten images, or above half of them, say little about rare strangers.
    rates: FloatArray = np.geomspace(min(0.3, 10 / number), min(0.5, highest), 6)
    return rates


def _without_table(
    enrolled: Enrolled, measure: Measure, fpir: float, impostors: FloatArray | None
) -> Calibration:
    needed = math.ceil(_MISTAKES_NEEDED / fpir)
    people = len(enrolled.classes)
    if impostors is not None and len(impostors) >= needed:
        return Calibration(fpir, float(np.quantile(impostors, fpir)), 0.0, len(impostors))
    if people < MIN_PEOPLE or len(enrolled) < needed or impostors is not None:
        seen = "" if impostors is None else f", the cohort has {len(impostors)} faces"
        raise InvalidArgumentError(
            f"fpir={fpir:g} cannot be turned into a threshold: {len(enrolled)} photos of "
            f"{people} people are enrolled{seen}, without a table of distances at least "
            f"{needed:,} of {MIN_PEOPLE} people, or a cohort of as many faces, are needed. Give "
            "the classifier distances=embedder.record.distances, or threshold="
        )
    distances = distances_between_people(enrolled, measure, most=max(needed, _MOST_PROBES))
    return Calibration(fpir, float(np.quantile(distances, fpir)), 0.0, len(distances))


def _platt(foretold: _Foretold, shift: float, prior: float) -> tuple[float, float]:
    # Platt scaling: a logistic regression of "is enrolled" on the distance, on the quantiles of
    # both distributions, so that it is deterministic.
    levels = (np.arange(100) + 0.5) / 100
    impostors = foretold.distance(levels) + shift
    table = foretold.table
    quantiles = table.quantiles("genuine", foretold.measure, foretold.typical)
    genuine = np.interp(levels, table.rates, quantiles)
    distances = np.concatenate([impostors, genuine])
    known = np.repeat([0.0, 1.0], len(levels))
    weights = np.repeat([1.0 - prior, prior], len(levels))
    X = np.stack([-distances, np.ones_like(distances)], axis=1)
    # Newton's method. The penalty on the slope keeps it finite if the distributions are far apart.
    penalty = np.array([0.01, 0.0])
    found = np.zeros(2)
    for _ in range(50):
        probability = 1.0 / (1.0 + np.exp(-X @ found))
        gradient = X.T @ (weights * (probability - known)) + penalty * found
        curvature = weights * np.maximum(probability * (1.0 - probability), 1e-12)
        step = np.linalg.solve((X.T * curvature) @ X + np.diag(penalty), gradient)
        found = found - step * min(1.0, 10.0 / max(np.abs(step).max(), 1e-9))  # bounded steps
        if np.abs(step).max() < 1e-9:
            break
    return max(0.0, float(found[0])), float(found[1])
