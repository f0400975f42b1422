"""Writing videos: frames with their times, and sound from another file."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facekit.errors import FileFormatError, InvalidArgumentError
from facekit.io.files import is_file, is_folder, real_path
from facekit.io.images import RGBImage
from facekit.utils.extras import import_extra
from facekit.utils.terminal import printable
from facekit.video.reading import VideoFrame

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".mkv"})
"""The supported file endings; all hold H.264."""

# Sound that is copied unchanged; other sound becomes AAC. Matroska supports all.
_SOUND_OF_MP4 = frozenset({"aac", "ac3", "alac", "eac3", "mp3"})

# Fine enough for every frame rate, and supported by all containers.
_TIME_BASE = Fraction(1, 90_000)
# Constant quality; 18 is nearly indistinguishable from the original, 28 is poor.
_QUALITY = "20"


def check_new(path: Path, *, overwrite: bool = False) -> None:
    """Checks that a file can be written."""
    if not is_folder(real_path(path).parent):
        raise InvalidArgumentError(f"{printable(path)}: its folder does not exist")
    if os.path.lexists(path) and not (overwrite and is_file(path)):
        raise InvalidArgumentError(
            f"{printable(path)}: already exists; choose another file, or set overwrite=True"
        )


def check_suffix(path: Path) -> None:
    """Checks that a file's ending is that of a supported container."""
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        raise InvalidArgumentError(
            f"{printable(path)}: the ending must be one of {', '.join(sorted(VIDEO_SUFFIXES))}"
        )


class VideoWriter:
    """Writes an H.264 video atomically; a context manager.

    The video gets its name when the block ends without an error or by Ctrl-C: it is then closed
    properly and holds everything written so far. After any other error it is deleted.

    Args:
        path: Where to write; the ending decides the container: ``.mp4``, ``.m4v``, ``.mov`` or
            ``.mkv``.
        size: Height and width of the frames, in pixels.
        rate: Frames per second, as information for players; the frames have their own times.
        audio: An audio stream of an opened file, whose packets are added by :meth:`add_sound`.
        overwrite: Whether an existing file is replaced.

    Raises:
        InvalidArgumentError: If the ending is not supported, or the file already exists.
        FileFormatError: If it cannot be written.
        MissingExtraError: If PyAV is not installed; it comes with the extra ``video``.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> from facekit.video import VideoFile
        >>> from facekit.video.encoding import VideoWriter
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "black.mp4"
        >>> with VideoWriter(path, (48, 64)) as writer:
        ...     for moment in (0.0, 0.1, 0.5):  # a variable frame rate
        ...         writer.add(moment, np.zeros((48, 64, 3), dtype=np.uint8))
        >>> [round(frame.time, 3) for frame in VideoFile(path).frames()]
        [0.0, 0.1, 0.5]
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        size: tuple[int, int],
        *,
        rate: float = 25.0,
        audio: AudioStream | None = None,
        overwrite: bool = False,
    ) -> None:
        self.path = Path(path)
        check_suffix(self.path)
        check_new(self.path, overwrite=overwrite)
        self._av = import_extra("av")
        self._size, self._last = size, -1
        # Beside it, so that it can be renamed; with its ending, which names the container.
        self._temporary = self.path.with_name(f".{secrets.token_hex(8)}{self.path.suffix}")
        with self._reported():
            self._container: OutputContainer = self._av.open(f"file:{self._temporary}", "w")
            try:
                self._start(rate, audio)
            except BaseException:
                self._discard()
                raise

    def _start(self, rate: float, audio: AudioStream | None) -> None:
        height, width = self._size
        self._video = self._container.add_stream(
            "libx264",
            rate=Fraction(rate).limit_denominator(1001),
            options={"crf": _QUALITY, "preset": "veryfast"},
        )
        # H.264 halves the color resolution: sides are made even by repeating a pixel if necessary.
        self._video.width, self._video.height = width + width % 2, height + height % 2
        self._video.pix_fmt = "yuv420p"
        self._video.time_base = self._video.codec_context.time_base = _TIME_BASE
        self._container.metadata["comment"] = "made by facekit"
        self._sound: Any = None
        self._copied = False
        if audio is None:
            return
        matroska = self.path.suffix.lower() == ".mkv"
        if matroska or audio.codec_context.codec.canonical_name in _SOUND_OF_MP4:
            self._copied = True
            self._sound = self._container.add_stream_from_template(audio)
        else:
            self._sound = self._container.add_stream("aac", rate=audio.rate)

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and not issubclass(kind, KeyboardInterrupt):
            self._discard()
            return
        with self._reported():
            try:
                self._finish()
            except BaseException:
                self._discard()
                raise

    def add(self, time: float, image: RGBImage) -> None:
        """Writes the next frame.

        Args:
            time: The time in seconds; increases from frame to frame.
            image: uint8 ``(height, width, 3)``, RGB; scaled if it differs from the size of the
                video.

        Raises:
            FileFormatError: If the file cannot be written.
        """
        height, width = self._size
        if image.shape[:2] != (height, width):
            import cv2

            image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))
        if height % 2 or width % 2:
            image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = self._av.VideoFrame.from_ndarray(image, format="rgb24")
        self._last = frame.pts = max(self._last + 1, round(time / _TIME_BASE))
        frame.time_base = _TIME_BASE
        with self._reported():
            self._container.mux(self._video.encode(frame))

    def add_sound(self, packet: Any, *, later: float = 0.0) -> None:
        """Writes the next sound packet.

        Args:
            packet: A packet of the stream given as ``audio``.
            later: The delay to add, in seconds.

        Raises:
            FileFormatError: If the file cannot be written.
        """
        shift = round(later / packet.time_base)
        with self._reported():
            if self._copied:
                packet.pts = None if packet.pts is None else packet.pts + shift
                packet.dts = None if packet.dts is None else packet.dts + shift
                packet.stream = self._sound
                self._container.mux(packet)
                return
            try:
                sounds = packet.decode()
            except self._av.FFmpegError:  # damaged sound is left out
                return
            for sound in sounds:
                if sound.pts is not None:
                    sound.pts += round(later / sound.time_base)
                self._container.mux(self._sound.encode(sound))

    def _finish(self) -> None:
        if self._last < 0:
            raise FileFormatError(f"{printable(self.path)}: no frame was written")
        self._container.mux(self._video.encode(None))
        if self._sound is not None and not self._copied:
            self._container.mux(self._sound.encode(None))
        self._container.close()
        self._temporary.replace(self.path)

    def _discard(self) -> None:
        try:
            self._container.close()
        finally:
            self._temporary.unlink(missing_ok=True)

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except FileFormatError:
            raise
        except (self._av.FFmpegError, OSError, ValueError) as error:
            raise FileFormatError(f"{printable(self.path)}: cannot be written ({error})") from error


def write_frames(
    path: str | os.PathLike[str],
    frames: Iterable[VideoFrame],
    *,
    rate: float = 25.0,
    overwrite: bool = False,
) -> None:
    """Writes frames with their times to a video file.

    Args:
        path: As for :class:`facekit.video.encoding.VideoWriter`.
        frames: At least one; all get the size of the first.
        rate: As for :class:`facekit.video.encoding.VideoWriter`.
        overwrite: Whether a file that is there is replaced.

    Raises:
        InvalidArgumentError: If there are no frames, the ending is unknown, or the file exists.
        FileFormatError: If the file cannot be written.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> from facekit.video import VideoFile, VideoFrame, write_frames
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "black.mp4"
        >>> black = np.zeros((48, 64, 3), dtype=np.uint8)
        >>> write_frames(path, (VideoFrame(n, n / 25, black) for n in range(3)))
        >>> len(list(VideoFile(path).frames()))
        3
    """
    remaining = iter(frames)
    first = next(remaining, None)
    if first is None:
        raise InvalidArgumentError("frames must hold at least one frame")
    height, width = first.image.shape[:2]
    with VideoWriter(path, (height, width), rate=rate, overwrite=overwrite) as writer:
        writer.add(first.time, first.image)
        for frame in remaining:
            writer.add(frame.time, frame.image)
