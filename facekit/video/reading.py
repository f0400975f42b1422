"""Reading videos: upright frames with their true times, and undecodable frames counted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facekit.errors import ImageError
from facekit.io.files import is_file, is_folder
from facekit.io.images import MAX_PIXELS, RGBImage
from facekit.utils.extras import import_extra
from facekit.utils.reasons import why
from facekit.utils.terminal import printable

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame as DecodedFrame
    from av.video.stream import VideoStream

# A playlist would make FFmpeg open other files and addresses.
_FORMATS = (
    "3g2,3gp,asf,avi,dv,flv,gif,h264,hevc,ivf,m4a,m4v,matroska,mj2,mjpeg,mov,mp4,mpeg,mpegts,"
    "mpegvideo,mxf,nut,ogg,rm,webm,webp_pipe,wtv,yuv4mpegpipe"
)
_SAFELY = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}

# The assumed rate of a file that does not state one.
_USUAL_RATE = 25.0


@dataclass(frozen=True)
class VideoFrame:
    """One frame of a video or of a camera.

    Args:
        index: Its number, from 0, counting the frames that could be decoded.
        time: When it is shown, in seconds from the beginning.
        image: uint8 ``(height, width, 3)``, RGB, upright.

    Example:
        >>> import numpy as np
        >>> from facekit.video import VideoFrame
        >>> frame = VideoFrame(12, 0.48, np.zeros((48, 64, 3), dtype=np.uint8))
        >>> frame.index, frame.time, frame.image.shape
        (12, 0.48, (48, 64, 3))
    """

    index: int
    time: float
    image: RGBImage = field(repr=False)


class VideoFile:
    """A video file and its frames, which can be read repeatedly.

    Times are those stored in the file, so that variable frame rates are preserved. Rotated and
    mirrored frames are turned upright. Frames that cannot be decoded are counted and skipped. Only
    formats that contain their frames are opened: playlists, which name other files and addresses,
    are refused. Nothing is written to standard error.

    Args:
        path: The file.
        max_pixels: The largest width × height that is decoded.

    Attributes:
        path: The file.
        size: Height and width of the upright frames, in pixels.
        duration: In seconds; ``None`` if the file does not say.
        rate: The average number of frames per second.
        has_audio: Whether there is sound.
        unreadable: The number of frames that could not be decoded in the last pass.

    Raises:
        ImageError: If it is missing, holds no video, cannot be decoded, or is too large.
        MissingExtraError: If PyAV is not installed; it comes with the extra ``video``.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> from facekit.video import VideoFile, VideoFrame, write_frames
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "gray.mp4"
        >>> gray = np.full((48, 64, 3), 128, dtype=np.uint8)
        >>> write_frames(path, [VideoFrame(n, n / 10, gray) for n in range(5)])
        >>> video = VideoFile(path)
        >>> video.size, video.has_audio, [round(frame.time, 2) for frame in video.frames()]
        ((48, 64), False, [0.0, 0.1, 0.2, 0.3, 0.4])
    """

    def __init__(self, path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> None:
        self.path = Path(path)
        self.max_pixels = max_pixels
        self.unreadable = 0
        self.size = (0, 0)
        with self.opened() as container:
            stream = container.streams.video[0]
            self._check_size(stream.width, stream.height)
            self.rate = float(stream.average_rate or stream.guessed_rate or _USUAL_RATE)
            self.has_audio = bool(container.streams.audio)
            self.duration = _duration(container, stream)
        first = next(self.frames(), None)
        if first is None:
            raise ImageError(f"{printable(self.path)}: holds no frame that can be decoded")
        self.size = (first.image.shape[0], first.image.shape[1])
        self.unreadable = 0

    def __repr__(self) -> str:
        return (
            f"VideoFile({str(self.path)!r}, {self.size[1]} × {self.size[0]}, {self.rate:.4g} fps)"
        )

    def opened(self) -> InputContainer:
        """Opens the file with PyAV, as a context manager.

        Returns:
            The container.

        Raises:
            ImageError: If it cannot be opened or holds no video.
        """
        av = import_extra("av")
        name = printable(self.path)
        if is_folder(self.path):
            raise ImageError(f"{name}: is a folder, not a video")
        if not is_file(self.path):
            raise ImageError(f"{name}: no such file; relative paths start at the working directory")
        try:
            # Titles that are not UTF-8 are replaced; version 19 does so by default.
            lenient = (
                {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
            )
            container: InputContainer = av.open(
                f"file:{self.path}", container_options=_SAFELY, **lenient
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            # The whole message would repeat the path.
            raise ImageError(f"{name}: is not a video that can be opened ({why(error)})") from error
        if not container.streams.video:
            container.close()
            raise ImageError(f"{name}: holds no video")
        return container

    def frames(
        self, wanted: Callable[[int, float], bool] = lambda index, time: True
    ) -> Iterator[VideoFrame]:
        """Yields the frames in order.

        Args:
            wanted: Called with the number and time of a frame; frames for which it returns false
                are skipped without conversion to an image.

        Yields:
            The frames. :attr:`unreadable` is updated meanwhile.

        Raises:
            ImageError: If the file cannot be opened, or a frame is too large.
        """
        with self.opened() as container:
            for index, time, frame in self.decoded(container):
                if wanted(index, time):
                    yield VideoFrame(index, time, upright(frame))

    def decoded(self, container: InputContainer) -> Iterator[tuple[int, float, DecodedFrame]]:
        """Yields number, time and PyAV frame from a container of :meth:`opened`.

        Args:
            container: The file.

        Yields:
            Each frame that can be decoded.

        Raises:
            ImageError: If a frame is too large.
        """
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        self.unreadable = 0
        start = (container.start_time or 0) / 1_000_000
        time = -1.0 / self.rate
        for index, frame in enumerate(self._readable(container, stream)):
            self._check_size(frame.width, frame.height)
            # A frame without a time, or with a decreasing one, follows the previous frame.
            stamp = None if frame.time is None else float(frame.time) - start
            time = max(0.0, time + 1.0 / self.rate if stamp is None else max(stamp, time))
            yield index, time, frame

    def _readable(self, container: InputContainer, stream: VideoStream) -> Iterator[DecodedFrame]:
        av = import_extra("av")
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
            except av.FFmpegError:  # the file ends within a frame
                self.unreadable += 1
                return
            try:
                frames = packet.decode()
            except av.FFmpegError:
                self.unreadable += 1
                continue
            for frame in frames:
                if frame.is_corrupt:
                    self.unreadable += 1
                else:
                    yield frame

    def _check_size(self, width: int, height: int) -> None:
        if width * height > self.max_pixels:
            raise ImageError(
                f"{printable(self.path)}: has frames of {width} × {height} pixels, more than "
                f"max_pixels={self.max_pixels:,}"
            )


def upright(frame: Any) -> RGBImage:
    """Returns a PyAV frame as RGB, rotated and mirrored according to its metadata."""
    image: RGBImage = frame.to_ndarray(format="rgb24")
    stored = frame.side_data.get("DISPLAYMATRIX")
    if stored is None:
        return image
    # Maps the stored x and y to those shown: (xx x + yx y, xy x + yy y).
    xx, xy, _, yx, yy = np.frombuffer(stored, np.int32, 5)
    if abs(int(xy)) > abs(int(xx)):
        image, xx, yy = image.transpose(1, 0, 2), yx, xy
    return np.ascontiguousarray(image[:: -1 if yy < 0 else 1, :: -1 if xx < 0 else 1])


def _duration(container: InputContainer, stream: VideoStream) -> float | None:
    if container.duration is not None:
        return container.duration / 1_000_000
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return None
