"""Threads that are reused instead of ending."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

_Work = Callable[[], None]

_IDLE: list[SimpleQueue[tuple[_Work, threading.Event]]] = []


def run_in_thread(work: _Work) -> threading.Event:
    """Runs work, which must not raise, in an idle or new thread; sets the event afterwards."""
    # The threads are daemons that never end: OpenCV holds a lock while it cleans up after one that
    # does, and a child forked in that moment would wait for it forever.
    done = threading.Event()
    try:
        tasks = _IDLE.pop()
    except IndexError:
        tasks = SimpleQueue()
        threading.Thread(target=_serve, args=(tasks,), name="facekit", daemon=True).start()
    tasks.put((work, done))
    return done


def _serve(tasks: SimpleQueue[tuple[_Work, threading.Event]]) -> None:
    while True:
        work, done = tasks.get()
        try:
            work()
            del work  # frees the images that it holds
            _IDLE.append(tasks)
        finally:
            done.set()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_IDLE.clear)  # the child has none of its parent's threads
