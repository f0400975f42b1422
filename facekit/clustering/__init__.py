"""Grouping the unknown faces of an album into people."""

from facekit.clustering.albums import ArchiveClustering, PersonGroup, cluster_photos
from facekit.clustering.export import write_groups
from facekit.clustering.groups import Clustering, Group, cluster, linking_threshold

__all__ = [
    "ArchiveClustering",
    "Clustering",
    "Group",
    "PersonGroup",
    "cluster",
    "cluster_photos",
    "linking_threshold",
    "write_groups",
]
