"""What the fuzzing reads: small honest images, mutations of them, and constructed bombs."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, features

SIDE = 10_900
"""Of the bombs: as many pixels as a file may have by default, nearly."""


def encode(image: Image.Image, file_format: str, **options: Any) -> bytes:
    """Returns the bytes of an image file."""
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def _portraits() -> Iterator[Image.Image]:
    for package, path in (
        ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
        ("skimage", "data/astronaut.png"),
    ):
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            with Image.open(Path(spec.origin).parent / path) as image:
                yield image.convert("RGB").reduce(4)


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "camera"
    return exif


@cache
def seeds() -> dict[str, bytes]:
    """Returns honest files, one for each format and variant, by name."""
    y, x = np.mgrid[0:48, 0:64]
    array = np.stack([x * 4, y * 5, (x + y) * 2], axis=2).astype(np.uint8)
    image = Image.fromarray(array)
    images = {"gradient": image} | {f"portrait{i}": p for i, p in enumerate(_portraits())}
    files: dict[str, bytes] = {}
    for name, rgb in images.items():
        alpha = Image.fromarray(np.full(rgb.size[::-1], 100, np.uint8))
        rgba = Image.merge("RGBA", [*rgb.split(), alpha])
        files |= {
            f"{name}.jpg": encode(rgb, "JPEG", exif=_exif()),
            f"{name}-progressive.jpg": encode(rgb, "JPEG", progressive=True, quality=90),
            f"{name}-gray.jpg": encode(rgb.convert("L"), "JPEG"),
            f"{name}-cmyk.jpg": encode(rgb.convert("CMYK"), "JPEG"),
            f"{name}.png": encode(rgb, "PNG", exif=_exif()),
            f"{name}-rgba.png": encode(rgba, "PNG"),
            f"{name}-palette.png": encode(rgb.quantize(16), "PNG", transparency=1),
            f"{name}-deep.png": encode(
                Image.fromarray(np.asarray(rgb.convert("L")).astype(np.uint16) * 16), "PNG"
            ),
            f"{name}.webp": encode(rgb, "WEBP", exif=_exif()),
            f"{name}-lossless.webp": encode(rgba, "WEBP", lossless=True),
            f"{name}-animated.webp": encode(rgb, "WEBP", save_all=True, append_images=[rgb]),
            f"{name}.gif": encode(rgb, "GIF"),
            f"{name}-animated.gif": encode(
                rgb, "GIF", save_all=True, append_images=[rgb.rotate(180)], transparency=0
            ),
            f"{name}.tif": encode(rgb, "TIFF", exif=_exif()),
            f"{name}-lzw.tif": encode(rgb, "TIFF", compression="tiff_lzw"),
            f"{name}-deflate.tif": encode(rgb, "TIFF", compression="tiff_adobe_deflate"),
            f"{name}-jpeg.tif": encode(rgb, "TIFF", compression="jpeg"),
            f"{name}.bmp": encode(rgb, "BMP"),
            f"{name}-palette.bmp": encode(rgb.quantize(16), "BMP"),
            f"{name}.ppm": encode(rgb, "PPM"),
            f"{name}.tga": encode(rgb, "TGA", compression="tga_rle"),
        }
        if features.check("jpg_2000"):
            files[f"{name}.jp2"] = encode(rgb, "JPEG2000")
        if features.check("avif"):
            files[f"{name}.avif"] = encode(rgb, "AVIF", speed=10, exif=_exif())
        if find_spec("pillow_heif") is not None:
            import pillow_heif

            stream = io.BytesIO()
            pillow_heif.from_pillow(rgb).save(stream, quality=50)
            files[f"{name}.heic"] = stream.getvalue()
    return files


def mutated(number: int) -> tuple[str, bytes]:
    """Returns the file of a number: the same file for the same number.

    Bytes are changed, removed, inserted and repeated, parts of other files are spliced in, the
    file is cut short, and numbers are replaced by extreme ones, mostly near the start, where the
    headers are.
    """
    chosen = random.Random(number)
    name, content = chosen.choice(sorted(seeds().items()))
    data = bytearray(content)
    for _ in range(chosen.randint(1, 8)):
        if not data:
            break
        end = len(data) if chosen.random() < 0.5 else min(len(data), 200)
        at = chosen.randrange(end)
        kind = chosen.randrange(7)
        if kind == 0:
            data[at] = chosen.randrange(256)
        elif kind == 1:
            data[at] ^= 1 << chosen.randrange(8)
        elif kind == 2:
            del data[at : at + chosen.randint(1, 64)]
        elif kind == 3:
            data[at:at] = data[at : at + chosen.randint(1, 64)] * chosen.randint(1, 50)
        elif kind == 4:
            other = chosen.choice(sorted(seeds().values()))
            begin = chosen.randrange(len(other))
            data[at:at] = other[begin : begin + chosen.randint(1, 500)]
        elif kind == 5:
            del data[at:]
        else:
            size = chosen.choice([1, 2, 3, 4])
            extreme = chosen.choice([0, 1, 0x7F, 0xFF, 0x80, 0x40])
            data[at : at + size] = bytes([extreme] * size)
    return f"{number}-{name}", bytes(data)


# Bombs: little files that ask for much


def png(width: int, height: int, *, depth: int = 8, color: int = 2, extra: bytes = b"") -> bytes:
    """Returns a PNG of zeros, whole, about a thousandth of its pixels in size."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    row = bytes(1 + (width * depth * channels + 7) // 8)
    packer = zlib.compressobj(1)
    parts = [packer.compress(row * 100) for _ in range(height // 100)]
    parts += [packer.compress(row * (height % 100)), packer.flush()]
    palette = chunk(b"PLTE", bytes(range(3)) + b"\xff\x80\x40") if color == 3 else b""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + palette
        + chunk(b"IDAT", b"".join(parts))
        + chunk(b"IEND", b"")
    )


def chunk(kind: bytes, content: bytes) -> bytes:
    """Returns a chunk of a PNG."""
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def resized_jpeg(content: bytes, width: int, height: int) -> bytes:
    """Returns a JPEG whose header claims another size."""
    data = bytearray(content)
    at = next(data.find(mark) for mark in (b"\xff\xc0", b"\xff\xc2") if mark in data)
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def jpeg_of_many_scans(width: int, height: int, scans: int, *, size: int = 0) -> bytes:
    """Returns a progressive JPEG whose last, tiny scan is repeated; filled up to a size."""
    content = resized_jpeg(
        encode(Image.new("L", (16, 16), 128), "JPEG", progressive=True), width, height
    )
    last = content.rfind(b"\xff\xda")
    scan = content[last:-2]
    filling = b"\xff\xfe" + struct.pack(">H", 65_535) + bytes(65_533)
    fillings = filling * (-(-max(size - len(content), 0) // len(filling)))
    return content[:2] + fillings + content[2:last] + scan * scans + content[-2:]


def webp(width: int, height: int) -> bytes:
    """Returns a lossless WebP of one color: under 40 bytes, whatever its size."""
    data = bytearray(encode(Image.new("RGB", (16, 16), "red"), "WEBP", lossless=True))
    at = data.find(b"VP8L") + 9
    flags = int.from_bytes(data[at : at + 4], "little") >> 28
    bits = (width - 1) | (height - 1) << 14 | flags << 28
    data[at : at + 4] = bits.to_bytes(4, "little")
    return bytes(data)


def gif(width: int, height: int, frames: int = 1) -> bytes:
    """Returns a GIF with a huge canvas and frames of one pixel."""
    canvas = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    frame = b",\0\0\0\0\1\0\1\0\0\2\2D\1\0"
    return canvas + frame * frames + b";"


def bmp(width: int, height: int, *, bits: int = 8, rle: bool = True) -> bytes:
    """Returns a BMP that ends long before its pixels do."""
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, int(rle), 0, 0, 0, 2, 0)
    body = header + bytes(8) + b"\xff\1" * 1000 + b"\0\1"
    return b"BM" + struct.pack("<IHHI", 14 + len(body), 0, 0, 14 + 48) + body


def tiff(tags: dict[int, int]) -> bytes:
    """Returns a TIFF with these whole numbers as tags and a kilobyte of zeros as pixels."""
    start = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(
        struct.pack("<HHII", tag, 4, 1, start if tag in (273, 324) else value)
        for tag, value in sorted(tags.items())
    )
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4 + 1000)


def _tiff_tags(width: int, height: int, compression: int, **more: int) -> dict[int, int]:
    tags = {256: width, 257: height, 258: 8, 259: compression, 262: 1, 277: 1}
    return tags | {int(tag[1:]): value for tag, value in more.items()}


def bombs() -> dict[str, Callable[[], bytes]]:
    """Returns what makes the constructed files, by name: some take seconds to make."""
    big = SIDE
    small = encode(Image.new("RGB", (16, 16), "red"), "JPEG")
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(9_000_000)))
    profile = chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(9_000_000)))
    files: dict[str, Callable[[], bytes]] = {
        "lossless.webp": lambda: webp(9_000, 9_000),
        "lossless-limit.webp": lambda: webp(big, big),
        "lossless-largest.webp": lambda: webp(16_383, 16_383),
        "lying.jpg": lambda: resized_jpeg(small, big, big),
        "lying-largest.jpg": lambda: resized_jpeg(small, 65_500, 65_500),
        "lying-padded.jpg": lambda: resized_jpeg(small, big, big) + bytes(500_000),
        "scans-hundreds.jpg": lambda: jpeg_of_many_scans(8_000, 8_000, 900),
        "scans-allowed.jpg": lambda: jpeg_of_many_scans(big, big, 12, size=200_000),
        "palette.png": lambda: png(big, big, depth=1, color=3),
        "gray.png": lambda: png(big, big, color=0),
        "rgb.png": lambda: png(big, big),
        "rgba.png": lambda: png(big, big, color=6),
        "deep-gray.png": lambda: png(big, big, depth=16, color=0),
        "deep-rgb.png": lambda: png(big, big, depth=16),
        "text.png": lambda: png(16, 16, extra=text * 3),
        "profile.png": lambda: png(16, 16, extra=profile),
        "largest.png": lambda: png(16, 16).replace(bytes([0, 0, 0, 16]) * 2, b"\0\1\0\0" * 2, 1),
        "canvas.gif": lambda: gif(big, big),
        "canvas-largest.gif": lambda: gif(65_535, 65_535),
        "frames.gif": lambda: gif(2_000, 2_000, frames=100_000),
        "run-length.bmp": lambda: bmp(big, big),
        "plain.bmp": lambda: bmp(big, big, bits=24, rle=False),
        "largest.bmp": lambda: bmp(2**31 - 1, 1),
        "strip.tif": lambda: tiff(_tiff_tags(big, big, 1, t273=0, t278=big, t279=2**31)),
        "packed.tif": lambda: tiff(_tiff_tags(big, big, 32_773, t273=0, t278=big, t279=1_000)),
        "tile.tif": lambda: tiff(
            _tiff_tags(16, 16, 32_773, t322=32_768, t323=32_768, t324=0, t325=1_000)
        ),
        "loop.tif": lambda: tiff(
            _tiff_tags(16, 16, 1, t273=0, t278=16, t279=256, t34665=8, t34853=8)
        ),
        "header.ppm": lambda: b"P6 %d %d 255\n" % (big, big) + bytes(1000),
        "plain.ppm": lambda: b"P3 %d %d 255\n" % (big, big) + b"1 " * 100_000,
        "run-length.tga": lambda: (
            struct.pack("<BBBHHBHHHHBB", 0, 0, 10, 0, 0, 0, 0, 0, big, big, 24, 0)
            + b"\xff\0\0\0" * 1000
        ),
        "program.jpg": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n{} loop\n",
        "text.jpg": lambda: b"not an image\n" * 100,
        "empty.jpg": lambda: b"",
        "drawing.svg": lambda: b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
    }
    if features.check("jpg_2000"):
        data = bytearray(encode(Image.new("RGB", (16, 16)), "JPEG2000", no_jp2=True))
        data[8:16] = struct.pack(">II", big, big)
        data[24:32] = struct.pack(">II", big, big)
        first = bytes(data)
        files["lying.j2k"] = lambda: first
        data = bytearray(encode(Image.new("RGB", (16, 16)), "JPEG2000"))
        at = data.find(b"\xff\x4f\xff\x51")
        data[at + 8 : at + 16] = data[at + 24 : at + 32] = struct.pack(">II", 30_000, 30_000)
        second = bytes(data)
        files["lying.jp2"] = lambda: second
    return files
