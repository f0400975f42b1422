"""facekit's detector answers exactly what the mtcnn package answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mtcnn import MTCNN
from PIL import Image

from facekit import Detector, Face, load_image


@pytest.fixture(scope="module")
def mtcnn() -> MTCNN:
    """The package itself, as its documentation uses it."""
    return MTCNN()


@pytest.fixture(params=["hopper", "astronaut"])
def portrait(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


def photos(folder: Path, pattern: str, count: int) -> list[Path]:
    """Returns some photos, spread evenly over all of them."""
    found = sorted(folder.glob(pattern))
    return found[:: len(found) // count][:count]


def test_portrait(detector: Detector, mtcnn: MTCNN, portrait: Path) -> None:
    expected = mtcnn.detect_faces(load_image(portrait))
    assert len(expected) == 1
    assert detector.detect_faces(portrait) == expected


def test_file_that_both_decode(detector: Detector, mtcnn: MTCNN, astronaut: Path) -> None:
    # mtcnn reads files as 0 to 1 and multiplies by 255, which costs the last digits.
    (ours,), (theirs,) = (
        find(str(astronaut)) for find in (detector.detect_faces, mtcnn.detect_faces)
    )
    assert ours.pop("confidence") == pytest.approx(theirs.pop("confidence"), abs=1e-5)
    assert ours == theirs


def test_dictionary_of_mtcnn_makes_a_face(mtcnn: MTCNN, portrait: Path) -> None:
    (expected,) = mtcnn.detect_faces(load_image(portrait))
    assert Face.from_dict(expected).to_dict() == expected


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"min_face_size": 15}, {"min_face_size": 15}),
        ({"scale_factor": 0.6}, {"scale_factor": 0.6}),
        (
            {"thresholds": (0.5, 0.3, 0.2)},
            {"threshold_pnet": 0.5, "threshold_rnet": 0.3, "threshold_onet": 0.2},
        ),
    ],
    ids=["min_face_size", "scale_factor", "thresholds"],
)
def test_arguments(
    mtcnn: MTCNN, astronaut: Path, ours: dict[str, Any], theirs: dict[str, Any]
) -> None:
    expected = mtcnn.detect_faces(load_image(astronaut), **theirs)
    assert expected
    assert Detector(**ours).detect_faces(astronaut) == expected


@pytest.mark.parametrize("side", [40, 57, 83, 121, 178])
def test_every_size(detector: Detector, mtcnn: MTCNN, hopper: Path, side: int) -> None:
    with Image.open(hopper) as image:
        picture = load_image(image.crop((120, 60, 420, 360)).resize((side, side + 11)))
    assert detector.detect_faces(picture) == mtcnn.detect_faces(picture)


def test_picture_without_a_face(detector: Detector, mtcnn: MTCNN) -> None:
    black = np.zeros((64, 64, 3), np.uint8)
    assert detector.detect_faces(black) == mtcnn.detect_faces(black) == []


def test_photos_of_crowds(detector: Detector, mtcnn: MTCNN, data_folder: Path) -> None:
    faces = 0
    for photo in photos(data_folder / "wider_face", "images/**/*.jpg", 3):
        expected = mtcnn.detect_faces(load_image(photo))
        assert detector.detect_faces(photo) == expected, photo
        faces += len(expected)
    assert faces > 3


def test_photos_of_people(detector: Detector, mtcnn: MTCNN, data_folder: Path) -> None:
    faces = 0
    for photo in photos(data_folder / "lfw", "*/*.jpg", 8):
        expected = mtcnn.detect_faces(load_image(photo))
        assert detector.detect_faces(photo) == expected, photo
        faces += len(expected)
    assert faces >= 8
