"""Execution engines: this process, or actors on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from facekit.utils.progress import track
from facekit.utils.validation import choice, whole

Engine: TypeAlias = Literal["local", "ray"]
"""``"local"`` for this process, ``"ray"`` for actors on a Ray cluster."""

Work: TypeAlias = Callable[[Any], Any]
"""Maps a task, a ``pyarrow.Table``, to another table; must be picklable."""


@dataclass(frozen=True)
class Runner:
    """Runs tasks in this process, or by actors on a Ray cluster."""

    engine: Engine
    workers: int | None
    address: str | None
    progress: bool

    def __post_init__(self) -> None:
        choice(self.engine, "engine", get_args(Engine))
        if self.workers is not None:
            whole(self.workers, "workers", least=1)

    def run(self, work: Work, tasks: Sequence[Any], title: str = "Partitions") -> Iterator[Any]:
        """Yields the results: in order in this process, in any order from a cluster."""
        results: Iterator[Any] = map(work, tasks)
        if self.engine == "ray" and tasks:
            from facekit.archive.on_ray import run_on_ray

            results = run_on_ray(work, tasks, workers=self.workers, address=self.address)
        return track(results, title, total=len(tasks), shown=self.progress)
