"""Histograms of the distances between the two images of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from facekit.errors import InvalidArgumentError
from facekit.evaluation.verification import checked_pairs
from facekit.utils.figures import PALETTE, axes_or_new
from facekit.utils.validation import number, reals, whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatArray = npt.NDArray[np.float64]


def plot_distances(
    distances: npt.ArrayLike,
    same: npt.ArrayLike,
    *,
    threshold: float | None = None,
    bins: int | Sequence[float] = 50,
    ax: Axes | None = None,
) -> Axes:
    """Draws histograms of the distances of same-person and different-person pairs.

    Each histogram is normalized by its own kind of pairs, because there are usually far more pairs
    of different people. Where they overlap, a threshold makes errors.

    Args:
        distances: The distance of each pair, ``(n,)``; any metric, smaller is more similar.
        same: Whether each pair shows one person, bool ``(n,)``. One kind may be missing.
        threshold: Draws a line there, labeled with the number.
        bins: The number of bins over the range of all distances, or their ascending edges;
            distances beyond given edges are not drawn.
        ax: Where to draw; a new figure by default.

    Returns:
        The axes drawn on.

    Raises:
        InvalidArgumentError: If the arrays do not fit together or are empty, a number is not
            finite, or the bins cannot be used.

    Example:
        >>> from facekit.evaluation import plot_distances
        >>> ax = plot_distances([0.4, 1.3, 0.6, 1.2], [True, False, True, False], threshold=0.9)
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['one person (2 pairs)', 'two people (2 pairs)', 'threshold 0.9']
    """
    values, truth = checked_pairs(distances, same)
    if not len(values):
        raise InvalidArgumentError("distances must hold at least one pair, got none")
    if threshold is not None:
        threshold = number(threshold, "threshold")
    edges = _edges(values, bins)
    ax = axes_or_new(ax, 5, 4)
    # The hatching distinguishes the two in black and white.
    styles: tuple[tuple[str, npt.NDArray[np.bool_], str, dict[str, Any]], ...] = (
        ("one person", truth, PALETTE[0], {"fill": True}),
        ("two people", ~truth, PALETTE[1], {"fill": False, "hatch": "////"}),
    )
    for kind, chosen, color, style in styles:
        count = int(chosen.sum())
        if count:
            ax.hist(
                values[chosen],
                edges.tolist(),
                weights=np.full(count, 1 / count),
                histtype="stepfilled",
                facecolor=(color, 0.5),
                edgecolor=color,
                linewidth=1.2,
                label=f"{kind} ({count:,} pair{'s' * (count > 1)})",
                **style,
            )
    if threshold is not None:
        ax.axvline(
            threshold, color="black", linestyle="--", linewidth=1.2,
            label=f"threshold {threshold:.4g}",
        )  # fmt: skip
    # Room for the legend.
    ax.margins(y=0.35)
    ax.set(xlabel="Distance", ylabel="Share of the pairs of each kind")
    ax.grid(alpha=0.3)
    ax.set_axisbelow(True)
    ax.legend()
    return ax


def _edges(values: FloatArray, bins: int | Sequence[float]) -> FloatArray:
    if isinstance(bins, int | np.integer):
        count = whole(bins, "bins", least=1)
        low, high = float(values.min()), float(values.max())
        # Equal distances need bins of some width.
        if high - low <= 1e-6 * max(abs(low), abs(high)):
            low, high = low - 0.5, high + 0.5
        return np.linspace(low, high, count + 1)
    edges = reals(bins, "bins").astype(np.float64)
    rising = edges.ndim == 1 and len(edges) >= 2 and (np.diff(edges) > 0).all()
    if not (rising and np.isfinite(edges).all()):
        raise InvalidArgumentError(
            f"bins must be a number of bins, or at least two rising edges, got {bins!r}"
        )
    return edges
