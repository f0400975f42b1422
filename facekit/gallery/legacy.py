"""Saying what a path holds that is not a gallery, and what to do."""

from __future__ import annotations

from pathlib import Path

from facekit.errors import FileFormatError


def check_path(path: Path) -> None:
    """Checks that a path may be a gallery's, without opening the file.

    Closing a file gives up the locks that SQLite holds on it elsewhere in this process.
    """
    try:
        earlier, there, file = (path / "gallery.sqlite").is_file(), path.exists(), path.is_file()
    except OSError as error:
        raise FileFormatError(f"{path}: cannot be read ({error})") from error
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


def foreign(path: Path, reason: object) -> FileFormatError:
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
