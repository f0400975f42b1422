"""A local page on which people in photos are named and corrected; needs the extra ``web``."""

from facekit.utils.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
