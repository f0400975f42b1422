"""Writing images to files."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin

from facekit.errors import ImageError
from facekit.io.images import IMAGE_SUFFIXES, RGBImage, load_image
from facekit.utils.terminal import printable

_MARK = ("Software", "facekit")
# File systems allow 255 bytes for a name, or 143 if they encrypt names.
_MOST_NAME_BYTES = 100
_UNSAFE_IN_NAMES = frozenset('\\/:*?"<>|')


def save_image(path: str | os.PathLike[str], image: RGBImage, *, replace: bool = True) -> None:
    """Writes an image to a file, in the format given by the ending of its name.

    The file is written atomically. A PNG is marked as written by facekit in its metadata.

    Args:
        path: Where to write; a missing folder is created.
        image: uint8 ``(height, width, 3)``, RGB.
        replace: Whether to replace any existing file. Otherwise only a PNG marked as written by
            facekit is replaced.

    Raises:
        ImageError: If the array is not an image, the ending is unknown, the file cannot be written,
            or an existing file must not be replaced.

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
    pixels = load_image(image)
    options: dict[str, Any] = {}
    if suffix == ".png":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_text(*_MARK)
    # A hidden name, in case a crash leaves the file behind.
    temporary = path.with_name(f".{secrets.token_hex(8)}{suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            Image.fromarray(pixels).save(temporary, **options)
            temporary.replace(path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
    except (OSError, ValueError) as error:
        raise ImageError(f"{printable(path)}: cannot be written ({error})") from error


def check_replaceable(path: Path) -> None:
    """Checks that the path is free, or holds a PNG that facekit wrote."""
    if not os.path.lexists(path):
        return
    written_by = None
    if path.is_file() and not path.is_symlink():
        with contextlib.suppress(Exception), path.open("rb") as stream:
            written_by = PngImagePlugin.PngImageFile(stream).info.get(_MARK[0])
    if written_by != _MARK[1]:
        raise ImageError(
            f"{printable(path)}: already exists and is not overwritten, since it is not marked as "
            "written by facekit (facekit 0.1 left no mark); move it away, or write somewhere else"
        )


def file_name(text: str, suffix: str = "") -> str:
    """Converts text to a file name that every file system accepts."""
    safe = "".join(
        "_" if character in _UNSAFE_IN_NAMES or printable(character) != character else character
        for character in text
    )
    cut = safe.encode()[:_MOST_NAME_BYTES].decode("utf-8", "ignore")
    return f"{cut.strip(' .') or '_'}{suffix}"
