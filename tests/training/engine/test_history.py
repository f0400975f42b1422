"""The history as rows, CSV and plot."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from facekit import FileFormatError, InvalidArgumentError, load_image
from facekit.training import plot_history
from facekit.training.engine.history import History

ROWS = [
    {"epoch": 0, "validation_auc": 0.5},
    {"epoch": 1, "loss": 0.25, "active": 0.75, "spread": 0.5, "validation_auc": 0.625},
]


def test_csv_gives_the_rows_back(tmp_path: Path) -> None:
    text = History(ROWS).to_csv(tmp_path / "history.csv")
    assert (tmp_path / "history.csv").read_text() == text
    with (tmp_path / "history.csv").open() as stream:
        read = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(stream)]
    assert read == ROWS


def test_a_sequence_of_rows() -> None:
    history = History(ROWS)
    assert list(history) == ROWS
    assert history[1]["loss"] == 0.25
    assert history.column("loss") == [0.25]
    assert history.column("validation_auc") == [0.5, 0.625]
    with pytest.raises(InvalidArgumentError, match="no epoch has 'recall'"):
        history.column("recall")


def test_the_plot_has_a_panel_for_each_kind_of_value(tmp_path: Path) -> None:
    figure = History(ROWS).plot(tmp_path / "history.png")
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["Loss", "Share of the triplets", "Distance", "Validation"]
    assert load_image(tmp_path / "history.png").shape[2] == 3


def test_the_whole_plot_is_drawn_by_plot_history() -> None:
    history = History(ROWS)
    drawn = history.plot().axes[0]
    alone = plot_history(history)
    assert [line.get_xydata().tolist() for line in drawn.lines] == [[[1, 0.25]]]
    assert [line.get_xydata().tolist() for line in alone.lines] == [[[1, 0.25]]]
    assert drawn.get_legend().get_texts()[0].get_text() == "loss"


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["loss", "active", "my_value"]), st.floats(-9, 9)),
        min_size=1,
        max_size=8,
    )
)
def test_each_curve_has_the_values_of_its_epochs(values: list[dict[str, float]]) -> None:
    rows = [{"epoch": epoch, **row} for epoch, row in enumerate(values)]
    names = sorted({name for row in values for name in row})
    assume(names)
    ax = plot_history(History(rows), metrics=names, ax=Figure().add_subplot())
    assert len(ax.lines) == len(names)
    for name, line in zip(names, ax.lines, strict=True):
        expected = [[row["epoch"], row[name]] for row in rows if name in row]
        np.testing.assert_array_equal(line.get_xydata(), expected)
    shown = [text.get_text() for text in ax.get_legend().get_texts()]
    assert shown == [name.replace("_", " ") for name in names]


def test_without_a_loss_the_validation_is_drawn() -> None:
    ax = plot_history(History(ROWS[:1]))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["validation auc"]


def test_nan_leaves_a_gap() -> None:
    rows = [{"epoch": epoch, "loss": loss} for epoch, loss in enumerate([0.3, math.nan, 0.1])]
    np.testing.assert_array_equal(
        plot_history(History(rows)).lines[0].get_ydata(), [0.3, math.nan, 0.1]
    )


def test_axes_are_drawn_on_and_pyplot_is_left_alone() -> None:
    before = plt.get_fignums()
    ax = Figure().add_subplot()
    assert plot_history(History(ROWS), ax=ax) is ax
    assert plot_history(History(ROWS)).figure is not ax.figure
    History(ROWS).plot()
    assert plt.get_fignums() == before


@pytest.mark.parametrize(
    ("rows", "metrics", "problem"),
    [
        ([], None, "a history without epochs cannot be drawn"),
        (ROWS, ["recall"], "no epoch has 'recall'"),
        (ROWS, [], r"metrics must be a sequence of names, got \[\]"),
        (ROWS, "loss", "metrics must be a sequence of names, got 'loss'"),
        ([{"loss": 0.5}], ["loss"], "history must give the epoch of every 'loss'"),
    ],
)
def test_curves_that_cannot_be_drawn(rows: Any, metrics: Any, problem: str) -> None:
    with pytest.raises(InvalidArgumentError, match=problem):
        plot_history(History(rows), metrics=metrics)


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="cannot be drawn"):
        History().plot()
    with pytest.raises(FileFormatError, match="cannot be written"):
        History(ROWS).to_csv(tmp_path / "missing" / "history.csv")
