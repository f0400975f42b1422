"""What makes facekit work in a forked child: locks that survive, and OpenCV without its threads."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from types import TracebackType


class ForkLock:
    """A lock that is free in a forked child, held in the parent or not, and in every copy."""

    def __init__(self) -> None:
        self._renew()
        _LOCKS.add(self)

    def _renew(self) -> None:
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[ForkLock], tuple[()]]:
        return ForkLock, ()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()


_LOCKS: weakref.WeakSet[ForkLock] = weakref.WeakSet()


def _renew_all() -> None:
    for lock in _LOCKS:
        lock._renew()


def _make_opencv_serial() -> None:
    """Makes OpenCV compute in the thread that calls it, as its own threads are not in the child.

    It would wait forever for a lock that one of them held, or that of a function that another
    thread of the parent was in.
    """
    if opencv := sys.modules.get("cv2"):
        opencv.setNumThreads(0)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
    os.register_at_fork(after_in_child=_make_opencv_serial)
