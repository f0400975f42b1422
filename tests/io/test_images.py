"""Laws of reading pictures: whatever comes in, RGB uint8 or an ImageError comes out."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageFile

from facekit import ImageError, load_image
from facekit.io.images import MAX_PIXELS, describe_source

UInt8 = npt.NDArray[np.uint8]

sides = st.integers(1, 12)
rgb_arrays = st.tuples(sides, sides).flatmap(lambda side: hnp.arrays(np.uint8, (*side, 3)))
gray_arrays = st.tuples(sides, sides).flatmap(lambda side: hnp.arrays(np.uint8, side))
rgba_arrays = st.tuples(sides, sides).flatmap(lambda side: hnp.arrays(np.uint8, (*side, 4)))
deep_arrays = st.tuples(sides, sides).flatmap(lambda side: hnp.arrays(np.uint16, side))
valid_shapes = st.tuples(sides, sides) | st.tuples(sides, sides, st.sampled_from([1, 3, 4]))


def encode(image: Image.Image | UInt8, file_format: str = "PNG", **options: Any) -> bytes:
    """Returns the bytes of a picture file."""
    stream = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(stream, file_format, **options)
    return stream.getvalue()


def smooth_picture(height: int = 48, width: int = 64) -> UInt8:
    """Returns a picture with a gradient in each channel: JPEG keeps it, every turn changes it."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 / width, y * 255 / height, (x + y) * 1.5], axis=2).astype(np.uint8)


def png_of_zeros(width: int, height: int) -> bytes:
    """Returns a PNG that says it is so large, but holds no pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"")
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


# Arrays


@given(valid_shapes.flatmap(lambda shape: hnp.arrays(np.uint8, shape)))
def test_array_gives_rgb_of_the_same_size(array: UInt8) -> None:
    picture = load_image(array)
    assert picture.dtype == np.uint8
    assert picture.shape == (*array.shape[:2], 3)
    assert picture.flags.c_contiguous


@given(rgb_arrays)
def test_rgb_array_stays_as_it_is(array: UInt8) -> None:
    assert load_image(array) is array


@given(rgb_arrays)
def test_reversed_channels_are_reversed(array: UInt8) -> None:
    bgr = array[..., ::-1]
    assert np.array_equal(load_image(bgr), bgr)


@given(gray_arrays)
def test_gray_gives_three_equal_channels(array: UInt8) -> None:
    picture = load_image(array)
    assert all(np.array_equal(picture[..., channel], array) for channel in range(3))


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_a_matrix_is_gray() -> None:
    array = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert np.array_equal(load_image(np.asmatrix(array)), load_image(array))


@given(gray_arrays)
def test_one_channel_is_gray(array: UInt8) -> None:
    assert np.array_equal(load_image(array[..., np.newaxis]), load_image(array))


@given(rgb_arrays)
def test_opaque_rgba_is_rgb(array: UInt8) -> None:
    alpha = np.full((*array.shape[:2], 1), 255, np.uint8)
    assert np.array_equal(load_image(np.concatenate([array, alpha], axis=2)), array)


@given(rgba_arrays)
def test_transparent_array_lies_on_white(array: UInt8) -> None:
    alpha = array[..., 3:] / 255
    expected = array[..., :3] * alpha + 255 * (1 - alpha)
    assert np.abs(load_image(array) - expected).max() <= 0.5 + 1e-9


@given(rgba_arrays)
def test_array_and_file_are_laid_on_white_alike(array: UInt8) -> None:
    assert np.array_equal(load_image(array), load_image(encode(array)))


@given(gray_arrays)
def test_sixteen_bit_array_is_scaled(array: UInt8) -> None:
    assert np.array_equal(load_image(array.astype(np.uint16) * 257), load_image(array))


@given(deep_arrays)
def test_sixteen_bit_array_is_rounded(array: npt.NDArray[np.uint16]) -> None:
    assert np.abs(load_image(array)[..., 0] - array / 257).max() <= 0.5


# Files, bytes, file objects, PIL images


@given(rgb_arrays)
def test_png_bytes_give_the_pixels_back(array: UInt8) -> None:
    content = encode(array)
    for source in (content, bytearray(content), memoryview(content), io.BytesIO(content)):
        assert np.array_equal(load_image(source), array)


@given(rgb_arrays)
def test_pil_image_gives_the_pixels_back(array: UInt8) -> None:
    assert np.array_equal(load_image(Image.fromarray(array)), array)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".jpg", ""])
def test_png_file_gives_the_pixels_back_whatever_its_name(tmp_path: Path, suffix: str) -> None:
    array = smooth_picture()
    path = tmp_path / f"Zoë Å{suffix}"
    path.write_bytes(encode(array))
    assert np.array_equal(load_image(path), array)
    assert np.array_equal(load_image(str(path)), array)
    with path.open("rb") as stream:
        assert np.array_equal(load_image(stream), array)


@pytest.mark.parametrize("file_format", ["BMP", "TIFF", "PPM", "TGA"])
def test_lossless_formats_give_the_pixels_back(file_format: str) -> None:
    assert np.array_equal(load_image(encode(smooth_picture(), file_format)), smooth_picture())


def test_relative_path_starts_at_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photo.png").write_bytes(encode(smooth_picture()))
    monkeypatch.chdir(tmp_path)
    assert np.array_equal(load_image("photo.png"), smooth_picture())


def test_file_object_is_read_from_its_start() -> None:
    stream = io.BytesIO(encode(smooth_picture()))
    stream.seek(10)
    assert np.array_equal(load_image(stream), smooth_picture())


def test_file_object_stays_open() -> None:
    stream = io.BytesIO(encode(smooth_picture()))
    load_image(stream)
    assert not stream.closed


class OnlyReads:
    """A stream as some network libraries give it: it can neither seek nor tell."""

    def __init__(self, content: bytes) -> None:
        self._stream = io.BytesIO(content)

    def read(self, size: int = -1) -> bytes:
        return self._stream.read(size)


def test_stream_that_only_reads_is_enough() -> None:
    picture = load_image(OnlyReads(encode(smooth_picture())))  # type: ignore[arg-type]
    assert np.array_equal(picture, smooth_picture())


def test_stream_that_only_reads_may_hold_no_picture() -> None:
    with pytest.raises(ImageError):
        load_image(OnlyReads(b"no picture"))  # type: ignore[arg-type]


def test_picture_from_a_file_can_be_written_to() -> None:
    picture = load_image(encode(smooth_picture()))
    picture[0, 0] = 7
    assert picture[0, 0].tolist() == [7, 7, 7]


def test_jpeg_is_near_its_pixels() -> None:
    difference = load_image(encode(smooth_picture(), "JPEG", quality=95)).astype(int)
    assert np.abs(difference - smooth_picture()).mean() < 2


# Orientation


# What a camera stores when the upright picture is to be turned so on showing: EXIF's eight cases.
STORED: dict[int, Callable[[UInt8], UInt8]] = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: np.rot90(upright, 2).swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}


def with_orientation(orientation: Any) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "WEBP"])
def test_every_orientation_gives_the_upright_picture(file_format: str, orientation: int) -> None:
    stored = np.ascontiguousarray(STORED[orientation](smooth_picture()))
    options = {"lossless": True} if file_format == "WEBP" else {}
    content = encode(stored, file_format, exif=with_orientation(orientation), **options)
    assert np.array_equal(load_image(content), smooth_picture())


@pytest.mark.parametrize("orientation", STORED)
def test_every_orientation_of_a_jpeg_gives_the_upright_picture(orientation: int) -> None:
    stored = np.ascontiguousarray(STORED[orientation](smooth_picture()))
    content = encode(stored, "JPEG", quality=95, exif=with_orientation(orientation))
    assert np.abs(load_image(content).astype(int) - smooth_picture()).mean() < 2


def test_orientation_of_a_sixteen_bit_picture_is_applied() -> None:
    gray = smooth_picture()[..., 0]
    stored = np.ascontiguousarray(np.rot90(gray)).astype(np.uint16) * 257
    assert np.array_equal(load_image(encode(stored, exif=with_orientation(6)))[..., 0], gray)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_unknown_orientation_is_upright(orientation: int) -> None:
    content = encode(smooth_picture(), exif=with_orientation(orientation))
    assert np.array_equal(load_image(content), smooth_picture())


def test_odd_exif_entry_beside_the_orientation_does_no_harm() -> None:
    # A rational where a whole number belongs (ImageWidth): found in photos of old cameras.
    entries = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0) + struct.pack("<HHII", 0x0100, 5, 1, 38)
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 2) + entries + bytes(4) + bytes(8)
    stored = np.ascontiguousarray(np.rot90(smooth_picture()))
    assert np.array_equal(load_image(encode(stored, exif=exif)), smooth_picture())


# Modes


@given(deep_arrays)
def test_sixteen_bit_png_is_like_the_array(array: npt.NDArray[np.uint16]) -> None:
    array[0, 0] = 65535
    assert np.array_equal(load_image(encode(Image.fromarray(array))), load_image(array))


@given(gray_arrays)
def test_gray_file_gives_three_equal_channels(array: UInt8) -> None:
    assert np.array_equal(load_image(encode(array)), load_image(array))


@given(hnp.arrays(np.bool_, (5, 9)))
def test_black_and_white_file_gives_0_and_255(array: npt.NDArray[np.bool_]) -> None:
    assert np.array_equal(load_image(encode(Image.fromarray(array)))[..., 0], array * 255)


@given(hnp.arrays(np.uint8, (4, 6), elements=st.integers(0, 3)))
def test_palette_gives_its_colors(array: UInt8) -> None:
    colors = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 8, 7]], np.uint8)
    picture = Image.fromarray(array, "P")
    picture.putpalette(colors.tobytes())
    assert np.array_equal(load_image(encode(picture)), colors[array])


@given(hnp.arrays(np.uint8, (4, 6), elements=st.integers(0, 2)))
def test_transparent_palette_entry_is_white(array: UInt8) -> None:
    picture = Image.fromarray(array, "P")
    picture.putpalette(bytes([255, 0, 0, 0, 255, 0, 0, 0, 255]))
    colors = np.array([[255, 0, 0], [255, 255, 255], [0, 0, 255]], np.uint8)
    assert np.array_equal(load_image(encode(picture, transparency=1)), colors[array])


@given(rgba_arrays)
def test_gray_with_alpha_lies_on_white(array: UInt8) -> None:
    gray, alpha = array[..., 0], array[..., 3]
    picture = Image.merge("LA", [Image.fromarray(gray), Image.fromarray(alpha)])
    as_rgba = np.dstack([gray, gray, gray, alpha])
    difference = load_image(encode(picture)).astype(int) - load_image(as_rgba)
    assert np.abs(difference).max() <= 1


def test_cmyk_jpeg_gives_its_colors() -> None:
    picture = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    color = load_image(encode(picture, "JPEG", quality=95)).mean(axis=(0, 1))
    assert np.abs(color - [255, 0, 0]).max() < 4


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "PA", "RGBA", "RGBX", "YCbCr", "HSV", "I"])
def test_every_mode_gives_rgb(mode: str) -> None:
    assert load_image(Image.new(mode, (4, 3))).shape == (3, 4, 3)


@pytest.mark.parametrize("mode", ["F", "La"])
def test_mode_without_rgb_is_refused(mode: str) -> None:
    with pytest.raises(ImageError):
        load_image(Image.new(mode, (4, 3)))


def test_thirty_two_bit_pixels_are_refused() -> None:
    with pytest.raises(ImageError, match="32-bit"):
        load_image(Image.fromarray(np.array([[0, 70_000]], np.int32)))


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_animation_gives_its_first_frame(file_format: str) -> None:
    colors = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    first, *others = (Image.new("RGB", (8, 6), color) for color in colors)
    options = {"lossless": True} if file_format == "WEBP" else {}
    content = encode(first, file_format, save_all=True, append_images=others, **options)
    assert np.array_equal(load_image(content), np.full((6, 8, 3), colors[0], np.uint8))


def test_first_frame_is_taken_whichever_was_shown_last() -> None:
    first, second = (Image.new("RGB", (8, 6), color) for color in ["red", "blue"])
    image = Image.open(io.BytesIO(encode(first, "GIF", save_all=True, append_images=[second])))
    image.seek(1)
    assert load_image(image)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"])
def test_one_pixel_is_a_picture(file_format: str) -> None:
    white = np.full((1, 1, 3), 255, np.uint8)
    assert np.array_equal(load_image(encode(white, file_format)), white)


# Errors: each names the file or the argument


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"ghost\.jpg: no such file"):
        load_image(tmp_path / "ghost.jpg")


def test_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as caught:
        load_image(tmp_path)
    assert str(caught.value) == f"{tmp_path}: is a folder, not an image"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "0 bytes"),
        (b"just a letter to you", "not an image"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00", "HEIC|not an image"),
        (encode(smooth_picture(), "JPEG")[:700], "truncated"),
        (encode(smooth_picture(), "PNG")[:-40], "truncated"),
    ],
    ids=["empty", "text", "heic", "truncated-jpeg", "truncated-png"],
)
def test_file_that_is_no_picture_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "renamed.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=rf"renamed\.jpg: .*{reason}"):
        load_image(path)


def test_file_object_is_named(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear reader")
    with path.open("rb") as stream, pytest.raises(ImageError, match=r"letter\.txt"):
        load_image(stream)


def test_bytes_are_named() -> None:
    with pytest.raises(ImageError, match="the bytes given"):
        load_image(b"no picture")


def test_text_stream_is_refused() -> None:
    with pytest.raises(ImageError):
        load_image(io.StringIO("no picture"))  # type: ignore[arg-type]


@pytest.mark.parametrize("url", ["https://example.com/a.jpg", "http://example.com/a.jpg"])
def test_address_is_named_and_not_fetched(url: str) -> None:
    with pytest.raises(ImageError) as caught:
        load_image(url)
    assert str(caught.value).startswith(f"{url}: facekit does not download images")


@pytest.mark.parametrize("path", ["a\0b.jpg", "x" * 5000, "", "photo.jpg/inner.jpg"])
def test_impossible_path_is_an_image_error(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photo.jpg").write_bytes(encode(smooth_picture()))
    with pytest.raises(ImageError):
        load_image(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_unreadable_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(encode(smooth_picture()))
    path.chmod(0)
    with pytest.raises(ImageError, match=r"secret\.png"):
        load_image(path)


@pytest.mark.parametrize("source", [None, 3, 2.5, [[0, 1]], {}, object()])
def test_something_else_is_named_by_its_type(source: Any) -> None:
    with pytest.raises(ImageError, match=type(source).__name__):
        load_image(source)


@pytest.mark.parametrize("dtype", [bool, "int8", "int64", "float16", "float32", "float64", object])
def test_array_type_is_named(dtype: Any) -> None:
    array = np.zeros((4, 4, 3), dtype)
    with pytest.raises(ImageError, match=str(array.dtype)):
        load_image(array)


@pytest.mark.parametrize(("high", "advice"), [(1.0, r"255 \* image"), (255.0, r"clip\(image")])
def test_float_array_gets_advice_that_works(high: float, advice: str) -> None:
    array = np.linspace(0, high, 12).reshape(2, 2, 3)
    with pytest.raises(ImageError, match=advice):
        load_image(array)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_array_with_nan_is_said_to_have_it(value: float) -> None:
    with pytest.raises(ImageError, match="NaN or infinite"):
        load_image(np.full((4, 4, 3), value))


@given(
    hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=7).filter(
        lambda shape: len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3, 4))
    )
)
@example((3, 8, 9))
@example((2, 8, 9, 3))
def test_array_shape_is_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError) as caught:
        load_image(np.zeros(shape, np.uint8))
    assert f"got shape {shape}" in str(caught.value)


def test_channels_first_gets_advice() -> None:
    with pytest.raises(ImageError, match="moveaxis"):
        load_image(np.zeros((3, 8, 9), np.uint8))


def test_batch_gets_advice() -> None:
    with pytest.raises(ImageError, match="one by one"):
        load_image(np.zeros((2, 8, 9, 3), np.uint8))


@pytest.mark.parametrize("shape", [(0, 5), (5, 0, 3), (0, 0, 4)])
def test_array_without_pixels_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match="no pixels"):
        load_image(np.zeros(shape, np.uint8))


# The limit


@pytest.mark.parametrize(
    "source",
    [smooth_picture(10, 10), encode(smooth_picture(10, 10)), Image.new("L", (10, 10))],
    ids=["array", "bytes", "pil"],
)
def test_limit_itself_is_accepted_and_one_less_not(source: Any) -> None:
    assert load_image(source, max_pixels=100).shape == (10, 10, 3)
    with pytest.raises(ImageError, match=r"10 × 10 pixels, more than the limit of 99"):
        load_image(source, max_pixels=99)


@pytest.mark.parametrize("pillow_limit", [Image.MAX_IMAGE_PIXELS, None])
def test_huge_file_is_refused_without_being_decoded(
    pillow_limit: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(image: Image.Image) -> None:
        raise AssertionError("decoded")

    path = tmp_path / "huge.png"
    path.write_bytes(png_of_zeros(20_000, 20_000))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pillow_limit)
    monkeypatch.setattr(ImageFile.ImageFile, "load", never)
    with pytest.raises(ImageError, match=r"huge\.png: has .*pixels"):
        load_image(path)


def test_array_is_in_memory_already_and_has_no_limit_but_the_one_given() -> None:
    huge = np.broadcast_to(np.uint8(0), (20_000, 20_000, 3))
    with pytest.raises(ImageError, match="20000 × 20000"):
        load_image(huge, max_pixels=MAX_PIXELS)
    wide = np.zeros((1, MAX_PIXELS + 1, 3), np.uint8)
    assert load_image(wide) is wide


# Damage


DAMAGED = {
    "png": encode(smooth_picture(20, 20), exif=with_orientation(6)),
    "jpeg": encode(smooth_picture(20, 20), "JPEG", exif=with_orientation(6)),
    "gif": encode(smooth_picture(20, 20), "GIF"),
    "tiff": encode(smooth_picture(20, 20), "TIFF"),
    "bmp": encode(smooth_picture(20, 20), "BMP"),
    "webp": encode(smooth_picture(20, 20), "WEBP"),
}


@pytest.mark.filterwarnings("ignore")  # Pillow warns of what it can still read
@pytest.mark.parametrize("name", DAMAGED)
@given(data=st.data())
def test_damaged_file_gives_a_picture_or_our_error(name: str, data: st.DataObject) -> None:
    content = bytearray(DAMAGED[name])
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        picture = load_image(content, max_pixels=1_000_000)
    except ImageError:
        return
    assert picture.dtype == np.uint8
    assert picture.ndim == 3


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", DAMAGED)
@given(data=st.data())
def test_truncated_file_gives_all_pixels_or_our_error(name: str, data: st.DataObject) -> None:
    # Some formats end with a mark or a checksum behind the last pixel.
    content = DAMAGED[name]
    length = data.draw(st.integers(0, len(content) - 1))
    try:
        picture = load_image(content[:length])
    except ImageError:
        return
    assert length >= len(content) - 64
    assert np.array_equal(picture, load_image(content))


def test_every_truncation_of_a_jpeg_is_our_error() -> None:
    content = DAMAGED["jpeg"]
    for length in range(len(content)):
        with pytest.raises(ImageError):
            load_image(content[:length])


@pytest.mark.parametrize("error", [RuntimeError, struct.error, KeyError, AssertionError])
def test_error_inside_a_decoder_is_ours(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(image: Image.Image) -> None:
        raise error("inside")

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    with pytest.raises(ImageError, match=r"the bytes given: .*inside"):
        load_image(encode(smooth_picture(), "BMP"))


# Names


@pytest.mark.parametrize(
    ("source", "name"),
    [("a.jpg", "a.jpg"), (Path("b/c.jpg"), str(Path("b/c.jpg"))), (b"", "image"), (None, "image")],
)
def test_source_is_called_by_its_path_or_the_fallback(source: Any, name: str) -> None:
    assert describe_source(source) == name


def test_opened_picture_is_called_by_its_file(hopper: Path) -> None:
    with Image.open(hopper) as image:
        assert describe_source(image) == str(hopper)
