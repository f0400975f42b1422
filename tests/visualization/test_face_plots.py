"""Plots of pictures and faces: what is drawn, where, and in which color."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from facekit import Face, ImageError, InvalidArgumentError, Keypoints, RecognizedFace, load_image
from facekit.visualization import plot_face_grid, plot_faces
from facekit.visualization.colors import FACE_COLOR, KNOWN_COLOR, UNKNOWN_COLOR
from tests.plotting import check_that_pyplot_is_left_alone

PICTURE = np.full((300, 240, 3), 100, dtype=np.uint8)
POINTS = Keypoints((100, 130), (140, 130), (120, 160), (105, 190), (135, 190))
FACE = Face(box=(60.0, 80.0, 120.0, 160.0), confidence=0.984, keypoints=POINTS)


def recognized(name: str | None, face: Face = FACE) -> RecognizedFace:
    return RecognizedFace(
        face=face, name=name, candidate=name or "Ada", distance=0.5, threshold=0.9, probability=0.8
    )


def bytes_of(color: Any) -> tuple[int, ...]:
    return tuple(round(255 * value) for value in to_rgb(color))


coordinates = st.floats(-500, 500)
sides = st.floats(0.5, 500)
faces = st.builds(
    lambda box, points, confidence: Face(box, confidence, Keypoints(*points)),
    st.tuples(coordinates, coordinates, sides, sides),
    st.lists(st.tuples(coordinates, coordinates), min_size=5, max_size=5),
    st.floats(0, 1),
)
results = faces | st.builds(recognized, st.none() | st.text(max_size=12), faces)


# A picture.


@given(found=st.lists(results, max_size=6), keypoints=st.booleans())
def test_each_face_has_a_box_a_label_and_keypoints(found: list[Any], keypoints: bool) -> None:
    ax = plot_faces(PICTURE, found, keypoints=keypoints, ax=Figure().add_subplot())
    assert len(ax.patches) == len(ax.texts) == len(found)
    assert len(ax.collections) == (len(found) if keypoints else 0)
    for result, box, points in zip(found, ax.patches, [*ax.collections, *found], strict=False):
        face = result.face if isinstance(result, RecognizedFace) else result
        assert (*box.get_xy(), box.get_width(), box.get_height()) == face.box
        if keypoints:
            np.testing.assert_array_equal(points.get_offsets(), face.keypoints.to_array())


@given(found=st.lists(results, max_size=4))
def test_the_axes_are_those_of_the_picture(found: list[Any]) -> None:
    ax = plot_faces(PICTURE, found, ax=Figure().add_subplot())
    np.testing.assert_array_equal(ax.images[0].get_array(), PICTURE)
    assert ax.get_xlim() == (-0.5, 239.5)
    assert ax.get_ylim() == (299.5, -0.5)
    assert not ax.axison


@pytest.mark.parametrize(
    ("result", "color", "label"),
    [
        (FACE, FACE_COLOR, "0.98"),
        (recognized("Ada"), KNOWN_COLOR, "Ada 0.50"),
        (recognized(None), UNKNOWN_COLOR, "unknown 0.50"),
    ],
    ids=["face", "known", "unknown"],
)
def test_color_and_label(result: Any, color: tuple[int, ...], label: str) -> None:
    ax = plot_faces(PICTURE, [result])
    assert ax.texts[0].get_text() == label
    assert bytes_of(ax.patches[0].get_edgecolor()) == color
    assert bytes_of(ax.texts[0].get_bbox_patch().get_facecolor()) == color
    assert bytes_of(ax.collections[0].get_facecolor()[0]) == color


def test_the_most_certain_face_ends_up_on_top() -> None:
    ax = plot_faces(PICTURE, [recognized("Ada"), recognized(None)])
    for artists in (ax.patches, ax.texts, ax.collections):
        assert artists[0].get_zorder() > artists[1].get_zorder() > ax.images[0].get_zorder()


def test_the_label_stands_above_the_box_or_within_it() -> None:
    high = Face(box=(200.0, 4.0, 30.0, 40.0), confidence=0.9, keypoints=POINTS)
    low, top = plot_faces(PICTURE, [FACE, high]).texts
    assert (low.get_position(), low.get_va(), low.get_ha()) == ((60, 80), "bottom", "left")
    assert (top.get_position(), top.get_va(), top.get_ha()) == ((230, 4), "top", "right")


def test_what_is_drawn_is_seen() -> None:
    figure = Figure(figsize=(4.8, 6), dpi=100)
    plot_faces(PICTURE, [recognized("Ada")], ax=figure.add_axes((0, 0, 1, 1)))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    # Two pixels of the figure are one of the picture.
    drawn = np.asarray(canvas.buffer_rgba())[::2, ::2, :3].astype(int)
    assert drawn.shape == PICTURE.shape
    for x, y in ((60, 160), (180, 160), (120, 240), *POINTS):
        np.testing.assert_allclose(drawn[y, x], KNOWN_COLOR, atol=20)
    # Within the box and outside there is nothing but the picture.
    assert tuple(drawn[220, 90]) == tuple(drawn[280, 120]) == (100, 100, 100)


def test_a_picture_is_read_from_a_file(hopper: Path) -> None:
    ax = plot_faces(hopper, [])
    np.testing.assert_array_equal(ax.images[0].get_array(), load_image(hopper))
    with pytest.raises(ImageError, match=r"missing\.jpg"):
        plot_faces("missing.jpg", [])


@pytest.mark.parametrize("found", [FACE, ["Ada"], [FACE, None], 3])
def test_what_is_no_face_is_refused(found: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="faces must be a sequence of Face or Recog"):
        plot_faces(PICTURE, found)


# A grid.


def aligned(number: int, side: int = 8) -> Any:
    shape = (number, side, side, 3)
    return np.random.default_rng(0).integers(0, 256, size=shape, dtype=np.uint8)


@given(number=st.integers(1, 20), columns=st.integers(1, 10), with_captions=st.booleans())
def test_every_face_has_its_cell(number: int, columns: int, with_captions: bool) -> None:
    pixels = aligned(number)
    captions = [f"{index}" for index in range(number)] if with_captions else None
    ax = plot_face_grid(pixels, captions=captions, columns=columns, ax=Figure().add_subplot())
    assert len(ax.images) == number
    cells = [image.get_extent() for image in ax.images]
    for image, face in zip(ax.images, pixels, strict=True):
        np.testing.assert_array_equal(image.get_array(), face)
    lefts, tops = sorted({cell[0] for cell in cells}), sorted({cell[3] for cell in cells})
    assert len(lefts) == min(columns, number)
    assert [(tops.index(cell[3]), lefts.index(cell[0])) for cell in cells] == [
        divmod(index, columns) for index in range(number)
    ]
    # Each is a square of side 1, none covers another, and all lie within the axes.
    assert all(
        right - left == pytest.approx(1) and bottom - top == pytest.approx(1)
        for left, right, bottom, top in cells
    )
    assert all(np.diff(places).min(initial=2) > 1 for places in (lefts, tops))
    assert ax.get_xlim()[0] < lefts[0]
    assert ax.get_xlim()[1] > lefts[-1] + 1
    assert ax.get_ylim()[1] < tops[0]
    assert ax.get_ylim()[0] > tops[-1] + 1


def test_captions_stand_below_the_middle_of_their_faces() -> None:
    ax = plot_face_grid(aligned(3), captions=["Ada", "$x$", "Grace\nHopper"], columns=2)
    assert [text.get_text() for text in ax.texts] == ["Ada", r"\$x\$", "Grace Hopper"]
    for text, image in zip(ax.texts, ax.images, strict=True):
        left, right, bottom, _ = image.get_extent()
        x, y = text.get_position()
        assert x == pytest.approx((left + right) / 2)
        assert bottom < y < bottom + 0.1


@pytest.mark.parametrize("columns", [1, 8])
def test_a_long_caption_is_no_wider_than_its_face(columns: int) -> None:
    ax = plot_face_grid(aligned(8), captions=["a very long name indeed " * 3] * 8, columns=columns)
    ax.figure.draw_without_rendering()
    assert ax.texts[0].get_text().endswith("…")
    left, right = (ax.transData.transform((x, 0))[0] for x in ax.images[0].get_extent()[:2])
    assert ax.texts[0].get_window_extent().width <= right - left + 1


@pytest.mark.parametrize(
    "pixels",
    [
        np.empty((0, 8, 8, 3), dtype=np.uint8),
        np.zeros((8, 8, 3), dtype=np.uint8),
        np.zeros((2, 8, 9, 3), dtype=np.uint8),
        np.zeros((2, 8, 8, 4), dtype=np.uint8),
        np.zeros((2, 8, 8, 3), dtype=np.float32),
        [np.zeros((8, 8, 3), dtype=np.uint8), np.zeros((9, 9, 3), dtype=np.uint8)],
        [],
    ],
)
def test_other_shapes_are_refused(pixels: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="faces must"):
        plot_face_grid(pixels)


@pytest.mark.parametrize("columns", [0, -2, 2.5, "3"])
def test_columns_must_be_positive(columns: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="columns must be a whole number"):
        plot_face_grid(aligned(2), columns=columns)


@pytest.mark.parametrize("captions", [["Ada"], ["Ada", None], "AB", ["a", "b", "c"], 3])
def test_captions_must_be_as_many_texts_as_faces(captions: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"captions(\[1\])? must be"):
        plot_face_grid(aligned(2), captions=captions)


# Both.


@pytest.mark.parametrize(
    "draw",
    [lambda ax: plot_faces(PICTURE, [FACE], ax=ax), lambda ax: plot_face_grid(aligned(2), ax=ax)],
    ids=["faces", "grid"],
)
def test_axes_are_drawn_on_and_pyplot_is_left_alone(draw: Any) -> None:
    check_that_pyplot_is_left_alone(draw)
