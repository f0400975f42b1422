"""Threads are used again, and none ends."""

from __future__ import annotations

import threading

from facekit.utils.threads import run_in_thread


def test_work_runs_in_threads_that_earlier_work_has_left() -> None:
    used: set[threading.Thread] = set()
    together = threading.Barrier(3)

    def work() -> None:
        together.wait()
        used.add(threading.current_thread())

    for _ in range(4):
        for done in [run_in_thread(work) for _ in range(3)]:
            assert done.wait(60)
    assert len(used) == 3
    assert all(thread.is_alive() for thread in used)


def test_what_work_held_is_let_go_before_it_counts_as_done() -> None:
    gone = threading.Event()

    class Held:
        def __call__(self) -> None:
            assert not gone.is_set()

        def __del__(self) -> None:
            gone.set()

    assert run_in_thread(Held()).wait(60)
    assert gone.is_set()
