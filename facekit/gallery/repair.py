"""Repair: saves the intact parts of a damaged gallery to a new file and lists the rest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from facekit.errors import FileFormatError
from facekit.gallery.database import Database, Remains, View, check_path, count_blocks, gallery_file
from facekit.gallery.layout import Layout
from facekit.gallery.protocol import Batch
from facekit.gallery.reading import corrections_of, image_at, person_at, settings_of
from facekit.gallery.records import EnrolledImage
from facekit.gallery.store import FileStore


@dataclass(frozen=True)
class Repair:
    """The result of a repair.

    Args:
        people: The people saved, with the number of images of each.
        lost: One entry for each image or person that is damaged and was not saved.

    Example:
        >>> from facekit.gallery.repair import Repair
        >>> Repair({"Ada": 2}, ("photo 3 of Ada",)).lost
        ('photo 3 of Ada',)
    """

    people: dict[str, int]
    lost: tuple[str, ...]


def repair(path: str | os.PathLike[str], new: str | os.PathLike[str]) -> Repair:
    """Saves the intact parts of a damaged gallery to a new file.

    Each image and each person has its own checksum, so that damage to one does not affect others.
    The damaged file is not changed.

    Args:
        path: The damaged gallery.
        new: The file to create.

    Returns:
        The people saved, and what is lost.

    Raises:
        FileFormatError: If the damage keeps SQLite from opening the file or the gallery's head from
            being read, or the new file already exists or cannot be written.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from facekit import Gallery
        >>> from facekit.gallery import repair
        >>> folder = tempfile.mkdtemp()
        >>> with Gallery.create(f"{folder}/people", "example@1", 2) as gallery:
        ...     _ = gallery.enroll("Ada", np.array([[1.0, 0.0]]), ["ada.jpg"])
        >>> repair(f"{folder}/people", f"{folder}/saved")
        Repair(people={'Ada': 1}, lost=())
    """
    path, new = gallery_file(path), gallery_file(new)
    check_path(path)
    with closing(Database(path)) as database, database.reading(Remains) as view:
        head = view.head
        found = FileStore.in_memory(str(head["weights"]), int(head["embedding_size"]))
        lost = _save(view, found)
    with closing(found):
        FileStore.create(new, found.weights, found.embedding_size, found)
        return Repair(found.people(), tuple(lost))


def _save(view: View, into: FileStore) -> list[str]:
    lost: list[str] = []
    people: dict[int, str] = {}
    notes: dict[str, dict[str, Any]] = {}
    for slot in range(min(int(view.head["people"]), 1 << 32)):
        with _losing(lost, f"the name or the metadata of person {slot + 1}"):
            name, note = person_at(view, slot)
            if name:
                people[slot], notes[name] = name, note
    for images, vectors in _images(view, people, lost):
        names = [image.person for image in images]
        new = {name: notes.pop(name) for name in set(names) & set(notes)}
        into.add(names, vectors, images, new)
    with _losing(lost, "the settings"):
        into.set_settings(settings_of(view))
    with _losing(lost, "the corrections"):
        into.correct(corrections_of(view))
    return lost


def _images(view: View, people: dict[int, str], lost: list[str]) -> Iterator[Batch]:
    layout, count = Layout(view.head["embedding_size"], view.head["rows"]), int(view.head["photos"])
    for index in range(min(count_blocks(count, layout.rows), 1 << 24)):
        first = index * layout.rows
        with _losing(lost, f"photos {first + 1} to {min(count, first + layout.rows)}"):
            data = view.block("vectors", index)
            if len(data) != layout.vector_bytes:
                raise view.damage(f"block {index} of vectors")
            vectors, owners = layout.vectors(data)
            whole = layout.whole_rows(index, data)
            images: list[EnrolledImage] = []
            for row in range(first, min(count, first + layout.rows)):
                owner = int(owners["person"][row - first])
                person = people.get(owner - 1)
                if not whole[row - first]:
                    lost.append(f"the vector of photo {row + 1}")
                elif owner and person is None:
                    lost.append(f"photo {row + 1}, of person {owner}")
                elif person is not None:
                    with _losing(lost, f"photo {row + 1} of {person}"):
                        images.append(image_at(view, row, person))
            if images:
                yield images, vectors[[image.id - 1 - first for image in images]]


@contextmanager
def _losing(lost: list[str], what: str) -> Iterator[None]:
    """Records a part as lost if it turns out to be damaged."""
    try:
        yield
    except FileFormatError:
        lost.append(what)
