"""Unknown people in a table of faces."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from facekit.archive.engines import Engine, Runner
from facekit.archive.results import FACE_FIELDS, face_columns, face_sources
from facekit.archive.rows import vectors_of
from facekit.archive.table import ArchiveTable
from facekit.clustering.apart import apart
from facekit.clustering.constraints import constrained
from facekit.clustering.groups import linking_threshold
from facekit.clustering.linkage import split_loose
from facekit.clustering.neighbors import MOST_LINKS, near_links, search_by_faiss
from facekit.embedding.weights.registry import REGISTRY
from facekit.errors import InvalidArgumentError
from facekit.gallery import Gallery
from facekit.gallery.decisions import Decisions, Pairs
from facekit.gallery.records import FaceSource
from facekit.utils.extras import import_extra
from facekit.utils.grouping import rows_by_label
from facekit.utils.validation import choice, flag, number, whole

Album: TypeAlias = Literal["folder", "day"]
"""What keeps images together that were taken together: their folder, or the day of their EXIF time.
"""

_SCHEMA = pa.schema([*FACE_FIELDS, ("person", pa.int64()), ("distance", pa.float32())])
_LINKS = pa.schema([("face", pa.int64()), ("other", pa.int64()), ("similarity", pa.float32())])
_RANGE = pa.schema([("start", pa.int64()), ("stop", pa.int64())])
_GROUPED_AT_A_TIME = 1_000_000

FloatArray: TypeAlias = npt.NDArray[np.float32]
IntArray: TypeAlias = npt.NDArray[np.int64]


def cluster_archive(
    table: ArchiveTable | str | os.PathLike[str],
    *,
    threshold: float | None = None,
    album: Album | None = None,
    min_faces: int = 2,
    any_quality: bool = False,
    engine: Engine = "local",
    workers: int | None = None,
    address: str | None = None,
    shard_size: int = 100_000,
    gallery: Gallery | str | os.PathLike[str] | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Any:
    """Groups the faces of an archive that was indexed into unknown people.

    Each face is linked to its nearest neighbors within a threshold, which FAISS finds shard by
    shard, and label propagation on the graph of links yields the people: a single wrong link is
    outvoted, whereas joining everything linked would eventually merge everyone. Two faces in one
    image are never the same person. All vectors are held in memory once, 4 bytes per component, and
    on a cluster once per machine.

    Args:
        table: What :func:`index_archive` wrote.
        threshold: The Euclidean distance up to which faces are linked. By default it is derived
            from the weights' table of distances between strangers and the number of faces, so that
            the share of wrong links does not grow with that number; see
            :func:`facekit.clustering.groups.linking_threshold`.
        album: ``"folder"`` or ``"day"``: faces of images in the same folder, or taken on the same
            day, are also linked up to the wider threshold for that smaller number of faces. This
            matches difficult images that the strict threshold for all faces would miss.
        min_faces: Smaller groups are not counted as people.
        any_quality: Whether faces with problems are grouped as well.
        engine: As for :func:`index_archive`, like the next two; it finds the links.
        workers: Likewise.
        address: Likewise.
        shard_size: How many faces are compared with all others in one task.
        gallery: A gallery or its file, whose corrections are applied
            (:attr:`facekit.Gallery.review`): faces linked as one person share a number, separated
            ones do not, and excluded ones have none. By default there are no corrections.
        seed: Seed for the order in which labels are propagated.
        progress: Whether to show a progress bar, if standard error is a terminal.

    Returns:
        A ``pyarrow.Table`` with one row per face, in the order of the table's partitions: ``path``,
        ``face`` (its index in the image), ``x``, ``y``, ``width``, ``height``, ``confidence``,
        ``problems``, ``person`` (a number, 0 for the person with the most faces; null for a face in
        no group) and ``distance`` (to the mean of the person's faces). Export it with
        ``.to_pandas()`` or :func:`write_results`; DuckDB can query it.

    Raises:
        FileFormatError: If the table is damaged.
        InvalidArgumentError: If the weights have neither a table nor thresholds, or an argument
            cannot be used.
        ArchiveError: As for :func:`index_archive`.
        MissingExtraError: If FAISS or networkit is not installed.

    Example:
        >>> import pathlib, tempfile, shutil
        >>> from facekit.archive import cluster_archive, index_archive
        >>> from matplotlib.cbook import get_sample_data
        >>> portrait = get_sample_data("grace_hopper.jpg", asfileobj=False)
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> images = [shutil.copy(portrait, folder / name) for name in ("a.jpg", "b.jpg")]
        >>> _ = index_archive(images, folder / "faces.parquet")
        >>> cluster_archive(folder / "faces.parquet")["person"].to_pylist()
        [0, 0]

    References:
        U. Raghavan, R. Albert and S. Kumara, "Near linear time algorithm to detect community
        structures in large-scale networks", 2007; ``networkit.community.PLP``.
    """
    runner = Runner(engine, workers, address, progress)
    if album is not None:
        choice(album, "album", get_args(Album))
    least = whole(min_faces, "min_faces", least=1)
    size = whole(shard_size, "shard_size", least=2)
    seed = whole(seed, "seed", least=0)
    opened = table if isinstance(table, ArchiveTable) else ArchiveTable(table)
    decisions = _decisions(gallery)
    faces = _Faces.read(opened, album, decisions, any_quality=flag(any_quality, "any_quality"))
    thresholds = _thresholds(opened, threshold)
    for package in ("faiss", "networkit"):
        import_extra(package)
    links = _links(faces, thresholds(len(faces.vectors)), runner, size)
    if album is not None:
        links = [*links, *_links_of_albums(faces, thresholds)]
    groups = _propagated(_joined(links, faces.images), len(faces.vectors), seed)
    groups = apart(faces.vectors, groups, faces.images)
    widest = thresholds(0) if album is not None else thresholds(len(faces.vectors))
    groups = split_loose(faces.vectors, groups, widest)
    groups = constrained(faces.vectors, groups, *faces.pairs(decisions))
    person, distance = _people(faces.vectors, groups, least)
    everybody = np.full(faces.count, -1, np.int64)
    everybody[faces.rows] = person
    far = np.zeros(faces.count, np.float32)
    far[faces.rows] = distance
    mask = everybody < 0
    columns = [*faces.columns.values(), pa.array(everybody, mask=mask), pa.array(far, mask=mask)]
    return pa.table(columns, schema=_SCHEMA)


@dataclass(frozen=True)
class _Faces:
    """All faces of a table, and the vectors of those that are to be grouped."""

    columns: dict[str, Any]
    count: int
    rows: IntArray
    vectors: FloatArray
    images: IntArray
    albums: IntArray
    said: dict[int, FaceSource]
    """The locations of faces that may have corrections, by their indices among all."""

    @classmethod
    def read(
        cls, table: ArchiveTable, album: Album | None, decisions: Decisions, *, any_quality: bool
    ) -> _Faces:
        kept: list[dict[str, Any]] = []
        vectors = [np.empty((0, table.settings["embedding_size"]), np.float32)]
        wanted = ["path", "sha256", "taken", "faces"]
        said: dict[int, FaceSource] = {}
        count = 0
        for partition in table.partitions:
            rows = table.read(partition, wanted)
            columns, faces = face_columns(rows)
            if not len(faces):
                continue
            good = columns["problems"].to_numpy(zero_copy_only=False) == ""
            columns["good"] = good | any_quality
            for at, source in face_sources(rows, columns, decisions.images()).items():
                said[count + at] = source
                columns["good"][at] &= decisions.of(source).excluded is None
            count += len(faces)
            columns["album"] = np.array(_albums(rows, columns["path"], album), object)
            vectors.append(vectors_of(faces)[columns["good"]])
            kept.append(columns)
        names = [name for name, _ in FACE_FIELDS]
        if not kept:
            nothing = {name: pa.array([], kind) for name, kind in FACE_FIELDS}
            none = np.empty(0, np.int64)
            return cls(nothing, 0, none, vectors[0], none, none, said)
        joined = {name: pa.concat_arrays([part[name] for part in kept]) for name in names}
        rows_to_group = np.flatnonzero(np.concatenate([part["good"] for part in kept]))
        images, albums = (
            np.unique(values.astype(str), return_inverse=True)[1][rows_to_group]
            for values in (
                joined["path"].to_numpy(zero_copy_only=False),
                np.concatenate([part["album"] for part in kept]),
            )
        )
        return cls(joined, count, rows_to_group, np.concatenate(vectors), images, albums, said)

    def pairs(self, decisions: Decisions) -> tuple[Pairs, Pairs]:
        """Returns the pairs of faces that are the same person, and that are different people."""
        places = [at for at, row in enumerate(self.rows.tolist()) if row in self.said]
        found = decisions.pairs([self.said[int(self.rows[at])] for at in places])
        same, different = ([(places[a], places[b]) for a, b in pairs] for pairs in found)
        return same, different


def _decisions(gallery: Gallery | str | os.PathLike[str] | None) -> Decisions:
    if gallery is None:
        return Decisions()
    if isinstance(gallery, Gallery):
        return gallery.decisions()
    with Gallery.open(gallery) as opened:
        return opened.decisions()


def _albums(rows: Any, paths: Any, album: Album | None) -> list[str]:
    """Returns the album of each face's image; an image without a time is its own album."""
    if album is None:
        return [""] * len(paths)
    if album == "folder":
        return [path.rpartition("/")[0].rpartition("\\")[0] or path for path in paths.to_pylist()]
    days = dict(zip(rows["path"].to_pylist(), rows["taken"].to_pylist(), strict=True))
    return [
        path if days[path] is None else days[path].date().isoformat() for path in paths.to_pylist()
    ]


def _thresholds(table: ArchiveTable, given: float | None) -> Callable[[int], float]:
    """Returns the distance up to which faces are linked, by the number compared."""
    if given is not None:
        fixed = number(given, "threshold", 0, 2)
        return lambda _: fixed
    name, _, version = table.weights.rpartition("@")
    record = REGISTRY.get(name)
    if record is None or record.version != version:
        raise InvalidArgumentError(
            f"{table.path}: was made with the weights {table.weights}, which are not known by "
            "name; give a threshold"
        )
    return partial(linking_threshold, record)


@dataclass(frozen=True)
class _ShardSearch:
    """Finds the links between all faces and those of one shard."""

    vectors: FloatArray
    least: float

    def __call__(self, task: Any) -> Any:
        start, stop = task["start"][0].as_py(), task["stop"][0].as_py()
        links: list[tuple[Any, ...]] = []
        searched = search_by_faiss(self.vectors, self.vectors[start:stop], MOST_LINKS + 1)
        for block, similarity, nearest in searched:
            rows = np.broadcast_to(block + np.arange(len(nearest))[:, None], nearest.shape)
            linked = (similarity >= self.least) & (nearest >= 0) & (nearest + start != rows)
            links.append((rows[linked], nearest[linked] + start, similarity[linked]))
        columns = [np.concatenate(parts) for parts in zip(*links, strict=True)]
        return pa.table(columns, schema=_LINKS)


def _links(faces: _Faces, threshold: float, runner: Runner, size: int) -> list[Any]:
    count = len(faces.vectors)
    tasks = [
        pa.table({"start": [start], "stop": [min(count, start + size)]}, schema=_RANGE)
        for start in range(0, count, size)
    ]
    work = _ShardSearch(faces.vectors, 1.0 - threshold**2 / 2.0)
    return list(runner.run(work, tasks, "Linking"))


def _links_of_albums(faces: _Faces, thresholds: Callable[[int], float]) -> Iterator[Any]:
    """Yields the links within albums, whose smaller number of faces allows a wider threshold."""
    for members in rows_by_label(faces.albums):
        if len(members) < 2:
            continue
        links = near_links(faces.vectors[members], thresholds(len(members)))
        owner = np.repeat(members, np.diff(links.start))
        yield pa.table([owner, members[links.target], links.weight], schema=_LINKS)


def _joined(links: list[Any], images: IntArray) -> tuple[IntArray, IntArray, FloatArray]:
    """Returns each link once: from a face to its nearest neighbors, never within an image."""
    table = pa.concat_tables([_LINKS.empty_table(), *links])
    one, other, similarity = (table[name].to_numpy() for name in _LINKS.names)
    elsewhere = images[one] != images[other]
    one, other, similarity = one[elsewhere], other[elsewhere], similarity[elsewhere]
    # Several shards each return that many neighbors; only the nearest count. Ties go by number.
    order = np.lexsort((other, -similarity, one))
    one, other, similarity = one[order], other[order], similarity[order]
    first = np.searchsorted(one, one)
    near = np.arange(len(one)) - first < MOST_LINKS
    low, high = np.minimum(one, other)[near], np.maximum(one, other)[near]
    _, once = np.unique(low * (len(images) + 1) + high, return_index=True)
    return low[once], high[once], np.maximum(similarity[near][once], np.float32(1e-6))


def _propagated(links: tuple[IntArray, IntArray, FloatArray], count: int, seed: int) -> IntArray:
    """Returns the community of each face."""
    if not len(links[0]):
        return np.arange(count)
    networkit = import_extra("networkit")
    threads = networkit.getMaxNumberOfThreads()
    try:
        # With several threads, the result would not be reproducible.
        networkit.setNumberOfThreads(1)
        networkit.setSeed(seed, False)
        low, high, similarity = links
        graph = networkit.GraphFromCoo(
            (similarity.astype(np.float64), (low.astype(np.uint64), high.astype(np.uint64))),
            count,
            weighted=True,
        )
        found = networkit.community.PLP(graph).run().getPartition()
        return np.asarray(found.getVector(), np.int64)
    finally:
        networkit.setNumberOfThreads(threads)


def _people(vectors: FloatArray, groups: IntArray, least: int) -> tuple[IntArray, FloatArray]:
    """Numbers the groups by size, −1 for small ones, and returns the distances to their means."""
    if not len(groups):
        return groups, np.empty(0, np.float32)
    sizes = np.bincount(groups)
    first = np.full(len(sizes), len(groups))
    np.minimum.at(first, groups, np.arange(len(groups)))
    rank = np.empty(len(sizes), np.int64)
    rank[np.lexsort((first, -sizes))] = np.arange(len(sizes))
    person = np.where(sizes[groups] >= least, rank[groups], -1)
    order = np.argsort(groups, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    means = np.add.reduceat(vectors[order], starts[sizes > 0], axis=0)
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
    distance = np.empty(len(groups), np.float32)
    for start in range(0, len(groups), _GROUPED_AT_A_TIME):
        block = slice(start, start + _GROUPED_AT_A_TIME)
        distance[block] = np.linalg.norm(vectors[block] - means[groups[block]], axis=1)
    return person, distance
