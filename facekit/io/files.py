"""Writing files as a whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from facekit.errors import FileFormatError
from facekit.utils.terminal import printable


@contextmanager
def replacing(path: Path, *, private: bool = False, suffix: str = "") -> Iterator[IO[bytes]]:
    """Opens a file that is seen, in place of the old one, when all of it is written."""
    try:
        path = without_nul(path)
        handle, temporary = tempfile.mkstemp(suffix, f".{path.name}.", path.parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            new_mode = 0o600 if private else public_mode()
            mode = path.stat().st_mode if path.exists() else new_mode
            Path(temporary).chmod(mode & 0o777)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise FileFormatError(f"{printable(path)}: cannot be written ({error})") from error


def replace_atomically(path: Path, content: bytes, *, private: bool = False) -> None:
    """Writes a file so that at any moment it holds the old content or the new, and all of it."""
    with replacing(path, private=private) as stream:
        stream.write(content)


def without_nul(path: Path) -> Path:
    """Returns a path; one with a NUL is an OSError, as others are that no system takes."""
    if "\0" in str(path):
        raise OSError(errno.EINVAL, "the path holds a NUL")
    return path


def real_path(path: Path) -> Path:
    """Returns where a path leads; not ``Path.resolve``, which fails at links in a circle."""
    return Path(os.path.realpath(path))


def public_mode() -> int:
    """Returns the permissions that the user's umask leaves to a new file.

    What is made under a temporary name is its owner's alone until it gets these.
    """
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
