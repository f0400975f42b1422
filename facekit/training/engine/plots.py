"""A plot of training curves: matplotlib axes in, axes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from facekit.errors import InvalidArgumentError
from facekit.utils.extras import import_extra
from facekit.utils.figures import MARKERS, add_legend, axes_or_new, line_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from facekit.training.engine.history import History

PANELS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Loss", ("loss", "cosine_similarity")),
    ("Share of the triplets", ("active", "semihard", "hard")),
    ("Distance", ("positive_distance", "negative_distance", "spread")),
    (
        "Validation",
        ("validation_auc", "validation_tar", "validation_recall", "validation_eer"),
    ),
)
"""Titles, and the values that are drawn together because they share a scale."""


def plot_history(
    history: History, *, metrics: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """Draws training curves: values over the epochs.

    :meth:`History.plot` draws a whole figure of them, with the values of each kind on axes of their
    own.

    Args:
        history: The measurements of a training.
        metrics: The names of the values, from ``History.names``. By default the loss; if there
            is none, the first available kind that :meth:`History.plot` draws.
        ax: Where to draw; a new figure by default.

    Returns:
        The axes drawn on, with a line for each value. A NaN leaves a gap in the line.

    Raises:
        InvalidArgumentError: If the history is empty or its rows have no epochs, no epoch has one
            of the values, or ``metrics`` is empty.

    Example:
        >>> from facekit.training import plot_history
        >>> from facekit.training.engine.history import History
        >>> history = History([{"epoch": 1, "loss": 0.2}, {"epoch": 2, "loss": 0.1}])
        >>> ax = plot_history(history)
        >>> ax.lines[0].get_ydata().tolist()
        [0.2, 0.1]
    """
    ticker = import_extra("matplotlib.ticker")
    names = _chosen(history, metrics)
    curves = []
    for name in names:
        values = history.column(name)
        epochs = [row["epoch"] for row in history if name in row and "epoch" in row]
        if len(epochs) != len(values):
            raise InvalidArgumentError(f"history must give the epoch of every {name!r}")
        curves.append((epochs, values))
    ax = axes_or_new(ax, 5, 4)
    lines = [
        ax.plot(epochs, values, marker=MARKERS[index % len(MARKERS)], ms=4, **line_style(index))[0]
        for index, (epochs, values) in enumerate(curves)
    ]
    ax.set_xlabel("Epoch")
    ax.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    ax.grid(alpha=0.3)
    add_legend(ax, lines, [name.replace("_", " ") for name in names])
    return ax


def panels_of(history: History) -> list[tuple[str, list[str]]]:
    """Returns the titles and the names of the values that a history has of each kind."""
    names = set(history.names)
    panels = [
        (title, [value for value in values if value in names])
        for title, values in PANELS
        if names & set(values)
    ]
    if not panels:
        raise InvalidArgumentError("a history without epochs cannot be drawn; train first")
    return panels


def _chosen(history: History, metrics: Sequence[str] | None) -> list[str]:
    if metrics is None:
        return panels_of(history)[0][1]
    if isinstance(metrics, str) or not metrics:
        raise InvalidArgumentError(f"metrics must be a sequence of names, got {metrics!r}")
    return list(metrics)
