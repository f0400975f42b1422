"""Draws the README's picture: of two people in a photo one is enrolled and named, one is not.

    python images/hero.py [folder]

Needs scikit-image (for the second portrait). Boxes, keypoints, aligned faces, names and distances
are computed; the enrolled photo is the same portrait, mirrored. Both portraits are in the public
domain: Grace Hopper (United States Navy, carried by matplotlib) and Eileen Collins (NASA, carried
by scikit-image).
"""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.patches import Circle, FancyBboxPatch
from PIL import Image
from style import DARK, SETTINGS, Canvas, Tone, output_folder

from facekit import FaceRecognizer, RecognizedFace, load_image
from facekit.demo import portrait_paths

WIDTH, HEIGHT = 800, 356
SCALE = 2
"""Pixels of the file to a pixel of the page, for sharp screens."""
CARD, EDGE = "#0f1722", "#2b3644"
"""The picture has a ground of its own, so that it looks the same on light and dark pages."""
COLORS = 240
"""How many colors the file has; the other 16 of its palette are the shades of its corners."""
IMAGE = (24.0, 28.0, 380.0, 264.0)
FACE, ROWS = 120.0, (28.0, 172.0)
FACES, NAMES = 446.0, 686.0
LARGE = 28
"""The size of letters: on a phone, the picture is shown at two fifths of its size."""


def main(folder: Path) -> None:
    hopper, collins = (load_image(path) for path in portrait_paths().values())
    recognizer = FaceRecognizer()
    recognizer.fit({"Eileen Collins": collins[:, ::-1]}, progress=False)
    image = np.hstack([_portrait(collins), _portrait(hopper[:620])])
    people = sorted(recognizer.recognize(image), key=lambda person: person.face.box[0])
    aligned = recognizer.aligner.align(image, [person.face for person in people])
    with mpl.rc_context(SETTINGS):
        canvas = Canvas(WIDTH, HEIGHT, DARK)
        _card(canvas)
        _image(canvas, image, people)
        for top, person, face in zip(ROWS, people, aligned, strict=True):
            _row(canvas, top, person, face)
        _captions(canvas)
        written = io.BytesIO()
        canvas.figure.savefig(written, format="png", dpi=96 * SCALE, transparent=True)
    _save(Image.open(written), folder / "hero.png")


def _portrait(pixels: np.ndarray) -> np.ndarray:
    """Returns the middle of a portrait, so that two stand close together as on one photo."""
    width, height = IMAGE[2] * SCALE, IMAGE[3] * SCALE
    scale = height / pixels.shape[0]
    size = (round(pixels.shape[1] * scale), round(height))
    scaled = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))
    left = (scaled.shape[1] - round(width / 2)) // 2
    return scaled[:, left : left + round(width / 2)]


def _tone(person: RecognizedFace) -> Tone:
    return DARK.orange if person.name is None else DARK.green


def _card(canvas: Canvas) -> None:
    canvas.box(WIDTH / 2, HEIGHT / 2, WIDTH - 2, HEIGHT - 2, (), Tone(CARD, EDGE), radius=16)


def _pixels(
    canvas: Canvas, corner: tuple[float, float], size: tuple[float, float], pixels: np.ndarray
) -> None:
    limits = canvas.axes.axis()
    (x, y), (width, height) = corner, size
    image = canvas.axes.imshow(
        pixels,
        extent=(x, x + width, y + height, y),
        interpolation="antialiased",
        aspect="auto",
        zorder=3,
    )
    canvas.axes.axis(limits)
    frame = FancyBboxPatch(
        corner, width, height, boxstyle="round,pad=0,rounding_size=8", fill=False, linewidth=0
    )
    canvas.axes.add_patch(frame)
    image.set_clip_path(frame)


def _image(canvas: Canvas, image: np.ndarray, people: list[RecognizedFace]) -> None:
    left, top, width, height = IMAGE
    _pixels(canvas, (left, top), (width, height), image)
    scale = width / image.shape[1]
    for person in people:
        x, y, across, down = (value * scale for value in person.face.box)
        tone = _tone(person)
        style = {"fill": False, "edgecolor": tone.line, "linewidth": 2.0, "zorder": 4}
        shape = "round,pad=0,rounding_size=3"
        box = FancyBboxPatch((left + x, top + y), across, down, boxstyle=shape, **style)
        canvas.axes.add_patch(box)
        for px, py in person.face.keypoints:
            place = (left + px * scale, top + py * scale)
            style = {"facecolor": tone.line, "edgecolor": CARD, "linewidth": 0.7, "zorder": 5}
            canvas.axes.add_patch(Circle(place, max(2.0, 0.045 * across), **style))


def _row(canvas: Canvas, top: float, person: RecognizedFace, face: np.ndarray) -> None:
    middle = top + FACE / 2
    _pixels(canvas, (FACES, top), (FACE, FACE), face)
    for left in (410, 572):
        canvas.arrow([(left, middle), (left + 28, middle)], linewidth=1.8, zorder=5)
    tone = _tone(person)
    canvas.box(NAMES, middle - 22, 172, 46, (), tone, radius=23)
    canvas.text(NAMES, middle - 22, person.label, size=LARGE - 1, zorder=6)
    words = f"distance {person.distance:.2f}"
    canvas.text(NAMES, middle + 30, words, size=LARGE - 3, color=DARK.muted, zorder=5)


def _captions(canvas: Canvas) -> None:
    for x, words in (
        (IMAGE[0] + IMAGE[2] / 2, "faces and keypoints"),
        (FACES + FACE / 2, "aligned"),
        (NAMES, "named, or not"),
    ):
        canvas.text(x, HEIGHT - 32, words, size=LARGE, zorder=5)


def _save(picture: Image.Image, path: Path) -> None:
    """Writes a picture with few colors and soft corners."""
    pixels = np.asarray(picture.convert("RGBA"))
    ground = Image.new("RGBA", picture.size, EDGE)
    opaque = Image.alpha_composite(ground, picture.convert("RGBA")).convert("RGB")
    # Lines and letters cover too little to win colors of their own.
    kept = [CARD, DARK.ink, DARK.muted]
    kept += [shade for tone in (DARK.green, DARK.orange) for shade in (tone.fill, tone.line)]
    palette = opaque.quantize(COLORS - len(kept), Image.Quantize.MEDIANCUT)
    colors = palette.getpalette()[: 3 * (COLORS - len(kept))]
    palette.putpalette([*colors, *(value for color in kept for value in _rgb(color))])
    few = opaque.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    shades = 256 - COLORS
    indices = np.asarray(few).copy()
    alpha = np.round(pixels[..., 3] / 255 * (shades - 1)).astype(np.uint8)
    corners = alpha < shades - 1
    indices[corners] = COLORS + alpha[corners]
    written = Image.fromarray(indices, "P")
    written.putpalette([*few.getpalette()[: 3 * COLORS], *_rgb(EDGE) * shades])
    opacities = [255] * COLORS + [round(255 * shade / (shades - 1)) for shade in range(shades)]
    written.save(path, optimize=True, transparency=bytes(opacities))


def _rgb(color: str) -> list[int]:
    return [int(color[index : index + 2], 16) for index in (1, 3, 5)]


if __name__ == "__main__":
    main(output_folder())
