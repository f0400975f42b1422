"""Refusing what is not a gallery, with a sentence that says what to do."""

from __future__ import annotations

from pathlib import Path

from facekit.errors import FileFormatError


def check_kind(path: Path) -> None:
    """Checks that a file may be a gallery: not missing, not a folder, not of an earlier format.

    Raises:
        FileFormatError: If it is not; the message says how to make one.
    """
    if (path / "gallery.sqlite").is_file():
        raise FileFormatError(
            f"{path}: is a gallery of facekit 0.1, a folder. Enroll its photos in a file: "
            "facekit enroll NEW --from FOLDER"
        )
    if not path.exists():
        raise FileFormatError(
            f"{path}: no such gallery; make one with Gallery.create or facekit enroll"
        )
    if not path.is_file():
        raise FileFormatError(f"{path}: is not a gallery, but a folder or a device")
    try:
        with path.open("rb") as stream:
            start = stream.read(4096)
    except OSError as error:
        raise FileFormatError(f"{path}: cannot be read ({error})") from error
    if b'"facekit.recognizer"' in start:
        raise FileFormatError(
            f"{path}: is a recognizer's file of facekit 0.1. Make it again from its photos: "
            "facekit fit FOLDER --model NEW"
        )
    if not start.startswith(b"SQLite format 3\0"):
        raise FileFormatError(f"{path}: is not a facekit gallery, or is damaged")
