"""Enlarging aligned faces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit.embedding.networks.zoom import zoom_matrix, zoom_positions, zoomed

ZOOMS = st.floats(1.0, 2.0)


@given(side=st.integers(2, 40), zoom=ZOOMS, seed=st.integers(0, 2**32 - 1))
def test_the_matrix_gives_the_same_pixels(side: int, zoom: float, seed: int) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (2, side, side, 3), np.uint8)
    matrix = zoom_matrix(side, zoom)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0)
    channels_first = images.transpose(0, 3, 1, 2).astype(np.float32)
    expected = np.floor(matrix @ channels_first @ matrix.T + 0.5).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(zoomed(images, zoom), expected)


@given(side=st.integers(2, 40), zoom=ZOOMS)
def test_positions_are_symmetric_about_the_middle_and_inside(side: int, zoom: float) -> None:
    positions = zoom_positions(side, zoom)
    assert 0.0 <= positions.min() <= positions.max() <= side - 1
    # Halves of a 32nd are rounded to even ones on both sides.
    np.testing.assert_allclose(positions + positions[::-1], side - 1, atol=1 / 32)


@pytest.mark.parametrize("axes", [(0, 3, 1, 2), (3, 2, 1, 0), (1, 2, 3, 0)])
def test_the_order_in_memory_does_not_matter(axes: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 30, 30, 3), np.uint8)
    otherwise = np.ascontiguousarray(images.transpose(axes)).transpose(np.argsort(axes))
    np.testing.assert_array_equal(zoomed(otherwise, 1.5), zoomed(images, 1.5))


def test_zoom_1_changes_nothing() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 30, 30, 3), np.uint8)
    np.testing.assert_array_equal(zoomed(images, 1.0), images)


@pytest.mark.parametrize("side", [80, 112, 113])
def test_a_square_grows(side: int) -> None:
    image = np.zeros((1, side, side, 3), np.uint8)
    image[:, side // 4 : -(side // 4), side // 4 : -(side // 4)] = 255
    shares = [np.mean(zoomed(image, zoom) > 127) for zoom in (1.0, 1.1, 1.5)]
    assert shares[1] / shares[0] == pytest.approx(1.1**2, rel=0.05)
    assert shares[2] / shares[0] == pytest.approx(1.5**2, rel=0.05)
