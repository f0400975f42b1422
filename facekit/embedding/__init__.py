"""From aligned faces to embeddings: networks, weights and inference."""

from facekit.embedding.embedder import Embedder
from facekit.embedding.networks.centering import LocalCentering
from facekit.embedding.networks.imagenet import build_imagenet_network
from facekit.embedding.networks.network import Architecture, build_network
from facekit.embedding.protocol import FaceEmbedder

__all__ = [
    "Architecture",
    "Embedder",
    "FaceEmbedder",
    "LocalCentering",
    "build_imagenet_network",
    "build_network",
]
