"""Writing files as a whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def replace_atomically(path: Path, content: bytes, *, private: bool = False) -> None:
    """Writes a file so that at any moment it holds the old content or the new, and all of it."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        new_mode = 0o600 if private else public_mode()
        mode = path.stat().st_mode if path.exists() else new_mode
        Path(temporary).chmod(mode & 0o777)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def public_mode() -> int:
    """Returns the permissions that the user's umask leaves to a new file.

    What is made under a temporary name is its owner's alone until it gets these.
    """
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
