"""The measurements of a training by epoch: as rows, as CSV, as a plot."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from facekit.errors import InvalidArgumentError
from facekit.io.files import replace_atomically
from facekit.training.engine.plots import panels_of, plot_history
from facekit.utils.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class History:
    """The measurements of each epoch of a training.

    It holds a mapping for every epoch, in order. The first is epoch 0, with the validation before
    the first step, if there is a validation set. The others hold the means over the epoch's steps,
    and the validation after it.

    Args:
        rows: The values of each epoch, by name.

    Example:
        >>> from facekit.training.engine.history import History
        >>> history = History([{"epoch": 1, "loss": 0.2}, {"epoch": 2, "loss": 0.1}])
        >>> history[-1]["loss"], history.column("loss")
        (0.1, [0.2, 0.1])
        >>> print(history.to_csv().strip())
        epoch,loss
        1,0.2
        2,0.1
    """

    def __init__(self, rows: Sequence[Mapping[str, float]] = ()) -> None:
        self._rows = [dict(row) for row in rows]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Mapping[str, float]:
        return self._rows[index]

    def __iter__(self) -> Iterator[Mapping[str, float]]:
        return iter(self._rows)

    def __repr__(self) -> str:
        return f"History({len(self)} rows: {', '.join(self.names)})"

    @property
    def names(self) -> list[str]:
        """The names of the values, first the epoch, then the others in alphabetical order."""
        names = {name for row in self._rows for name in row}
        return sorted(names, key=lambda name: (name != "epoch", name))

    def column(self, name: str) -> list[float]:
        """Returns a value of all epochs that have it.

        Args:
            name: One of :attr:`names`.

        Raises:
            InvalidArgumentError: If no epoch has it.
        """
        values = [row[name] for row in self._rows if name in row]
        if not values:
            raise InvalidArgumentError(
                f"no epoch has {name!r}; there are {', '.join(self.names) or 'no values yet'}"
            )
        return values

    def to_csv(self, path: str | os.PathLike[str] | None = None) -> str:
        """Returns the history as CSV, a line for each epoch.

        Args:
            path: A file to write it to as well, atomically.

        Raises:
            FileFormatError: If it cannot be written.
        """
        text = io.StringIO()
        writer = csv.DictWriter(text, self.names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        if path is not None:
            replace_atomically(Path(path), text.getvalue().encode())
        return text.getvalue()

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draws loss, shares of the triplets, distances and validation over the epochs.

        Args:
            path: A PNG file to write it to as well, atomically.

        Returns:
            The figure.

        Raises:
            InvalidArgumentError: If the history is empty.
            FileFormatError: If it cannot be written.
        """
        panels = panels_of(self)
        figure: Figure = new_figure(4.5 * len(panels), 3.6)
        for axes, (title, values) in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
        ):
            plot_history(self, metrics=values, ax=axes).set_title(title)
        if path is not None:
            figure_file = io.BytesIO()
            figure.savefig(figure_file, format="png", dpi=110)
            replace_atomically(Path(path), figure_file.getvalue())
        return figure
