"""Enrolling the faces that XMP data mark."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from facekit import Detector, FaceRecognizer
from facekit.errors import EnrollmentWarning
from facekit.io.xmp import FaceRegion, tagged_people, write_regions


def test_the_face_that_is_marked_is_enrolled_not_the_largest(
    hopper: Path, astronaut: Path, tmp_path: Path
) -> None:
    large, small = Image.open(hopper), Image.open(astronaut).resize((256, 256))
    both = Image.new("RGB", (large.width + 256, large.height))
    both.paste(large, (0, 0))
    both.paste(small, (large.width, 0))
    image = tmp_path / "both.png"
    both.save(image)
    faces = Detector().detect(image)
    smallest = min(faces, key=lambda face: face.area)
    nowhere = (0.0, both.height - 20.0, 20.0, 20.0)
    write_regions(image, [FaceRegion(smallest.box, "Eileen"), FaceRegion(nowhere, "Nobody")])
    recognizer = FaceRecognizer("facekit-small")
    with pytest.warns(EnrollmentWarning, match="no face found where it is marked"):
        report = recognizer.enroll_people(tagged_people(tmp_path), progress=False)
    assert [(one.person, one.status, one.detail) for one in report.outcomes] == [
        ("Eileen", "enrolled", ""),
        ("Nobody", "no face", "no face found where it is marked"),
    ]
    (enrolled,) = recognizer.gallery.images("Eileen")
    assert enrolled.box == pytest.approx(smallest.box, abs=1e-3)


def test_two_faces_of_one_image_are_no_reason_for_a_warning_but_one_face_is(
    hopper: Path, tmp_path: Path
) -> None:
    image = tmp_path / "both.png"
    portrait = Image.open(hopper)
    both = Image.new("RGB", (2 * portrait.width, portrait.height))
    both.paste(portrait, (0, 0))
    both.paste(portrait, (portrait.width, 0))
    both.save(image)
    first, second = (face.box for face in Detector().detect(image))
    recognizer = FaceRecognizer("facekit-small")
    write_regions(image, [FaceRegion(first, "Ada"), FaceRegion(second, "Grace")])
    recognizer.enroll_people(tagged_people(tmp_path), progress=False)  # a warning is an error
    assert recognizer.people == {"Ada": 1, "Grace": 1}
    write_regions(image, [FaceRegion(first, "Eileen")], replace=True)
    with pytest.warns(EnrollmentWarning, match="the same file is enrolled as Ada$"):
        recognizer.enroll_people(tagged_people(tmp_path), progress=False)
