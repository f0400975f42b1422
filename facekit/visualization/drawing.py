"""Drawing boxes, keypoints and names on copies of pictures."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from facekit.errors import InvalidArgumentError
from facekit.faces import Face, RecognizedFace
from facekit.io.decoding import pixels_of
from facekit.io.images import ImageSource, RGBImage, load_image
from facekit.utils.figures import one_line
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
    """Draws boxes, keypoints and names on a copy of a picture.

    Known people are framed in green, strangers in orange, faces that were not looked up in blue;
    the names are written out as well, so that nothing hangs on the color alone.

    Args:
        image: The picture in which the faces were found.
        faces: What a :class:`facekit.Detector` or :class:`facekit.FaceRecognizer` found in it.
        keypoints: Whether to mark the five keypoints.
        fit: If given, the picture is first scaled so that its longer side has that many pixels;
            lines and letters stay crisp.
        labels: What to write at each face; by default the name with the distance, or the
            confidence.

    Returns:
        uint8 ``(height, width, 3)``, RGB.

    Raises:
        ImageError: If the image cannot be read.
        InvalidArgumentError: If ``fit`` is not positive, or there is not a label for each face.

    Example:
        >>> import numpy as np
        >>> from facekit import Face, Keypoints
        >>> from facekit.visualization import draw_faces
        >>> points = Keypoints((30, 40), (70, 40), (50, 60), (35, 80), (65, 80))
        >>> face = Face(box=(10, 12, 80, 100), confidence=0.98, keypoints=points)
        >>> draw_faces(np.zeros((128, 96, 3), dtype=np.uint8), [face]).shape
        (128, 96, 3)
    """
    if fit is not None and fit < 1:
        raise InvalidArgumentError(f"fit must be a positive number of pixels, got {fit!r}")
    if labels is not None and len(labels) != len(faces):
        raise InvalidArgumentError(f"labels must be {len(faces)}, one for each face")
    texts = [text_of(result) for result in faces] if labels is None else [*map(one_line, labels)]
    picture = Image.fromarray(load_image(image))
    scale = 1.0 if fit is None else fit / max(picture.size)
    if scale != 1.0:
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    canvas = ImageDraw.Draw(picture)
    line = max(2, round(max(picture.size) / 250))
    # The least certain first, so that the most certain ends up on top.
    for result, text in reversed([*zip(faces, texts, strict=True)]):
        face = result.face if isinstance(result, RecognizedFace) else result
        color = color_of(result)
        x, y, width, height = (value * scale for value in face.box)
        canvas.rectangle((x, y, x + width, y + height), outline=color, width=line)
        if keypoints:
            radius = max(0.75 * line, 0.025 * width)
            for px, py in face.keypoints:
                _disc(canvas, px * scale, py * scale, radius, color)
        _label(canvas, text, (x, y), color, line, picture.size)
    return pixels_of(picture)


def _disc(
    canvas: ImageDraw.ImageDraw, x: float, y: float, radius: float, color: tuple[int, int, int]
) -> None:
    box = (x - radius, y - radius, x + radius, y + radius)
    canvas.ellipse(box, fill=color, outline=PAPER)


def _label(
    canvas: ImageDraw.ImageDraw,
    text: str,
    corner: tuple[float, float],
    color: tuple[int, int, int],
    line: int,
    size: tuple[int, int],
) -> None:
    font = label_font(max(11, min(round(max(size) / 26), 48)))
    left, top, right, bottom = canvas.textbbox((0, 0), text, font=font)
    width, height = right - left + 2 * line, bottom - top + 2 * line
    # Above the box; where there is no room, inside it, and never beyond the right border.
    x = max(0.0, min(corner[0], size[0] - width))
    y = corner[1] - height if corner[1] >= height else corner[1]
    canvas.rectangle((x, y, x + width, y + height), fill=color)
    canvas.text((x + line - left, y + line - top), text, fill=PAPER, font=font)
