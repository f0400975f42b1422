"""Who an embedding belongs to: the classifier, open set and calibrated."""

from facekit.identification.classifier import IdentityClassifier

__all__ = ["IdentityClassifier"]
