"""Grouping the unknown faces of an album into people."""

from facekit.clustering.albums import cluster_images
from facekit.clustering.export import write_groups
from facekit.clustering.groups import cluster

__all__ = ["cluster", "cluster_images", "write_groups"]
