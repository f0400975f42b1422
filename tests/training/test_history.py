"""The history as rows, CSV and plot."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from facekit import FileFormatError, InvalidArgumentError, load_image
from facekit.training import History

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


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="cannot be drawn"):
        History().plot()
    with pytest.raises(FileFormatError, match="cannot be written"):
        History(ROWS).to_csv(tmp_path / "missing" / "history.csv")
