"""Laws of augmentation: equal chances give equal faces, and each argument does its one thing."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from facekit import InvalidArgumentError
from facekit.training import Augmentation
from facekit.training.data.occlusion import occlude

# Every argument that is a probability or an extent at zero.
NOTHING = Augmentation(
    mirror=0,
    shift=0,
    scale=0,
    rotation=0,
    brightness=0,
    contrast=0,
    saturation=0,
    gray=0,
    blur=0,
    downscale=0,
    jpeg=0,
)

batches = hnp.arrays(
    np.uint8,
    st.tuples(st.integers(0, 4), st.integers(1, 24)).map(
        lambda shape: (shape[0], shape[1], shape[1], 3)
    ),
)
seeds = st.integers(0, 2**32)


def smooth(number: int = 32, side: int = 48) -> npt.NDArray[np.uint8]:
    """Returns faces that are smooth, as faces are: a bright spot on one side and a colored one."""
    y, x = np.mgrid[0:side, 0:side] / side
    channels = [np.exp(-((x - cx) ** 2 + (y - 0.4) ** 2) * 12) for cx in (0.3, 0.5, 0.7)]
    face = (30 + 180 * np.stack(channels, axis=-1)).astype(np.uint8)
    return np.repeat(face[None], number, axis=0)


def alter(images: npt.NDArray[np.uint8], **arguments: Any) -> npt.NDArray[np.int64]:
    altered = replace(NOTHING, **arguments)(images, np.random.default_rng(3))
    return altered.astype(np.int64)


@given(images=batches, seed=seeds)
def test_equal_chances_give_equal_faces(images: npt.NDArray[np.uint8], seed: int) -> None:
    before = images.copy()
    first = Augmentation()(images, np.random.default_rng(seed))
    second = Augmentation()(images, np.random.default_rng(seed))
    assert np.array_equal(first, second)
    assert (first.shape, first.dtype) == (images.shape, np.uint8)
    assert np.array_equal(images, before)


@given(images=batches, seed=seeds)
def test_nothing_changes_nothing(images: npt.NDArray[np.uint8], seed: int) -> None:
    assert np.array_equal(NOTHING(images, np.random.default_rng(seed)), images)


def test_other_chances_give_other_faces() -> None:
    faces = smooth(4)
    rng = np.random.default_rng(0)
    assert not np.array_equal(Augmentation()(faces, rng), Augmentation()(faces, rng))


def test_every_face_of_a_batch_is_altered_otherwise() -> None:
    altered = Augmentation()(smooth(16), np.random.default_rng(0))
    assert len(np.unique(altered.reshape(16, -1), axis=0)) == 16


@given(batches)
def test_mirror_exchanges_left_and_right(images: npt.NDArray[np.uint8]) -> None:
    assert np.array_equal(alter(images, mirror=1.0), images[:, :, ::-1])


def test_half_of_the_faces_are_mirrored() -> None:
    faces = smooth(400)
    mirrored = (alter(faces, mirror=0.5) == faces[:, :, ::-1]).all(axis=(1, 2, 3))
    assert 150 < mirrored.sum() < 250


@pytest.mark.parametrize(
    "arguments",
    [
        {"shift": 0.04},
        {"scale": 0.08},
        {"rotation": 8.0},
        {"brightness": 0.1},
        {"contrast": 0.25},
        {"saturation": 0.25},
        {"blur": 1.0, "blur_sigma": 0.05},
        {"downscale": 1.0},
        {"jpeg": 1.0},
        {"gray": 1.0},
        {"occlusion": 1.0},
    ],
)
def test_change_is_seen_but_small(arguments: dict[str, float]) -> None:
    faces = smooth()
    difference = np.abs(alter(faces, **arguments) - faces)
    assert 0 < difference.mean() < 40


def test_shift_moves_at_most_so_far() -> None:
    faces = np.zeros((200, 51, 51, 3), dtype=np.uint8)
    faces[:, 25, 25] = 255
    weights = alter(faces, shift=0.1)[..., 0]
    places = [
        (weights.sum(axis=other) * np.arange(51)).sum(axis=1) / weights.sum(axis=(1, 2)) - 25
        for other in (1, 2)
    ]
    assert np.abs(places).max() <= 0.1 * 51 + 0.5
    assert np.abs(places).max() > 0.08 * 51
    assert abs(np.mean(places)) < 0.5


def test_scale_and_rotation_leave_the_middle_where_it_is() -> None:
    faces = np.zeros((100, 51, 51, 3), dtype=np.uint8)
    faces[:, 23:28, 23:28] = 255
    weights = alter(faces, scale=0.3, rotation=180, mirror=0.5)[..., 0]
    for other in (1, 2):
        middles = (weights.sum(axis=other) * np.arange(51)).sum(axis=1) / weights.sum(axis=(1, 2))
        assert np.abs(middles - 25).max() < 0.1


def test_border_is_continued_and_not_black() -> None:
    white = np.full((50, 32, 32, 3), 255, dtype=np.uint8)
    assert (alter(white, shift=0.3, rotation=45, scale=0.5) == 255).all()


def test_gray_takes_the_color_and_keeps_the_brightness() -> None:
    faces = smooth()
    gray = alter(faces, gray=1.0)
    assert (gray.max(axis=-1) - gray.min(axis=-1) <= 1).all()
    assert np.abs(gray[..., 0] - faces @ [0.299, 0.587, 0.114]).max() <= 1


def test_contrast_and_saturation_keep_middle_gray() -> None:
    faces = np.full((50, 8, 8, 3), 127, dtype=np.uint8)
    assert np.abs(alter(faces, contrast=0.5, saturation=0.5) - 127).max() <= 1


def test_brightness_goes_both_ways_and_is_clipped() -> None:
    gray = np.full((100, 8, 8, 3), 127, dtype=np.uint8)
    levels = alter(gray, brightness=0.2)[:, 0, 0, 0]
    assert 127 - 52 <= levels.min() < 100
    assert 154 < levels.max() <= 127 + 52
    white = np.full((100, 8, 8, 3), 255, dtype=np.uint8)
    assert alter(white, brightness=0.2).min() >= 203


@pytest.mark.parametrize("arguments", [{"blur": 1.0, "blur_sigma": 0.1}, {"downscale": 1.0}])
def test_blur_and_downscaling_take_detail_away(arguments: dict[str, float]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 48, 48, 3), dtype=np.uint8)
    altered = alter(noise, **arguments)
    assert altered.std() < 0.8 * noise.std()
    assert altered.mean() == pytest.approx(noise.mean(), abs=1)


def test_compression_keeps_the_colors_apart() -> None:
    red = np.zeros((4, 32, 32, 3), dtype=np.uint8)
    red[..., 0] = 200
    assert np.abs(alter(red, jpeg=1.0) - red).max() < 8


@pytest.mark.parametrize("name", [field.name for field in fields(Augmentation)])
@pytest.mark.parametrize("value", [-0.1, 1e9, float("nan")])
def test_argument_out_of_range_is_named(name: str, value: float) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{name} must be .*got {value!r}"):
        Augmentation(**{name: value})


@pytest.mark.parametrize("value", ["0.5", None, [0.5]])
def test_argument_that_is_no_number_is_named(value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^mirror must be .*got"):
        Augmentation(mirror=value)
    with pytest.raises(InvalidArgumentError, match=r"^jpeg_quality must be .*got 40\.5"):
        Augmentation(jpeg_quality=40.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(8, 8, 3), (1, 8, 8), (1, 8, 8, 1), (1, 8, 9, 3)])
def test_images_of_another_form_are_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidArgumentError, match=r"images must be uint8 \(n, S, S, 3\), got"):
        Augmentation()(np.zeros(shape, np.uint8), np.random.default_rng(0))
    with pytest.raises(InvalidArgumentError, match="got float64"):
        Augmentation()(np.zeros((1, 8, 8, 3)), np.random.default_rng(0))  # type: ignore[arg-type]


def test_an_occlusion_covers_a_part_of_the_face_and_no_more() -> None:
    faces = np.full((60, 112, 112, 3), 128, dtype=np.uint8)
    changed = (alter(faces, occlusion=1.0) != 128).any(axis=3)
    share = changed.mean(axis=(1, 2))
    assert (share > 0.02).all()
    assert (share < 0.6).all()
    # Glasses cover the eyes, masks the mouth, hats the top.
    eyes, mouth, top = changed[:, 45, 38], changed[:, 84, 56], changed[:, 2, 56]
    assert all(part.any() for part in (eyes, mouth, top))
    assert not (eyes & mouth).any()


def test_what_is_drawn_follows_from_the_seed() -> None:
    face = np.full((100, 100, 3), 200, dtype=np.uint8)
    for seed in range(20):
        drawn, same = (occlude(face, np.random.default_rng(seed)) for _ in range(2))
        assert np.array_equal(drawn, same)
        assert (drawn != face).any()
        assert drawn.shape == face.shape
