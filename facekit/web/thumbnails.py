"""Faces cut out of photos when they are asked for, and kept within a bound."""

from __future__ import annotations

import io
import math
import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
from PIL import Image

from facekit.gallery.records import PhotoSource
from facekit.io.decoding import inspect_file
from facekit.io.images import Reading, RGBImage, read_image

_SIDE, _MARGIN = 160, 0.3


class Thumbnails:
    """Cuts faces out, as JPEG.

    Args:
        reading: How photos are read.
        most_bytes: How much is kept in memory.
    """

    def __init__(self, reading: Reading, most_bytes: int = 32 << 20) -> None:
        self._reading, self._most = reading, most_bytes
        self._kept: OrderedDict[PhotoSource, bytes] = OrderedDict()
        self._bytes = 0
        # Few photos are decoded at a time, each of which may take hundreds of megabytes.
        self._decoding, self._lock = threading.Semaphore(2), threading.Lock()

    def cut(self, photo: PhotoSource) -> bytes:
        """Returns the face of a photo as JPEG.

        Raises:
            ImageError: If the photo cannot be read.
        """
        with self._lock:
            if photo in self._kept:
                self._kept.move_to_end(photo)
                return self._kept[photo]
        with self._decoding:
            cut = Image.fromarray(self._pixels(photo))
        cut.thumbnail((_SIDE, _SIDE))
        stream = io.BytesIO()
        cut.save(stream, "JPEG", quality=85)
        data = stream.getvalue()
        with self._lock:
            if photo not in self._kept:
                self._kept[photo] = data
                self._bytes += len(data)
            while self._bytes > self._most:
                self._bytes -= len(self._kept.popitem(last=False)[1])
        return data

    def _pixels(self, photo: PhotoSource) -> RGBImage:
        stored = inspect_file(Path(photo.source))
        longest = max(stored.width, stored.height)
        face = (1 + 2 * _MARGIN) * max(photo.box[2:]) if photo.box else longest
        # A large photo is decoded no larger than its face needs.
        needed = math.ceil(longest * _SIDE / max(face, 1.0))
        image = read_image(photo.source, max_side=needed, **self._reading)
        x, y, w, h = photo.box or (0.0, 0.0, float(image.width), float(image.height))
        height, width = image.pixels.shape[:2]
        across, down = image.scale
        left, right = (
            int(np.clip(at / across, 0, width)) for at in (x - _MARGIN * w, x + (1 + _MARGIN) * w)
        )
        top, bottom = (
            int(np.clip(at / down, 0, height)) for at in (y - _MARGIN * h, y + (1 + _MARGIN) * h)
        )
        return image.pixels[top : max(bottom, top + 1), left : max(right, left + 1)]
