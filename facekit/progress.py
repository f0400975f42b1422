"""Progress of long work: a bar on a terminal, nothing in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def track(items: Iterable[Item], description: str, *, total: int, shown: bool) -> Iterator[Item]:
    """Yields the items, with a progress bar on standard error while they are worked through.

    Args:
        items: What to go through.
        description: What is being done, a few words.
        total: How many items there are.
        shown: Whether to show a bar. Even then there is none when standard error is no terminal.

    Yields:
        The items, unchanged and in order.
    """
    # Not rich's is_terminal: FORCE_COLOR makes that true in a pipe, too.
    if not (shown and sys.stderr.isatty()):
        yield from items
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        # What is printed meanwhile is drawn above the bar, but must not miss a pipe or a file.
        redirect_stdout=sys.stdout.isatty(),
    ) as progress:
        yield from progress.track(items, total=total, description=description)
