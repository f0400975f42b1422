"""Reads people, images, settings and corrections from a gallery's blocks, and checks them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from facekit.gallery.corrections import Correction, from_text
from facekit.gallery.database import Stream, View, count_blocks
from facekit.gallery.layout import IMAGE, PERSON, Layout, checksum, decoded, image_of
from facekit.gallery.protocol import Batch
from facekit.gallery.records import EnrolledImage


def person_at(view: View, slot: int) -> tuple[str, dict[str, Any]]:
    """Returns the name of a person, empty if erased, and the metadata."""
    record = _record(view, "people", PERSON, slot)
    name = view.bytes_at("names", int(record["name"]), int(record["length"]))
    note = view.bytes_at("texts", int(record["note"]), int(record["note_length"]))
    if name and checksum(slot, record, name + note) != record["checksum"]:
        raise view.damage(f"person {slot + 1}")
    return decoded(name), json.loads(decoded(note) or "{}")


def notes_of(view: View) -> dict[str, dict[str, Any]]:
    """Returns the metadata by person."""
    found = (person_at(view, slot) for slot in range(view.head["people"]))
    return {name: note for name, note in found if note}


def image_at(view: View, row: int, person: str) -> EnrolledImage:
    """Returns an image of a known person."""
    record = _record(view, "photos", IMAGE, row)
    text = view.bytes_at("texts", int(record["text"]), int(record["length"]))
    if checksum(row, record, text) != record["checksum"]:
        raise view.damage(f"photo {row + 1}")
    return image_of(record, text, row, person)


def batches_of(view: View) -> Iterator[Batch]:
    """Yields all images with their embeddings, block by block."""
    layout = Layout(view.head["embedding_size"], view.head["rows"])
    people = [person_at(view, slot)[0] for slot in range(view.head["people"])]
    for index in range(count_blocks(view.head["photos"], layout.rows)):
        vectors, owners = layout.vectors(view.block("vectors", index))
        places = np.flatnonzero(owners["person"]).tolist()
        first = index * layout.rows
        images = [
            image_at(view, first + place, people[owners["person"][place] - 1]) for place in places
        ]
        if images:
            yield images, vectors[places]


def settings_of(view: View) -> dict[str, Any]:
    """Returns the settings that a recognizer stores with the gallery."""
    place, length, noted = view.head["settings"]
    found: dict[str, Any] = json.loads(_text(view, place, length, noted, "its settings") or "{}")
    return found


def corrections_of(view: View) -> tuple[Correction, ...]:
    """Returns the corrections."""
    place, _, length, noted, _ = view.head["corrections"]
    return from_text(_text(view, place, length, noted, "its corrections"))


def _text(view: View, place: int, length: int, noted: int, what: str) -> str:
    text = view.bytes_at("texts", place, length)
    if zlib.crc32(text) != noted:
        raise view.damage(what)
    return decoded(text)


def _record(view: View, stream: Stream, dtype: np.dtype[Any], number: int) -> Any:
    index, place = divmod(number, view.head["rows"])
    data = view.block(stream, index)
    if len(data) != view.head["rows"] * dtype.itemsize:
        raise view.damage(f"block {index} of {stream}")
    return np.frombuffer(data, dtype)[place]
