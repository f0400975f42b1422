"""The protocol of a detector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from facekit.faces import Face
from facekit.io.images import RGBImage


@runtime_checkable
class FaceDetector(Protocol):
    """Finds faces: :class:`facekit.Detector`, or any object with this one method.

    A detector that may be called from several threads at once states how many in an attribute
    ``concurrency``; without it, it is called from one thread at a time. One that searches small
    images faster together than one by one states how many in an attribute ``images_together``;
    without it, it gets one at a time.

    Example:
        >>> from facekit import Face, FaceDetector
        >>> from facekit.pipeline import face_in_box
        >>> class Centered:
        ...     def detect_batch(self, images):
        ...         return [[face_in_box((10, 10, 20, 20))] for image in images]
        >>> isinstance(Centered(), FaceDetector)
        True
    """

    def detect_batch(self, images: Sequence[RGBImage], /) -> list[list[Face]]:
        """Finds the faces of several images.

        Args:
            images: uint8 ``(height, width, 3)``, RGB, of any sizes.

        Returns:
            The faces of each image, in order; positions in pixels of the image.
        """
        ...
