"""Corrections: a reviewer's statements about faces, as data."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from facekit.errors import InvalidArgumentError
from facekit.gallery.records import FaceSource
from facekit.utils.validation import choice, identity, instance

CorrectionKind: TypeAlias = Literal[
    "is", "is_not", "same", "different", "not_a_face", "ignore", "once_per_image"
]
"""What a correction says: whether a face is a person, or two faces are the same person; that a
detection is not a face, or is to be ignored; or that a name is given once per image."""

_WITH_PERSON: tuple[CorrectionKind, ...] = ("is", "is_not")
_WITH_OTHER: tuple[CorrectionKind, ...] = ("same", "different")


@dataclass(frozen=True)
class Correction:
    """A statement about a face, which overrides any distance.

    A face is identified by its box and the SHA-256 of its image's file, so that a correction
    survives new clusterings and weights, and a file that is moved or renamed.

    Args:
        kind: What it says: ``"is"`` and ``"is_not"`` a person, the ``"same"`` person as another
            face or a ``"different"`` one, ``"not_a_face"``, ``"ignore"``; or, of the whole gallery,
            ``"once_per_image"``.
        face: The face, with ``sha256`` and ``box``; none for ``"once_per_image"``.
        person: Who it is or is not, for these two kinds.
        other: The other face, for ``"same"`` and ``"different"``.
        number: Its number in the gallery; 0 before it is added.

    Raises:
        InvalidArgumentError: If something is missing or superfluous.

    Example:
        >>> from facekit.gallery.corrections import Correction
        >>> from facekit.gallery.records import FaceSource
        >>> face = FaceSource("party.jpg", sha256="ab" * 32, box=(10, 12, 80, 100))
        >>> str(Correction("is_not", face, "Ada"))
        'is not Ada: the face at (10, 12) in party.jpg'
    """

    kind: CorrectionKind
    face: FaceSource | None = None
    person: str | None = None
    other: FaceSource | None = None
    number: int = 0

    def __post_init__(self) -> None:
        choice(self.kind, "kind", get_args(CorrectionKind))
        wanted = {
            "face": self.kind != "once_per_image",
            "person": self.kind in _WITH_PERSON,
            "other": self.kind in _WITH_OTHER,
        }
        for name, needed in wanted.items():
            if (getattr(self, name) is not None) != needed:
                must = "needs" if needed else "takes no"
                raise InvalidArgumentError(f"a correction of the kind {self.kind!r} {must} {name}")
        for face in self.faces:
            instance(face, "face", FaceSource)
            if face.sha256 is None or face.box is None:
                raise InvalidArgumentError(
                    f"{face.source}: a correction needs the sha256 and box of a face to identify "
                    "it; an image that is not a file has none"
                )
            if face.box[2] <= 0 or face.box[3] <= 0:
                raise InvalidArgumentError(f"box must have a positive width and height: {face.box}")
        if self.person is not None:
            object.__setattr__(self, "person", identity(self.person))
        for name in ("face", "other"):
            if (face := getattr(self, name)) is not None:  # without further data
                plain = FaceSource(face.source, face.sha256, face.box)
                object.__setattr__(self, name, plain)

    @property
    def faces(self) -> tuple[FaceSource, ...]:
        """The faces that it concerns."""
        return tuple(face for face in (self.face, self.other) if face is not None)

    def __str__(self) -> str:
        says = self.kind.replace("_", " ") + ("" if self.person is None else f" {self.person}")
        places = [
            f"the face at ({face.box[0]:.0f}, {face.box[1]:.0f}) in {face.source}"
            for face in self.faces
            if face.box is not None
        ]
        return ": ".join([says, " and ".join(places)]) if places else says

    def to_dict(self) -> dict[str, Any]:
        """Returns the correction as plain Python values, ready for ``json.dumps``."""
        found: dict[str, Any] = {"number": self.number, "kind": self.kind}
        for name, face in (("face", self.face), ("other", self.other)):
            if face is not None and face.box is not None:
                found[name] = {
                    "source": face.source,
                    "sha256": face.sha256,
                    "box": [*map(float, face.box)],
                }
        return found if self.person is None else {**found, "person": self.person}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Correction:
        """Returns the correction of :meth:`to_dict`.

        Raises:
            InvalidArgumentError: If something is missing or too much.
        """
        try:
            faces = {
                name: FaceSource(**{**values[name], "box": tuple(values[name]["box"])})
                for name in ("face", "other")
                if name in values
            }
            person, number = values.get("person"), int(values.get("number", 0))
            return cls(values["kind"], person=person, number=number, **faces)
        except (KeyError, TypeError) as error:
            raise InvalidArgumentError(f"not a correction: {values!r:.200} ({error!r})") from error


def to_text(corrections: Iterable[Correction]) -> str:
    """Returns corrections as a gallery keeps them."""
    found = [correction.to_dict() for correction in corrections]
    return json.dumps(found, ensure_ascii=False) if found else ""


def from_text(text: str) -> tuple[Correction, ...]:
    """Returns the corrections of :func:`to_text`."""
    return tuple(Correction.from_dict(values) for values in json.loads(text or "[]"))
