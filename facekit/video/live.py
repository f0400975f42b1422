"""Cameras and network streams: always the newest frame, with reconnection."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np

from facekit.errors import ImageError, InvalidArgumentError
from facekit.io.images import MAX_PIXELS, RGBImage
from facekit.utils.extras import import_extra
from facekit.utils.opencv import SILENT, log_level
from facekit.utils.validation import number, whole
from facekit.video.reading import VideoFrame, upright

Opener: TypeAlias = Callable[[], Iterator[RGBImage]]
"""Opens a stream, whose frames block until available, and end or raise if it breaks."""

_PROTOCOLS = ("rtsp", "rtsps", "rtmp", "rtmps", "rtp", "udp", "tcp", "srt", "http", "https")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_LOOKS_A_SECOND = 10


def is_live(source: object) -> bool:
    """Returns whether a source is a camera's number or a stream's address."""
    if isinstance(source, int) and not isinstance(source, bool):
        return True
    return isinstance(source, str) and source.partition("://")[0].lower() in _PROTOCOLS


class LiveStream:
    """The newest frames of a camera or a network stream."""

    # A thread reads all frames and keeps only the newest: a slow consumer misses frames, but never
    # falls behind. A stream that breaks or stalls is reopened after half a second, then after twice
    # as long each time, up to half a minute.

    def __init__(
        self,
        source: int | str | Opener,
        *,
        stall: float = 10.0,  # after this many seconds without a frame, the stream is reopened
        patience: float | None = 60.0,  # after this many, also at the start, an error is raised
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self._stall = number(stall, "stall", above=0)
        self._patience = None if patience is None else number(patience, "patience", above=0)
        self._max_pixels = max_pixels
        self.name = name_of(source)
        self.dropped = self.reconnects = 0
        self._open: Opener
        if isinstance(source, int) and not isinstance(source, bool):
            camera = whole(source, "the number of a camera", least=0, most=9999)
            self._open = lambda: _camera(camera)
        elif isinstance(source, str):
            self._open = lambda: _network(source, self._stall)
        elif callable(source):
            self._open = source
        else:
            raise InvalidArgumentError(
                f"source must be the number of a camera, an address or a function, got {source!r}"
            )

    def frames(self) -> Iterator[VideoFrame]:
        """Yields the newest frame on each request; times are seconds since the call."""
        started = last = time.monotonic()
        pause, index = _FIRST_PAUSE, 0
        error: Exception | None = None
        reader = _Reader(self._open)
        try:
            while True:
                found = reader.newest(1.0 / _LOOKS_A_SECOND)
                now = time.monotonic()
                if found is not None:
                    image, missed = found
                    self.dropped += missed
                    height, width = image.shape[:2]
                    if width * height > self._max_pixels:
                        raise ImageError(
                            f"{self.name}: has frames of {width} × {height} pixels, more than "
                            f"max_pixels={self._max_pixels:,}"
                        )
                    last, pause, error = now, _FIRST_PAUSE, None
                    yield VideoFrame(index, now - started, image)
                    index += 1
                    # Time that the caller spends is not counted as silence.
                    last = time.monotonic()
                    continue
                # From the last failed attempt; another one may be under way.
                error = reader.error or error
                if self._patience is not None and now - last > self._patience:
                    why = f" ({error})" if error else ""
                    raise ImageError(f"{self.name}: sends no frames{why}")
                if reader.ended or now - max(last, reader.started) > self._stall:
                    reader.stop()
                    self._wait(pause, last)
                    pause = min(2 * pause, _LONGEST_PAUSE)
                    self.reconnects += 1
                    reader = _Reader(self._open)
        finally:
            reader.stop()

    def _wait(self, pause: float, last: float) -> None:
        if self._patience is not None:
            pause = min(pause, max(0.0, last + self._patience - time.monotonic()))
        time.sleep(pause)


class _Reader:
    """The reading thread; one that hangs is abandoned, and ends with its stream."""

    def __init__(self, opener: Opener) -> None:
        self.started = time.monotonic()
        self.error: Exception | None = None
        self.ended = False
        self._changed = threading.Condition()
        self._frame: RGBImage | None = None
        self._missed = 0
        self._stopped = False
        threading.Thread(target=self._run, args=(opener,), daemon=True).start()

    def newest(self, timeout: float) -> tuple[RGBImage, int] | None:
        """Returns the newest frame and the number skipped before it, if one arrives in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None or self.ended, timeout)
            if self._frame is None:
                return None
            found = (self._frame, self._missed)
            self._frame, self._missed = None, 0
            return found

    def stop(self) -> None:
        with self._changed:
            self._stopped = True

    def _run(self, opener: Opener) -> None:
        try:
            for frame in opener():
                with self._changed:
                    if self._stopped:
                        return
                    self._missed += self._frame is not None
                    self._frame = frame
                    self._changed.notify_all()
        except Exception as error:  # noqa: BLE001 - reported when patience ends
            self.error = error
        finally:
            with self._changed:
                self.ended = True
                self._changed.notify_all()


def name_of(source: object) -> str:
    """Returns the name of a source: a path, a camera, or an address without its password."""
    if isinstance(source, int):
        return f"camera {source}"
    if isinstance(source, str | os.PathLike):
        plain = os.fspath(source)
        protocol, separator, rest = plain.partition("://")
        place, slash, path = rest.partition("/")
        if separator and "@" in place:
            return f"{protocol}://…@{place.rpartition('@')[2]}{slash}{path}"
        return plain
    return "frames"


def _camera(source: int) -> Iterator[RGBImage]:
    import cv2

    with log_level(SILENT):
        capture = cv2.VideoCapture(source)
        try:
            if not capture.isOpened():
                raise ImageError(f"camera {source}: cannot be opened")
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
            while True:
                there, frame = capture.read()
                if not there:
                    return
                yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
        finally:
            capture.release()


def _network(source: str, stall: float) -> Iterator[RGBImage]:
    av = import_extra("av")
    # UDP loses packets, and each loss corrupts the image until the next key frame. So does FFmpeg's
    # "nobuffer", which drops the packets read to probe the stream.
    options = {"rtsp_transport": "tcp"}
    try:
        with av.open(source, timeout=(stall, stall), container_options=options) as container:
            if not container.streams.video:
                raise ImageError(f"{name_of(source)}: holds no video")
            stream = container.streams.video[0]
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except av.FFmpegError:  # a damaged image; the next one may be whole
                    continue
                for frame in frames:
                    if not frame.is_corrupt:
                        yield upright(frame)
    except (av.FFmpegError, OSError) as error:
        # PyAV's message holds the address, with the password.
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise ImageError(f"{name_of(source)}: {reason}") from None
