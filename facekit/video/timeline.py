"""An image of a timeline: who is seen when."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from facekit.io.images import RGBImage
from facekit.utils.figures import one_line
from facekit.video.result import VideoResult
from facekit.video.tracks import Track, shown_name
from facekit.visualization.colors import KNOWN_COLOR, UNKNOWN_COLOR
from facekit.visualization.lettering import label_font

_INK, _PAPER, _PALE = (33, 37, 41), (255, 255, 255), (222, 226, 230)
# An image of all strangers of a long video would be too tall.
_MOST_ROWS = 60


def draw_timeline(result: VideoResult, *, width: int = 1000) -> RGBImage:
    """Draws a timeline of who is seen when, with a row for each person.

    Args:
        result: The result for a video.
        width: The width of the image, in pixels; at least 400.

    Returns:
        uint8 ``(height, width, 3)``, RGB. Known people come first, then strangers; rows beyond 60
        are left out.

    Example:
        >>> from facekit.video import draw_timeline
        >>> from facekit.video.result import VideoResult
        >>> draw_timeline(VideoResult("empty room.mp4", duration=12.0)).shape
        (80, 1000, 3)
    """
    width = max(400, width)
    rows: dict[str, list[Track]] = {}
    for track in sorted(result.tracks, key=lambda track: track.name is None):
        rows.setdefault(shown_name(track), []).append(track)
    shown = list(rows.items())[:_MOST_ROWS]
    row_height, left, top, bottom = 28, 200, 12, 68
    height = top + row_height * len(shown) + bottom
    sheet = Image.new("RGB", (width, height), _PAPER)
    canvas = ImageDraw.Draw(sheet)
    font = label_font(14)
    duration = max(result.duration, 1e-3)
    scale = (width - left - 20) / duration
    base = top + row_height * len(shown)
    for tick in _ticks(duration):
        x = left + tick * scale
        canvas.line((x, top, x, base + 6), fill=_PALE)
        canvas.text((x, base + 10), _short_clock(tick), fill=_INK, font=font, anchor="ma")
    canvas.line((left, base, width - 20, base), fill=_INK)
    for number, (name, tracks) in enumerate(shown):
        y = top + number * row_height
        text = one_line(name)
        while len(text) > 2 and canvas.textlength(text, font=font) > left - 24:
            text = text.removesuffix("…")[:-1] + "…"
        canvas.text((left - 12, y + row_height / 2), text, fill=_INK, font=font, anchor="rm")
        color = UNKNOWN_COLOR if tracks[0].name is None else KNOWN_COLOR
        for track in tracks:
            for seen in track.appearances:
                # Brief appearances are at least two pixels wide, to be visible.
                end = max(left + seen.end * scale, left + seen.start * scale + 2)
                canvas.rectangle(
                    (left + seen.start * scale, y + 5, end, y + row_height - 5), fill=color
                )
    hidden = len(rows) - len(shown)
    note = f"{len(rows)} people" + (f", {hidden} of them not shown" if hidden else "")
    canvas.text((left, base + 40), f"{note}; time in minutes", fill=_INK, font=font)
    return np.array(sheet)


def _short_clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds, 3), 60)
    fraction = f"{rest:02.0f}" if float(rest).is_integer() else f"{rest:04.1f}"
    return f"{int(minutes)}:{fraction}"


def _ticks(duration: float) -> list[float]:
    steps = [0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600]
    step = next((step for step in steps if duration / step <= 10), duration / 10)
    return [float(tick) for tick in np.arange(0, duration + 1e-9, step)]
