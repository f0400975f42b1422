"""The catalogue of a gallery: people and photos in SQLite, in memory or in a file."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facekit.errors import FileFormatError, GalleryBusyError, InvalidArgumentError

_APPLICATION_ID = 0x66616365  # "face"
_VERSION = 1

_SCHEMA = """
CREATE TABLE meta (
    key TEXT PRIMARY KEY, value TEXT NOT NULL, checksum INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE people (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    metadata TEXT NOT NULL,
    checksum INTEGER NOT NULL
);
CREATE TABLE photos (
    id INTEGER PRIMARY KEY,
    person INTEGER NOT NULL REFERENCES people (id),
    source TEXT NOT NULL,
    sha256 TEXT,
    box TEXT,
    checksum INTEGER NOT NULL
);
CREATE INDEX photos_by_person ON photos (person);
CREATE TABLE erasures (id INTEGER PRIMARY KEY);
"""


@dataclass(frozen=True)
class PhotoSource:
    """Where an embedding comes from.

    Args:
        source: What the photo is called, its path if it has one.
        sha256: The SHA-256 of the photo's file, if it is known.
        box: The face in it, ``(x, y, width, height)`` in pixels, if it is known.

    Example:
        >>> import numpy as np
        >>> from facekit import Gallery
        >>> from facekit.gallery.catalogue import PhotoSource
        >>> photo = PhotoSource("ada.jpg", box=(10.0, 12.0, 80.0, 100.0))
        >>> Gallery("example@1", embedding_size=2).enroll("Ada", np.array([[1.0, 0.0]]), [photo])
        [1]
    """

    source: str
    sha256: str | None = None
    box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class EnrolledPhoto(PhotoSource):
    """An enrolled photo.

    Args:
        source: What the photo is called.
        sha256: The SHA-256 of the photo's file, if it is known.
        box: The face in it, ``(x, y, width, height)`` in pixels, if it is known.
        id: Its number in the gallery.
        person: Whose photo it is.

    Example:
        >>> import numpy as np
        >>> from facekit import Gallery
        >>> gallery = Gallery("example@1", embedding_size=2)
        >>> _ = gallery.enroll("Ada", np.array([[1.0, 0.0]]), ["ada.jpg"])
        >>> gallery.photo(1)
        EnrolledPhoto(source='ada.jpg', sha256=None, box=None, id=1, person='Ada')
    """

    id: int = 0
    person: str = ""


class Catalogue:
    """Who is enrolled with which photos; one SQLite database.

    It is no part of the public interface: a :class:`facekit.Gallery` guards it with its lock.

    Args:
        path: The database's file, or ``None`` for one in memory.
        timeout: How long to wait for another process, in seconds.
    """

    def __init__(self, path: Path | None, timeout: float = 10.0) -> None:
        self._shown = "the gallery" if path is None else str(path)
        self._path, self._timeout = path, timeout
        with self._errors_explained():
            self._database = sqlite3.connect(
                ":memory:" if path is None else f"{path.absolute().as_uri()}?mode=rw",
                uri=path is not None,
                timeout=timeout,
                isolation_level=None,
                check_same_thread=False,
            )
            # Names of folders may hold what UTF-8 does not have: see _bytes.
            self._database.text_factory = lambda data: data.decode("utf-8", "surrogatepass")
            # Overwrites what is deleted. FULL: a commit is on the disk when it returns.
            self._database.execute("PRAGMA secure_delete = ON")
            self._database.execute("PRAGMA journal_mode = TRUNCATE")
            self._database.execute("PRAGMA synchronous = FULL")
            # Nobody's name goes into a temporary file in another folder.
            self._database.execute("PRAGMA temp_store = MEMORY")
            self._database.execute("PRAGMA foreign_keys = ON")

    def create(self, values: dict[str, Any]) -> None:
        """Makes the tables and sets the first values of ``meta``."""
        with self.transaction():
            for statement in _SCHEMA.split(";\n"):
                self._database.execute(statement)
            self._database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            self._database.execute(f"PRAGMA user_version = {_VERSION}")
            self.set_meta(values)

    def check_format(self) -> None:
        """Checks that the file is a catalogue of a version that can be read, in a transaction.

        Raises:
            FileFormatError: If it is not.
        """
        (kind,) = self._query("PRAGMA application_id")[0]
        # SQLite itself notices only when it reads a page that is missing.
        pages = self._query("PRAGMA page_count")[0][0] * self._query("PRAGMA page_size")[0][0]
        if self._path is not None and self._path.stat().st_size != pages:
            raise FileFormatError(
                f"{self._shown}: is truncated or damaged, it has {self._path.stat().st_size:,} "
                f"bytes and should have {pages:,}; restore the gallery from a copy"
            )
        (version,) = self._query("PRAGMA user_version")[0]
        if kind != _APPLICATION_ID:
            raise FileFormatError(f"{self._shown}: is no facekit gallery, or is damaged")
        if version != _VERSION:
            raise FileFormatError(
                f"{self._shown}: has format version {version}, this facekit reads {_VERSION}; "
                "upgrade facekit"
            )

    def check(self, vectors: npt.NDArray[np.float32]) -> None:
        """Checks the database and the checksum of every row and its vector.

        Raises:
            FileFormatError: If something was damaged or altered.
        """
        (verdict, *_), *_ = self._query("PRAGMA integrity_check(1)")
        if verdict != "ok":
            raise self.damage(verdict)
        count = self.meta()["count"]
        for id_, name, metadata, checksum in self._query("SELECT * FROM people"):
            if _checksum(id_, name, metadata) != checksum:
                raise self.damage(f"person {id_}")
        for id_, person, source, sha256, box, checksum in self._query("SELECT * FROM photos"):
            if not 1 <= id_ <= count:
                raise self.damage(f"photo {id_} of {count}")
            if _checksum(person, source, sha256, box, vector=vectors[id_ - 1]) != checksum:
                raise self.damage(f"photo {id_}")

    def damage(self, what: str) -> FileFormatError:
        """Returns the error that says what is damaged."""
        return FileFormatError(
            f"{self._shown}: the gallery was altered or damaged ({what}: the checksum does not "
            "match). Restore it from a copy"
        )

    def changed_elsewhere(self) -> int:
        """Returns a number that differs after another process has changed the file."""
        return int(self._query("PRAGMA data_version")[0][0])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Makes all changes inside the block or none.

        Raises:
            GalleryBusyError: If another process keeps the gallery locked.
            FileFormatError: If the database is damaged or cannot be written.
        """
        with self._errors_explained():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    def meta(self) -> dict[str, Any]:
        """Returns the values that belong to the gallery as a whole.

        Raises:
            FileFormatError: If one was damaged or altered.
        """
        found = {}
        for key, value, checksum in self._query("SELECT * FROM meta"):
            if _checksum(key, value) != checksum:
                raise self.damage(f"the value {key!r:.40}")
            found[key] = json.loads(value)
        return found

    def set_meta(self, values: dict[str, Any]) -> None:
        """Sets such values."""
        texts = [(key, json.dumps(value)) for key, value in values.items()]
        self._database.executemany(
            "INSERT OR REPLACE INTO meta VALUES (?, ?, ?)",
            [(key, text, _checksum(key, text)) for key, text in texts],
        )

    def person(self, name: str) -> tuple[int, dict[str, Any]] | None:
        """Returns the number and the metadata of a person, if there is one of that name."""
        rows = self._query(
            "SELECT id, metadata FROM people WHERE name = CAST(? AS TEXT)", (_bytes(name),)
        )
        return (rows[0][0], json.loads(rows[0][1])) if rows else None

    def people(self) -> list[tuple[int, str]]:
        """Returns number and name of everybody, by name."""
        return self._query("SELECT id, name FROM people ORDER BY name")

    def counts(self) -> dict[str, int]:
        """Returns how many photos there are of each person, by name."""
        return dict(
            self._query(
                "SELECT name, COUNT(*) FROM photos JOIN people ON people.id = photos.person "
                "GROUP BY photos.person ORDER BY name"
            )
        )

    def set_person(self, id_: int | None, name: str, metadata: dict[str, Any]) -> int:
        """Adds a person, or changes one, and returns the number."""
        text = json.dumps(metadata, sort_keys=True)
        if id_ is None:
            cursor = self._database.execute(
                "INSERT INTO people (name, metadata, checksum) VALUES (CAST(? AS TEXT), ?, 0)",
                (_bytes(name), text),
            )
            id_ = int(cursor.lastrowid or 0)
        self._database.execute(
            "UPDATE people SET name = CAST(? AS TEXT), metadata = ?, checksum = ? WHERE id = ?",
            (_bytes(name), text, _checksum(id_, name, text), id_),
        )
        return id_

    def add_photos(
        self,
        first: int,
        people: Sequence[int],
        photos: Sequence[PhotoSource],
        vectors: npt.NDArray[np.float32],
    ) -> None:
        """Adds photos with consecutive numbers."""
        rows = []
        for offset, (person, photo, vector) in enumerate(zip(people, photos, vectors, strict=True)):
            box = None if photo.box is None else json.dumps([float(value) for value in photo.box])
            checksum = _checksum(person, photo.source, photo.sha256, box, vector=vector)
            rows.append((first + offset, person, _bytes(photo.source), photo.sha256, box, checksum))
        self._database.executemany(
            "INSERT INTO photos VALUES (?, ?, CAST(? AS TEXT), ?, ?, ?)", rows
        )

    def photos(
        self, ids: Sequence[int] | None = None, person: int | None = None
    ) -> list[EnrolledPhoto]:
        """Returns photos by number or by person, all of them by default, in order of enrollment."""
        query = (
            "SELECT photos.id, name, source, sha256, box FROM photos "
            "JOIN people ON people.id = photos.person"
        )
        if ids is not None:
            # One at a time: SQLite limits the length of a list.
            rows = [
                row for id_ in ids for row in self._query(f"{query} WHERE photos.id = ?", (id_,))
            ]
        elif person is not None:
            rows = self._query(f"{query} WHERE person = ? ORDER BY photos.id", (person,))
        else:
            rows = self._query(f"{query} ORDER BY photos.id")
        return [
            EnrolledPhoto(source, sha256, _box(box), id_, name)
            for id_, name, source, sha256, box in rows
        ]

    def owners(self) -> npt.NDArray[np.int64]:
        """Returns number and person of all photos, ``(n, 2)``."""
        # Both come from the index alone, a small part of the file.
        rows = self._query("SELECT id, person FROM photos INDEXED BY photos_by_person")
        return np.array(rows, dtype=np.int64).reshape(-1, 2)

    def delete_photos(self, ids: Sequence[int]) -> None:
        """Deletes photos and notes that their vectors are to be erased."""
        self._database.executemany("DELETE FROM photos WHERE id = ?", [(id_,) for id_ in ids])
        self._database.executemany("INSERT INTO erasures VALUES (?)", [(id_,) for id_ in ids])

    def delete_people_without_photos(self, people: Iterable[int]) -> None:
        """Deletes those of the people who have no photo any more."""
        self._database.executemany(
            "DELETE FROM people WHERE id = ?1 "
            "AND NOT EXISTS (SELECT * FROM photos WHERE person = ?1)",
            [(person,) for person in people],
        )

    def reassign(self, ids: Sequence[int], person: int, vectors: npt.NDArray[np.float32]) -> None:
        """Gives photos to another person."""
        for photo in self.photos(ids):
            box = None if photo.box is None else json.dumps(list(photo.box))
            checksum = _checksum(
                person, photo.source, photo.sha256, box, vector=vectors[photo.id - 1]
            )
            self._database.execute(
                "UPDATE photos SET person = ?, checksum = ? WHERE id = ?",
                (person, checksum, photo.id),
            )

    def pending_erasures(self) -> npt.NDArray[np.int64]:
        """Returns the numbers of deleted photos whose vectors may still be there.

        Raises:
            FileFormatError: If one of them is the number of a photo, whose vector is needed.
        """
        pending = self._query(
            "SELECT id, EXISTS (SELECT * FROM photos WHERE id = e.id) FROM erasures e"
        )
        for id_, enrolled in pending:
            if enrolled or not 1 <= id_ <= self.meta()["count"]:
                raise self.damage(f"erasure {id_}")
        return np.array([id_ for id_, _ in pending], dtype=np.int64)

    def erased(self, ids: npt.NDArray[np.int64]) -> None:
        """Notes that vectors are erased."""
        self._database.executemany(
            "DELETE FROM erasures WHERE id = ?", [(int(id_),) for id_ in ids]
        )

    def delete_everything(self) -> None:
        """Deletes all people and photos; their vectors are in a file that goes as a whole."""
        for table in ("photos", "people", "erasures"):
            self._database.execute(f"DELETE FROM {table}")

    def renumber(self) -> npt.NDArray[np.int64]:
        """Numbers the photos from 1 without gaps and returns their numbers before, in order."""
        before = np.array(self._query("SELECT id FROM photos ORDER BY id"), np.int64).ravel()
        # What waits for erasure has no place in the new numbering, where others have its number.
        self._database.execute("DELETE FROM erasures")
        # A new number is never larger than the old one, so none is taken twice on the way.
        self._database.executemany(
            "UPDATE photos SET id = ? WHERE id = ?",
            [(new, int(old)) for new, old in enumerate(before, start=1) if new != old],
        )
        return before

    def vacuum(self) -> None:
        """Gives the space of deleted rows back."""
        with self._errors_explained():
            self._database.execute("VACUUM")

    def close(self) -> None:
        """Closes the database."""
        self._database.close()

    def _query(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._errors_explained():
            return self._database.execute(statement, values).fetchall()

    @contextmanager
    def _errors_explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.ProgrammingError as error:
            raise InvalidArgumentError(f"{self._shown}: is closed; open it again") from error
        except sqlite3.OperationalError as error:
            if "locked" in str(error) or "busy" in str(error):
                raise GalleryBusyError(
                    f"{self._shown}: another process has been changing the gallery for "
                    f"{self._timeout:g} seconds; nothing was changed, try again"
                ) from error
            raise FileFormatError(f"{self._shown}: cannot be read or written ({error})") from error
        except (sqlite3.DatabaseError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise FileFormatError(
                f"{self._shown}: is damaged or no gallery ({error}); restore it from a copy"
            ) from error


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _box(text: str | None) -> tuple[float, float, float, float] | None:
    if text is None:
        return None
    x, y, width, height = json.loads(text)
    return (x, y, width, height)


def _checksum(*values: object, vector: npt.NDArray[np.float32] | None = None) -> int:
    checksum = zlib.crc32(repr(values).encode("utf-8", "surrogatepass"))
    if vector is not None:
        checksum = zlib.crc32(np.ascontiguousarray(vector, dtype="<f4").data, checksum)
    return checksum


def checked_sources(photos: Sequence[str | PhotoSource]) -> list[PhotoSource]:
    """Returns the sources of photos, those given as a text among them.

    Raises:
        InvalidArgumentError: If one is neither a text nor a :class:`PhotoSource`.
    """
    wrong = [photo for photo in photos if not isinstance(photo, str | PhotoSource)]
    if wrong:
        raise InvalidArgumentError(
            f"a photo's source must be a text or a PhotoSource, got {wrong[0]!r:.80}"
        )
    return [PhotoSource(photo) if isinstance(photo, str) else photo for photo in photos]
