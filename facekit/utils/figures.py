"""What all plots share: a figure that pyplot does not hold, colors, and names as plain text."""

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

# The yellow of the palette is left out: on white paper it cannot be seen. Black comes last, because
# lines such as that of a threshold are black.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colors that people with any color vision tell apart.

References:
    M. Okabe and K. Ito, "Color Universal Design (CUD): How to make figures and presentations that
    are friendly to colorblind people", 2002, https://jfly.uni-koeln.de/color/.
"""

GREY = "#767676"
"""The color of what has no name."""

# Their number has no divisor in common with that of the colors, so that pairs repeat late.
MARKERS = ("o", "s", "^", "D", "v", "P", "<", "d", ">", "p", "h")
"""Markers that go with the colors, so that nothing hangs on the color alone."""

_DASHES = ("-", "--", "-.", ":")


def new_figure(width: float, height: float) -> Any:
    """Returns a figure of that size in inches that pyplot does not hold."""
    figure = import_extra("matplotlib.figure").Figure
    return figure(figsize=(width, height), layout="constrained")


def axes_or_new(ax: Axes | None, width: float, height: float) -> Axes:
    """Returns the axes, or those of a new figure that pyplot knows nothing of."""
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
    """Returns text without line breaks and control characters: blanks are in their places."""
    # Layout engines measure no text of several lines, and fail on control characters.
    breaks = ("Cc", "Cs", "Zl", "Zp")
    return " ".join("".join(" " if unicodedata.category(c) in breaks else c for c in text).split())


def plain(text: str) -> str:
    """Returns text as matplotlib is to be given it: on one line, and none of it as a formula."""
    return one_line(text).replace("$", r"\$")


def shorten(text: Text, width: float) -> None:
    """Takes as much from the end of a drawn text as does not fit, and puts an ellipsis there."""
    whole = text.get_text()

    def fits(length: int) -> bool:
        text.set_text(whole if length == len(whole) else whole[:length].rstrip("\\ ") + "…")
        return text.get_window_extent().width <= width

    if not fits(len(whole)):
        # The longest beginning that fits.
        longest = bisect_left(range(1, len(whole)), True, key=lambda length: not fits(length))
        fits(longest)


def add_legend(
    ax: Axes, handles: Sequence[Artist], names: Sequence[str], **arguments: Any
) -> Legend:
    """Adds a legend in which every name stands as it is."""
    # A name with an underscore at the front would be left out by some versions of matplotlib.
    legend = ax.legend(handles, [" "] * len(names), **arguments)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(plain(name))
    return legend
