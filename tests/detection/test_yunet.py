"""Laws of YuNet, the second detector; where its weights are not, only what needs none."""

from __future__ import annotations

import copy
import hashlib
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from other_processes import METHODS, in_another_process

from facekit import Detector, InvalidArgumentError, WeightsError, YuNetDetector, load_image
from facekit.detection import FaceDetector
from facekit.detection import yunet as module
from facekit.detection.registry import make_detector
from facekit.errors import WeightsNotFoundError
from facekit.faces import box_overlap

UInt8 = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def yunet(data_folder: Path) -> YuNetDetector:
    if not (data_folder / "weights" / "yunet" / module.FILE).is_file():
        pytest.skip(f"FACEKIT_DATA: {data_folder} holds no weights of YuNet")
    if tuple(map(int, cv2.__version__.split(".")[:2])) < (4, 13):
        pytest.skip("YuNet needs OpenCV 4.13")
    return YuNetDetector()


def test_an_old_opencv_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "__version__", "4.12.0")
    with pytest.raises(WeightsError, match=r"needs OpenCV 4\.13 or later, and this is 4\.12\.0"):
        module._new_engine()


@pytest.fixture(params=["hopper", "astronaut"])
def portrait(request: pytest.FixtureRequest) -> UInt8:
    return load_image(request.getfixturevalue(request.param))


def test_finds_the_face_that_mtcnn_finds(
    yunet: YuNetDetector, detector: Detector, portrait: UInt8
) -> None:
    (face,), (other,) = yunet.detect(portrait), detector.detect(portrait)
    assert face.center == pytest.approx(other.center, abs=0.15 * other.box[3])
    # Our order: the eye on the left of the image first.
    assert face.keypoints.to_array() == pytest.approx(
        other.keypoints.to_array(), abs=0.15 * other.box[2]
    )


def test_is_a_detector_by_name() -> None:
    assert isinstance(YuNetDetector(), FaceDetector)
    assert repr(make_detector("yunet", threshold=0.5)) == "YuNetDetector(threshold=0.5)"
    assert isinstance(make_detector("mtcnn"), Detector)
    with pytest.raises(InvalidArgumentError, match="retinaface"):
        make_detector("retinaface")


@pytest.mark.parametrize(
    ("name", "value"), [("threshold", 1.1), ("upscale", 0.5), ("padding", "x"), ("rotations", ())]
)
def test_arguments_are_checked(name: str, value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=name):
        YuNetDetector(**{name: value})


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (33, 31), (200, 5), (20, 9000)])
def test_any_size_gives_a_list(yunet: YuNetDetector, shape: tuple[int, int]) -> None:
    assert yunet.detect(np.zeros((*shape, 3), np.uint8)) == []


def test_batches_threads_and_copies_find_the_same(yunet: YuNetDetector, portrait: UInt8) -> None:
    images = [portrait, portrait[::2, ::2], np.zeros((9, 9, 3), np.uint8), portrait[:, ::-1]] * 2
    expected = [yunet.detect(image) for image in images]
    assert yunet.detect_batch(images) == expected
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(yunet.detect, images)) == expected
    for other in (pickle.loads(pickle.dumps(yunet)), copy.deepcopy(yunet)):
        assert other.detect(portrait) == expected[0]


@pytest.mark.check
@pytest.mark.parametrize("method", METHODS)
def test_works_in_another_process(yunet: YuNetDetector, portrait: UInt8, method: str) -> None:
    found = in_another_process(yunet.detect, portrait, method=method)
    assert found == yunet.detect(portrait)


@pytest.mark.check
@pytest.mark.skipif("fork" not in METHODS, reason="the system cannot fork")
@pytest.mark.parametrize("name", ["mtcnn", "yunet"])
def test_fork_while_other_threads_detect(
    request: pytest.FixtureRequest, portrait: UInt8, name: str
) -> None:
    detector = request.getfixturevalue("yunet" if name == "yunet" else "detector")
    found = in_another_process(
        detector.detect_batch, [portrait, portrait], method="fork", busy_threads=2
    )
    assert found == detector.detect_batch([portrait, portrait])


def test_enlarged_image_gives_boxes_of_the_image(yunet: YuNetDetector, portrait: UInt8) -> None:
    (face,) = yunet.detect(portrait)
    tiny = load_image(portrait)[::8, ::8]
    (found,) = YuNetDetector(upscale=4).detect(tiny)
    assert np.multiply(found.center, 8) == pytest.approx(face.center, abs=0.2 * face.box[3])


def test_most_faces_and_largest_side(yunet: YuNetDetector, portrait: UInt8) -> None:
    several = np.hstack([portrait, portrait])
    assert len(YuNetDetector(max_faces=1).detect(several)) == 1
    (face,) = yunet.detect(portrait)
    (reduced,) = YuNetDetector(max_image_side=250).detect(portrait)
    assert reduced.center == pytest.approx(face.center, abs=0.1 * face.box[3])


def test_a_large_image_is_searched_in_parts_of_bounded_size(
    yunet: YuNetDetector, portrait: UInt8, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = np.vstack([np.hstack([portrait, portrait[:, ::-1]])] * 2)
    expected = yunet.detect(several)
    assert len(expected) == 4
    parts = []
    engine = module._engine()

    class Watched:
        def __getattr__(self, name: str) -> Any:
            return getattr(engine, name)

        def detect(self, part: UInt8) -> Any:
            parts.append(part.shape)
            return engine.detect(part)

    monkeypatch.setattr(module, "_engine", Watched)
    # All faces are larger than what the parts share, and cut by some of them.
    monkeypatch.setattr(module, "_PART", 400)
    found = yunet.detect(several)
    assert max(max(shape) for shape in parts) == 400
    assert len(found) == 4
    for face in expected:
        assert max(box_overlap(face.box, other.box) for other in found) > 0.7


def test_weights_are_those_published(yunet: YuNetDetector) -> None:
    assert hashlib.sha256(module.yunet_weights().read_bytes()).hexdigest() == module.SHA256


def test_missing_and_altered_weights_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEKIT_HOME", str(tmp_path))
    monkeypatch.delenv("FACEKIT_DATA", raising=False)
    with pytest.raises(WeightsNotFoundError, match=r"FACEKIT_OFFLINE.*download.*mtcnn"):
        module.yunet_weights()
    folder = tmp_path / "weights" / "yunet"
    folder.mkdir(parents=True)
    (folder / module.FILE).write_bytes(b"something else")
    with pytest.raises(WeightsError, match="SHA-256"):
        module.yunet_weights()
