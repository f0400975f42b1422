"""What all plots share: axes, names as they are, and styles that differ."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.cbook import is_math_text
from matplotlib.figure import Figure

from facekit import InvalidArgumentError
from facekit.utils.figures import (
    MARKERS,
    PALETTE,
    add_legend,
    axes_or_new,
    line_style,
    one_line,
    plain,
    shorten,
)

DRAWN = Figure().subplots().text(0, 0, "")


def test_axes_given_are_returned() -> None:
    ax = Figure().subplots()
    assert axes_or_new(ax, 1, 1) is ax


def test_a_new_figure_has_the_size_and_is_none_of_pyplots() -> None:
    before = plt.get_fignums()
    figure = axes_or_new(None, 3, 2).figure
    assert figure.get_size_inches().tolist() == [3, 2]
    assert plt.get_fignums() == before


@pytest.mark.parametrize("ax", [np.empty(2, dtype=object), "ax", Figure()], ids=type)
def test_what_are_no_axes_is_refused(ax: object) -> None:
    with pytest.raises(InvalidArgumentError, match="ax must be matplotlib axes or None, got"):
        axes_or_new(ax, 1, 1)  # type: ignore[arg-type]


def test_color_and_marker_repeat_late() -> None:
    pairs = {(i % len(PALETTE), i % len(MARKERS)) for i in range(len(PALETTE) * len(MARKERS))}
    assert len(pairs) == len(PALETTE) * len(MARKERS)


def test_neighboring_lines_differ_in_color_and_dashes() -> None:
    for index in range(20):
        one, next_one = line_style(index), line_style(index + 1)
        assert one["color"] != next_one["color"]
        assert one["linestyle"] != next_one["linestyle"]


@given(st.text())
def test_a_text_stays_on_one_line(text: str) -> None:
    assert len(one_line(text).splitlines()) <= 1
    assert one_line(one_line(text)) == one_line(text)


@given(st.text(alphabet="a$\\{_ "))
def test_nothing_in_a_name_is_a_formula(name: str) -> None:
    assert not is_math_text(plain(name))


@pytest.mark.parametrize("name", ["$x$", "$", "a$b$c$", r"\$", "_hidden", "50 %"])
def test_a_name_is_drawn_as_it_is(name: str) -> None:
    ax = Figure().subplots()
    text = ax.text(0, 0, plain(name))
    as_it_is = ax.text(0, 0, name, parse_math=False)
    assert text.get_window_extent().width == pytest.approx(as_it_is.get_window_extent().width)


@given(st.text(alphabet="abcW $", max_size=30).map(plain), st.integers(20, 200))
def test_a_shortened_text_fits_and_could_not_be_longer(whole: str, width: int) -> None:
    text = DRAWN
    text.set_text(whole)
    room = text.get_window_extent().width
    shorten(text, width)
    short = text.get_text()
    if room <= width:
        assert short == whole
        return
    assert text.get_window_extent().width <= width
    assert short.endswith("…")
    assert whole.startswith(short[:-1])
    assert not is_math_text(short)
    text.set_text(whole[: len(short) + 2] + "…")
    assert text.get_window_extent().width > width


def test_where_nothing_fits_an_ellipsis_is_left() -> None:
    DRAWN.set_text("Ada Lovelace")
    shorten(DRAWN, 1)
    assert DRAWN.get_text() == "…"


def test_a_legend_keeps_names_with_an_underscore() -> None:
    ax = Figure().subplots()
    lines = ax.plot([0, 1], [[0, 1], [1, 0]])
    legend = add_legend(ax, lines, ["_Ada", "Grace"], loc="upper left")
    assert [text.get_text() for text in legend.get_texts()] == ["_Ada", "Grace"]
    assert legend.legend_handles[0].get_color() == lines[0].get_color()
