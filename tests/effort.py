"""How much the tests try: ``make check`` tries more than ``make test``."""

from __future__ import annotations

import os

CHECK = bool(os.environ.get("FACEKIT_CHECK"))


def tries(usually: int, in_check: int) -> int:
    """Returns how often to try something."""
    return in_check if CHECK else usually
