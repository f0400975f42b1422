"""A plot of ROC curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from facekit.errors import InvalidArgumentError
from facekit.evaluation.verification import RocCurve
from facekit.utils.figures import add_legend, axes_or_new, line_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_roc(curves: Mapping[str, RocCurve], *, ax: Axes | None = None) -> Axes:
    """Draws ROC curves, with the false-match rate on a logarithmic axis.

    Args:
        curves: The curves of :func:`facekit.evaluation.verification.roc`, by the name to show.
        ax: Where to draw; a new figure by default.

    Returns:
        The axes drawn on.

    Raises:
        InvalidArgumentError: If ``curves`` is empty or not a mapping of curves.

    Example:
        >>> from facekit.evaluation import plot_roc, roc
        >>> ax = plot_roc({"example": roc([0.4, 1.3, 0.6, 0.5], [True, False, True, False])})
        >>> ax.get_xlabel()
        'False-match rate'
    """
    if not isinstance(curves, Mapping) or not all(
        isinstance(curve, RocCurve) for curve in curves.values()
    ):
        raise InvalidArgumentError(f"curves must give curves of roc() by name, got {curves!r}")
    if not curves:
        raise InvalidArgumentError("curves must hold at least one curve, got none")
    ax = axes_or_new(ax, 5, 4)
    lines = [
        ax.step(curve.false_match_rate, curve.true_accept_rate, where="post", **line_style(index))[
            0
        ]
        for index, curve in enumerate(curves.values())
    ]
    ax.set_xscale("log")
    # A logarithmic axis starts at the smallest rate above zero: a single wrong pair.
    rates = [curve.false_match_rate for curve in curves.values()]
    ax.set_xlim(min(0.5, *(float(rate[rate > 0].min()) for rate in rates)), 1.0)
    ax.set(xlabel="False-match rate", ylabel="True-accept rate")
    ax.grid(alpha=0.3)
    add_legend(ax, lines, list(curves), loc="lower right")
    return ax
