"""Records of a gallery's images."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from facekit.errors import InvalidArgumentError
from facekit.utils.validation import number, text

_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class FaceSource:
    """The source of an embedding.

    Args:
        source: The image's name: its path if it has one. Subclasses of ``str`` are converted to
            ``str``.
        sha256: The SHA-256 of the image's file in hexadecimal, if it is known.
        box: The face in it, ``(x, y, width, height)`` in pixels, if it is known.

    Raises:
        InvalidArgumentError: If ``source`` is not a string or holds a NUL, ``sha256`` has not 64
            hexadecimal digits, or ``box`` has not four finite numbers.

    Example:
        >>> import numpy as np
        >>> from facekit import Gallery
        >>> from facekit.gallery.records import FaceSource
        >>> image = FaceSource("ada.jpg", box=(10.0, 12.0, 80.0, 100.0))
        >>> Gallery("example@1", embedding_size=2).enroll("Ada", np.array([[1.0, 0.0]]), [image])
        [1]
    """

    source: str
    sha256: str | None = None
    box: tuple[float, float, float, float] | None = None

    def __post_init__(self) -> None:
        sha256, box = self.sha256, self.box
        object.__setattr__(self, "source", text(self.source, "a photo's source"))
        if sha256 is not None:
            if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256.lower()):
                raise InvalidArgumentError(
                    f"sha256 must be 64 hexadecimal digits, got {sha256!r:.80}"
                )
            object.__setattr__(self, "sha256", str.__str__(sha256.lower()))
        if box is not None:
            values = np.ravel(np.asarray(box, dtype=object)).tolist()
            if len(values) != 4:
                raise InvalidArgumentError(
                    f"box must be (x, y, width, height) in pixels, got {box!r:.80}"
                )
            object.__setattr__(self, "box", tuple(number(value, "box") for value in values))


@dataclass(frozen=True)
class EnrolledImage(FaceSource):
    """An enrolled image.

    Args:
        source: The image's name.
        sha256: The SHA-256 of the image's file, if it is known.
        box: The face in it, ``(x, y, width, height)`` in pixels, if it is known.
        id: Its number in the gallery.
        person: Whose image it is.

    Example:
        >>> import numpy as np
        >>> from facekit import Gallery
        >>> gallery = Gallery("example@1", embedding_size=2)
        >>> _ = gallery.enroll("Ada", np.array([[1.0, 0.0]]), ["ada.jpg"])
        >>> gallery.image(1)
        EnrolledImage(source='ada.jpg', sha256=None, box=None, id=1, person='Ada')
    """

    id: int = 0
    person: str = ""


class Match(NamedTuple):
    """An enrolled image that resembles a probe.

    Attributes:
        person: Who it shows.
        distance: Euclidean distance between the unit embeddings, 0 to 2.
        image: The number of the image in the gallery.

    Example:
        >>> import numpy as np
        >>> from facekit import Gallery
        >>> gallery = Gallery("example@1", embedding_size=2)
        >>> _ = gallery.enroll("Ada", np.array([[1.0, 0.0]]), ["ada.jpg"])
        >>> match = gallery.search(np.array([[0.8, 0.6]]))[0][0]
        >>> match.person, match.image, round(match.distance, 3)
        ('Ada', 1, 0.632)
    """

    person: str
    distance: float
    image: int
