"""The label and color of each result in an image."""

from __future__ import annotations

from collections.abc import Sequence

from facekit.errors import InvalidArgumentError
from facekit.faces import Face, RecognizedFace
from facekit.utils.figures import one_line

KNOWN_COLOR = (0, 158, 115)
UNKNOWN_COLOR = (213, 94, 0)
FACE_COLOR = (0, 114, 178)
WRONG_COLOR = (204, 51, 51)
INK = (33, 37, 41)
PAPER = (255, 255, 255)


def check_results(faces: object) -> None:
    """Checks that results can be drawn."""
    if not isinstance(faces, Sequence) or not all(
        isinstance(result, Face | RecognizedFace) for result in faces
    ):
        raise InvalidArgumentError(
            f"faces must be a sequence of Face or RecognizedFace objects, got {faces!r}"
        )


def check_labels(labels: Sequence[str], name: str, count: int) -> None:
    """Checks that there is a string for each face."""
    strings = isinstance(labels, Sequence) and not isinstance(labels, str)
    if not strings or not all(isinstance(text, str) for text in labels):
        raise InvalidArgumentError(f"{name} must be a sequence of strings, got {labels!r}")
    if len(labels) != count:
        raise InvalidArgumentError(
            f"{name} must be one for each face, got {len(labels)} for {count} faces"
        )


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
