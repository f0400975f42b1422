"""A journal of the faces found, from which an interrupted clustering resumes."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from facekit.errors import FileFormatError
from facekit.faces import Face
from facekit.io.files import without_nul
from facekit.pipeline import EmbeddedFace, EmbeddedImage
from facekit.quality.measures import FaceQuality


class FaceJournal:
    """Stores the faces of images by the SHA-256 of their files, for one kind of settings."""

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path = path
        text = json.dumps(settings, sort_keys=True)
        try:
            without_nul(path).parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._database = sqlite3.connect(path, check_same_thread=False)
            with self._database as database:
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

    def add(self, images: Iterable[EmbeddedImage]) -> None:
        """Stores the faces of images that have a hash."""
        rows = [
            (
                image.sha256,
                json.dumps([_to_dict(face) for face in image.faces]),
                b"".join(face.unit.tobytes() for face in image.faces),
            )
            for image in images
            if image.sha256 is not None and image.error is None
        ]
        try:
            with self._database as database:
                database.executemany("INSERT OR IGNORE INTO images VALUES (?, ?, ?)", rows)
        except sqlite3.Error as error:
            raise FileFormatError(f"{self.path}: cannot be written ({error})") from error
        self.known.update(digest for digest, _, _ in rows)

    def faces(self, digest: str, source: str) -> list[EmbeddedFace]:
        """Returns the faces of a known image, under its current name."""
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

    def close(self, *, delete: bool) -> None:
        """Closes the file, and deletes it if it is no longer needed."""
        self._database.close()
        if delete:
            self.path.unlink(missing_ok=True)


def _to_dict(face: EmbeddedFace) -> dict[str, Any]:
    quality = None if face.quality is None else asdict(face.quality)
    return {"face": face.face.to_dict(rounded=False), "quality": quality}
