"""Writing images to files."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin

from facekit.errors import ImageError
from facekit.io.images import IMAGE_SUFFIXES, RGBImage
from facekit.utils.terminal import printable

_MARK = ("Software", "facekit")
# File systems take 255 bytes, some that encrypt names 143, for the whole name.
_MOST_NAME_BYTES = 100
_UNSAFE_IN_NAMES = frozenset('\\/:*?"<>|')


def save_image(path: str | os.PathLike[str], image: RGBImage, *, replace: bool = True) -> None:
    """Writes an image to a file; the ending of its name decides the format.

    The file is written whole or not at all. A PNG says in its metadata that facekit wrote it.

    Args:
        path: Where to write; a missing folder is made.
        image: uint8 ``(height, width, 3)``, RGB.
        replace: Whether a file that is there is replaced, whatever it is. Otherwise only a PNG is
            replaced that says that facekit wrote it.

    Raises:
        ImageError: If the ending is unknown, the file cannot be written, or another file is there
            that must not be replaced.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> from facekit import load_image
        >>> from facekit.visualization import save_image
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "black.png"
        >>> save_image(path, np.zeros((4, 6, 3), dtype=np.uint8))
        >>> load_image(path).shape
        (4, 6, 3)
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        raise ImageError(f"{path}: the ending must be one of {', '.join(sorted(IMAGE_SUFFIXES))}")
    if not replace:
        check_replaceable(path)
    options: dict[str, Any] = {}
    if suffix == ".png":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_text(*_MARK)
    # Not beside the other names as a mere number: what is left by a crash is hidden.
    temporary = path.with_name(f".{secrets.token_hex(8)}{suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            Image.fromarray(image).save(temporary, **options)
            temporary.replace(path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
    except (OSError, ValueError) as error:
        raise ImageError(f"{printable(path)}: cannot be written ({error})") from error


def check_replaceable(path: Path) -> None:
    """Checks that nothing is there, or a PNG that facekit wrote."""
    if not os.path.lexists(path):
        return
    written_by = None
    if path.is_file() and not path.is_symlink():
        with contextlib.suppress(Exception), path.open("rb") as stream:
            written_by = PngImagePlugin.PngImageFile(stream).info.get(_MARK[0])
    if written_by != _MARK[1]:
        raise ImageError(
            f"{printable(path)}: is there already and is not overwritten, for it does not say that "
            "facekit wrote it (facekit 0.1 left no mark); move it away, or write somewhere else"
        )


def file_name(text: str, suffix: str = "") -> str:
    """Returns a name for a file that every file system takes, made of a text."""
    safe = "".join(
        "_" if character in _UNSAFE_IN_NAMES or printable(character) != character else character
        for character in text
    )
    cut = safe.encode()[:_MOST_NAME_BYTES].decode("utf-8", "ignore")
    return f"{cut.strip(' .') or '_'}{suffix}"
