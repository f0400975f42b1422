"""The cache of aligned faces: found and cut out once, then read in any order by many threads.

It is one SQLite file for each combination of detection and alignment settings. Faces are keyed by
the digest of the image's content.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facekit.errors import FileFormatError
from facekit.io.files import without_nul
from facekit.report import OutcomeStatus

_FORMAT_VERSION = 1
_APPLICATION = 0x66616365  # "face", in the place where SQLite keeps whose file it is

# A face of 160 × 160 fills five pages of this size, and little of the last is left empty.
_PAGE_SIZE = 16384

_TABLES = (
    "CREATE TABLE IF NOT EXISTS settings (json TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS faces "
    "(id INTEGER PRIMARY KEY, pixels BLOB NOT NULL, crc32 INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS photos (digest TEXT PRIMARY KEY, status TEXT NOT NULL, "
    "detail TEXT NOT NULL, face INTEGER REFERENCES faces (id)) WITHOUT ROWID",
)


@dataclass(frozen=True)
class CachedImage:
    """What the cache knows of an image."""

    status: OutcomeStatus  # what happened to it, as in :class:`facekit.report.ImageOutcome`
    detail: str  # one sentence more
    face: int | None  # the number of its face in the cache, `None` if the image shows none


class FaceCache:
    """Aligned faces on disk, in one file per settings."""

    def __init__(self, folder: Path, *, size: int, settings: Mapping[str, Any]) -> None:
        text = json.dumps({"version": _FORMAT_VERSION, **settings}, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        self.path = folder.absolute() / f"faces-{size}-{digest[:16]}.sqlite"
        self.size = size
        try:
            without_nul(self.path.parent).mkdir(parents=True, exist_ok=True)
            # Faces are personal data: the file is its owner's alone.
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise FileFormatError(f"{self.path}: cannot be written ({error})") from error
        with self._connection() as connection:
            if connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION:
                self._create(connection, text)
            self._check(connection, text)

    def find(self, digests: Iterable[str]) -> dict[str, CachedImage]:
        """Returns what is known of the images with these digests, without those not known."""
        with self._connection() as connection:
            found = {digest: self._find(connection, digest) for digest in digests}
        return {digest: image for digest, image in found.items() if image is not None}

    def add(
        self, images: Mapping[str, tuple[OutcomeStatus, str, npt.NDArray[np.uint8] | None]]
    ) -> None:
        """Stores images: all of them, or none after an error."""
        with self._connection() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            for digest, (status, detail, pixels) in images.items():
                # Another process may have stored it in the meantime.
                if self._find(connection, digest) is not None:
                    continue
                face = None
                if pixels is not None:
                    content = pixels.tobytes()
                    face = connection.execute(
                        "INSERT INTO faces (pixels, crc32) VALUES (?, ?)",
                        (content, zlib.crc32(content)),
                    ).lastrowid
                connection.execute(
                    "INSERT INTO photos VALUES (?, ?, ?, ?)", (digest, status, detail, face)
                )

    def read(self, faces: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Reads faces; any number of threads may do so at once."""
        images = np.empty((len(faces), self.size, self.size, 3), dtype=np.uint8)
        with self._connection() as connection:
            for image, face in zip(images, faces.tolist(), strict=True):
                row = connection.execute(
                    "SELECT pixels, crc32 FROM faces WHERE id = ?", (face,)
                ).fetchone()
                if row is None or zlib.crc32(row[0]) != row[1] or len(row[0]) != image.size:
                    raise self._damaged(f"face {face} is missing or altered")
                image[...] = np.frombuffer(row[0], dtype=np.uint8).reshape(image.shape)
        return images

    def _find(self, connection: sqlite3.Connection, digest: str) -> CachedImage | None:
        row = connection.execute(
            "SELECT status, detail, face FROM photos WHERE digest = ?", (digest,)
        ).fetchone()
        return None if row is None else CachedImage(*row)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Opens the file, which takes a tenth of a millisecond: no connection is kept or shared."""
        try:
            # "rw" makes no new file where the old one is gone.
            uri = f"{self.path.as_uri()}?mode=rw"
            # Transactions are begun by hand; a minute is for others that write the same file.
            with closing(
                sqlite3.connect(uri, uri=True, timeout=60, isolation_level=None)
            ) as connection:
                yield connection
        except sqlite3.OperationalError as error:
            raise FileFormatError(
                f"{self.path}: the cache of faces cannot be read or written ({error}); what was "
                "kept before stays. Make room or choose another cache folder, and run again"
            ) from error
        except sqlite3.DatabaseError as error:
            raise self._damaged(str(error)) from error

    def _create(self, connection: sqlite3.Connection, settings: str) -> None:
        connection.execute(f"PRAGMA page_size = {_PAGE_SIZE}")
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            # Checked again under the lock: another process may have created it in the meantime.
            if connection.execute("PRAGMA application_id").fetchone()[0] == _APPLICATION:
                return
            if connection.execute("SELECT 1 FROM sqlite_master").fetchone():
                raise FileFormatError(
                    f"{self.path}: is another program's file, not a cache of faces"
                )
            for table in _TABLES:
                connection.execute(table)
            connection.execute("INSERT INTO settings VALUES (?)", (settings,))
            connection.execute(f"PRAGMA user_version = {_FORMAT_VERSION}")
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")

    def _check(self, connection: sqlite3.Connection, settings: str) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version != _FORMAT_VERSION:
            raise FileFormatError(
                f"{self.path}: the cache has format version {version}, this facekit uses "
                f"{_FORMAT_VERSION}; delete it, and the faces are found and aligned again"
            )
        stored = connection.execute("SELECT json FROM settings").fetchone()
        if stored is None or stored[0] != settings:
            raise self._damaged("it was made with other settings than its name says")

    def _damaged(self, why: str) -> FileFormatError:
        return FileFormatError(
            f"{self.path}: the cache of faces is damaged ({why}); delete it, and the faces are "
            "found and aligned again"
        )
