"""Laws of the aligner: every face gives a defined picture, wherever and however it stands."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from facekit import (
    Aligner,
    Detector,
    Face,
    ImageError,
    InvalidArgumentError,
    Keypoints,
    alignment,
    load_image,
)
from facekit.alignment import DEFAULT_TEMPLATE, similarity_transform
from facekit.pipeline import face_in_box

UInt8 = npt.NDArray[np.uint8]
Matrix = npt.NDArray[np.float64]
Mode = Literal["similarity", "crop"]

TEMPLATE = np.array(DEFAULT_TEMPLATE)
SIZE = 48
MODES: list[Mode] = ["similarity", "crop"]
NOISE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)

angles = st.floats(-math.pi, math.pi)
modes: st.SearchStrategy[Mode] = st.sampled_from(MODES)
colors = st.tuples(*[st.integers(0, 255)] * 3)


def face_of(points: Matrix, box: tuple[float, float, float, float] | None = None) -> Face:
    """Returns a face with these keypoints; its box, where it matters, is given."""
    left, top = points.min(axis=0)
    return Face(
        box=box or (float(left), float(top), 10.0, 10.0),
        confidence=0.9,
        keypoints=Keypoints(*((float(x), float(y)) for x, y in points)),
    )


def face_with_box(x: float, y: float, width: float, height: float) -> Face:
    """Returns a face with this box, its keypoints where they usually are."""
    points = (TEMPLATE - 0.5) * 1.25 * [width, height] + [x + width / 2, y + height / 2]
    return face_of(points, (x, y, width, height))


def similarity(angle: float, scale: float, shift: tuple[float, float]) -> Matrix:
    """Returns the 2×3 matrix that turns, scales, then shifts."""
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    return np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]]])


def moved(points: Matrix, matrix: Matrix) -> Matrix:
    return points @ matrix[:, :2].T + matrix[:, 2]


def scene(x: Matrix, y: Matrix) -> Matrix:
    """Returns the brightness of a smooth world at a place in it."""
    waves = [np.sin(x / 17 + y / 29), np.cos(x / 23 - y / 13), np.sin(x / 31) * np.cos(y / 19)]
    return 127.5 + 110 * np.stack(waves, axis=2)


def image_of_scene(matrix: Matrix, side: int = 240) -> UInt8:
    """Returns a photo of the smooth world, after the world was moved by the matrix."""
    y, x = np.mgrid[0:side, 0:side] + 0.5
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    places = moved(np.stack([x.ravel(), y.ravel()], axis=1), inverse[:2])
    return scene(*places.T.reshape(2, side, side)).round().astype(np.uint8)


def difference(left: UInt8, right: UInt8) -> float:
    """Returns the mean absolute difference of two pictures, 0 to 255."""
    return float(np.abs(left.astype(int) - right).mean())


# The least-squares similarity


@given(
    points=st.lists(st.tuples(*[st.floats(-100, 100)] * 2), min_size=2, max_size=9),
    angle=angles,
    scale=st.floats(0.01, 100),
    shift=st.tuples(*[st.floats(-1000, 1000)] * 2),
)
def test_every_similarity_is_recovered(
    points: list[tuple[float, float]], angle: float, scale: float, shift: tuple[float, float]
) -> None:
    source = np.array([*points, (0, 0), (150, -40)])
    expected = similarity(angle, scale, shift)
    found = similarity_transform(source, moved(source, expected))
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9 * (1000 + 100 * scale))


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(3, 8))
def test_no_other_similarity_is_closer(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    source, target = rng.normal(size=(2, count, 2))

    def error(matrix: Matrix) -> float:
        return float(np.square(moved(source, matrix) - target).sum())

    best = similarity_transform(source, target)
    assert best is not None
    (a, _, tx), (b, _, ty) = best
    for da, db, dx, dy in 0.01 * np.vstack([np.eye(4), -np.eye(4), rng.normal(size=(8, 4))]):
        other = np.array([[a + da, -(b + db), tx + dx], [b + db, a + da, ty + dy]])
        assert error(best) < error(other)


@given(seed=st.integers(0, 2**32 - 1))
def test_similarity_never_mirrors(seed: int) -> None:
    source = np.random.default_rng(seed).normal(size=(5, 2))
    matrix = similarity_transform(source, TEMPLATE)
    assert matrix is not None
    (a, b, _), (c, d, _) = matrix
    assert (d, -b) == pytest.approx((a, c))
    assert a * d - b * c > 0


@given(angle=angles)
def test_points_on_a_line_are_enough(angle: float) -> None:
    line = np.linspace(0, 50, 5)[:, np.newaxis] * [math.cos(angle), math.sin(angle)]
    expected = similarity(0.5, 2.0, (3, 4))
    assert similarity_transform(line, moved(line, expected)) == pytest.approx(expected)


@given(x=st.floats(-1e6, 1e6), y=st.floats(-1e6, 1e6))
def test_points_on_one_spot_fix_nothing(x: float, y: float) -> None:
    spot = np.full((5, 2), [x, y])
    assert similarity_transform(spot, TEMPLATE) is None
    assert similarity_transform(TEMPLATE, spot) is None


def test_mirrored_square_fixes_nothing() -> None:
    square = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    assert similarity_transform(square * [-1, 1], square) is None


# Alignment by keypoints


@given(
    angle=angles,
    scale=st.floats(0.7, 2),
    shift=st.tuples(*[st.floats(-8, 8)] * 2),
)
@example(angle=0, scale=1, shift=(0.5, 0.5))
def test_keypoints_come_to_lie_on_the_template(
    angle: float, scale: float, shift: tuple[float, float]
) -> None:
    points = moved(
        (TEMPLATE - 0.5) * SIZE, similarity(angle, scale, (90 + shift[0], 90 + shift[1]))
    )
    y, x = np.mgrid[0:180, 0:180] + 0.5
    template_y, template_x = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    for point, expected in zip(points, TEMPLATE * SIZE, strict=True):
        spot = 255 * np.exp(-(np.square(x - point[0]) + np.square(y - point[1])) / 18)
        aligned = Aligner(SIZE).align(spot.round().astype(np.uint8), [face_of(points)])
        weight = aligned[0, ..., 0] / aligned[0, ..., 0].sum()
        center = [(weight * template_x).sum(), (weight * template_y).sum()]
        assert center == pytest.approx(expected, abs=0.15)


@given(
    angle=angles,
    scale=st.floats(0.8, 2.5),
    shift=st.tuples(*[st.floats(-20, 20)] * 2),
)
def test_moved_world_gives_nearly_the_same_picture(
    angle: float, scale: float, shift: tuple[float, float]
) -> None:
    points = (TEMPLATE - 0.5) * SIZE
    still = similarity(0, 1, (120, 120))
    move = similarity(angle, scale, (120 + shift[0], 120 + shift[1]))
    before, after = (
        Aligner(SIZE).align(image_of_scene(matrix), [face_of(moved(points, matrix))])[0]
        for matrix in (still, move)
    )
    assert difference(before, after) < 1


@pytest.mark.parametrize("degrees", [-170, -90, -30, -7, 12, 45, 90, 133, 180])
def test_turned_portrait_gives_nearly_the_same_picture(
    detector: Detector, hopper: Path, degrees: int
) -> None:
    (face,) = detector.detect(hopper)
    with Image.open(hopper) as image:
        turned = image.rotate(degrees, Image.Resampling.BICUBIC, expand=False)
        turn = similarity(-math.radians(degrees), 1, (0, 0))
        turn[:, 2] = [image.width / 2, image.height / 2]
        points = moved(face.keypoints.to_array() - turn[:, 2], turn)
        before, after = (
            Aligner(96).align(picture, [someone])[0]
            for picture, someone in ((image, face), (turned, face_of(points)))
        )
    assert difference(before, after) < 1


@pytest.mark.parametrize("factor", [0.5, 1.7, 3])
def test_resized_portrait_gives_nearly_the_same_picture(
    detector: Detector, astronaut: Path, factor: float
) -> None:
    (face,) = detector.detect(astronaut)
    with Image.open(astronaut) as image:
        side = round(factor * image.width)
        resized = image.resize((side, side), Image.Resampling.LANCZOS)
        points = face.keypoints.to_array() * (side / image.width)
        before, after = (
            Aligner(40).align(picture, [someone])[0]
            for picture, someone in ((image, face), (resized, face_of(points)))
        )
    assert difference(before, after) < 1.5


def test_aligned_picture_stays_as_it_is() -> None:
    picture = NOISE[:40, :40]
    assert np.array_equal(Aligner(40).align(picture, [face_of(TEMPLATE * 40)])[0], picture)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_are_undone_exactly(turns: int) -> None:
    picture = NOISE[:40, :40]
    turn = similarity(-turns * math.pi / 2, 1, (20, 20))
    points = moved(TEMPLATE * 40 - 20, turn)
    turned = np.rot90(picture, turns)
    assert np.array_equal(Aligner(40).align(turned, [face_of(points)])[0], picture)


@given(left=st.integers(-60, 60), top=st.integers(-60, 60), number=st.integers(0, 2**32 - 1))
def test_nearest_pixel_is_repeated_beyond_the_border(left: int, top: int, number: int) -> None:
    picture = np.random.default_rng(number).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    padded = np.pad(picture, ((100, 100), (100, 100), (0, 0)), mode="edge")
    expected = padded[100 + top : 140 + top, 100 + left : 140 + left]
    aligned = Aligner(40).align(picture, [face_of(TEMPLATE * 40 + [left, top])])[0]
    assert np.array_equal(aligned, expected)


def test_keypoints_on_one_spot_give_the_box() -> None:
    face = face_of(np.full((5, 2), 20.0), (14, 10, 16, 16))
    assert np.array_equal(Aligner(20).align(NOISE, [face])[0], NOISE[8:28, 12:32])


def test_own_template_is_used() -> None:
    shifted = TEMPLATE + np.array([0.25, 0])
    face = face_of(shifted * 40)
    aligned = Aligner(40, template=shifted.tolist()).align(NOISE[:40, :40], [face])[0]
    assert np.array_equal(aligned, NOISE[:40, :40])


# Alignment by the box


@given(
    x=st.integers(100, 140).map(lambda quarter: quarter / 4),
    y=st.integers(100, 140).map(lambda quarter: quarter / 4),
    width=st.integers(4, 80).map(lambda quarter: quarter / 4),
    height=st.integers(4, 80).map(lambda quarter: quarter / 4),
    right=st.integers(0, 5),
    down=st.integers(0, 5),
)
@example(x=28.0, y=28.0, width=4.0, height=4.0, right=1, down=1)  # its edges lie on halves
def test_crop_moves_with_the_picture(
    x: float, y: float, width: float, height: float, right: int, down: int
) -> None:
    image = image_of_scene(similarity(0, 1, (0, 0)), 80)
    shifted = np.pad(image, ((down, 0), (right, 0), (0, 0)))
    aligner = Aligner(SIZE, "crop")
    before = aligner.align(image, [face_with_box(x, y, width, height)])
    after = aligner.align(shifted, [face_with_box(x + right, y + down, width, height)])
    assert np.array_equal(before, after)


@given(
    x=st.integers(4, 20),
    y=st.integers(4, 12),
    width=st.sampled_from([16, 24]),
    height=st.sampled_from([16, 24]),
    factor=st.integers(2, 5),
)
def test_crop_of_an_enlarged_picture_is_the_same(
    x: int, y: int, width: int, height: int, factor: int
) -> None:
    enlarged = NOISE.repeat(factor, axis=0).repeat(factor, axis=1)
    aligner = Aligner(10, "crop")
    before = aligner.align(NOISE, [face_with_box(x, y, width, height)])
    box = [factor * value for value in (x, y, width, height)]
    after = aligner.align(enlarged, [face_with_box(*box)])
    assert np.abs(before.astype(int) - after).max() <= 1


@given(x=st.integers(0, 36), y=st.integers(0, 16))
def test_crop_of_the_right_size_is_the_cut_itself(x: int, y: int) -> None:
    aligned = Aligner(24, "crop", margin=0).align(NOISE, [face_with_box(x, y, 24, 24)])
    assert np.array_equal(aligned[0], NOISE[y : y + 24, x : x + 24])


def test_margin_grows_the_cut_on_every_side() -> None:
    aligned = Aligner(24, "crop", margin=0.5).align(NOISE, [face_with_box(20, 12, 16, 16)])
    assert np.array_equal(aligned[0], NOISE[8:32, 16:40])


def test_crop_ends_at_the_border() -> None:
    aligned = Aligner(20, "crop", margin=0).align(NOISE, [face_with_box(-10, -10, 30, 30)])
    assert np.array_equal(aligned[0], NOISE[:20, :20])


# Both


any_number = st.floats(-1e4, 1e4) | st.floats(-1e12, 1e12)
any_length = st.floats(1e-9, 1) | st.floats(1, 1e4) | st.floats(1, 1e12)
any_face = st.builds(
    Face,
    box=st.tuples(any_number, any_number, any_length, any_length),
    confidence=st.just(0.9),
    keypoints=st.builds(Keypoints, *[st.tuples(any_number, any_number)] * 5),
)
near = st.floats(-80, 120)
near_face = st.builds(
    Face,
    box=st.tuples(near, near, st.floats(0.1, 200), st.floats(0.1, 200)),
    confidence=st.just(0.9),
    keypoints=st.builds(Keypoints, *[st.tuples(near, near)] * 5),
)
pictures = st.sampled_from([NOISE, NOISE[:1], NOISE[:, :1], NOISE[:1, :1]])


@settings(max_examples=150)
@given(faces=st.lists(any_face | near_face, max_size=3), picture=pictures, mode=modes)
@example(faces=[], picture=NOISE, mode="similarity")
@example(faces=[], picture=NOISE, mode="crop")
def test_every_face_gives_a_picture(faces: list[Face], picture: UInt8, mode: Mode) -> None:
    aligned = Aligner(16, mode).align(picture, faces)
    assert aligned.dtype == np.uint8
    assert aligned.shape == (len(faces), 16, 16, 3)


@settings(max_examples=150)
@given(face=any_face | near_face, color=colors, mode=modes, size=st.integers(1, 40))
def test_uniform_picture_gives_a_uniform_one(
    face: Face, color: tuple[int, int, int], mode: Mode, size: int
) -> None:
    aligned = Aligner(size, mode).align(np.full((30, 50, 3), color, np.uint8), [face])
    assert np.array_equal(aligned[0], np.full((size, size, 3), color))


AWKWARD: dict[str, Face] = {
    "at the left border": face_with_box(0, 10, 20, 20),
    "over the corner": face_with_box(-8, -8, 20, 20),
    "beyond the border": face_with_box(70, 10, 20, 20),
    "far away": face_with_box(-1e9, 1e9, 20, 20),
    "one pixel": face_with_box(30, 20, 1, 1),
    "a thousandth of a pixel": face_with_box(30, 20, 1e-3, 1e-3),
    "keypoints on one spot": face_of(np.full((5, 2), 25.0), (20, 20, 10, 10)),
    "keypoints on one spot far away": face_of(np.full((5, 2), 1e9), (1e9, 1e9, 10, 10)),
    "keypoints on a line": face_of(np.linspace((10, 10), (30, 20), 5)),
    "keypoints mirrored": face_of(TEMPLATE * [-40, 40] + [40, 0]),
    "larger than the picture": face_with_box(-500, -500, 1000, 1000),
    "huge": face_with_box(-1e6, -1e6, 2e6, 2e6),
    "a vertical line": face_with_box(20, 0, 1e-3, 40),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_face_gives_a_picture_of_its_pixels(name: str, mode: Mode) -> None:
    reds = np.dstack([NOISE[..., 0], np.zeros((40, 60, 2), np.uint8)])
    aligned = Aligner(16, mode).align(reds, [AWKWARD[name]])
    assert aligned.shape == (1, 16, 16, 3)
    assert reds[..., 0].min() <= aligned[..., 0].min() <= aligned[..., 0].max() <= 255
    assert not aligned[..., 1:].any()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(40_000, 3, 3), (3, 40_000, 3)])
def test_picture_longer_than_opencv_warps_is_fine(shape: tuple[int, ...], mode: Mode) -> None:
    picture = np.full(shape, 90, np.uint8)
    faces = [face_with_box(0, 0, 30, 30), face_with_box(1, 1, 40_000, 40_000)]
    assert (Aligner(16, mode).align(picture, faces) == 90).all()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("side", [32, 40, 64, 100, 150, 301, 640])
def test_shrinking_averages(side: int, mode: Mode) -> None:
    checkerboard = (np.indices((1000, 1000)).sum(axis=0) % 2 * 255).astype(np.uint8)
    start = (1000 - side) / 2
    aligned = Aligner(16, mode).align(checkerboard, [face_with_box(start, start, side, side)])
    assert np.abs(aligned.astype(int) - 127).max() <= 12
    assert aligned.mean() == pytest.approx(127.5, abs=1)


@given(faces=st.lists(near_face, min_size=2, max_size=4), mode=modes)
def test_order_of_the_faces_is_kept(faces: list[Face], mode: Mode) -> None:
    aligner = Aligner(16, mode)
    one_by_one = [aligner.align(NOISE, [face])[0] for face in faces]
    assert np.array_equal(aligner.align(NOISE, faces), one_by_one)


@pytest.mark.parametrize("mode", MODES)
def test_every_source_gives_the_same_picture(astronaut: Path, mode: Mode) -> None:
    faces = [face_with_box(180, 60, 80, 110)]
    aligner = Aligner(SIZE, mode)
    expected = aligner.align(load_image(astronaut), faces)
    for source in (astronaut, str(astronaut), astronaut.read_bytes()):
        assert np.array_equal(aligner.align(source, faces), expected)


@pytest.mark.parametrize("mode", MODES)
def test_view_of_a_picture_is_like_its_copy(mode: Mode) -> None:
    view = NOISE[::-1, ::2, ::-1]
    faces = [face_with_box(5, 5, 20, 20)]
    aligner = Aligner(SIZE, mode)
    assert np.array_equal(aligner.align(view, faces), aligner.align(view.copy(), faces))


@pytest.mark.parametrize("mode", MODES)
def test_picture_is_not_changed(mode: Mode) -> None:
    picture = NOISE.copy()
    Aligner(40, mode, margin=0).align(picture, [face_with_box(0, 0, 40, 40)])[...] = 0
    assert np.array_equal(picture, NOISE)


# Arguments


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Aligner(0), "size"),
        (lambda: Aligner(-1), "size"),
        (lambda: Aligner(160.0), "size"),  # type: ignore[arg-type]
        (lambda: Aligner(True), "size"),
        (lambda: Aligner("160"), "size"),  # type: ignore[arg-type]
        (lambda: Aligner(mode="affine"), "mode"),  # type: ignore[arg-type]
        (lambda: Aligner(mode=None), "mode"),  # type: ignore[arg-type]
        (lambda: Aligner(margin=-0.01), "margin"),
        (lambda: Aligner(margin=math.nan), "margin"),
        (lambda: Aligner(margin=math.inf), "margin"),
        (lambda: Aligner(template=DEFAULT_TEMPLATE[:4]), "template"),
        (lambda: Aligner(template=[*DEFAULT_TEMPLATE[:4], (0.5,)]), "template"),
        (lambda: Aligner(template=[(0.5, math.nan)] * 5), "template"),
        (lambda: Aligner(template="points"), "template"),  # type: ignore[arg-type]
        (lambda: Aligner(template=None), "template"),  # type: ignore[arg-type]
    ],
)
def test_bad_argument_is_named(make: Callable[[], Aligner], name: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{name} must "):
        make()


def test_unreadable_picture_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"ghost\.jpg"):
        Aligner().align(tmp_path / "ghost.jpg", [])


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"size": np.int64(112), "mode": "crop", "margin": 0.4},
        {"template": (TEMPLATE + 0.01).tolist()},
    ],
)
def test_dictionary_makes_an_equal_aligner(arguments: dict[str, Any]) -> None:
    dictionary = Aligner(**arguments).to_dict()
    assert Aligner(**json.loads(json.dumps(dictionary))).to_dict() == dictionary


def test_a_large_face_is_reduced_without_the_rest_of_the_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reduced = []
    resize = alignment._resize

    def watched(pixels: np.ndarray, *size: int) -> np.ndarray:
        reduced.append(pixels.shape)
        return resize(pixels, *size)

    monkeypatch.setattr(alignment, "_resize", watched)
    image = np.zeros((4000, 6000, 3), np.uint8)
    Aligner(112).align(image, [face_in_box((2000.0, 1000.0, 1000.0, 1200.0))])
    assert max(max(shape) for shape in reduced) < 2000


@pytest.mark.parametrize("change", [{"size": 0}, {"mode": "none"}, {"margin": -1}, {"template": 3}])
def test_a_changed_attribute_acts_or_is_refused(change: dict[str, Any]) -> None:
    aligner = Aligner(40)
    aligner.size = 20
    assert aligner.align(NOISE, []).shape == (0, 20, 20, 3)
    vars(aligner).update(change)
    with pytest.raises(InvalidArgumentError, match=next(iter(change))):
        aligner.align(NOISE, [])
