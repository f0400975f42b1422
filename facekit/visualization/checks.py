"""Checks of what is to be drawn."""

from __future__ import annotations

from collections.abc import Sequence

from facekit.errors import InvalidArgumentError
from facekit.faces import Face, RecognizedFace
from facekit.utils.validation import several


def check_results(faces: object) -> None:
    """Checks that results can be drawn."""
    if not isinstance(faces, Sequence) or not all(
        isinstance(result, Face | RecognizedFace) for result in faces
    ):
        raise InvalidArgumentError(
            f"faces must be a sequence of Face or RecognizedFace objects, got {faces!r}"
        )


def one_each(labels: Sequence[str], name: str, count: int) -> list[str]:
    """Returns strings, one for each face."""
    found = several(labels, name, str)
    if len(found) != count:
        raise InvalidArgumentError(
            f"{name} must be one for each face, got {len(found)} for {count} faces"
        )
    return found
