"""Image files as an attack: formats, special files, memory, damage; nothing but ImageError."""

from __future__ import annotations

import io
import os
import socket
import struct
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile

from facekit import ImageError, InvalidArgumentError, load_image
from facekit.detection import yunet
from facekit.errors import ImageWarning
from facekit.io.downloads import weights_folders
from facekit.io.images import MAX_PIXELS, image_suffixes, read_image
from tests.fuzz.files import chunk, encode, png, resized_jpeg, webp

PICTURE = Image.linear_gradient("L").convert("RGB")


# What is decoded


@pytest.mark.parametrize(
    "content",
    [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", b"\xc5\xd0\xd3\xc6"],
)
def test_postscript_is_never_run(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr(subprocess, "Popen", never)
    path = tmp_path / "photo.jpg"
    path.write_bytes(content + bytes(64))
    with pytest.raises(ImageError, match="is PostScript, a program, which is not run"):
        load_image(path)


def test_an_opened_postscript_image_is_not_run_either() -> None:
    content = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n\n"
    with pytest.raises(ImageError, match="EPS"):
        load_image(Image.open(io.BytesIO(content)))


@pytest.mark.parametrize("file_format", ["ICO", "ICNS", "PCX", "SGI", "EPS", "PDF", "DDS", "IM"])
def test_other_formats_are_refused(file_format: str) -> None:
    content = encode(PICTURE.resize((64, 64)), file_format)
    with pytest.raises(ImageError, match=r"in a format that facekit reads|PostScript"):
        load_image(content)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX")
@pytest.mark.timeout(20)
def test_only_regular_files_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    os.mkfifo("pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.jpg")
        for name in ("pipe.jpg", "socket.jpg", "/dev/zero"):
            with pytest.raises(ImageError, match=rf"{name}: is a device, a pipe or a socket"):
                load_image(name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX")
@pytest.mark.timeout(20)
def test_a_file_exchanged_for_a_pipe_does_not_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(encode(PICTURE, "JPEG"))
    regular = path.stat()
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(Path, "stat", lambda *_, **__: regular)
    with pytest.raises(ImageError, match="is a device, a pipe or a socket"):
        load_image(path)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("data:image/jpeg;base64," + "A" * 163_000, "is a data: address"),
        ("rtsp://admin:secret@camera/stream", "is the address of a video stream"),
        (Path("rtsp://camera/stream"), "is the address of a video stream"),
        ("file:///home/ada/photo.jpg", "without file://"),
        ("s3://bucket/photo.jpg", "facekit does not download images"),
    ],
)
def test_an_address_is_one_short_sentence(source: str, message: str) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        load_image(source)
    assert len(str(caught.value)) < 200
    assert "secret" not in str(caught.value)


def test_a_message_holds_no_control_characters(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[2J\nb.jpg"
    path.write_bytes(b"x")
    with pytest.raises(ImageError) as caught:
        load_image(path)
    assert str(caught.value).isprintable()


# Bounds


def test_pixels_are_bounded_before_anything_is_allocated(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(image: Image.Image) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", never)
    small = encode(PICTURE, "JPEG")
    for content in (
        webp(16_383, 16_383),
        webp(10_900, 10_900),
        resized_jpeg(small, 10_900, 10_900),
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", b""),
    ):
        with pytest.raises(ImageError, match=r"pixels|damaged"):
            load_image(content)


@pytest.mark.filterwarnings("error")
def test_pillow_neither_warns_nor_is_its_limit_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    # A tenth of Pillow's limit, so that the test is fast.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    content = png(300, 300)
    assert load_image(content).shape == (300, 300, 3)
    assert Image.MAX_IMAGE_PIXELS == 10_000
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(content))


def test_a_larger_limit_lets_a_larger_file_in() -> None:
    content = encode(PICTURE, "PNG")
    pixels = PICTURE.size[0] * PICTURE.size[1]
    with pytest.raises(ImageError, match="raise max_pixels"):
        load_image(content, max_pixels=pixels - 1)
    with pytest.raises(InvalidArgumentError, match="max_pixels"):
        load_image(content, max_pixels=0)
    assert load_image(content, max_pixels=pixels).shape == (256, 256, 3)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of the memory from /proc")
@pytest.mark.parametrize(("kind", "bytes_a_pixel"), [("JPEG", 8), ("PNG", 8), ("rotated", 8)])
def test_one_copy_of_the_pixels_is_held(tmp_path: Path, kind: str, bytes_a_pixel: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6 if kind == "rotated" else 1
    side = 5000
    path = tmp_path / "photo"
    image = Image.linear_gradient("L").convert("RGB").resize((side, side))
    image.save(path, "PNG" if kind == "PNG" else "JPEG", exif=exif)
    program = (
        "import re, sys\n"
        "from facekit import load_image\n"
        "def peak():\n"
        "    return int(re.findall(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[0])\n"
        "load_image(b'GIF89a\\1\\0\\1\\0\\x80\\0\\0' + bytes(6) + b',\\0\\0\\0\\0\\1\\0\\1\\0\\0'\n"
        "           b'\\2\\2D\\1\\0;')\n"
        "before = peak()\n"
        "load_image(sys.argv[1])\n"
        "print(1024 * (peak() - before))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    assert int(answer.stdout) < bytes_a_pixel * side * side


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of the memory from /proc")
@pytest.mark.parametrize(
    ("detector", "width", "height"),
    [
        ("mtcnn", 6000, 5000),
        pytest.param("yunet", 6000, 5000, marks=pytest.mark.check),
        pytest.param("mtcnn", 8660, 5774, marks=pytest.mark.check),
    ],
)
def test_a_large_image_costs_a_command_few_bytes_a_pixel(
    tmp_path: Path, hopper: Path, detector: str, width: int, height: int
) -> None:
    if detector == "yunet" and tuple(map(int, cv2.__version__.split(".")[:2])) < (4, 13):
        pytest.skip("YuNet needs OpenCV 4.13")
    if detector == "yunet" and not any(
        (folder / yunet.FILE).is_file() for folder in weights_folders(yunet.NAME)
    ):
        pytest.skip("needs YuNet's weights")
    image = Image.new("RGB", (width, height), "gray")
    image.paste(Image.open(hopper), (2900, 2000))
    image.save(tmp_path / "photo.jpg")
    program = (
        "import re, sys\n"
        "from facekit.cli import main\n"
        "assert main(sys.argv[1:]) == 0\n"
        "print(re.findall(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[0])"
    )
    words = ["detect", tmp_path / "photo.jpg", "--detector", detector, "--output", tmp_path / "out"]
    answer = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=True
    )
    first, *_, peak = answer.stdout.splitlines()
    assert first.endswith("photo.jpg: 1 face")
    assert 1024 * int(peak) < 8 * width * height + 300e6


# Reduced size


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 400), st.sampled_from([1, 6, 3]))
def test_a_reduced_jpeg_keeps_the_side_and_says_the_size_of_the_whole(
    width: int, height: int, side: int, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encode(PICTURE.resize((width, height)), "JPEG", exif=exif)
    whole = load_image(content)
    image = read_image(content, max_side=side)
    assert (image.height, image.width) == whole.shape[:2]
    assert max(image.pixels.shape[:2]) >= min(side, max(whole.shape[:2]))
    assert image.scale[0] <= 8
    assert image.scale[1] <= 8


def test_a_reduced_jpeg_is_the_image_made_smaller() -> None:
    whole = load_image(encode(PICTURE, "JPEG", quality=95))
    image = read_image(encode(PICTURE, "JPEG", quality=95), max_side=64)
    assert image.pixels.shape == (64, 64, 3)
    assert image.scale == (4.0, 4.0)
    expected = whole.reshape(64, 4, 64, 4, 3).mean(axis=(1, 3))
    assert np.abs(image.pixels - expected).mean() < 2


def test_a_reduced_jpeg_is_held_to_the_limit_at_its_reduced_size() -> None:
    content = encode(PICTURE, "JPEG")
    assert read_image(content, max_side=64, max_pixels=64 * 64).pixels.shape == (64, 64, 3)
    with pytest.raises(ImageError, match="more than the limit"):
        read_image(content, max_pixels=64 * 64)


def test_other_formats_are_decoded_whole() -> None:
    image = read_image(encode(PICTURE, "PNG"), max_side=16)
    assert (image.pixels.shape, image.scale) == ((256, 256, 3), (1.0, 1.0))


# Damage that is not the image's


def entry(tag: int, kind: int, count: int, value: int) -> bytes:
    """Returns an entry of a TIFF directory."""
    return struct.pack("<HHII", tag, kind, count, value)


def exif(*entries: bytes) -> bytes:
    """Returns EXIF data with one directory."""
    count = struct.pack("<H", len(entries))
    return b"Exif\0\0II*\0\x08\0\0\0" + count + b"".join(entries) + bytes(4)


TURNED = entry(0x0112, 3, 1, 6)


@pytest.mark.parametrize(
    "block",
    [
        b"Exif\0\0II*\0\x08\0\0",
        b"Exif\0\0XX*\0\x08\0\0\0",
        b"Exif\0\0no TIFF at all",
        b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(20),
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x03\0\xff\xff\xff\xff" * 20,
        exif(entry(0x0112, 3, 2**32 - 1, 6)),
        exif(TURNED)[:20],
    ],
)
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_an_image_with_damaged_exif_data_is_used_as_it_is_stored(
    block: bytes, file_format: str
) -> None:
    options: dict[str, Any] = {} if file_format == "JPEG" else {"lossless": True}
    content = encode(PICTURE, file_format, exif=block, **options)
    with pytest.warns(ImageWarning, match="the EXIF data is damaged") as caught:
        pixels = load_image(content)
    assert np.array_equal(pixels, load_image(encode(PICTURE, file_format, **options)))
    assert [item.category for item in caught] == [ImageWarning], "not Pillow's own"


@pytest.mark.parametrize("block", [exif(), exif(TURNED, entry(0x010F, 2, 10**6, 2**32 - 16))])
def test_other_exif_data_does_not_matter(block: bytes) -> None:
    content = encode(PICTURE.resize((8, 6)), "JPEG", exif=block)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_image(content).shape == ((8, 6, 3) if TURNED in block else (6, 8, 3))


def fail(*_: object) -> None:
    raise struct.error("unpack requires a buffer of 12 bytes")


def test_damaged_exif_data_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encode(PICTURE, "PNG")
    monkeypatch.setattr(Image.Image, "getexif", fail)  # what Pillow raises differs by version
    with pytest.warns(ImageWarning, match=r"the bytes given: the EXIF data is damaged \(unpack"):
        assert np.array_equal(load_image(content), np.asarray(PICTURE))


@pytest.mark.parametrize("lost", [1, 2, 30, 700])
def test_a_jpeg_without_its_end_is_used_if_so_asked(lost: int) -> None:
    content = encode(PICTURE, "JPEG", quality=95)[:-lost]
    with pytest.raises(ImageError, match="truncated"):
        load_image(content)
    with pytest.warns(ImageWarning, match="the bytes given: the file ends early"):
        pixels = load_image(content, truncated="use")
    whole = load_image(encode(PICTURE, "JPEG", quality=95))
    assert np.array_equal(pixels[:128], whole[:128])
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_a_whole_jpeg_is_the_same_and_without_a_warning() -> None:
    content = encode(PICTURE, "JPEG")
    assert np.array_equal(load_image(content, truncated="use"), load_image(content))


@pytest.mark.parametrize("length", range(0, 640, 20))
def test_a_jpeg_cut_in_its_header_is_refused(length: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            load_image(encode(PICTURE, "JPEG")[:length], truncated="use")
        except ImageError:
            return
    assert length > 300


def test_another_answer_to_a_missing_end_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="truncated"):
        load_image(encode(PICTURE, "JPEG"), truncated="maybe")  # type: ignore[arg-type]


# Deep gray


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_deep_gray_is_scaled_by_the_bits_that_it_uses(bits: int, file_format: str) -> None:
    gray = np.asarray(PICTURE)[..., 0].astype(np.uint32)
    deep = (gray * (2**bits - 1) // 255).astype(np.uint16)
    pixels = load_image(encode(Image.fromarray(deep), file_format))
    assert np.abs(pixels[..., 0].astype(int) - gray).max() <= 1


def test_big_endian_deep_gray_is_the_same() -> None:
    gray = (np.asarray(PICTURE)[..., 0].astype(np.uint16) * 16).astype(">u2")
    tags = {256: 256, 257: 256, 258: 16, 259: 1, 262: 1, 273: 8, 277: 1, 278: 256, 279: 131_072}
    entries = b"".join(struct.pack(">HHII", tag, 4, 1, value) for tag, value in tags.items())
    content = b"MM\0*" + struct.pack(">I", 8 + gray.nbytes) + gray.tobytes()
    content += struct.pack(">H", len(tags)) + entries + bytes(4)
    pixels = load_image(content)
    assert np.abs(pixels[..., 0].astype(int) - gray // 16).max() <= 1


# HEIC


def test_heic_is_read_with_the_extra() -> None:
    heif = pytest.importorskip("pillow_heif")
    stream = io.BytesIO()
    heif.from_pillow(PICTURE).save(stream, quality=90)
    pixels = load_image(stream.getvalue())
    assert np.abs(pixels.astype(int) - np.asarray(PICTURE)).mean() < 3
    assert ".heic" in image_suffixes()
    assert "HEIF" not in Image.OPEN, "nothing is registered for the whole process"


def test_heic_without_the_extra_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from facekit.io import decoding

    monkeypatch.setattr(decoding, "has_heic", lambda: False)
    decoding._factories.cache_clear()
    try:
        with pytest.raises(ImageError, match=r"is HEIC.*pip install 'facekit-recognition\[heic\]'"):
            load_image(b"\0\0\0\x18ftypheic" + bytes(64))
        assert ".heic" not in image_suffixes()
    finally:
        decoding._factories.cache_clear()


# Threads


@pytest.mark.filterwarnings("ignore:.*the EXIF data is damaged")
def test_threads_leave_the_filters_of_warnings_as_they_were() -> None:
    content = encode(PICTURE, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(20))
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(load_image, [content] * 64))
    assert list(warnings.filters) == before


def test_the_default_limit_lets_phones_in() -> None:
    assert MAX_PIXELS > 108_000_000
