"""From aligned faces to embeddings: networks, weights, and running them."""

from facekit.embedding.embedder import Embedder
from facekit.embedding.imagenet import build_imagenet_network
from facekit.embedding.network import Architecture, build_network
from facekit.embedding.weights import WeightsRecord

__all__ = ["Architecture", "Embedder", "WeightsRecord", "build_imagenet_network", "build_network"]
