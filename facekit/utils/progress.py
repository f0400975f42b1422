"""Progress of long work: a bar on a terminal, nothing in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, TaskID

Item = TypeVar("Item")


def track(items: Iterable[Item], description: str, *, total: int, shown: bool) -> Iterator[Item]:
    """Yields the items, with a progress bar on standard error while they are worked through."""
    # Not rich's is_terminal: FORCE_COLOR makes that true in a pipe, too.
    if not (shown and sys.stderr.isatty()):
        yield from items
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    name = TextColumn("{task.description}")
    with _display(name, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()) as progress:
        yield from progress.track(items, total=total, description=description)


def _display(*columns: ProgressColumn) -> Progress:
    from rich.console import Console
    from rich.progress import Progress

    return Progress(
        *columns,
        console=Console(stderr=True),
        transient=True,
        # What is printed meanwhile is drawn above the bar, but must not miss a pipe or a file.
        redirect_stdout=sys.stdout.isatty(),
    )


class ByteBar:
    """A bar that counts bytes, with the methods that pooch calls."""

    def __init__(self, progress: Progress, description: str) -> None:
        self._progress = progress
        self._task: TaskID = progress.add_task(description, total=None)

    @property
    def total(self) -> float | None:
        """How many bytes there are."""
        return self._progress.tasks[self._task].total

    @total.setter
    def total(self, count: float) -> None:
        self._progress.update(self._task, total=count)

    def update(self, count: int) -> None:
        """Counts bytes on."""
        self._progress.advance(self._task, count)

    def reset(self) -> None:
        """Counts from the start again."""
        self._progress.update(self._task, completed=0)

    def close(self) -> None:
        """Shows what was counted last."""
        self._progress.refresh()


@contextmanager
def byte_bar(description: str) -> Iterator[ByteBar | None]:
    """Shows a bar that counts bytes on standard error, if that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    name, size = TextColumn("{task.description}"), DownloadColumn()
    bar = (BarColumn(), size, TransferSpeedColumn(), TimeRemainingColumn())
    with _display(name, *bar) as progress:
        yield ByteBar(progress, description)
