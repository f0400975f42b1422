"""Calibration: from the share of strangers that may be accepted to a distance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from facekit.embedding.weights.distances import DistanceTable, Measure
from facekit.errors import InvalidArgumentError
from facekit.gallery.enrolled import Enrolled
from facekit.gallery.index import FloatArray

MIN_PEOPLE = 30
"""From this many people on, a gallery's own photos refine the calibration."""

# The own photos say where their distances lie, the table how rare small ones are: with this many
# photos, both count the same.
_WEIGHT_OF_TABLE = 100
# More photos than this make the refinement slower, not better.
_MOST_PROBES = 1000
# Without a table the photos themselves must show as many mistakes.
_MISTAKES_NEEDED = 10

_GRID = np.linspace(0.0, 2.0, 2001)


@dataclass(frozen=True)
class Calibration:
    """How a classifier decides whether a face is anybody at all.

    Args:
        fpir: The share of strangers' faces that may get a name; ``None`` if the threshold was
            given.
        threshold: The largest distance at which a name is given.
        shift: By how much the own gallery's distances between different people exceed those of the
            table; 0 if there are too few people to say.
        probes: How many of the own photos were compared for that.
        slope: How fast the log-odds that the person is known fall with the distance; 0 if they are
            not known.
        intercept: These log-odds at distance 0.

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

    def known(self, distances: npt.NDArray[Any]) -> FloatArray:
        """Says how probable it is that faces at these distances are not strangers.

        Args:
            distances: Euclidean distances to the candidates, of any shape.

        Returns:
            float64 of the same shape, 0 to 1; 0.5 everywhere if slope and intercept are 0.
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
) -> Calibration:
    """Finds the threshold at which that share of strangers is accepted.

    For each number of photos a person is enrolled with, the table says how rarely a stranger comes
    that near to one such person. Different people are independent chances to be mistaken, so that
    the shares add up over the gallery. Cameras and people differ: if the gallery has at least
    :data:`MIN_PEOPLE` people, each photo is compared with all other people as if its own person
    were not enrolled. By as much as these distances differ from what the table foretells, the
    threshold is shifted, the more, the more photos there are.

    Args:
        enrolled: Who is enrolled.
        measure: Which distance the classifier compares.
        fpir: The target, in (0, 1).
        threshold: A threshold to keep instead.
        table: The table of the weights. Without one, the gallery must be large enough to show the
            rate by itself.
        prior: The share of faces that belong to enrolled people, for the probability.
        shift: ``shift`` and ``probes`` of an earlier calibration, to be kept.

    Returns:
        The calibration.

    Raises:
        InvalidArgumentError: If there is no table and the gallery is too small.
    """
    counts = np.bincount(enrolled.labels[enrolled.rows], minlength=len(enrolled.classes))
    if table is None:
        if threshold is None:
            return Calibration(fpir, *_without_table(enrolled, measure, fpir))
        return Calibration(None, threshold)
    moved, probes = shift or _shift(enrolled, table, measure, counts)
    slope, intercept = _platt(table, measure, counts, moved, prior)
    if threshold is not None:
        return Calibration(None, threshold, moved, probes, slope, intercept)
    found = float(np.clip(_expected(table, measure, counts, fpir) + moved, 0.0, 2.0))
    return Calibration(fpir, found, moved, probes, slope, intercept)


def distances_between_people(
    enrolled: Enrolled, measure: Measure, most: int = _MOST_PROBES
) -> FloatArray:
    """Returns how near enrolled photos come to other people, as if their own were not enrolled.

    Args:
        enrolled: Who is enrolled.
        measure: Which distance to a person.
        most: How many photos to take at most; which ones follows from the embeddings alone.
    """
    rows = enrolled.rows
    if len(rows) > most:
        rows = rows[np.argsort(enrolled.embeddings[rows, 0], kind="stable")]
        rows = np.sort(rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)])
    own, probes = enrolled.labels[rows], enrolled.embeddings[rows]
    if measure == "centroid":
        similarity = probes @ enrolled.centroids.T
        similarity[np.arange(len(rows)), own] = -1.0
        nearest = similarity.max(axis=1).astype(np.float64)
        to_centroids: FloatArray = np.sqrt(np.maximum(0.0, 2.0 - 2.0 * nearest))
        return to_centroids
    most_photos = int(np.bincount(enrolled.labels[enrolled.rows]).max())
    found = enrolled.search(probes, min(most_photos + 1, len(enrolled.labels)))
    people = np.where(found.rows >= 0, enrolled.labels[found.rows], own[:, None])
    others: FloatArray = np.where(people == own[:, None], np.inf, found.distances).min(axis=1)
    return others[np.isfinite(others)]


def _expected(
    table: DistanceTable, measure: Measure, counts: npt.NDArray[np.int64], rate: float
) -> float:
    # The distance within which that share of strangers finds somebody. Of each person the chance
    # of being missed is 1 − rate(distance), and all must miss.
    missed = np.zeros_like(_GRID)
    for photos, people in zip(*np.unique(counts[counts > 0], return_counts=True), strict=True):
        share = np.minimum(table.false_match_rate(measure, int(photos), _GRID), 1.0 - 1e-12)
        missed += people * np.log1p(-share)
    accepted = np.log(np.maximum(-missed, 1e-300))
    return float(np.interp(math.log(-math.log1p(-rate)), accepted, _GRID))


def _shift(
    enrolled: Enrolled, table: DistanceTable, measure: Measure, counts: npt.NDArray[np.int64]
) -> tuple[float, int]:
    people = int((counts > 0).sum())
    if people < MIN_PEOPLE:
        return 0.0, 0
    distances = distances_between_people(enrolled, measure)
    # Rarer than ten of the photos, and commoner than half, says little about rare strangers.
    rates = np.geomspace(min(0.3, 10 / len(distances)), 0.5, 6)
    # Each photo meets one person fewer than a stranger does.
    fewer = [-math.expm1(math.log1p(-rate) * people / (people - 1)) for rate in rates]
    foretold = [_expected(table, measure, counts, rate) for rate in fewer]
    moved = float(np.mean(np.quantile(distances, rates) - foretold))
    return moved * len(distances) / (len(distances) + _WEIGHT_OF_TABLE), len(distances)


def _without_table(enrolled: Enrolled, measure: Measure, fpir: float) -> tuple[float, float, int]:
    needed = math.ceil(_MISTAKES_NEEDED / fpir)
    people = len(enrolled.classes)
    if people < MIN_PEOPLE or len(enrolled) < needed:
        raise InvalidArgumentError(
            f"fpir={fpir:g} cannot be turned into a threshold: {len(enrolled)} photos of "
            f"{people} people are enrolled, without a table of distances at least {needed:,} of "
            f"{MIN_PEOPLE} are needed. Give the classifier distances=embedder.record.distances, "
            "or threshold="
        )
    distances = distances_between_people(enrolled, measure, most=max(needed, _MOST_PROBES))
    return float(np.quantile(distances, fpir)), 0.0, len(distances)


def _platt(
    table: DistanceTable,
    measure: Measure,
    counts: npt.NDArray[np.int64],
    shift: float,
    prior: float,
) -> tuple[float, float]:
    # Platt's scaling: a logistic regression of "is known" on the distance, on a sample of both
    # distributions that is made of their quantiles, so that it is the same each time.
    levels = (np.arange(100) + 0.5) / 100
    strangers = [_expected(table, measure, counts, level) + shift for level in levels]
    typical = float(np.exp(np.mean(np.log(counts[counts > 0]))))
    same = np.interp(levels, table.rates, table.quantiles("genuine", measure, typical))
    X = np.concatenate([strangers, same])[:, None]
    known = np.repeat([0, 1], len(levels))
    weights = np.repeat([1.0 - prior, prior], len(levels))
    fitted = LogisticRegression(C=100.0).fit(X, known, sample_weight=weights)
    return max(0.0, -float(fitted.coef_[0, 0])), float(fitted.intercept_[0])
