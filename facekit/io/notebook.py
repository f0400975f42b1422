"""Results in notebooks: small images of the faces with their names."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from facekit.errors import ImageError
from facekit.io.files import is_file
from facekit.io.images import DecodedImage, RGBImage, read_image
from facekit.utils.terminal import printable

MOST_SHOWN = 24
"""The maximum number of rows that a notebook shows."""

_SIDE, _MARGIN, _ENOUGH = 96, 0.2, 1600


def rows_as_html(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns rows of :func:`facekit.io.tables.rows` as self-contained HTML."""
    shown = "".join(_figure(row) for row in rows[:MOST_SHOWN])
    more = f"<p>… and {len(rows) - MOST_SHOWN} more</p>" if len(rows) > MOST_SHOWN else ""
    return f"<div><p>{_escaped(title)}</p><div>{shown}</div>{more}</div>"


def _figure(row: Mapping[str, Any]) -> str:
    source = str(row.get("image") or row.get("source") or "")
    caption = _caption(row)
    thumbnail = _thumbnail(source, row)
    image = ""
    if thumbnail is not None:
        data = base64.b64encode(thumbnail).decode()
        image = f'<img src="data:image/jpeg;base64,{data}" alt="{_escaped(caption)}">'
    return (
        '<figure style="display:inline-block;margin:4px;text-align:center">'
        f'{image}<figcaption title="{_escaped(source)}">{_escaped(caption)}</figcaption></figure>'
    )


def _caption(row: Mapping[str, Any]) -> str:
    if "error" in row:
        return str(row["error"])
    if "name" in row:
        return str(row["name"] or "unknown")
    if "status" in row:
        return f"{row['person']}: {row['status']}"
    if "group" in row:
        return "not grouped" if row["group"] is None else f"group {row['group']}"
    return str(row.get("image", ""))


def _thumbnail(source: str, row: Mapping[str, Any]) -> bytes | None:
    """Cuts a face with a margin out of a file; ``None`` if the file does not exist."""
    try:
        if not source or not is_file(source):
            return None
        image = read_image(source, max_side=_ENOUGH)
    except (ImageError, OSError, ValueError):
        return None
    box = (row["x"], row["y"], row["width"], row["height"]) if row.get("width") else None
    return as_jpeg(face_in(image, box, _MARGIN), _SIDE)


def face_in(
    image: DecodedImage, box: tuple[float, float, float, float] | None, margin: float
) -> RGBImage:
    """Returns a view of a face with a margin, a share of its box; of all the image without one."""
    x, y, w, h = box or (0.0, 0.0, float(image.width), float(image.height))
    height, width = image.pixels.shape[:2]
    across, down = image.scale
    left, right = (
        int(np.clip(at / across, 0, width)) for at in (x - margin * w, x + (1 + margin) * w)
    )
    top, bottom = (
        int(np.clip(at / down, 0, height)) for at in (y - margin * h, y + (1 + margin) * h)
    )
    return image.pixels[top : max(bottom, top + 1), left : max(right, left + 1)]


def as_jpeg(pixels: RGBImage, side: int) -> bytes:
    """Returns an image as JPEG, no larger than a square."""
    image = Image.fromarray(pixels)
    image.thumbnail((side, side))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=85)
    return stream.getvalue()


def _escaped(text: str) -> str:
    return html.escape(printable(text, limit=200))
