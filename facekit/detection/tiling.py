"""Lays out image pyramids on tiles of one size, so that P-Net needs a single input shape.

A network compiled for one shape runs fastest, and new image sizes cost nothing extra. The levels
are cut into pieces of at most one tile, which overlap by the amount that a window exceeds its step,
and small pieces share a tile. The results are those for each whole level.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from facekit.detection.networks import HIDDEN
from facekit.detection.pyramid import Level

# A tile's size in pixels, even. Larger tiles waste less on overlap, smaller ones less on empty
# space.
TILE_HEIGHT, TILE_WIDTH = 160, 192

_STEP = 2  # the windows of P-Net lie two pixels apart
_MARGIN = 10  # how much longer than the step a window is


class Piece(NamedTuple):
    """A part of a level, and its position on a tile, in pixels."""

    level: int  # its index
    top: int  # where the piece begins in its level, even
    left: int
    height: int
    width: int
    y: int = 0  # where it begins on its tile, even
    x: int = 0


class Windows(NamedTuple):
    """Windows in which P-Net sees a face."""

    level: npt.NDArray[np.intp]  # the index of the level of each, `(n,)`
    top: npt.NDArray[np.intp]  # where each begins in its level, in pixels
    left: npt.NDArray[np.intp]
    offsets: npt.NDArray[np.float32]  # of x1, y1, x2 and y2, in sizes of the window, `(n, 4)`
    scores: npt.NDArray[np.float32]  # by how much "face" exceeds "no face" before the softmax


Tile: TypeAlias = list[Piece]


class Strip(NamedTuple):
    """Rows of a level that are drawn and searched together; strips overlap as pieces do."""

    level: int  # its index
    top: int  # the first row, even
    height: int  # the number of rows
    width: int  # that of the level, in pixels


def plan_strips(levels: Sequence[Level], most_pixels: int) -> list[list[Strip]]:
    """Divides levels into groups of strips, of which only one is in memory at a time."""
    groups: list[list[Strip]] = []
    free = 0
    for index, level in enumerate(levels):
        rows = max((most_pixels // level.width - _MARGIN) // (TILE_HEIGHT - _MARGIN), 1)
        for top, height in _parts(level.height, rows * (TILE_HEIGHT - _MARGIN) + _MARGIN):
            size = height * level.width
            if size > free:
                groups.append([])
                free = most_pixels
            groups[-1].append(Strip(index, top, height, level.width))
            free -= size
    return groups


def plan_tiles(levels: Sequence[Level | Strip]) -> list[Tile]:
    """Lays out levels on few tiles by a greedy rule: the largest piece first."""
    pieces = [
        Piece(index, top, left, height, width)
        for index, level in enumerate(levels)
        for top, height in _parts(level.height, TILE_HEIGHT)
        for left, width in _parts(level.width, TILE_WIDTH)
    ]
    tiles: list[Tile] = []
    free: list[tuple[int, int, int, int, int]] = []  # tile, y, x, height, width
    for piece in sorted(pieces, key=lambda piece: (-piece.height, -piece.width)):
        # Rounded up, so that what follows is aligned with the windows.
        height, width = piece.height + piece.height % 2, piece.width + piece.width % 2
        fitting = [space for space in free if space[3] >= height and space[4] >= width]
        if fitting:
            space = min(fitting, key=lambda space: min(space[3] - height, space[4] - width))
            free.remove(space)
        else:
            space = (len(tiles), 0, 0, TILE_HEIGHT, TILE_WIDTH)
            tiles.append([])
        tile, y, x, free_height, free_width = space
        tiles[tile].append(piece._replace(y=y, x=x))
        right, below = free_width - width, free_height - height
        # Cut along the longer remainder, which keeps the larger of the two spaces intact.
        if right * free_height > below * free_width:
            spaces = [(y, x + width, free_height, right), (y + height, x, below, width)]
        else:
            spaces = [(y, x + width, height, right), (y + height, x, below, free_width)]
        free += [(tile, *space) for space in spaces if min(space[2:]) > _MARGIN]
    return tiles


def draw_tile(
    tile: Iterable[Piece],
    images: Sequence[npt.NDArray[np.float32]],
    pixels: npt.NDArray[np.float32],
    hidden: npt.NDArray[np.float32],
) -> None:
    """Copies the pieces of a tile into the network's inputs."""
    hidden.fill(0.0)
    for piece in tile:
        image = images[piece.level]
        bottom, right = piece.y + piece.height, piece.x + piece.width
        pixels[0, piece.y : bottom, piece.x : right] = image[
            piece.top : piece.top + piece.height, piece.left : piece.left + piece.width
        ]
        # If a side is odd, the last max-pooling of a whole level sees one row less.
        if piece.height % 2:
            hidden[0, bottom - 2, piece.x : right] = HIDDEN
        if piece.width % 2:
            hidden[0, piece.y : bottom, right - 2] = HIDDEN


def read_tile(
    tile: Iterable[Piece], answer: npt.NDArray[np.float32], least_score: float
) -> Windows:
    """Extracts the windows that show a face from the network's output for a tile."""
    above = answer[0, 4] > least_score
    parts = []
    for piece in tile:
        y, x = piece.y // _STEP, piece.x // _STEP
        rows, columns = np.nonzero(
            above[y : y + _windows(piece.height), x : x + _windows(piece.width)]
        )
        found = answer[0][:, y + rows, x + columns]
        parts.append(
            Windows(
                np.full(len(rows), piece.level),
                piece.top + _STEP * rows,
                piece.left + _STEP * columns,
                found[:4].T,
                found[4],
            )
        )
    return joined(parts)


def by_level(parts: Sequence[Windows], levels: int) -> list[Windows]:
    """Sorts the windows that were found on tiles by level, and those of a level row by row."""
    if not parts:
        return []
    together = joined(parts)
    order = np.lexsort((together.left, together.top, together.level))
    ends = np.searchsorted(together.level[order], np.arange(levels), side="right")
    return [
        Windows._make(values[order[start:end]] for values in together)
        for start, end in zip([0, *ends[:-1]], ends, strict=True)
    ]


def joined(parts: Sequence[Windows]) -> Windows:
    """Concatenates the windows of several parts; at least one part is needed."""
    return Windows(*map(np.concatenate, zip(*parts, strict=True)))


def _parts(length: int, longest: int) -> list[tuple[int, int]]:
    """Cuts a length into parts that contain each window once; returns their starts and lengths."""
    reach = longest - _MARGIN
    starts = range(0, max(length - _MARGIN, 1), reach)
    return [(start, min(length - start, longest)) for start in starts]


def _windows(length: int) -> int:
    return (length - _MARGIN + 1) // _STEP
