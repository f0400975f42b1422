"""The layout of a gallery's blocks: vectors, and records of images and people."""

from __future__ import annotations

import zlib
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from facekit.gallery.records import EnrolledImage, FaceSource

Vectors: TypeAlias = npt.NDArray[np.float32]
Records: TypeAlias = npt.NDArray[Any]
Data: TypeAlias = bytes | bytearray

BLOCK_BYTES = 1 << 17
"""The approximate size of a block of vectors, which SQLite reads and checks for one image."""

TEXT_BYTES = 1 << 15
"""The size of a block of text, in bytes."""

# Beside each vector: the number of its person, from 1, and the checksum of both.
OWNER = np.dtype([("person", "<u4"), ("checksum", "<u4")])
# The place of an image's source in "texts", its file's SHA-256 and the face in it.
IMAGE = np.dtype(
    [
        ("text", "<u8"),
        ("length", "<u4"),
        ("known", "<u4"),  # bit 0: the SHA-256, bit 1: the box
        ("sha256", "V32"),
        ("box", "<f8", 4),
        ("checksum", "<u4"),
    ]
)
# The place of a person's name in "names", and of the metadata in "texts".
PERSON = np.dtype(
    [
        ("name", "<u8"),
        ("length", "<u4"),
        ("note_length", "<u4"),
        ("note", "<u8"),
        ("checksum", "<u4"),
    ]
)


class Layout:
    """How vectors and records are arranged in blocks."""

    def __init__(self, size: int, rows: int) -> None:
        self.size, self.rows = size, rows
        self.vector_bytes = rows * (4 * size + OWNER.itemsize)

    def vectors(self, data: Data) -> tuple[Vectors, Records]:
        """Returns the vectors of a block, ``(rows, size)``, and their owners; views of it."""
        held = np.frombuffer(data, "<f4", self.rows * self.size)
        owners = np.frombuffer(data, OWNER, self.rows, offset=held.nbytes)
        return held.reshape(self.rows, self.size), owners

    def whole_rows(self, index: int, data: Data) -> npt.NDArray[np.bool_]:
        """Returns which rows of a block are erased or match their checksums."""
        vectors, owners = self.vectors(data)
        checksums = owner_checksums(index * self.rows, owners["person"], vectors)
        empty = (owners["person"] == 0) & ~vectors.view(np.uint32).any(axis=1)
        whole: npt.NDArray[np.bool_] = (owners["checksum"] == checksums) | empty
        return whole


def encoded(text: str) -> bytes:
    """Returns text in UTF-8; the name of a file or folder may hold bytes that are not UTF-8."""
    return text.encode("utf-8", "surrogatepass")


def decoded(data: Data) -> str:
    """Returns the text that :func:`encoded` gave."""
    return data.decode("utf-8", "surrogatepass")


def rows_in_a_block(size: int) -> int:
    """Returns how many vectors of that size a block holds: a power of two, 64 to 1024."""
    return int(max(64, min(1024, 1 << (BLOCK_BYTES // (4 * size)).bit_length() - 1)))


def owner_checksums(first: int, people: Records, vectors: Vectors) -> list[int]:
    """Returns the checksums of vectors with their people, from that row on."""
    rows = np.ascontiguousarray(vectors, "<f4")
    return [
        zlib.crc32(vector, zlib.crc32(b"%d,%d" % (first + place, person)))
        for place, (vector, person) in enumerate(zip(rows, people.tolist(), strict=True))
    ]


def image_records(first: int, sources: list[FaceSource], texts: list[bytes], start: int) -> Records:
    """Returns the records of images whose sources begin at ``start``, from that row on."""
    records = np.zeros(len(sources), IMAGE)
    records["length"] = [len(text) for text in texts]
    ends = np.cumsum(records["length"], dtype=np.uint64)
    records["text"] = np.uint64(start) + ends - records["length"]
    for place, source in enumerate(sources):
        record = records[place]
        if source.sha256 is not None:
            record["known"] |= 1
            record["sha256"] = bytes.fromhex(source.sha256)
        if source.box is not None:
            record["known"] |= 2
            record["box"] = source.box
        record["checksum"] = checksum(first + place, record, texts[place])
    return records


def image_of(record: Any, text: bytes, row: int, person: str) -> EnrolledImage:
    """Returns the image that a record describes."""
    known = int(record["known"])
    x, y, width, height = record["box"].tolist()
    return EnrolledImage(
        decoded(text),
        sha256=record["sha256"].tobytes().hex() if known & 1 else None,
        box=(x, y, width, height) if known & 2 else None,
        id=row + 1,
        person=person,
    )


def checksum(number: int, record: Any, text: bytes) -> int:
    """Returns the checksum of a record with its number and its text."""
    return zlib.crc32(text, zlib.crc32(record.tobytes()[:-4], zlib.crc32(b"%d" % number)))


def short_digests(records: Records) -> npt.NDArray[np.uint64]:
    """Returns the first eight bytes of each image's SHA-256; 0 where it is not known."""
    return np.frombuffer(records["sha256"].tobytes(), "<u8")[::4].astype(np.uint64)
