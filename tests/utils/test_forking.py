"""A fork while threads compute leaves the child nothing to wait for."""

from __future__ import annotations

import cv2
import pytest
from other_processes import METHODS, in_another_process


@pytest.mark.skipif("fork" not in METHODS, reason="this system does not fork")
def test_opencv_computes_in_the_calling_thread_of_a_child() -> None:
    assert in_another_process(cv2.getNumThreads, method="fork") == 1
    assert in_another_process(cv2.getNumThreads, method="spawn") == cv2.getNumThreads()
