"""The columns of an archive's table, and the rows of embedded images."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import ExifTags, Image

from facekit.faces import Keypoints
from facekit.io.images import ImageSource
from facekit.io.tables import BOX_COLUMNS
from facekit.pipeline import EmbeddedFace, EmbeddedImage
from facekit.quality.measures import FaceQuality

MODIFIED = pa.timestamp("ns", "UTC")
"""The type of a file's modification time."""

LISTED = pa.schema(
    [
        ("path", pa.string()),
        ("location", pa.binary()),
        ("bytes", pa.int64()),
        ("modified", MODIFIED),
    ]
)
"""The columns of images before indexing."""


def _list(item: pa.DataType, size: int = -1) -> pa.DataType:
    return pa.list_(pa.field("element", item), size)  # the name that Parquet gives it


_MEASURES = [field.name for field in fields(FaceQuality) if field.name != "problems"]
_QUALITY = pa.struct(
    [(name, pa.float32()) for name in _MEASURES] + [("problems", _list(pa.string()))]
)
_BOX = pa.struct([(name, pa.float32()) for name in BOX_COLUMNS])
_POINT = pa.struct([("x", pa.float32()), ("y", pa.float32())])
_KEYPOINTS = pa.struct([(name, _POINT) for name in Keypoints._fields])

# The formats whose EXIF data Pillow reads without decoding the pixels.
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
    """One image, with the data of its row other than the faces."""

    image: EmbeddedImage
    path: str
    bytes: int | None
    modified: Any
    taken: datetime | None
    error: str | None


def table_of(rows: Sequence[ImageRow], schema: pa.Schema, weights: str) -> pa.Table:
    """Returns the rows as a table."""
    embedding = schema.field("faces").type.value_type.field("embedding").type
    component = embedding.value_type.to_pandas_dtype()
    sizes = [row.image.size if row.error is None else (None, None) for row in rows]
    columns = {
        "path": [row.path for row in rows],
        "sha256": [row.image.sha256 for row in rows],
        "bytes": [row.bytes for row in rows],
        "modified": [row.modified for row in rows],
        "width": [width for _, width in sizes],
        "height": [height for height, _ in sizes],
        "taken": [row.taken for row in rows],
        "weights": [weights] * len(rows),
        "error": [row.error for row in rows],
        "faces": [[_face(face, component) for face in row.image.faces] for row in rows],
    }
    return pa.table(columns, schema=schema)


def _face(found: EmbeddedFace, component: Any) -> dict[str, Any]:
    points = found.face.keypoints._asdict().items()
    return {
        "box": dict(zip(BOX_COLUMNS, found.face.box, strict=True)),
        "confidence": found.face.confidence,
        "keypoints": {name: {"x": x, "y": y} for name, (x, y) in points},
        "quality": None if found.quality is None else found.quality.to_dict(),
        "embedding": found.unit.astype(component),
    }


def vectors_of(faces: pa.Array) -> npt.NDArray[np.float32]:
    """Returns the embeddings of faces, float32 ``(n, d)`` of unit L2 norm."""
    stored = faces.field("embedding")
    size = stored.type.list_size
    # Not .values, which for a slice includes the vectors before it.
    rows = np.asarray(stored.flatten()).reshape(-1, size).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def time_taken(source: ImageSource) -> datetime | None:
    """Returns when an image was taken according to its EXIF data, in the camera's local time."""
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
    except Exception:  # noqa: BLE001 - damaged or missing metadata; the image is still good
        return None
    return None
