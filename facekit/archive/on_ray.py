"""Tasks on a Ray cluster: a pool of actors, each with its own copy of the function."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from facekit.archive.engines import Work
from facekit.errors import ArchiveError, FacekitError
from facekit.utils.extras import import_extra
from facekit.utils.openvino import available_cores

# A job that has just ended may hold its cores for a few more seconds.
_PATIENCE = 15.0


def run_on_ray(
    work: Work, tasks: Sequence[Any], *, workers: int | None, address: str | None
) -> Iterator[Any]:
    """Runs tasks on a Ray cluster, and yields their results in any order."""
    with connected(address, workers) as ray:
        actors = min(free_workers(ray, workers), len(tasks))
        # In the store of the driver's machine, where a restarted actor finds it again.
        kept = [ray.put(work)]
        rows = [{"task": written(task)} for task in tasks]
        # A small list would be one block, and so one task for one actor: each row becomes a block.
        done = (
            ray.data.from_items(rows)
            .repartition(target_num_rows_per_block=1)
            .map_batches(
                _Actor,
                fn_constructor_args=(kept,),
                batch_size=1,
                num_cpus=1,
                compute=ray.data.ActorPoolStrategy(size=actors),
            )
        )
        try:
            for row in done.iter_rows():
                yield read(row["result"])
        except ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, FacekitError):
                raise cause from error
            raise ArchiveError(f"Ray gave up: {error}") from error


@contextmanager
def connected(address: str | None, workers: int | None) -> Iterator[Any]:
    """Yields Ray, connected; a cluster that was started for it is stopped afterwards."""
    # Read when Ray is imported; nothing may be sent anywhere.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray = import_extra("ray")
    import_extra("ray.data")
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    if ray.is_initialized():
        yield ray
        return
    address = address or os.environ.get("RAY_ADDRESS")
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address is None:
        # One more than the actors: Ray splits the list of tasks in a process of its own.
        cores = workers or available_cores()
        options |= {"num_cpus": cores + 1, "include_dashboard": False}
    try:
        ray.init(address, **options)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise ArchiveError(f"Ray cannot be started or reached ({error})") from error
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        yield ray
    finally:
        ray.shutdown()


def free_workers(ray: Any, workers: int | None) -> int:
    """Returns the number of actors to start: as many as wanted, or as there are free cores."""
    least = workers or 1
    end = time.monotonic() + _PATIENCE
    while True:
        free = int(ray.available_resources().get("CPU", 0))
        if free > least or time.monotonic() > end:
            break
        time.sleep(0.2)
    if free <= least:
        raise ArchiveError(
            f"Ray has {free} cores free; {least} workers need {least + 1}, one each and one for "
            "Ray itself: ask for fewer workers, or wait for other jobs"
        )
    return workers or free - 1


def written(table: Any) -> bytes:
    """Returns a table as bytes, with the metadata of its schema, which Ray would drop."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def read(content: bytes) -> Any:
    """Returns the table of :func:`written`."""
    with pa.ipc.open_stream(content) as reader:
        return reader.read_all()


class _Actor:
    """Runs in an actor: created once, and called with each task."""

    def __init__(self, kept: list[Any]) -> None:
        self._work: Work = import_extra("ray").get(kept[0])

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"result": [written(self._work(read(task))) for task in batch["task"]]}
