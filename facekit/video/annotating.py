"""An annotated or anonymized copy of a video, with its sound."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from facekit.errors import InvalidArgumentError
from facekit.faces import Face, RecognizedFace
from facekit.io.files import exists, is_file
from facekit.io.images import RGBImage
from facekit.pipeline import face_in_box
from facekit.utils.extras import import_extra
from facekit.utils.terminal import printable
from facekit.utils.validation import choice
from facekit.video.encoding import VideoWriter
from facekit.video.reading import VideoFile, upright
from facekit.video.result import VideoResult
from facekit.video.tracks import Box, Track, shown_name
from facekit.visualization import draw_faces
from facekit.visualization.cutting import square_around

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer

Blur: TypeAlias = Literal["known", "unknown", "all"]
"""Which faces are made unrecognizable."""

# Covers the hair and chin as well, which are only partly in the box.
_COVER = 1.5
# With so few squares across, a face is unrecognizable.
_SQUARES = 6


def write_annotated(
    result: VideoResult,
    output: str | os.PathLike[str],
    *,
    blur: Blur | None = None,
    overwrite: bool = False,
    progress: Callable[[int, float], object] = lambda index, time: None,
) -> None:
    """Writes a copy of a video with boxes and names, or with faces made unrecognizable.

    The video is read again. Frames keep their times and are rotated upright; sound is copied, or
    converted to AAC if the container does not support it. Between two searched frames, boxes are
    interpolated. An interruption (Ctrl-C) closes the copy properly and is raised.

    Only faces that were found can be blurred: search every frame (``stride=1``), and check the copy
    before you publish it. Clothes, voice and gait can also identify people.

    Args:
        result: Of the video; its file must still be there.
        output: Where to write; as for :class:`facekit.video.encoding.VideoWriter`.
        blur: Whose faces are covered by a mosaic: of those who are named, of all others, or all;
            ``None`` to draw boxes and names instead of blurring. A face that was seen too
            briefly to be named is another.
        overwrite: Whether a file that is there is replaced.
        progress: Called with number and time of each frame that is written.

    Raises:
        ImageError: If the video cannot be read again.
        InvalidArgumentError: If the result is not of a file, ``output`` is that file or already
            exists, or an argument cannot be used.
        FileFormatError: If the copy cannot be written.
        MissingExtraError: If PyAV is not installed; it comes with the extra ``video``.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> from facekit import Detector, Embedder, FacePipeline
        >>> from facekit.video import VideoFile, VideoFrame, write_annotated, write_frames
        >>> from facekit.video.recognition import VideoRecognition
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> black = np.zeros((48, 64, 3), dtype=np.uint8)
        >>> write_frames(folder / "black.mp4", [VideoFrame(n, n / 25, black) for n in range(5)])
        >>> run = VideoRecognition(
        ...     folder / "black.mp4", FacePipeline(Detector(), Embedder()), stride=1)
        >>> for frame in run:
        ...     pass
        >>> write_annotated(run.result(), folder / "copy.mp4", blur="all")
        >>> len(list(VideoFile(folder / "copy.mp4").frames()))
        5
    """
    if blur is not None:
        choice(blur, "blur", get_args(Blur))
    source, path = Path(result.source), Path(output)
    if not is_file(source):
        raise InvalidArgumentError(f"{printable(source)}: is not a file that can be read again")
    if exists(path) and path.samefile(source):
        raise InvalidArgumentError(f"{printable(path)}: would overwrite the video itself")
    video = VideoFile(source)
    with video.opened() as images, video.opened() as container:
        start = (images.start_time or 0) / 1_000_000
        audio = container.streams.audio[0] if video.has_audio else None
        sound = _Sound(container, audio, start)
        with VideoWriter(
            path, video.size, rate=video.rate, audio=audio, overwrite=overwrite
        ) as writer:
            for index, time, frame in video.decoded(images):
                if result.interrupted and time > result.duration:
                    break
                # Interleaved, so that neither sound nor images wait in memory for the other.
                sound.write(writer, time)
                writer.add(time, annotated(upright(frame), result, time, blur=blur))
                progress(index, time)
            sound.write(writer, result.duration if result.interrupted else math.inf)


class _Sound:
    """The sound packets, each written in its turn."""

    def __init__(self, container: InputContainer, audio: AudioStream | None, start: float) -> None:
        self._packets = iter(()) if audio is None else _packets(container, audio)
        self._start = start
        self._next = next(self._packets, None)

    def write(self, writer: VideoWriter, until: float) -> None:
        while self._next is not None and _time(self._next) - self._start <= until:
            writer.add_sound(self._next, later=-self._start)
            self._next = next(self._packets, None)


def _packets(container: InputContainer, audio: AudioStream) -> Iterator[Any]:
    av = import_extra("av")
    try:
        for packet in container.demux(audio):
            if packet.dts is not None:  # the last one only tells a decoder that it is over
                yield packet
    except av.FFmpegError:  # the file ends within a packet
        return


def _time(packet: Any) -> float:
    return float(packet.dts * packet.time_base)


def annotated(image: RGBImage, result: VideoResult, time: float, *, blur: Blur | None) -> RGBImage:
    """Returns a frame with faces covered, or with boxes and names."""
    found = result.boxes_at(time)
    if blur is not None:
        found = [(track, box) for track, box in found if _is_hidden(track, blur)]
    if not found:
        return image
    if blur is None:
        faces = [_drawn(track, box) for track, box in found]
        return draw_faces(image, faces, keypoints=False, labels=[shown_name(t) for t, _ in found])
    image = image.copy()
    for _, box in found:
        _cover(square_around(image, box, _COVER))
    return image


def _cover(face: RGBImage) -> None:
    """Lays a mosaic over a part of an image, in place."""
    import cv2

    if face.size:
        squares = cv2.resize(face, (_SQUARES, _SQUARES), interpolation=cv2.INTER_AREA)
        face[:] = cv2.resize(squares, face.shape[1::-1], interpolation=cv2.INTER_NEAREST)


def _is_hidden(track: Track, blur: Blur) -> bool:
    return blur == "all" or blur == ("unknown" if track.name is None else "known")


def _drawn(track: Track, box: Box) -> Face | RecognizedFace:
    face = face_in_box((box[0], box[1], max(1.0, box[2]), max(1.0, box[3])))
    if track.identity is None:
        return RecognizedFace(face, None, "", math.nan, math.nan, 0.0)
    return RecognizedFace.of(face, track.identity)
