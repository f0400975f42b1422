"""Drawing boxes, keypoints and names on copies of images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from facekit.faces import Face, RecognizedFace
from facekit.io.decoding import pixels_of
from facekit.io.images import ImageSource, RGBImage, load_image
from facekit.utils.figures import one_line
from facekit.utils.validation import whole
from facekit.visualization.checks import check_results, one_each
from facekit.visualization.colors import PAPER, color_of, text_of
from facekit.visualization.lettering import label_font


def draw_faces(
    image: ImageSource,
    faces: Sequence[Face | RecognizedFace],
    *,
    keypoints: bool = True,
    fit: int | None = None,
    labels: Sequence[str] | None = None,
) -> RGBImage:
    """Draws boxes, keypoints and names on a copy of an image.

    Known people are framed in green, strangers in orange, and faces that were not identified in
    blue; the names are written as well, so that nothing depends on color alone.

    Args:
        image: The image in which the faces were found.
        faces: What a :class:`facekit.Detector` or :class:`facekit.FaceRecognizer` found in it.
        keypoints: Whether to mark the five keypoints.
        fit: If given, the image is first scaled so that its longer side has that many pixels;
            lines and letters stay crisp.
        labels: The label of each face; by default the name with the distance, or the confidence.

    Returns:
        uint8 ``(height, width, 3)``, RGB.

    Raises:
        ImageError: If the image cannot be read.
        InvalidArgumentError: If something in ``faces`` is not a face, ``fit`` is not positive, or
            ``labels`` has another length than ``faces``.

    Example:
        >>> import numpy as np
        >>> from facekit import Face, Keypoints
        >>> from facekit.visualization import draw_faces
        >>> points = Keypoints((30, 40), (70, 40), (50, 60), (35, 80), (65, 80))
        >>> face = Face(box=(10, 12, 80, 100), confidence=0.98, keypoints=points)
        >>> draw_faces(np.zeros((128, 96, 3), dtype=np.uint8), [face]).shape
        (128, 96, 3)
    """
    check_results(faces)
    if labels is not None:
        labels = one_each(labels, "labels", len(faces))
    pixels, scale = load_image(image), 1.0
    if fit is not None:
        scale = whole(fit, "fit", least=1) / max(pixels.shape[:2])
        size = [max(1, round(side * scale)) for side in pixels.shape[1::-1]]
        resized = Image.fromarray(pixels).resize((size[0], size[1]), Image.Resampling.LANCZOS)
        pixels = pixels_of(resized)
    elif isinstance(image, np.ndarray):
        pixels = pixels.copy()
    draw_onto(pixels, faces, keypoints=keypoints, scale=scale, labels=labels)
    return pixels


def draw_onto(
    pixels: RGBImage,
    faces: Sequence[Face | RecognizedFace],
    *,
    keypoints: bool = True,
    scale: float = 1.0,
    labels: Sequence[str] | None = None,
) -> None:
    """Draws in place; only the surroundings of each face are copied."""
    texts = [text_of(result) for result in faces] if labels is None else [*map(one_line, labels)]
    longer = max(pixels.shape[:2])
    line = max(2, round(longer / 250))
    font = label_font(max(11, min(round(longer / 26), 48)))
    # The least certain first, so that the most certain ends up on top.
    for result, text in reversed([*zip(faces, texts, strict=True)]):
        face = result.face if isinstance(result, RecognizedFace) else result
        x, y, width, height = (value * scale for value in face.box)
        radius = max(0.75 * line, 0.025 * width)
        points = [(px * scale, py * scale) for px, py in face.keypoints] if keypoints else []
        label = _Label.of(text, (x, y), font, line, pixels.shape)
        corners = [(x, y), (x + width, y + height), label.corner, label.end]
        across, down = zip(*corners, *points, strict=True)
        margin = line + radius + 2
        left, top = (max(0, math.floor(min(values) - margin)) for values in (across, down))
        part = pixels[
            top : max(top, math.ceil(max(down) + margin)),
            left : max(left, math.ceil(max(across) + margin)),
        ]
        if not part.size:
            continue
        image = Image.fromarray(part)
        canvas = ImageDraw.Draw(image)
        color = color_of(result)
        x, y = x - left, y - top
        canvas.rectangle((x, y, x + width, y + height), outline=color, width=line)
        for px, py in points:
            px, py = px - left, py - top
            disc = (px - radius, py - radius, px + radius, py + radius)
            canvas.ellipse(disc, fill=color, outline=PAPER)
        label.draw(canvas, (left, top), color)
        pixels_of(image, part)


class _Label(NamedTuple):
    """A name on a plain background, and its place."""

    text: str
    font: ImageFont.FreeTypeFont
    corner: tuple[float, float]
    end: tuple[float, float]
    start: tuple[float, float]  # of the text

    @classmethod
    def of(
        cls,
        text: str,
        corner: tuple[float, float],
        font: ImageFont.FreeTypeFont,
        line: int,
        shape: tuple[int, ...],
    ) -> _Label:
        """Puts a label above a box, or inside it if the space above is too small."""
        left, top, right, bottom = ImageDraw.Draw(Image.new("RGB", (1, 1))).textbbox(
            (0, 0), text, font=font
        )
        width, height = right - left + 2 * line, bottom - top + 2 * line
        x = max(0.0, min(corner[0], shape[1] - width))
        y = corner[1] - height if corner[1] >= height else corner[1]
        start = (x + line - left, y + line - top)
        return cls(text, font, (x, y), (x + width, y + height), start)

    def draw(
        self, canvas: ImageDraw.ImageDraw, origin: tuple[int, int], color: tuple[int, int, int]
    ) -> None:
        """Draws on a part of an image that begins at the origin."""
        places = (self.corner, self.end, self.start)
        corner, end, start = ((x - origin[0], y - origin[1]) for x, y in places)
        canvas.rectangle((*corner, *end), fill=color)
        canvas.text(start, self.text, fill=PAPER, font=self.font)
