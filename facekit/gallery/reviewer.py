"""The corrections of a gallery: made, listed and undone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

from facekit.errors import EnrollmentError, InvalidArgumentError
from facekit.gallery.corrections import Correction
from facekit.gallery.decisions import Exclusion, FaceFinder
from facekit.gallery.records import FaceSource
from facekit.gallery.store import FileStore
from facekit.utils.validation import choice, identity, several, whole


class Review:
    """A reviewer's corrections of faces; :attr:`facekit.Gallery.review`.

    Every correcting method returns the correction's number, with which it can be undone. Faces are
    :class:`facekit.gallery.records.FaceSource` with ``sha256`` and ``box``.

    Args:
        store: Stores the corrections, with the gallery.

    Example:
        >>> import numpy as np
        >>> from facekit import Gallery
        >>> from facekit.gallery.records import FaceSource
        >>> gallery = Gallery("example@1", embedding_size=2)
        >>> _ = gallery.enroll("Ada", np.array([[1.0, 0.0]]), ["ada.jpg"])
        >>> face = FaceSource("party.jpg", sha256="ab" * 32, box=(10, 12, 80, 100))
        >>> gallery.review.reject(face, "Ada")
        1
        >>> [str(correction) for correction in gallery.review.corrections]
        ['is not Ada: the face at (10, 12) in party.jpg']
        >>> gallery.review.undo().person, len(gallery.review)
        ('Ada', 0)
    """

    def __init__(self, store: FileStore) -> None:
        self._store = store

    def __len__(self) -> int:
        return len(self.corrections)

    @property
    def corrections(self) -> tuple[Correction, ...]:
        """The corrections, in the order in which they were made."""
        return self._store.corrections()

    def accept(self, face: FaceSource, person: str) -> int:
        """States that a face is an enrolled person, whatever the distance.

        Args:
            face: The face.
            person: Who it is.

        Returns:
            The number of the correction.

        Raises:
            EnrollmentError: If no such person is enrolled.
            InvalidArgumentError: If the face has no ``sha256`` or ``box``.
        """
        return self._named(Correction("is", face, person))

    def reject(self, face: FaceSource, person: str) -> int:
        """States that a face is not a person, so that it never gets that name.

        Args:
            face: As for :meth:`accept`.
            person: Who it is not.

        Returns:
            The number of the correction.

        Raises:
            EnrollmentError: As for :meth:`accept`, like ``InvalidArgumentError``.
        """
        return self._named(Correction("is_not", face, person))

    def link(self, face: FaceSource, other: FaceSource) -> int:
        """States that two faces show the same person.

        Args:
            face: One face.
            other: The other.

        Returns:
            The number of the correction.

        Raises:
            InvalidArgumentError: If a face has no ``sha256`` or ``box``.
        """
        return self.add([Correction("same", face, other=other)])[0]

    def separate(self, face: FaceSource, other: FaceSource) -> int:
        """States that two faces show different people.

        Args:
            face: As for :meth:`link`.
            other: As for :meth:`link`.

        Returns:
            The number of the correction.

        Raises:
            InvalidArgumentError: As for :meth:`link`, or if both are the same face, also in two
                copies of an image file.
        """
        return self.add([Correction("different", face, other=other)])[0]

    def exclude(self, face: FaceSource, reason: Exclusion = "not_a_face") -> int:
        """Excludes a face from results, groups and calibration.

        Args:
            face: The face.
            reason: ``"not_a_face"``, or ``"ignore"`` for one that is not of interest.

        Returns:
            The number of the correction.

        Raises:
            InvalidArgumentError: If the face has no ``sha256`` or ``box``, or the reason is
                unknown.
        """
        choice(reason, "reason", get_args(Exclusion))
        return self.add([Correction(reason, face)])[0]

    def once_per_image(self) -> int:
        """States that a name is given to at most one face of an image, the nearest.

        Returns:
            The number of the correction.
        """
        return self.add([Correction("once_per_image")])[0]

    def add(self, corrections: Iterable[Correction]) -> list[int]:
        """Makes several corrections in one step.

        Args:
            corrections: The corrections; their numbers are not used.

        Returns:
            The number of each.

        Raises:
            InvalidArgumentError: If a face is separated from itself.
        """
        made = several(corrections, "corrections", Correction)
        for one in made:
            if one.kind == "different" and len(FaceFinder(one.faces)) == 1:
                names = " and ".join(face.source for face in one.faces)
                raise InvalidArgumentError(
                    f"{names}: show the same face of the same image, which cannot be two people"
                )
        return self._store.correct(made)

    def undo(self, number: int | None = None) -> Correction:
        """Undoes a correction, as if it had never been made.

        Args:
            number: Its number; the latest by default.

        Returns:
            The correction that was undone.

        Raises:
            EnrollmentError: If no correction has that number, or there are none.
        """
        return self._store.undo(None if number is None else whole(number, "number", least=1))

    def take_back(self, numbers: Iterable[int]) -> list[Correction]:
        """Undoes several corrections in one step.

        Args:
            numbers: Their numbers; a number without a correction is ignored.

        Returns:
            The corrections that were undone.
        """
        return self._store.take_back([whole(one, "number") for one in several(numbers, "numbers")])

    def _named(self, correction: Correction) -> int:
        if not self._store.has(identity(correction.person)):
            raise EnrollmentError(
                f"no one is enrolled as {correction.person!r}; enroll that person first"
            )
        return self.add([correction])[0]
