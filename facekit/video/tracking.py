"""Following boxes from frame to frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from facekit.utils.validation import number

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@runtime_checkable
class FaceTracker(Protocol):
    """Follows boxes: :class:`facekit.video.BoxTracker`, or any object with this one method.

    A tracker keeps state, so each video needs its own. It may confuse two people who cross: tracks
    are cut afterwards where the embeddings show another person.

    Example:
        >>> import numpy as np
        >>> from facekit.video import FaceTracker
        >>> class LeftToRight:
        ...     def update(self, boxes, confidences, time):
        ...         return np.argsort(np.argsort(boxes[:, 0]))
        >>> isinstance(LeftToRight(), FaceTracker)
        True
    """

    def update(
        self, boxes: FloatArray, confidences: FloatArray, time: float, /
    ) -> npt.NDArray[np.int64]:
        """Assigns the boxes of the next frame to tracks.

        Args:
            boxes: float64 ``(n, 4)``: x, y, width and height in pixels; n may be 0.
            confidences: float64 ``(n,)``, 0 to 1.
            time: The frame's time in seconds; increases from call to call.

        Returns:
            int64 ``(n,)``: the track of each box, all different; −1 for a box without a track.
        """
        ...


@dataclass
class _Followed:
    number: int
    box: FloatArray
    velocity: FloatArray
    time: float

    def at(self, time: float) -> FloatArray:
        """Returns the expected box at a time, with its size unchanged."""
        ahead = self.box.copy()
        ahead[:2] += self.velocity * (time - self.time)
        return ahead

    def seen(self, box: FloatArray, time: float) -> None:
        passed = time - self.time
        if passed > 0:
            moved = (_centers(box) - _centers(self.box)) / passed
            self.velocity = (self.velocity + moved) / 2
        self.box, self.time = box, time


class BoxTracker:
    """Follows boxes with constant velocity, and matches boxes to tracks globally.

    A box can belong to a track if its center is near the expected one and its size is similar to
    the previous one; the assignment with the smallest total cost is chosen.

    Args:
        patience: How many seconds a track waits for its face to reappear.
        reach: The maximum distance of a center from the expected one, in sides of the box. The
            longer the interval between searches, the further faces move.

    Raises:
        InvalidArgumentError: If an argument is not a positive number.

    Example:
        >>> import numpy as np
        >>> from facekit.video import BoxTracker
        >>> tracker = BoxTracker()
        >>> for moment in range(3):
        ...     boxes = np.array([[10.0 * moment, 0, 40, 40], [300 - 10.0 * moment, 0, 40, 40]])
        ...     boxes = boxes[::-1] if moment == 2 else boxes
        ...     print(tracker.update(boxes, np.ones(2), moment / 10).tolist())
        [0, 1]
        [0, 1]
        [1, 0]

    References:
        A. Bewley et al., "Simple Online and Realtime Tracking", ICIP 2016, for the assignment.
        ``scipy.optimize.linear_sum_assignment``.
    """

    def __init__(self, *, patience: float = 1.0, reach: float = 1.0) -> None:
        self.patience = number(patience, "patience", above=0)
        self.reach = number(reach, "reach", above=0)
        self._tracks: list[_Followed] = []
        self._next = 0

    def update(
        self, boxes: FloatArray, confidences: FloatArray, time: float, /
    ) -> npt.NDArray[np.int64]:
        """Assigns the boxes of the next frame; see :meth:`facekit.video.FaceTracker.update`.

        Args:
            boxes: As there, like the rest.
            confidences: Not used.
            time: In seconds.

        Returns:
            The track of each box.
        """
        from scipy.optimize import linear_sum_assignment

        self._tracks = [track for track in self._tracks if time - track.time <= self.patience]
        found = np.full(len(boxes), -1, dtype=np.int64)
        if len(boxes) and self._tracks:
            costs = self._costs(boxes, time)
            # Pairs out of reach must not be matched to reduce the total.
            rows, columns = linear_sum_assignment(np.where(costs > self.reach, 1e6, costs))
            for row, column in zip(rows, columns, strict=True):
                if costs[row, column] <= self.reach:
                    self._tracks[row].seen(boxes[column], time)
                    found[column] = self._tracks[row].number
        for column in np.flatnonzero(found < 0):
            self._tracks.append(_Followed(self._next, boxes[column], np.zeros(2), time))
            found[column] = self._next
            self._next += 1
        return found

    def _costs(self, boxes: FloatArray, time: float) -> FloatArray:
        expected = np.stack([track.at(time) for track in self._tracks])
        sides, expected_sides = (np.sqrt(b[:, 2] * b[:, 3]) for b in (boxes, expected))
        away = np.linalg.norm(_centers(expected)[:, None] - _centers(boxes)[None], axis=2)
        size = np.maximum(expected_sides[:, None], sides[None])
        costs: FloatArray = away / size + np.abs(np.log(expected_sides[:, None] / sides[None]))
        return costs


def _centers(boxes: FloatArray) -> FloatArray:
    centers: FloatArray = boxes[..., :2] + boxes[..., 2:] / 2
    return centers
