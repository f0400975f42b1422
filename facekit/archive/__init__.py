"""Archives of millions of images: a table of faces, built on one machine or a Ray cluster."""

from __future__ import annotations

from facekit.utils.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
