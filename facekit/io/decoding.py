"""Decoding images with a fixed list of decoders, in bounded memory and time."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import io
import os
import stat
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageFile

from facekit.errors import ImageError, ImageWarning
from facekit.utils.forking import ForkLock
from facekit.utils.reasons import why
from facekit.utils.terminal import printable

RGBImage: TypeAlias = npt.NDArray[np.uint8]
"""An image as facekit passes it around: RGB, uint8, ``(height, width, 3)``."""

Truncated: TypeAlias = Literal["error", "use"]
"""What to do with a JPEG whose end is missing."""

# By Pillow's names; never EPS, PS, PDF, WMF and the like, which are programs for an interpreter.
_PLUGINS = {
    "JPEG": "JpegImagePlugin",
    "PNG": "PngImagePlugin",
    "WEBP": "WebPImagePlugin",
    "GIF": "GifImagePlugin",
    "TIFF": "TiffImagePlugin",
    "BMP": "BmpImagePlugin",
    "AVIF": "AvifImagePlugin",
    "JPEG2000": "Jpeg2KImagePlugin",
    "PPM": "PpmImagePlugin",
    "TGA": "TgaImagePlugin",
}
_PROGRAMS = frozenset({"EPS", "WMF", "EMF", "PDF"})

# The memory that a decoder may use per allowed pixel. A plain JPEG takes 7 bytes.
_BYTES_PER_ALLOWED_PIXEL = 12
# Peak memory including the output, measured by tests/fuzz. Others: Pillow's buffer plus 3.
_BYTES_PER_PIXEL = {"WEBP": 15, "AVIF": 12, "HEIF": 12, "JPEG2000": 20}
_BYTES_OF_MODE = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}

# A JPEG needs at least one bit for each block of 8 × 8 pixels, 512 pixels per byte.
_MOST_PIXELS_PER_JPEG_BYTE = 1024
# Encoders write up to about a dozen; each one traverses all blocks of the image.
_MOST_SCANS = 100
_SCANS_OF_LARGEST = 20

_STRIP_PIXELS = 1 << 20
_Read = TypeVar("_Read")
_WARNINGS = ForkLock()

# Maps the upright image to the view that a file with this EXIF orientation stores.
_STORED_VIEW: dict[int, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]] = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: np.rot90(upright, 2).swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}


@dataclass(frozen=True)
class Limits:
    """Limits and options of decoding."""

    max_pixels: int  # the most pixels, width × height
    # The longest side needed, in pixels; a JPEG may be decoded at a half, a quarter or an eighth,
    # but not smaller than this.
    max_side: int | None = None
    truncated: Truncated = "error"  # what to do with a JPEG whose end is missing


@dataclass(frozen=True)
class DecodedImage:
    """An image, perhaps decoded at a reduced size, and its original size.

    Args:
        pixels: RGB, uint8 ``(h, w, 3)``, upright, C-contiguous.
        width: The width of the whole image, upright, in pixels; larger than ``w`` if the image was
            decoded at a reduced size.
        height: Its height, likewise.

    Example:
        >>> import numpy as np
        >>> from facekit.io.decoding import DecodedImage
        >>> DecodedImage(np.zeros((300, 512, 3), dtype=np.uint8), width=1024, height=600).scale
        (2.0, 2.0)
    """

    pixels: RGBImage
    width: int
    height: int

    @property
    def scale(self) -> tuple[float, float]:
        """The pixels of the whole image per decoded pixel, horizontally and vertically."""
        return self.width / self.pixels.shape[1], self.height / self.pixels.shape[0]


@dataclass(frozen=True)
class StoredImage:
    """The header of an image file, whose pixels were not decoded."""

    width: int  # the width as it is stored, before it is turned, in pixels
    height: int  # the height, likewise
    orientation: int  # the EXIF orientation, 1 to 8; 1 if not given
    xmp: bytes | None  # the XMP data in the file, if there are any


@functools.cache
def has_heic() -> bool:
    """Returns whether HEIC files can be read: whether the extra ``heic`` is installed."""
    return importlib.util.find_spec("pillow_heif") is not None


def decode_file(path: Path, limits: Limits) -> DecodedImage:
    """Decodes an image file; anything but a regular file is refused before it is opened."""
    return _from_file(path, lambda stream, name: decode_stream(stream, name, limits))


def _from_file(path: Path, read: Callable[[IO[bytes], str], _Read]) -> _Read:
    name = printable(path, limit=300)
    try:
        with _opened(path, name) as stream:
            return read(stream, name)
    except FileNotFoundError as error:
        raise ImageError(
            f"{name}: no such file; relative paths start at the working directory"
        ) from error
    except (OSError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"{name}: cannot be read ({why(error)})") from error


def inspect_file(path: Path) -> StoredImage:
    """Reads the header of an image file, without decoding its pixels."""
    return _from_file(path, _inspected)


def decode_object(source: IO[bytes], name: str, limits: Limits) -> DecodedImage:
    """Decodes the image in a binary file object, from its start."""
    try:
        # A file object may be slow, and may lack methods that decoders need, so it is read
        # completely.
        if hasattr(source, "seek"):
            source.seek(0)
        stream = io.BytesIO(source.read())
    except Exception as error:
        raise ImageError(f"{name}: cannot be read ({_reason(error)})") from error
    return decode_stream(stream, name, limits)


def decode_stream(stream: IO[bytes], name: str, limits: Limits) -> DecodedImage:
    """Decodes the image in a regular file or in memory."""
    with _explained(name), _identified(stream, name, limits) as image:
        _prepare(image, stream, name, limits)
        return decode_pillow(image, name, limits)


def decode_pillow(image: Image.Image, name: str, limits: Limits) -> DecodedImage:
    """Returns the first frame of a Pillow image as RGB, upright."""
    full = image.size
    if image.format in _PROGRAMS and getattr(image, "tile", None):
        raise ImageError(f"{name}: is {image.format}, a program, which is not run")
    if limits.max_side is not None and image.format in ("JPEG", "MPO"):
        ratio = limits.max_side / max(full)
        image.draft(None, (max(round(full[0] * ratio), 1), max(round(full[1] * ratio), 1)))
    check_size(image.size[1], image.size[0], name, limits.max_pixels)
    if isinstance(image, ImageFile.ImageFile):
        _check_memory(image, full, name, limits)
    missing_end = _accept_missing_end(image) if limits.truncated == "use" else None
    try:
        image.seek(0)
        image.load()
    except Exception as error:
        # Pillow's message if the end is missing.
        ends_early = image.format in ("JPEG", "MPO") and "truncated" in str(error)
        way_round = '; truncated="use" reads the available part' if ends_early else ""
        raise ImageError(
            f"{name}: the image is truncated or damaged ({_reason(error)}){way_round}"
        ) from error
    if missing_end:
        warnings.warn(
            ImageWarning(f"{name}: the file ends early; the missing part is gray"), stacklevel=4
        )
    try:
        pixels = _upright_rgb(image, name, orientation := _orientation(image, name))
    except ValueError as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"{name}: cannot be converted to RGB ({_reason(error)})") from error
    if image.format not in ("JPEG", "MPO"):
        full = image.size  # TIFF is rotated while it is loaded
    width, height = full if orientation < 5 else full[::-1]
    return DecodedImage(pixels, width, height)


def check_size(height: int, width: int, name: str, max_pixels: int) -> None:
    """Checks that there are pixels, and not too many."""
    if height == 0 or width == 0:
        raise ImageError(f"{name}: has no pixels ({width} × {height})")
    if height * width > max_pixels:
        raise ImageError(
            f"{name}: has {width} × {height} pixels, more than the limit of {max_pixels:,}; "
            "make it smaller, or raise max_pixels"
        )


def strips(height: int, width: int) -> Iterator[slice]:
    """Yields the rows of an image in strips of about a million pixels."""
    rows = max(_STRIP_PIXELS // max(width, 1), 1)
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))


def pixels_of(image: Image.Image, pixels: RGBImage | None = None) -> RGBImage:
    """Returns the pixels of an RGB image; ``np.array`` would temporarily hold them twice."""
    if pixels is None:
        pixels = np.empty((image.height, image.width, 3), np.uint8)
    for rows in strips(image.height, image.width):
        pixels[rows] = np.asarray(image.crop((0, rows.start, image.width, rows.stop)))
    return pixels


def on_white(image: Image.Image) -> RGBImage:
    """Blends an image with transparency onto white."""
    rgba = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(rgba.convert("RGB"), mask=rgba.getchannel("A"))
    return np.asarray(white)


def to_eight_bits(pixels: npt.NDArray[Any], largest: int) -> npt.NDArray[np.uint8]:
    """Scales integers from 0 to ``largest`` to 0 to 255, rounded."""
    scaled = (pixels.astype(np.uint32) * 255 + largest // 2) // largest
    return np.minimum(scaled, 255).astype(np.uint8)


# Opening


@contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except (ImageError, ImageWarning):  # a warning turned into an error by the caller
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name}: has more pixels than Pillow decodes ({error})") from error
    except Exception as error:
        # Pillow's decoders raise all kinds of errors for damaged files.
        raise ImageError(f"{name}: is not an image that can be read ({_reason(error)})") from error


def _inspected(stream: IO[bytes], name: str) -> StoredImage:
    # The largest size of any format: nothing is decoded.
    with _explained(name), _identified(stream, name, Limits(2**31)) as image:
        # Pillow reports the size of a TIFF after rotation, and that of HEIC is rotated.
        tags: Any = getattr(image, "tag_v2", {})
        turned = image.format == "HEIF"
        xmp: Any = image.info.get("xmp")
        return StoredImage(
            tags.get(256, image.size[0]),
            tags.get(257, image.size[1]),
            1 if turned else _orientation(image, name),
            xmp.encode() if isinstance(xmp, str) else xmp,
        )


def _opened(path: Path, name: str) -> IO[bytes]:
    # Checked first: opening a device or a pipe may have side effects, or block forever.
    _check_regular(path.stat().st_mode, name)
    flags = os.O_RDONLY
    for flag in ("O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_BINARY"):
        flags |= getattr(os, flag, 0)
    handle = os.open(path, flags)
    try:
        _check_regular(os.fstat(handle).st_mode, name)  # it may have been replaced meanwhile
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def _check_regular(mode: int, name: str) -> None:
    if stat.S_ISDIR(mode):
        raise ImageError(f"{name}: is a folder, not an image")
    if not stat.S_ISREG(mode):
        raise ImageError(f"{name}: is a device, a pipe or a socket, not a file")


@functools.cache
def _factories() -> dict[str, tuple[Callable[..., Any], Callable[[bytes], Any] | None]]:
    found: dict[str, tuple[Callable[..., Any], Callable[[bytes], Any] | None]] = {}
    for name, module in _PLUGINS.items():
        try:
            importlib.import_module(f"PIL.{module}")
        except ImportError:  # AVIF came with Pillow 11.3
            continue
        if name in Image.OPEN:
            found[name] = Image.OPEN[name]
    if has_heic():
        from pillow_heif import HeifImageFile

        found["HEIF"] = (HeifImageFile, _is_heic)
    return found


def _identified(stream: IO[bytes], name: str, limits: Limits) -> ImageFile.ImageFile:
    """Opens the image with the first decoder that accepts it; its pixels are not decoded yet."""
    # Not Image.open, whose limit is a setting of the whole process, and which warns.
    stream.seek(0)
    start = stream.read(32)
    if size := _webp_size(start):  # Pillow's decoder allocates its memory when it is opened
        check_size(size[1], size[0], name, limits.max_pixels)
        _check_bytes(_BYTES_PER_PIXEL["WEBP"], size, name, limits)
    for factory, accepts in _factories().values():
        if accepts is not None and accepts(start[:16]) is not True:
            continue
        stream.seek(0)
        try:
            with _pillow_is_silent():
                image: ImageFile.ImageFile = factory(stream, "")
        except (SyntaxError, IndexError, TypeError, struct.error):
            continue
        return image
    raise ImageError(f"{name}: {_why_unidentified(start)}")


def _why_unidentified(start: bytes) -> str:
    if not start:
        return "is empty (0 bytes)"
    if _is_heic(start) and not has_heic():
        return "is HEIC, which needs the extra: pip install 'facekit-recognition[heic]'"
    if start.startswith((b"%!PS", b"\xc5\xd0\xd3\xc6")):
        return "is PostScript, a program, which is not run; convert it to PNG first"
    return "is not an image in a format that facekit reads (its name may say otherwise)"


def _is_heic(start: bytes) -> bool:
    brands = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
    return start[4:8] == b"ftyp" and start[8:12] in brands


def _webp_size(start: bytes) -> tuple[int, int] | None:
    if len(start) < 30 or start[:4] != b"RIFF" or start[8:12] != b"WEBP":
        return None
    if start[12:16] == b"VP8X":
        width, height = (int.from_bytes(start[at : at + 3], "little") + 1 for at in (24, 27))
    elif start[12:16] == b"VP8L":
        bits = int.from_bytes(start[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (int.from_bytes(start[at : at + 2], "little") & 0x3FFF for at in (26, 28))
    return width, height


@contextmanager
def _pillow_is_silent() -> Iterator[None]:
    """Suppresses Pillow's warnings about unreadable metadata, which do not concern users."""
    # The filters belong to the process, so that only one thread at a time may replace them.
    with _WARNINGS, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


# Bounds


def _prepare(image: ImageFile.ImageFile, stream: IO[bytes], name: str, limits: Limits) -> None:
    """Refuses files that would cost far more than their image is worth."""
    if image.format in ("JPEG", "MPO"):
        # Pillow stopped after the first scan's marker.
        scans = 1 + _count(stream, b"\xff\xda")
        length = stream.seek(0, os.SEEK_END)
        image.info["facekit_scans"] = scans
        width, height = image.size
        most = min(_SCANS_OF_LARGEST * limits.max_pixels // (width * height or 1), _MOST_SCANS)
        if scans > max(most, 1):
            raise ImageError(
                f"{name}: has {width} × {height} pixels in {scans} scans, more than the limit of "
                f"{most} scans for this size"
            )
        if width * height > _MOST_PIXELS_PER_JPEG_BYTE * length + 100_000:
            raise ImageError(
                f"{name}: the image is truncated or damaged ({width} × {height} pixels in only "
                f"{length:,} bytes)"
            )
    elif image.format == "TIFF":
        tags: Any = getattr(image, "tag_v2", {})
        tile = [tags.get(tag) for tag in (322, 323)]  # TileWidth, TileLength
        if all(isinstance(side, int) for side in tile):
            _check_bytes(8, (tile[0], tile[1]), name, limits)


def _check_memory(image: Image.Image, full: tuple[int, int], name: str, limits: Limits) -> None:
    cost = _BYTES_PER_PIXEL.get(image.format or "", 3 + _BYTES_OF_MODE.get(image.mode, 4))
    coefficients = 0.0
    if image.info.pop("facekit_scans", 1) > 1:
        # With several scans, libjpeg keeps two bytes for each sample of the whole image.
        layers = [layer[1:3] for layer in getattr(image, "layer", ())] or [(1, 1)] * 3
        most = max(h for h, _ in layers) * max(v for _, v in layers)
        coefficients = 2 * sum(h * v for h, v in layers) / most
    total = cost * image.size[0] * image.size[1] + coefficients * full[0] * full[1]
    _check_bytes(total / (full[0] * full[1]), full, name, limits)


def _check_bytes(cost: float, size: tuple[int, int], name: str, limits: Limits) -> None:
    needed = cost * size[0] * size[1]
    if needed > _BYTES_PER_ALLOWED_PIXEL * limits.max_pixels:
        raise ImageError(
            f"{name}: has {size[0]} × {size[1]} pixels in a form that takes {needed / 1e9:.1f} GB "
            "to decode; make it smaller, or raise max_pixels"
        )


def _count(stream: IO[bytes], mark: bytes) -> int:
    found, rest = 0, b""
    while chunk := stream.read(1 << 20):
        found += (rest + chunk).count(mark)
        rest = chunk[-1:]
    return found


def _accept_missing_end(image: Image.Image) -> list[bool] | None:
    """Gives the JPEG decoder an end marker if the file has none; the list is then filled."""
    if image.format not in ("JPEG", "MPO") or not getattr(image, "tile", None):
        return None
    happened: list[bool] = []
    stream: Any = getattr(image, "fp", None)

    def read(size: int) -> bytes:
        content: bytes = stream.read(size)
        if content:
            return content
        happened.append(True)
        # Twice is enough: Pillow asks again only if the decoder needs more than an end marker.
        return b"\xff\xd9" if len(happened) <= 2 else b""

    image.load_read = read  # type: ignore[attr-defined]
    return happened


# Pixels


def _orientation(image: Image.Image, name: str) -> int:
    # Not ImageOps.exif_transpose, which rewrites all of the EXIF data and fails at any odd entry.
    orientation, damage = None, ""
    try:
        with _pillow_is_silent():
            orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception as error:  # noqa: BLE001
        damage = _reason(error)
    if isinstance(orientation, int) and orientation in _STORED_VIEW:
        return orientation
    if damage := damage or _exif_damage(image.info.get("exif")):
        # The orientation metadata is damaged, not the image itself.
        warnings.warn(
            ImageWarning(
                f"{name}: the EXIF data is damaged ({damage}); the image is used as it is "
                "stored, without rotation"
            ),
            stacklevel=5,
        )
    return 1


def _exif_damage(block: object) -> str:
    """Returns what is wrong with EXIF data, whose errors Pillow silently ignores."""
    if not isinstance(block, bytes):
        return ""
    try:
        with _WARNINGS, warnings.catch_warnings():
            warnings.filterwarnings("error", module=r"PIL\.TiffImagePlugin")
            Image.Exif().load(block)
    except Exception as error:  # noqa: BLE001
        return _reason(error)
    return ""


def _upright_rgb(image: Image.Image, name: str, orientation: int) -> RGBImage:
    """Converts in strips, so that there are never two RGB copies of the whole image."""
    if image.mode == "F":
        raise ImageError(f"{name}: holds floating-point pixels; convert it to 8-bit first")
    width, height = image.size
    upright = (height, width) if orientation < 5 else (width, height)
    pixels = np.empty((*upright, 3), np.uint8)
    stored = _STORED_VIEW[orientation](pixels)
    largest = _largest_value(image, name) if image.mode.startswith("I") else 0
    transparent = image.has_transparency_data
    for rows in strips(height, width):
        # Before version 13, Pillow applies its own limit even when cropping a loaded image.
        whole = rows.start == 0 and rows.stop == height
        strip = image if whole else image.crop((0, rows.start, width, rows.stop))
        if largest:
            stored[rows] = to_eight_bits(np.asarray(strip), largest)[..., np.newaxis]
        elif transparent:
            stored[rows] = on_white(strip)
        else:
            stored[rows] = np.asarray(strip if strip.mode == "RGB" else strip.convert("RGB"))
    return pixels


def _largest_value(image: Image.Image, name: str) -> int:
    """Returns the largest value for the image's actual number of bits."""
    # Cameras and scanners store 10 or 12 bits in 16-bit files, which look almost black if they are
    # read as 16. No format states the number reliably; the largest pixel does.
    width, height = image.size
    low, high = 0, 0
    for rows in strips(height, width):
        values = np.asarray(image.crop((0, rows.start, width, rows.stop)))
        low, high = min(low, int(values.min())), max(high, int(values.max()))
    if low < 0 or high > 65535:
        raise ImageError(f"{name}: holds 32-bit pixels; convert it to 8- or 16-bit first")
    return next(limit for bits in (8, 10, 12, 14, 16) if high <= (limit := 2**bits - 1))


def _reason(error: BaseException) -> str:
    return printable(str(error) or type(error).__name__, limit=200)
