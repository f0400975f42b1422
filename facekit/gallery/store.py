"""The store of a gallery, in a file or in memory; each change is atomic."""

from __future__ import annotations

import json
import os
import threading
import weakref
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facekit.errors import EnrollmentError, FileFormatError, InvalidArgumentError
from facekit.faces import SAME_FACE, box_overlap
from facekit.gallery.corrections import Correction, to_text
from facekit.gallery.database import (
    Change,
    Database,
    Stream,
    View,
    check_path,
    count_blocks,
    private_file,
    remove_files,
)
from facekit.gallery.decisions import Decisions, FaceFinder
from facekit.gallery.enrolled import Enrolled
from facekit.gallery.layout import (
    IMAGE,
    PERSON,
    TEXT_BYTES,
    Layout,
    Records,
    Vectors,
    checksum,
    encoded,
    image_records,
    owner_checksums,
    rows_in_a_block,
)
from facekit.gallery.mirror import Mirror
from facekit.gallery.protocol import Batch, Erasure
from facekit.gallery.reading import (
    batches_of,
    corrections_of,
    image_at,
    notes_of,
    person_at,
    settings_of,
)
from facekit.gallery.records import EnrolledImage, FaceSource, Match
from facekit.io.files import without_nul
from facekit.utils.reasons import why
from facekit.utils.validation import same_weights


class FileStore:
    """Stores people and images in a file or in memory, and follows changes by other processes."""

    # Images and people are numbered in the order in which they are added. The number of a removed
    # one is not reused before the gallery is compacted.

    erasure: Erasure = "immediate"

    def __init__(self, database: Database) -> None:
        self.path = database.path
        self._database = database
        with database.reading() as view:
            self.weights = str(view.head["weights"])
            self.embedding_size = int(view.head["embedding_size"])
            rows, texts = int(view.head["rows"]), int(view.head["bytes"])
            sizes = (self.embedding_size, rows, texts)
            if not all(0 < size <= 1 << 16 for size in sizes):
                raise view.damage("its sizes")
        self._layout = Layout(self.embedding_size, rows)
        self._mirror = Mirror(self._layout)
        self._reviewed: tuple[list[Any], tuple[Correction, ...], Decisions] | None = None
        self._lock = threading.RLock()
        # A gallery that was not closed is closed when it is garbage-collected.
        self._closing = weakref.finalize(self, database.close)
        _OPEN.add(self)

    @classmethod
    def in_memory(cls, weights: str, size: int) -> FileStore:
        """Creates an empty one in memory."""
        return cls(Database.create(None, _first_head(weights, size)))

    @classmethod
    def create(
        cls,
        path: Path,
        weights: str,
        size: int,
        content: FileStore | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """Creates a file, empty or with the content of another store, atomically."""
        temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
        try:
            private_file(without_nul(temporary))
            try:
                database = Database.create(temporary, _first_head(weights, size), path)
                with closing(cls(database)) as store:
                    if content is not None:
                        store.take_over(content, settings)
                _move_new(temporary, path)
                _sync(path.parent)
            finally:
                remove_files(temporary)
        except OSError as error:
            raise FileFormatError(
                f"{path}: the gallery cannot be created ({why(error)})"
            ) from error

    @classmethod
    def open(cls, path: Path, weights: str | None, timeout: float) -> FileStore:
        """Opens a file; see :meth:`facekit.Gallery.open`."""
        check_path(path)
        database = Database(path, timeout)
        try:
            database.check_format()
            store = cls(database)
            if weights is not None:
                same_weights(store.weights, weights, f"{path}: was made")
        except BaseException:
            database.close()
            raise
        return store

    def close(self) -> None:
        """Closes the file; snapshots that were taken stay readable."""
        self._closing()

    # What is enrolled.

    def enrolled(self) -> Enrolled:
        """Returns what is enrolled now; erased rows may keep their labels."""
        with self._following():
            return self._mirror.enrolled

    def search(self, probes: npt.NDArray[Any], count: int) -> list[list[Match]]:
        """Finds the enrolled images that are nearest to each probe."""
        return self.enrolled().matches(probes, count)

    def snapshot(self) -> Iterator[Batch]:
        """Yields a consistent snapshot of all images with their embeddings."""
        with self._exclusively(), self._database.reading() as view:
            self._check_weights(view)
            yield from batches_of(view)

    def images(self, numbers: Sequence[int]) -> list[EnrolledImage]:
        """Returns images by number."""
        with self._following() as view:
            return [self._image(view, row) for row in self._rows(numbers)]

    def images_of(self, name: str) -> list[EnrolledImage]:
        """Returns the images of a person."""
        with self._following() as view:
            return [self._image(view, row) for row in self._mirror.rows_of(self._slot(name))]

    def people(self) -> dict[str, int]:
        """Returns how many images there are of each person, by name."""
        enrolled = self.enrolled().dense
        counts = np.bincount(enrolled.labels[enrolled.rows], minlength=len(enrolled.classes))
        return dict(sorted(zip(enrolled.classes.tolist(), counts.tolist(), strict=True)))

    def has(self, name: str) -> bool:
        """Returns whether a person is enrolled."""
        with self._following():
            return name in self._mirror.slots

    def metadata(self, name: str) -> dict[str, Any]:
        """Returns the metadata of a person."""
        with self._following() as view:
            return person_at(view, self._slot(name))[1]

    def settings(self) -> dict[str, Any]:
        """Returns the settings that a recognizer stores with the gallery."""
        with self._exclusively(), self._database.reading() as view:
            return settings_of(view)

    def corrections(self) -> tuple[Correction, ...]:
        """Returns the corrections."""
        return self._review()[0]

    def decisions(self) -> Decisions:
        """Returns the consequences of the corrections; the same object until they change."""
        return self._review()[1]

    def _review(self) -> tuple[tuple[Correction, ...], Decisions]:
        with self._exclusively(), self._database.reading() as view:
            noted = [view.head["gallery"], view.head["generation"], *view.head["corrections"]]
            known = self._reviewed
            if known is None or known[0] != noted:
                found = corrections_of(view)
                known = self._reviewed = (noted, found, Decisions(found))
        return known[1:]

    def images_with_digests(self, digests: Set[str]) -> list[EnrolledImage]:
        """Returns the images whose files have one of these SHA-256."""
        short = _shortened(frozenset(digests))
        with self._following() as view:
            found = np.isin(self._mirror.digests(view), short)
            rows = np.flatnonzero(found & (self._mirror.owners > 0)).tolist()
            images = [self._image(view, row) for row in rows]
        return [image for image in images if image.sha256 in digests]

    def elsewhere(self, names: Sequence[str], sources: Sequence[FaceSource]) -> list[str]:
        """Returns a sentence for each face whose file is also enrolled under another name."""
        given = [
            (name, source) for name, source in zip(names, sources, strict=True) if source.sha256
        ]
        if not given:
            return []
        people: dict[str | None, list[tuple[str, FaceSource]]] = {}
        for image in self.images_with_digests({source.sha256 or "" for _, source in given}):
            people.setdefault(image.sha256, []).append((image.person, image))
        for name, source in given:
            people.setdefault(source.sha256, []).append((name, source))
        return [
            f"{source.source} ({name}): the same file is enrolled as {' and '.join(others)}"
            for name, source in given
            if (
                others := sorted(
                    {
                        other
                        for other, image in people[source.sha256]
                        if other != name and _may_be_same(image, source)
                    }
                )
            )
        ]

    # Changes.

    def add(
        self,
        names: Sequence[str],
        embeddings: Vectors,
        sources: Sequence[FaceSource],
        metadata: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> list[int]:
        """Adds images, and returns their numbers."""
        with self._changing() as change:
            first: int = change.head["photos"]
            known = self._mirror.slots
            slots = {name: known[name] for name in names if name in known}
            self._add(change, names, embeddings, sources, metadata or {}, slots)
        return list(range(first + 1, first + len(names) + 1))

    def replace(self, batches: Iterable[Batch]) -> int:
        """Replaces everyone with these images, atomically; returns their number."""
        with self._changing(refilling=True) as change:
            settings, last = settings_of(change), change.head["corrections"][-1]
            corrections = corrections_of(change)
            known = batches_of(change) if corrections else ()
            before = [image for images, _ in known for image in images]
            slots = self._refill(change, batches, {})
            gone = [image for image in before if image.person not in slots]
            kept = _without(corrections, {image.person for image in gone}, gone) if slots else ()
            self._set_settings(change, settings)
            self._set_corrections(change, kept, last)
        self._tidy()
        return int(change.head["photos"])

    def take_over(self, other: FileStore, settings: Mapping[str, Any] | None = None) -> None:
        """Replaces the content with that of another store; by default with its settings."""
        other_content = self._changing(refilling=True, any_weights=other is not self)
        with other_content as change, ExitStack() as stack:
            view: View = change
            in_memory = other is self and self.path is None
            if not in_memory:
                stack.enter_context(other._exclusively())
                view = stack.enter_context(other._database.reading())
                other._check_weights(view)
            notes, batches = notes_of(view), batches_of(view)
            kept = settings_of(view) if settings is None else settings
            corrections, last = corrections_of(view), view.head["corrections"][-1]
            if in_memory:
                batches = iter(list(batches))  # read completely before the store is cleared
            self._refill(change, batches, notes)
            change.head["weights"] = other.weights
            self._set_settings(change, kept)
            self._set_corrections(change, corrections, last)
        self._tidy()

    def compact(self) -> None:
        """Renumbers people and images without gaps, and frees the space of removed ones."""
        self.take_over(self)

    def remove(self, numbers: Sequence[int]) -> None:
        """Erases images, and people left without any."""
        with self._changing(erasing=True) as change:
            self._erase(change, self._rows(numbers))

    def remove_person(self, name: str) -> int:
        """Erases a person, and returns the number of images."""
        with self._changing(erasing=True) as change:
            rows = self._mirror.rows_of(self._slot(name))
            self._erase(change, rows)
        return len(rows)

    def rename(self, name: str, new: str) -> None:
        """Renames a person; the new name must not be in use."""
        with self._changing(erasing=True) as change:
            slot = self._slot(name)
            if new != name and new in self._mirror.slots:
                raise EnrollmentError(
                    f"{new!r} is already enrolled; if both are the same person, use merge"
                )
            self._write_person(change, slot, new, person_at(change, slot)[1])
            self._rename_in_corrections(change, name, new)

    def merge(self, name: str, into: str) -> int:
        """Moves the images of one person to another, and returns their number."""
        with self._changing(erasing=True) as change:
            slot, other = self._slot(name), self._slot(into)
            note = {**person_at(change, slot)[1], **person_at(change, other)[1]}
            rows = self._mirror.rows_of(slot)
            for row in rows:
                index, place = divmod(row, self._layout.rows)
                vectors, owners = self._edit_vectors(change, index)
                owners["person"][place] = other + 1
                here = slice(place, place + 1)
                owners["checksum"][here] = owner_checksums(
                    row, owners["person"][here], vectors[here]
                )
            self._write_person(change, slot, None, {})
            self._write_person(change, other, into, note)
            self._rename_in_corrections(change, name, into)
        return len(rows)

    def set_metadata(self, name: str, metadata: Mapping[str, Any]) -> None:
        """Replaces the metadata of a person."""
        with self._changing(erasing=True) as change:
            self._write_person(change, self._slot(name), name, metadata)

    def set_settings(self, settings: Mapping[str, Any]) -> None:
        """Replaces the settings."""
        with self._changing(erasing=True) as change:
            self._set_settings(change, settings)

    def correct(self, corrections: Sequence[Correction]) -> list[int]:
        """Adds corrections, and returns their numbers."""
        with self._changing() as change:
            first: int = change.head["corrections"][-1] + 1
            numbered = [
                replace(correction, number=first + place)
                for place, correction in enumerate(corrections)
            ]
            kept = [*corrections_of(change), *numbered]
            self._set_corrections(change, kept, first + len(numbered) - 1)
        return [correction.number for correction in numbered]

    def undo(self, number: int | None) -> Correction:
        """Removes a correction, the last by default, and returns it."""
        with self._changing(erasing=True) as change:
            there = corrections_of(change)
            wanted = there[-1].number if number is None and there else number
            found = [correction for correction in there if correction.number == wanted]
            if not found:
                raise EnrollmentError(
                    "no correction is left to undo"
                    if number is None
                    else f"no correction has the number {number}"
                )
            self._set_corrections(change, [one for one in there if one.number != wanted])
        return found[0]

    def take_back(self, numbers: Iterable[int]) -> list[Correction]:
        """Removes the corrections that exist, and returns them."""
        wanted = set(numbers)
        with self._changing(erasing=True) as change:
            there = corrections_of(change)
            found = [one for one in there if one.number in wanted]
            if found:
                self._set_corrections(change, [one for one in there if one.number not in wanted])
        return found

    def check(self) -> None:
        """Checks SQLite's structure, every block and every record."""
        with self._exclusively(), self._database.reading() as view:
            view.check()
            notes_of(view)
            settings_of(view)
            corrections_of(view)
            for images, vectors in batches_of(view):
                norms = np.linalg.norm(vectors, axis=1)
                if not (np.abs(norms - 1.0) < 0.1).all():
                    raise view.damage(
                        f"the vector of photo {images[int(np.argmax(np.abs(norms - 1)))].id}"
                    )
            for index in range(count_blocks(view.head["photos"], self._layout.rows)):
                whole = self._layout.whole_rows(index, view.block("vectors", index))
                if not whole.all():
                    raise view.damage(
                        f"photo {index * self._layout.rows + int(np.argmin(whole)) + 1}"
                    )

    def pause(self, timeout: float) -> bool:
        """Waits until no other thread uses the gallery, before the process forks."""
        return self._database.pause(timeout)

    def resume(self, *, child: bool, at_rest: bool) -> None:
        """Resumes after :meth:`pause`."""
        if child and not at_rest:
            self._lock = threading.RLock()
            self._mirror.forget()
        self._database.resume(child=child)

    # Internal: the lock, and the copy in memory.

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        # In memory there is one connection.
        with self._database.entered(), self._lock if self.path is None else nullcontext():
            yield

    @contextmanager
    def _following(self) -> Iterator[View]:
        # The lock comes first: the copy in memory is never newer than the snapshot.
        with self._database.entered(), self._lock, self._database.reading() as view:
            self._check_weights(view)
            self._mirror.follow(view)
            yield view

    @contextmanager
    def _changing(
        self, *, erasing: bool = False, refilling: bool = False, any_weights: bool = False
    ) -> Iterator[Change]:
        # Readers in this process do not wait until it is on disk. A refilled store need not be
        # cached.
        with self._exclusively():
            with self._database.changing() as change:
                if not any_weights:
                    self._check_weights(change)
                if not refilling:
                    with self._lock:
                        self._mirror.follow(change)
                yield change
            with self._lock:
                if change.cleared:
                    self._mirror.forget()  # most of it has been written, and is not in memory
                elif self._mirror.version < change.head["version"]:
                    self._mirror.apply(change, change.blocks_changed, change.block)
        if erasing:
            self._database.erase_log()

    def _check_weights(self, view: View) -> None:
        # A copy of another gallery may have taken the place of what was there at the opening.
        found = view.head["weights"]
        if found != self.weights:
            raise InvalidArgumentError(
                f"{view.shown}: now holds embeddings of the weights {found}, and was opened with "
                f"those of {self.weights}; open it again"
            )

    def _tidy(self) -> None:
        if self.path is not None:
            self._database.vacuum()
            self._database.erase_log()

    def _slot(self, name: str) -> int:
        try:
            return self._mirror.slots[name]
        except KeyError:
            people = sorted(self._mirror.slots)
            shown = ", ".join(people[:20]) + (f" and {len(people) - 20} more" * (len(people) > 20))
            raise EnrollmentError(
                f"no one is enrolled as {name!r}; enrolled are {shown or 'no people at all'}"
            ) from None

    def _rows(self, numbers: Sequence[int]) -> list[int]:
        owners = self._mirror.owners
        for number in numbers:
            if not (0 < number <= len(owners) and owners[number - 1]):
                raise EnrollmentError(f"no photo number {number} is enrolled")
        return [number - 1 for number in dict.fromkeys(numbers)]

    def _image(self, view: View, row: int) -> EnrolledImage:
        return image_at(view, row, str(self._mirror.names[self._mirror.owners[row] - 1]))

    # Internal: writing.

    def _refill(
        self, change: Change, batches: Iterable[Batch], notes: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, int]:
        # Replaces everyone; only one batch and a few blocks are in memory at a time.
        change.clear()
        slots: dict[str, int] = {}
        for images, vectors in batches:
            names = [image.person for image in images]
            new = {name: notes[name] for name in names if name in notes and name not in slots}
            self._add(change, names, vectors, images, new, slots)
            change.spill()
        return slots

    def _add(
        self,
        change: Change,
        names: Sequence[str],
        embeddings: Vectors,
        sources: Sequence[FaceSource],
        metadata: Mapping[str, Mapping[str, Any]],
        slots: dict[str, int],
    ) -> None:
        for name in dict.fromkeys(names):
            note = metadata.get(name, {})
            if name not in slots:
                slots[name] = change.head["people"]
                change.head["people"] += 1
                self._write_person(change, slots[name], name, note)
            elif note:
                before = person_at(change, slots[name])[1]
                self._write_person(change, slots[name], name, {**before, **note})
        first: int = change.head["photos"]
        owners = np.array([slots[name] + 1 for name in names], dtype=np.uint32)
        texts = [encoded(source.source) for source in sources]
        start = change.append("texts", b"".join(texts))
        records = image_records(first, list(sources), texts, start)
        checksums = owner_checksums(first, owners, embeddings)
        done = 0
        while done < len(sources):
            index, place = divmod(first + done, self._layout.rows)
            part = slice(done, min(len(sources), done + self._layout.rows - place))
            here = slice(place, place + part.stop - part.start)
            self._edit_records(change, "photos", index, IMAGE)[here] = records[part]
            vectors, held = self._edit_vectors(change, index)
            vectors[here] = embeddings[part]
            held["person"][here] = owners[part]
            held["checksum"][here] = checksums[part]
            done = part.stop
        change.head["photos"] = first + len(sources)

    def _erase(self, change: Change, rows: Sequence[int]) -> None:
        gone = set(rows)
        people = {int(self._mirror.owners[row]) - 1 for row in rows}
        erased = [slot for slot in people if gone.issuperset(self._mirror.rows_of(slot))]
        if erased and change.head["corrections"][2]:
            names = {str(self._mirror.names[slot]) for slot in erased}
            own = [row for slot in erased for row in self._mirror.rows_of(slot)]
            images = [self._image(change, row) for row in own]
            self._set_corrections(change, _without(corrections_of(change), names, images))
        for row in rows:
            index, place = divmod(row, self._layout.rows)
            records = self._edit_records(change, "photos", index, IMAGE)
            start, length = int(records["text"][place]), int(records["length"][place])
            change.write_at("texts", start, bytes(length))
            records[place] = np.zeros((), IMAGE)
            vectors, owners = self._edit_vectors(change, index)
            vectors[place], owners[place] = 0.0, (0, 0)
        for slot in erased:
            self._write_person(change, slot, None, {})

    def _rename_in_corrections(self, change: Change, name: str, new: str) -> None:
        there = corrections_of(change)
        if any(correction.person == name for correction in there):
            kept = [replace(one, person=new) if one.person == name else one for one in there]
            self._set_corrections(change, kept)

    def _write_person(
        self, change: Change, slot: int, name: str | None, note: Mapping[str, Any]
    ) -> None:
        # Overwrites the earlier record; an empty name erases the person.
        index, place = divmod(slot, self._layout.rows)
        records = self._edit_records(change, "people", index, PERSON)
        before = records[place].copy()
        new_name = encoded(name or "")
        new_note = encoded(json.dumps(note, ensure_ascii=False)) if note else b""
        records[place] = (
            _put(change, "names", int(before["name"]), int(before["length"]), new_name),
            len(new_name),
            len(new_note),
            _put(change, "texts", int(before["note"]), int(before["note_length"]), new_note),
            0,
        )
        if name is None:
            records[place] = np.zeros((), PERSON)
        else:
            records["checksum"][place] = checksum(slot, records[place], new_name + new_note)

    def _set_settings(self, change: Change, settings: Mapping[str, Any]) -> None:
        text = encoded(json.dumps(settings, ensure_ascii=False))
        place, length, _ = change.head["settings"]
        place = _put(change, "texts", place, length, text)
        change.head["settings"] = [place, len(text), zlib.crc32(text)]

    def _set_corrections(
        self, change: Change, corrections: Sequence[Correction], last: int | None = None
    ) -> None:
        text = encoded(to_text(corrections))
        place, room, _, _, before = change.head["corrections"]
        # Twice the size, so that few corrections have to move all earlier ones.
        wanted = room if len(text) <= room else 2 * len(text)
        place = _put(change, "texts", place, room, text.ljust(wanted, b"\0"))
        last = before if last is None else last
        change.head["corrections"] = [place, wanted, len(text), zlib.crc32(text), last]

    def _edit_records(
        self, change: Change, stream: Stream, index: int, dtype: np.dtype[Any]
    ) -> Records:
        return np.frombuffer(change.edit(stream, index, self._layout.rows * dtype.itemsize), dtype)

    def _edit_vectors(self, change: Change, index: int) -> tuple[Vectors, Records]:
        return self._layout.vectors(change.edit("vectors", index, self._layout.vector_bytes))


@lru_cache(maxsize=8)  # an album needs them again after each change
def _shortened(digests: frozenset[str]) -> npt.NDArray[np.uint64]:
    """Returns the first eight bytes of each SHA-256, sorted."""
    heads = b"".join(bytes.fromhex(digest[:16]) for digest in digests)
    return np.sort(np.frombuffer(heads, "<u8").astype(np.uint64))


def _may_be_same(first: FaceSource, second: FaceSource) -> bool:
    """Returns whether two entries from one file may be the same face."""
    if first.box is None or second.box is None:
        return True
    return box_overlap(first.box, second.box) >= SAME_FACE


def _without(
    corrections: Sequence[Correction], names: set[str], sources: Sequence[FaceSource]
) -> list[Correction]:
    """Returns the corrections that do not concern these people and faces."""
    finder, decisions = FaceFinder(sources), Decisions(corrections)

    def about(face: FaceSource) -> bool:
        return decisions.of(face).person in names or finder.find(face) is not None

    return [c for c in corrections if c.person not in names and not any(map(about, c.faces))]


def _first_head(weights: str, size: int) -> dict[str, Any]:
    rows = rows_in_a_block(size)
    return {"weights": weights, "embedding_size": size, "rows": rows, "bytes": TEXT_BYTES}


def _put(change: Change, stream: Stream, start: int, length: int, data: bytes) -> int:
    # Reuses the place of the earlier bytes if it is large enough; the rest becomes zeros.
    if len(data) <= length:
        change.write_at(stream, start, data.ljust(length, b"\0"))
        return start
    change.write_at(stream, start, bytes(length))
    return change.append(stream, data)


def _move_new(file: Path, path: Path) -> None:
    """Renames a file, but never over one that another process has just created."""
    try:
        os.link(file, path)
    except FileExistsError:
        raise FileExistsError("already exists") from None
    except OSError as error:  # a file system without hard links
        if path.exists():
            raise FileExistsError("already exists") from error
        file.rename(path)
    else:
        file.unlink()


def _sync(folder: Path) -> None:
    if os.name == "posix":  # elsewhere a folder cannot be opened
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# A fork may happen while other threads use a gallery: it waits until all are idle.
_OPEN: weakref.WeakSet[FileStore] = weakref.WeakSet()
_PAUSED: list[tuple[FileStore, bool]] = []
_LONGEST_PAUSE = 10.0


def _before_fork() -> None:
    _PAUSED.extend((store, store.pause(_LONGEST_PAUSE)) for store in list(_OPEN))


def _after_fork(*, child: bool) -> None:
    while _PAUSED:
        store, at_rest = _PAUSED.pop()
        store.resume(child=child, at_rest=at_rest)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=lambda: _after_fork(child=False),
        after_in_child=lambda: _after_fork(child=True),
    )
