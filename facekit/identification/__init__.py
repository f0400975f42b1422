"""Who an embedding belongs to: the classifier, open set and calibrated."""

from facekit.identification.classifier import IdentityClassifier
from facekit.identification.defaults import DEFAULT_UNKNOWN, default_classifier

__all__ = ["DEFAULT_UNKNOWN", "IdentityClassifier", "default_classifier"]
