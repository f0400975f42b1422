"""Faces cut out of images on demand, in a bounded cache."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from facekit.errors import ImageError
from facekit.gallery.records import FaceSource
from facekit.io.decoding import inspect_file
from facekit.io.images import Reading, RGBImage, read_image
from facekit.io.notebook import as_jpeg, face_in
from facekit.pipeline import content_sha256
from facekit.utils.terminal import printable

Box: TypeAlias = tuple[float, float, float, float]

_SIDE, _MARGIN = 160, 0.3
# The longest side of an uploaded image from which faces are cut out.
_TRIED_SIDE = 4000


class Thumbnails:
    """Cuts faces out as JPEG."""

    def __init__(self, reading: Reading, most_bytes: int = 32 << 20) -> None:
        self._reading, self._most = reading, most_bytes
        self._kept: OrderedDict[FaceSource, bytes] = OrderedDict()
        self._bytes = 0
        # Few images are decoded at a time, since each may take hundreds of megabytes.
        self._decoding, self._lock = threading.Semaphore(2), threading.Lock()

    def cut(self, source: FaceSource) -> bytes:
        """Returns the face of an image as JPEG."""
        with self._lock:
            if source in self._kept:
                self._kept.move_to_end(source)
                return self._kept[source]
        with self._decoding:
            data = as_jpeg(self._pixels(source), _SIDE)
        with self._lock:
            if source not in self._kept:
                self._kept[source] = data
                self._bytes += len(data)
            while self._bytes > self._most:
                self._bytes -= len(self._kept.popitem(last=False)[1])
        return data

    def cut_out(self, data: bytes, boxes: Sequence[Box | None]) -> list[bytes]:
        """Returns faces of an image that is not kept, as JPEG."""
        with self._decoding:
            image = read_image(data, max_side=_TRIED_SIDE, **self._reading)
            return [as_jpeg(face_in(image, box, _MARGIN), _SIDE) for box in boxes]

    def _pixels(self, source: FaceSource) -> RGBImage:
        stored = inspect_file(Path(source.source))
        if source.sha256 and source.sha256 != content_sha256(source.source):
            raise ImageError(
                f"{printable(source.source)}: has changed since its faces were found, so that this "
                "face may be another"
            )
        longest = max(stored.width, stored.height)
        face = (1 + 2 * _MARGIN) * max(source.box[2:]) if source.box else longest
        # A large image is decoded only as large as its face needs.
        needed = math.ceil(longest * _SIDE / max(face, 1.0))
        image = read_image(source.source, max_side=needed, **self._reading)
        return face_in(image, source.box, _MARGIN)
