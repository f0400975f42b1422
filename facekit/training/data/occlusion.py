"""Occlusion: dark glasses, a mask or a hat drawn over a face."""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from facekit.alignment import DEFAULT_TEMPLATE

Points = npt.NDArray[np.float64]

Cover: TypeAlias = Literal["glasses", "mask", "hat"]
"""What is drawn over a face."""

_GLASSES, _MASKS = 0.45, 0.35  # the rest are hats


def occlude(
    face: npt.NDArray[np.uint8], rng: np.random.Generator, cover: Cover | None = None
) -> npt.NDArray[np.uint8]:
    """Draws dark glasses, a mask or a hat of random shape and color over a copy of a face."""
    # After A. Anwar and A. Raychowdhury, "Masked Face Recognition for Secure Authentication", 2020.
    import cv2

    points = np.array(DEFAULT_TEMPLATE) * face.shape[0]
    drawn, kind = face.copy(), rng.random()
    if cover is None:
        cover = "glasses" if kind < _GLASSES else "mask" if kind < _GLASSES + _MASKS else "hat"
    across = points[1] - points[0]
    unit = max(float(np.linalg.norm(across)), 1e-6)
    x = across / unit
    frame = np.array([x, (-x[1], x[0])]) * unit  # from units between the eyes to pixels
    color = [int(c) for c in rng.integers(0, 60 if cover == "glasses" else 256, 3)]
    # Coordinates with four bits after the point.
    shift: dict[str, Any] = {"lineType": cv2.LINE_AA, "shift": 4}
    if cover == "glasses":
        axes = _fixed(unit * np.array([rng.uniform(0.34, 0.46), rng.uniform(0.2, 0.36)]))
        angle = math.degrees(math.atan2(x[1], x[0]))
        for eye in points[:2]:
            cv2.ellipse(drawn, _fixed(eye), axes, angle, 0, 360, color, -1, **shift)
        ends = (_fixed(points[0] - 0.6 * frame[0]), _fixed(points[1] + 0.6 * frame[0]))
        cv2.line(drawn, *ends, color, max(1, int(0.07 * unit)), **shift)
        return drawn
    outline = (_mask if cover == "mask" else _hat)(points, frame, rng)
    cv2.fillPoly(drawn, [np.array([_fixed(point) for point in outline])], color, **shift)
    return drawn


def _mask(points: Points, frame: Points, rng: np.random.Generator) -> Points:
    """Returns the outline of a mask from somewhere on the nose to below the chin."""
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    top = eyes + rng.uniform(0.45, 0.95) * (points[2] - eyes)
    right = [(top, (0.15, 0)), (eyes, (1.0, 0.55)), (mouth, (0.75, 0.35)), (mouth, (0.25, 0.85))]
    left = [(start, (-dx, dy)) for start, (dx, dy) in reversed(right)]
    return np.array([start + np.array(step) @ frame for start, step in right + left])


def _hat(points: Points, frame: Points, rng: np.random.Generator) -> Points:
    """Returns the outline of a hat that comes down to somewhere on the forehead."""
    brim = -rng.uniform(0.3, 0.6)
    steps = np.array([(-1.5, brim), (1.5, brim), (1.2, brim - 3), (-1.2, brim - 3)])
    return np.asarray(points[:2].mean(axis=0) + steps @ frame)


def _fixed(point: Points) -> tuple[int, int]:
    return int(16 * point[0]), int(16 * point[1])
