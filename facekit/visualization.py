"""Drawing results on pictures: arrays in, arrays out; nothing is shown on a screen."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from facekit.errors import ImageError, InvalidArgumentError
from facekit.faces import Face, RecognizedFace
from facekit.imaging import IMAGE_SUFFIXES, ImageSource, RGBImage, load_image

KNOWN_COLOR = (0, 158, 115)
UNKNOWN_COLOR = (213, 94, 0)
FACE_COLOR = (0, 114, 178)
WRONG_COLOR = (204, 51, 51)
_INK = (33, 37, 41)
_PAPER = (255, 255, 255)
_PADDING = 10


def draw_faces(
    image: ImageSource,
    faces: Sequence[Face | RecognizedFace],
    *,
    keypoints: bool = True,
    fit: int | None = None,
) -> RGBImage:
    """Draws boxes, keypoints and names on a copy of a picture.

    Known people are framed in green, strangers in orange, faces nobody asked the name of in blue;
    the names are written out as well, so that nothing hangs on the colour alone.

    Args:
        image: The picture in which the faces were found.
        faces: What a :class:`facekit.Detector` or :class:`facekit.FaceRecognizer` found in it.
        keypoints: Whether to mark the five keypoints.
        fit: If given, the picture is first scaled so that its longer side has that many pixels;
            lines and letters stay crisp.

    Returns:
        uint8 ``(height, width, 3)``, RGB.

    Raises:
        ImageError: If the image cannot be read.
        InvalidArgumentError: If ``fit`` is not positive.

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
    picture = Image.fromarray(load_image(image))
    scale = 1.0 if fit is None else fit / max(picture.size)
    if scale != 1.0:
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    canvas = ImageDraw.Draw(picture)
    line = max(2, round(max(picture.size) / 250))
    # The least certain first, so that the most certain ends up on top.
    for result in reversed(faces):
        face = result.face if isinstance(result, RecognizedFace) else result
        color = _color(result)
        x, y, width, height = (value * scale for value in face.box)
        canvas.rectangle((x, y, x + width, y + height), outline=color, width=line)
        if keypoints:
            radius = max(0.75 * line, 0.025 * width)
            for px, py in face.keypoints:
                _disc(canvas, px * scale, py * scale, radius, color)
        _label(canvas, _text(result), (x, y), color, line, picture.size)
    return np.array(picture)


@dataclass(frozen=True)
class Tile:
    """One picture of a contact sheet.

    Args:
        image: The picture, uint8 ``(height, width, 3)``, RGB.
        caption: What to write below it.
        right: ``True`` or ``False`` marks it as right or wrong, ``None`` leaves it unmarked.

    Example:
        >>> import numpy as np
        >>> from facekit.visualization import Tile
        >>> tile = Tile(np.zeros((60, 80, 3), dtype=np.uint8), "Ada", right=True)
        >>> tile.caption, tile.image.shape
        ('Ada', (60, 80, 3))
    """

    image: RGBImage
    caption: str
    right: bool | None = None


def contact_sheet(
    tiles: Sequence[Tile], *, columns: int = 5, side: int = 240, title: str = ""
) -> RGBImage:
    """Arranges pictures with captions in a grid.

    Args:
        tiles: The pictures.
        columns: How many stand side by side.
        side: The side of the square that each is fitted into, in pixels.
        title: A line above the grid.

    Returns:
        uint8 ``(height, width, 3)``, RGB.

    Raises:
        InvalidArgumentError: If there are no tiles, or columns or side are not positive.

    Example:
        >>> import numpy as np
        >>> from facekit.visualization import Tile, contact_sheet
        >>> tile = Tile(np.zeros((60, 80, 3), dtype=np.uint8), "nobody")
        >>> contact_sheet([tile] * 3, columns=2, side=100).shape
        (254, 230, 3)
    """
    if not tiles or columns < 1 or side < 1:
        raise InvalidArgumentError(
            f"a contact sheet needs tiles, columns and a side, got {len(tiles)}, {columns}, {side}"
        )
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    caption_height = max(12, side // 8)
    heading = 3 * caption_height // 2 if title else 0
    cell_width, cell_height = side + _PADDING, side + caption_height + _PADDING
    sheet = Image.new(
        "RGB",
        (columns * cell_width + _PADDING, rows * cell_height + _PADDING + heading),
        _PAPER,
    )
    canvas = ImageDraw.Draw(sheet)
    if title:
        font = label_font(caption_height)
        canvas.text((_PADDING, _PADDING), _one_line(title), fill=_INK, font=font)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        left = _PADDING + column * cell_width
        top = _PADDING + heading + row * cell_height
        picture = Image.fromarray(tile.image)
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
        corner = (left + (side - picture.width) // 2, top + (side - picture.height) // 2)
        sheet.paste(picture, corner)
        _caption(canvas, tile, left, top + side, side, caption_height)
    return np.array(sheet)


def save_image(path: str | os.PathLike[str], image: RGBImage) -> None:
    """Writes a picture to a file; the ending of its name decides the format.

    Args:
        path: Where to write; a missing folder is made.
        image: uint8 ``(height, width, 3)``, RGB.

    Raises:
        ImageError: If the ending is unknown or the file cannot be written.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> from facekit import load_image
        >>> from facekit.visualization import save_image
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "black.png"
        >>> save_image(path, np.zeros((4, 6, 3), dtype=np.uint8))
        >>> load_image(path).shape
        (4, 6, 3)
    """
    path = Path(path)
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise ImageError(f"{path}: the ending must be one of {', '.join(sorted(IMAGE_SUFFIXES))}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    except (OSError, ValueError) as error:
        raise ImageError(f"{path}: cannot be written ({error})") from error


def _color(result: Face | RecognizedFace) -> tuple[int, int, int]:
    if isinstance(result, Face):
        return FACE_COLOR
    return UNKNOWN_COLOR if result.name is None else KNOWN_COLOR


def _text(result: Face | RecognizedFace) -> str:
    if isinstance(result, Face):
        return f"{result.confidence:.2f}"
    return f"{_one_line(result.label)} {result.distance:.2f}"


def _one_line(text: str) -> str:
    # Pillow measures no text of several lines, and its layout engine fails on control characters.
    breaks = ("Cc", "Zl", "Zp")
    return " ".join("".join(" " if unicodedata.category(c) in breaks else c for c in text).split())


def _disc(
    canvas: ImageDraw.ImageDraw, x: float, y: float, radius: float, color: tuple[int, int, int]
) -> None:
    box = (x - radius, y - radius, x + radius, y + radius)
    canvas.ellipse(box, fill=color, outline=_PAPER)


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
    canvas.text((x + line - left, y + line - top), text, fill=_PAPER, font=font)


def _caption(
    canvas: ImageDraw.ImageDraw, tile: Tile, left: int, top: int, side: int, height: int
) -> None:
    font = label_font(round(height * 0.55))
    text, color = _one_line(tile.caption), _INK
    if tile.right is not None:
        text = f"{'✓' if tile.right else '✗'} {text}"
        color = KNOWN_COLOR if tile.right else WRONG_COLOR
    while text and canvas.textlength(text, font=font) > side:
        text = text.removesuffix("…")[:-1] + "…" if len(text) > 2 else ""
    canvas.text((left + side / 2, top + height / 2), text, fill=color, font=font, anchor="mm")


@lru_cache(maxsize=16)
def label_font(size: int) -> ImageFont.FreeTypeFont:
    """Returns the font that names are written in, DejaVu Sans, at a size in pixels."""
    # matplotlib's copy of DejaVu Sans knows the letters of most names; Pillow's own font does not.
    import matplotlib

    return ImageFont.truetype(
        str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size
    )
