"""Draws the structure of FaceNet: batch, deep network, L2 normalization, embeddings, triplet loss.

    python images/facenet_structure.py [folder]

The sizes are those of this library: of a whole network, and of a training with default settings.

References:
    F. Schroff, D. Kalenichenko and J. Philbin, "FaceNet: A Unified Embedding for Face Recognition
    and Clustering", CVPR 2015: the order of figure 2.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
from inception_resnet_v2 import ARCHITECTURE, SIDES, recorded
from matplotlib.patches import Circle, Ellipse, Polygon, Rectangle
from style import SMALL, WIDTH, Canvas, Tone, clipped, draw, output_folder

from facekit.training import TripletTrainer

TITLE = (
    "The structure of FaceNet: a batch of photos of several people goes through a deep network, "
    "pooling, a dense layer and L2 normalization; the triplet loss of the embeddings trains it"
)
AXIS = 150.0
"""The height at which data flow."""


def training_defaults() -> dict[str, object]:
    """Returns the default settings of a triplet training."""
    return {field.name: field.default for field in fields(TripletTrainer)}


def paint(canvas: Canvas) -> None:
    colors = canvas.palette
    layers = recorded(SIDES[0])
    features, d = layers[-1], ARCHITECTURE.embedding_size
    parameters = sum(layer.parameters for layer in layers)
    settings = training_defaults()
    identities, images = settings["identities"], settings["images"]
    groups = (colors.blue, colors.green, colors.orange)

    canvas.text(72, 66, "batch", weight="bold")
    _batch(canvas, 72, images, groups)
    side = ARCHITECTURE.input_size
    _below(canvas, 72, f"{identities} people × {images} photos", f"{side} × {side} × 3 each")

    canvas.text(238, 66, "deep network", weight="bold")
    corners = [(166, AXIS - 72), (310, AXIS - 34), (310, AXIS + 34), (166, AXIS + 72)]
    tone = colors.purple
    canvas.axes.add_patch(
        Polygon(corners, facecolor=tone.fill, edgecolor=tone.line, linewidth=0.9, joinstyle="round")
    )
    for down, words in ((-28, "Inception-"), (-9, "ResNet-v2")):
        canvas.text(236, AXIS + down, words)
    for down, words in ((14, f"{parameters / 1e6:.1f} million"), (31, "parameters")):
        canvas.text(236, AXIS + down, words, size=SMALL, color=colors.muted)
    _below(canvas, 238, features.size, "features")

    canvas.text(438, 66, "triplet head", weight="bold")
    canvas.box(438, AXIS, 216, 108, (), colors.gray, dashed=True, radius=8)
    canvas.box(374, AXIS, 68, 64, ("average", "pooling"), colors.orange, size=SMALL)
    canvas.box(446, AXIS, 52, 64, "dense", colors.blue, size=SMALL)
    canvas.box(514, AXIS, 44, 64, "$L_2$", colors.yellow, size=17)
    for x, size in ((374, features.channels), (446, d), (514, d)):
        _below(canvas, x, f"{size}", "")

    canvas.text(611, 66, "embeddings", weight="bold")
    _sphere(canvas, 611, images, groups)
    _below(canvas, 611, rf"${identities * images} \times {d}$", r"$\Vert f(x) \Vert = 1$")

    canvas.box(711, AXIS, 66, 64, ("triplet", "loss"), colors.green, size=SMALL)
    _below(
        canvas,
        711,
        settings["miner"].replace("semihard", "semi-hard"),
        rf"$\alpha = {settings['margin']:g}$",
    )

    for left, right in ((130, 166), (310, 340), (408, 420), (472, 492), (536, 572), (650, 678)):
        canvas.arrow([(left, AXIS), (right, AXIS)])
    dashes = {"linestyle": (0, (4, 3)), "color": colors.green.line}
    canvas.line([(711, AXIS - 32), (711, 30), (238, 30), (238, 42)], **dashes)
    canvas.arrow([(238, 42), (238, 52)], color=colors.green.line)
    canvas.text(474, 18, "gradient", size=SMALL, color=colors.green.line)


def _below(canvas: Canvas, x: float, first: str, second: str) -> None:
    canvas.text(x, AXIS + 94, first, size=SMALL)
    canvas.text(x, AXIS + 113, second, size=SMALL, color=canvas.palette.muted)


def _batch(canvas: Canvas, x: float, images: int, groups: tuple[Tone, ...]) -> None:
    """Draws photos, a person a row; dots stand for the rows left out."""
    cell, gap = 25, 4
    left = x - (images * (cell + gap) - gap) / 2
    for row, tone in zip((0, 1, 3), groups, strict=True):
        for column in range(images):
            corner = (left + column * (cell + gap), AXIS - 60 + row * (cell + gap) + 3)
            _image(canvas, corner, cell, tone)
    for dot in (-5, 0, 5):
        canvas.disc(x, AXIS + 14 + dot, 1.2, canvas.palette.gray)


def _image(canvas: Canvas, corner: tuple[float, float], side: float, tone: Tone) -> None:
    frame = Rectangle(
        corner, side, side, facecolor=tone.fill, edgecolor=tone.line, linewidth=0.9, zorder=2
    )
    canvas.axes.add_patch(frame)
    x, y = corner[0] + side / 2, corner[1]
    with clipped(canvas, frame):
        style = {"facecolor": tone.line, "edgecolor": "none", "zorder": 3}
        canvas.axes.add_patch(Ellipse((x, y + 0.42 * side), 0.34 * side, 0.42 * side, **style))
        canvas.axes.add_patch(Ellipse((x, y + 1.02 * side), 0.76 * side, 0.62 * side, **style))


def _sphere(canvas: Canvas, x: float, images: int, groups: tuple[Tone, ...]) -> None:
    """Draws the unit sphere with the embeddings of each person close together."""
    radius = 38
    style = {"facecolor": "none", "edgecolor": canvas.palette.muted, "linewidth": 1.0}
    canvas.axes.add_patch(Circle((x, AXIS), radius, **style))
    for middle, tone in zip(np.radians((100.0, -25.0, 215.0)), groups, strict=True):
        for offset in np.linspace(-0.34, 0.34, images):
            angle = middle + offset
            place = (x + radius * np.cos(angle), AXIS - radius * np.sin(angle))
            canvas.disc(*place, 4, Tone(tone.line, tone.line))


def main(folder: Path) -> None:
    draw("facenet_structure", folder, (WIDTH, 280), TITLE, paint)


if __name__ == "__main__":
    main(output_folder())
