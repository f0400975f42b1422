"""Draws the pipeline: from a photo to a name, with what each part hands to the next.

    python images/pipeline.py [folder]

Box, keypoints, aligned face and embedding are computed, with the default weights. The portrait is
in the public domain: Grace Hopper (United States Navy), carried by matplotlib.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.image import AxesImage
from matplotlib.patches import Circle, FancyBboxPatch, Rectangle
from PIL import Image
from style import SMALL, WIDTH, Canvas, draw, output_folder

from facekit import Aligner, Detector, Embedder, Face, load_image
from facekit.demo import portrait_paths

TITLE = (
    "The pipeline: the detector finds boxes and keypoints in a photo, the aligner cuts the faces "
    "out, the embedder maps each to a unit vector, the classifier gives a name or none"
)
PERSON = "Grace Hopper"
COLUMNS = tuple(np.linspace(64, WIDTH - 64, 5))
TOP, SIDE = 96.0, 108.0
"""Where the pictures of the data begin, and how wide they are."""


class Scene:
    """What the parts make of the portrait."""

    def __init__(self) -> None:
        pixels = load_image(portrait_paths()[PERSON])
        side = min(pixels.shape[:2])
        # The upper square of the photo: head and shoulders.
        self.image = pixels[:side, :side]
        self.face: Face = Detector().detect(self.image)[0]
        embedder = Embedder()
        aligned = Aligner(**embedder.record.alignment).align(self.image, [self.face])
        self.embedding = embedder.embed(aligned)[0]
        # The same cut with more pixels, for sharp screens.
        fine = {**embedder.record.alignment, "size": 2 * round(SIDE)}
        self.aligned = Aligner(**fine).align(self.image, [self.face])[0]


def paint(canvas: Canvas, scene: Scene) -> None:
    colors = canvas.palette
    parts = ("Detector", "Aligner", "Embedder", "IdentityClassifier")
    tones = (colors.blue, colors.green, colors.purple, colors.yellow)
    for index, (part, tone) in enumerate(zip(parts, tones, strict=True)):
        left, right = COLUMNS[index], COLUMNS[index + 1]
        middle, width = (left + right) / 2, 122
        canvas.box(middle, 36, width, 34, part, tone)
        canvas.arrow([(left + 8, TOP - 8), (left + 8, 36), (middle - width / 2, 36)])
        canvas.arrow([(middle + width / 2, 36), (right - 8, 36), (right - 8, TOP - 4)])
    _picture(canvas, COLUMNS[0], scene.image)
    _picture(canvas, COLUMNS[1], scene.image)
    _marks(canvas, COLUMNS[1], scene)
    _picture(canvas, COLUMNS[2], scene.aligned)
    _vector(canvas, COLUMNS[3], scene.embedding)
    _answers(canvas, COLUMNS[4])
    for x, lines in zip(
        COLUMNS,
        (
            ("photo", "uint8", "(H, W, 3)"),
            ("faces", "box, confidence,", "5 keypoints"),
            ("aligned faces", "uint8", "(n, S, S, 3)"),
            ("embeddings", "float32 (n, d)", "of length 1"),
            ("identities", "a name", "or None"),
        ),
        strict=True,
    ):
        for row, line in enumerate(lines):
            y = TOP + SIDE + 20 + 19 * row
            if row == 0:
                canvas.text(x, y, line, weight="bold")
            else:
                canvas.text(x, y, line, size=SMALL, color=colors.muted)


def _picture(canvas: Canvas, x: float, pixels: np.ndarray) -> None:
    side = 2 * round(SIDE)
    if pixels.shape[0] != side:
        size = (side, side)
        pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))
    _pixels(canvas, x, pixels).set_clip_path(_frame(canvas, x))


def _pixels(canvas: Canvas, x: float, pixels: np.ndarray, inset: float = 0) -> AxesImage:
    left, right = x - SIDE / 2 + inset, x + SIDE / 2 - inset
    limits = canvas.axes.axis()
    image = canvas.axes.imshow(
        pixels,
        extent=(left, right, TOP + SIDE - inset, TOP + inset),
        interpolation="none",
        aspect="auto",
    )
    canvas.axes.axis(limits)
    return image


def _frame(canvas: Canvas, x: float) -> FancyBboxPatch:
    frame = FancyBboxPatch(
        (x - SIDE / 2, TOP),
        SIDE,
        SIDE,
        boxstyle="round,pad=0,rounding_size=6",
        facecolor="none",
        edgecolor=canvas.palette.gray.line,
        linewidth=0.8,
        zorder=3,
    )
    canvas.axes.add_patch(frame)
    return frame


def _marks(canvas: Canvas, x: float, scene: Scene) -> None:
    """Draws box and keypoints of the face on the photo."""
    scale = SIDE / len(scene.image)
    corner = (x - SIDE / 2, TOP)
    left, top, width, height = (value * scale for value in scene.face.box)
    # Of the same color on every page, for the photo is the same.
    style = {"facecolor": "none", "edgecolor": "#56d0ff", "linewidth": 1.4, "zorder": 4}
    canvas.axes.add_patch(Rectangle((corner[0] + left, corner[1] + top), width, height, **style))
    for px, py in scene.face.keypoints:
        place = (corner[0] + px * scale, corner[1] + py * scale)
        style = {"facecolor": "#56d0ff", "edgecolor": "#0d1117", "linewidth": 0.6, "zorder": 5}
        canvas.axes.add_patch(Circle(place, 2.2, **style))


def _vector(canvas: Canvas, x: float, embedding: np.ndarray) -> None:
    """Draws each component of the embedding as a cell, colored by its value."""
    colors = canvas.palette
    shades = LinearSegmentedColormap.from_list(
        "", [colors.orange.line, colors.gray.fill, colors.blue.line]
    )
    cells = embedding.reshape(-1, 16)
    pixels = shades(0.5 + cells / np.abs(cells).max() / 2, bytes=True)[..., :3]
    pixels = pixels.repeat(8, axis=0).repeat(16, axis=1)
    _pixels(canvas, x, pixels, inset=5)
    _frame(canvas, x)


def _answers(canvas: Canvas, x: float) -> None:
    colors = canvas.palette
    middle = TOP + SIDE / 2
    canvas.box(x, middle - 28, SIDE, 30, PERSON, colors.green, radius=15)
    canvas.text(x, middle, "or", size=SMALL, color=colors.muted)
    canvas.box(x, middle + 28, SIDE, 30, "unknown", colors.orange, radius=15)


def main(folder: Path) -> None:
    scene = Scene()
    draw("pipeline", folder, (WIDTH, 276), TITLE, lambda canvas: paint(canvas, scene))


if __name__ == "__main__":
    main(output_folder())
