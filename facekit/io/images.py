"""Reading images: path, bytes, file object, array or PIL image to RGB uint8."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, TypeAlias, TypedDict, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from facekit.errors import ImageError, InvalidArgumentError
from facekit.io import decoding
from facekit.io.decoding import DecodedImage as DecodedImage
from facekit.io.decoding import Limits, Truncated
from facekit.io.decoding import RGBImage as RGBImage
from facekit.utils.terminal import printable
from facekit.utils.validation import choice, whole

ImageSource: TypeAlias = (
    str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | Image.Image
    | npt.NDArray[Any]
)  # fmt: skip
"""What :func:`facekit.load_image` can read."""

MAX_PIXELS = 120_000_000
"""The most pixels, width × height, that a file may have by default.

Decoding that many takes at most 1.5 GB for any file; most images take 7 bytes per pixel.
"""


class Reading(TypedDict):
    """How images are read, to be passed on with ``**`` to :func:`read_image` and others."""

    max_pixels: int
    truncated: Truncated


IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
)
"""The file name endings of formats that are always supported; see :func:`image_suffixes`."""

HEIC_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
"""The file name endings of HEIC files."""

# A single letter before the colon is a Windows drive. pathlib merges double slashes.
_ADDRESS = re.compile(r"(data:|[a-z][a-z0-9+.-]+:/)", re.IGNORECASE)


def load_image(
    source: ImageSource, *, max_pixels: int | None = None, truncated: Truncated = "error"
) -> RGBImage:
    """Reads an image from a path, memory or an object, and returns it as RGB.

    Files are decoded by Pillow with their EXIF orientation applied. Gray, palette, CMYK and 16-bit
    images are converted to 8-bit RGB, transparent ones are blended onto white, and the first frame
    of an animation is used. A gray image with 10, 12 or 14 bits in a 16-bit file is scaled by its
    actual number of bits.

    Args:
        source: A path, the bytes of a file, a binary file object, a PIL image, or an array: uint8
            or uint16, ``(height, width)`` gray, ``(height, width, 3)`` RGB or ``(height, width,
            4)`` RGBA. An array's channels must be red, green, blue: OpenCV's ``cv2.imread`` returns
            blue first, so pass ``image[..., ::-1]``. Floating-point arrays are refused, because the
            ranges 0 to 1 and 0 to 255 cannot be distinguished reliably.
        max_pixels: The largest width × height that is accepted, in pixels. By default
            ``facekit.io.images.MAX_PIXELS`` for images to be decoded, and no limit for images in
            memory (arrays, and PIL images not opened from a file).
        truncated: ``"use"`` reads a JPEG whose end is missing, with the missing part gray and an
            :class:`facekit.errors.ImageWarning`; ``"error"`` refuses it.

    Returns:
        uint8 ``(height, width, 3)``, red first, C-contiguous. An array that already has this form
        is returned without copying.

    Raises:
        ImageError: If the file does not exist, is not an image, is empty or truncated, exceeds
            ``max_pixels``, or an array has another shape or type. The message names the file.

    Example:
        >>> import numpy as np
        >>> from facekit import load_image
        >>> gray = np.zeros((4, 6), dtype=np.uint8)
        >>> load_image(gray).shape
        (4, 6, 3)
    """
    return read_image(source, max_pixels=max_pixels, truncated=truncated).pixels


def read_image(
    source: ImageSource,
    *,
    max_pixels: int | None = None,
    max_side: int | None = None,
    truncated: Truncated = "error",
) -> DecodedImage:
    """Reads an image like :func:`facekit.load_image`, at a reduced size if that is enough.

    Args:
        source: As for :func:`facekit.load_image`, like ``max_pixels`` and ``truncated``. For a JPEG
            decoded at a reduced size, ``max_pixels`` applies to that size.
        max_pixels: See above.
        max_side: The sufficient length of the longest side, in pixels. A JPEG is then decoded at a
            half, a quarter or an eighth of its size, but not below this, in a fraction of the
            memory and time. Other images are decoded at full size.
        truncated: See above.

    Returns:
        The pixels and the size of the whole image. Multiply positions in the pixels by ``scale``.

    Raises:
        ImageError: As :func:`facekit.load_image`.

    Example:
        >>> import io
        >>> from PIL import Image, ImageFile
        >>> from facekit.io.images import read_image
        >>> file = io.BytesIO()
        >>> Image.new("RGB", (4000, 3000)).save(file, "JPEG")
        >>> image = read_image(file, max_side=800)
        >>> image.pixels.shape, image.width, image.scale
        ((750, 1000, 3), 4000, (4.0, 4.0))
    """
    choice(truncated, "truncated", get_args(Truncated))
    if max_pixels is not None:
        whole(max_pixels, "max_pixels", least=1)
    if isinstance(source, np.ndarray):
        pixels = _from_array(source, max_pixels)
        return DecodedImage(pixels, pixels.shape[1], pixels.shape[0])
    limits = Limits(MAX_PIXELS if max_pixels is None else max_pixels, max_side, truncated)
    if isinstance(source, Image.Image):
        if max_pixels is None and not isinstance(source, ImageFile.ImageFile):
            limits = Limits(source.size[0] * source.size[1])
        return decoding.decode_pillow(source, "the PIL image", limits)
    if isinstance(source, bytes | bytearray | memoryview):
        return decoding.decode_stream(io.BytesIO(bytes(source)), "the bytes given", limits)
    if isinstance(source, str | os.PathLike):
        if match := _ADDRESS.match(os.fspath(source)):
            raise ImageError(_why_address(os.fspath(source), match.group()))
        return decoding.decode_file(Path(source), limits)
    if hasattr(source, "read"):
        name = printable(getattr(source, "name", "the file object"), limit=300)
        return decoding.decode_object(source, name, limits)
    raise ImageError(
        "an image must be a path, bytes, a binary file object, a PIL image or a NumPy array, "
        f"got {type(source).__name__}"
    )


def image_suffixes() -> frozenset[str]:
    """Returns the file name endings of images, those of HEIC if its extra is installed."""
    return IMAGE_SUFFIXES | HEIC_SUFFIXES if decoding.has_heic() else IMAGE_SUFFIXES


def check_several(images: object, *, instead: str) -> None:
    """Checks that what was given is several images and not one."""
    is_one = isinstance(images, str | os.PathLike | bytes | bytearray | Image.Image) or (
        isinstance(images, np.ndarray) and images.ndim != 4
    )
    if is_one or hasattr(images, "read") or not isinstance(images, Iterable):
        raise InvalidArgumentError(
            f"images must be several images, got {type(images).__name__}; for one use {instead}"
        )


def describe_source(source: object, fallback: str = "image") -> str:
    """Returns the name of an image for reports: its path if it has one, else ``fallback``."""
    if isinstance(source, str | os.PathLike):
        return os.fspath(source) if isinstance(source, str) else str(source)
    for attribute in ("filename", "name"):
        name = getattr(source, attribute, None)
        if isinstance(name, str) and name:
            return name
    return fallback


def _why_address(source: str, scheme: str) -> str:
    shown = printable(re.sub(r":/+[^/@]*@", "://", source), limit=80)  # without a password
    if scheme.lower() == "data:":
        return f"{shown}: is a data: address; decode it with base64 and pass the bytes"
    if scheme.lower() == "file:/":
        return f"{shown}: give the path alone, without file://"
    if scheme.lower() in ("rtsp:/", "rtsps:/", "rtmp:/", "udp:/"):
        return f"{shown}: is the address of a video stream, not an image"
    return f"{shown}: facekit does not download images; download it first"


def _from_array(array: npt.NDArray[Any], max_pixels: int | None) -> RGBImage:
    array = np.asarray(array)  # a matrix always has two dimensions
    shape = array.shape
    if array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] not in (1, 3, 4)):
        hint = (
            "; move the channels last with numpy.moveaxis(image, 0, -1)"
            if array.ndim == 3 and shape[0] in (1, 3, 4) and min(shape[1:]) > 4
            else "; pass the images of a batch one by one"
            if array.ndim == 4
            else ""
        )
        raise ImageError(
            f"an image array must be (height, width), (height, width, 3) or (height, width, 4), "
            f"got shape {shape}{hint}"
        )
    height, width = shape[:2]
    limit = height * width if max_pixels is None else max_pixels
    decoding.check_size(height, width, "the array", limit)
    if array.dtype not in (np.uint8, np.uint16):
        raise ImageError(_why_wrong_dtype(array))
    if array.dtype == np.uint8 and shape[2:] == (3,):
        return np.ascontiguousarray(array)
    pixels = np.empty((height, width, 3), np.uint8)
    for rows in decoding.strips(height, width):
        strip = array[rows].reshape(-1, width, 1 if array.ndim == 2 else shape[2])
        if strip.dtype == np.uint16:
            strip = decoding.to_eight_bits(strip, 65535)
        transparent = strip.shape[2] == 4
        pixels[rows] = decoding.on_white(Image.fromarray(strip)) if transparent else strip
    return pixels


def _why_wrong_dtype(array: npt.NDArray[Any]) -> str:
    message = f"an image array must be uint8 (or uint16), got {array.dtype}"
    if np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all():
            return f"{message} with NaN or infinite values"
        low, high = float(array.min()), float(array.max())
        factor = "255 * image" if high <= 1.0 else "image"
        return (
            f"{message} with values from {low:.6g} to {high:.6g}; "
            f"convert it with numpy.clip({factor}, 0, 255).round().astype(numpy.uint8)"
        )
    return message
