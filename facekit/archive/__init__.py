"""Archives of millions of images: one table of faces, on one machine or on a Ray cluster."""

from __future__ import annotations

from facekit.utils.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
