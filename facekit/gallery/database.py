"""A SQLite file of checksummed blocks, which are overwritten in place and never moved.

When rows grow, shrink or are deleted, SQLite moves cells between pages and leaves copies in the
free space of pages, whatever ``secure_delete`` says. So all personal data is in blobs of one fixed
size: they are appended in the order of their numbers, which splits no page, and overwritten by
blobs of the same size, which SQLite does in place. Data overwritten with zeros is gone.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import threading
import time
import uuid
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from facekit.errors import FacekitError, FileFormatError, GalleryBusyError, InvalidArgumentError
from facekit.utils.reasons import why

Stream: TypeAlias = Literal["vectors", "photos", "people", "names", "texts"]
"""What a block holds: records of images or of people, or the bytes that these point to."""

STREAMS: tuple[Stream, ...] = get_args(Stream)

Head: TypeAlias = dict[str, Any]

_APPLICATION_ID = 0x66616365  # "face"
_VERSION = 3

_SCHEMA = (
    *(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, data BLOB NOT NULL)" for name in STREAMS),
    "CREATE TABLE blocks (stream TEXT NOT NULL, block INTEGER NOT NULL, version INTEGER NOT NULL, "
    "checksum INTEGER NOT NULL, PRIMARY KEY (stream, block)) WITHOUT ROWID",
    "CREATE INDEX blocks_by_version ON blocks (version)",
    "CREATE TABLE head (id INTEGER PRIMARY KEY, value TEXT NOT NULL, checksum INTEGER NOT NULL)",
)

_READ_ONLY = "cannot be changed: the file, its folder or its disk is read-only"

_NO_ROOM = re.compile("disk I/O error|is full|unable to open")

# How many blocks a view caches, and how many a change holds before it writes them.
_RECENT = 32
_UNWRITTEN = 64

# Connections of threads that do not exist in a forked child.
_INHERITED: list[sqlite3.Connection] = []


class View:
    """A snapshot of the content, which stays the same while others write."""

    def __init__(self, connection: sqlite3.Connection, shown: str) -> None:
        self._connection, self.shown = connection, shown
        self._recent: dict[tuple[Stream, int], bytes] = {}
        rows = connection.execute("SELECT value, checksum FROM head").fetchall()
        if len(rows) != 1 or zlib.crc32(str(rows[0][0]).encode()) != rows[0][1]:
            raise self.damage("its head")
        self.head: Head = json.loads(rows[0][0])

    def damage(self, what: str) -> FileFormatError:
        """Returns the error that says what is damaged."""
        return FileFormatError(
            f"{self.shown}: the gallery was altered or damaged ({what}: the checksum does not "
            "match). Restore it from a copy, or save the intact parts with: facekit gallery repair"
        )

    def block(self, stream: Stream, index: int) -> bytes | bytearray:
        """Returns one block, checked; recent ones are cached."""
        if (stream, index) not in self._recent:
            found = next(self._select(stream, "id = ?", (index,)), None)
            if found is None:
                raise self.damage(f"block {index} of {stream} is missing")
            if len(self._recent) >= _RECENT:
                self._recent.clear()
            self._recent[stream, index] = found[1]
        return self._recent[stream, index]

    def blocks(self, stream: Stream, count: int) -> Iterator[bytes]:
        """Yields the first ``count`` blocks in order, checked."""
        expected = 0
        for index, data in self._select(stream, "id < ? ORDER BY id", (count,)):
            if index != expected:
                break
            expected += 1
            yield data
        if expected != count:
            raise self.damage(f"block {expected} of {stream} is missing")

    def _select(
        self, stream: Stream, where: str, values: tuple[int, ...]
    ) -> Iterator[tuple[int, bytes]]:
        found = self._connection.execute(
            f"SELECT id, data, version, checksum FROM {stream} "
            f"LEFT JOIN blocks ON stream = '{stream}' AND block = id WHERE {where}",
            values,
        )
        for index, data, version, checksum in found:
            if self.checksum(stream, index, version, data) != checksum:
                raise self.damage(f"block {index} of {stream}")
            yield index, data

    def checksum(self, stream: Stream, index: int, version: int, data: bytes | bytearray) -> int:
        """Returns a block's checksum, which depends on its position."""
        return zlib.crc32(
            data, zlib.crc32(f"{self.head['gallery']}{stream}{index},{version}".encode())
        )

    def bytes_at(self, stream: Stream, start: int, length: int) -> bytes:
        """Returns bytes of a stream, which may span several blocks."""
        size, found = self.head["bytes"], bytearray()
        while len(found) < length:
            index, place = divmod(start + len(found), size)
            part = self.block(stream, index)[place : place + length - len(found)]
            if not part:
                raise self.damage(f"block {index} of {stream}")
            found += part
        return bytes(found)

    def count(self, stream: Stream) -> int:
        """Returns the number of blocks."""
        (found,) = self._connection.execute(f"SELECT COUNT(*) FROM {stream}").fetchone()
        return int(found)

    def changed_since(self, version: int) -> list[tuple[Stream, int]]:
        """Returns the blocks that were written after that version."""
        return self._connection.execute(
            "SELECT stream, block FROM blocks WHERE version > ?", (version,)
        ).fetchall()

    def check(self) -> None:
        """Checks SQLite's own structure and every block."""
        (verdict, *_), *_ = self._connection.execute("PRAGMA integrity_check(1)").fetchall()
        if verdict != "ok":
            raise self.damage(verdict)
        for stream in STREAMS:
            for _ in self.blocks(stream, self.count(stream)):
                pass


class Remains(View):
    """The content of a damaged gallery, as far as it can be read, unchecked."""

    def _select(
        self, stream: Stream, where: str, values: tuple[int, ...]
    ) -> Iterator[tuple[int, bytes]]:
        with suppress(sqlite3.DatabaseError):
            found = self._connection.execute(f"SELECT id, data FROM {stream} WHERE {where}", values)
            for index, data in found:
                if isinstance(data, bytes):
                    yield index, data


class Change(View):
    """A view that changes blocks; all changes are written at the end, or none."""

    def __init__(self, connection: sqlite3.Connection, shown: str) -> None:
        super().__init__(connection, shown)
        self.blocks_changed: dict[tuple[Stream, int], bytearray] = {}
        self.cleared = False  # whether all earlier blocks are deleted

    def edit(self, stream: Stream, index: int, size: int) -> bytearray:
        """Returns a block to be changed in place; a new one has that size and holds zeros."""
        key = stream, index
        if key not in self.blocks_changed:
            there = next(self._select(stream, "id = ?", (index,)), None)
            self.blocks_changed[key] = bytearray(there[1] if there else size)
        return self.blocks_changed[key]

    def block(self, stream: Stream, index: int) -> bytes | bytearray:
        """Returns one block as it is after the changes so far."""
        changed = self.blocks_changed.get((stream, index))
        return super().block(stream, index) if changed is None else changed

    def write_at(self, stream: Stream, start: int, data: bytes) -> None:
        """Overwrites bytes of a stream, which may span several blocks."""
        size, done = self.head["bytes"], 0
        while done < len(data):
            index, place = divmod(start + done, size)
            part = data[done : done + size - place]
            self.edit(stream, index, size)[place : place + len(part)] = part
            done += len(part)

    def append(self, stream: Stream, data: bytes) -> int:
        """Writes bytes at the end of a stream and returns where they begin."""
        start: int = self.head[stream]
        self.write_at(stream, start, data)
        self.head[stream] = start + len(data)
        return start

    def clear(self) -> None:
        """Deletes all blocks; images and people are numbered from the start again."""
        self.blocks_changed.clear()
        self._recent.clear()
        for table in (*STREAMS, "blocks"):
            self._connection.execute(f"DELETE FROM {table}")
        self.head.update(empty_head())
        self.cleared = True

    def spill(self) -> None:
        """Writes the changed blocks early if there are many, to bound the memory."""
        if len(self.blocks_changed) >= _UNWRITTEN:
            self._write_blocks(self.head["version"] + 1)
            self.blocks_changed.clear()
            self._recent.clear()

    def write(self) -> None:
        """Writes the changed blocks and the head."""
        self.head["version"] += 1
        self._write_blocks(self.head["version"])
        _write_head(self._connection, self.head)

    def _write_blocks(self, version: int) -> None:
        execute = self._connection.execute
        for (stream, index), data in sorted(self.blocks_changed.items()):
            if not execute(f"UPDATE {stream} SET data = ? WHERE id = ?", (data, index)).rowcount:
                execute(f"INSERT INTO {stream} VALUES (?, ?)", (index, data))
            checksum = self.checksum(stream, index, version, data)
            execute(
                "INSERT INTO blocks VALUES (?, ?, ?, ?) ON CONFLICT (stream, block) "
                "DO UPDATE SET version = excluded.version, checksum = excluded.checksum",
                (stream, index, version, checksum),
            )


class Database:
    """The blocks of a gallery in a file, or in memory."""

    def __init__(self, path: Path | None, timeout: float = 10.0, shown: Path | None = None) -> None:
        # Absolute, because the process may change its working directory.
        self.path, self._timeout = None if path is None else path.absolute(), timeout
        self._shown = "the gallery" if path is None else str(shown or path)
        self._gate, self._active, self._paused = threading.Condition(), 0, False
        self._own = threading.local()
        self._free: deque[sqlite3.Connection] = deque()
        self._all: list[sqlite3.Connection] = []
        self._closed = False
        self._stamp: tuple[int, ...] | None = None
        self._file: tuple[int, int] | None = None  # which file the path was, when it was opened
        if path is None:
            self._free.append(self._connect())

    @classmethod
    def create(cls, path: Path | None, head: Head, shown: Path | None = None) -> Database:
        """Creates an empty one; errors name the path that is shown."""
        database = cls(path, shown=shown)
        with database._explained(), database._connection() as connection:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            with connection:
                connection.execute("BEGIN")
                for statement in _SCHEMA:
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {_VERSION}")
                _write_head(
                    connection, {"gallery": uuid.uuid4().hex, "version": 0, **empty_head(), **head}
                )
            connection.execute("PRAGMA journal_mode = WAL")
        return database

    def check_format(self) -> None:
        """Checks that the file is a gallery of a supported version."""
        with self._begun("DEFERRED") as connection:

            def value(name: str) -> int:
                return int(connection.execute(f"PRAGMA {name}").fetchone()[0])

            if value("application_id") != _APPLICATION_ID:
                raise FileFormatError(f"{self._shown}: is not a facekit gallery, or is damaged")
            version = value("user_version")
            if version != _VERSION:
                cure = "upgrade facekit" if version > _VERSION else "enroll the photos again"
                raise FileFormatError(
                    f"{self._shown}: has format version {version}, this facekit reads {_VERSION}; "
                    f"{cure}"
                )
            # A view or trigger in a forged file could replace a table.
            schema = connection.execute(
                "SELECT sql FROM sqlite_master WHERE sql NOT NULL"
            ).fetchall()
            if {sql for (sql,) in schema} != set(_SCHEMA):
                raise FileFormatError(f"{self._shown}: has other tables than a facekit gallery")

    @contextmanager
    def reading(self, kind: type[View] = View) -> Iterator[View]:
        """Yields a snapshot of the content; never waits for writers."""
        with self._begun("DEFERRED") as connection:
            yield kind(connection, self._shown)

    @contextmanager
    def changing(self) -> Iterator[Change]:
        """Writes all changes made inside the block, or none of them."""
        if self._stamp is not None:
            self._close_free()  # there may be room to write by now
        with self._begun("IMMEDIATE") as connection:
            self._check_place()  # it may have been deleted while this waited
            change = Change(connection, self._shown)
            yield change
            if change.blocks_changed or change.cleared:
                change.write()

    def erase_log(self) -> None:
        """Empties the write-ahead log, which still holds overwritten data."""
        if self.path is None:
            return
        left = "so that the log still holds erased data; compact the gallery later"
        latest = time.monotonic() + self._timeout
        with self._explained(), self._connection() as connection:
            while True:
                try:
                    (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                except sqlite3.OperationalError as error:
                    full = "is full" in str(error)
                    reason = "the disk is full" if full else f"its log cannot be emptied ({error})"
                    raise FileFormatError(
                        f"{self._shown}: the change is made, but {reason}, {left}"
                    ) from error
                # SQLite waits for readers itself, but not for another process that empties the log.
                if not busy or time.monotonic() >= latest:
                    break
                time.sleep(0.01)
        if busy:
            raise GalleryBusyError(
                f"{self._shown}: the change is made, but another process has been reading for "
                f"{self._timeout:g} seconds, {left}"
            )

    def vacuum(self) -> None:
        """Frees the space of deleted blocks, page by page."""
        with self._explained(), self._connection() as connection:
            connection.executescript("PRAGMA incremental_vacuum")  # execute frees one page

    @contextmanager
    def alone(self) -> Iterator[View | None]:
        """Yields the content if nothing else has the file open, and keeps all others out."""
        with self._explained(), self._connection() as connection:
            try:
                connection.execute("PRAGMA journal_mode = DELETE")  # fails if others have it open
            except sqlite3.OperationalError:
                yield None
                return
            with connection:
                connection.execute("BEGIN EXCLUSIVE")
                yield View(connection, self._shown)
            if self.path is not None and self.path.exists():
                connection.execute("PRAGMA journal_mode = WAL")

    def close(self) -> None:
        """Closes the connections."""
        self._closed = True
        self._close_free()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Makes a fork wait for the block, which may lock, read and change the database."""
        outermost = not self._entered()
        if outermost:
            with self._gate:
                self._gate.wait_for(lambda: not self._paused)
                self._active += 1
            self._own.entered = True
        try:
            yield
        finally:
            if outermost:
                self._own.entered = False
                with self._gate:
                    self._active -= 1
                    self._gate.notify_all()

    def _entered(self) -> bool:
        return bool(getattr(self._own, "entered", False))

    def pause(self, timeout: float) -> bool:
        """Waits until no other thread uses the database, and closes it before the process forks."""
        # SQLite tracks its locks in memory, so that a child would wait for its parent's locks.
        with self._gate:
            self._paused = True
            at_rest = self._gate.wait_for(lambda: self._active == self._entered(), timeout)
        if self.path is not None:
            self._close_free()
        return at_rest

    def resume(self, *, child: bool) -> None:
        """Resumes after :meth:`pause`, in the process that forked or in its child."""
        if child:
            self._gate, self._active = threading.Condition(), int(self._entered())
            if self.path is not None:
                # A connection of one of the parent's threads: closing it here would damage the
                # parent's.
                _INHERITED.extend(self._all)
                self._all = []
        with self._gate:
            self._paused = False
            self._gate.notify_all()

    @contextmanager
    def _begun(self, kind: str) -> Iterator[sqlite3.Connection]:
        # The connection commits, or rolls back, also when a consumer closes a generator early.
        with self._explained(), self._connection() as connection, connection:
            connection.execute(f"BEGIN {kind}")
            yield connection

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with self.entered():
            if self._closed:
                raise InvalidArgumentError(f"{self._shown}: is closed; open it again")
            self._check_place()
            if self.path and self._stamp is not None and self._stamp != _stamp(self.path):
                self._close_free()  # opened as never changing, and changed after all
            try:
                connection = self._free.pop()
            except IndexError:
                connection = self._connect()
            try:
                yield connection
            finally:
                self._give_back(connection)

    def _check_place(self) -> None:
        """Raises an error if the file that was opened is no longer at its path."""
        # SQLite would go on with it, and lose all changes when the process ends.
        if self.path is None:
            return
        try:
            found = self.path.stat()
        except FileNotFoundError:
            if self._file is None:
                return  # opening it says so
            raise FileFormatError(
                f"{self._shown}: was deleted or moved while it was open; nothing was changed"
            ) from None
        place = found.st_dev, found.st_ino
        self._file = self._file or place
        if place != self._file:
            raise FileFormatError(
                f"{self._shown}: was replaced by another file while it was open; nothing was "
                "changed, open it again"
            )

    def _give_back(self, connection: sqlite3.Connection) -> None:
        if self._closed:
            connection.close()
        else:
            self._free.append(connection)

    def _close_free(self) -> None:
        with suppress(IndexError):  # other threads take connections, too
            while True:
                connection = self._free.pop()
                if connection in self._all:  # not one that a child took over from its parent
                    self._all.remove(connection)
                connection.close()

    def _connect(self) -> sqlite3.Connection:
        self._stamp = None
        if self.path is None:
            return self._opened(":memory:")
        place = self.path.as_uri()
        if _writable(self.path):
            try:
                return self._opened(f"{place}?mode=rw")
            except sqlite3.OperationalError as error:
                # SQLite creates a log even for reading, which fails on a full disk.
                if not _NO_ROOM.search(str(error)) or _log_size(self.path):
                    raise
        elif _log_size(self.path):
            return self._opened(f"{place}?mode=ro")
        self._stamp = _stamp(self.path)
        return self._opened(f"{place}?mode=ro&immutable=1")

    def _opened(self, address: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            address,
            uri=self.path is not None,
            timeout=self._timeout,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            # The first one reads the file.
            for setting in (
                "schema_version",
                "secure_delete = ON",
                "trusted_schema = OFF",
                "synchronous = FULL",  # a commit is on the disk when it returns
                "temp_store = MEMORY",  # no name is written to a file in another folder
            ):
                connection.execute(f"PRAGMA {setting}").fetchall()
        except BaseException:
            connection.close()
            raise
        self._all.append(connection)
        return connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error) or "busy" in str(error):
                raise GalleryBusyError(
                    f"{self._shown}: another process has been changing the gallery for "
                    f"{self._timeout:g} seconds; nothing was changed, try again"
                ) from error
            if "readonly" in str(error):
                raise FileFormatError(
                    f"{self._shown}: {_READ_ONLY}, or the disk is full"
                ) from error
            if "is full" in str(error):
                raise FileFormatError(
                    f"{self._shown}: the disk is full; make room and try again"
                ) from error
            raise FileFormatError(f"{self._shown}: cannot be read or written ({error})") from error
        except (
            sqlite3.Error,
            OSError,
            LookupError,
            TypeError,
            ValueError,
            RecursionError,
        ) as error:
            if isinstance(error, FacekitError):
                raise
            if self.path is not None and "not a database" in str(error):
                raise _foreign(self.path, error) from error
            raise FileFormatError(
                f"{self._shown}: is damaged or not a gallery ({error}); restore it from a copy"
            ) from error


def empty_head() -> Head:
    """Returns the head of an empty gallery."""
    return {
        "generation": uuid.uuid4().hex,
        "photos": 0,
        "people": 0,
        "names": 0,
        "texts": 0,
        "settings": [0, 0, 0],
        # Where their text begins, its room, its length and checksum, and the last number given.
        "corrections": [0, 0, 0, 0, 0],
    }


def gallery_file(path: str | os.PathLike[str]) -> Path:
    """Returns a path that can be that of a file."""
    if "\0" in os.fspath(path):
        raise InvalidArgumentError(f"path must not hold a NUL, got {os.fspath(path)!r:.80}")
    if not Path(path).name:
        raise InvalidArgumentError(f"path must be that of a file, got {os.fspath(path)!r}")
    return Path(path)


def check_path(path: Path) -> None:
    """Checks that a path can be that of a gallery, without opening the file."""
    # Closing a file would release the locks that SQLite holds on it elsewhere in this process.
    try:
        earlier, there, file = (path / "gallery.sqlite").is_file(), path.exists(), path.is_file()
    except OSError as error:
        raise FileFormatError(f"{path}: cannot be read ({why(error)})") from error
    if earlier:
        raise FileFormatError(
            f"{path}: is a gallery of facekit 0.1, a folder. Enroll its photos in a file: "
            "facekit enroll NEW --from FOLDER"
        )
    if not there:
        raise FileFormatError(
            f"{path}: no such gallery; make one with Gallery.create or facekit enroll"
        )
    if not file:
        raise FileFormatError(f"{path}: is not a gallery, but a folder or a device")
    if not os.access(path, os.R_OK):
        raise FileFormatError(f"{path}: cannot be read (permission denied)")


def check_writable(path: Path) -> None:
    """Checks that a gallery can be changed, before the work whose results it is to hold."""
    if not _writable(path):
        raise FileFormatError(f"{path}: {_READ_ONLY}")


def _writable(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def private_file(path: Path) -> None:
    """Creates an empty file that only its owner can read."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def remove_files(path: Path) -> None:
    """Removes a database with its log."""
    for ending in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def delete_if_unused(path: Path) -> None:
    """Deletes a database if it holds nothing and nothing else has it open."""
    with closing(Database(path, timeout=0.0)) as database, database.alone() as view:
        if view is not None and not view.head["photos"]:
            remove_files(path)


def partial_path(path: Path) -> Path:
    """Returns the file that gathers the people of a fit until it is done."""
    return path.with_name(f"{path.name}.partial")


def count_blocks(items: int, size: int) -> int:
    """Returns the number of blocks for that many items."""
    return -(-items // size)


def _write_head(connection: sqlite3.Connection, head: Head) -> None:
    text = json.dumps(head)
    connection.execute(
        "INSERT OR REPLACE INTO head VALUES (1, ?, ?)", (text, zlib.crc32(text.encode()))
    )


def _stamp(path: Path) -> tuple[int, ...]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns, _log_size(path)


def _log_size(path: Path) -> int:
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size
    except FileNotFoundError:
        return 0


def _foreign(path: Path, reason: object) -> FileFormatError:
    """Returns the error for a file that is not a database."""
    try:
        with path.open("rb") as stream:
            earlier = b'"facekit.recognizer"' in stream.read(4096)
    except OSError as error:
        return FileFormatError(f"{path}: cannot be read ({error})")
    if earlier:
        return FileFormatError(
            f"{path}: is a recognizer's file of facekit 0.1. Enroll its photos in a "
            "gallery: facekit enroll NEW --from FOLDER"
        )
    return FileFormatError(f"{path}: is damaged or not a gallery ({reason})")
