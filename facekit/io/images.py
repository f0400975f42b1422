"""The one way an image enters: path, bytes, file object, array or PIL image to RGB uint8."""

from __future__ import annotations

import functools
import importlib.util
import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError

from facekit.errors import ImageError, InvalidArgumentError

RGBImage: TypeAlias = npt.NDArray[np.uint8]
"""A picture as facekit passes it around, RGB, uint8, ``(height, width, 3)``."""

ImageSource: TypeAlias = (
    str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | Image.Image
    | npt.NDArray[Any]
)  # fmt: skip
"""What :func:`facekit.load_image` reads."""

MAX_PIXELS = 178_956_970
"""The largest picture that is read, in pixels (half a gigabyte once decoded).

It is the size beyond which Pillow, too, refuses to decode a file.
"""

IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
)
"""The file name endings of the formats that are always read; :func:`image_suffixes` has all."""

HEIC_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
"""The file name endings of HEIC files."""

_TO_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def load_image(source: ImageSource, *, max_pixels: int = MAX_PIXELS) -> RGBImage:
    """Reads a picture from wherever it is and returns it as RGB.

    Files are decoded by Pillow with their EXIF orientation applied. Gray, palette, CMYK and
    16-bit pictures are converted to 8-bit RGB, transparent ones are laid on white, and of an
    animated one the first frame is taken.

    Args:
        source: A path, the bytes of a file, a binary file object, a PIL image, or an array: uint8
            or uint16, ``(height, width)`` gray, ``(height, width, 3)`` RGB or ``(height, width,
            4)`` RGBA. An array's channels are taken as red, green, blue: OpenCV's ``cv2.imread``
            gives blue first, so pass ``image[..., ::-1]``. Floating-point arrays are refused,
            because 0 to 1 and 0 to 255 cannot be told apart with certainty.
        max_pixels: The largest width × height that is accepted, in pixels.

    Returns:
        uint8 ``(height, width, 3)``, red first, C-contiguous. An array that has this form already
        is returned as it is, not copied.

    Raises:
        ImageError: If there is no such file, it is no picture, is empty or truncated, exceeds
            ``max_pixels``, or an array has another shape or type. The message names the file.

    Example:
        >>> import numpy as np
        >>> from facekit import load_image
        >>> gray = np.zeros((4, 6), dtype=np.uint8)
        >>> load_image(gray).shape
        (4, 6, 3)
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, max_pixels)
    if isinstance(source, Image.Image):
        return _from_pillow(source, "the PIL image", max_pixels)
    if isinstance(source, bytes | bytearray | memoryview):
        return _from_stream(io.BytesIO(source), "the bytes given", max_pixels)
    if isinstance(source, str | os.PathLike):
        if str(source).startswith(("http:", "https:")):
            raise ImageError(f"{source}: facekit fetches nothing; download the picture first")
        return _from_path(Path(source), max_pixels)
    if hasattr(source, "read"):
        name = str(getattr(source, "name", "the file object"))
        return _from_stream(source, name, max_pixels)
    raise ImageError(
        "an image must be a path, bytes, a binary file object, a PIL image or a NumPy array, "
        f"got {type(source).__name__}"
    )


def image_suffixes() -> frozenset[str]:
    """Returns the file name endings, in lower case, that are taken for images in a folder.

    They are :data:`IMAGE_SUFFIXES`, and those of HEIC if the extra ``heic`` is installed.

    Example:
        >>> from facekit.io.images import image_suffixes
        >>> ".jpg" in image_suffixes()
        True
    """
    return IMAGE_SUFFIXES | HEIC_SUFFIXES if has_heic() else IMAGE_SUFFIXES


@functools.cache
def has_heic() -> bool:
    """Returns whether HEIC files can be read: whether the extra ``heic`` is installed."""
    return importlib.util.find_spec("pillow_heif") is not None


def check_several(images: object, *, instead: str) -> None:
    """Checks that what was given is several images and not one.

    Args:
        images: What was given.
        instead: What to call with one image, for the message.

    Raises:
        InvalidArgumentError: If it is one image, or nothing that can be gone through.
    """
    is_one = isinstance(images, str | os.PathLike | bytes | bytearray | Image.Image) or (
        isinstance(images, np.ndarray) and images.ndim != 4
    )
    if is_one or hasattr(images, "read") or not isinstance(images, Iterable):
        raise InvalidArgumentError(
            f"images must be several images, got {type(images).__name__}; for one use {instead}"
        )


def describe_source(source: object, fallback: str = "image") -> str:
    """Returns what to call an image in a report: its path if it has one, else ``fallback``.

    Args:
        source: Whatever :func:`facekit.load_image` reads.
        fallback: What to call a picture that has neither path nor name.

    Example:
        >>> import numpy as np
        >>> from facekit.io.images import describe_source
        >>> describe_source("photos/ada.jpg")
        'photos/ada.jpg'
        >>> describe_source(np.zeros((4, 6, 3), dtype=np.uint8), fallback="photo 1")
        'photo 1'
    """
    if isinstance(source, str | os.PathLike):
        return os.fspath(source) if isinstance(source, str) else str(source)
    for attribute in ("filename", "name"):
        name = getattr(source, attribute, None)
        if isinstance(name, str) and name:
            return name
    return fallback


def _from_path(path: Path, max_pixels: int) -> RGBImage:
    try:
        if path.is_dir():
            raise ImageError(f"{path}: is a folder, not a picture")
        with path.open("rb") as stream:
            return _from_stream(stream, str(path), max_pixels)
    except FileNotFoundError as error:
        raise ImageError(
            f"{path}: no such file; relative paths start at the working directory"
        ) from error
    except (OSError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"{path}: cannot be read ({error})") from error


def _from_stream(stream: IO[bytes], name: str, max_pixels: int) -> RGBImage:
    try:
        with Image.open(stream) as image:
            return _from_pillow(image, name, max_pixels)
    except UnidentifiedImageError as error:
        raise ImageError(f"{name}: {_why_unidentified(stream)}") from error
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"{name}: has more pixels than Pillow decodes ({error}); make it smaller, or, if you "
            "trust it, raise PIL.Image.MAX_IMAGE_PIXELS and max_pixels"
        ) from error
    except ImageError:
        raise
    except Exception as error:
        # Pillow's decoders, given damaged files, raise whatever comes up inside them.
        raise ImageError(f"{name}: is not a picture that can be read ({error})") from error


def _why_unidentified(stream: IO[bytes]) -> str:
    if hasattr(stream, "seek"):
        try:
            stream.seek(0)
            start = stream.read(16)
        except OSError:
            return "is not a picture in a format that Pillow reads"
        if not start:
            return "is empty (0 bytes)"
        if start[4:8] == b"ftyp" and start[8:12] in (b"heic", b"heix", b"mif1", b"msf1"):
            return "is HEIC, which Pillow does not read; convert it to JPEG, or open it with pillow-heif and pass the PIL image"  # noqa: E501
    return "is not a picture in a format that Pillow reads (its name may say otherwise)"


def _from_pillow(image: Image.Image, name: str, max_pixels: int) -> RGBImage:
    width, height = image.size
    _check_size(height, width, name, max_pixels)
    try:
        image.seek(0)
        image.load()
        image = _upright(image)
    except Exception as error:
        raise ImageError(f"{name}: the picture is truncated or damaged ({error})") from error
    if image.mode.startswith("I"):
        return _from_array(_sixteen_bit(np.asarray(image), name), max_pixels)
    if image.mode == "F":
        raise ImageError(f"{name}: holds floating-point pixels; convert it to 8-bit first")
    try:
        if image.has_transparency_data:
            rgba = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
        rgb = image.convert("RGB")
    except ValueError as error:
        raise ImageError(f"{name}: cannot be converted to RGB ({error})") from error
    return np.array(rgb)  # a copy: what np.asarray gives cannot be written to


def _upright(image: Image.Image) -> Image.Image:
    # Not ImageOps.exif_transpose: it writes all of the EXIF data anew and fails at any odd entry.
    orientation = image.getexif().get(ExifTags.Base.Orientation)
    method = _TO_UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if method is None else image.transpose(method)


def _sixteen_bit(pixels: npt.NDArray[Any], name: str) -> npt.NDArray[np.uint16]:
    if pixels.size and (pixels.min() < 0 or pixels.max() > 65535):
        raise ImageError(f"{name}: holds 32-bit pixels; convert it to 8- or 16-bit first")
    return pixels.astype(np.uint16)


def _from_array(array: npt.NDArray[Any], max_pixels: int) -> RGBImage:
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
    _check_size(shape[0], shape[1], "the array", max_pixels)
    if array.dtype == np.uint16:
        array = ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise ImageError(_why_wrong_dtype(array))
    if array.ndim == 2 or shape[2] == 1:
        array = np.repeat(array.reshape(shape[0], shape[1], 1), 3, axis=2)
    elif shape[2] == 4:
        alpha = array[..., 3:].astype(np.uint32)
        over_white = array[..., :3] * alpha + 255 * (255 - alpha)
        array = ((over_white + 127) // 255).astype(np.uint8)
    return np.ascontiguousarray(array)


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


def _check_size(height: int, width: int, name: str, max_pixels: int) -> None:
    if height == 0 or width == 0:
        raise ImageError(f"{name}: has no pixels ({width} × {height})")
    if height * width > max_pixels:
        raise ImageError(
            f"{name}: has {width} × {height} pixels, more than the limit of {max_pixels:,}; "
            "make it smaller, or raise max_pixels"
        )
