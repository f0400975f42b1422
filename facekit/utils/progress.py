"""Progress bars on a terminal and in a notebook; nothing in a pipe."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

Item = TypeVar("Item")

# In a notebook, work shorter than this shows no bar, and bars are updated at this interval.
_PATIENCE, _SECONDS_A_DRAWING = 0.5, 0.2


def track(items: Iterable[Item], description: str, *, total: int, shown: bool) -> Iterator[Item]:
    """Yields the items, with a progress bar while they are processed."""
    with progress_bar(description, total, shown=shown) as bar:
        for item in items:
            yield item
            if bar is not None:
                bar.update(1)


@contextmanager
def progress_bar(
    description: str, total: int | None = None, *, shown: bool = True
) -> Iterator[_TerminalBar | _NotebookBar | None]:
    """Shows a bar on a terminal or in a notebook; without a total it counts bytes."""
    if shown and _in_notebook():
        bar = _NotebookBar(description, total)
        try:
            yield bar
        finally:
            bar.clear()
    # Not rich's is_terminal, which FORCE_COLOR makes true even in a pipe.
    elif shown and sys.stderr.isatty():
        from rich import progress
        from rich.console import Console

        counted: tuple[progress.ProgressColumn, ...] = (progress.MofNCompleteColumn(),)
        if total is None:
            counted = (progress.DownloadColumn(), progress.TransferSpeedColumn())
        with progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            *counted,
            progress.TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            # Output printed meanwhile appears above the bar, but must still reach a pipe or a file.
            redirect_stdout=sys.stdout.isatty(),
        ) as shown_bar:
            yield _TerminalBar(shown_bar, description, total)
    else:
        yield None


def _in_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


class _TerminalBar:
    """A bar drawn by Rich, with the methods that pooch calls."""

    def __init__(self, progress: Progress, description: str, total: float | None) -> None:
        self._progress = progress
        self._task = progress.add_task(description, total=total)

    @property
    def total(self) -> float | None:
        return self._progress.tasks[self._task].total

    @total.setter
    def total(self, count: float | None) -> None:
        self._progress.update(self._task, total=count)

    def update(self, count: int) -> None:
        self._progress.advance(self._task, count)

    def reset(self) -> None:
        self._progress.update(self._task, completed=0)

    def close(self) -> None:
        self._progress.refresh()


class _NotebookBar:
    """The same in HTML, which needs no widgets and disappears at the end."""

    def __init__(self, description: str, total: float | None) -> None:
        self._description, self.total, self._bytes = description, total, total is None
        self._done, self._started, self._next = 0, time.monotonic(), _PATIENCE
        self._handle: Any = None

    def update(self, count: int) -> None:
        self._done += count
        passed = time.monotonic() - self._started
        if passed >= self._next:
            self._next = passed + _SECONDS_A_DRAWING
            self._draw()

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        """Does nothing: :meth:`clear` ends the bar."""

    def clear(self) -> None:
        if self._handle is not None:
            self._handle.update({"text/html": "", "text/plain": ""}, raw=True)

    def _draw(self) -> None:
        from IPython.display import display

        counted = self._counted()
        value = f' value="{self._done}" max="{self.total:.0f}"' if self.total else ""
        label = f"{html.escape(self._description)} <progress{value}></progress> {counted}"
        bundle = {
            "text/plain": f"{self._description}: {counted}",
            "text/html": f"<label>{label}</label>",
        }
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)

    def _counted(self) -> str:
        scale, unit = (1e6, " MB") if self._bytes else (1, "")
        digits = 1 if self._bytes else 0
        done = f"{self._done / scale:,.{digits}f}"
        if not self.total:
            return done + unit
        passed = time.monotonic() - self._started
        left = passed * max(0.0, self.total / max(1, self._done) - 1)
        minutes, seconds = divmod(round(left), 60)
        return f"{done} of {self.total / scale:,.{digits}f}{unit}, {minutes}:{seconds:02} left"
