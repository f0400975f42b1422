"""Where the work is done: in this process, or by actors on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, TypeAlias

Engine: TypeAlias = Literal["local", "ray"]
"""``"local"`` for this process, ``"ray"`` for actors on a Ray cluster."""

Work: TypeAlias = Callable[[Any], Any]
"""Maps a ``pyarrow.Table``, a task, to another one; it pickles."""


def run_tasks(
    work: Work,
    tasks: Sequence[Any],
    *,
    engine: Engine,
    workers: int | None = None,
    address: str | None = None,
) -> Iterator[Any]:
    """Does some tasks, and yields their results as they come.

    Args:
        work: Does one; each actor has a copy.
        tasks: The tasks, ``pyarrow.Table``s with their schemas' metadata.
        engine: Where.
        workers: With Ray: how many actors.
        address: With Ray: the cluster.

    Yields:
        The results: of ``"local"`` in the order of the tasks, of ``"ray"`` in any.
    """
    if not tasks:
        return
    if engine == "local":
        yield from map(work, tasks)
        return
    from facekit.archive.on_ray import run_on_ray

    yield from run_on_ray(work, tasks, workers=workers, address=address)
