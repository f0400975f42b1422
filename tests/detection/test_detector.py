"""Laws of the detector, on two portraits and on pictures made of them."""

from __future__ import annotations

import copy
import io
import json
import math
import multiprocessing
import pickle
import re
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import pytest
from effort import tries
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from other_processes import METHODS, in_another_process
from PIL import Image

from facekit import (
    Detector,
    Face,
    ImageError,
    InvalidArgumentError,
    Keypoints,
    load_image,
)
from facekit.detection.patches import patch_source
from facekit.io.images import MAX_PIXELS

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


@given(
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 150), st.integers(1, 220)), max_size=12)
)
def test_small_images_searched_together_have_the_faces_of_each(
    crowd: UInt8, parts: list[tuple[int, int, int]]
) -> None:
    detector = Detector(rotations=(0, 90))
    images = [crowd[top : top + side, left : left + side] for top, left, side in parts]
    assert detector.detect_batch(images) == [detector.detect(image) for image in images]


def test_empty_batch_is_empty(detector: Detector) -> None:
    assert detector.detect_batch([]) == []


def test_dictionaries_are_those_of_the_faces(detector: Detector, crowd: UInt8) -> None:
    dictionaries = [face.to_dict() for face in detector.detect(crowd)]
    assert detector.detect_faces(crowd) == dictionaries
    assert detector.detect_faces([crowd, crowd]) == [dictionaries, dictionaries]


def test_dictionaries_are_those_of_the_faces_of_a_large_jpeg(hopper: Path, tmp_path: Path) -> None:
    with Image.open(hopper) as image:
        image.resize((2048, 2400)).save(tmp_path / "large.jpg")
    detector, path = Detector(max_image_side=500), tmp_path / "large.jpg"
    dictionaries = [face.to_dict() for face in detector.detect(path)]
    assert len(dictionaries) == 1
    assert detector.detect_faces(path) == dictionaries
    assert detector.detect_faces([path]) == [dictionaries]


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


REFUSED: dict[str, tuple[Any, ...]] = {
    "min_face_size": (5.99, 0, -1, math.nan, math.inf, "20", None),
    "scale_factor": (0.09, 0.96, 1, 2, -0.5, math.nan, math.inf, True),
    "thresholds": (0.5, None, (), (0.6, 0.7), (0.6, 0.7, 0.8, 0.9), ("a", "b", "c")),
    **dict.fromkeys(("max_image_side", "max_faces", "threads"), (0, -3, 1.5, "2", True)),
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in REFUSED.items() for value in values]
)
def test_arguments_are_checked(name: str, value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=f"{name}.*{re.escape(repr(value))}"):
        Detector(**{name: value})


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
def test_each_threshold_is_checked(value: float) -> None:
    with pytest.raises(InvalidArgumentError, match=f"thresholds.*{value}"):
        Detector(thresholds=(0.6, 0.7, value))


@pytest.mark.parametrize(
    "images", ["x.jpg", Path("x.jpg"), b"x", 3, np.zeros((9, 9, 3), dtype=np.uint8), io.BytesIO()]
)
def test_one_image_is_no_batch(detector: Detector, images: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="for one use detect"):
        detector.detect_batch(images)


def test_bounds_are_accepted() -> None:
    thresholds = [0, 1, 0.5]
    detector = Detector(min_face_size=6, scale_factor=0.95, thresholds=thresholds)
    assert detector.thresholds is thresholds  # stored as given, as scikit-learn's clone wants it


# Less to search


def test_region_finds_what_lies_in_it(detector: Detector, crowd: UInt8) -> None:
    everything = detector.detect(crowd)
    for column in range(2):
        found = detector.detect(crowd, region=(150 * column, 0, 150, 450))
        expected = [face for face in everything if face.center[0] // 150 == column]
        assert len(found) == len(expected) == 3
        for face in found:
            assert_lies_inside(face, crowd)
            nearest = min(math.dist(face.center, other.center) for other in expected)
            assert nearest < 0.1 * face.box[3]


@settings(max_examples=10)
@given(left=st.integers(0, 150), top=st.integers(0, 250))
def test_region_is_the_cut_out_part(detector: Detector, crowd: UInt8, left: int, top: int) -> None:
    part = detector.detect(crowd[top : top + 190, left : left + 150])
    found = detector.detect(crowd, region=(left, top, 150, 190))
    assert len(found) == len(part)
    for face, moved in zip(part, found, strict=True):
        x, y, width, height = face.box
        assert moved.box == pytest.approx((x + left, y + top, width, height))
        assert moved.keypoints.to_array() == pytest.approx(
            face.keypoints.to_array() + np.array([left, top])
        )


def test_region_beyond_the_border_is_cut_off(detector: Detector, portrait: UInt8) -> None:
    height, width = portrait.shape[:2]
    region = (-50.5, -50.5, width + 200, height + 200)
    assert detector.detect(portrait, region=region) == detector.detect(portrait)


def test_region_outside_the_picture_is_an_error(
    detector: Detector, portrait: UInt8, hopper: Path
) -> None:
    with pytest.raises(ImageError, match="lies outside"):
        detector.detect(portrait, region=(10_000, 0, 10, 10))
    with pytest.raises(ImageError, match=r"grace_hopper\.jpg.*lies outside"):
        detector.detect(hopper, region=(-100, 0, 10, 10))
    with pytest.raises(ImageError, match="lies outside"):
        detector.detect(portrait, region=(1e308, 0, 1e308, 10))


@pytest.mark.parametrize(
    "region", [(0, 0, 10), (0, 0, 0, 10), (0, 0, 10, -1), (0, math.nan, 1, 1), "abcd", 7]
)
def test_region_is_checked(detector: Detector, portrait: UInt8, region: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="region"):
        detector.detect(portrait, region=region)


@pytest.mark.parametrize("side", [100, 150, 299])
def test_boxes_of_a_reduced_copy_are_in_pixels_of_the_picture(
    detector: Detector, portrait: UInt8, side: int
) -> None:
    (face,) = detector.detect(portrait)
    (found,) = Detector(max_image_side=side).detect(portrait)
    assert_lies_inside(found, portrait)
    assert found.box == pytest.approx(face.box, abs=0.15 * max(face.box[2:]))
    difference = found.keypoints.to_array() - face.keypoints.to_array()
    assert np.abs(difference).max() < 0.15 * max(face.box[2:])


def test_picture_within_the_side_is_not_reduced(detector: Detector, portrait: UInt8) -> None:
    assert Detector(max_image_side=4000).detect(portrait) == detector.detect(portrait)


@pytest.mark.parametrize("most", [1, 2, 4, 100])
def test_at_most_so_many_faces_the_largest(detector: Detector, crowd: UInt8, most: int) -> None:
    everything = detector.detect(crowd)
    found = Detector(max_faces=most).detect(crowd)
    assert len(found) == min(most, len(everything))
    areas = sorted((face.area for face in everything), reverse=True)
    assert sorted((face.area for face in found), reverse=True) == areas[: len(found)]
    assert [face for face in everything if face in found] == found


def test_complete_pyramid_finds_a_face_as_large_as_the_picture(hopper: Path) -> None:
    # mtcnn's pyramid ends at faces of half this picture's height.
    with Image.open(hopper) as image:
        close = load_image(image.crop((150, 60, 390, 350)))
    assert Detector(min_face_size=7).detect(close) == []
    (face,) = Detector(min_face_size=7, complete_pyramid=True).detect(close)
    assert face.box[3] > 0.6 * close.shape[0]


# mtcnn's arguments of the call


@settings(max_examples=10)
@given(cut=st.integers(40, 100), side=st.sampled_from(["left", "right"]))
def test_fit_to_image_clips_boxes_and_limits_keypoints(
    detector: Detector, hopper: Path, cut: int, side: str
) -> None:
    with Image.open(hopper) as image:
        picture = load_image(image.reduce(2))
    # The face spans from about 89 to 176.
    part = picture[:, cut + 50 :] if side == "left" else picture[:, : 220 - cut]
    height, width = part.shape[:2]
    for face in detector.detect_faces(part, box_format="xyxy", limit_boundaries_landmarks=True):
        x1, y1, x2, y2 = face["box"]
        assert 0 <= x1 < x2 <= width - 1
        assert 0 <= y1 < y2 <= height - 1
        for x, y in face["keypoints"].values():
            assert 0 <= x <= width - 1
            assert 0 <= y <= height - 1
    loose = detector.detect_faces(part, fit_to_image=False)
    assert len(loose) == len(detector.detect_faces(part))


def test_arguments_of_the_call_are_those_of_the_detector(crowd: UInt8) -> None:
    answer = Detector().detect_faces(
        crowd,
        min_face_size=30,
        scale_factor=0.6,
        threshold_pnet=0.5,
        threshold_rnet=0.6,
        threshold_onet=0.4,
    )
    other = Detector(min_face_size=30, scale_factor=0.6, thresholds=(0.5, 0.6, 0.4))
    assert answer == other.detect_faces(crowd)


@pytest.mark.parametrize(
    "arguments",
    [
        {"box_format": "yxyx"},
        {"output_type": "xml"},
        {"batch_stack_justification": "up"},
        {"nms_rnet": 2},
        {"min_face_size": 2},
        {"scale_factor": 2},
        {"threshold_onet": 3},
    ],
)
def test_arguments_of_the_call_are_checked(
    detector: Detector, portrait: UInt8, arguments: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgumentError):
        detector.detect_faces(portrait, **arguments)


def test_array_has_the_numbers_of_the_dictionaries(crowd: UInt8, portrait: UInt8) -> None:
    detector = Detector()
    black = np.zeros((30, 30, 3), np.uint8)
    images = [crowd, black, portrait]
    for box_format in ("xywh", "xyxy"):
        rows = detector.detect_faces(images, output_type="numpy", box_format=box_format)
        dictionaries = detector.detect_faces(images, box_format=box_format)
        assert rows.dtype == np.float64
        assert rows[:, 0].tolist() == [0.0] * len(dictionaries[0]) + [2.0] * len(dictionaries[2])
        for row, one in zip(rows, [*dictionaries[0], *dictionaries[2]], strict=True):
            assert row[1:5].round().tolist() == one["box"]
            assert row[5] == one["confidence"]
            points = [one["keypoints"][name] for name in Keypoints._fields]
            assert row[6:].reshape(2, 5).T.round().tolist() == points
    assert detector.detect_faces(black, output_type="numpy").shape == (0, 16)


def test_arguments_without_effect_change_nothing(detector: Detector, crowd: UInt8) -> None:
    expected = detector.detect_faces([crowd])
    assert detector.detect_faces([crowd], batch_stack_justification="topleft") == expected
    assert detector.detect_faces([crowd], min_size=30) == expected
    half = crowd[:, :220]
    loose = detector.detect_faces(half, fit_to_image=False)
    assert detector.detect_faces(half, True, True, postprocess=False) == loose


# One set of networks for all


@pytest.mark.parametrize("threads", [1, 3])
def test_number_of_threads_changes_nothing(detector: Detector, crowd: UInt8, threads: int) -> None:
    assert Detector(threads=threads).detect(crowd) == detector.detect(crowd)


def test_pickled_and_copied_detectors_find_the_same(portrait: UInt8) -> None:
    original = Detector(min_face_size=30, max_faces=1)
    for other in (pickle.loads(pickle.dumps(original)), copy.deepcopy(original)):
        assert repr(other) == repr(original)
        assert other.detect(portrait) == original.detect(portrait)


def test_parameters_make_an_equal_detector() -> None:
    original = Detector(min_face_size=30, max_faces=1, max_image_side=800, complete_pyramid=True)
    copied = Detector(**json.loads(json.dumps(original.get_params())))
    assert repr(copied) == repr(original)


@pytest.mark.check
@pytest.mark.parametrize("method", METHODS)
def test_detector_works_in_another_process(
    detector: Detector, portrait: UInt8, method: str
) -> None:
    found = in_another_process(detector.detect, portrait, method=method)
    assert found == detector.detect(portrait)


def test_detection_imports_no_tensorflow(hopper: Path) -> None:
    program = (
        "import sys; from facekit import Detector\n"
        f"print(len(Detector().detect({str(hopper)!r})))\n"
        "print(sorted({'tensorflow', 'keras', 'mtcnn', 'joblib', 'sklearn'} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert answer.stdout.split("\n")[:2] == ["1", "[]"]
    assert answer.stderr == ""


def growth_over_many_sizes(picture: UInt8) -> int:
    """Returns by how many bytes a process grows that searches pictures of many sizes."""
    detector, random = Detector(), np.random.default_rng(0)

    def look(count: int) -> None:
        for _ in range(count):
            height, width = random.integers(20, 300, 2)
            detector.detect(picture[:height, :width])

    look(10)
    before = psutil.Process().memory_info().rss
    look(tries(80, 250))
    return psutil.Process().memory_info().rss - before


def test_pictures_of_many_sizes_take_no_more_memory(crowd: UInt8) -> None:
    # In a process of its own: elsewhere, growth vanishes in memory that other tests have freed.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        assert pool.submit(growth_over_many_sizes, crowd).result(timeout=200) < 50e6


def test_strip_of_twenty_by_twenty_thousand(detector: Detector) -> None:
    assert detector.detect(np.full((20, 20_000, 3), 90, np.uint8)) == []


def test_floating_point_picture_with_nan_is_refused(detector: Detector) -> None:
    with pytest.raises(ImageError, match="NaN"):
        detector.detect(np.full((40, 40, 3), np.nan))


def test_representation_makes_an_equal_detector() -> None:
    plain = "Detector(min_face_size=40, scale_factor=0.8, thresholds=(0.5, 0.6, 0.7)"
    extra = ", max_image_side=900, max_faces=2, complete_pyramid=True, padding=0.2, threads=1"
    for text in ("Detector()", f"{plain})", f"{plain}{extra})"):
        assert repr(eval(text)) == text
    assert repr(Detector(thresholds=np.array([0.6, 0.7, 0.8]), rotations=[0])) == "Detector()"
    assert "thresholds=(" in repr(Detector(thresholds=np.array([0.6, 0.7, 0.9])))


# Arguments that change


def test_changed_attributes_count_everywhere(portrait: UInt8) -> None:
    detector = Detector()
    detector.min_face_size = 2000
    assert detector.detect(portrait) == detector.detect_faces(portrait) == []
    assert detector.detect_batch([portrait]) == [[]]
    assert next(detector.detect_stream([portrait])).faces == []
    detector.set_params(min_face_size=20, max_faces=1)
    assert len(detector.detect(portrait)) == len(detector.detect_faces(portrait)) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("min_face_size", 3),
        ("thresholds", (1, 2)),
        ("padding", -1),
        ("rotations", (45,)),
        ("rotations", [[90]]),
        ("rotations", (np.array([0, 90]),)),
        ("rotations", "90"),
        ("threads", 0),
    ],
)
def test_wrong_values_are_refused_however_they_arrive(
    portrait: UInt8, name: str, value: Any
) -> None:
    with pytest.raises(InvalidArgumentError, match=name):
        Detector(**{name: value})
    detector = Detector(max_faces=3)
    with pytest.raises(InvalidArgumentError, match=name):
        detector.set_params(max_faces=5, **{name: value})
    assert detector.max_faces == 3
    setattr(detector, name, value)
    for find in (detector.detect, detector.detect_faces):
        with pytest.raises(InvalidArgumentError, match=name):
            find(portrait)


def test_parameters_of_other_names_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="min_face_sizee"):
        Detector().set_params(min_face_sizee=40)


# Faces that lie on their side, fill the image, or are hard to see


@pytest.mark.parametrize("quarters", range(4))
def test_turned_image_has_the_turned_face(portrait: UInt8, quarters: int) -> None:
    detector = Detector(rotations=(0, 90, 180, 270))
    (face,) = detector.detect(portrait)
    turned = np.ascontiguousarray(np.rot90(portrait, quarters))
    (found,) = detector.detect(turned)
    assert_lies_inside(found, turned)
    back = Detector().detect(portrait)[0].keypoints.to_array()
    size = np.array(portrait.shape[1::-1], dtype=float) - 1
    for _ in range(quarters):  # where a point of the upright image lies after a quarter turn
        back = np.stack([back[:, 1], size[0] - back[:, 0]], axis=1)
        size = size[::-1]
    # The left eye stays the left eye of the face, so that the aligner turns it upright.
    assert found.keypoints.to_array() == pytest.approx(back, abs=0.1 * face.box[2])


def test_face_that_fills_the_image_is_found_with_padding(portrait: UInt8) -> None:
    (face,) = Detector().detect(portrait)
    x, y, width, height = (round(value) for value in face.box)
    cut = portrait[y + height // 5 : y + height, x : x + width]
    found = Detector(padding=0.5).detect(cut)
    assert len(found) == 1
    assert_lies_inside(found[0], cut)
    moved = found[0].keypoints.to_array() + np.array([x, y + height // 5])
    assert moved == pytest.approx(face.keypoints.to_array(), abs=0.15 * width)


def test_thorough_detector_finds_no_fewer_faces(crowd: UInt8) -> None:
    thorough = Detector.thorough(threads=1)
    assert thorough.threads == 1
    assert thorough.complete_pyramid
    assert len(thorough.detect(crowd)) >= len(Detector().detect(crowd))
    assert Detector.thorough(padding=0).padding == 0


# Large images


def test_large_image_is_searched_piece_by_piece_with_the_same_answer(
    crowd: UInt8, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = Detector().detect(crowd)
    monkeypatch.setattr("facekit.detection.cascade._COPIED_PIXELS", 0)
    monkeypatch.setattr("facekit.detection.cascade._DRAWN_PIXELS", 1)
    found = Detector().detect(crowd)
    assert len(found) == len(expected)
    for face, other in zip(found, expected, strict=True):
        assert face.box == pytest.approx(other.box, abs=0.01)
        assert face.confidence == pytest.approx(other.confidence, abs=1e-4)


def test_windows_of_a_large_image_need_no_copy_of_its_pixels() -> None:
    pixels = np.zeros((3000, 2000, 3), np.uint8)
    source = patch_source(pixels, pixels)
    assert np.shares_memory(source, pixels)


def test_an_array_may_be_larger_than_a_file() -> None:
    side = math.isqrt(MAX_PIXELS) + 1
    large = np.zeros((side, side, 3), np.uint8)
    reduced = Detector(max_image_side=32)
    assert reduced.detect(large) == []
    assert reduced.detect_batch([large]) == [[]]
    assert next(reduced.detect_stream([large])).error is None


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
