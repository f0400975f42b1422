"""Who appears when: videos, streams and cameras, with a track for each person."""

from __future__ import annotations

from facekit.utils.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
