"""Results for the faces of a table, as flat columns for Parquet, CSV, pandas and DuckDB."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from facekit.errors import InvalidArgumentError
from facekit.gallery.records import FaceSource
from facekit.io.files import is_folder, replacing
from facekit.io.tables import BOX_COLUMNS

FACE_FIELDS = [
    ("path", pa.string()),
    ("face", pa.int32()),
    *((name, pa.float32()) for name in (*BOX_COLUMNS, "confidence")),
    ("problems", pa.string()),
]
"""The columns that identify a face: image, index among its faces, box and problems."""

_SUFFIXES = (".csv", ".parquet")


def face_columns(rows: Any) -> tuple[dict[str, Any], Any]:
    """Returns the columns :data:`FACE_FIELDS` of all faces of some rows, and the faces."""
    lists = rows["faces"].combine_chunks()
    faces = lists.flatten()
    image = np.asarray(pc.list_parent_indices(lists))
    first = np.searchsorted(image, image)
    columns: dict[str, Any] = {
        "path": rows["path"].combine_chunks().take(pa.array(image)),
        "face": pa.array((np.arange(len(image)) - first).astype(np.int32)),
    }
    box = faces.field("box")
    for name in BOX_COLUMNS:
        columns[name] = box.field(name)
    columns["confidence"] = faces.field("confidence")
    # get_field, not field: a face without measures has no problems either.
    problems = pc.struct_field(faces, ["quality", "problems"])
    columns["problems"] = pc.fill_null(pc.binary_join(problems, "; "), "")
    return columns, faces


def face_sources(
    rows: Any, columns: dict[str, Any], images: Container[str] | None = None
) -> dict[int, FaceSource]:
    """Returns the locations of faces by their indices, optionally of some images only."""
    parents = pc.list_parent_indices(rows["faces"].combine_chunks())
    digests = rows["sha256"].combine_chunks().take(parents).to_pylist()
    places = [at for at, one in enumerate(digests) if images is None or one in images]
    paths, *box = (
        columns[name].take(pa.array(places, pa.int64())).to_pylist()
        for name in ("path", *BOX_COLUMNS)
    )
    return {
        at: FaceSource(path, digests[at], corners)
        for at, path, corners in zip(places, paths, zip(*box, strict=True), strict=True)
    }


def check_result_file(path: str | os.PathLike[str]) -> Path:
    """Checks that :func:`write_results` can write a path, and returns it."""
    file = Path(path)
    if file.suffix.lower() not in _SUFFIXES:
        raise InvalidArgumentError(f"{file}: results are written to .parquet or .csv")
    if not is_folder(file.absolute().parent):
        raise InvalidArgumentError(f"{file}: its folder does not exist")
    return file


def write_results(results: Any, path: str | os.PathLike[str]) -> int:
    """Writes results to a file, atomically.

    Args:
        results: A ``pyarrow.Table``, or a ``pyarrow.RecordBatchReader``, which is written in
            batches.
        path: The file; its name ends in ``.parquet`` or ``.csv``. An existing file is replaced.

    Returns:
        The number of rows written.

    Raises:
        InvalidArgumentError: If the name has another ending, or the folder does not exist.
        FileFormatError: If the file cannot be written.

    Example:
        >>> import pathlib, tempfile
        >>> import pyarrow as pa
        >>> from facekit.archive import write_results
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "names.csv"
        >>> write_results(pa.table({"path": ["a.jpg"], "name": ["Ada"]}), file)
        1
        >>> print(file.read_text(), end="")
        "path","name"
        "a.jpg","Ada"
    """
    file = check_result_file(path)
    batches: Iterable[Any] = results.to_batches() if isinstance(results, pa.Table) else results
    written = 0
    kind = pq.ParquetWriter if file.suffix.lower() == ".parquet" else pcsv.CSVWriter
    with replacing(file) as stream, kind(stream, results.schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            written += len(batch)
    return written
