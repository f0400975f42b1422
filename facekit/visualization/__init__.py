"""Showing results: images as arrays, plots as matplotlib axes; nothing opens a window."""

from facekit.visualization.drawing import draw_faces
from facekit.visualization.face_plots import plot_face_grid, plot_faces
from facekit.visualization.files import save_image
from facekit.visualization.sheets import Tile, contact_sheet

__all__ = [
    "Tile",
    "contact_sheet",
    "draw_faces",
    "plot_face_grid",
    "plot_faces",
    "save_image",
]
