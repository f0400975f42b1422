"""What is measured of faces: laws on real portraits, and damage that must show."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit import Detector, Face, ImageError, Keypoints, QualityGate, load_image
from facekit.io.images import RGBImage
from facekit.quality import measure_quality

Portrait = tuple[RGBImage, Face]


@pytest.fixture(scope="module", params=["hopper", "astronaut"])
def portrait(request: pytest.FixtureRequest, detector: Detector) -> Portrait:
    pixels = load_image(request.getfixturevalue(request.param))
    (face,) = detector.detect(pixels)
    return pixels, face


def moved(face: Face, scale: float = 1.0, right: float = 0.0, down: float = 0.0) -> Face:
    x, y, width, height = face.box
    points = ((scale * a + right, scale * b + down) for a, b in face.keypoints)
    box = (scale * x + right, scale * y + down, scale * width, scale * height)
    return Face(box, face.confidence, Keypoints(*points))


def mirrored(face: Face, width: int) -> Face:
    x, y, box_width, height = face.box
    flip = [(width - a, b) for a, b in face.keypoints]
    points = Keypoints(flip[1], flip[0], flip[2], flip[4], flip[3])
    return Face((width - x - box_width, y, box_width, height), face.confidence, points)


def test_two_good_portraits_have_no_problems(portrait: Portrait) -> None:
    quality = QualityGate().assess(*portrait)
    assert quality.problems == ()
    assert quality.good
    assert abs(quality.yaw) < 30
    assert 0.2 < quality.brightness < 0.8
    assert quality.outside == 0.0


@pytest.mark.parametrize("scale", [0.5, 0.75, 1.5, 2.0])
def test_scaling_an_image_scales_the_sizes_and_hardly_the_rest(
    portrait: Portrait, scale: float
) -> None:
    pixels, face = portrait
    height, width = pixels.shape[:2]
    size = (round(scale * width), round(scale * height))
    resized = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
    before, after = measure_quality(pixels, face), measure_quality(resized, moved(face, scale))
    assert after.interocular == pytest.approx(scale * before.interocular)
    assert after.side == pytest.approx(scale * before.side)
    assert (after.yaw, after.pitch, after.roll) == pytest.approx(
        (before.yaw, before.pitch, before.roll), abs=1e-6
    )
    assert after.sharpness == pytest.approx(before.sharpness, rel=0.25)
    assert after.brightness == pytest.approx(before.brightness, abs=0.01)
    assert after.contrast == pytest.approx(before.contrast, abs=0.01)


def test_a_mirrored_image_has_the_mirrored_pose_and_the_same_rest(portrait: Portrait) -> None:
    pixels, face = portrait
    before = measure_quality(pixels, face)
    flipped = np.ascontiguousarray(pixels[:, ::-1])
    after = measure_quality(flipped, mirrored(face, pixels.shape[1]))
    assert (after.yaw, after.pitch, after.roll) == pytest.approx(
        (-before.yaw, before.pitch, -before.roll), abs=1e-6
    )
    assert after.interocular == pytest.approx(before.interocular)
    assert after.sharpness == pytest.approx(before.sharpness, rel=0.05)
    assert after.brightness == pytest.approx(before.brightness, abs=0.005)


@pytest.mark.parametrize("angle", [0, 45, 90, 135], ids="{} degrees".format)
def test_blur_of_motion_shows_in_every_direction(portrait: Portrait, angle: int) -> None:
    pixels, face = portrait
    length = round(measure_quality(pixels, face).interocular / 2)
    line = np.zeros((2 * length + 1, 2 * length + 1))
    for step in np.linspace(-length / 2, length / 2, 4 * length):
        x, y = step * np.cos(np.radians(angle)), step * np.sin(np.radians(angle))
        line[length + round(y), length + round(x)] = 1.0
    blurred = np.asarray(cv2.filter2D(pixels, -1, line / line.sum()))
    (problem,) = QualityGate().assess(blurred, face).problems
    assert problem.startswith("blurred: ")


def test_more_blur_is_less_sharp(portrait: Portrait) -> None:
    pixels, face = portrait
    eyes = measure_quality(pixels, face).interocular
    blurred = [pixels] + [
        np.asarray(cv2.GaussianBlur(pixels, (0, 0), share * eyes)) for share in (0.03, 0.06, 0.12)
    ]
    sharpness = [measure_quality(image, face).sharpness for image in blurred]
    assert sharpness == sorted(sharpness, reverse=True)
    assert QualityGate().assess(blurred[-1], face).problems[0].startswith("blurred: ")


@pytest.mark.parametrize(
    ("gain", "offset", "kind"),
    [(0.1, 0, "too dark"), (0.08, 120, "too little contrast"), (3.0, 40, "overexposed")],
)
def test_bad_light_is_named(portrait: Portrait, gain: float, offset: int, kind: str) -> None:
    pixels, face = portrait
    lit = np.clip(gain * pixels + offset, 0, 255).astype(np.uint8)
    kinds = [line.split(":")[0] for line in QualityGate().assess(lit, face).problems]
    assert kind in kinds


@given(share=st.floats(0.0, 1.0), side=st.sampled_from(["left", "right", "top", "bottom"]))
def test_the_share_outside_is_what_was_cut_off(share: float, side: str) -> None:
    # An upright face with the keypoints of the average face: its box is known.
    points = Keypoints(
        (168.65, 180.8), (231.35, 180.8), (200, 219), (171.76, 246.78), (228.24, 246.78)
    )
    face = Face((120.0, 120.0, 160.0, 160.0), 0.99, points)
    cut = 160.0 * share
    if side in ("left", "top"):
        shift = -120.0 - cut
        face = moved(face, right=shift) if side == "left" else moved(face, down=shift)
        width = height = 400
    else:
        width, height = (round(280 - cut), 400) if side == "right" else (400, round(280 - cut))
    image = np.zeros((height, width, 3), dtype=np.uint8)
    assert measure_quality(image, face).outside == pytest.approx(share, abs=0.03)


def test_a_box_clipped_to_the_image_does_not_hide_the_cut(portrait: Portrait) -> None:
    pixels, face = portrait
    x, y, width, height = face.box
    cut = round(x + 0.6 * width)
    clipped = Face((x, y, cut - x, height), face.confidence, face.keypoints)
    quality = measure_quality(np.ascontiguousarray(pixels[:, :cut]), clipped)
    assert quality.outside > 0.2


def test_keypoints_on_one_spot_are_measured_by_the_box() -> None:
    face = Face((-20.0, 0.0, 40.0, 40.0), 0.99, Keypoints(*[(5.0, 20.0)] * 5))
    quality = measure_quality(np.zeros((80, 80, 3), dtype=np.uint8), face)
    assert quality.interocular == 0.0
    assert quality.outside == pytest.approx(0.5, abs=0.02)


def test_an_image_that_cannot_be_read_is_an_error(portrait: Portrait, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        measure_quality(tmp_path / "nothing.jpg", portrait[1])


def test_the_dictionary_is_json(portrait: Portrait) -> None:
    quality = QualityGate(max_yaw=0).assess(*portrait)
    values = json.loads(json.dumps(quality.to_dict()))
    assert values["interocular"] == quality.interocular
    assert values["problems"] == list(quality.problems)
    assert not quality.good


def test_few_faces_of_lfw_are_flagged(data_folder: Path, detector: Detector) -> None:
    images = sorted((data_folder / "lfw").glob("A*/*_0001.jpg"))[:60]
    gate = QualityGate()
    flagged = 0
    for image in images:
        pixels = load_image(image)
        middle = np.array(pixels.shape[1::-1]) / 2
        faces = detector.detect(pixels)
        face = min(faces, key=lambda face: np.hypot(*np.subtract(face.center, middle)))
        flagged += not gate.assess(pixels, face).good
    assert flagged <= 3
