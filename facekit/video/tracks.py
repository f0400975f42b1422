"""One person's track through a video."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from facekit.faces import Identity
from facekit.pipeline import EmbeddedFace
from facekit.utils.validation import STRANGER

Box: TypeAlias = tuple[float, float, float, float]
"""x, y, width and height in pixels."""


class Appearance(NamedTuple):
    """A time span in which a person is seen without a gap.

    Attributes:
        start: When the face is first found, in seconds.
        end: When it is last found.

    Example:
        >>> from facekit.video.tracks import Appearance
        >>> Appearance(1.5, 4.0).end
        4.0
    """

    start: float
    end: float


class Sighting(NamedTuple):
    """A face of a track in one frame.

    Attributes:
        frame: The number of the frame.
        time: Its time, in seconds.
        box: ``(x, y, width, height)`` in pixels.
        goodness: The quality of the face's image, comparable only within a track.

    Example:
        >>> from facekit.video.tracks import Sighting
        >>> Sighting(12, 0.5, (10.0, 20.0, 80.0, 100.0), 75.0).frame
        12
    """

    frame: int
    time: float
    box: Box
    goodness: float


@dataclass(frozen=True, eq=False)
class Track:
    """One person in a video, with all their appearances.

    Args:
        id: Its number, in order of appearance.
        frames: The numbers of the frames in which the face was found, ascending, int64 ``(n,)``.
        times: Their times in seconds, float64 ``(n,)``.
        boxes: Where it was, x, y, width and height in pixels, float32 ``(n, 4)``.
        goodness: The quality of each image of the face, float32 ``(n,)``.
        pieces: int64 ``(n,)``: the piece, before joining, that each belongs to; a piece is an
            appearance.
        images: The number of faces in the mean: those that pass the quality gate and fit.
        mean: The mean of their embeddings, float32 ``(d,)``, of unit norm; ``None`` without any.
        worth: The number of independent images that the mean is worth.
        best: The best face, with its aligned image.
        identity: The identity of the mean; ``None`` if no one is enrolled or there are too few
            faces.
        ended: Whether it has ended; ``on_track`` may also report unfinished tracks.

    Example:
        >>> import numpy as np
        >>> from facekit.pipeline import EmbeddedFace, face_in_box
        >>> from facekit.video.tracks import Track
        >>> best = EmbeddedFace("a.mp4, frame 5", face_in_box((10, 20, 80, 100)), None)
        >>> track = Track(
        ...     id=1, frames=np.array([5, 6, 60]), times=np.array([0.5, 0.6, 6.0]),
        ...     boxes=np.tile(np.float32([10, 20, 80, 100]), (3, 1)),
        ...     goodness=np.ones(3, np.float32), pieces=np.array([1, 1, 4]), images=0, mean=None,
        ...     worth=0.0, best=best)
        >>> track.label, track.start, track.end, len(track)
        ('unknown', 0.5, 6.0, 3)
        >>> [(seen.start, seen.end) for seen in track.appearances]
        [(0.5, 0.6), (6.0, 6.0)]
    """

    id: int
    frames: npt.NDArray[np.int64] = field(repr=False)
    times: npt.NDArray[np.float64] = field(repr=False)
    boxes: npt.NDArray[np.float32] = field(repr=False)
    goodness: npt.NDArray[np.float32] = field(repr=False)
    pieces: npt.NDArray[np.int64] = field(repr=False)
    images: int
    mean: npt.NDArray[np.float32] | None = field(repr=False)
    worth: float
    best: EmbeddedFace = field(repr=False)
    identity: Identity | None = None
    ended: bool = True

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def name(self) -> str | None:
        """Who it is, or ``None`` for a stranger."""
        return None if self.identity is None else self.identity.name

    @property
    def label(self) -> str:
        """The name to show, that of the person or ``"unknown"``."""
        return STRANGER if self.name is None else self.name

    @property
    def start(self) -> float:
        """When the face is first found, in seconds."""
        return float(self.times[0])

    @property
    def end(self) -> float:
        """When it is last found, in seconds."""
        return float(self.times[-1])

    @property
    def appearances(self) -> tuple[Appearance, ...]:
        """The time spans in which it is seen, in order."""
        found = []
        for piece in np.unique(self.pieces):
            times = self.times[self.pieces == piece]
            found.append(Appearance(float(times[0]), float(times[-1])))
        return tuple(sorted(found))

    def best_sightings(self, count: int) -> list[Sighting]:
        """Returns the best images of the face, none within half a second of another.

        Args:
            count: How many at most.

        Returns:
            The best first; at least one.
        """
        chosen: list[int] = []
        for place in np.argsort(-self.goodness, kind="stable"):
            if len(chosen) == count:
                break
            if all(abs(self.times[place] - self.times[other]) >= 0.5 for other in chosen):
                chosen.append(int(place))
        return [
            Sighting(
                int(self.frames[place]),
                float(self.times[place]),
                box_of(self.boxes[place]),
                float(self.goodness[place]),
            )
            for place in chosen
        ]

    def to_dict(self) -> dict[str, Any]:
        """Returns the track as plain Python values, ready for ``json.dumps``.

        Returns:
            The identity, the appearances, and each frame with its time and box; not the embedding.
        """
        return {
            "track": self.id,
            **_fields(self.identity, "name", "candidate", "distance", "threshold", "probability"),
            "start": self.start,
            "end": self.end,
            "images": self.images,
            "appearances": [list(seen) for seen in self.appearances],
            "frames": self.frames.tolist(),
            "times": self.times.round(4).tolist(),
            "boxes": self.boxes.astype(np.float64).round(1).tolist(),
        }


def box_of(values: npt.NDArray[np.float32]) -> Box:
    """Returns a row of boxes as plain numbers."""
    x, y, width, height = values.tolist()
    return (x, y, width, height)


def shown_name(track: Track) -> str:
    """Returns the name, or ``unknown`` with the track's number to distinguish strangers."""
    return track.label if track.name is not None else f"{STRANGER} {track.id}"


def row_of(seen: Appearance, track: Track) -> dict[str, Any]:
    """Returns the row of an appearance in tables; times are in seconds."""
    return {
        "name": track.name,
        "track": track.id,
        "start": seen.start,
        "end": seen.end,
        "faces": track.images,
        **_fields(track.identity, "distance", "threshold", "probability"),
    }


def _fields(identity: Identity | None, *names: str) -> dict[str, Any]:
    """Returns fields of an identity, ``None`` without one."""
    return {name: getattr(identity, name, None) for name in names}
