"""Drawing: boxes, names and contact sheets on copies of pictures, and writing them to files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import features

from facekit import Face, ImageError, InvalidArgumentError, Keypoints, RecognizedFace, load_image
from facekit.io.images import IMAGE_SUFFIXES, RGBImage
from facekit.visualization import Tile, contact_sheet, draw_faces, save_image
from facekit.visualization.colors import FACE_COLOR, KNOWN_COLOR, UNKNOWN_COLOR, WRONG_COLOR

HEIGHT, WIDTH = 300, 240
BOX = (60.0, 80.0, 120.0, 160.0)
POINTS = Keypoints((100, 130), (140, 130), (120, 160), (105, 190), (135, 190))
FACE = Face(box=BOX, confidence=0.98, keypoints=POINTS)


def gray_picture(height: int = HEIGHT, width: int = WIDTH) -> RGBImage:
    return np.full((height, width, 3), 100, dtype=np.uint8)


def recognized(name: str | None, face: Face = FACE) -> RecognizedFace:
    return RecognizedFace(
        face=face, name=name, candidate=name or "Ada", distance=0.5, threshold=0.9, probability=0.8
    )


def shows(picture: RGBImage, color: tuple[int, ...]) -> bool:
    return bool((picture == color).all(axis=2).any())


RESULTS = pytest.mark.parametrize(
    ("result", "color"),
    [
        (FACE, FACE_COLOR),
        (recognized("Ada"), KNOWN_COLOR),
        (recognized(None), UNKNOWN_COLOR),
    ],
    ids=["face", "known", "unknown"],
)


# Faces on a picture.


@RESULTS
def test_the_box_has_the_color_of_the_result(result: Any, color: tuple[int, ...]) -> None:
    drawn = draw_faces(gray_picture(), [result])
    x, y, width, height = (round(value) for value in BOX)
    for row, column in (
        (y + height // 2, x),
        (y + height // 2, x + width),
        (y + height, x + width // 2),
    ):
        assert tuple(drawn[row, column]) == color


@RESULTS
def test_the_keypoints_have_the_color_of_the_result(result: Any, color: tuple[int, ...]) -> None:
    drawn = draw_faces(gray_picture(), [result])
    assert {tuple(drawn[round(y), round(x)]) for x, y in POINTS} == {color}


def test_keypoints_can_be_left_out() -> None:
    drawn = draw_faces(gray_picture(), [FACE], keypoints=False)
    assert {tuple(drawn[round(y), round(x)]) for x, y in POINTS} == {(100, 100, 100)}


def test_the_picture_stays_as_it_was_away_from_the_face() -> None:
    drawn = draw_faces(gray_picture(), [FACE])
    assert (drawn[260:] == 100).all()
    assert (drawn[:, 200:] == 100).all()


def test_the_input_is_not_changed() -> None:
    picture = gray_picture()
    draw_faces(picture, [FACE, recognized("Ada")])
    np.testing.assert_array_equal(picture, gray_picture())


def test_the_result_may_be_drawn_on_further() -> None:
    picture = gray_picture()
    drawn = draw_faces(picture, [])
    np.testing.assert_array_equal(drawn, picture)
    drawn[:] = 0
    np.testing.assert_array_equal(picture, gray_picture())


@given(height=st.integers(1, 120), width=st.integers(1, 120))
def test_the_size_is_kept(height: int, width: int) -> None:
    drawn = draw_faces(gray_picture(height, width), [FACE])
    assert drawn.shape == (height, width, 3)
    assert drawn.dtype == np.uint8


@given(height=st.integers(1, 200), width=st.integers(1, 200), fit=st.integers(1, 300))
def test_fit_is_the_longer_side(height: int, width: int, fit: int) -> None:
    drawn = draw_faces(gray_picture(height, width), [FACE], fit=fit)
    scale = fit / max(height, width)
    assert max(drawn.shape[:2]) == fit
    assert drawn.shape[:2] == (max(1, round(height * scale)), max(1, round(width * scale)))


@pytest.mark.parametrize("fit", [150, 600])
def test_fit_scales_the_faces_too(fit: int) -> None:
    scale = fit / HEIGHT
    drawn = draw_faces(gray_picture(), [FACE], fit=fit)
    x, y, width, height = (value * scale for value in BOX)
    assert tuple(drawn[round(y + height / 2), round(x)]) == FACE_COLOR
    assert tuple(drawn[round(y + height), round(x + width / 2)]) == FACE_COLOR


@pytest.mark.parametrize("fit", [0, -5])
def test_fit_must_be_positive(fit: int) -> None:
    with pytest.raises(InvalidArgumentError, match="fit"):
        draw_faces(gray_picture(), [FACE], fit=fit)


def test_the_most_certain_face_ends_up_on_top() -> None:
    drawn = draw_faces(gray_picture(), [recognized("Ada"), recognized(None)], keypoints=False)
    assert tuple(drawn[160, 60]) == KNOWN_COLOR


def test_the_name_is_written_out() -> None:
    first, second = (draw_faces(gray_picture(), [recognized(name)]) for name in ("Ada", "Grace"))
    assert not np.array_equal(first, second)


@given(name=st.text(min_size=1, max_size=40))
def test_any_name_can_be_drawn(name: str) -> None:
    drawn = draw_faces(gray_picture(), [recognized(name)])
    assert shows(drawn, KNOWN_COLOR)


@pytest.mark.parametrize("name", ["Σοφία", "Мария", "Łukasz Żółć", "山田太郎", "سارة", "👩‍🔬"])
def test_names_in_other_scripts_can_be_drawn(name: str) -> None:
    drawn = draw_faces(gray_picture(), [recognized(name)])
    assert not np.array_equal(drawn, draw_faces(gray_picture(), [recognized("x")]))


coordinate = st.floats(-3000, 3000)
side = st.floats(0.01, 3000)


@given(
    box=st.tuples(coordinate, coordinate, side, side),
    points=st.lists(st.tuples(coordinate, coordinate), min_size=5, max_size=5),
)
def test_a_face_may_lie_beyond_the_border(box: Any, points: Any) -> None:
    face = Face(box=box, confidence=0.5, keypoints=Keypoints(*points))
    drawn = draw_faces(gray_picture(), [face, recognized("Ada", face)])
    assert drawn.shape == (HEIGHT, WIDTH, 3)


def test_a_picture_is_read_from_a_file(hopper: Path) -> None:
    assert draw_faces(hopper, []).shape == load_image(hopper).shape


def test_a_missing_file_is_refused() -> None:
    with pytest.raises(ImageError, match=r"missing\.jpg"):
        draw_faces("missing.jpg", [])


@pytest.mark.parametrize("found", [FACE, ["Ada"], [FACE, None], 3])
def test_what_is_no_face_is_refused(found: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="faces must be a sequence of Face or Recog"):
        draw_faces(gray_picture(), found)


@pytest.mark.parametrize("labels", [["Ada"], ["Ada", None], "AB", ["a", "b", "c"], 3])
def test_labels_must_be_as_many_texts_as_faces(labels: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"labels(\[1\])? must be"):
        draw_faces(gray_picture(), [FACE, FACE], labels=labels)


# Contact sheets.


@given(
    count=st.integers(1, 12),
    columns=st.integers(1, 8),
    side=st.integers(1, 200),
    title=st.sampled_from(["", "a title"]),
)
def test_the_size_of_a_sheet(count: int, columns: int, side: int, title: str) -> None:
    sheet = contact_sheet(
        [Tile(gray_picture(), "x")] * count, columns=columns, side=side, title=title
    )
    across = min(columns, count)
    down = (count + across - 1) // across
    caption = max(12, side // 8)
    heading = caption * 3 // 2 if title else 0
    assert sheet.shape == (
        10 + heading + down * (side + caption + 10),
        10 + across * (side + 10),
        3,
    )


def test_a_tile_lies_in_its_cell() -> None:
    tiles = [Tile(np.full((50, 50, 3), value, dtype=np.uint8), "") for value in (10, 20, 30)]
    sheet = contact_sheet(tiles, columns=2, side=50)
    caption = 12
    assert (sheet[10:60, 10:60] == 10).all()
    assert (sheet[10:60, 70:120] == 20).all()
    assert (sheet[20 + 50 + caption : 70 + 50 + caption, 10:60] == 30).all()


@pytest.mark.parametrize("shape", [(400, 100), (100, 400), (30, 20)])
def test_a_tile_keeps_its_proportions(shape: tuple[int, int]) -> None:
    sheet = contact_sheet([Tile(np.zeros((*shape, 3), dtype=np.uint8), "")], side=100)
    rows, columns = np.nonzero((sheet == 0).all(axis=2))
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert max(height, width) <= 100
    assert height / width == pytest.approx(shape[0] / shape[1], rel=0.05)


@pytest.mark.parametrize(
    ("right", "shown", "hidden"),
    [(True, KNOWN_COLOR, WRONG_COLOR), (False, WRONG_COLOR, KNOWN_COLOR)],
)
def test_a_tile_is_marked_as_right_or_wrong(
    right: bool, shown: tuple[int, ...], hidden: tuple[int, ...]
) -> None:
    sheet = contact_sheet([Tile(gray_picture(), "Ada", right)], side=240)
    assert shows(sheet, shown)
    assert not shows(sheet, hidden)


def test_an_unmarked_tile_has_no_color() -> None:
    sheet = contact_sheet([Tile(gray_picture(), "Ada")], side=240)
    assert not shows(sheet, KNOWN_COLOR)
    assert not shows(sheet, WRONG_COLOR)


@pytest.mark.parametrize("text", ["two\nlines", "two\r\nlines", "two\x1elines", "two\u2029lines"])
def test_line_breaks_are_drawn_as_spaces(text: str) -> None:
    broken = contact_sheet([Tile(gray_picture(), text)], title=text)
    spaced = contact_sheet([Tile(gray_picture(), "two lines")], title="two lines")
    np.testing.assert_array_equal(broken, spaced)


@given(caption=st.text(max_size=60), right=st.sampled_from([True, False, None]))
def test_any_caption_fits_below_its_tile(caption: str, right: bool | None) -> None:
    sheet = contact_sheet([Tile(gray_picture(40, 40), caption, right)], side=40)
    # The white frame around the cell stays white.
    assert (sheet[:, :9] == 255).all()
    assert (sheet[:, -9:] == 255).all()


def test_the_title_stands_above_the_tiles() -> None:
    sheet = contact_sheet([Tile(gray_picture(), "")], side=240, title="A title")
    heading = 45
    assert (sheet[10 : 10 + heading] != 255).any()
    assert (sheet[:10] == 255).all()


def test_the_tiles_are_not_changed() -> None:
    picture = gray_picture()
    contact_sheet([Tile(picture, "Ada", True)], side=20)
    np.testing.assert_array_equal(picture, gray_picture())


@pytest.mark.parametrize("arguments", [{"columns": 0}, {"columns": -1}, {"side": 0}, {"side": -3}])
def test_columns_and_side_must_be_positive(arguments: dict[str, int]) -> None:
    with pytest.raises(InvalidArgumentError, match=f"{next(iter(arguments))} must be a whole"):
        contact_sheet([Tile(gray_picture(), "")], **arguments)  # type: ignore[arg-type]


def test_a_sheet_needs_tiles() -> None:
    with pytest.raises(InvalidArgumentError, match="needs tiles"):
        contact_sheet([])


@pytest.mark.parametrize(
    ("image", "problem"),
    [
        (np.zeros((4, 6, 3)), "must be uint8 .* got float64 with values"),
        (np.zeros((4, 6, 2), np.uint8), r"got shape \(4, 6, 2\)"),
        (np.zeros((0, 6, 3), np.uint8), "has no pixels"),
        ([[1, 2], [3, 4]], "NumPy array, got list"),
    ],
)
def test_what_is_no_image_is_neither_shown_nor_saved(
    tmp_path: Path, image: Any, problem: str
) -> None:
    with pytest.raises(ImageError, match=problem):
        contact_sheet([Tile(image, "Ada")])
    with pytest.raises(ImageError, match=problem):
        save_image(tmp_path / "picture.png", image)
    assert not list(tmp_path.iterdir())


# Files.


def test_a_saved_picture_comes_back(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, size=(20, 30, 3), dtype=np.uint8)
    save_image(tmp_path / "picture.png", picture)
    np.testing.assert_array_equal(load_image(tmp_path / "picture.png"), picture)


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES))
def test_every_ending_that_is_read_can_be_written(tmp_path: Path, suffix: str) -> None:
    if suffix == ".avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    path = tmp_path / f"picture{suffix.upper()}"
    save_image(path, gray_picture())
    read = load_image(path).astype(int)
    assert np.abs(read - gray_picture().astype(int)).max() <= 3


def test_missing_folders_are_made(tmp_path: Path) -> None:
    save_image(tmp_path / "new" / "folder" / "picture.png", gray_picture())
    assert (tmp_path / "new" / "folder" / "picture.png").is_file()


@pytest.mark.parametrize("name", ["picture.txt", "picture", "picture.exe", ".png"])
def test_an_unknown_ending_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageError, match=r"the ending must be one of .*\.png"):
        save_image(tmp_path / name, gray_picture())
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ImageError, match="cannot be written"):
        save_image(tmp_path / "file" / "picture.png", gray_picture())


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "picture.png").mkdir()
    with pytest.raises(ImageError, match="cannot be written"):
        save_image(tmp_path / "picture.png", gray_picture())


def test_a_picture_that_the_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot be written"):
        save_image(tmp_path / "picture.webp", gray_picture(1, 17_000))
