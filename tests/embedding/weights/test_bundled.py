"""The weights that come with the package: there without a network, and good for something."""

from __future__ import annotations

import copy
from pathlib import Path

import cv2
import numpy as np
import pytest

from facekit import Detector, Embedder, FaceRecognizer, load_image
from facekit.embedding.weights.registry import DEFAULT_WEIGHTS, REGISTRY
from facekit.embedding.weights.retrieval import BUNDLED, bundled


@pytest.fixture(scope="module", params=bundled())
def embedder(request: pytest.FixtureRequest) -> Embedder:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEKIT_OFFLINE", "1")
        patch.setenv("FACEKIT_HOME", "nowhere")
        patch.delenv("FACEKIT_DATA", raising=False)
        return Embedder(request.param)


def test_the_default_weights_and_inception_resnet_v2_come_with_the_package() -> None:
    assert set(bundled()) == {DEFAULT_WEIGHTS, "inception-resnet-v2"}


def test_they_are_loaded_without_a_network(embedder: Embedder) -> None:
    assert embedder.record == REGISTRY[embedder.record.name]
    assert (embedder.input_size, embedder.embedding_size) == (112, 128)


def test_the_file_is_small_enough_for_a_package(embedder: Embedder) -> None:
    (file,) = embedder.record.files
    assert (BUNDLED / file.name).stat().st_size < 20e6


def test_the_record_says_what_they_are(embedder: Embedder) -> None:
    record = embedder.record
    assert set(record.thresholds) == {0.01, 0.001, 0.0001}
    assert record.thresholds[0.01] > record.thresholds[0.001] > record.thresholds[0.0001]
    assert record.training_data
    assert record.license
    assert record.source
    assert record.accuracy
    assert record.accuracy_by_group
    assert record.distances is not None


def test_eight_bits_hardly_change_an_embedding(
    embedder: Embedder, detector: Detector, hopper: Path, astronaut: Path
) -> None:
    quick = copy.copy(embedder)
    quick.engine = "openvino-int8"
    for path in (hopper, astronaut):
        image = load_image(path)
        faces = embedder.aligner().align(image, detector.detect(image)[:1])
        assert np.linalg.norm(quick.embed(faces) - embedder.embed(faces)) < 0.1


@pytest.mark.parametrize("change", ["mirrored", "darker", "blurred", "turned"])
def test_a_person_is_known_again(
    embedder: Embedder, detector: Detector, hopper: Path, astronaut: Path, change: str
) -> None:
    recognizer = FaceRecognizer(embedder=embedder, detector=detector)
    recognizer.fit({"Grace": hopper, "Eileen": astronaut}, progress=False)
    for name, path in (("Grace", hopper), ("Eileen", astronaut)):
        (face,) = recognizer.recognize(changed(load_image(path), change))
        assert face.name == name


def test_two_people_are_told_apart(
    embedder: Embedder, detector: Detector, hopper: Path, astronaut: Path
) -> None:
    recognizer = FaceRecognizer(embedder=embedder, detector=detector)
    assert not recognizer.verify(hopper, astronaut).same


def changed(picture: np.ndarray, change: str) -> np.ndarray:
    height, width = picture.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 8, 1.0)
    return {
        "mirrored": lambda: np.ascontiguousarray(picture[:, ::-1]),
        "darker": lambda: (picture * 0.6).astype(np.uint8),
        "blurred": lambda: cv2.GaussianBlur(picture, (0, 0), 1.5),
        "turned": lambda: cv2.warpAffine(picture, turn, (width, height)),
    }[change]()
