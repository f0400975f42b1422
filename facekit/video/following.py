"""Turns faces in frames into people: track, cut, join, name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from facekit.embedding.weights.registry import WeightsRecord
from facekit.faces import Identity
from facekit.pipeline import EmbeddedFace
from facekit.utils.validation import whole
from facekit.video.joining import join, seen_together
from facekit.video.tracking import BoxTracker, FaceTracker
from facekit.video.tracklets import Seen, Tracklet, joined, mean_of, pooled
from facekit.video.tracks import Track

Identify: TypeAlias = Callable[[npt.NDArray[np.float32], Sequence[float]], list[Identity]]
"""Identifies means, given the number of independent images in each."""

MIN_FACES = 3
"""A track with fewer good faces gets no name."""

# This many consecutive faces must deviate from the mean and resemble each other before a track is
# cut; a single one may be blurred or turned.
_LEAVING = 3
# After this many seconds without the face, a new piece starts.
_GAP = 2.0
# While a track runs, its name is withdrawn only if its distance exceeds the threshold by this much,
# so that it does not flicker.
_RELEASE = 0.05

_GRID = np.linspace(0.0, 2.0, 2001)


@dataclass(frozen=True)
class FollowedFace:
    """A face in a frame, with the track it belongs to.

    Args:
        found: The face.
        track: The number of the track.
        identity: The identity of the track so far; ``None`` if it cannot be determined.

    Example:
        >>> from facekit.pipeline import EmbeddedFace, face_in_box
        >>> from facekit.video.following import FollowedFace
        >>> face = FollowedFace(EmbeddedFace("frame 5", face_in_box((10, 20, 80, 100)), None), 1)
        >>> face.track, face.identity
        (1, None)
    """

    found: EmbeddedFace
    track: int
    identity: Identity | None = None


class FaceFollower:
    """Tracks the faces found in successive frames.

    The tracker follows boxes. If three consecutive faces deviate from the running mean of their
    track's embeddings and resemble each other, the track is cut, because the boxes have switched to
    another person. In the end, pieces are joined by their means, but never two that were seen in
    the same frames, and each person is named by the mean of all faces. Only one person at a time
    can have a name: of two seen together, the one nearer to the enrolled person keeps it.

    The arguments are those of :class:`facekit.video.recognition.VideoRecognition`.
    """

    def __init__(
        self,
        record: WeightsRecord,
        identify: Identify | None = None,
        *,
        tracker: FaceTracker | None = None,
        min_faces: int = MIN_FACES,
        on_track: Callable[[Track], object] | None = None,
        keep: bool = True,
    ) -> None:
        self._record, self._identify = record, identify
        self._tracker = BoxTracker() if tracker is None else tracker
        self._min_faces = whole(min_faces, "min_faces", least=1)
        self._on_track, self._keep = on_track, keep
        self._limits = _limits(record)
        self._open: dict[int, Tracklet] = {}
        self._ended: list[Tracklet] = []
        self._count = 0

    def add(self, frame: int, time: float, faces: Sequence[EmbeddedFace]) -> list[FollowedFace]:
        """Takes the faces of the next frame."""
        boxes = np.array([found.face.box for found in faces], dtype=np.float64).reshape(-1, 4)
        confidences = np.array([found.face.confidence for found in faces], dtype=np.float64)
        numbers = self._tracker.update(boxes, confidences, time)
        self._end(time)
        seen: list[tuple[EmbeddedFace, Tracklet]] = []
        for number, found in zip(numbers.tolist(), faces, strict=True):
            if number >= 0:
                seen.append((found, self._take(number, frame, time, found)))
        self._name([tracklet for _, tracklet in seen])
        return [FollowedFace(found, tracklet.number, tracklet.identity) for found, tracklet in seen]

    def finish(self) -> None:
        """Ends all tracks at the end of the video."""
        self._end(np.inf)

    def tracks(self) -> list[Track]:
        """Returns everyone seen so far, in the order in which they came; pieces are joined."""
        pieces = [*self._ended, *self._open.values()]
        for piece in pieces:
            piece.keep_leaving()
        pieces = [piece for piece in pieces if piece.best is not None]
        means = [(piece, piece.mean) for piece in pieces]
        with_mean = {piece: mean for piece, mean in means if mean is not None}
        groups: dict[int, list[Tracklet]] = {}
        if with_mean:
            labels = join(
                np.stack(list(with_mean.values())),
                np.array([self._worth([piece]) for piece in with_mean]),
                seen_together([piece.frames for piece in with_mean]),
                self._record,
            )
            for piece, label in zip(with_mean, labels.tolist(), strict=True):
                groups.setdefault(label, []).append(piece)
        found = [
            joined(group, identity, self._worth(group))
            for group, identity in self._people(list(groups.values()))
        ]
        found += [joined([piece], None, 0.0) for piece, mean in means if mean is None]
        return sorted(found, key=lambda track: (track.start, track.id))

    def _take(self, number: int, frame: int, time: float, found: EmbeddedFace) -> Tracklet:
        tracklet = self._open.get(number)
        if tracklet is None:
            tracklet = self._open[number] = self._new()
        tracklet.last_seen = time
        good = not found.problems and found.embedding is not None
        seen = Seen(frame, time, found, good)
        if not good:
            if tracklet.leaving:
                tracklet.leaving.append(seen)
                tracklet.keep_leaving(4 * _LEAVING)
            else:
                tracklet.take(seen)
            return tracklet
        if self._fits(tracklet, found.unit):
            tracklet.keep_leaving()
            tracklet.take(seen)
            return tracklet
        tracklet.leaving.append(seen)
        recent = [other for other in tracklet.leaving if other.good][-_LEAVING:]
        if len(recent) < _LEAVING or not self._agree(recent):
            tracklet.keep_leaving(4 * _LEAVING)
            return tracklet
        # The boxes switched to another person at the first face that does not fit.
        rest, tracklet.leaving = tracklet.leaving, []
        other = self._open[number] = self._new()
        other.last_seen = time
        self._close(tracklet)
        for one in recent:
            other.take(one)
        for one in rest:
            if one not in recent:
                other.take(one, fits=not one.good or self._fits(other, one.found.unit))
        return other

    def _new(self) -> Tracklet:
        self._count += 1
        return Tracklet(self._count)

    def _fits(self, tracklet: Tracklet, embedding: npt.NDArray[np.float32]) -> bool:
        mean = tracklet.mean
        if mean is None:
            return True
        return float(np.linalg.norm(embedding - mean)) <= self._limit(tracklet.images)

    def _agree(self, seen: Sequence[Seen]) -> bool:
        units = np.stack([one.found.unit for one in seen]).astype(np.float64)
        others = units.sum(axis=0) - units
        others /= np.linalg.norm(others, axis=1, keepdims=True)
        return bool((np.linalg.norm(units - others, axis=1) <= self._limit(len(seen) - 1)).all())

    def _limit(self, images: int) -> float:
        return self._limits[min(images, len(self._limits)) - 1]

    def _end(self, time: float) -> None:
        for number, tracklet in list(self._open.items()):
            if time - tracklet.last_seen > _GAP:
                del self._open[number]
                self._close(tracklet)

    def _close(self, tracklet: Tracklet) -> None:
        tracklet.keep_leaving()
        if tracklet.images >= self._min_faces and self._on_track is not None:
            self._on_track(self._track(tracklet, ended=True))
        if self._keep:
            self._ended.append(tracklet)

    def _track(self, tracklet: Tracklet, *, ended: bool) -> Track:
        return joined([tracklet], tracklet.identity, self._worth([tracklet]), ended=ended)

    def _worth(self, pieces: Sequence[Tracklet]) -> float:
        images, total = pooled(pieces)
        table = self._record.distances
        if table is None or not images:
            return float(images)
        return table.independent_images(images, float(np.linalg.norm(total)) / images)

    def _name(self, tracklets: Sequence[Tracklet]) -> None:
        for tracklet, identity in zip(
            tracklets, self._identities([[t] for t in tracklets]), strict=True
        ):
            if identity is None:
                continue
            before = None if tracklet.identity is None else tracklet.identity.name
            tracklet.identity = _kept(before, identity)
            if tracklet.identity.name != before and self._on_track is not None:
                self._on_track(self._track(tracklet, ended=False))

    def _people(self, groups: list[list[Tracklet]]) -> list[tuple[list[Tracklet], Identity | None]]:
        """Names the groups; groups with the same name are merged, or the nearer one keeps it."""
        named: list[tuple[list[Tracklet], Identity]] = []
        people: list[tuple[list[Tracklet], Identity | None]] = []
        for group, identity in zip(groups, self._identities(groups), strict=True):
            if identity is not None and identity.name is not None:
                named.append((group, identity))
            else:
                people.append((group, identity))
        named.sort(key=lambda one: one[1].distance - one[1].threshold)
        by_name: dict[str, tuple[list[Tracklet], Identity]] = {}
        for group, identity in named:
            name = str(identity.name)
            if name not in by_name:
                by_name[name] = (group, identity)
                continue
            first, nearer = by_name[name]
            together = seen_together([[f for p in g for f in p.frames] for g in (first, group)])
            if together.any():
                people.append((group, replace(identity, name=None)))
            else:
                by_name[name] = ([*first, *group], nearer)
        return [*by_name.values(), *people]

    def _identities(self, groups: list[list[Tracklet]]) -> list[Identity | None]:
        """Identifies the groups; ``None`` if there are too few faces."""
        answers: list[Identity | None] = [None] * len(groups)
        ready = {}
        for place, (images, total) in enumerate(map(pooled, groups)):
            mean = mean_of(total)
            if images >= self._min_faces and mean is not None:
                ready[place] = mean
        if self._identify is not None and ready:
            worths = [self._worth(groups[place]) for place in ready]
            found = self._identify(np.stack(list(ready.values())), worths)
            for place, identity in zip(ready, found, strict=True):
                answers[place] = identity
        return answers


def _kept(name: str | None, found: Identity) -> Identity:
    """Keeps a name while the distance fluctuates around the threshold."""
    sways = found.name is None and found.distance <= found.threshold + _RELEASE
    if name is not None and sways and found.candidate == name:
        return replace(found, name=name)
    return found


def _limits(record: WeightsRecord) -> list[float]:
    """Returns the maximum distance of a face from the mean of 1, 2, … faces of its track.

    At this distance, the rates of false accepts and false rejects are equal.
    """
    table = record.distances
    if table is None:
        return [max(record.thresholds.values(), default=1.0)]
    limits = []
    for images in range(1, 17):
        nearer = table.false_match_rate("centroid", images, _GRID)
        further = 1.0 - np.interp(
            _GRID, table.quantiles("genuine", "centroid", images), table.rates, left=0.0
        )
        limits.append(float(_GRID[np.argmax(nearer >= further)]))
    return limits
