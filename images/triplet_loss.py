"""Draws the triplet loss before and after learning.

    python images/triplet_loss.py [folder]

The positions are computed, not sketched: three embeddings in the plane are moved by gradient
descent on the triplet loss until it is 0.

References:
    F. Schroff, D. Kalenichenko and J. Philbin, "FaceNet: A Unified Embedding for Face Recognition
    and Clustering", CVPR 2015: the loss of section 3.1, and the idea of figure 3.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.patches import Circle
from style import SMALL, WIDTH, Canvas, Tone, clipped, draw, output_folder

MARGIN = 0.2
START = np.radians([82.0, 10.0, 118.0])
"""Where anchor, positive and negative lie on the unit circle at first."""
STEP = 0.005
RADIUS = 140
TITLE = (
    "The triplet loss before and after learning: at first the negative lies nearer to the anchor "
    "than the positive does; afterwards it lies farther away, by at least the margin"
)


def squared_distances(angles: np.ndarray) -> tuple[float, float]:
    """Returns the anchor's squared distances to positive and negative, on the unit circle."""
    anchor, positive, negative = angles
    return 2 - 2 * np.cos(anchor - positive), 2 - 2 * np.cos(anchor - negative)


def loss(angles: np.ndarray) -> float:
    """Returns the triplet loss of three embeddings on the unit circle."""
    to_positive, to_negative = squared_distances(angles)
    return max(0.0, to_positive - to_negative + MARGIN)


def gradient(angles: np.ndarray) -> np.ndarray:
    """Returns the derivative of the loss by each of the angles."""
    if loss(angles) == 0.0:
        return np.zeros(3)
    anchor, positive, negative = angles
    pull, push = 2 * np.sin(anchor - positive), -2 * np.sin(anchor - negative)
    return np.array([pull + push, -pull, -push])


def descend() -> np.ndarray:
    """Returns the angles at each step of gradient descent until the loss is 0."""
    steps = [START]
    while loss(steps[-1]) > 0.0:
        steps.append(steps[-1] - STEP * gradient(steps[-1]))
    return np.array(steps)


def paint(canvas: Canvas) -> None:
    path = descend()
    colors = canvas.palette
    left, right = 190, WIDTH - 190
    _panel(canvas, left, path[:1], "before learning")
    _panel(canvas, right, path, "after learning")
    middle = (left + right) / 2
    canvas.arrow([(middle - 34, 270), (middle + 34, 270)], linewidth=1.6, mutation_scale=1.5)
    canvas.text(middle, 249, f"{len(path) - 1} steps of", size=SMALL, color=colors.muted)
    canvas.text(middle, 291, "gradient descent", size=SMALL, color=colors.muted)


def _panel(canvas: Canvas, x: float, path: np.ndarray, title: str) -> None:
    colors = canvas.palette
    center = np.array([x, 208])
    tones = (colors.blue, colors.green, colors.orange)
    points = center + RADIUS * np.stack([np.cos(path), -np.sin(path)], axis=-1)
    anchor, positive, negative = points[-1]
    to_positive, to_negative = squared_distances(path[-1])

    canvas.text(x, 22, title, size=18, weight="bold")
    disc = Circle(center, RADIUS, facecolor="none", edgecolor=colors.muted, linewidth=1.0)
    canvas.axes.add_patch(disc)
    with clipped(canvas, disc):
        for squared, tone in ((to_positive + MARGIN, colors.yellow), (to_positive, colors.green)):
            options = {"zorder": 0.5, "linewidth": 0.8, "linestyle": (0, (4, 3))}
            canvas.disc(*anchor, RADIUS * np.sqrt(squared), tone, **options)
    for start, end, tone in ((anchor, positive, colors.green), (anchor, negative, colors.orange)):
        canvas.line([tuple(start), tuple(end)], color=tone.line, linewidth=1.8)
    for index, tone in enumerate(tones):
        _track(canvas, center, path[:, index], tone)
    for point, tone, letter in zip(points[-1], tones, "apn", strict=True):
        canvas.disc(*point, 11, Tone(tone.line, tone.line))
        sign = "white" if colors.ink < "#8" else "#0d1117"
        canvas.text(*point, f"${letter}$", size=17, color=sign, zorder=5)
    if len(path) == 1:
        _names(canvas, center, points[-1])
    inward = (center - anchor) / RADIUS
    for words, squared, gap in (
        ("nearer than $p$", to_positive, -32),
        ("far enough", to_positive + MARGIN, 22),
    ):
        place = anchor + inward * (RADIUS * np.sqrt(squared) + gap)
        canvas.text(*place, words, size=SMALL, color=colors.muted)
    canvas.text(x, center[1] + RADIUS - 20, r"$\Vert f(x) \Vert = 1$", color=colors.muted)
    _ruler(canvas, x, to_positive, to_negative)


def _names(canvas: Canvas, center: np.ndarray, points: np.ndarray) -> None:
    colors = canvas.palette
    for point, tone, word, across in zip(
        points,
        (colors.blue, colors.green, colors.orange),
        ("anchor", "positive", "negative"),
        ("center", "left", "right"),
        strict=True,
    ):
        outward = (point - center) / RADIUS
        place = point + outward * (20 if across == "center" else 16)
        canvas.text(*place, word, color=tone.line, across=across)


def _track(canvas: Canvas, center: np.ndarray, angles: np.ndarray, tone: Tone) -> None:
    """Draws the way that an embedding went, outside the circle so that nothing hides it."""
    if len(angles) == 1:
        return
    start = center + RADIUS * np.array([np.cos(angles[0]), -np.sin(angles[0])])
    canvas.disc(*start, 10, tone, facecolor="none", linestyle=(0, (2, 2)), zorder=2)
    way = [
        tuple(center + (RADIUS + 20) * np.array([np.cos(a), -np.sin(a)]))
        for a in np.linspace(angles[0], angles[-1], 12)
    ]
    canvas.arrow(way, color=tone.line, linewidth=1.2, radius=0)


def _ruler(canvas: Canvas, x: float, to_positive: float, to_negative: float) -> None:
    """Draws both squared distances and the margin on a common scale."""
    colors = canvas.palette
    left, scale = x - 140, 130.0
    y = 386
    for row, (tone, letter, squared) in enumerate(
        ((colors.green, "p", to_positive), (colors.orange, "n", to_negative))
    ):
        line = y + 30 * row
        end = left + scale * squared
        canvas.line([(left, line), (end, line)], color=tone.line, linewidth=5, capstyle="butt")
        label = rf"$\Vert a - {letter} \Vert^2 = {squared:.2f}$"
        canvas.text(left - 8, line, f"${letter}$", size=16, color=tone.line, across="right")
        after = end + (scale * MARGIN if letter == "p" else 0) + 8
        canvas.text(after, line, label, size=SMALL, across="left")
    start, end = left + scale * to_positive, left + scale * (to_positive + MARGIN)
    canvas.line([(start, y), (end, y)], color=colors.yellow.line, linewidth=5, capstyle="butt")
    canvas.text((start + end) / 2, y - 14, r"$\alpha$", size=16, color=colors.yellow.line)
    canvas.line([(end, y - 10), (end, y + 42)], color=colors.yellow.line, linestyle=(0, (3, 2)))
    canvas.line([(left, y - 12), (left, y + 42)])
    lacking = max(0.0, to_positive - to_negative + MARGIN)
    canvas.text(x, y + 62, rf"$\mathrm{{loss}} = {lacking:.2f}$", size=16)


def main(folder: Path) -> None:
    draw("triplet_loss", folder, (WIDTH, 466), TITLE, paint)


if __name__ == "__main__":
    main(output_folder())
