"""The font for names."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from PIL import ImageFont


@lru_cache(maxsize=16)
def label_font(size: int) -> ImageFont.FreeTypeFont:
    """Returns the font that names are written in, DejaVu Sans, which comes with facekit."""
    # It knows the letters of most names; Pillow's own font does not.
    return ImageFont.truetype(str(Path(__file__).parent / "fonts" / "DejaVuSans.ttf"), size)
