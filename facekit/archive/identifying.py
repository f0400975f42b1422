"""Names for the faces of a table."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from facekit.archive.engines import Engine, Runner
from facekit.archive.results import FACE_FIELDS, face_columns, face_sources
from facekit.archive.rows import vectors_of
from facekit.archive.table import ArchiveTable
from facekit.errors import InvalidArgumentError
from facekit.gallery import Gallery
from facekit.gallery.decisions import Decisions
from facekit.gallery.enrolled import Enrolled
from facekit.gallery.records import FaceSource
from facekit.identification import IdentityClassifier
from facekit.identification.fitting import Fitted
from facekit.naming import Namer
from facekit.parts import embedder_by_name
from facekit.recognizer import FaceRecognizer
from facekit.utils.validation import flag, same_weights, whole

_ANSWERS = pa.schema(
    [("candidate", pa.string()), ("distance", pa.float64()), ("probability", pa.float64())]
)
_SCHEMA = pa.schema([*FACE_FIELDS, ("name", pa.string()), *_ANSWERS])
_PARTITION = b"partition"


def identify_archive(
    table: ArchiveTable | str | os.PathLike[str],
    gallery: Gallery | str | os.PathLike[str],
    *,
    classifier: IdentityClassifier | None = None,
    once_an_image: bool = False,
    engine: Engine = "local",
    workers: int | None = None,
    address: str | None = None,
    shard_size: int = 10_000_000,
    progress: bool = True,
) -> Any:
    """Names the people in an indexed archive.

    No images are read: the table's embeddings are compared with the gallery's. As in
    :meth:`facekit.FaceRecognizer.recognize`, strangers and faces with problems get no name, and the
    gallery's corrections are applied (:attr:`facekit.Gallery.review`): excluded faces keep their
    rows, without a name.

    Args:
        table: What :func:`index_archive` wrote.
        gallery: The enrolled people: a gallery or its file. With Ray, each machine gets a copy.
        classifier: Names the faces; by default the gallery's, as for
            :class:`facekit.FaceRecognizer`.
        once_an_image: Whether a name is given at most once per image, to the nearest face.
        engine: As for :func:`index_archive`, like the next two.
        workers: Likewise.
        address: Likewise.
        shard_size: If more images than this are enrolled, shards of this size are loaded one at a
            time, with one pass over the table each.
        progress: Whether to show a progress bar, if standard error is a terminal.

    Returns:
        A ``pyarrow.RecordBatchReader`` with one row per face, in the order of the table's
        partitions: ``path``, ``face`` (its index in the image), ``x``, ``y``, ``width``,
        ``height``, ``confidence``, ``problems``, ``name`` (null for strangers), ``candidate`` (the
        person that the face resembles most), ``distance`` and ``probability``. ``.read_all()`` and
        ``.read_pandas()`` read it all, :func:`write_results` writes it piece by piece, and DuckDB
        queries it.

    Raises:
        FileFormatError: If the table or the gallery is damaged.
        InvalidArgumentError: If they belong to different weights, or an argument cannot be used.
        NotFittedError: If the gallery is empty.
        ArchiveError: As for :func:`index_archive`.

    Example:
        >>> import pathlib, tempfile
        >>> from facekit import FaceRecognizer
        >>> from facekit.archive import identify_archive, index_archive
        >>> from matplotlib.cbook import get_sample_data
        >>> portrait = get_sample_data("grace_hopper.jpg", asfileobj=False)
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> _ = index_archive([portrait], folder / "faces.parquet")
        >>> FaceRecognizer().fit({"Grace Hopper": portrait}).save(folder / "people.facekit")
        >>> found = identify_archive(folder / "faces.parquet", folder / "people.facekit")
        >>> found.read_all()["name"].to_pylist()
        ['Grace Hopper']
    """
    runner = Runner(engine, workers, address, progress)
    flag(once_an_image, "once_an_image")
    size = whole(shard_size, "shard_size", least=1)
    opened = table if isinstance(table, ArchiveTable) else ArchiveTable(table)
    fitted, enrolled, decisions = given = _fitted(opened, gallery, classifier)
    people, namer = _shards(fitted, enrolled, size), Namer(given)
    once = once_an_image or decisions.once_per_image

    def batches() -> Iterator[Any]:
        best: dict[str, Any] = {}
        for number, shard in enumerate(people, start=1):
            answers = _in_order(opened, shard, runner)
            for partition, found in answers:
                name = partition.name
                nearest = found if name not in best else _nearer(best[name], found)
                if number < len(people):
                    best[name] = nearest
                    continue
                best.pop(name, None)
                rows = opened.read(partition, ["path", "sha256", "faces"])
                columns, faces = face_columns(rows)
                said = face_sources(rows, columns, decisions.images())
                nearest, certain = _corrected(nearest, faces, said, namer, decisions)
                names = _names(columns, nearest, fitted.threshold_, once, certain)
                yield pa.RecordBatch.from_arrays(
                    [*columns.values(), names, *nearest.combine_chunks().to_batches()[0].columns]
                    if len(nearest)
                    else [pa.array([], field.type) for field in _SCHEMA],
                    schema=_SCHEMA,
                )

    return pa.RecordBatchReader.from_batches(_SCHEMA, batches())


@dataclass(frozen=True)
class _PartitionIdentifier:
    """Identifies the faces of one partition."""

    table: Path
    classifier: IdentityClassifier

    def __call__(self, task: Any) -> Any:
        table = ArchiveTable(self.table)
        partition = table.path / task.schema.metadata[_PARTITION].decode()
        _, faces = face_columns(table.read(partition, ["path", "faces"]))
        if not len(faces):
            return _ANSWERS.empty_table().replace_schema_metadata(task.schema.metadata)
        found = self.classifier.identify(vectors_of(faces))
        columns = [pa.array(list(map(str, found.candidate))), found.distance, found.probability]
        return pa.table(columns, schema=_ANSWERS.with_metadata(task.schema.metadata))


def _in_order(
    table: ArchiveTable, classifier: IdentityClassifier, runner: Runner
) -> Iterator[tuple[Path, Any]]:
    """Yields the results of each partition, in order, whichever finishes first."""
    partitions = table.partitions
    tasks = [
        pa.table({}, metadata={_PARTITION: partition.name.encode()}) for partition in partitions
    ]
    work = _PartitionIdentifier(table.path.absolute(), classifier)
    waiting: dict[str, Any] = {}
    following = iter(partitions)
    expected = next(following, None)
    for found in runner.run(work, tasks):
        waiting[found.schema.metadata[_PARTITION].decode()] = found.replace_schema_metadata(None)
        while expected is not None and expected.name in waiting:
            yield expected, waiting.pop(expected.name)
            expected = next(following, None)


def _fitted(
    table: ArchiveTable,
    gallery: Gallery | str | os.PathLike[str],
    classifier: IdentityClassifier | None,
) -> Fitted:
    if isinstance(gallery, Gallery):
        name = table.weights.rpartition("@")[0]
        embedder = embedder_by_name(name, os.fspath(table.path))
        recognizer = FaceRecognizer(embedder=embedder, gallery=gallery, classifier=classifier)
    else:
        recognizer = FaceRecognizer.load(gallery, classifier=classifier)
    own = recognizer.gallery.weights
    same_weights(table.weights, own, f"{table.path}: was made", "the gallery with")
    return recognizer.fitted()


def _shards(
    classifier: IdentityClassifier, enrolled: Enrolled, size: int
) -> list[IdentityClassifier]:
    """Returns classifiers for a part of the people each, with the common threshold."""
    if len(enrolled) <= size:
        return [classifier]
    if classifier.strategy == "svm":
        raise InvalidArgumentError(
            f'the strategy "svm" compares all people with each other; for more than {size:,} '
            'enrolled photos use "centroid" or "nearest"'
        )
    enrolled = enrolled.dense
    order, starts = enrolled.by_person
    ends = np.searchsorted(starts, np.arange(starts[0] + size, starts[-1] + size, size), "right")
    shards, first = [], 0
    for end in np.unique(np.minimum(np.maximum(ends - 1, 1), len(enrolled.classes))):
        rows = order[starts[first] : starts[end]]
        if not len(rows):
            continue
        part = Enrolled(
            enrolled.embeddings[rows],
            enrolled.labels[rows] - first,
            enrolled.classes[first:end],
            least_norm=enrolled.least_norm,
        )
        parameters = {**classifier.get_params(), "threshold": classifier.threshold_}
        shards.append(IdentityClassifier(**parameters).fit_enrolled(part))
        first = int(end)
    return shards


def _corrected(
    answers: Any, faces: Any, said: dict[int, FaceSource], namer: Namer, decisions: Decisions
) -> tuple[Any, dict[int, bool]]:
    """Applies corrections to the results, and returns which faces they decide."""
    if not said:
        return answers, {}
    places, sources = list(said), list(said.values())
    found = namer.identify(vectors_of(faces.take(pa.array(places))), sources=sources)
    columns = {name: answers[name].to_pylist() for name in _ANSWERS.names}
    certain = {}
    for at, source, identity in zip(places, sources, found, strict=True):
        for name in _ANSWERS.names:
            columns[name][at] = getattr(identity, name)
        decision = decisions.of(source)
        if decision.person == identity.name is not None:
            certain[at] = True
        elif decision.excluded or identity.name is None:
            certain[at] = False
    return pa.table(columns, schema=_ANSWERS), certain


def _nearer(one: Any, other: Any) -> Any:
    """Returns the result with the smaller distance for each face."""
    first = pc.less_equal(one["distance"], other["distance"])
    columns = [pc.if_else(first, one[name], other[name]) for name in _ANSWERS.names]
    return pa.table(columns, schema=_ANSWERS)


def _names(
    columns: dict[str, Any],
    answers: Any,
    threshold: float | None,
    once_an_image: bool,
    certain: dict[int, bool],
) -> Any:
    distance = answers["distance"].to_numpy()
    named = np.asarray(columns["problems"].to_numpy(zero_copy_only=False) == "")
    named &= distance <= (np.inf if threshold is None else threshold)
    named[list(certain)] = list(certain.values())
    if once_an_image:
        accepted = [at for at, is_named in certain.items() if is_named]
        distance = distance.copy()
        distance[accepted] = -1.0  # ahead of the nearest
        named &= _nearest_of_its_name(columns["path"], answers["candidate"], distance, named)
    names = pc.if_else(pa.array(named), answers["candidate"].combine_chunks(), None)
    return names if isinstance(names, pa.Array) else names.combine_chunks()


def _nearest_of_its_name(
    paths: Any, candidates: Any, distance: npt.NDArray[Any], named: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    keys = [
        np.unique(column.to_numpy(zero_copy_only=False).astype(str), return_inverse=True)[1]
        for column in (paths, candidates.combine_chunks())
    ]
    order = np.lexsort((np.where(named, distance, np.inf), *keys))
    first = np.ones(len(order), bool)
    first[1:] = (np.diff(keys[0][order]) != 0) | (np.diff(keys[1][order]) != 0)
    nearest = np.zeros(len(order), bool)
    nearest[order[first]] = True
    return nearest
