"""facekit's own files: safetensors with a checksummed header, saved atomically.

A file is an ordinary `safetensors <https://github.com/huggingface/safetensors>`_ file. Its metadata
holds four strings: ``format`` (the kind of file), ``version`` (of that kind), ``header``
(everything that is not an array, as JSON) and ``sha256`` (of these three and of every array with
its name, type and shape), so that any altered bit is detected.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facekit.errors import FileFormatError
from facekit.io.files import is_file, is_folder, replace_atomically

_MOST_HEADER_BYTES = 16_000_000
_REMEDY = "Restore it from a copy, or create it again"

Arrays = dict[str, npt.NDArray[Any]]


def sha256(path: Path) -> str:
    """Returns the SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def write(
    path: str | os.PathLike[str],
    *,
    kind: str,
    version: int,
    header: Mapping[str, Any],
    arrays: Mapping[str, npt.NDArray[Any]],
) -> None:
    """Writes a file atomically."""
    from safetensors.numpy import save

    # Not numpy.ascontiguousarray, which adds a dimension to a scalar.
    stored = {
        name: np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
        for name, array in arrays.items()
    }
    # Escaped to ASCII: a folder's name may hold bytes that are not UTF-8.
    metadata = {
        "format": kind,
        "version": str(version),
        "header": json.dumps(header, sort_keys=True, default=_as_python),
    }
    metadata["sha256"] = _checksum(metadata, stored)
    replace_atomically(Path(path), save(stored, metadata=metadata))


def read(
    path: str | os.PathLike[str], *, kind: str, newest_version: int
) -> tuple[dict[str, Any], Arrays]:
    """Reads a file of :func:`write` and checks that it is complete and unaltered."""
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not is_file(path):
        raise FileFormatError(f"{path}: {'is a folder' if is_folder(path) else 'no such file'}")
    try:
        _check_header(path)
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            _check_kind(path, metadata, kind, newest_version)
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = dict(json.loads(metadata["header"]))
    except SafetensorError as error:
        raise FileFormatError(
            f"{path}: is truncated, damaged or not a facekit file ({error}). {_REMEDY}"
        ) from error
    except (KeyError, ValueError, TypeError, OSError, RecursionError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(
            f"{path}: the file's header is damaged ({error}). {_REMEDY}"
        ) from error
    if _checksum(metadata, arrays) != metadata.get("sha256"):
        raise FileFormatError(
            f"{path}: the checksum does not match; the file was altered or damaged after it was "
            f"saved. {_REMEDY}"
        )
    return header, arrays


def _check_header(path: Path) -> None:
    """Refuses an oversized header: parsing takes 17 times its size in memory."""
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
    if length > _MOST_HEADER_BYTES:
        raise FileFormatError(
            f"{path}: is damaged or not a facekit file (a header of {length:,} bytes). {_REMEDY}"
        )


def _check_kind(path: Path, metadata: Mapping[str, str], kind: str, newest_version: int) -> None:
    found = metadata.get("format")
    if found != kind:
        raise FileFormatError(f"{path}: is a {found or 'foreign'} file, expected {kind}")
    if int(metadata["version"]) > newest_version:
        raise FileFormatError(
            f"{path}: has format version {metadata['version']}, this facekit reads up to "
            f"{newest_version}; upgrade facekit"
        )


def _checksum(metadata: Mapping[str, str], arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for key in ("format", "version", "header"):
        digest.update(f"{key}|{metadata[key]}\n".encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\n{name}|{array.dtype.str}|{array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _as_python(value: object) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
