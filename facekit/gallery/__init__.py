"""The gallery: the enrolled people, and the source of each embedding."""

from facekit.gallery.gallery import Gallery
from facekit.gallery.protocol import GalleryStore
from facekit.gallery.repair import repair
from facekit.gallery.stores.postgres import PostgresStore

__all__ = ["Gallery", "GalleryStore", "PostgresStore", "repair"]
