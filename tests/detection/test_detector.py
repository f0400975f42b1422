"""Laws of the detector, on two portraits and on pictures made of them."""

from __future__ import annotations

import io
import json
import math
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from facekit import Detector, Face, ImageError, InvalidArgumentError, load_image

UInt8 = npt.NDArray[np.uint8]


@pytest.fixture(scope="module", params=["hopper", "astronaut"])
def portrait(request: pytest.FixtureRequest) -> UInt8:
    """A portrait at half its size, in which the smallest faces are still easy to find."""
    path: Path = request.getfixturevalue(request.param)
    with Image.open(path) as image:
        return load_image(image.reduce(2))


@pytest.fixture(scope="module")
def crowd(hopper: Path, astronaut: Path) -> UInt8:
    """Six faces of two people: both portraits, mirrored, darker, side by side."""
    heads = [load_image(hopper)[70:370, 110:410:], load_image(astronaut)[0:300, 80:380]]
    heads = [load_image(Image.fromarray(head).resize((150, 150))) for head in heads]
    mirrored = [head[:, ::-1] for head in heads]
    darker = [head // 2 for head in heads]
    return np.vstack([np.hstack(heads), np.hstack(mirrored), np.hstack(darker)])


def assert_lies_inside(face: Face, picture: UInt8) -> None:
    height, width = picture.shape[:2]
    x, y, box_width, box_height = face.box
    assert 0 <= x < x + box_width <= width
    assert 0 <= y < y + box_height <= height


# What is found


def test_portrait_shows_exactly_one_face(detector: Detector, portrait: UInt8) -> None:
    assert len(detector.detect(portrait)) == 1


def test_face_is_where_the_face_is(detector: Detector, hopper: Path, astronaut: Path) -> None:
    (grace,), (eileen,) = detector.detect(hopper), detector.detect(astronaut)
    assert math.dist(grace.center, (265, 220)) < 15
    assert math.dist(eileen.center, (224, 118)) < 15


def test_keypoints_lie_inside_the_box(detector: Detector, portrait: UInt8) -> None:
    (face,) = detector.detect(portrait)
    x, y, width, height = face.box
    assert all(x < px < x + width and y < py < y + height for px, py in face.keypoints)


def test_left_is_left_and_up_is_up(detector: Detector, portrait: UInt8) -> None:
    points = detector.detect(portrait)[0].keypoints
    assert points.left_eye[0] < points.nose[0] < points.right_eye[0]
    assert points.mouth_left[0] < points.mouth_right[0]
    assert max(points.left_eye[1], points.right_eye[1]) < points.nose[1]
    assert points.nose[1] < min(points.mouth_left[1], points.mouth_right[1])


def test_mirrored_portrait_has_the_mirrored_face(detector: Detector, portrait: UInt8) -> None:
    (face,), (mirrored,) = detector.detect(portrait), detector.detect(portrait[:, ::-1])
    width = portrait.shape[1]
    expected = (width - face.box[0] - face.box[2], *face.box[1:])
    tolerance = 0.1 * max(face.box[2:])
    assert mirrored.box == pytest.approx(expected, abs=tolerance)
    assert mirrored.keypoints.left_eye[0] == pytest.approx(
        width - face.keypoints.right_eye[0], abs=tolerance
    )


def test_every_face_of_a_crowd_is_found(detector: Detector, crowd: UInt8) -> None:
    cells = {
        (round(x // 150), round(y // 150)) for x, y in (f.center for f in detector.detect(crowd))
    }
    assert cells == {(column, row) for column in range(2) for row in range(3)}


def test_most_confident_comes_first(detector: Detector, crowd: UInt8) -> None:
    confidences = [face.confidence for face in detector.detect(crowd)]
    assert len(confidences) > 1
    assert confidences == sorted(confidences, reverse=True)


@settings(max_examples=10)
@given(left=st.integers(0, 240), top=st.integers(0, 390), height=st.integers(40, 200))
def test_boxes_have_an_area_and_lie_inside_the_picture(
    detector: Detector, crowd: UInt8, left: int, top: int, height: int
) -> None:
    part = crowd[top : top + height, left:]
    for face in detector.detect(part):
        assert_lies_inside(face, part)


@pytest.mark.parametrize("turns", range(4))
def test_box_of_a_face_at_the_border_is_clipped(
    detector: Detector, portrait: UInt8, turns: int
) -> None:
    x, y, width, height = (round(value) for value in detector.detect(portrait)[0].box)
    borders = [
        portrait[:, x + width // 8 :],
        portrait[:, : x + width - width // 8],
        portrait[y + height // 8 :],
        portrait[: y + height - height // 8],
    ]
    (face,) = detector.detect(borders[turns])
    assert_lies_inside(face, borders[turns])


# Pictures without faces


@settings(max_examples=20)
@given(
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40).flatmap(
        lambda side: hnp.arrays(np.uint8, (*side, 3))
    )
)
def test_any_small_picture_gives_a_list(detector: Detector, picture: UInt8) -> None:
    for face in detector.detect(picture):
        assert_lies_inside(face, picture)


@pytest.mark.parametrize("side", [*range(1, 26), 60])
def test_black_square_shows_no_face(detector: Detector, side: int) -> None:
    assert detector.detect(np.zeros((side, side, 3), np.uint8)) == []


@pytest.mark.parametrize("shape", [(1, 400), (400, 1), (11, 300), (13, 300), (20, 300)])
def test_narrow_strip_shows_no_face(detector: Detector, shape: tuple[int, int]) -> None:
    assert detector.detect(np.full(shape, 128, np.uint8)) == []


def test_noise_shows_no_face(detector: Detector) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    assert detector.detect(noise) == []


# The same answer in every way


def test_same_picture_gives_the_same_faces(detector: Detector, crowd: UInt8) -> None:
    assert detector.detect(crowd) == detector.detect(crowd.copy())


def test_another_detector_gives_the_same_faces(detector: Detector, crowd: UInt8) -> None:
    assert Detector().detect(crowd) == detector.detect(crowd)


def test_every_source_gives_the_same_faces(detector: Detector, astronaut: Path) -> None:
    faces = detector.detect(load_image(astronaut))
    assert detector.detect(astronaut) == faces
    assert detector.detect(str(astronaut)) == faces
    assert detector.detect(astronaut.read_bytes()) == faces


def test_batch_is_one_by_one(detector: Detector, crowd: UInt8, portrait: UInt8) -> None:
    pictures = [crowd, portrait, np.zeros((5, 5, 3), np.uint8), portrait[::2, ::2]]
    assert detector.detect_batch(iter(pictures)) == [detector.detect(one) for one in pictures]


def test_empty_batch_is_empty(detector: Detector) -> None:
    assert detector.detect_batch([]) == []


def test_dictionaries_are_those_of_the_faces(detector: Detector, crowd: UInt8) -> None:
    dictionaries = [face.to_dict() for face in detector.detect(crowd)]
    assert detector.detect_faces(crowd) == dictionaries
    assert detector.detect_faces([crowd, crowd]) == [dictionaries, dictionaries]


def test_dictionaries_are_ready_for_json(detector: Detector, portrait: UInt8) -> None:
    dictionaries = detector.detect_faces(portrait)
    assert json.loads(json.dumps(dictionaries)) == dictionaries


def test_threads_get_the_same_faces(detector: Detector, portrait: UInt8) -> None:
    fresh = Detector()
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(fresh.detect, [portrait] * 4))
    assert answers == [detector.detect(portrait)] * 4


def test_picture_is_not_changed(detector: Detector, portrait: UInt8) -> None:
    before = portrait.copy()
    detector.detect(portrait)
    assert np.array_equal(portrait, before)


# Arguments


@pytest.mark.parametrize("min_face_size", [10, 26, 60])
def test_face_larger_than_the_smallest_is_found(portrait: UInt8, min_face_size: int) -> None:
    (face,) = Detector(min_face_size=min_face_size).detect(portrait)
    assert max(face.box[2:]) > 40


@pytest.mark.parametrize("scale_factor", [0.6, 0.85])
def test_face_is_found_in_every_pyramid(portrait: UInt8, scale_factor: float) -> None:
    assert len(Detector(scale_factor=scale_factor).detect(portrait)) == 1


@pytest.mark.parametrize("min_face_size", [400, 1e9])
def test_picture_smaller_than_the_smallest_face_shows_none(
    portrait: UInt8, min_face_size: float
) -> None:
    assert Detector(min_face_size=min_face_size).detect(portrait) == []


@pytest.mark.parametrize("place", range(3))
def test_threshold_of_one_lets_nothing_pass(portrait: UInt8, place: int) -> None:
    thresholds = [0.6, 0.7, 0.8]
    thresholds[place] = 1.0
    assert Detector(thresholds=thresholds).detect(portrait) == []


def test_faces_are_at_least_as_confident_as_the_threshold(crowd: UInt8) -> None:
    some, more = (Detector(thresholds=(0.6, 0.7, t)).detect(crowd) for t in (0.99, 0.3))
    assert len(some) <= len(more)
    assert all(face.confidence > 0.99 for face in some)


@pytest.mark.parametrize("value", [5.99, 0, -1, math.nan, math.inf])
def test_min_face_size_is_checked(value: float) -> None:
    with pytest.raises(InvalidArgumentError, match=f"min_face_size.*{value}"):
        Detector(min_face_size=value)


@pytest.mark.parametrize("value", [0.09, 0.96, 1, 2, -0.5, math.nan, math.inf])
def test_scale_factor_is_checked(value: float) -> None:
    with pytest.raises(InvalidArgumentError, match=f"scale_factor.*{value}"):
        Detector(scale_factor=value)


@pytest.mark.parametrize(
    "value", [(), (0.6, 0.7), (0.6, 0.7, 0.8, 0.9), (-0.1, 0.7, 0.8), (0.6, 0.7, math.nan)]
)
def test_thresholds_are_checked(value: tuple[float, ...]) -> None:
    with pytest.raises(InvalidArgumentError, match="thresholds"):
        Detector(thresholds=value)


@pytest.mark.parametrize(
    "arguments",
    [
        {"min_face_size": "20"},
        {"min_face_size": None},
        {"scale_factor": True},
        {"thresholds": 0.5},
        {"thresholds": ("a", "b", "c")},
    ],
)
def test_arguments_of_a_wrong_type_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match=next(iter(arguments))):
        Detector(**arguments)


@pytest.mark.parametrize(
    "images", ["x.jpg", Path("x.jpg"), b"x", 3, np.zeros((9, 9, 3), dtype=np.uint8), io.BytesIO()]
)
def test_one_image_is_no_batch(detector: Detector, images: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="for one use detect"):
        detector.detect_batch(images)


def test_bounds_are_accepted() -> None:
    detector = Detector(min_face_size=6, scale_factor=0.95, thresholds=[0, 1, 0.5])
    assert detector.thresholds == (0.0, 1.0, 0.5)


def test_representation_makes_an_equal_detector() -> None:
    text = "Detector(min_face_size=40, scale_factor=0.8, thresholds=(0.5, 0.6, 0.7))"
    assert repr(eval(text)) == text


def test_unreadable_picture_is_named(detector: Detector, tmp_path: Path) -> None:
    (tmp_path / "letter.jpg").write_text("Dear reader")
    for find in (detector.detect, detector.detect_faces):
        with pytest.raises(ImageError, match=r"letter\.jpg"):
            find(tmp_path / "letter.jpg")


# Where the networks come from


class Evil:
    """An object that leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self._mark,))


@pytest.mark.parametrize("evil", [False, True], ids=["garbage", "pickle"])
def test_networks_in_the_working_directory_are_not_read(
    portrait: UInt8, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evil: bool
) -> None:
    mark = tmp_path / "mark"
    content = pickle.dumps(Evil(mark)) if evil else b"garbage"
    for name in ("pnet.lz4", "rnet.lz4", "onet.lz4"):
        (tmp_path / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    assert len(Detector().detect(portrait)) == 1
    assert not mark.exists()
