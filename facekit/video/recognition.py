"""Processing a video or a camera: read, search, track, name."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TypeAlias, cast

import numpy as np

from facekit.errors import ImageError, InvalidArgumentError
from facekit.io.images import MAX_PIXELS, RGBImage
from facekit.pipeline import EmbeddedImage, FacePipeline
from facekit.utils.validation import number, whole
from facekit.video.following import MIN_FACES, FaceFollower, FollowedFace, Identify
from facekit.video.live import LiveStream, is_live, name_of
from facekit.video.reading import VideoFile, VideoFrame
from facekit.video.result import VideoResult
from facekit.video.tracking import FaceTracker
from facekit.video.tracks import Track

VideoSource: TypeAlias = (
    str | os.PathLike[str] | int | VideoFile | LiveStream | Iterable[VideoFrame]
)
"""A video file, the number of a camera, the address of a stream, or frames with times."""

SEARCHES_A_SECOND = 8.0
"""How many frames per second are searched if no stride is given."""


@dataclass(frozen=True)
class SearchedFrame:
    """A searched frame.

    Args:
        index: Its number.
        time: Its time, in seconds.
        size: Height and width in pixels.
        faces: The faces with their tracks so far.
        image: The frame itself for a camera; ``None`` for a file.

    Example:
        >>> from facekit.video.recognition import SearchedFrame
        >>> SearchedFrame(12, 0.48, (480, 640)).faces
        ()
    """

    index: int
    time: float
    size: tuple[int, int]
    faces: tuple[FollowedFace, ...] = ()
    image: RGBImage | None = field(default=None, repr=False)


class VideoRecognition:
    """Processes a video frame by frame, with results available at any time.

    :meth:`facekit.FaceRecognizer.recognize_video` does this in one call; use this class to show
    progress, to stop early, or to act while a camera runs.

    Args:
        source: A video file, the number of a camera, the address of a stream, or frames. Frames of
            cameras and streams are dropped if the search is slower.
        pipeline: Finds, aligns and embeds the faces; it needs an embedder.
        identify: Identifies means; ``None`` if no one is enrolled.
        stride: Search one in this many frames; by default about eight searches per second. With a
            camera, the newest frame is searched each time.
        on_track: Called with a track when it gets a name, when that is revised, and when it ends.
            Pieces are joined at the end, so that :meth:`result` may differ.
        tracker: Follows the boxes; a new :class:`facekit.video.BoxTracker` by default.
        min_faces: A track with fewer good faces is not named.
        seconds: Stop after this many seconds of the video; ``None`` for its end.
        max_pixels: The largest frame that is decoded, in pixels.
        keep: Whether finished tracks are kept for :meth:`result`. For a camera that runs for days,
            disable it and record tracks in ``on_track``.

    Raises:
        ImageError: If the file cannot be opened or holds no video; in the iteration, if a frame is
            too large or a camera stops sending frames.
        InvalidArgumentError: If an argument cannot be used.
        MissingExtraError: If PyAV is not installed; it comes with the extra ``video``.

    Example:
        >>> import numpy as np
        >>> from facekit import Detector, Embedder, FacePipeline
        >>> from facekit.video import VideoFrame
        >>> from facekit.video.recognition import VideoRecognition
        >>> black = np.zeros((48, 64, 3), dtype=np.uint8)
        >>> frames = [VideoFrame(n, n / 25, black) for n in range(10)]
        >>> run = VideoRecognition(frames, FacePipeline(Detector(), Embedder()), stride=3)
        >>> [frame.index for frame in run], run.result().searched
        ([0, 3, 6, 9], 4)
    """

    def __init__(
        self,
        source: VideoSource,
        pipeline: FacePipeline,
        identify: Identify | None = None,
        *,
        stride: int | None = None,
        on_track: Callable[[Track], object] | None = None,
        tracker: FaceTracker | None = None,
        min_faces: int = MIN_FACES,
        seconds: float | None = None,
        max_pixels: int = MAX_PIXELS,
        keep: bool = True,
    ) -> None:
        if pipeline.embedder is None:
            raise InvalidArgumentError("the pipeline needs an embedder to distinguish people")
        self._pipeline = pipeline
        self._stride = None if stride is None else whole(stride, "stride", least=1)
        self._seconds = None if seconds is None else number(seconds, "seconds", above=0)
        self._weights = pipeline.embedder.record.identity
        self._max_pixels = max_pixels
        self._min_faces = whole(min_faces, "min_faces", least=1)
        self._follower = FaceFollower(
            pipeline.embedder.record,
            identify,
            tracker=tracker,
            min_faces=min_faces,
            on_track=on_track,
            keep=keep,
        )
        self.name = name_of(source)
        self._file: VideoFile | None = None
        self._live: LiveStream | None = None
        self._given: Iterable[VideoFrame] = ()
        if isinstance(source, VideoFile):
            self._file, self.name = source, str(source.path)
        elif isinstance(source, LiveStream):
            self._live, self.name = source, source.name
        elif is_live(source):
            self._live = LiveStream(cast("int | str", source), max_pixels=max_pixels)
        elif isinstance(source, str | os.PathLike):
            self._file = VideoFile(source, max_pixels=max_pixels)
        elif isinstance(source, Iterable):
            self._given = source
        else:
            raise InvalidArgumentError(
                "source must be a path, the number of a camera, an address or frames, got "
                f"{source!r}"
            )
        self._frames = self._searched = 0
        self._size, self._time, self._first = (0, 0), 0.0, 0.0
        self._started = self._complete = False

    @property
    def duration(self) -> float | None:
        """The duration of the video in seconds, if known."""
        whole_length = None if self._file is None else self._file.duration
        if self._seconds is None or self._live is not None:
            return whole_length if self._live is None else self._seconds
        return self._seconds if whole_length is None else min(self._seconds, whole_length)

    def __iter__(self) -> Iterator[SearchedFrame]:
        """Yields each searched frame, in order; can be iterated once."""
        if self._started:
            raise InvalidArgumentError("a video can be iterated only once; create another object")
        self._started = True
        frames = self._searched_live() if self._live is not None else self._searched_frames()
        try:
            with closing(frames):  # type: ignore[type-var]
                for frame in frames:
                    self._searched += 1
                    self._size, self._time = frame.size, frame.time
                    yield frame
        except ImageError:  # a disconnected camera no longer shows anyone
            self._follower.finish()
            raise
        self._follower.finish()
        self._complete = True

    @property
    def searched(self) -> int:
        """The number of frames searched so far."""
        return self._searched

    def stop(self) -> None:
        """Ends all tracks and notifies ``on_track``."""
        self._follower.finish()

    def result(self) -> VideoResult:
        """Returns the results so far, which are complete at the end of the video."""
        tracks: list[Track] = []
        passing: list[Track] = []
        for track in self._follower.tracks():
            (tracks if track.images >= self._min_faces else passing).append(track)
        steps = max(1, self._searched - 1)
        file, live = self._file, self._live
        return VideoResult(
            self.name,
            tuple(tracks),
            tuple(passing),
            size=self._size,
            duration=self._time,
            frames=self._frames,
            searched=self._searched,
            unreadable=0 if file is None else file.unreadable,
            dropped=0 if live is None else live.dropped,
            reconnects=0 if live is None else live.reconnects,
            step=(self._time - self._first) / steps,
            weights=self._weights,
            interrupted=not self._complete,
        )

    def _searched_frames(self) -> Iterator[SearchedFrame]:
        # Frames in the pipeline: numbers only, no pixels.
        waiting: deque[tuple[int, float]] = deque()
        answers = self._pipeline.run(
            self._images(waiting), keep_aligned=True, max_pixels=self._max_pixels
        )
        with closing(answers):  # type: ignore[type-var]
            for answer in answers:
                yield self._searched_frame(*waiting.popleft(), answer)

    def _images(self, waiting: deque[tuple[int, float]]) -> Iterator[RGBImage]:
        for frame in self._chosen():
            waiting.append((frame.index, frame.time))
            yield frame.image

    def _chosen(self) -> Iterator[VideoFrame]:
        due = _Due(self._stride, self._seconds)

        def wanted(index: int, time: float) -> bool:
            if not due.over(time):
                self._frames += 1
            return due(index, time)

        if self._file is not None:
            with closing(self._file.frames(wanted)) as frames:  # type: ignore[type-var]
                for frame in frames:
                    if due.over(frame.time):
                        return
                    yield frame
            return
        for frame in self._given:
            if not isinstance(frame, VideoFrame):
                raise InvalidArgumentError(
                    f"source must hold VideoFrame, with times, got {type(frame).__name__}"
                )
            if wanted(frame.index, frame.time):
                if due.over(frame.time):
                    return
                yield frame

    def _searched_live(self) -> Iterator[SearchedFrame]:
        assert self._live is not None
        with closing(self._live.frames()) as frames:  # type: ignore[type-var]
            for frame in frames:
                if self._seconds is not None and frame.time > self._seconds:
                    return
                self._frames += 1
                # One at a time, so that no frame waits to be embedded with others.
                (answer,) = self._pipeline.run(
                    [frame.image], keep_aligned=True, max_pixels=self._max_pixels
                )
                yield self._searched_frame(frame.index, frame.time, answer, frame.image)

    def _searched_frame(
        self, index: int, time: float, answer: EmbeddedImage, image: RGBImage | None = None
    ) -> SearchedFrame:
        if answer.error is not None:
            raise ImageError(f"{self.name}, frame {index}: {answer.error}") from answer.error
        if not self._searched:
            self._first = time
        where = f"{self.name}, frame {index}"
        named = [replace(found, source=where) for found in answer.faces]
        faces = self._follower.add(index, time, named)
        return SearchedFrame(index, time, answer.size, tuple(faces), image)


class _Due:
    """Decides which frames to search: one in ``stride``, or those due by the clock."""

    def __init__(self, stride: int | None, seconds: float | None) -> None:
        self._stride, self._seconds = stride, seconds
        self._next = -np.inf

    def over(self, time: float) -> bool:
        return self._seconds is not None and time > self._seconds

    def __call__(self, index: int, time: float) -> bool:
        if self.over(time):
            return True  # so that the caller sees it and stops
        if self._stride is not None:
            return index % self._stride == 0
        if time < self._next - 1e-6:
            return False
        step = 1.0 / SEARCHES_A_SECOND
        # Keeps the rhythm, unless the video has longer gaps.
        self._next = (self._next if time - self._next < step else time) + step
        return True
