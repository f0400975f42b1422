"""What all plots share: figures outside pyplot, colors, and names as plain text."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from facekit.errors import InvalidArgumentError
from facekit.utils.extras import import_extra

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.legend import Legend
    from matplotlib.text import Text

# For any color vision: M. Okabe and K. Ito, "Color Universal Design", 2002, without their yellow,
# which is invisible on white. Black comes last, because lines such as thresholds are black.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GRAY = "#767676"
"""The color of unnamed items."""

# Their number is coprime to that of the colors, so that combinations repeat late.
MARKERS = ("o", "s", "^", "D", "v", "P", "<", "d", ">", "p", "h")
"""Markers that go with the colors, so that nothing depends on color alone."""

_DASHES = ("-", "--", "-.", ":")


def new_figure(width: float, height: float) -> Any:
    """Returns a figure of that size in inches, not registered with pyplot."""
    figure = import_extra("matplotlib.figure").Figure
    return figure(figsize=(width, height), layout="constrained")


def axes_or_new(ax: Axes | None, width: float, height: float) -> Axes:
    """Returns the axes, or those of a new figure, not registered with pyplot."""
    if ax is None:
        return new_figure(width, height).subplots()  # type: ignore[no-any-return]
    if isinstance(ax, import_extra("matplotlib.axes").Axes):
        return ax  # type: ignore[no-any-return]
    raise InvalidArgumentError(f"ax must be matplotlib axes or None, got {ax!r}")


def line_style(index: int) -> dict[str, Any]:
    """Returns the color and the dashes of one of several lines."""
    return {
        "color": PALETTE[index % len(PALETTE)],
        "linestyle": _DASHES[index % len(_DASHES)],
    }


def one_line(text: str) -> str:
    """Returns text with line breaks and control characters replaced by spaces."""
    # Layout engines cannot measure multi-line text, and fail on control characters.
    breaks = ("Cc", "Cs", "Zl", "Zp")
    return " ".join("".join(" " if unicodedata.category(c) in breaks else c for c in text).split())


def plain(text: str) -> str:
    """Returns text for matplotlib, on one line and with formulas escaped."""
    return one_line(text).replace("$", r"\$")


def shorten(text: Text, width: float) -> None:
    """Truncates a drawn text with an ellipsis so that it fits."""
    whole = text.get_text()

    def fits(length: int) -> bool:
        text.set_text(whole if length == len(whole) else whole[:length].rstrip("\\ ") + "…")
        return text.get_window_extent().width <= width

    if not fits(len(whole)):
        # The longest prefix that fits.
        longest = bisect_left(range(1, len(whole)), True, key=lambda length: not fits(length))
        fits(longest)


def add_legend(
    ax: Axes, handles: Sequence[Artist], names: Sequence[str], **arguments: Any
) -> Legend:
    """Adds a legend that shows every name unchanged."""
    # Some versions of matplotlib leave out names that start with an underscore.
    legend = ax.legend(handles, [" "] * len(names), **arguments)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(plain(name))
    return legend
