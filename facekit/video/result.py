"""The result for a video: who appears when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from facekit.io.tables import Tabular
from facekit.video.tracks import Appearance, Box, Track, box_of, row_of


@dataclass(frozen=True, eq=False)
class VideoResult(Tabular):
    """Who appears in a video, and when.

    Args:
        source: The video's name.
        tracks: The people, in order of appearance, each with at least ``min_faces`` good faces.
        passing: Tracks with fewer good faces, which are not named: seen too briefly or too poorly.
        size: Height and width of the frames in pixels; ``(0, 0)`` if none was read.
        duration: In seconds, up to the last frame read.
        frames: The number of frames read; for a camera, of frames searched.
        searched: The number of frames searched.
        unreadable: The number of frames that could not be decoded.
        dropped: The number of camera frames skipped in favor of newer ones.
        reconnects: How often a camera's stream was reopened.
        step: The typical number of seconds between searched frames.
        weights: The identity of the weights that embedded the faces.
        interrupted: Whether it ended early, without searching the rest of the video.

    Example:
        >>> from facekit.video.result import VideoResult
        >>> result = VideoResult("empty room.mp4", duration=12.0, frames=300, searched=100)
        >>> result.people, list(result.appearances())
        ([], [])
    """

    source: str
    tracks: tuple[Track, ...] = ()
    passing: tuple[Track, ...] = field(default=(), repr=False)
    size: tuple[int, int] = (0, 0)
    duration: float = 0.0
    frames: int = 0
    searched: int = 0
    unreadable: int = 0
    dropped: int = 0
    reconnects: int = 0
    step: float = 0.0
    weights: str = ""
    interrupted: bool = False

    @property
    def people(self) -> list[str]:
        """The names of the people who appear, sorted."""
        return sorted({track.name for track in self.tracks if track.name is not None})

    @property
    def unknown(self) -> tuple[Track, ...]:
        """The tracks of strangers."""
        return tuple(track for track in self.tracks if track.name is None)

    def appearances(self) -> Iterator[tuple[Appearance, Track]]:
        """Yields each time span in which a person is seen, ordered by start, with the track.

        Yields:
            Appearance and track; those of ``passing`` are left out.
        """
        found = [(seen, track) for track in self.tracks for seen in track.appearances]
        yield from sorted(found, key=lambda one: (one[0], one[1].id))

    def at(self, time: float) -> list[Track]:
        """Returns the people seen at a time.

        Args:
            time: In seconds.

        Returns:
            The tracks with an appearance at that time.
        """
        return [
            track
            for track in self.tracks
            if any(seen.start <= time <= seen.end for seen in track.appearances)
        ]

    def boxes_at(self, time: float) -> list[tuple[Track, Box]]:
        """Returns the boxes of faces at a time, interpolated between searched frames.

        Before its first and after its last detection, a face stays at that place for one step.

        Args:
            time: In seconds.

        Returns:
            Each track seen at that time, including those in ``passing``, with its box.
        """
        found = []
        for track in (*self.tracks, *self.passing):
            after = int(np.searchsorted(track.times, time))
            near = [n for n in (after - 1, after) if 0 <= n < len(track)]
            places = [n for n in near if abs(track.times[n] - time) <= self.step + 1e-6]
            if len(near) == 2 and track.pieces[near[0]] == track.pieces[near[1]]:
                start, end = track.times[near]
                if end > start:
                    share = (time - start) / (end - start)
                    box = (1 - share) * track.boxes[near[0]] + share * track.boxes[near[1]]
                    found.append((track, box_of(box)))
                    continue
            if places:
                place = min(places, key=lambda n: abs(track.times[n] - time))
                found.append((track, box_of(track.boxes[place])))
        return found

    def to_rows(self) -> list[dict[str, Any]]:
        """Returns a row for each appearance, as ``to_frame`` has them; times are in seconds."""
        return [row_of(seen, track) for seen, track in self.appearances()]

    def to_dict(self) -> dict[str, Any]:
        """Returns everything but the embeddings as plain Python values, for ``json.dumps``.

        Returns:
            The fields by name.
        """
        plain = {name: value for name, value in vars(self).items() if name != "step"}
        return {
            **plain,
            "size": list(self.size),
            "people": self.people,
            "tracks": [track.to_dict() for track in self.tracks],
            "passing": [track.to_dict() for track in self.passing],
        }
