"""The label and color of each result in an image."""

from __future__ import annotations

from facekit.faces import Face, RecognizedFace
from facekit.utils.figures import one_line

KNOWN_COLOR = (0, 158, 115)
UNKNOWN_COLOR = (213, 94, 0)
FACE_COLOR = (0, 114, 178)
WRONG_COLOR = (204, 51, 51)
INK = (33, 37, 41)
PAPER = (255, 255, 255)


def color_of(result: Face | RecognizedFace) -> tuple[int, int, int]:
    """Returns the color of a known person, a stranger, or a face that was not looked up."""
    if isinstance(result, Face):
        return FACE_COLOR
    return UNKNOWN_COLOR if result.name is None else KNOWN_COLOR


def text_of(result: Face | RecognizedFace) -> str:
    """Returns the name and its distance, or the detector's confidence."""
    if isinstance(result, Face):
        return f"{result.confidence:.2f}"
    return f"{one_line(result.label)} {result.distance:.2f}"
