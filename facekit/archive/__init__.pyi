from facekit.archive.clustering import cluster_archive as cluster_archive
from facekit.archive.identifying import identify_archive as identify_archive
from facekit.archive.indexing import index_archive as index_archive
from facekit.archive.results import write_results as write_results
