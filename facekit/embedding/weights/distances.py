"""Tables of distances from faces to the enrolled images of a person, for calibration."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from facekit.errors import InvalidArgumentError
from facekit.utils.grouping import rows_by_label
from facekit.utils.validation import number as checked_number
from facekit.utils.validation import reals, unit_rows

Measure: TypeAlias = Literal["nearest", "centroid"]
"""The distance from a face to a person: to the nearest of the enrolled images, or to the mean of
their embeddings, scaled to unit norm."""

# Below the first rate, a table of a few million comparisons is not reliable, and rates are
# extrapolated. The extrapolation takes its slope from the second.
_RATES = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99)
_SLOPE_OVER = 30.0
_IMAGES = (1, 2, 4, 8, 16)
# Comparing more people with all faces is slower and hardly more exact.
_MOST_PEOPLE = 500
# This share of the pairs of images of one person is more similar than independent images.
_ALIKE = 0.3
# Strangers are sampled by person, so that those with many faces do not dominate.
_IMPOSTOR_FACES = 2

FloatArray: TypeAlias = npt.NDArray[np.float64]
_Rows: TypeAlias = tuple[tuple[float, ...], ...]

# The scale of the number of images on which distances change evenly. Each doubling adds another
# chance for the nearest image; in the mean, the noise of single images falls as one over their
# number, so that the distances to it have a limit.
_SCALES: Mapping[Measure, Callable[[npt.ArrayLike], Any]] = {
    "nearest": np.log2,
    "centroid": lambda images: -1.0 / np.asarray(images, dtype=np.float64),
}


@dataclass(frozen=True)
class DistanceTable:
    """The distances from faces to a person with a number of enrolled images.

    Args:
        images: The numbers m of enrolled images for which distances were measured, ascending.
        rates: Shares of comparisons, ascending, each in (0, 1).
        impostors: For each measure, and each m, the distance within which that share of strangers
            lies: ``{"nearest": ((…), …), "centroid": ((…), …)}``.
        genuine: Likewise, the distance within which that share of other images of the person lies.
        source: The data on which it was measured.

    Raises:
        InvalidArgumentError: If the shapes or values are inconsistent.
    """

    images: tuple[int, ...]
    rates: tuple[float, ...]
    impostors: Mapping[str, _Rows]
    genuine: Mapping[str, _Rows]
    source: str = ""

    def __post_init__(self) -> None:
        shape = (len(self.images), len(self.rates))
        steps = np.diff(self.images, prepend=0), np.diff(self.rates, prepend=0, append=1)
        if not shape[0] or shape[1] < 4 or not all((each > 0).all() for each in steps):
            raise InvalidArgumentError(
                "a table of distances needs rising numbers of photos, and at least four rising "
                f"rates between 0 and 1, got {self.images!r} and {self.rates!r}"
            )
        for kind in (self.impostors, self.genuine):
            for measure in get_args(Measure):
                values = np.array(kind.get(measure, ()), dtype=np.float64)
                if values.shape != shape or not (np.diff(values, prepend=0, append=2) >= 0).all():
                    raise InvalidArgumentError(
                        f"a table of distances needs {shape[0]} rows of {shape[1]} distances "
                        f"rising from 0 to 2 for {measure!r}, got {values.shape}"
                    )

    def false_match_rate(
        self, measure: Measure, images: float, distance: npt.ArrayLike
    ) -> FloatArray:
        """Returns the share of strangers within a distance of a person with some images."""
        rows = self._row(self.impostors[measure], measure, images)
        logs = np.log(self.rates)
        # Strictly rising, as interpolation needs it.
        rows = rows + 1e-9 * np.arange(len(rows))
        # Below the lowest rate, extrapolated on a logarithmic scale.
        start = np.interp(logs[0] + math.log(_SLOPE_OVER), logs, rows)
        slope = math.log(_SLOPE_OVER) / (start - rows[0])
        distance = reals(distance, "distance").astype(np.float64, copy=False)
        inside = np.interp(distance, np.append(rows, 2.0), np.append(logs, 0.0))
        below = logs[0] + slope * (distance - rows[0])
        share: FloatArray = np.exp(np.where(distance < rows[0], below, inside))
        return share

    def quantiles(
        self, kind: Literal["impostors", "genuine"], measure: Measure, images: float
    ) -> FloatArray:
        """Returns the distance for each of the rates, for a person with some images."""
        values = (self.impostors if kind == "impostors" else self.genuine)[measure]
        return self._row(values, measure, images)

    def of_means(self, images: float) -> DistanceTable:
        """Returns the table for probes that are means of several images of one person."""
        checked_number(images, "images", 1)

        # Distance is symmetric: the mean of m images is as far from one enrolled image as one image
        # is from the mean of m images, which the table contains. Distances to people with more
        # images are shifted by the same amount.
        def moved(tables: Mapping[str, _Rows]) -> dict[str, _Rows]:
            one, mean = (self._row(tables["centroid"], "centroid", m) for m in (1, images))
            return {
                name: tuple(
                    tuple(np.clip(np.maximum.accumulate(row + mean - one), 0.0, 2.0).tolist())
                    for row in np.array(rows, dtype=np.float64)
                )
                for name, rows in tables.items()
            }

        return replace(self, impostors=moved(self.impostors), genuine=moved(self.genuine))

    def independent_images(self, images: int, length: float) -> float:
        """Returns the number of independent images that a mean of several is worth, by its norm."""
        # The frames of a video resemble each other. For m independent images, the squared norm is
        # ρ + (1 − ρ) / m on average, where ρ is the inner product of two images of a person; for
        # equal images it is 1. The 70th percentile of pairs is used for ρ: images of some people
        # resemble each other although taken at different times, and too small a number would give
        # too many strangers a name.
        apart = np.interp(_ALIKE, self.rates, self.quantiles("genuine", "centroid", 1))
        alike = 1.0 - float(apart) ** 2 / 2.0
        common = length**2 - alike
        return images if common * images <= 1.0 - alike else max(1.0, (1.0 - alike) / common)

    def _row(
        self, values: Sequence[Sequence[float]], measure: Measure, images: float
    ) -> FloatArray:
        table = np.array(values, dtype=np.float64)
        if len(table) == 1:
            only: FloatArray = table[0]
            return only
        # Between the numbers that were measured and beyond them alike.
        places, place = _SCALES[measure](self.images), _SCALES[measure](max(1.0, images))
        upper = int(np.clip(np.searchsorted(places, place), 1, len(places) - 1))
        weight = (place - places[upper - 1]) / (places[upper] - places[upper - 1])
        row = (1 - weight) * table[upper - 1] + weight * table[upper]
        return np.clip(np.maximum.accumulate(row), 0.0, 2.0 - 1e-6)

    @classmethod
    def measure(
        cls,
        embeddings: npt.ArrayLike,
        labels: npt.ArrayLike,
        *,
        images: Sequence[int] = _IMAGES,
        wrong_label: float = 0.0,
        source: str = "",
    ) -> DistanceTable:
        """Measures the table for a set of weights on labeled faces, for numbers m of images.

        Each of up to 500 people with m images or more is enrolled with the first m; the first two
        faces of every other person are impostors, the remaining ones of the person are genuine.
        Two people with images closer than ``wrong_label`` are taken for one person under two
        labels, or one image in two places, and are not compared.
        """
        vectors = unit_rows(embeddings)
        _, by_person = np.unique(np.asarray(labels), return_inverse=True)
        rows_of = rows_by_label(by_person)
        first = np.concatenate([rows[:_IMPOSTOR_FACES] for rows in rows_of])
        tables: dict[tuple[str, str], list[tuple[float, ...]]] = defaultdict(list)
        for number in images:
            # People with more than m images come first.
            with_more = [rows for rows in rows_of if len(rows) > number]
            people = [*with_more, *(rows for rows in rows_of if len(rows) == number)][:_MOST_PEOPLE]
            if len(with_more) < 2 or len(people) * len(first) * _RATES[0] < 3:
                raise InvalidArgumentError(
                    f"labels must give at least some hundred people {number} photos or more each, "
                    f"so that rare distances can be measured; got {len(people)} people, "
                    f"{len(with_more)} of them with more than {number}"
                )
            found = _distances_to_people(vectors, by_person, people, number, wrong_label, first)
            for key, distances in found.items():
                rounded = np.round(np.quantile(distances, _RATES), 4)
                tables[key].append(tuple(rounded.tolist()))
        impostors, genuine = (
            {measure: tuple(tables[kind, measure]) for measure in get_args(Measure)}
            for kind in ("impostors", "genuine")
        )
        return cls(tuple(int(number) for number in images), _RATES, impostors, genuine, source)

    def to_dict(self) -> dict[str, Any]:
        """Returns the table as plain values for JSON."""
        # The names in files of weights.
        return {
            "photos": list(self.images),
            "rates": list(self.rates),
            "strangers": {
                name: [list(row) for row in rows] for name, rows in self.impostors.items()
            },
            "same": {name: [list(row) for row in rows] for name, rows in self.genuine.items()},
            "source": self.source,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DistanceTable:
        """Makes a table from :meth:`to_dict`'s values."""
        try:
            return cls(
                tuple(values["photos"]),
                tuple(values["rates"]),
                _frozen(values["strangers"]),
                _frozen(values["same"]),
                values["source"],
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidArgumentError(f"no table of distances can be made ({error})") from error


def _frozen(tables: Mapping[str, Any]) -> dict[str, _Rows]:
    return {
        name: tuple(tuple(float(value) for value in row) for row in rows)
        for name, rows in tables.items()
    }


def _distances_to_people(
    vectors: npt.NDArray[np.float32],
    by_person: npt.NDArray[np.int64],
    people: Sequence[npt.NDArray[np.int64]],
    number: int,
    wrong_label: float,
    first: npt.NDArray[np.int64],
) -> dict[tuple[str, str], FloatArray]:
    """Returns the distances of impostors and genuine faces to people, by kind and measure."""
    found: dict[tuple[str, str], list[FloatArray]] = defaultdict(list)
    for rows in people:
        person = by_person[rows[0]]
        own = by_person == person
        to_all = _distance(vectors, vectors[rows])
        # At rare distances, one wrong label would outweigh a million right ones.
        doubtful = np.unique(by_person[to_all.min(axis=1) < wrong_label])
        of_others = first[~np.isin(by_person[first], doubtful) & ~own[first]]
        rest = rows[number:]
        centroid = vectors[rows[:number]].mean(axis=0)
        centroid /= np.linalg.norm(centroid)
        by_measure = {
            "nearest": to_all[:, :number].min(axis=1),
            "centroid": _distance(vectors, centroid[None])[:, 0],
        }
        for measure, distances in by_measure.items():
            found["impostors", measure].append(distances[of_others])
            found["genuine", measure].append(distances[rest])
    return {key: np.concatenate(parts) for key, parts in found.items()}


def _distance(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> FloatArray:
    squared: FloatArray = np.maximum(0.0, 2.0 - 2.0 * (first @ second.T).astype(np.float64))
    return np.sqrt(squared)
