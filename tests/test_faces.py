"""Laws of the result dataclasses."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from facekit import Face, InvalidArgumentError, Keypoints, RecognizedFace, Verification

POINTS = Keypoints((30, 40), (70, 40), (50, 60), (35, 80), (65, 80))
BOX = (10.0, 12.0, 80.0, 100.0)

coordinates = st.floats(-1e6, 1e6)
lengths = st.floats(1e-3, 1e6)
confidences = st.floats(0, 1)
points = st.tuples(coordinates, coordinates)
faces = st.builds(
    Face,
    box=st.tuples(coordinates, coordinates, lengths, lengths),
    confidence=confidences,
    keypoints=st.builds(Keypoints, *[points] * 5),
)

whole = st.integers(-100_000, 100_000)
whole_lengths = st.integers(1, 100_000)
mtcnn_dictionaries = st.fixed_dictionaries(
    {
        "box": st.tuples(whole, whole, whole_lengths, whole_lengths).map(list),
        "confidence": confidences,
        "keypoints": st.fixed_dictionaries(
            {name: st.tuples(whole, whole).map(list) for name in Keypoints._fields}
        ),
    }
)

junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(Keypoints._fields), inner)
    ),
    max_leaves=8,
)


def mtcnn_dictionary(**changes: Any) -> dict[str, Any]:
    return {**Face(BOX, 0.9, POINTS).to_dict(), **changes}


# Face


@given(mtcnn_dictionaries)
def test_whole_numbers_come_back_unchanged(dictionary: dict[str, Any]) -> None:
    assert Face.from_dict(dictionary).to_dict() == dictionary


@given(faces)
def test_json_gives_the_face_back(face: Face) -> None:
    again = Face.from_dict(json.loads(json.dumps(face.to_dict(rounded=False))))
    assert again == face
    assert hash(again) == hash(face)


@given(faces)
def test_rounded_numbers_are_whole_and_near(face: Face) -> None:
    dictionary = face.to_dict()
    numbers = dictionary["box"] + [v for p in dictionary["keypoints"].values() for v in p]
    exact = [*face.box, *(value for point in face.keypoints for value in point)]
    assert all(type(number) is int for number in numbers)
    assert all(abs(a - b) <= 0.5 for a, b in zip(numbers, exact, strict=True))


@given(mtcnn_dictionaries)
def test_numpy_numbers_are_read_like_plain_ones(dictionary: dict[str, Any]) -> None:
    with_numpy = {
        "box": np.array(dictionary["box"]),
        "confidence": np.float64(dictionary["confidence"]),
        "keypoints": {name: np.array(point) for name, point in dictionary["keypoints"].items()},
    }
    assert Face.from_dict(with_numpy) == Face.from_dict(dictionary)


def test_numpy_numbers_become_plain_in_the_dictionary() -> None:
    face = Face(
        box=tuple(np.float32([10.4, 12.6, 80, 100])),
        confidence=np.float32(0.5),
        keypoints=Keypoints(*(tuple(np.float32(point)) for point in POINTS)),
    )
    for rounded in (True, False):
        assert json.loads(json.dumps(face.to_dict(rounded=rounded))) == face.to_dict(
            rounded=rounded
        )


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_box_must_be_finite(place: int, value: float) -> None:
    box = list(BOX)
    box[place] = value
    with pytest.raises(InvalidArgumentError, match="box"):
        Face(tuple(box), 0.9, POINTS)  # type: ignore[arg-type]


@given(place=st.integers(2, 3), value=st.floats(max_value=0, allow_nan=False))
def test_box_must_have_an_area(place: int, value: float) -> None:
    box = list(BOX)
    box[place] = value
    with pytest.raises(InvalidArgumentError, match="box"):
        Face(tuple(box), 0.9, POINTS)  # type: ignore[arg-type]


@pytest.mark.parametrize("length", [0, 1, 3, 5])
def test_box_must_be_four_numbers(length: int) -> None:
    with pytest.raises(InvalidArgumentError, match="box"):
        Face((10.0,) * length, 0.9, POINTS)  # type: ignore[arg-type]


@given(st.floats().filter(lambda value: not 0 <= value <= 1))
def test_confidence_must_be_a_share(confidence: float) -> None:
    with pytest.raises(InvalidArgumentError, match="confidence must be a number from 0 to 1"):
        Face(BOX, confidence, POINTS)


@pytest.mark.parametrize("name", Keypoints._fields)
@pytest.mark.parametrize("point", [(math.nan, 0), (0, math.inf), (-math.inf, 0)])
def test_keypoints_must_be_finite(name: str, point: tuple[float, float]) -> None:
    with pytest.raises(InvalidArgumentError, match="keypoints"):
        Face(BOX, 0.9, POINTS._replace(**{name: point}))


@pytest.mark.parametrize(
    "keypoints",
    [
        (), POINTS[:4], tuple(POINTS), (*POINTS, (0, 0)), [(1, 2, 3)] * 5, (1, 2, 3, 4, 5), None,
        POINTS.to_array(), Keypoints(*[(1, 2, 3)] * 5),
    ],
)  # fmt: skip
def test_keypoints_must_be_five_pairs(keypoints: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="keypoints"):
        Face(BOX, 0.9, keypoints)


@pytest.mark.parametrize("key", ["box", "confidence", "keypoints"])
def test_dictionary_must_have_every_key(key: str) -> None:
    dictionary = mtcnn_dictionary()
    del dictionary[key]
    with pytest.raises(InvalidArgumentError, match=key):
        Face.from_dict(dictionary)


@pytest.mark.parametrize("name", Keypoints._fields)
def test_dictionary_must_have_every_keypoint(name: str) -> None:
    dictionary = mtcnn_dictionary()
    del dictionary["keypoints"][name]
    with pytest.raises(InvalidArgumentError, match=name):
        Face.from_dict(dictionary)


@given(key=st.sampled_from(["box", "confidence", "keypoints"]), value=junk)
@example(key="confidence", value=10**400)
def test_junk_for_one_key_gives_a_face_or_our_error(key: str, value: Any) -> None:
    try:
        face = Face.from_dict(mtcnn_dictionary(**{key: value}))
    except InvalidArgumentError:
        return
    assert Face.from_dict(face.to_dict(rounded=False)) == face


@given(name=st.sampled_from(Keypoints._fields), value=junk)
@example(name="nose", value=[10**400, 0])
def test_junk_for_one_keypoint_gives_a_face_or_our_error(name: str, value: Any) -> None:
    dictionary = mtcnn_dictionary()
    dictionary["keypoints"][name] = value
    try:
        face = Face.from_dict(dictionary)
    except InvalidArgumentError:
        return
    assert Face.from_dict(face.to_dict(rounded=False)) == face


@pytest.mark.parametrize("value", [None, 3, "face", [], [1, 2]])
def test_something_else_than_a_dictionary_is_refused(value: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        Face.from_dict(value)


def test_fields_beside_are_ignored() -> None:
    assert Face.from_dict(mtcnn_dictionary(name="Ann")) == Face.from_dict(mtcnn_dictionary())


def test_face_cannot_be_changed() -> None:
    face = Face(BOX, 0.9, POINTS)
    with pytest.raises(dataclasses.FrozenInstanceError):
        face.confidence = 1.0  # type: ignore[misc]


@given(faces)
def test_center_lies_in_the_middle_of_the_box(face: Face) -> None:
    x, y, width, height = face.box
    assert face.center == pytest.approx((x + width / 2, y + height / 2))


def test_area_is_that_of_the_box() -> None:
    assert Face(BOX, 0.9, POINTS).area == 8000


@given(faces)
def test_array_of_keypoints_keeps_their_order(face: Face) -> None:
    array = face.keypoints.to_array()
    assert array.dtype == np.float64
    assert [tuple(row) for row in array.tolist()] == list(face.keypoints)


# RecognizedFace and Verification


def recognized(name: str | None) -> RecognizedFace:
    return RecognizedFace(Face(BOX, 0.9, POINTS), name, "Ann", 0.7, 1.0, 0.6)


def test_label_is_the_name() -> None:
    assert recognized("Ann").label == "Ann"


def test_label_of_a_stranger_is_unknown() -> None:
    assert recognized(None).label == "unknown"


@pytest.mark.parametrize("name", ["Ann", None])
@pytest.mark.parametrize("rounded", [True, False])
def test_recognized_face_survives_json(name: str | None, rounded: bool) -> None:
    result = recognized(name)
    dictionary = json.loads(json.dumps(result.to_dict(rounded=rounded)))
    fields = ("name", "candidate", "distance", "threshold", "probability")
    assert [dictionary[field] for field in fields] == [name, "Ann", 0.7, 1.0, 0.6]
    assert Face.from_dict(dictionary) == result.face


@pytest.mark.parametrize("rounded", [True, False])
def test_verification_survives_json(rounded: bool) -> None:
    faces = (Face(BOX, 0.9, POINTS), Face((0, 0, 20, 20), 0.8, POINTS))
    dictionary = json.loads(
        json.dumps(Verification(True, 0.5, 1.1, faces).to_dict(rounded=rounded))
    )
    assert tuple(Face.from_dict(face) for face in dictionary.pop("faces")) == faces
    assert dictionary == {"same": True, "distance": 0.5, "threshold": 1.1, "metric": "euclidean"}


NOT_NUMBERS = [None, True, "abc", b"abcd", {}, 1j, object(), float("nan"), 10**400, [[1], [2]]]


@pytest.mark.parametrize("name", ["box", "confidence", "keypoints"])
@pytest.mark.parametrize("value", NOT_NUMBERS, ids=[type(value).__name__ for value in NOT_NUMBERS])
def test_a_face_of_anything_but_numbers_is_refused_by_name(name: str, value: object) -> None:
    arguments = {"box": (10, 12, 80, 100), "confidence": 0.9, "keypoints": POINTS, name: value}
    with pytest.raises(InvalidArgumentError, match=f"^{name} must be "):
        Face(**arguments)  # type: ignore[arg-type]


def test_a_face_of_arrays_equals_one_of_tuples() -> None:
    box: Any = np.array([10, 12, 80, 100])
    confidence: Any = np.float32(0.5)
    keypoints: Any = Keypoints(*np.array(POINTS))
    given = Face(box, confidence, keypoints)
    assert given == Face((10.0, 12.0, 80.0, 100.0), 0.5, POINTS)
    assert hash(given) == hash(Face((10.0, 12.0, 80.0, 100.0), 0.5, POINTS))
    assert given.to_dict()["keypoints"]["nose"] == [50, 60]
