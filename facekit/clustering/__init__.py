"""Grouping the unknown faces of an album into people."""

from facekit.clustering.albums import cluster_photos
from facekit.clustering.export import write_groups
from facekit.clustering.groups import cluster, linking_threshold

__all__ = [
    "cluster",
    "cluster_photos",
    "linking_threshold",
    "write_groups",
]
