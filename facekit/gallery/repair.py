"""Repair: what is whole in a damaged gallery goes into a new file, what is not into a list."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facekit.gallery.corrections import from_text
from facekit.gallery.database import STREAMS, Database, Stream, View
from facekit.gallery.layout import PERSON, PHOTO, Layout, checksum, decoded, photo_of
from facekit.gallery.legacy import check_path
from facekit.gallery.records import EnrolledPhoto
from facekit.gallery.store import FileStore


@dataclass(frozen=True)
class Repair:
    """What a repair saved.

    Args:
        people: The people saved, with the number of photos of each.
        lost: A sentence for each photo or person that is damaged, and not saved.

    Example:
        >>> from facekit.gallery.repair import Repair
        >>> Repair({"Ada": 2}, ("photo 3 of Ada",)).lost
        ('photo 3 of Ada',)
    """

    people: dict[str, int]
    lost: tuple[str, ...]


def repair(path: str | os.PathLike[str], new: str | os.PathLike[str]) -> Repair:
    """Saves what is whole of a damaged gallery to a new file.

    Each photo and each person has a checksum of its own, so that one damaged costs no other. The
    damaged file stays as it is.

    Args:
        path: The damaged gallery.
        new: The file to make.

    Returns:
        What was saved, and what is lost.

    Raises:
        FileFormatError: If so much is damaged that SQLite cannot open the file or the gallery's
            head cannot be read, or the new file is there already or cannot be written.

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
    check_path(Path(path))
    database = Database(Path(path))
    try:
        with database.reading() as view:
            head = view.head
            found = FileStore.in_memory(str(head["weights"]), int(head["embedding_size"]))
            lost = _save(_Remains(view), found)
    finally:
        database.close()
    try:
        FileStore.create(Path(new), found.weights, found.embedding_size, found)
        return Repair(found.people(), tuple(lost))
    finally:
        found.close()


class _Remains:
    """What can be read of the blocks, unchecked: a stream is a sparse row of bytes."""

    def __init__(self, view: View) -> None:
        self.head = view.head
        self.layout = Layout(view.head["embedding_size"], view.head["rows"])
        self.blocks: dict[Stream, dict[int, bytes]] = {
            stream: dict(view.salvage(stream)) for stream in STREAMS
        }
        self.settings = tuple(view.head["settings"])
        self.corrections = tuple(view.head["corrections"])

    def bytes_at(self, stream: Stream, start: int, length: int) -> bytes:
        size, found = self.head["bytes"], b""
        while len(found) < length:
            index, place = divmod(start + len(found), size)
            part = self.blocks[stream].get(index, b"")[place : place + length - len(found)]
            if not part:
                break
            found += part
        return found

    def record(self, stream: Stream, dtype: np.dtype[Any], number: int) -> Any:
        """Returns a record; one of zeros where there is none."""
        index, place = divmod(number, self.layout.rows)
        data = self.blocks[stream].get(index, b"")
        if len(data) != self.layout.rows * dtype.itemsize:
            return np.zeros((), dtype)
        return np.frombuffer(data, dtype)[place]


def _save(remains: _Remains, into: FileStore) -> list[str]:
    lost: list[str] = []
    people: dict[int, str] = {}
    notes: dict[str, dict[str, Any]] = {}
    for slot in range(min(int(remains.head["people"]), 1 << 32)):
        record = remains.record("people", PERSON, slot)
        if not record["length"]:
            continue
        name = remains.bytes_at("names", int(record["name"]), min(int(record["length"]), 1 << 20))
        note = remains.bytes_at(
            "texts", int(record["note"]), min(int(record["note_length"]), 1 << 28)
        )
        if checksum(slot, record, name + note) == record["checksum"]:
            people[slot] = decoded(name)
            notes[people[slot]] = json.loads(decoded(note) or "{}")
        else:
            lost.append(f"the name or the metadata of person {slot + 1}")
    for photos, vectors in _photos(remains, people, lost):
        names = [photo.person for photo in photos]
        into.add(
            names, vectors, photos, {name: notes.pop(name) for name in set(names) & set(notes)}
        )
    text = remains.bytes_at("texts", remains.settings[0], remains.settings[1])
    try:
        into.set_settings(json.loads(decoded(text) or "{}"))
    except ValueError:
        lost.append("the settings")
    place, _, length, noted, _ = remains.corrections
    data = remains.bytes_at("texts", place, length)
    if zlib.crc32(data) == noted:
        into.correct(from_text(decoded(data)))
    else:
        lost.append("the corrections")
    return lost


def _photos(
    remains: _Remains, people: dict[int, str], lost: list[str]
) -> Iterator[tuple[list[EnrolledPhoto], npt.NDArray[np.float32]]]:
    rows, count = remains.layout.rows, int(remains.head["photos"])
    for index in range(min(-(-count // rows), 1 << 24)):
        data = remains.blocks["vectors"].get(index, b"")
        if len(data) != remains.layout.vector_bytes:
            lost.append(f"photos {index * rows + 1} to {min(count, (index + 1) * rows)}")
            continue
        vectors, owners = remains.layout.vectors(data)
        whole = remains.layout.whole_rows(index, data)
        photos, kept = [], []
        for place in range(min(rows, count - index * rows)):
            row, owner = index * rows + place, int(owners["person"][place])
            if not whole[place]:
                lost.append(f"the vector of photo {row + 1}")
                continue
            if not owner:
                continue
            person = people.get(owner - 1)
            record = remains.record("photos", PHOTO, row)
            text = remains.bytes_at(
                "texts", int(record["text"]), min(int(record["length"]), 1 << 20)
            )
            if person is None:
                lost.append(f"photo {row + 1}, of person {owner}")
            elif checksum(row, record, text) != record["checksum"]:
                lost.append(f"photo {row + 1} of {person}")
            else:
                photos.append(photo_of(record, text, row, person))
                kept.append(place)
        if photos:
            yield photos, vectors[kept]
