"""From aligned faces to embeddings: networks, weights, and running them."""

from facekit.embedding.embedder import Embedder
from facekit.embedding.networks.imagenet import build_imagenet_network
from facekit.embedding.networks.network import Architecture, build_network
from facekit.embedding.protocol import FaceEmbedder
from facekit.embedding.weights.registry import WeightsRecord

__all__ = [
    "Architecture",
    "Embedder",
    "FaceEmbedder",
    "WeightsRecord",
    "build_imagenet_network",
    "build_network",
]
