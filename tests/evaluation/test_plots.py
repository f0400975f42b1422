"""The plots: axes in, axes out, and nothing left open."""

from __future__ import annotations

import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from facekit import InvalidArgumentError, load_image
from facekit.evaluation import plot_roc
from facekit.evaluation.verification import RocCurve, roc

DISTANCES = [0.4, 0.6, 0.9, 0.5, 1.1, 1.3, 1.2, 0.8]
SAME = [True, True, True, False, False, False, False, False]


@pytest.fixture
def curve() -> RocCurve:
    return roc(DISTANCES, SAME)


def test_the_axes_given_are_drawn_on_and_returned(curve: RocCurve) -> None:
    ax = Figure().subplots()
    assert plot_roc({"example": curve}, ax=ax) is ax
    assert len(ax.lines) == 1


def test_without_axes_a_figure_is_made_that_pyplot_does_not_hold(curve: RocCurve) -> None:
    before = plt.get_fignums()
    ax = plot_roc({"example": curve})
    assert isinstance(ax.figure, Figure)
    assert plt.get_fignums() == before


def test_the_axes_are_labelled(curve: RocCurve) -> None:
    ax = plot_roc({"example": curve})
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("False-accept rate", "True-accept rate")


def test_the_false_accept_rate_is_logarithmic_from_the_smallest_rate(curve: RocCurve) -> None:
    ax = plot_roc({"example": curve})
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")
    assert ax.get_xlim() == (pytest.approx(1 / 5), 1.0)


def test_every_curve_has_its_name_and_numbers(curve: RocCurve) -> None:
    other = roc(DISTANCES[::-1], SAME)
    ax = plot_roc({"first": curve, "second": other})
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["first", "second"]
    for line, drawn in zip(ax.lines, (curve, other), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), drawn.false_accept_rate)
        np.testing.assert_array_equal(line.get_ydata(), drawn.true_accept_rate)


def test_a_plot_can_be_written(curve: RocCurve, tmp_path: Path) -> None:
    path = tmp_path / "roc.png"
    plot_roc({"example": curve}).figure.savefig(path)
    assert load_image(path).std() > 0


def test_a_single_pair_of_strangers_is_enough() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ax = plot_roc({"example": roc([0.1, 0.5], [True, False])})
    left, right = ax.get_xlim()
    assert 0 < left < right == 1.0


def test_no_curves_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="curves"):
        plot_roc({})
