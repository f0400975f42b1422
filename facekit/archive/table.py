"""The table of an archive: Parquet partitions in a folder, each written atomically."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from facekit.archive.rows import image_schema
from facekit.errors import ArchiveError, FileFormatError, InvalidArgumentError
from facekit.io.files import is_file, replacing, without_nul
from facekit.utils.validation import whole

MANIFEST = "_manifest"
"""Parquet, but without that ending, so that reading ``*.parquet`` in the folder skips it."""

_LOCK = ".lock"
_TEMPORARY = ".partial"
_VERSION = 1
_RESTORING = "delete what is left of it, and index the images again to restore it"
_STARTING_OVER = "restore it from a copy, or index the images again into another folder"
_SETTINGS = b"facekit"
_INVENTORY = pa.schema(
    [
        ("partition", pa.string()),
        ("images", pa.int64()),
        ("faces", pa.int64()),
        ("errors", pa.int64()),
        ("bytes", pa.int64()),
    ]
)


class ArchiveTable:
    r"""The table that :func:`facekit.archive.index_archive` writes, with one row per image.

    It is a folder of Parquet files, the partitions, which DuckDB, pandas, Polars and Spark read as
    one table. Each is written atomically. ``_manifest``, also Parquet, lists them and stores the
    settings.

    The columns: ``path`` (bytes of a file name that are not UTF-8 stand as ``\xNN``), ``sha256``,
    ``bytes``, ``modified``, ``width``, ``height``, ``taken`` (the EXIF time, local, or null),
    ``weights`` (their identity), ``error`` (why the image could not be read, or null) and
    ``faces``: a list of ``box`` (x, y, width, height, in pixels), ``confidence``, ``keypoints``,
    ``quality`` (null without a gate) and ``embedding``.

    Args:
        path: The folder.

    Attributes:
        path: The folder.
        settings: How the images were indexed: ``weights``, ``embedding_size``, ``detector``,
            ``aligner``, ``quality``, ``max_pixels``, ``truncated`` and ``embedding``, the type of
            its components.

    Raises:
        FileFormatError: If the table does not exist, is damaged, or is of a later version.

    Example:
        >>> import pathlib, tempfile
        >>> from facekit.archive import index_archive
        >>> from facekit.archive.table import ArchiveTable
        >>> from matplotlib.cbook import get_sample_data
        >>> portrait = get_sample_data("grace_hopper.jpg", asfileobj=False)
        >>> folder = pathlib.Path(tempfile.mkdtemp()) / "faces.parquet"
        >>> _ = index_archive([portrait], folder)
        >>> table = ArchiveTable(folder)
        >>> len(table), table.faces, table.settings["weights"].partition("@")[0]
        (1, 1, 'facekit-small')
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        manifest = self.path / MANIFEST
        if not is_file(manifest):
            raise FileFormatError(f"{self.path}: no archive table; create one with facekit index")
        found = _read(manifest, None)
        kept = (found.schema.metadata or {}).get(_SETTINGS)
        try:
            self.settings: dict[str, Any] = json.loads(kept or b"")
            version = self.settings.pop("version")
            half = {"float16": True, "float32": False}[self.settings["embedding"]]
            size = whole(self.settings["embedding_size"], "embedding_size", least=1, most=1 << 16)
            self.schema = image_schema(size, half=half)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise FileFormatError(
                f"{manifest}: is damaged or not a facekit file; {_STARTING_OVER}"
            ) from error
        if version != _VERSION:
            raise FileFormatError(f"{self.path}: is of version {version}, made by a later facekit")
        self._inventory = found

    @classmethod
    def create(cls, path: str | os.PathLike[str], settings: Mapping[str, Any]) -> ArchiveTable:
        """Creates an empty table, or opens an existing one with the same settings.

        Args:
            path: The folder, which is created if it does not exist.
            settings: As :attr:`settings`.

        Returns:
            The table.

        Raises:
            InvalidArgumentError: If an existing table was created with other settings, or the
                folder holds other files.
            FileFormatError: If it is damaged or of a later version, or cannot be written.
            ArchiveError: If another process is creating it.
        """
        folder = Path(path)
        wanted = json.loads(json.dumps(dict(settings)))
        if not (folder / MANIFEST).exists():
            try:
                without_nul(folder).mkdir(parents=True, exist_ok=True)
                others = [p.name for p in folder.iterdir() if not p.name.startswith(".")]
            except OSError as error:
                raise FileFormatError(f"{folder}: the table cannot be created ({error})") from error
            if others and MANIFEST not in others:
                raise InvalidArgumentError(
                    f"{folder}: holds other files, such as {others[0]}; use a new folder"
                )
            with _locked(folder):  # so that of two processes one creates it
                if not (folder / MANIFEST).exists():
                    noted = json.dumps({"version": _VERSION, **wanted}).encode()
                    schema = _INVENTORY.with_metadata({_SETTINGS: noted})
                    write_whole(schema.empty_table(), folder / MANIFEST)
        table = cls(folder)
        for name in wanted:
            if _set(table.settings.get(name)) != _set(wanted[name]):
                raise InvalidArgumentError(
                    f"{folder}: was made with {name} {table.settings.get(name)!r}, not "
                    f"{wanted[name]!r}; give the same, or another folder"
                )
        return table

    @property
    def weights(self) -> str:
        """The identity of the weights that made the embeddings."""
        return str(self.settings["weights"])

    @property
    def partitions(self) -> list[Path]:
        """The files of the table, sorted by name."""
        return sorted(self.path.glob("part-*.parquet"))

    def __len__(self) -> int:
        return self.counts()["images"]

    @property
    def faces(self) -> int:
        """The number of faces in all images."""
        return self.counts()["faces"]

    def counts(self) -> dict[str, int]:
        """Returns the numbers of ``images``, ``faces`` and ``errors``."""
        rows = self._listed()
        return {name: sum(row[name] for row in rows) for name in ("images", "faces", "errors")}

    def dataset(self) -> Any:
        """Returns the table as a ``pyarrow.dataset.Dataset`` for filtering and scanning."""
        files = [str(partition) for partition in self.partitions]
        return ds.dataset(files, schema=self.schema, format="parquet")

    def read(self, partition: Path, columns: Sequence[str] | None = None) -> Any:
        """Reads one of the partitions.

        Args:
            partition: One of :attr:`partitions`.
            columns: The columns to read; all by default.

        Returns:
            A ``pyarrow.Table``.

        Raises:
            FileFormatError: If it is missing or damaged.
        """
        found = _read(partition, None if columns is None else list(columns))
        wanted = self.schema.names if columns is None else columns
        if any(name not in found.schema.names for name in wanted):
            raise FileFormatError(f"{partition}: lacks columns of an archive table; {_RESTORING}")
        schema = pa.schema([self.schema.field(name) for name in wanted])
        try:
            # Nested numbers that the table was written without are null.
            return found.select(list(wanted)).cast(schema)
        except (pa.ArrowException, ValueError) as error:
            raise _damaged(partition, error) from error

    def check(self) -> None:
        """Reads everything and compares it with the manifest.

        Raises:
            FileFormatError: If a partition is missing or damaged, an image has two rows, or the
                numbers of images, faces and errors differ from the manifest.
        """
        listed = {row["partition"]: row for row in self._inventory.to_pylist()}
        found = {row["partition"]: row for row in map(self._counts, self.partitions)}
        for name, row in listed.items():
            if found.get(name) != row:
                raise FileFormatError(
                    f"{self.path / name}: is missing, or differs from the manifest; {_RESTORING}"
                )
        paths = self.known()["path"]
        if len(pc.unique(paths)) != len(paths):
            raise FileFormatError(f"{self.path}: has two rows for an image; index it again")

    # For writers.

    def known(self) -> Any:
        """Returns the file columns of the rows, with the number of the partition."""
        names = ["path", "bytes", "modified", "error"]
        columns = [*(self.schema.field(name) for name in names), ("partition", pa.int64())]
        parts = [pa.schema(columns).empty_table()]
        for number, partition in enumerate(self.partitions):
            rows = self.read(partition, names)
            parts.append(
                rows.append_column("partition", pa.array([number] * len(rows), pa.int64()))
            )
        return pa.concat_tables(parts).combine_chunks()

    def commit(self, name: str, rows: Any, dropped: Sequence[str] = ()) -> bool:
        """Writes rows into a partition, replacing those of the same images.

        Args:
            name: The file's name; it is created if it does not exist.
            rows: A ``pyarrow.Table``; an empty one to only drop rows.
            dropped: The paths of images whose rows to drop.

        Returns:
            Whether anything was written.
        """
        file = self.path / name
        before = self.read(file) if file.exists() else self.schema.empty_table()
        gone = pa.array([*dropped, *rows["path"].to_pylist()], pa.string())
        kept = before.filter(pc.invert(pc.is_in(before["path"], value_set=gone)))
        after = pa.concat_tables([kept, rows]).sort_by("path").unify_dictionaries()
        if after.combine_chunks().equals(before.combine_chunks()):
            return False
        if len(after):
            write_whole(after.combine_chunks(), file)
        else:
            file.unlink()
        return True

    def finish(self) -> None:
        """Writes the manifest, if it differs from the partitions."""
        after = pa.Table.from_pylist(self._listed(), schema=self._inventory.schema)
        if not after.equals(self._inventory):
            write_whole(after, self.path / MANIFEST)
            self._inventory = after

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Locks the table for writing, and removes leftovers of killed processes.

        Yields:
            Once, while the table is locked.

        Raises:
            ArchiveError: If another process is writing.
        """
        with _locked(self.path):
            for left in self.path.glob(f".*{_TEMPORARY}"):
                left.unlink(missing_ok=True)
            yield

    def _listed(self) -> list[dict[str, Any]]:
        """Returns the counts of each partition from the manifest, or counted if missing there."""
        known = {row["partition"]: row for row in self._inventory.to_pylist()}
        rows = []
        for partition in self.partitions:
            row = known.get(partition.name)
            if row is None or row["bytes"] != partition.stat().st_size:
                row = self._counts(partition)
            rows.append(row)
        return rows

    def _counts(self, partition: Path) -> dict[str, Any]:
        rows = self.read(partition, ["faces", "error"])
        return {
            "partition": partition.name,
            "images": len(rows),
            "faces": pc.sum(pc.list_value_length(rows["faces"])).as_py() or 0,
            "errors": len(rows) - rows["error"].null_count,
            "bytes": partition.stat().st_size,
        }


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Locks the folder of a table, or raises an error if another process has."""
    with (folder / _LOCK).open("ab") as stream:
        if os.name == "posix":
            import fcntl

            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise ArchiveError(
                    f"{folder}: another process is writing to it; wait until it is done"
                ) from error
        yield


def write_whole(table: Any, file: Path) -> None:
    """Writes a Parquet file atomically."""
    with replacing(file, suffix=_TEMPORARY) as stream:
        pq.write_table(table, stream, compression="zstd", use_dictionary=["weights", "person"])


def _read(file: Path, columns: list[str] | None) -> Any:
    try:
        # Not read_table, which interprets a folder name such as a=b as a column.
        return pq.ParquetFile(file).read(columns)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(file, error) from error


def _set(setting: Any) -> Any:
    """Returns a setting without what is off; limits that came later are off in a table."""
    if not isinstance(setting, dict):
        return setting
    return {name: value for name, value in setting.items() if value is not None}


def _damaged(file: Path, error: Exception) -> FileFormatError:
    remedy = _STARTING_OVER if file.name == MANIFEST else _RESTORING
    return FileFormatError(f"{file}: is missing, truncated or damaged ({error}); {remedy}")
