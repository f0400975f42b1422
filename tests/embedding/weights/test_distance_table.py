"""The table of distances: what it says between and beyond the numbers that were measured."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
