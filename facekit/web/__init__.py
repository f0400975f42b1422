"""A local web page for naming and correcting people in images; needs the extra ``web``."""

from facekit.utils.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
