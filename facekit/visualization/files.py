"""Writing pictures to files."""

from __future__ import annotations

import os
from pathlib import Path

from PIL import Image

from facekit.errors import ImageError
from facekit.io.images import IMAGE_SUFFIXES, RGBImage


def save_image(path: str | os.PathLike[str], image: RGBImage) -> None:
    """Writes a picture to a file; the ending of its name decides the format.

    Args:
        path: Where to write; a missing folder is made.
        image: uint8 ``(height, width, 3)``, RGB.

    Raises:
        ImageError: If the ending is unknown or the file cannot be written.

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
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise ImageError(f"{path}: the ending must be one of {', '.join(sorted(IMAGE_SUFFIXES))}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    except (OSError, ValueError) as error:
        raise ImageError(f"{path}: cannot be written ({error})") from error
