"""Laws of the tiles: every window of every level lies on one tile, once, whole."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from facekit.detection.pyramid import SMALLEST_LEVEL, WINDOW, Level
from facekit.detection.tiling import (
    TILE_HEIGHT,
    TILE_WIDTH,
    Piece,
    by_level,
    draw_tile,
    plan_strips,
    plan_tiles,
    read_tile,
)

lengths = st.integers(SMALLEST_LEVEL, 700)
levels = st.lists(st.builds(Level, st.just(1.0), lengths, lengths), max_size=6)


def windows(piece: Piece) -> set[tuple[int, int, int]]:
    """The windows that a piece holds: their level, and where they begin in it."""
    return {
        (piece.level, piece.top + y, piece.left + x)
        # As in a level: the last one may reach a pixel beyond.
        for y in range(0, piece.height - WINDOW + 2, 2)
        for x in range(0, piece.width - WINDOW + 2, 2)
    }


@given(levels)
def test_every_window_lies_in_one_piece(levels: list[Level]) -> None:
    held = Counter(w for tile in plan_tiles(levels) for piece in tile for w in windows(piece))
    expected = {
        (index, y, x)
        for index, level in enumerate(levels)
        for y in range(0, level.height - WINDOW + 2, 2)
        for x in range(0, level.width - WINDOW + 2, 2)
    }
    assert held == Counter(expected)


@given(levels)
def test_pieces_begin_in_step_lie_inside_their_level_and_do_not_meet(levels: list[Level]) -> None:
    for tile in plan_tiles(levels):
        taken = np.zeros((TILE_HEIGHT, TILE_WIDTH), dtype=int)
        for piece in tile:
            assert piece.y % 2 == piece.x % 2 == piece.top % 2 == piece.left % 2 == 0
            assert piece.top + piece.height <= levels[piece.level].height
            assert piece.left + piece.width <= levels[piece.level].width
            area = taken[piece.y : piece.y + piece.height, piece.x : piece.x + piece.width]
            assert area.shape == (piece.height, piece.width)
            area += 1
        assert taken.max() == 1


@given(levels, st.integers(1, 400_000))
def test_strips_hold_every_window_once_in_groups_of_a_bounded_size(
    levels: list[Level], most: int
) -> None:
    groups = plan_strips(levels, most)
    for group in groups:
        rows_of_tiles = [strip.width * TILE_HEIGHT for strip in group]
        assert sum(strip.height * strip.width for strip in group) <= max(most, *rows_of_tiles)
    held = Counter(
        (strip.level, strip.top + piece.top + y, piece.left + x)
        for group in groups
        for tile in plan_tiles(group)
        for piece in tile
        for strip in [group[piece.level]]
        for _, y, x in windows(piece._replace(level=0, top=0, left=0))
    )
    whole = Counter(w for tile in plan_tiles(levels) for piece in tile for w in windows(piece))
    assert held == whole


def test_no_level_needs_no_tile() -> None:
    assert plan_tiles([]) == []
    assert by_level([], 0) == []


@given(levels, st.integers(0, 999))
def test_windows_are_found_where_they_are(levels: list[Level], seed: int) -> None:
    """A stand-in for the network marks its answers with the pixels they belong to."""
    random = np.random.default_rng(seed)
    pictures = [
        random.uniform(1, 2, (level.height, level.width, 3)).astype(np.float32) for level in levels
    ]
    pixels = np.zeros((1, TILE_HEIGHT, TILE_WIDTH, 3), np.float32)
    hidden = np.zeros((1, TILE_HEIGHT - 2, TILE_WIDTH - 2, 10), np.float32)
    parts = []
    for tile in plan_tiles(levels):
        draw_tile(tile, pictures, pixels, hidden)
        answer = np.zeros((1, 5, TILE_HEIGHT // 2 - 5, TILE_WIDTH // 2 - 5), np.float32)
        answer[0, :] = pixels[0, : TILE_HEIGHT - 10 : 2, : TILE_WIDTH - 10 : 2, 0]
        parts.append(read_tile(tile, answer, least_score=1.5))
    for picture, found in zip(pictures, by_level(parts, len(levels)), strict=True):
        marks = picture[: len(picture) - WINDOW + 2 : 2, : picture.shape[1] - WINDOW + 2 : 2, 0]
        top, left = np.nonzero(marks > 1.5)  # row by row
        assert found.top.tolist() == (2 * top).tolist()
        assert found.left.tolist() == (2 * left).tolist()
        assert np.array_equal(found.scores, marks[top, left])
        assert np.array_equal(found.offsets, found.scores[:, None].repeat(4, axis=1))


@given(st.integers(SMALLEST_LEVEL, 150), st.integers(SMALLEST_LEVEL, 150))
def test_only_the_row_and_column_after_an_odd_side_are_hidden(height: int, width: int) -> None:
    pixels = np.zeros((1, TILE_HEIGHT, TILE_WIDTH, 3), np.float32)
    hidden = np.ones((1, TILE_HEIGHT - 2, TILE_WIDTH - 2, 10), np.float32)
    (tile,) = plan_tiles([Level(1.0, height, width)])
    draw_tile(tile, [np.zeros((height, width, 3), np.float32)], pixels, hidden)
    assert (hidden == hidden[..., :1]).all()
    rows, columns = np.nonzero(hidden[0, ..., 0])
    expected = {(height - 2, x) for x in range(width) if height % 2}
    expected |= {(y, width - 2) for y in range(height) if width % 2}
    inside = {(y, x) for y, x in expected if y < TILE_HEIGHT - 2 and x < TILE_WIDTH - 2}
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == inside
