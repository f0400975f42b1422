"""Images of known people: a folder for each person, a dictionary, or pairs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from facekit.errors import EnrollmentError, InvalidArgumentError
from facekit.io.files import is_folder
from facekit.io.folders import list_images, why_no_folder
from facekit.io.images import ImageSource, describe_source, image_suffixes
from facekit.utils.reasons import why
from facekit.utils.terminal import printable


@dataclass(frozen=True)
class PersonImage:
    """An image of a known person, which may show others, too.

    Args:
        person: Who it shows; empty if unknown.
        name: The image's name in reports.
        source: Where to read it, or ``None`` if it is not an image and is only reported.
        problem: Why it is not an image.
        unreadable: Whether that is because it cannot be read.
        box: The person's face, ``(x, y, width, height)``, if others may be in the image.

    Example:
        >>> from facekit.io.people import PersonImage
        >>> PersonImage("Ada", "party.jpg", "album/party.jpg", box=(20, 30, 40, 60)).person
        'Ada'
    """

    person: str
    name: str
    source: ImageSource | None
    problem: str = ""
    unreadable: bool = False
    box: tuple[float, float, float, float] | None = None


EnrollmentSource: TypeAlias = (
    str
    | os.PathLike[str]
    | Mapping[str, Any]
    | Iterable[tuple[str, ImageSource]]
    | Iterable[PersonImage]
)
"""A folder with one folder per person, ``{name: images}``, pairs of name and image, or tags.

:func:`facekit.io.xmp.tagged_people` lists the faces that photo managers have tagged.
"""


def people_images(given: EnrollmentSource) -> Iterable[PersonImage]:
    """Lists the images of known people."""
    found: Iterable[PersonImage]
    if isinstance(given, str | os.PathLike):
        found = list(_in_folder(Path(given)))
    elif isinstance(given, Mapping):
        found = (one for name, images in given.items() for one in _of_person(name, images))
        if not any(isinstance(images, Iterator) for images in given.values()):
            found = list(found)
    elif isinstance(given, Iterable):
        found = (one for pair in given for one in _of_pair(pair))
        if isinstance(given, Sequence):
            found = list(found)
    else:
        raise InvalidArgumentError(
            "images must be a folder, {name: images} or pairs of (name, image), "
            f"got {type(given).__name__}"
        )
    if isinstance(found, list) and not found:
        raise EnrollmentError("no photos given to enroll")
    return found


def _in_folder(folder: Path) -> Iterator[PersonImage]:
    try:
        people = sorted(p for p in folder.iterdir() if is_folder(p) and not p.name.startswith("."))
        beside = list_images(folder).images
    except (OSError, ValueError) as error:
        raise EnrollmentError(
            f"{printable(folder, limit=200)}: {why_no_folder(error)}; give a folder with one "
            "folder of photos per person, named after the person"
        ) from error
    for person in people:
        yield from _in_person_folder(person.name, person)
    if not people:
        raise EnrollmentError(
            f"{folder}: holds no folders; put the photos of each person into a folder named after "
            "the person"
        )
    for path in beside:
        problem = "is beside the people's folders, not inside one"
        yield PersonImage("", str(path), None, problem)


def _in_person_folder(name: str, folder: Path) -> Iterator[PersonImage]:
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        problem = f"the folder cannot be read ({why(error)})"
        yield PersonImage(name, str(folder), None, problem, unreadable=True)
        return
    if not paths:
        yield PersonImage(name, str(folder), None, "the folder is empty")
    for path in paths:
        if is_folder(path):
            yield PersonImage(name, str(path), None, "is a folder; photos in it are not read")
        elif path.suffix.lower() not in image_suffixes():
            yield PersonImage(name, str(path), None, "is not an image, by its name")
        else:
            yield PersonImage(name, str(path), path)


def _of_person(name: str, images: Any) -> Iterator[PersonImage]:
    if isinstance(images, str | os.PathLike) and is_folder(images):
        yield from _in_person_folder(name, Path(images))
    elif isinstance(images, list | tuple | set | frozenset | Iterator) and not hasattr(
        images, "read"
    ):  # an open file iterates over its lines, but is one image
        number = 0
        for number, image in enumerate(images, start=1):
            yield PersonImage(name, describe_source(image, f"photo {number} of {name}"), image)
        if number == 0:
            yield PersonImage(name, f"photos of {name}", None, "the list is empty")
    else:
        yield PersonImage(name, describe_source(images, f"photo 1 of {name}"), images)


def _of_pair(pair: Any) -> Iterator[PersonImage]:
    if isinstance(pair, PersonImage):
        yield pair
        return
    if not isinstance(pair, tuple | list) or len(pair) != 2 or not isinstance(pair[0], str):
        raise InvalidArgumentError(
            f"images must be pairs of (name, image), got {type(pair).__name__} {pair!r:.80}"
        )
    yield from _of_person(pair[0], pair[1])
