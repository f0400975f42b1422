"""Results in notebooks: small images of the faces with their names."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from facekit.errors import ImageError
from facekit.io.images import read_image
from facekit.utils.terminal import printable

MOST_SHOWN = 24
"""The maximum number of rows that a notebook shows."""

_SIDE, _ENOUGH = 96, 1600


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
        if not source or not Path(source).is_file():
            return None
        image = read_image(source, max_side=_ENOUGH)
    except (ImageError, OSError, ValueError):
        return None
    pixels = Image.fromarray(np.ascontiguousarray(image.pixels))
    if row.get("width"):
        across, down = image.scale
        margin = 0.2 * max(row["width"], row["height"])
        left, top = row["x"] - margin, row["y"] - margin
        right, bottom = row["x"] + row["width"] + margin, row["y"] + row["height"] + margin
        edges = (left / across, top / down, right / across, bottom / down)
        pixels = pixels.crop([round(edge) for edge in edges])  # type: ignore[arg-type]
    pixels.thumbnail((_SIDE, _SIDE))
    stream = io.BytesIO()
    pixels.save(stream, "JPEG", quality=85)
    return stream.getvalue()


def _escaped(text: str) -> str:
    return html.escape(printable(text, limit=200))
