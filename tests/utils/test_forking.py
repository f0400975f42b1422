"""A fork while threads compute leaves the child nothing to wait for."""

from __future__ import annotations

import io
import os
import signal
import threading
import time
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from other_processes import METHODS, in_another_process
from PIL import Image

from facekit import load_image
from facekit.gallery import index
from facekit.gallery.enrolled import Enrolled

pytestmark = pytest.mark.skipif("fork" not in METHODS, reason="this system does not fork")


def test_opencv_computes_in_the_calling_thread_of_a_child() -> None:
    assert in_another_process(cv2.getNumThreads, method="fork") == 1
    assert in_another_process(cv2.getNumThreads, method="spawn") == cv2.getNumThreads()


def children_do(work: Callable[[], object]) -> bool:
    """Returns whether six children can do what threads of their parent are doing."""
    work()
    stop = threading.Event()

    def work_until_stopped() -> None:
        while not stop.is_set():
            work()

    threads = [threading.Thread(target=work_until_stopped) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(6):
            time.sleep(0.01)
            child = os.fork()
            if not child:
                signal.alarm(30)
                work()
                os._exit(0)
            if os.waitpid(child, 0)[1]:
                return False
        return True
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def decode() -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "TIFF")
    load_image(file.getvalue())


def search_exactly() -> None:
    rows = np.eye(64, dtype=np.float32)
    shared = Enrolled(rows, np.arange(64), np.arange(64).astype(object))
    assert shared.search(rows[:1], 1).rows.tolist() == [[0]]


ROWS = np.random.default_rng(0).normal(size=(400, 64)).astype(np.float32)
ROWS /= np.linalg.norm(ROWS, axis=1, keepdims=True)
SHARED = Enrolled(ROWS, np.arange(400), np.arange(400).astype(object), least_norm=0.98)


def search_a_new_index() -> None:
    index.EXACT_LIMIT = 100
    SHARED._index = None  # as after many changes
    SHARED.search(ROWS[:1], 1)


def search_one_index() -> None:
    index.EXACT_LIMIT = 100
    SHARED.search(ROWS[:64], 1)


@pytest.mark.parametrize("work", [decode, search_a_new_index, search_one_index])
def test_a_child_waits_for_no_thread_of_its_parent(work: Callable[[], object]) -> None:
    assert in_another_process(children_do, work, method="spawn")
