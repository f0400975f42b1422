"""Showing results: images as arrays, plots as matplotlib axes; nothing opens a window."""

from facekit.visualization.colors import FACE_COLOR as FACE_COLOR
from facekit.visualization.colors import KNOWN_COLOR as KNOWN_COLOR
from facekit.visualization.colors import UNKNOWN_COLOR as UNKNOWN_COLOR
from facekit.visualization.colors import WRONG_COLOR as WRONG_COLOR
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
