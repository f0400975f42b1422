"""CSV tables of appearances."""

from __future__ import annotations

from facekit.io.tables import csv_line
from facekit.utils.figures import one_line
from facekit.video.result import VideoResult
from facekit.video.tracks import Appearance, Track, row_of

_DECIMALS = {"start": 3, "end": 3, "distance": 4, "threshold": 4, "probability": 4}

HEADER = "name,track,start,end,faces,distance,threshold,probability\n"


def table_line(seen: Appearance, track: Track) -> str:
    """Returns a line for :data:`HEADER`; times are in seconds."""
    row = row_of(seen, track) | {"name": one_line(track.label)}
    cells = (
        value if value is None or key not in _DECIMALS else f"{value:.{_DECIMALS[key]}f}"
        for key, value in row.items()
    )
    return csv_line(list(cells)) + "\n"


def to_csv(result: VideoResult) -> str:
    """Returns a table of who appears from when to when.

    Args:
        result: The result for a video.

    Returns:
        CSV with a header and one line for each appearance. The columns are the name (``unknown``
        for a stranger), the number of the track, the first and last second, the number of faces
        behind the name, distance, threshold and probability.

    Example:
        >>> from facekit.video import to_csv
        >>> from facekit.video.result import VideoResult
        >>> print(to_csv(VideoResult("empty room.mp4")), end="")
        name,track,start,end,faces,distance,threshold,probability
    """
    return HEADER + "".join(table_line(seen, track) for seen, track in result.appearances())
