"""Results as tables: a row for each face, image or appearance, for pandas, CSV and Parquet."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from facekit.errors import InvalidArgumentError
from facekit.faces import Keypoints
from facekit.io.files import replace_atomically
from facekit.io.notebook import rows_as_html
from facekit.utils.extras import import_extra

Row = dict[str, Any]
FaceT = TypeVar("FaceT")

DETECTION_COLUMNS = (
    *("image", "face", "x", "y", "width", "height", "confidence"),
    *(f"{point}_{axis}" for point in Keypoints._fields for axis in "xy"),
)
"""The columns of detected faces; ``face`` numbers the faces of an image from 0."""

RECOGNITION_COLUMNS = (
    *DETECTION_COLUMNS,
    *("name", "candidate", "distance", "threshold", "probability", "problems", "remarks"),
)
"""The columns of recognized faces."""

BOX_COLUMNS = ("x", "y", "width", "height")
"""The columns of a box."""


class Tabular:
    """Mixin for results that can be shown as a table."""

    def to_frame(self) -> Any:
        """Returns the result as a ``pandas.DataFrame``; see :func:`facekit.io.tables.to_frame`.

        Raises:
            MissingExtraError: If pandas is not installed.
        """
        return to_frame(self)

    def _repr_html_(self) -> str:
        found = rows(self)
        return rows_as_html(f"{type(self).__name__}: {len(found)}", found)


class Faces(list[FaceT], Tabular):
    """The faces of one image: a list with a notebook view and a table."""

    def __init__(self, faces: Iterable[FaceT] = (), source: str = "") -> None:
        super().__init__(faces)
        self.source = source

    def to_rows(self) -> list[Row]:
        """Returns a row for each face, as ``to_frame`` has them."""
        return _of_faces(self.source, self)


def rows(results: Any) -> list[Row]:
    """Returns results as flat rows: a dictionary for each face, image or appearance.

    Args:
        results: Any result of facekit, such as a recognized face, an image, a clustering, an
            enrollment report or a video result; or any number of them.

    Returns:
        The rows. Boxes become ``x``, ``y``, ``width`` and ``height``, keypoints ``nose_x`` and so
        on, without rounding; reasons are joined by ``"; "``. Embeddings are left out. An image that
        could not be read has a row with its ``error``.

    Raises:
        InvalidArgumentError: If it is not a result.

    Example:
        >>> from facekit import Face, Keypoints
        >>> from facekit.io.tables import rows
        >>> points = Keypoints((30, 40), (70, 40), (50, 60), (35, 80), (65, 80))
        >>> face = Face(box=(10.5, 12, 80, 100), confidence=0.98, keypoints=points)
        >>> row = rows([face])[0]
        >>> row["x"], row["nose_y"]
        (10.5, 60.0)
    """
    if hasattr(results, "to_rows"):
        return [_flat(row) for row in results.to_rows()]
    if hasattr(results, "faces") and hasattr(results, "source"):
        failed = results.error is not None
        error = [{"image": results.source, "error": str(results.error)}] if failed else []
        return error + _of_faces(results.source, results.faces)
    if hasattr(results, "to_dict"):
        return [_flat(results.to_dict(rounded=False))]
    if dataclasses.is_dataclass(results) and not isinstance(results, type):
        return [_flat(dataclasses.asdict(results))]
    if isinstance(results, Iterable) and not isinstance(results, str | bytes | Mapping):
        return [row for result in results for row in rows(result)]
    raise InvalidArgumentError(f"results must be results of facekit, got {type(results).__name__}")


def to_frame(results: Any) -> Any:
    """Returns results as a ``pandas.DataFrame``.

    Args:
        results: As for :func:`rows`.

    Returns:
        The table; each row is one of :func:`rows`.

    Raises:
        MissingExtraError: If pandas is not installed.
        InvalidArgumentError: If it is not a result.

    Example:
        >>> from facekit.io.tables import to_frame
        >>> from facekit.report import ImageReport, ImageOutcome
        >>> report = ImageReport((ImageOutcome("Ada", "ada.jpg", "enrolled"),))
        >>> to_frame(report)["status"].tolist()
        ['enrolled']
    """
    return import_extra("pandas").DataFrame(rows(results))


def write_table(results: Any, path: str | os.PathLike[str]) -> int:
    """Writes results to a file, atomically.

    Args:
        results: As for :func:`rows`.
        path: The file; its name ends in ``.csv`` or ``.parquet``. An existing file is replaced.

    Returns:
        The number of rows written.

    Raises:
        InvalidArgumentError: If the name has another ending, or it is not a result.
        FileFormatError: If the file cannot be written.
        MissingExtraError: If pyarrow, which Parquet needs, is not installed.

    Example:
        >>> import pathlib, tempfile
        >>> from facekit.io.tables import write_table
        >>> from facekit.report import ImageOutcome
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "report.csv"
        >>> write_table([ImageOutcome("Ada", "ada.jpg", "enrolled")], file)
        1
        >>> print(file.read_text(), end="")
        person,source,status,detail
        Ada,ada.jpg,enrolled,
    """
    file = Path(path)
    table = rows(results)
    columns = list(dict.fromkeys(key for row in table for key in row))
    if file.suffix.lower() == ".csv":
        lines = [csv_line(columns), *(csv_line([row.get(key) for key in columns]) for row in table)]
        content = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
    elif file.suffix.lower() == ".parquet":
        stream = io.BytesIO()
        arrow, parquet = import_extra("pyarrow"), import_extra("pyarrow.parquet")
        cells = {key: [row.get(key) for row in table] for key in columns}
        for key, column in cells.items():
            cells[key] = [utf8(cell) if isinstance(cell, str) else cell for cell in column]
        parquet.write_table(arrow.table(cells), stream)
        content = stream.getvalue()
    else:
        raise InvalidArgumentError(f"{file}: results are written to .csv or .parquet")
    replace_atomically(file, content)
    return len(table)


def csv_line(cells: Sequence[Any]) -> str:
    """Returns a line of CSV without its end; ``None`` is an empty cell."""
    stream = io.StringIO()
    # Up to Python 3.12, a line break inside a cell is quoted only if it is in the terminator.
    csv.writer(stream, lineterminator="\r\n").writerow(cells)
    return stream.getvalue().removesuffix("\r\n")


def utf8(text: str) -> str:
    r"""Returns valid UTF-8; other bytes of a file name become ``\xNN``."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _of_faces(source: str, faces: Iterable[Any]) -> list[Row]:
    return [
        {"image": source, "face": number, **_flat(face.to_dict(rounded=False))}
        for number, face in enumerate(faces)
    ]


def _flat(record: Mapping[str, Any]) -> Row:
    row: Row = {}
    for key, value in record.items():
        if key == "box":
            row |= zip(BOX_COLUMNS, value or [None] * 4, strict=True)
        elif key == "keypoints":
            row |= {
                f"{name}_{axis}": number
                for name, point in value.items()
                for axis, number in zip("xy", point, strict=True)
            }
        elif isinstance(value, list | tuple):
            row[key] = "; ".join(map(str, value))
        else:
            row[key] = value
    return row
