"""Growing tracks, and joining of pieces."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from facekit.faces import Identity
from facekit.pipeline import EmbeddedFace
from facekit.video.tracks import Track


class Seen(NamedTuple):
    """A face in a frame that may or may not belong to its track."""

    frame: int
    time: float
    found: EmbeddedFace
    good: bool


class Tracklet:
    """The state of a growing track, in 44 bytes per face."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.frames, self.times = array("q"), array("d")
        self.boxes, self.goodness = array("f"), array("f")
        self.images = 0
        self.total: npt.NDArray[np.float64] = np.zeros(0)
        self.best: EmbeddedFace | None = None
        self.best_goodness = -1.0
        # Consecutive faces, starting with one that does not fit.
        self.leaving: list[Seen] = []
        self.identity: Identity | None = None
        self.last_seen = 0.0

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def mean(self) -> npt.NDArray[np.float32] | None:
        """The mean, of unit norm."""
        return mean_of(self.total)

    def take(self, seen: Seen, *, fits: bool = True) -> None:
        """Adds a face; its embedding and its image are used only if they fit."""
        goodness = goodness_of(seen.found)
        if fits and goodness > self.best_goodness:
            self.best, self.best_goodness = seen.found, goodness
        self.frames.append(seen.frame)
        self.times.append(seen.time)
        self.boxes.extend(seen.found.face.box)
        # Faces that do not fit are not shown as the person.
        self.goodness.append(goodness if fits else 0.0)
        if fits and seen.good:
            unit = seen.found.unit
            self.total = self.total + unit if self.images else unit.astype(np.float64)
            self.images += 1

    def keep_leaving(self, most: int = 0) -> None:
        """Accepts the faces that did not fit, until that many are left."""
        while len(self.leaving) > most:
            self.take(self.leaving.pop(0), fits=False)


def goodness_of(found: EmbeddedFace) -> float:
    """Rates the image of a face: large, frontal, certain."""
    good = float(np.sqrt(found.face.area)) * found.face.confidence
    quality = found.quality
    if quality is not None:
        good *= float(np.cos(np.radians(min(90.0, abs(quality.yaw))))) * (
            0.1 if found.problems else 1.0
        )
    return good


def pooled(pieces: Sequence[Tracklet]) -> tuple[int, npt.NDArray[np.float64]]:
    """Returns the number of good faces of the pieces, and the sum of their unit embeddings."""
    total = sum((piece.total for piece in pieces if piece.images), start=np.zeros(1))
    return sum(piece.images for piece in pieces), total


def joined(
    pieces: Sequence[Tracklet], identity: Identity | None, worth: float, *, ended: bool = True
) -> Track:
    """Joins the pieces of one person into a track."""
    frames = np.concatenate([np.array(piece.frames, dtype=np.int64) for piece in pieces])
    order = np.argsort(frames, kind="stable")
    images, total = pooled(pieces)
    best = max(pieces, key=lambda piece: piece.best_goodness).best
    assert best is not None
    numbers = np.concatenate([np.full(len(piece), piece.number) for piece in pieces])
    boxes = np.concatenate([np.array(piece.boxes, dtype=np.float32) for piece in pieces])
    return Track(
        id=min(piece.number for piece in pieces),
        frames=frames[order],
        times=np.concatenate([np.array(piece.times) for piece in pieces])[order],
        boxes=boxes.reshape(-1, 4)[order],
        goodness=np.concatenate([np.array(p.goodness, dtype=np.float32) for p in pieces])[order],
        pieces=numbers[order],
        images=images,
        mean=mean_of(total),
        worth=worth,
        best=best,
        identity=identity,
        ended=ended,
    )


def mean_of(total: npt.NDArray[np.float64]) -> npt.NDArray[np.float32] | None:
    """Returns a sum of embeddings scaled to unit norm; ``None`` if it has no direction."""
    norm = np.linalg.norm(total)
    return (total / norm).astype(np.float32) if norm > 0 else None
