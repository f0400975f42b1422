"""The gallery: who is enrolled, and where each embedding came from."""

from facekit.gallery.gallery import Gallery

__all__ = ["Gallery"]
