"""Who a face belongs to: the classifier, the gallery of enrolled embeddings, and clustering."""

from facekit.identification.classifier import IdentityClassifier
from facekit.identification.clustering import cluster
from facekit.identification.gallery import Gallery

__all__ = ["Gallery", "IdentityClassifier", "cluster"]
