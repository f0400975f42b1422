"""The images of an archive: a folder, a list of files, or an address in a file system."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import quote

import pyarrow as pa
import pyarrow.fs as pafs

from facekit.archive.rows import LISTED, time_taken
from facekit.errors import ImageError, InvalidArgumentError
from facekit.io.folders import UNREADABLE_FOLDER, ImageListing, list_images
from facekit.io.images import check_several, image_suffixes
from facekit.io.tables import utf8
from facekit.utils.terminal import printable

ArchiveSource: TypeAlias = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
"""A folder, searched recursively, an image, an address such as ``s3://…``, or several of them."""

# A remote location is the given address, with the options that open the file system, and the path
# in that file system: as part of an address, the path would have to be quoted.
_IN = "\0"
_LAST_TIME = (1 << 63) - 1
_OF_ADDRESSES = "%:/?#[]@!$&'()*+,;="


class Listed(NamedTuple):
    """The images of a source."""

    files: Any
    """A table with the columns :data:`facekit.archive.rows.LISTED`."""
    passed_over: str
    unread: list[str]
    """The folders that cannot be read, as paths are stored."""


def listed(source: ArchiveSource) -> Listed:
    """Lists images with their sizes and modification times."""
    if isinstance(source, str | os.PathLike):
        # Not a row with an error: with prune, it would take the place of all images.
        if not is_address(source) and not os.path.exists(source):  # noqa: PTH110 - also with a NUL
            raise ImageError(f"{printable(source)}: no such folder or file")
        source = [source]
    else:
        check_several(source, instead="a folder, an address or a list of files")
    listings: list[ImageListing] = []
    rows = list(_of_sources(source, listings))
    passed_over = [item for listing in listings for item in listing.passed_over]
    return Listed(
        pa.Table.from_pylist(rows, schema=LISTED),
        "; ".join(summary for listing in listings if (summary := listing.summary())),
        [_stored(item.path) for item in passed_over if item.reason == UNREADABLE_FOLDER],
    )


def is_address(source: object) -> bool:
    """Returns whether it is an address such as ``s3://bucket/photos``."""
    return isinstance(source, str) and "://" in source


def partition_name(images: Any) -> str:
    """Returns the name of the partition of some images."""
    # It depends only on the images: if two processes index the same ones, because the first was
    # believed dead, the second file replaces the first.
    digest = hashlib.sha256()
    for row in images.select(["path", "bytes"]).to_pylist():
        digest.update(f"{row['path']}\0{row['bytes']}\n".encode())
    for time in images["modified"].cast(pa.int64()).to_pylist():
        digest.update(f"{time}\n".encode())
    return f"part-{digest.hexdigest()[:16]}.parquet"


class ImageFiles:
    """Provides the images of a listing to the pipeline."""

    def __init__(self) -> None:
        self._systems: dict[str, Any] = {}
        self.failed: dict[int, str] = {}  # the reasons, by index
        self._taken: dict[int, datetime | None] = {}

    def sources(self, locations: Sequence[bytes]) -> Iterator[Path | bytes]:
        """Yields the path of a local file, or the content of a remote one, empty if it fails."""
        self.failed, self._taken = {}, {}
        for place, location in enumerate(locations):
            name = os.fsdecode(location)
            yield self._fetched(place, name) if is_address(name) else Path(name)

    def taken(self, place: int, location: bytes) -> datetime | None:
        """Returns when the image at this index was taken."""
        name = os.fsdecode(location)
        return self._taken.pop(place, None) if is_address(name) else time_taken(Path(name))

    def _fetched(self, place: int, location: str) -> bytes:
        address, _, path = location.partition(_IN)
        try:
            if address not in self._systems:
                self._systems[address] = file_system(address)
            system, given = self._systems[address]
            with system.open_input_file(path or given) as stream:
                content: bytes = stream.read()
            self._taken[place] = time_taken(content)
            return content
        except (OSError, pa.ArrowException) as error:
            shown = _shown(address, path) if path else address
            self.failed[place] = f"{shown}: cannot be read ({error})"
            return b""


def file_system(address: str) -> tuple[Any, str]:
    """Returns the file system of an address, and the path in it."""
    try:
        system, path = pafs.FileSystem.from_uri(quote(address, safe=_OF_ADDRESSES))
        return system, str(path)
    except (pa.ArrowInvalid, NotImplementedError) as error:
        try:
            import fsspec

            system, path = fsspec.core.url_to_fs(address)
        except (ImportError, ValueError) as other:
            raise InvalidArgumentError(
                f"{address}: such addresses are unknown to pyarrow ({error}) and fsspec ({other})"
            ) from other
        return pafs.PyFileSystem(pafs.FSSpecHandler(system)), str(path)


def _shown(address: str, path: str) -> str:
    """Returns the address of a file without the file system's options, such as keys."""
    return f"{address.partition('://')[0]}://{path}"


def _of_sources(
    sources: Iterable[str | os.PathLike[str]], listings: list[ImageListing]
) -> Iterator[dict[str, Any]]:
    """Yields the rows of files, folders and addresses; adds the listings of the folders."""
    seen = set()
    for source in sources:
        if not isinstance(source, str | os.PathLike):
            raise InvalidArgumentError(
                f"the images of an archive must be files, got {type(source).__name__}"
            )
        if is_address(source):
            yield from _of_address(str(source))
            continue
        # Not resolved: a link may be the name by which the user knows the image.
        given = os.path.abspath(source)  # noqa: PTH100
        found = _stat(given)
        files = [given]
        if found is not None and stat.S_ISDIR(found.st_mode):
            listings.append(list_images(source, recursive=True).checked())
            files = [os.path.abspath(image) for image in listings[-1].images]  # noqa: PTH100
        for path in files:
            if path not in seen:
                seen.add(path)
                yield _of_file(path, found if path == given else _stat(path))


def _stat(path: str) -> os.stat_result | None:
    try:
        return Path(path).stat()
    except (OSError, ValueError):
        return None


def _of_file(path: str, found: os.stat_result | None) -> dict[str, Any]:
    row: dict[str, Any] = {"path": _stored(path), "location": os.fsencode(path)}
    if found is None:
        return row  # its row will say that it is missing
    # A time before 1677 or after 2262 has no place in 64 bits of nanoseconds.
    modified = min(max(found.st_mtime_ns, -_LAST_TIME), _LAST_TIME)
    return {**row, "bytes": found.st_size, "modified": modified}


def _stored(path: str | os.PathLike[str]) -> str:
    """Returns a path as the table stores it."""
    return utf8(os.path.abspath(path))  # noqa: PTH100


def _of_address(address: str) -> list[dict[str, Any]]:
    system, path = file_system(address)
    try:
        info = system.get_file_info(path)
        if info.type == pafs.FileType.NotFound:
            raise ImageError(f"{address}: does not exist")
        found = [info]
        if info.type == pafs.FileType.Directory:
            found = system.get_file_info(pafs.FileSelector(path, recursive=True))
    except (OSError, pa.ArrowException) as error:
        raise ImageError(f"{address}: cannot be listed ({error})") from error
    images = [
        {
            "path": _shown(address, one.path),
            "location": f"{address}{_IN}{one.path}".encode(),
            "bytes": one.size,
            "modified": one.mtime_ns,
        }
        for one in sorted(found, key=lambda one: str(one.path))
        if one.type == pafs.FileType.File and Path(one.path).suffix.lower() in image_suffixes()
    ]
    if not images:
        raise ImageError(f"{address}: holds no images")
    return images
