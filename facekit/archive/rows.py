"""The columns of an archive's table, and the rows of embedded images."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import ExifTags, Image

from facekit.io.images import ImageSource
from facekit.pipeline import EmbeddedFace, EmbeddedImage
from facekit.quality import FaceQuality

MODIFIED = pa.timestamp("ns", "UTC")
"""The type of the time at which a file was changed."""

LISTED = pa.schema(
    [
        ("path", pa.string()),
        ("location", pa.binary()),
        ("bytes", pa.int64()),
        ("modified", MODIFIED),
    ]
)
"""The columns of images that are not indexed yet."""


def _list(item: pa.DataType, size: int = -1) -> pa.DataType:
    return pa.list_(pa.field("element", item), size)  # the name that Parquet gives it


_MEASURES = [field.name for field in fields(FaceQuality) if field.name != "problems"]
_QUALITY = pa.struct(
    [(name, pa.float32()) for name in _MEASURES] + [("problems", _list(pa.string()))]
)
_BOX = pa.struct([(name, pa.float32()) for name in ("x", "y", "width", "height")])
_POINT = pa.struct([("x", pa.float32()), ("y", pa.float32())])
_POINTS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
_KEYPOINTS = pa.struct([(name, _POINT) for name in _POINTS])

# Those of which Pillow reads the EXIF data without decoding the pixels.
_WITH_EXIF = ("JPEG", "MPO", "TIFF", "WEBP", "AVIF", "HEIF")
_TIME = re.compile(r"\d{4}:\d\d:\d\d \d\d:\d\d:\d\d")


def image_schema(embedding_size: int, *, half: bool) -> pa.Schema:
    """Returns the columns of a table of images with their faces."""
    component = pa.float16() if half else pa.float32()
    face = pa.struct(
        [
            ("box", _BOX),
            ("confidence", pa.float32()),
            ("keypoints", _KEYPOINTS),
            ("quality", _QUALITY),
            ("embedding", _list(component, embedding_size)),
        ]
    )
    return pa.schema(
        [
            ("path", pa.string()),
            ("sha256", pa.string()),
            ("bytes", pa.int64()),
            ("modified", MODIFIED),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("taken", pa.timestamp("ms")),
            ("weights", pa.dictionary(pa.int32(), pa.string())),
            ("error", pa.string()),
            ("faces", _list(face)),
        ]
    )


@dataclass(frozen=True)
class ImageRow:
    """One image with what its row says beside the faces."""

    image: EmbeddedImage
    path: str
    bytes: int | None
    modified: Any
    taken: datetime | None
    error: str | None


def table_of(rows: Sequence[ImageRow], schema: pa.Schema, weights: str) -> pa.Table:
    """Returns the rows as a table."""
    images = [row.image for row in rows]
    read = [
        image.size if row.error is None else (None, None)
        for row, image in zip(rows, images, strict=True)
    ]
    counts = [len(image.faces) for image in images]
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32())
    faces = _faces([face for image in images for face in image.faces], schema.field("faces").type)
    columns = {
        "path": [row.path for row in rows],
        "sha256": [image.sha256 for image in images],
        "bytes": [row.bytes for row in rows],
        "modified": [row.modified for row in rows],
        "width": [size[1] for size in read],
        "height": [size[0] for size in read],
        "taken": [row.taken for row in rows],
        "weights": [weights] * len(rows),
        "error": [row.error for row in rows],
    }
    arrays = [pa.array(columns[name], schema.field(name).type) for name in columns]
    return pa.Table.from_arrays(
        [*arrays, pa.ListArray.from_arrays(offsets, faces, type=schema.field("faces").type)],
        schema=schema,
    )


def _faces(found: Sequence[EmbeddedFace], type_of_faces: pa.DataType) -> pa.Array:
    kind = type_of_faces.value_type
    count = len(found)
    points = np.array([face.face.keypoints for face in found], np.float32).reshape(count, 5, 2)
    keypoints = [_struct(points[:, place], _POINT) for place in range(5)]
    embedding = kind.field("embedding").type
    vectors = np.array([face.unit for face in found], np.float32).reshape(
        count, embedding.list_size
    )
    values = pa.array(vectors.astype(embedding.value_type.to_pandas_dtype()).ravel())
    return pa.StructArray.from_arrays(
        [
            _struct(
                np.array([face.face.box for face in found], np.float32).reshape(count, 4), _BOX
            ),
            pa.array(np.array([face.face.confidence for face in found], np.float32)),
            pa.StructArray.from_arrays(keypoints, fields=list(_KEYPOINTS)),
            pa.array([_quality(face.quality) for face in found], _QUALITY),
            pa.FixedSizeListArray.from_arrays(values, type=embedding),
        ],
        fields=list(kind),
    )


def _struct(values: npt.NDArray[np.float32], kind: pa.DataType) -> pa.Array:
    columns = [pa.array(np.ascontiguousarray(column)) for column in values.T]
    return pa.StructArray.from_arrays(columns, fields=list(kind))


def _quality(quality: FaceQuality | None) -> dict[str, Any] | None:
    return None if quality is None else {**quality.to_dict(), "problems": list(quality.problems)}


def vectors_of(faces: pa.Array) -> npt.NDArray[np.float32]:
    """Returns the embeddings of faces, float32 ``(n, d)`` of unit L2 norm."""
    stored = faces.field("embedding")
    size = stored.type.list_size
    # Not .values: that of a slice has the vectors before it, too.
    rows = np.asarray(stored.flatten()).reshape(-1, size).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def time_taken(source: ImageSource) -> datetime | None:
    """Returns when a photo was taken, as its EXIF data says, in the camera's local time."""
    if isinstance(source, bytes):
        source = BytesIO(source)
    Image.preinit()
    formats = [name for name in _WITH_EXIF if name in Image.OPEN]
    try:
        with Image.open(source, formats=formats) as image:  # type: ignore[arg-type]
            exif = image.getexif()
            original = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal)
            for value in (original, exif.get(ExifTags.Base.DateTime)):
                if isinstance(value, str) and (found := _TIME.match(value)):
                    return datetime.strptime(found[0], "%Y:%m:%d %H:%M:%S")
    except Exception:  # noqa: BLE001 - a camera's note, damaged or absent; the image is good
        return None
    return None


def text_of(value: str | Path) -> str:
    r"""Returns a string that is UTF-8; bytes of a file name that are not become ``\xNN``."""
    return str(value).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
