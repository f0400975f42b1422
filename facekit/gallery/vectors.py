"""The vectors of a gallery: rows that are appended, read through a memory map, and zeroed."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from facekit.errors import FileFormatError

Vectors: TypeAlias = npt.NDArray[np.float32]

# The file is a safetensors file whose header is padded to a page, so that it can be rewritten in
# place when rows are appended, and so that the rows are aligned.
_HEADER_SIZE = 4096
_TENSOR = "embeddings"


class VectorStore(Protocol):
    """Rows of vectors; how many of them count, the catalogue says."""

    def append(self, start: int, rows: Vectors) -> None:
        """Writes rows behind the first ``start`` ones, and to the disk, before it returns."""

    def cut(self, count: int) -> None:
        """Takes away what lies behind the first ``count`` rows."""

    def erase(self, rows: npt.NDArray[np.int64]) -> None:
        """Overwrites rows with zeros, on the disk, too, before it returns."""

    def view(self, count: int) -> Vectors:
        """Returns the first rows, float32 ``(count, d)``, to read only and without a copy."""

    def close(self) -> None:
        """Lets go of what is open; views stay valid."""


class MemoryVectors:
    """Rows in memory.

    Args:
        size: The number of components of a row.
    """

    def __init__(self, size: int) -> None:
        self._rows = np.zeros((0, size), dtype=np.float32)

    def append(self, start: int, rows: Vectors) -> None:
        """Writes rows behind the first ``start`` ones."""
        end = start + len(rows)
        if end > len(self._rows):
            grown = np.zeros((max(end, 2 * len(self._rows)), self._rows.shape[1]), np.float32)
            grown[:start] = self._rows[:start]
            self._rows = grown
        self._rows[start:end] = rows

    def cut(self, count: int) -> None:
        """Takes away what lies behind the first ``count`` rows."""
        self._rows[count:] = 0.0

    def erase(self, rows: npt.NDArray[np.int64]) -> None:
        """Overwrites rows with zeros."""
        self._rows[rows] = 0.0

    def view(self, count: int) -> Vectors:
        """Returns the first rows, to read only."""
        return _read_only(self._rows[:count])

    def close(self) -> None:
        """Does nothing."""


class FileVectors:
    """Rows in a file, read through a memory map.

    Args:
        path: The file.
        size: The number of components of a row.
        gallery: The identifier of the gallery that the file belongs to.

    Raises:
        FileFormatError: If the file is missing, truncated, damaged or that of another gallery.
    """

    def __init__(self, path: Path, size: int, gallery: str) -> None:
        self.path, self._size, self._gallery = path, size, gallery
        try:
            # Unbuffered: what could not be written must not be written later, when it is wrong.
            self._file = path.open("r+b", buffering=0)
        except OSError as error:
            raise FileFormatError(f"{path}: cannot be opened ({error})") from error
        try:
            self._check_header()
        except BaseException:
            self._file.close()
            raise

    @classmethod
    def create(cls, path: Path, size: int, gallery: str) -> FileVectors:
        """Makes an empty file and opens it."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(_header(0, size, gallery))
            file.flush()
            os.fsync(file.fileno())
        return cls(path, size, gallery)

    def append(self, start: int, rows: Vectors) -> None:
        """Writes rows behind the first ``start`` ones, and to the disk, before it returns."""
        # What a killed process left behind the rows that count is written over or cut off.
        end = start + len(rows)
        with self._errors_explained():
            self._write(self._offset(start), np.ascontiguousarray(rows, dtype="<f4").tobytes())
            self._file.truncate(self._offset(end))
            self._write(0, _header(end, self._size, self._gallery))
            os.fsync(self._file.fileno())

    def cut(self, count: int) -> None:
        """Takes away what lies behind the first ``count`` rows: no view holds any of it."""
        if os.fstat(self._file.fileno()).st_size > self._offset(count):
            with self._errors_explained():
                self._file.truncate(self._offset(count))
                self._write(0, _header(count, self._size, self._gallery))
                os.fsync(self._file.fileno())

    def erase(self, rows: npt.NDArray[np.int64]) -> None:
        """Overwrites rows with zeros, on the disk, too, before it returns."""
        zeros = bytes(4 * self._size)
        with self._errors_explained():
            for row in rows:
                self._write(self._offset(int(row)), zeros)
            os.fsync(self._file.fileno())

    def view(self, count: int) -> Vectors:
        """Returns the first rows, memory-mapped.

        Raises:
            FileFormatError: If the file holds fewer.
        """
        held = os.fstat(self._file.fileno()).st_size
        if held < self._offset(count):
            raise FileFormatError(
                f"{self.path}: is truncated, it has {held:,} bytes and should have "
                f"{self._offset(count):,}; restore the gallery from a copy"
            )
        if count == 0:  # an empty range cannot be mapped
            return np.zeros((0, self._size), dtype=np.float32)
        mapped = np.memmap(
            self._file, dtype="<f4", mode="r", offset=_HEADER_SIZE, shape=(count, self._size)
        )
        return _read_only(mapped.view(np.ndarray))

    def close(self) -> None:
        """Closes the file; views stay valid."""
        self._file.close()

    def _offset(self, row: int) -> int:
        return _HEADER_SIZE + 4 * self._size * row

    def _write(self, offset: int, content: bytes) -> None:
        self._file.seek(offset)
        rest = memoryview(content)
        while rest:
            rest = rest[self._file.write(rest) :]

    @contextmanager
    def _errors_explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise FileFormatError(f"{self.path}: cannot be written ({error})") from error

    def _check_header(self) -> None:
        head = self._file.read(_HEADER_SIZE)
        try:
            (length,) = struct.unpack("<Q", head[:8])
            header = json.loads(head[8 : 8 + length])
            size, gallery = header[_TENSOR]["shape"][1], header["__metadata__"]["gallery"]
        except (ValueError, KeyError, IndexError, TypeError, struct.error) as error:
            raise FileFormatError(
                f"{self.path}: is truncated, damaged or no file of vectors ({error})"
            ) from error
        if (size, gallery) != (self._size, self._gallery):
            raise FileFormatError(
                f"{self.path}: holds vectors of {size} components of the gallery {gallery}, "
                f"expected {self._size} of {self._gallery}; its files were mixed up"
            )


def _header(count: int, size: int, gallery: str) -> bytes:
    described = {
        "__metadata__": {"format": "facekit.gallery.vectors", "gallery": gallery},
        _TENSOR: {
            "dtype": "F32",
            "shape": [count, size],
            "data_offsets": [0, 4 * count * size],
        },
    }
    text = json.dumps(described).encode().ljust(_HEADER_SIZE - 8)
    return struct.pack("<Q", len(text)) + text


def _read_only(rows: Vectors) -> Vectors:
    rows = rows.view()
    rows.flags.writeable = False
    return rows
