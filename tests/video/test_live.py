"""Live streams: the newest frame, never a queue; breaks, stalls and returns."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from colored_people import clip, naming, picture, pipeline

from facekit import ImageError, InvalidArgumentError
from facekit.io.images import RGBImage
from facekit.video import LiveStream, Track, VideoRecognition
from facekit.video.live import is_live, name_of


def numbered(value: int) -> RGBImage:
    return np.full((4, 4, 3), value, dtype=np.uint8)


def test_frames_are_dropped_and_never_queued() -> None:
    asked, sent = threading.Event(), threading.Event()

    def camera() -> Iterator[RGBImage]:
        yield numbered(0)
        asked.wait(5)
        for value in range(1, 100):
            yield numbered(value)
        sent.set()
        threading.Event().wait(5)  # and then hangs

    stream = LiveStream(camera)
    frames = stream.frames()
    assert next(frames).image[0, 0, 0] == 0
    asked.set()
    sent.wait(5)
    second = next(frames)
    assert (second.index, second.image[0, 0, 0]) == (1, 99)
    assert stream.dropped == 98
    frames.close()  # type: ignore[attr-defined]


def test_a_stream_that_breaks_off_is_opened_again() -> None:
    opened = itertools.count()

    def camera() -> Iterator[RGBImage]:
        number = next(opened)
        if number == 1:
            raise OSError("no route")
        yield numbered(number)

    stream = LiveStream(camera)
    values = [frame.image[0, 0, 0] for frame in itertools.islice(stream.frames(), 3)]
    assert values == [0, 2, 3]
    assert stream.reconnects == 3


def test_a_stream_that_stalls_is_opened_again() -> None:
    opened = itertools.count()
    hung = threading.Event()

    def camera() -> Iterator[RGBImage]:
        number = next(opened)
        yield numbered(number)
        hung.wait(20)

    stream = LiveStream(camera, stall=0.2)
    values = [frame.image[0, 0, 0] for frame in itertools.islice(stream.frames(), 2)]
    hung.set()
    assert values == [0, 1]
    assert stream.reconnects == 1


def test_patience_ends() -> None:
    def camera() -> Iterator[RGBImage]:
        raise OSError("unplugged")
        yield

    with pytest.raises(ImageError, match=r"frames: sends no frames \(unplugged\)"):
        next(LiveStream(camera, patience=0.2).frames())


def test_a_frame_that_is_too_large_is_an_error() -> None:
    with pytest.raises(ImageError, match="max_pixels=8"):
        next(LiveStream(lambda: iter([numbered(0)]), max_pixels=8).frames())


def test_tracks_go_on_over_a_break_and_end_with_the_people() -> None:
    frames = [frame.image for frame in clip(lambda n: {"Red": (10 + n, 10)}, 12)]
    opened = itertools.count()

    def camera() -> Iterator[RGBImage]:
        for image in frames[6:] if next(opened) else frames[:6]:
            time.sleep(0.05)
            yield image

    told: list[Track] = []
    run = VideoRecognition(
        LiveStream(camera, patience=1.5),
        pipeline(),
        naming("Red"),
        on_track=told.append,
        seconds=1.3,
        keep=False,
    )
    assert all(frame.image is not None for frame in run)
    assert [(track.label, track.ended) for track in told] == [("Red", False), ("Red", True)]
    assert told[-1].end > 0.6
    assert run.result().reconnects >= 1
    # Nothing is kept of those who have gone.
    assert run.result().tracks == ()


def test_what_is_live_and_what_it_is_called() -> None:
    assert is_live(0)
    assert is_live("rtsp://camera/1")
    assert not is_live(True)
    assert not is_live("party.mp4")
    assert not is_live("file:///party.mp4")
    assert name_of(3) == "camera 3"
    assert name_of("rtsp://ada:secret@camera:554/1?a@b") == "rtsp://…@camera:554/1?a@b"
    with pytest.raises(InvalidArgumentError, match="camera"):
        LiveStream(True)
    with pytest.raises(InvalidArgumentError, match="stall"):
        LiveStream(0, stall=0)


def test_an_address_without_a_camera_names_no_password() -> None:
    stream = LiveStream("rtsp://ada:secret@127.0.0.1:9/1", patience=0.5)
    with pytest.raises(ImageError, match="no frames") as raised:
        next(stream.frames())
    assert "secret" not in str(raised.value)


def test_the_picture_of_a_frame_is_kept_for_who_shows_it() -> None:
    run = VideoRecognition(
        LiveStream(lambda: iter([picture({"Red": (10, 10)})])), pipeline(), seconds=5
    )
    frame = next(iter(run))
    assert frame.image is not None
    assert len(frame.faces) == 1
