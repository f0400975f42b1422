"""The table of distances: what it says between and beyond the numbers that were measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit import InvalidArgumentError
from facekit.embedding.weights.distances import DistanceTable
from facekit.embedding.weights.registry import REGISTRY

FACENET = REGISTRY["facenet-20180402-vggface2"].distances
assert FACENET is not None
FIRST_ROWS = DistanceTable(
    FACENET.images[:2],
    FACENET.rates,
    {measure: rows[:2] for measure, rows in FACENET.impostors.items()},
    {measure: rows[:2] for measure, rows in FACENET.genuine.items()},
)


@pytest.mark.parametrize("measure", ["nearest", "centroid"])
def test_one_and_two_images_foretell_sixteen(measure: str) -> None:
    foretold = FIRST_ROWS.quantiles("impostors", measure, 16)  # type: ignore[arg-type]
    measured = FACENET.quantiles("impostors", measure, 16)  # type: ignore[arg-type]
    # From one pair of strangers in ten thousand to one in ten.
    np.testing.assert_allclose(foretold[1:8], measured[1:8], atol=0.035)


@pytest.mark.parametrize(
    ("part", "first", "last"),
    [
        *(("photos", 0, 16), ("photos", -3, 16), ("photos", 1, 1), ("photos", "1", 16)),
        *(("rates", 0.0, 0.99), ("rates", 3e-5, 1.0), ("rates", 3e-5, float("nan"))),
        *(("strangers", -0.1, 1.5), ("strangers", 0.1, 2.1), ("same", 0.1, 0.0)),
        *(("same", 0.1, float("nan")), ("same", 0.1, float("inf"))),
    ],
)
def test_a_table_that_cannot_be_measured_is_refused(part: str, first: Any, last: Any) -> None:
    values = FACENET.to_dict()
    ends = values[part] if isinstance(values[part], list) else values[part]["nearest"][1]
    ends[0], ends[-1] = first, last
    with pytest.raises(InvalidArgumentError, match="table of distances"):
        DistanceTable.from_dict(values)


@given(images=st.floats(1.0, 1e6), distance=st.floats(0.9, 1.4))
def test_more_images_never_bring_a_mean_nearer_than_the_nearest_image(
    images: float, distance: float
) -> None:
    # Below, the rates are rarer than what was measured.
    nearest = float(FACENET.false_match_rate("nearest", images, distance))
    centroid = float(FACENET.false_match_rate("centroid", images, distance))
    assert 0.0 <= centroid <= nearest * 1.1 <= 1.1


@given(images=st.floats(2.0, 1e6))
def test_the_mean_of_many_images_has_a_limit(images: float) -> None:
    some = FIRST_ROWS.quantiles("impostors", "centroid", images)
    limit = 2 * np.array(FIRST_ROWS.impostors["centroid"][1]) - FIRST_ROWS.impostors["centroid"][0]
    assert np.all(some >= np.maximum.accumulate(limit) - 1e-9)
