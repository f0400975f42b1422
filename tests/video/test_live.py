"""Live streams: the newest frame, never a queue; breaks, stalls and returns."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest
from colored_people import clip, naming, picture, pipeline, write_clip
from local_server import send, serving

from facekit import ImageError, InvalidArgumentError
from facekit.io.images import RGBImage
from facekit.video import VideoFrame
from facekit.video.live import LiveStream, is_live, name_of
from facekit.video.recognition import VideoRecognition
from facekit.video.tracks import Track


def numbered(value: int) -> RGBImage:
    return np.full((4, 4, 3), value, dtype=np.uint8)


def paced(images: Iterable[RGBImage], taken: threading.Semaphore) -> Iterator[RGBImage]:
    """A camera of which no frame is missed, however slow the search is."""
    for image in images:
        yield image
        taken.acquire(timeout=20)


class Even(LiveStream):
    """Ten frames a second, however busy the machine is: no one is out of view for long."""

    def frames(self) -> Iterator[VideoFrame]:
        for frame in super().frames():
            yield replace(frame, time=frame.index / 10)


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
    first, second = (int(f.image[0, 0, 0]) for f in itertools.islice(stream.frames(), 2))
    hung.set()
    # A busy machine may take longer than that to open it, so that it is opened once more.
    assert first < second <= stream.reconnects


def test_a_network_stream_that_stalls_is_opened_again(tmp_path: Path) -> None:
    # One key frame: what FFmpeg reads to learn about the stream must not be lost.
    content = write_clip(tmp_path / "clip.mkv", lambda n: {"Red": (10 + n, 10)}).read_bytes()
    over = threading.Event()

    def camera(handler: BaseHTTPRequestHandler, number: int) -> None:
        send(handler, content, announced=2 * len(content))
        over.wait(20)

    with serving(camera) as (address, requested):
        stream = LiveStream(f"{address}/live", stall=0.5)
        frames = stream.frames()
        assert next(frames).image.shape == (96, 160, 3)
        while not stream.reconnects:
            frame = next(frames)
        assert frame.image.shape == (96, 160, 3)
        over.set()
    # Likewise.
    assert 2 <= len(requested) <= stream.reconnects + 1


def test_patience_ends() -> None:
    def camera() -> Iterator[RGBImage]:
        raise OSError("unplugged")
        yield

    with pytest.raises(ImageError, match=r"frames: sends no frames \(unplugged\)"):
        next(LiveStream(camera, patience=0.2).frames())


def test_patience_that_ends_during_an_attempt_says_why_the_one_before_failed() -> None:
    opened, over = itertools.count(), threading.Event()

    def camera() -> Iterator[RGBImage]:
        if next(opened):
            over.wait(20)
        raise OSError("unplugged")
        yield

    with pytest.raises(ImageError, match=r"sends no frames \(unplugged\)"):
        next(LiveStream(camera, patience=0.8).frames())
    over.set()


def test_a_frame_that_is_too_large_is_an_error() -> None:
    with pytest.raises(ImageError, match="max_pixels=8"):
        next(LiveStream(lambda: iter([numbered(0)]), max_pixels=8).frames())


def test_tracks_go_on_over_a_break_and_end_with_the_people() -> None:
    frames = [frame.image for frame in clip(lambda n: {"Red": (10, 10)}, 12)]
    opened, taken = itertools.count(), threading.Semaphore(0)
    told: list[Track] = []
    run = VideoRecognition(
        Even(lambda: paced(frames[6:] if next(opened) else frames[:6], taken)),
        pipeline(),
        naming("Red"),
        on_track=told.append,
        keep=False,
    )
    for frame in itertools.islice(run, 12):
        assert frame.image is not None
        taken.release()
    run.stop()
    assert [(track.label, track.ended) for track in told] == [("Red", False), ("Red", True)]
    assert len(told[-1]) > 6
    assert run.result().reconnects == 1
    # Nothing is kept of those who have gone.
    assert run.result().tracks == ()


def test_those_who_are_in_view_when_a_stream_gives_up_are_told_of() -> None:
    opened, taken = itertools.count(), threading.Semaphore(0)

    def camera() -> Iterator[RGBImage]:
        if next(opened):
            raise OSError("unplugged")
        yield from paced((frame.image for frame in clip(lambda n: {"Red": (10, 10)}, 6)), taken)

    told: list[Track] = []
    run = VideoRecognition(
        LiveStream(camera, patience=1.0),
        pipeline(),
        naming("Red"),
        on_track=told.append,
        keep=False,
    )
    searched = (taken.release() for _ in run)
    with pytest.raises(ImageError, match="unplugged"):
        list(searched)
    assert [(track.label, track.ended) for track in told] == [("Red", False), ("Red", True)]


def test_what_is_live_and_what_it_is_called() -> None:
    assert is_live(0)
    assert is_live("rtsp://camera/1")
    assert not is_live(True)
    assert not is_live("party.mp4")
    assert not is_live("file:///party.mp4")
    assert name_of(3) == "camera 3"
    assert name_of("rtsp://ada:secret@camera:554/1?a@b") == "rtsp://…@camera:554/1?a@b"
    for huge in (10_000, 1 << 31, -1):  # which OpenCV would refuse in its own words, or guess
        with pytest.raises(InvalidArgumentError, match="from 0 to 9999"):
            LiveStream(huge)
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
