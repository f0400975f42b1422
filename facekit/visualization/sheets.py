"""Contact sheets: images with captions in a grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from facekit.errors import InvalidArgumentError
from facekit.io.images import RGBImage, load_image
from facekit.utils.figures import one_line
from facekit.utils.validation import whole
from facekit.visualization.colors import INK, KNOWN_COLOR, PAPER, WRONG_COLOR
from facekit.visualization.lettering import label_font

_PADDING = 10


@dataclass(frozen=True)
class Tile:
    """One image of a contact sheet.

    Args:
        image: The image, uint8 ``(height, width, 3)``, RGB.
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
    """Arranges images with captions in a grid.

    Args:
        tiles: The images.
        columns: The number of columns.
        side: The side of the square that each is fitted into, in pixels.
        title: A line above the grid.

    Returns:
        uint8 ``(height, width, 3)``, RGB.

    Raises:
        ImageError: If the image of a tile is not one.
        InvalidArgumentError: If there are no tiles, or columns or side are not positive.

    Example:
        >>> import numpy as np
        >>> from facekit.visualization import Tile, contact_sheet
        >>> tile = Tile(np.zeros((60, 80, 3), dtype=np.uint8), "stranger")
        >>> contact_sheet([tile] * 3, columns=2, side=100).shape
        (254, 230, 3)
    """
    if not tiles:
        raise InvalidArgumentError("a contact sheet needs tiles")
    columns, side = whole(columns, "columns", least=1), whole(side, "side", least=1)
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    caption_height = max(12, side // 8)
    heading = 3 * caption_height // 2 if title else 0
    cell_width, cell_height = side + _PADDING, side + caption_height + _PADDING
    sheet = Image.new(
        "RGB",
        (columns * cell_width + _PADDING, rows * cell_height + _PADDING + heading),
        PAPER,
    )
    canvas = ImageDraw.Draw(sheet)
    if title:
        font = label_font(caption_height)
        canvas.text((_PADDING, _PADDING), one_line(title), fill=INK, font=font)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        left = _PADDING + column * cell_width
        top = _PADDING + heading + row * cell_height
        image = Image.fromarray(load_image(tile.image))
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        corner = (left + (side - image.width) // 2, top + (side - image.height) // 2)
        sheet.paste(image, corner)
        _caption(canvas, tile, left, top + side, side, caption_height)
    return np.array(sheet)


def _caption(
    canvas: ImageDraw.ImageDraw, tile: Tile, left: int, top: int, side: int, height: int
) -> None:
    font = label_font(round(height * 0.55))
    text, color = one_line(tile.caption), INK
    if tile.right is not None:
        text = f"{'✓' if tile.right else '✗'} {text}"
        color = KNOWN_COLOR if tile.right else WRONG_COLOR
    while text and canvas.textlength(text, font=font) > side:
        text = text.removesuffix("…")[:-1] + "…" if len(text) > 2 else ""
    canvas.text((left + side / 2, top + height / 2), text, fill=color, font=font, anchor="mm")
