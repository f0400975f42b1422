"""Indexing: every image of an archive becomes one row of a table."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import pyarrow as pa
import pyarrow.compute as pc

from facekit.archive.engines import Engine, Runner
from facekit.archive.rows import ImageRow, image_schema, table_of
from facekit.archive.sources import ArchiveSource, ImageFiles, listed, partition_name
from facekit.archive.table import ArchiveTable
from facekit.detection import FaceDetector
from facekit.detection.registry import make_detector
from facekit.embedding import Embedder, FaceEmbedder
from facekit.io.decoding import Truncated
from facekit.io.images import MAX_PIXELS
from facekit.io.tables import utf8
from facekit.parts import detector_to_dict, quality_to_dict
from facekit.pipeline import FacePipeline
from facekit.quality import QualityGate
from facekit.utils.validation import choice, flag, whole

Changed: TypeAlias = Literal["stat", "content"]
"""How changed images are detected: by size and time, or by SHA-256."""

_SUMMARY = pa.schema([("indexed", pa.int64())])
_PARTITION = b"partition"


@dataclass(frozen=True)
class IndexReport:
    """The result of :func:`index_archive`.

    Args:
        table: The folder of the table.
        images: The number of images listed.
        indexed: The number of images read and added to the table.
        unchanged: The number already in the table.
        removed: The number of rows removed.
        errors: The number of images in the table that could not be read; their rows say why.
        faces: The number of faces in the table.
        passed_over: A sentence on files that were skipped because they are not images; may be
            empty.

    Example:
        >>> import pathlib, tempfile
        >>> from facekit.archive import index_archive
        >>> from matplotlib.cbook import get_sample_data
        >>> portrait = get_sample_data("grace_hopper.jpg", asfileobj=False)
        >>> folder = pathlib.Path(tempfile.mkdtemp()) / "faces.parquet"
        >>> report = index_archive([portrait, "no_such_photo.jpg"], folder)
        >>> report.indexed, report.errors, report.faces
        (2, 1, 1)
        >>> report = index_archive([portrait, "no_such_photo.jpg"], folder)
        >>> report.indexed, report.unchanged
        (0, 2)
    """

    table: Path
    images: int
    indexed: int
    unchanged: int
    removed: int
    errors: int
    faces: int
    passed_over: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as plain Python values, ready for ``json.dumps``."""
        return {**self.__dict__, "table": str(self.table)}


class ImageIndexer:
    """Maps a table of files to a table of their faces, independently of the engine.

    Any engine that maps tables with a callable can run it: ``map_batches`` of Ray Data,
    ``mapInArrow`` of Spark, a process pool. It pickles with its detector and embedder.

    Args:
        detector: Finds the faces.
        embedder: Embeds them.
        quality: Measures them; ``None`` to skip this.
        half: Whether embeddings are stored as float16.
        max_pixels: The largest image that is read, in pixels.
        truncated: What to do with an incomplete JPEG, as for :func:`facekit.load_image`.
        threads: How many cores to use; ``None`` for all that the process may use.

    Attributes:
        schema: The columns of the result, as
            :class:`facekit.archive.table.ArchiveTable` describes them.

    Raises:
        InvalidArgumentError: If detector and embedder do not fit, or ``threads`` is not positive.

    Example:
        >>> import os
        >>> import pyarrow as pa
        >>> from facekit import Detector, Embedder
        >>> from facekit.archive.indexing import ImageIndexer
        >>> from matplotlib.cbook import get_sample_data
        >>> portrait = get_sample_data("grace_hopper.jpg", asfileobj=False)
        >>> files = pa.table({
        ...     "path": ["hopper.jpg"], "location": [os.fsencode(portrait)],
        ...     "bytes": [61306], "modified": pa.array([0], pa.timestamp("ns", "UTC"))})
        >>> rows = ImageIndexer(Detector(), Embedder())(files)
        >>> rows["path"][0].as_py(), rows["width"][0].as_py(), len(rows["faces"][0])
        ('hopper.jpg', 512, 1)
    """

    def __init__(
        self,
        detector: FaceDetector,
        embedder: FaceEmbedder,
        *,
        quality: QualityGate | None = QualityGate(),  # noqa: B008 - it is frozen
        half: bool = True,
        max_pixels: int = MAX_PIXELS,
        truncated: Truncated = "error",
        threads: int | None = None,
    ) -> None:
        if threads is not None:
            threads = whole(threads, "threads", least=1)
            detector, embedder = _with_threads(detector, threads), _with_threads(embedder, threads)
        self.half, self.max_pixels = flag(half, "half"), whole(max_pixels, "max_pixels", least=1)
        choice(truncated, "truncated", get_args(Truncated))
        self.truncated: Truncated = truncated
        self._pipeline = FacePipeline(detector, embedder, quality=quality)
        self._weights = embedder.record.identity
        self.schema = image_schema(embedder.embedding_size, half=half)

    def __call__(self, images: Any, known: dict[str, str] | None = None) -> Any:
        """Reads images and finds their faces.

        Args:
            images: A ``pyarrow.Table`` with the columns ``path`` (as stored in the row),
                ``location`` (where to read it: the bytes of a path or an address), ``bytes`` and
                ``modified``.
            known: The SHA-256 of images that need no new row if their content is unchanged.

        Returns:
            A ``pyarrow.Table`` with the columns :attr:`schema`: one row for each new image, in
            order.
        """
        return table_of(list(self._rows(images, known or {})), self.schema, self._weights)

    def settings(self) -> dict[str, Any]:
        """Returns the values for ``ArchiveTable.settings``, as plain Python values."""
        pipeline, embedder = self._pipeline, self._pipeline.embedder
        assert embedder is not None
        return {
            "weights": self._weights,
            "embedding_size": embedder.embedding_size,
            "detector": detector_to_dict(pipeline.detector),
            "aligner": pipeline.aligner.to_dict(),
            "quality": quality_to_dict(pipeline.quality),
            "max_pixels": self.max_pixels,
            "truncated": self.truncated,
            "embedding": "float16" if self.half else "float32",
        }

    def _rows(self, images: Any, known: dict[str, str]) -> Iterator[ImageRow]:
        paths, sizes = images["path"].to_pylist(), images["bytes"].to_pylist()
        locations = images["location"].to_pylist()
        times = images["modified"].cast(pa.int64()).to_pylist()
        files = ImageFiles()

        def skip(place: int, digest: str) -> bool:
            return known.get(paths[place]) == digest

        found = self._pipeline.run(
            files.sources(locations),
            digests=True,
            skip=skip,
            max_pixels=self.max_pixels,
            truncated=self.truncated,
        )
        for place, image in enumerate(found):
            if image.skipped:
                continue
            error = files.failed.get(place) or (None if image.error is None else str(image.error))
            taken = None if error is not None else files.taken(place, locations[place])
            yield ImageRow(
                image if place not in files.failed else replace(image, sha256=None),
                paths[place],
                sizes[place],
                times[place],
                taken,
                None if error is None else utf8(str(error)),
            )


@dataclass(frozen=True)
class _PartitionIndexer:
    """Indexes the images of one partition, and writes it."""

    indexer: ImageIndexer
    table: Path
    changed: str

    def __call__(self, task: Any) -> Any:
        table = ArchiveTable(self.table)
        name = task.schema.metadata[_PARTITION].decode()
        known: dict[str, str] = {}
        if self.changed == "content" and (table.path / name).exists():
            rows = table.read(table.path / name, ["path", "sha256"])
            pairs = zip(rows["path"].to_pylist(), rows["sha256"].to_pylist(), strict=True)
            known = {path: digest for path, digest in pairs if digest}
        rows = self.indexer(task.replace_schema_metadata(None), known)
        table.commit(name, rows)
        return pa.table({"indexed": [len(rows)]}, schema=_SUMMARY)


def index_archive(
    images: ArchiveSource,
    output: str | os.PathLike[str],
    *,
    engine: Engine = "local",
    detector: FaceDetector | str | None = None,
    embedder: FaceEmbedder | None = None,
    quality: QualityGate | None = QualityGate(),  # noqa: B008 - it is frozen
    half: bool = True,
    changed: Changed = "stat",
    prune: bool = False,
    retry_errors: bool = False,
    partition_size: int = 1000,
    max_pixels: int = MAX_PIXELS,
    truncated: Truncated = "error",
    workers: int | None = None,
    address: str | None = None,
    progress: bool = True,
) -> IndexReport:
    """Indexes the images of an archive in a table of Parquet files, one row per image.

    Images are processed partition by partition, and each partition is written atomically. A second
    run processes only new and changed images, and resumes after an interruption: at most the
    partition that each worker was processing is lost. A file that cannot be read gets a row with
    the reason. One machine and a Ray cluster produce bit-identical tables if their processors
    compute alike.

    Args:
        images: A folder, searched recursively, a file, an address that pyarrow or fsspec can open,
            such as ``s3://bucket/photos``, or several of them.
        output: The folder of the table; with several machines, on a shared file system.
        engine: ``"local"`` for this process and all its cores, ``"ray"`` for actors on a Ray
            cluster, which is started on this machine if none is given.
        detector: Finds the faces: ``"mtcnn"``, the default, ``"yunet"``, or any
            :class:`facekit.FaceDetector`.
        embedder: Embeds them; by default one with the default weights.
        quality: Measures each face, whose row lists its problems; ``None`` to skip this. Poor faces
            are embedded as well.
        half: Whether embeddings are stored as float16, in half the space of float32.
        changed: How changed images are detected: ``"stat"``, by size or time, or ``"content"``, by
            SHA-256, which rereads every file.
        prune: Whether to remove the rows of images that are no longer among ``images``; those below
            a folder that cannot be read stay.
        retry_errors: Whether to retry images that could not be read.
        partition_size: The maximum number of images in a partition.
        max_pixels: The largest image that is read, in pixels.
        truncated: What to do with an incomplete JPEG, as for :func:`facekit.load_image`.
        workers: With Ray: the number of actors, each on one core; by default the number of free
            cores, less one for Ray itself.
        address: With Ray: the cluster to use, as for ``ray.init``; by default the connected one,
            the one that ``RAY_ADDRESS`` names, or a new one on this machine.
        progress: Whether to show a progress bar, if standard error is a terminal.

    Returns:
        Counts of what was done.

    Raises:
        ImageError: If a folder is missing or holds no images.
        InvalidArgumentError: If an argument cannot be used, or an existing table was created with
            other settings.
        FileFormatError: If the table is damaged or cannot be written.
        ArchiveError: If another process is writing to the table, or Ray has too few cores.
        MissingExtraError: If Ray is requested but not installed.

    Example:
        >>> import pathlib, tempfile
        >>> from facekit.archive import index_archive
        >>> from matplotlib.cbook import get_sample_data
        >>> portrait = get_sample_data("grace_hopper.jpg", asfileobj=False)
        >>> folder = pathlib.Path(tempfile.mkdtemp()) / "faces.parquet"
        >>> index_archive([portrait], folder).faces
        1
    """
    runner = Runner(engine, workers, address, progress)
    choice(changed, "changed", get_args(Changed))
    size = whole(partition_size, "partition_size", least=1)
    if detector is None or isinstance(detector, str):
        detector = make_detector(detector or "mtcnn")
    indexer = ImageIndexer(
        detector,
        embedder or Embedder(),
        quality=quality,
        half=half,
        max_pixels=max_pixels,
        truncated=truncated,
        threads=1 if engine == "ray" else None,
    )
    found = listed(images)
    files = found.files
    table = ArchiveTable.create(output, indexer.settings())
    with table.locked():
        plan = _Plan(table, files, changed=changed, retry_errors=retry_errors)
        removed = plan.remove(prune=flag(prune, "prune"), unread=found.unread)
        tasks = plan.tasks(size)
        indexed = 0
        work = _PartitionIndexer(indexer, table.path.absolute(), changed)
        try:
            for summary in runner.run(work, tasks):
                indexed += summary["indexed"][0].as_py()
        finally:  # finished partitions are kept if this is interrupted
            table.finish()
    counts = table.counts()
    return IndexReport(
        table.path,
        len(files),
        indexed,
        len(files) - indexed,
        removed,
        counts["errors"],
        counts["faces"],
        found.passed_over,
    )


class _Plan:
    """The changes that bring the table up to date with the files."""

    def __init__(
        self, table: ArchiveTable, files: Any, *, changed: str, retry_errors: bool
    ) -> None:
        self._table, self._files = table, files.combine_chunks()
        self._partitions = [partition.name for partition in table.partitions]
        self._known = table.known()
        # The first of two rows of an image counts; concurrent processes can write two.
        numbered = self._known.append_column("row", pa.array(range(len(self._known)), pa.int64()))
        first = numbered.group_by("path", use_threads=False).aggregate([("row", "min")])["row_min"]
        self._twice = pc.invert(pc.is_in(numbered["row"], value_set=first.combine_chunks()))
        place = pc.index_in(self._files["path"], value_set=self._known["path"].combine_chunks())
        rows = self._known.take(place)
        same = pc.and_(
            _equal(rows["bytes"], self._files["bytes"]),
            _equal(rows["modified"], self._files["modified"]),
        )
        if changed == "content":
            same = pc.and_(same, False)
        if retry_errors:
            same = pc.and_(same, pc.is_null(rows["error"]))
        todo = pc.invert(pc.and_(same, pc.is_valid(place)))
        self._todo = self._files.filter(todo)
        self._where = rows["partition"].filter(todo)

    def remove(self, *, prune: bool, unread: Sequence[str]) -> int:
        """Removes duplicate rows of an image and, when pruning, the rows of missing images.

        Images below folders that cannot be read are not known to be missing.
        """
        gone = self._twice
        if prune:
            there = pc.is_in(self._known["path"], value_set=self._files["path"].combine_chunks())
            for folder in unread:
                below = os.path.join(folder, "")  # noqa: PTH118 - ends with a separator
                there = pc.or_(there, pc.starts_with(self._known["path"], below))
            gone = pc.or_(gone, pc.invert(there))
        rows = self._known.filter(gone)
        for number in pc.unique(rows["partition"]).to_pylist():
            paths = rows.filter(pc.equal(rows["partition"], number))["path"].to_pylist()
            nothing = self._table.schema.empty_table()
            self._table.commit(self._partitions[number], nothing, dropped=paths)
        return len(rows)

    def tasks(self, size: int) -> list[Any]:
        """Returns the images to index, grouped by partition."""
        tasks = []
        for number in pc.unique(self._where).drop_null().sort().to_pylist():
            mine = self._todo.filter(pc.equal(self._where, number))
            tasks.append(_named(mine, self._partitions[number]))
        new = self._todo.filter(pc.is_null(self._where))
        for start in range(0, len(new), size):
            images = new.slice(start, size)
            tasks.append(_named(images, partition_name(images)))
        return tasks


def _named(images: Any, partition: str) -> Any:
    return images.combine_chunks().replace_schema_metadata({_PARTITION: partition.encode()})


def _equal(one: Any, other: Any) -> Any:
    """Compares two columns; two nulls are equal."""
    both = pc.and_(pc.is_null(one), pc.is_null(other))
    return pc.or_(pc.fill_null(pc.equal(one, other), False), both)


def _with_threads(part: Any, threads: int) -> Any:
    """Returns a copy of a detector or embedder that uses a number of cores, if possible."""
    if not hasattr(part, "threads"):
        return part
    copied = copy.copy(part)
    copied.threads = threads
    return copied
