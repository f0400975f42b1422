"""The gallery: who is enrolled, and where each embedding came from."""

from facekit.gallery.gallery import Gallery
from facekit.gallery.protocol import GalleryStore
from facekit.gallery.repair import repair
from facekit.gallery.stores.postgres import PostgresStore

__all__ = ["Gallery", "GalleryStore", "PostgresStore", "repair"]
