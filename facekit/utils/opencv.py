"""OpenCV's messages on standard error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SILENT, ERRORS = 0, 2


@contextmanager
def log_level(level: int) -> Iterator[None]:
    """Limits OpenCV's messages to a level and above inside the context."""
    import cv2

    logging: Any = cv2.utils.logging if hasattr(cv2.utils, "logging") else cv2  # up to 4.10
    before = logging.setLogLevel(level)
    try:
        yield
    finally:
        logging.setLogLevel(before)
