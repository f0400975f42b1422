"""Who an embedding belongs to: the classifier, open set and calibrated."""

from facekit.identification.classifier import IdentityClassifier
from facekit.identification.defaults import DEFAULT_FPIR, default_classifier

__all__ = ["DEFAULT_FPIR", "IdentityClassifier", "default_classifier"]
