"""Laws of the image pyramid."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit.detection.pyramid import (
    SMALLEST_LEVEL,
    WINDOW,
    Level,
    draw_rows,
    draw_small_rows,
    plan_pyramid,
)

sides = st.integers(1, 3000)
min_face_sizes = st.floats(6, 400)
scale_factors = st.floats(0.1, 0.95)


def mean_by_definition(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Averages over each target pixel's area, by repeating every pixel that often."""
    fine = picture.repeat(height, axis=0).repeat(width, axis=1).astype(np.float64)
    blocks = fine.reshape(height, picture.shape[0], width, picture.shape[1], 3)
    return blocks.mean(axis=(1, 3))


@given(sides, sides, min_face_sizes, scale_factors, st.booleans())
def test_levels_shrink_by_the_factor_and_hold_a_window(
    height: int, width: int, min_face_size: float, scale_factor: float, complete: bool
) -> None:
    levels = plan_pyramid(height, width, min_face_size, scale_factor, complete=complete)
    for index, level in enumerate(levels):
        assert level.scale == pytest.approx(WINDOW / min_face_size * scale_factor**index)
        assert level.height == pytest.approx(height * level.scale, abs=1)
        assert level.width == pytest.approx(width * level.scale, abs=1)
        assert min(level.height, level.width) >= SMALLEST_LEVEL


@given(sides, sides, min_face_sizes, scale_factors)
def test_complete_pyramid_covers_every_size_of_face(
    height: int, width: int, min_face_size: float, scale_factor: float
) -> None:
    levels = plan_pyramid(height, width, min_face_size, scale_factor, complete=True)
    side = min(height, width)
    if side < min_face_size:
        assert len(levels) <= 1
        return
    # A face of any size fills a window on some level, or is less than one step larger.
    faces = np.array([WINDOW / level.scale for level in levels])
    assert faces[0] == pytest.approx(min_face_size)
    assert faces[-1] >= side * scale_factor * (1 - 1e-9)
    assert np.allclose(faces[1:] * scale_factor, faces[:-1])


@given(sides, sides, min_face_sizes, scale_factors)
def test_mtcnns_pyramid_is_the_start_of_the_complete_one(
    height: int, width: int, min_face_size: float, scale_factor: float
) -> None:
    levels = plan_pyramid(height, width, min_face_size, scale_factor)
    complete = plan_pyramid(height, width, min_face_size, scale_factor, complete=True)
    assert levels[: len(complete)] == complete[: len(levels)]


@given(sides, sides)
def test_with_the_defaults_mtcnns_pyramid_covers_faces_up_to_the_picture(
    height: int, width: int
) -> None:
    levels = plan_pyramid(height, width, 20, 0.709)
    if min(height, width) >= 30:
        assert WINDOW / levels[-1].scale >= min(height, width) * 0.709**1.5


@given(st.integers(1, 24), st.integers(1, 24), st.data(), st.integers(0, 99))
def test_every_pixel_is_the_mean_of_its_area(
    height: int, width: int, data: st.DataObject, seed: int
) -> None:
    picture = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    enlarge = data.draw(st.booleans())
    target = (
        data.draw(st.integers(height, 2 * height) if enlarge else st.integers(1, height)),
        data.draw(st.integers(width, 2 * width) if enlarge else st.integers(1, width)),
    )
    expected = mean_by_definition(picture, *target)
    level = Level(0.5, *target)
    top = data.draw(st.integers(0, target[0] - 1))
    count = data.draw(st.integers(1, target[0] - top))
    for pixels in (picture, picture.astype(np.float32)):
        drawn = draw_rows(pixels, level, top, count)
        assert drawn == pytest.approx(expected[top : top + count], abs=2e-3)
    drawn = draw_small_rows(cv2.integral(picture), level, top, count)
    assert drawn == pytest.approx(expected[top : top + count], abs=1e-4)


def test_wide_images_are_drawn_in_parts() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (90, 9000, 3), dtype=np.uint8)
    level = Level(0.3, 27, 2700)
    expected = draw_rows(np.ascontiguousarray(picture[:, :3000]), level._replace(width=900), 0, 27)
    assert draw_rows(picture, level, 0, 27)[:, :900] == pytest.approx(expected, abs=1e-3)
