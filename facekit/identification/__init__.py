"""Identification: the classifier, open-set and calibrated."""

from __future__ import annotations

from facekit.utils.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
