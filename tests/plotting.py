"""What holds for every function that draws on matplotlib axes."""

from __future__ import annotations

from collections.abc import Callable

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure


def check_that_pyplot_is_left_alone(draw: Callable[[Axes | None], Axes]) -> None:
    """Checks that axes given are drawn on, that others are new, and that pyplot knows of none."""
    open_before, settings_before = plt.get_fignums(), dict(mpl.rcParams)
    ax = Figure().add_subplot()
    assert draw(ax) is ax
    assert draw(None).figure is not ax.figure
    assert plt.get_fignums() == open_before
    assert dict(mpl.rcParams) == settings_before
