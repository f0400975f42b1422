"""The store of a gallery: its catalogue and its vectors, kept in step and followed."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facekit.errors import FileFormatError, GalleryBusyError, InvalidArgumentError
from facekit.gallery.catalogue import Catalogue, PhotoSource
from facekit.gallery.enrolled import Enrolled
from facekit.gallery.vectors import FileVectors, MemoryVectors, VectorStore

CHECKED_AT_OPENING = 20_000
"""Up to this many photos, :meth:`facekit.Gallery.open` checks every byte; see
:meth:`facekit.Gallery.check`."""

_CATALOGUE = "gallery.sqlite"
_VECTORS = "vectors-*.safetensors"


class Store:
    """A catalogue in SQLite and a file of vectors, or both in memory.

    It is no part of the public interface: a :class:`facekit.Gallery` guards it with its lock. The
    catalogue decides what is enrolled. Vectors are written before the transaction that enrolls them
    ends, and erased after the one that removes them: a process may die anywhere in between.

    Args:
        catalogue: The people and photos.
        vectors: The rows of the photos: row 0 is that of photo 1.
        path: The folder of both, or ``None`` in memory.
    """

    def __init__(self, catalogue: Catalogue, vectors: VectorStore, path: Path | None) -> None:
        meta = catalogue.meta()
        self.catalogue, self.path = catalogue, path
        self.weights: str = meta["weights"]
        self.embedding_size: int = meta["embedding_size"]
        self._vectors, self._vectors_name = vectors, meta["vectors"]
        self._seen = catalogue.changed_elsewhere()
        # What was enrolled when it was last looked at, as long as rows mean what they meant then.
        self._enrolled: Enrolled | None = None
        self._changed = True

    @classmethod
    def in_memory(cls, weights: str, embedding_size: int) -> Store:
        """Makes an empty one in memory."""
        catalogue = Catalogue(None)
        catalogue.create(_first_values(weights, embedding_size))
        return cls(catalogue, MemoryVectors(embedding_size), None)

    @classmethod
    def create(cls, path: Path, weights: str, embedding_size: int) -> None:
        """Makes an empty one in a folder.

        Raises:
            FileFormatError: If something is there already or cannot be written.
        """
        values = _first_values(weights, embedding_size)
        # Made beside its place and renamed, so that no half of a gallery is ever there.
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
        try:
            temporary.mkdir(mode=0o700)
            (temporary / _CATALOGUE).touch(mode=0o600)
            catalogue = Catalogue(temporary / _CATALOGUE)
            catalogue.create(values)
            catalogue.close()
            FileVectors.create(
                temporary / values["vectors"], embedding_size, values["gallery"]
            ).close()
            _sync(temporary)
            if path.exists():
                raise FileExistsError("something of that name is there already")
            temporary.rename(path)
            _sync(path.parent)
        except OSError as error:
            for leftover in temporary.glob("*"):
                leftover.unlink()
            if temporary.is_dir():
                temporary.rmdir()
            raise FileFormatError(f"{path}: no gallery can be made there ({error})") from error

    @classmethod
    def open(cls, path: Path, weights: str | None, timeout: float) -> Store:
        """Opens the one in a folder; see :meth:`facekit.Gallery.open`."""
        if not (path / _CATALOGUE).is_file():
            what = "is no gallery" if path.exists() else "no such gallery"
            raise FileFormatError(f"{path}: {what}; make one with Gallery.create or facekit enroll")
        catalogue = Catalogue(path / _CATALOGUE, timeout)
        try:
            # With the lock, so that no other process changes what is looked at.
            with catalogue.transaction():
                catalogue.check_format()
                try:
                    meta = catalogue.meta()
                    store = cls(catalogue, _vectors_of(path, meta), path)
                except (KeyError, TypeError) as error:
                    raise FileFormatError(f"{path}: the gallery is damaged ({error})") from error
                try:
                    store._look_through(weights)
                except BaseException:
                    store._vectors.close()
                    raise
        except BaseException:
            catalogue.close()
            raise
        return store

    def _look_through(self, weights: str | None) -> None:
        if weights is not None and weights != self.weights:
            raise InvalidArgumentError(
                f"{self.path}: was made with the weights {self.weights}, the embedder has "
                f"{weights}; their embeddings cannot be compared"
            )
        meta = self.catalogue.meta()
        vectors = self._vectors.view(meta["count"])
        if meta["count"] <= CHECKED_AT_OPENING:
            self.catalogue.check(vectors)
        # Only of a sound gallery: what a killed process left undone.
        pending = self.catalogue.pending_erasures()
        if len(pending):
            self._vectors.erase(pending - 1)
            self.catalogue.erased(pending)
        self._vectors.cut(meta["count"])
        for path in self.path.glob(_VECTORS) if self.path is not None else ():
            if path.name != self._vectors_name:
                self._delete(path.name)

    def close(self) -> None:
        """Closes the files; what was enrolled stays readable for those who hold it."""
        self.catalogue.close()
        self._vectors.close()

    def enrolled(self) -> Enrolled:
        """Returns what is enrolled now, also by other processes."""
        if self._changed or self.catalogue.changed_elsewhere() != self._seen:
            with self.changing():
                self._enrolled = self._read()
            self._changed = False
        assert self._enrolled is not None
        return self._enrolled

    def _read(self) -> Enrolled:
        people, owners = self.catalogue.people(), self.catalogue.owners()
        found = Enrolled.of(self.vectors(), people, owners)
        return found if self._enrolled is None else found.with_index_of(self._enrolled)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Makes all changes inside the block, or none; others wait meanwhile."""
        with self.catalogue.transaction():
            seen = self.catalogue.changed_elsewhere()
            if seen != self._seen:
                self._seen, self._changed = seen, True
            meta = self.catalogue.meta()
            if meta["vectors"] != self._vectors_name:  # another process numbered the photos anew
                assert self.path is not None
                self._exchange(_vectors_of(self.path, meta), meta["vectors"])
            yield

    def vectors(self) -> npt.NDArray[np.float32]:
        """Returns all rows, to read only, inside of :meth:`changing`."""
        return self._vectors.view(self._count())

    def check(self) -> None:
        """Checks every byte against its checksum."""
        with self.changing():
            self.catalogue.check(self.vectors())

    def add(
        self,
        names: Sequence[str],
        rows: npt.NDArray[np.float32],
        photos: Sequence[PhotoSource],
        metadata: Mapping[str, Mapping[str, Any]],
    ) -> list[int]:
        """Enrolls photos and returns their numbers."""
        with self.changing():
            count = self._count()
            self._add(self._vectors, count, names, rows, photos, metadata)
            before = None if self._changed else self._enrolled
            self._changed = True
        if before is not None:
            # The rest is known: nothing is read anew because of one person more.
            self._enrolled = before.extended(self._vectors.view(count + len(rows)), names)
            self._changed = False
        return list(range(count + 1, count + len(rows) + 1))

    def replace(
        self, names: Sequence[str], rows: npt.NDArray[np.float32], photos: Sequence[PhotoSource]
    ) -> None:
        """Erases everybody and enrolls these photos instead, in one step."""
        with self._renumbering() as fresh:
            self.catalogue.delete_everything()
            self._add(fresh, 0, names, rows, photos, {})

    def remove(self, people: Sequence[int], photos: Sequence[int]) -> None:
        """Erases photos and those of the people who have none left, inside of :meth:`changing`.

        Their vectors are to be erased by :meth:`erase` when that has ended.
        """
        self.catalogue.delete_photos(photos)
        self.catalogue.delete_people_without_photos(people)

    def erase(self, photos: Sequence[int]) -> None:
        """Overwrites the vectors of removed photos."""
        rows = np.array(photos, dtype=np.int64) - 1
        self._vectors.erase(rows)
        if not self._changed and self._enrolled is not None:
            self._enrolled = self._enrolled.without(rows)
        # If another process keeps the lock, whoever opens the gallery next erases them once more
        # and crosses them off. If one has numbered the photos anew, they are crossed off already.
        with suppress(GalleryBusyError), self.catalogue.transaction():
            if self.catalogue.meta()["vectors"] == self._vectors_name:
                self.catalogue.erased(rows + 1)

    def reassign(self, photos: Sequence[int], person: int) -> None:
        """Gives photos to another person, inside of :meth:`changing`."""
        self.catalogue.reassign(photos, person, self.vectors())

    def forget(self) -> None:
        """Lets what is enrolled be read anew when it is needed."""
        self._changed = True

    def compact(self) -> None:
        """Gives the space of removed photos back; their numbers change."""
        with self._renumbering() as fresh:
            held = self.vectors()
            kept = self.catalogue.renumber() - 1
            fresh.append(0, held[kept])
            self.catalogue.set_meta({"count": len(kept)})
        # It is compact; that the catalogue's own file is larger than it need be does no harm.
        with suppress(GalleryBusyError):
            self.catalogue.vacuum()

    @contextmanager
    def _renumbering(self) -> Iterator[VectorStore]:
        # Gives new vectors, empty ones, that take the place of the present ones if all goes well.
        # They are a file of their own: other processes may still be reading the old one.
        name = _vectors_name()
        fresh: VectorStore = MemoryVectors(self.embedding_size)
        try:
            with self.changing():
                if self.path is not None:
                    gallery = self.catalogue.meta()["gallery"]
                    fresh = FileVectors.create(self.path / name, self.embedding_size, gallery)
                    _sync(self.path)
                yield fresh
                self.catalogue.set_meta({"vectors": name})
        except BaseException:
            fresh.close()
            self._delete(name)
            raise
        before = self._vectors_name
        self._exchange(fresh, name)
        self._delete(before)

    def _delete(self, name: str) -> None:
        if self.path is not None:
            # Windows keeps a file that somebody reads; then the next opening deletes it.
            with suppress(PermissionError):
                (self.path / name).unlink(missing_ok=True)

    def _add(
        self,
        vectors: VectorStore,
        count: int,
        names: Sequence[str],
        rows: npt.NDArray[np.float32],
        photos: Sequence[PhotoSource],
        metadata: Mapping[str, Mapping[str, Any]],
    ) -> None:
        people = {}
        for name in dict.fromkeys(names):
            found, new = self.catalogue.person(name), metadata.get(name, {})
            if found is None or new:
                number, kept = found or (None, {})
                people[name] = self.catalogue.set_person(number, name, {**kept, **new})
            else:
                people[name] = found[0]
        vectors.append(count, rows)
        self.catalogue.add_photos(count + 1, [people[name] for name in names], photos, rows)
        self.catalogue.set_meta({"count": count + len(rows)})

    def _count(self) -> int:
        return int(self.catalogue.meta()["count"])

    def _exchange(self, vectors: VectorStore, name: str) -> None:
        self._vectors.close()
        self._vectors, self._vectors_name = vectors, name
        self._enrolled, self._changed = None, True


def _first_values(weights: str, embedding_size: int) -> dict[str, Any]:
    return {
        "gallery": uuid.uuid4().hex,
        "weights": weights,
        "embedding_size": embedding_size,
        "count": 0,
        "vectors": _vectors_name(),
        "settings": {},
    }


def _vectors_name() -> str:
    return _VECTORS.replace("*", uuid.uuid4().hex[:8])


def _vectors_of(path: Path, meta: Mapping[str, Any]) -> FileVectors:
    return FileVectors(path / meta["vectors"], meta["embedding_size"], meta["gallery"])


def _sync(folder: Path) -> None:
    if os.name == "posix":  # elsewhere a folder cannot be opened
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
