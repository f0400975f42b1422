"""Laws of the windows cut out of a picture."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit.detection.patches import Source, cut_patches, patch_source

# Both ways to cut must give the same; OpenCV 4 reads between pixels too coarsely for the quick one.
both = pytest.mark.parametrize(
    "as_source",
    [
        lambda pixels: pixels,
        pytest.param(
            lambda pixels: patch_source(pixels, pixels.astype(np.float32)),
            marks=pytest.mark.skipif(cv2.__version__ < "5", reason="OpenCV 4 is not exact"),
        ),
    ],
    ids=["looked up", "remapped"],
)
coordinates = st.floats(-30, 60)


@st.composite
def squares(draw: st.DrawFn) -> np.ndarray:
    x, y, side = draw(coordinates), draw(coordinates), draw(st.floats(1, 40))
    return np.array([[x, y, x + side, y + side]])


def picture(seed: int, height: int = 25, width: int = 31) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@both
@given(seed=st.integers(0, 99), box=squares())
def test_every_point_is_interpolated_between_its_neighbors(
    as_source: Callable[[np.ndarray], Source], seed: int, box: np.ndarray
) -> None:
    pixels = picture(seed)
    (patch,) = cut_patches(as_source(pixels), box, side=5)
    height, width = pixels.shape[:2]
    for i in range(5):
        for j in range(5):
            y = (box[0, 1] + (box[0, 3] - box[0, 1]) * i / 4) / height * (height - 1)
            x = (box[0, 0] + (box[0, 2] - box[0, 0]) * j / 4) / width * (width - 1)
            if min(abs(x), abs(x - width + 1), abs(y), abs(y - height + 1)) < 1e-3:
                continue  # at the border, the last digit decides
            if 0 < y < height - 1 and 0 < x < width - 1:
                top, left = int(y), int(x)
                corners = pixels[top : top + 2, left : left + 2].astype(float)
                shares = np.outer([1 - y + top, y - top], [1 - x + left, x - left])
                expected = (corners * shares[..., None]).sum(axis=(0, 1))
            else:
                expected = np.full(3, 127.5)
            assert patch[i, j] == pytest.approx(expected, abs=0.05)


@both
@given(seed=st.integers(0, 99), boxes=st.lists(squares(), max_size=4))
def test_windows_do_not_depend_on_each_other(
    as_source: Callable[[np.ndarray], Source], seed: int, boxes: list[np.ndarray]
) -> None:
    source = as_source(picture(seed))
    together = cut_patches(source, np.concatenate([np.empty((0, 4)), *boxes]), side=6)
    assert together.shape == (len(boxes), 6, 6, 3)
    for patch, box in zip(together, boxes, strict=True):
        assert np.array_equal(cut_patches(source, box, side=6)[0], patch)


@both
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
def test_pictures_of_one_row_or_column(
    as_source: Callable[[np.ndarray], Source], shape: tuple[int, int]
) -> None:
    source = as_source(np.full((*shape, 3), 200, dtype=np.uint8))
    (patch,) = cut_patches(source, np.array([[0.0, 0.0, 0.5, 0.5]]), side=3)
    assert patch[0, 0].tolist() == [200, 200, 200]
