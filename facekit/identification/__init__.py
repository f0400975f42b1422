"""Who a face belongs to: the classifier, and the gallery of enrolled embeddings."""

from facekit.identification.classifier import IdentityClassifier
from facekit.identification.gallery import Gallery

__all__ = ["Gallery", "IdentityClassifier"]
