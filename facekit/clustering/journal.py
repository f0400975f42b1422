"""A journal of the faces found, from which an interrupted clustering resumes."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from facekit.errors import FileFormatError
from facekit.faces import Face
from facekit.io.files import without_nul
from facekit.pipeline import EmbeddedFace, EmbeddedImage
from facekit.quality.measures import FaceQuality

# Images are written together, this many at a time.
_IMAGES_AT_A_TIME = 64


class FaceJournal:
    """Stores the faces of images by the SHA-256 of their files, until the work is done."""

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path = path
        self._new: list[EmbeddedImage] = []
        text = json.dumps(settings, sort_keys=True)
        try:
            without_nul(path).parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._database = sqlite3.connect(path, check_same_thread=False)
            with self._database as database:
                tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
                if {name for (name,) in tables} not in (set(), {"settings", "images"}):
                    raise FileFormatError(f"{path}: is another program's file, not a journal")
                database.execute("CREATE TABLE IF NOT EXISTS settings (json TEXT NOT NULL)")
                database.execute(
                    "CREATE TABLE IF NOT EXISTS images "
                    "(sha256 TEXT PRIMARY KEY, faces TEXT NOT NULL, embeddings BLOB NOT NULL)"
                )
                if database.execute("SELECT json FROM settings").fetchall() != [(text,)]:
                    database.execute("DELETE FROM images")
                    database.execute("DELETE FROM settings")
                    database.execute("INSERT INTO settings VALUES (?)", (text,))
            rows = self._database.execute("SELECT sha256 FROM images")
            self.known = {digest for (digest,) in rows}
        except (OSError, sqlite3.Error) as error:
            raise FileFormatError(f"{path}: cannot be used ({error})") from error

    def __enter__(self) -> FaceJournal:
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        """Closes the file, and deletes it if the work is done."""
        try:
            if failure is not None:
                self._write()
        finally:
            self._database.close()
        if failure is None:
            self.path.unlink(missing_ok=True)

    def keep(self, image: EmbeddedImage) -> Sequence[EmbeddedFace]:
        """Returns the faces of an image: those stored if it was skipped, else its own."""
        if image.sha256 is None:
            return image.faces
        if image.skipped:
            return self._stored(image.sha256, image.source)
        self._new.append(image)
        if len(self._new) == _IMAGES_AT_A_TIME:
            self._write()
        return image.faces

    def _write(self) -> None:
        rows = [
            (
                image.sha256,
                json.dumps([_to_dict(face) for face in image.faces]),
                b"".join(face.unit.tobytes() for face in image.faces),
            )
            for image in self._new
        ]
        try:
            with self._database as database:
                database.executemany("INSERT OR IGNORE INTO images VALUES (?, ?, ?)", rows)
        except sqlite3.Error as error:
            raise FileFormatError(f"{self.path}: cannot be written ({error})") from error
        self.known.update(digest for digest, _, _ in rows if digest is not None)
        self._new = []

    def _stored(self, digest: str, source: str) -> list[EmbeddedFace]:
        try:
            kept, embeddings = self._database.execute(
                "SELECT faces, embeddings FROM images WHERE sha256 = ?", (digest,)
            ).fetchone()
            faces = json.loads(kept)
            rows = np.frombuffer(embeddings, np.float32).reshape(max(len(faces), 1), -1)
            return [
                EmbeddedFace(
                    source,
                    Face.from_dict(face["face"]),
                    None
                    if face["quality"] is None
                    else FaceQuality(
                        **{**face["quality"], "problems": tuple(face["quality"]["problems"])}
                    ),
                    row,
                )
                # An image without faces has an empty row.
                for face, row in zip(faces, rows, strict=False)
            ]
        except (sqlite3.Error, KeyError, TypeError, ValueError) as error:
            raise FileFormatError(f"{self.path}: is damaged ({error}); delete it") from error


def _to_dict(face: EmbeddedFace) -> dict[str, Any]:
    quality = None if face.quality is None else asdict(face.quality)
    return {"face": face.face.to_dict(rounded=False), "quality": quality}
