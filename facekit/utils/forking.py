"""Support for forked children: locks that survive, and libraries without threads."""

from __future__ import annotations

import os
import sys
import threading
import weakref


class ForkLock:
    """A lock that is free in a forked child and in every copy, even if held in the parent."""

    def __init__(self) -> None:
        self._renew()
        _LOCKS.add(self)

    def _renew(self) -> None:
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[ForkLock], tuple[()]]:
        return ForkLock, ()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


_LOCKS: weakref.WeakSet[ForkLock] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for lock in _LOCKS:
        lock._renew()
    # Threads of OpenCV and FAISS do not exist in the child, which would wait for them forever.
    if opencv := sys.modules.get("cv2"):
        opencv.setNumThreads(0)
    if faiss := sys.modules.get("faiss"):
        faiss.omp_set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
