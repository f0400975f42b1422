"""Subtitles that say who is seen."""

from __future__ import annotations

import html

from facekit.utils.terminal import printable
from facekit.video.result import VideoResult
from facekit.video.tracks import shown_name


def to_vtt(result: VideoResult) -> str:
    r"""Returns subtitles that say who is seen; strangers by the number of the track, ``unknown 3``.

    Args:
        result: Of a video.

    Returns:
        WebVTT, as browsers and players show it beside a video.

    Example:
        >>> from facekit.video import to_vtt
        >>> from facekit.video.result import VideoResult
        >>> to_vtt(VideoResult("empty room.mp4"))
        'WEBVTT\n'

    References:
        W3C, "WebVTT: The Web Video Text Tracks Format", 2019.
    """
    lines = ["WEBVTT", ""]
    for seen, track in result.appearances():
        # A cue must last.
        end = max(seen.end, seen.start + 0.001, min(seen.end + result.step, result.duration))
        name = html.escape(printable(shown_name(track)), quote=False)
        lines += [f"{_clock(seen.start)} --> {_clock(end)}", name, ""]
    return "\n".join(lines) if len(lines) > 2 else "WEBVTT\n"


def _clock(seconds: float) -> str:
    thousandths = round(seconds * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}.{rest % 1000:03}"
