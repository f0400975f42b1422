"""Many images: folders, videos, lists, with bad ones among them."""

from __future__ import annotations

import pickle
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from facekit import Detector, ImageError, InvalidArgumentError, load_image
from facekit.errors import BatchError


@pytest.fixture(scope="module")
def small(hopper: Path) -> np.ndarray:
    with Image.open(hopper) as image:
        return load_image(image.reduce(4))


@pytest.fixture
def folder(tmp_path: Path, small: np.ndarray) -> Path:
    """Four pictures and a letter; one of the pictures shows no face."""
    for number, picture in enumerate([small, small[:, ::-1], np.zeros_like(small), small]):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    (tmp_path / "1a.jpg").write_text("Dear reader")
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


@pytest.fixture
def video(tmp_path: Path, small: np.ndarray) -> Path:
    path = tmp_path / "film.avi"
    height, width = small.shape[0] // 2 * 2, small.shape[1] // 2 * 2
    fourcc = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), fourcc, 10.0, (width, height))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no videos")
    for number in range(6):
        frame = small if number % 2 == 0 else np.zeros_like(small)
        writer.write(np.ascontiguousarray(frame[:height, :width, ::-1]))
    writer.release()
    return path


def test_folder_is_gone_through_by_name_and_a_bad_file_is_reported(
    detector: Detector, folder: Path, small: np.ndarray
) -> None:
    results = list(detector.detect_stream(folder))
    assert [Path(result.source).name for result in results] == [
        "0.png", "1.png", "1a.jpg", "2.png", "3.png"
    ]  # fmt: skip
    assert [result.index for result in results] == list(range(5))
    assert [len(result.faces) for result in results] == [1, 1, 0, 0, 1]
    assert results[0].faces == detector.detect(small)
    bad = results[2]
    assert bad.image is None
    assert isinstance(bad.error, ImageError)
    assert "1a.jpg" in str(bad.error)
    assert all(result.error is None for result in results if result is not bad)
    assert np.array_equal(results[0].image, small)


def test_one_corrupt_file_among_a_hundred_loses_nothing(
    detector: Detector, folder: Path, small: np.ndarray
) -> None:
    images: list[Any] = [small] * 100
    images[41] = folder / "1a.jpg"
    with pytest.raises(ImageError, match=r"1 of 100 images.*1a\.jpg.*results") as caught:
        detector.detect_batch(images)
    error = caught.value
    assert isinstance(error, BatchError)
    assert list(error.errors) == [41]
    assert error.results[41] is None
    assert error.results[:41] + error.results[42:] == [detector.detect(small)] * 99


def test_list_of_mtcnns_way_loses_nothing_either(
    detector: Detector, folder: Path, small: np.ndarray
) -> None:
    with pytest.raises(BatchError, match=r"1 of 3 images.*1a\.jpg") as caught:
        detector.detect_faces([small, folder / "1a.jpg", small])
    expected = detector.detect_faces(small)
    assert caught.value.results == [expected, None, expected]


def test_error_of_a_batch_goes_from_process_to_process(
    detector: Detector, folder: Path, small: np.ndarray
) -> None:
    with pytest.raises(BatchError) as caught:
        detector.detect_batch([small, folder / "1a.jpg"])
    error = pickle.loads(pickle.dumps(caught.value))
    assert str(error) == str(caught.value)
    assert error.results == caught.value.results
    assert list(error.errors) == [1]


def test_batch_keeps_the_faces_and_not_the_pictures(detector: Detector) -> None:
    seen: list[weakref.ref[np.ndarray]] = []
    most = 0

    class Picture(np.ndarray):  # unlike a plain array it can be referred to weakly
        pass

    def pictures() -> Iterator[np.ndarray]:
        nonlocal most
        for _ in range(20):
            picture = np.zeros((1100, 1100, 3), np.uint8).view(Picture)
            seen.append(weakref.ref(picture))
            most = max(most, sum(reference() is not None for reference in seen))
            yield picture

    assert detector.detect_batch(pictures()) == [[]] * 20
    assert most <= 12  # 32 MiB, and one for each of two cores


def test_every_other_picture(detector: Detector, folder: Path) -> None:
    results = list(detector.detect_stream(folder, every=2))
    assert [result.index for result in results] == [0, 2, 4]


def test_single_picture_is_a_stream_of_one(detector: Detector, folder: Path) -> None:
    (result,) = detector.detect_stream(folder / "0.png")
    assert len(result.faces) == 1


def test_frames_of_a_video(detector: Detector, video: Path, small: np.ndarray) -> None:
    results = list(detector.detect_stream(video))
    assert [result.index for result in results] == list(range(6))
    assert results[2].source == f"{video}, frame 2"
    assert [len(result.faces) for result in results] == [1, 0] * 3
    # Compression loses something, but red stays red.
    frame = results[0].image
    assert frame is not None
    original = small[: frame.shape[0], : frame.shape[1]].astype(int)
    assert np.abs(frame - original).mean() < 10 < np.abs(frame[..., ::-1] - original).mean()


def test_every_third_frame(detector: Detector, video: Path) -> None:
    assert [result.index for result in detector.detect_stream(video, every=3)] == [0, 3]


def test_region_and_side_hold_for_every_picture(folder: Path, small: np.ndarray) -> None:
    region = (0, 0, small.shape[1], small.shape[0] - 20)
    detector = Detector(max_image_side=100)
    first = next(iter(detector.detect_stream(folder, region=region)))
    assert first.faces == detector.detect(small, region=region)


def test_region_outside_a_picture_is_reported_with_its_name(
    detector: Detector, folder: Path
) -> None:
    first = next(iter(detector.detect_stream(folder, region=(5000, 0, 10, 10))))
    assert first.faces == []
    assert "0.png" in str(first.error)
    assert "lies outside" in str(first.error)


def test_stream_that_is_left_early_reads_no_further(detector: Detector, small: np.ndarray) -> None:
    read = 0

    def endless() -> Iterator[np.ndarray]:
        nonlocal read
        while True:
            read += 1
            yield small

    stream = detector.detect_stream(endless())
    assert len(next(stream).faces) == 1
    stream.close()
    so_far = read
    assert so_far < 300
    assert read == so_far


@pytest.mark.parametrize("source", [b"x", 3.5, True, np.zeros((9, 9, 3), dtype=np.uint8)])
def test_other_sources_are_refused(detector: Detector, source: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        detector.detect_stream(source)


def test_folder_without_pictures_is_an_error(detector: Detector, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="holds no images"):
        detector.detect_stream(tmp_path)


def test_file_that_is_no_video_is_an_error(detector: Detector, folder: Path) -> None:
    with pytest.raises(ImageError, match=r"notes\.txt.*neither an image nor a video"):
        detector.detect_stream(folder / "notes.txt")


def test_missing_file_is_reported(detector: Detector, tmp_path: Path) -> None:
    (result,) = detector.detect_stream(tmp_path / "none.mp4")
    assert "no such file" in str(result.error)


@pytest.mark.parametrize("every", [0, -1, 1.5, True])
def test_every_is_checked(detector: Detector, folder: Path, every: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=f"every.*{every}"):
        detector.detect_stream(folder, every=every)


def test_several_streams_at_once_do_not_mix(detector: Detector, small: np.ndarray) -> None:
    pictures = [small, np.zeros_like(small), small[:, ::-1]]
    expected = [detector.detect(picture) for picture in pictures]
    answers: dict[int, list[Any]] = {}

    def go_through(thread: int) -> None:
        answers[thread] = [result.faces for result in detector.detect_stream(pictures * 3)]

    threads = [threading.Thread(target=go_through, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == dict.fromkeys(range(4), expected * 3)


def test_camera_that_is_not_there_is_an_error(detector: Detector) -> None:
    with pytest.raises(ImageError, match="camera 9999"):
        detector.detect_stream(9999)
