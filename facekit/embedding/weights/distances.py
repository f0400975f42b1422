"""Tables of distances from faces to the enrolled images of a person, for calibration."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from facekit.errors import InvalidArgumentError
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
        InvalidArgumentError: If the shapes or values are inconsistent. Example

    Example:
        >>> from facekit.embedding.weights.registry import REGISTRY
        >>> table = REGISTRY["facenet-20180402-vggface2"].distances
        >>> one, many = (float(table.false_match_rate("nearest", m, 0.9)) for m in (1, 16))
        >>> one < many  # the more images, the more chances for a stranger
        True
    """

    images: tuple[int, ...]
    rates: tuple[float, ...]
    impostors: Mapping[str, tuple[tuple[float, ...], ...]]
    genuine: Mapping[str, tuple[tuple[float, ...], ...]]
    source: str = ""

    def __post_init__(self) -> None:
        shape = (len(self.images), len(self.rates))
        rising = all(np.all(np.diff(values) > 0) for values in (self.images, self.rates))
        if not rising or not shape[0] or shape[1] < 4 or not 0 < self.rates[0] < 1:
            raise InvalidArgumentError(
                "a table of distances needs rising numbers of photos and at least four rising "
                f"rates, got {self.images!r} and {self.rates!r}"
            )
        for kind in (self.impostors, self.genuine):
            for measure in get_args(Measure):
                values = np.array(kind.get(measure, ()), dtype=np.float64)
                if values.shape != shape or not (np.diff(values, axis=1) >= 0).all():
                    raise InvalidArgumentError(
                        f"a table of distances needs {shape[0]} rows of {shape[1]} rising "
                        f"distances for {measure!r}, got {values.shape}"
                    )

    def false_match_rate(
        self, measure: Measure, images: float, distance: npt.ArrayLike
    ) -> FloatArray:
        """Returns the share of strangers within a distance of one person.

        Args:
            measure: Which distance.
            images: The number of enrolled images of the person.
            distance: The distance, of any shape.

        Returns:
            The share, of the same shape. Below the table's lowest rate it is extrapolated on a
            logarithmic scale, with the slope between that rate and thirty times as much.
        """
        rows = self._row(self.impostors[measure], measure, images)
        logs = np.log(self.rates)
        # Strictly rising, as interpolation needs it.
        rows = rows + 1e-9 * np.arange(len(rows))
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
        """Returns the distance for each of the rates.

        Args:
            kind: Of strangers, or of the person.
            measure: Which distance.
            images: The number of enrolled images of the person.
        """
        values = (self.impostors if kind == "impostors" else self.genuine)[measure]
        return self._row(values, measure, images)

    def of_means(self, images: float) -> DistanceTable:
        """Returns the table for probes that are means of several images of one person.

        Distance is symmetric: the mean of m images is as far from one enrolled image as one image
        is from the mean of m images, which the table contains. Distances to people with more images
        are shifted by the same amount.

        Args:
            images: The number of images that the probe is the normalized mean of; at least 1, not
                necessarily whole: see :meth:`independent_images`.

        Returns:
            A table of the same shape.

        Raises:
            InvalidArgumentError: If ``images`` is not a number of at least 1.

        Example:
            >>> from facekit.embedding.weights.registry import REGISTRY
            >>> table = REGISTRY["facenet-20180402-vggface2"].distances
            >>> mean = table.of_means(8)
            >>> one, eight = (t.quantiles("genuine", "centroid", 2)[9] for t in (table, mean))
            >>> bool(eight < one)  # half of the other images of the person lie within
            True
        """
        checked_number(images, "images", 1)
        moved: dict[str, dict[str, tuple[tuple[float, ...], ...]]] = {}
        for kind, tables in (("impostors", self.impostors), ("genuine", self.genuine)):
            one, mean = (self._row(tables["centroid"], "centroid", m) for m in (1, images))
            moved[kind] = {
                name: tuple(
                    tuple(np.clip(np.maximum.accumulate(row + mean - one), 0.0, 2.0).tolist())
                    for row in np.array(rows, dtype=np.float64)
                )
                for name, rows in tables.items()
            }
        return replace(self, impostors=moved["impostors"], genuine=moved["genuine"])

    def independent_images(self, images: int, length: float) -> float:
        """Returns the number of independent images that a mean is worth.

        The frames of a video resemble each other: a hundred of them carry less information than a
        hundred images. The length of the mean of their unit embeddings shows how much they differ.
        For m independent images, its squared length is ρ + (1 − ρ) / m on average, where ρ is the
        inner product of two images of a person; for equal images it is 1. The 70th percentile of
        pairs is used for ρ: images of some people resemble each other although taken at different
        times, and too small a number would give too many strangers a name.

        Args:
            images: The number of images in the mean.
            length: Its norm before normalization, 0 to 1.

        Returns:
            The number, from 1 to ``images``.
        """
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
        """Measures the table for a set of weights on labeled faces.

        Each of up to 500 people with m images or more is enrolled with the first m; the first two
        faces of every other person are impostors, the remaining ones of the person are genuine.
        People with more than m images come first.

        Args:
            embeddings: Unit embeddings, ``(n, d)``.
            labels: The person of each, ``(n,)``.
            images: The numbers m of enrolled images to measure.
            wrong_label: Two people with images closer than this are assumed to be one person under
                two labels, or one image in two places, and are not compared.
            source: A description of the faces.

        Returns:
            The table.

        Raises:
            InvalidArgumentError: If embeddings are not of unit norm, or there are too few faces for
                one of the numbers of images.
        """
        vectors = unit_rows(embeddings)
        _, by_person = np.unique(np.asarray(labels), return_inverse=True)
        rows_of = np.split(
            np.argsort(by_person, kind="stable"), np.cumsum(np.bincount(by_person))[:-1]
        )
        first = np.concatenate([rows[:_IMPOSTOR_FACES] for rows in rows_of])
        tables: dict[str, dict[str, list[tuple[float, ...]]]] = {
            kind: {measure: [] for measure in get_args(Measure)}
            for kind in ("impostors", "genuine")
        }
        for number in images:
            with_more = [rows for rows in rows_of if len(rows) > number]
            people = [*with_more, *(rows for rows in rows_of if len(rows) == number)][:_MOST_PEOPLE]
            if len(with_more) < 2 or len(people) * len(first) * _RATES[0] < 3:
                raise InvalidArgumentError(
                    f"labels must give at least some hundred people {number} photos or more each, "
                    f"so that rare distances can be measured; got {len(people)} people, "
                    f"{len(with_more)} of them with more than {number}"
                )
            found = _distances_to_people(vectors, by_person, people, number, wrong_label, first)
            for kind, by_measure in found.items():
                for measure, distances in by_measure.items():
                    tables[kind][measure].append(
                        tuple(np.round(np.quantile(distances, _RATES), 4).tolist())
                    )
        return cls(
            tuple(int(number) for number in images),
            _RATES,
            {measure: tuple(rows) for measure, rows in tables["impostors"].items()},
            {measure: tuple(rows) for measure, rows in tables["genuine"].items()},
            source,
        )

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
        """Makes a table from :meth:`to_dict`'s values.

        Args:
            values: The parts by name, as :meth:`to_dict` gives them.

        Returns:
            The table.

        Raises:
            InvalidArgumentError: If a part is missing or does not fit.
        """
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


def _frozen(tables: Mapping[str, Any]) -> dict[str, tuple[tuple[float, ...], ...]]:
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
) -> dict[str, dict[str, FloatArray]]:
    found: dict[str, dict[str, list[FloatArray]]] = {
        kind: {measure: [] for measure in get_args(Measure)} for kind in ("impostors", "genuine")
    }
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
            found["impostors"][measure].append(distances[of_others])
            found["genuine"][measure].append(distances[rest])
    return {
        kind: {measure: np.concatenate(parts) for measure, parts in by_measure.items()}
        for kind, by_measure in found.items()
    }


def _distance(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> FloatArray:
    squared: FloatArray = np.maximum(0.0, 2.0 - 2.0 * (first @ second.T).astype(np.float64))
    return np.sqrt(squared)
