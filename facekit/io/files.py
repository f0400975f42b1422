"""Writing files atomically."""

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
def replacing(path: Path, *, suffix: str = "") -> Iterator[IO[bytes]]:
    """Opens a file that is seen, in place of the old one, when all of it is written."""
    try:
        path = _replaceable(path)
        handle, temporary = tempfile.mkstemp(suffix, f".{path.name}.", path.parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            mode = path.stat().st_mode if path.exists() else public_mode()
            Path(temporary).chmod(mode & 0o777)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise FileFormatError(f"{printable(path)}: cannot be written ({error})") from error


def replace_atomically(path: Path, content: bytes) -> None:
    """Writes a file atomically: it always has either the old or the new content."""
    with replacing(path) as stream:
        stream.write(content)


def _replaceable(path: Path) -> Path:
    """Returns a path; that of a folder, a pipe or a device raises an OSError."""
    if without_nul(path).exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is not a regular file")
    return path


def without_nul(path: Path) -> Path:
    """Returns a path; one with a NUL raises an OSError, like other invalid paths."""
    if "\0" in str(path):
        raise OSError(errno.EINVAL, "the path holds a NUL")
    return path


# The methods of Path raise errors for what is in a closed folder, and for names that are too long.


def exists(path: str | os.PathLike[str]) -> bool:
    """Returns whether something can be seen at a path."""
    return os.path.exists(path)  # noqa: PTH110


def is_file(path: str | os.PathLike[str]) -> bool:
    """Returns whether a regular file can be seen at a path."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Returns whether a folder can be seen at a path."""
    return os.path.isdir(path)  # noqa: PTH112


def real_path(path: Path) -> Path:
    """Resolves a path; unlike ``Path.resolve``, it does not fail for circular links."""
    return Path(os.path.realpath(path))


def public_mode() -> int:
    """Returns the permissions of a new file under the user's umask."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
