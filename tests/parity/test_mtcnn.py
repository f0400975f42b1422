"""facekit's detector answers what the mtcnn package answers."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mtcnn import MTCNN
from PIL import Image

from facekit import Detector, Face, load_image
from facekit.detection import tiling
from facekit.detection.networks import (
    Network,
    output_network,
    proposal_network,
    refinement_network,
)
from facekit.detection.pyramid import Level


@pytest.fixture(scope="module")
def mtcnn() -> MTCNN:
    """The package itself, as its documentation uses it."""
    return MTCNN()


@pytest.fixture(params=["hopper", "astronaut"])
def portrait(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


def images(folder: Path, pattern: str, count: int) -> list[Path]:
    """Returns some photos, spread evenly over all of them."""
    found = sorted(folder.glob(pattern))
    return found[:: len(found) // count][:count]


def assert_same(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
    """Both compute in single precision, in another order: a pixel may be rounded the other way."""
    assert len(ours) == len(theirs)
    for face, other in zip(ours, theirs, strict=True):
        assert face.keys() == other.keys()
        assert face["confidence"] == pytest.approx(other["confidence"], abs=1e-3)
        assert face["box"] == pytest.approx(other["box"], abs=1)
        assert face["keypoints"].keys() == other["keypoints"].keys()
        for name, point in face["keypoints"].items():
            assert point == pytest.approx(other["keypoints"][name], abs=1)


def test_portrait(detector: Detector, mtcnn: MTCNN, portrait: Path) -> None:
    expected = mtcnn.detect_faces(load_image(portrait))
    assert len(expected) == 1
    assert_same(detector.detect_faces(portrait), expected)


def test_coordinates_differ_by_hundredths_of_a_pixel(
    detector: Detector, mtcnn: MTCNN, portrait: Path
) -> None:
    (expected,) = mtcnn.detect_faces(load_image(portrait), output_type="numpy")
    (face,) = detector.detect(portrait)
    assert face.box == pytest.approx(expected[1:5], abs=0.01)
    assert face.confidence == pytest.approx(expected[5], abs=1e-5)
    points = expected[6:].reshape(2, 5).T
    assert face.keypoints.to_array() == pytest.approx(points, abs=0.01)


def test_file_that_both_decode(detector: Detector, mtcnn: MTCNN, astronaut: Path) -> None:
    assert_same(*(find(str(astronaut)) for find in (detector.detect_faces, mtcnn.detect_faces)))


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
    assert_same(Detector(**ours).detect_faces(astronaut), expected)


@pytest.mark.parametrize(
    "arguments",
    [
        {"box_format": "xyxy"},
        {"min_face_size": 15},
        {"scale_factor": 0.6},
        {"threshold_pnet": 0.5, "threshold_rnet": 0.3, "threshold_onet": 0.2},
        {"fit_to_image": False},
        {"limit_boundaries_landmarks": True},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_arguments_of_the_call(
    detector: Detector, mtcnn: MTCNN, astronaut: Path, arguments: dict[str, Any]
) -> None:
    # Cut so that box and keypoints reach beyond the border.
    half = load_image(astronaut)[:, :235]
    expected = mtcnn.detect_faces(half, **arguments)
    assert expected
    assert_same(detector.detect_faces(half, **arguments), expected)


@pytest.mark.parametrize("side", [40, 57, 83, 121, 178])
def test_every_size(detector: Detector, mtcnn: MTCNN, hopper: Path, side: int) -> None:
    with Image.open(hopper) as image:
        picture = load_image(image.crop((120, 60, 420, 360)).resize((side, side + 11)))
    assert_same(detector.detect_faces(picture), mtcnn.detect_faces(picture))


def test_networks_compute_the_same(mtcnn: MTCNN) -> None:
    random = np.random.default_rng(0)
    stages = ((refinement_network, 24), (output_network, 48))
    for stage, (build, side) in zip(mtcnn.stages[1:], stages, strict=True):
        pixels = random.integers(0, 256, (4, side, side, 3)).astype(np.float32)
        expected = stage.model((pixels - 127.5) / 128)
        network = Network(build, (4,), 1)
        network.inputs()[0][:] = pixels
        for ours, theirs in zip(network.run(), expected, strict=True):
            assert ours == pytest.approx(theirs.numpy(), abs=1e-5)


@functools.cache
def proposal_engine() -> Network:
    return Network(proposal_network, (tiling.TILE_HEIGHT, tiling.TILE_WIDTH), 1)


@settings(max_examples=15)
@given(height=st.integers(12, 190), width=st.integers(12, 230), seed=st.integers(0, 99))
def test_proposal_network_answers_on_a_mosaic_as_on_the_picture(
    mtcnn: MTCNN, height: int, width: int, seed: int
) -> None:
    picture = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.float32)
    offsets, probabilities = (
        answer.numpy()[0] for answer in mtcnn.stages[0].model((picture[None] - 127.5) / 128)
    )
    tiles = tiling.plan_tiles([Level(1.0, height, width)])
    parts = []
    for tile in tiles:
        pixels, hidden = proposal_engine().inputs()
        pixels.fill(255)  # what lies beside the pieces does not matter
        tiling.draw_tile(tile, [picture], pixels, hidden)
        parts.append(tiling.read_tile(tile, proposal_engine().run()[0], -np.inf))
    (windows,) = tiling.by_level(parts, 1)
    assert len(windows.scores) == probabilities[..., 0].size
    assert windows.offsets == pytest.approx(offsets.reshape(-1, 4), abs=1e-4)
    log_odds = np.log(probabilities[..., 1] / probabilities[..., 0]).ravel()
    assert windows.scores == pytest.approx(log_odds, abs=1e-3, rel=1e-3)


def test_picture_without_a_face(detector: Detector, mtcnn: MTCNN) -> None:
    black = np.zeros((64, 64, 3), np.uint8)
    assert detector.detect_faces(black) == mtcnn.detect_faces(black) == []


def test_images_of_crowds(detector: Detector, mtcnn: MTCNN, data_folder: Path) -> None:
    faces = 0
    for image in images(data_folder / "wider_face", "images/**/*.jpg", 3):
        expected = mtcnn.detect_faces(load_image(image))
        assert_same(detector.detect_faces(image), expected)
        faces += len(expected)
    assert faces > 3


def test_images_of_people(detector: Detector, mtcnn: MTCNN, data_folder: Path) -> None:
    faces = 0
    for image in images(data_folder / "lfw", "*/*.jpg", 8):
        expected = mtcnn.detect_faces(load_image(image))
        assert_same(detector.detect_faces(image), expected)
        faces += len(expected)
    assert faces >= 8
