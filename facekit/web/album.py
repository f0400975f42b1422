"""The faces of an album, and the groups of those that have no name yet."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, wait
from pathlib import Path

import numpy as np
import numpy.typing as npt

from facekit.clustering import cluster
from facekit.clustering.groups import linking_threshold
from facekit.embedding.weights.registry import WeightsRecord
from facekit.gallery import Gallery
from facekit.gallery.records import FaceSource
from facekit.io.folders import list_images
from facekit.pipeline import EmbeddedImage
from facekit.recognizer import FaceRecognizer
from facekit.utils.progress import track
from facekit.utils.validation import same_weights
from facekit.web.unknown import UnknownGroups

Vectors = npt.NDArray[np.float32]


class Album:
    """Faces with their embeddings, and the groups of unnamed ones.

    Faces are grouped once, in a separate thread; corrections then change the groups.
    """

    def __init__(
        self,
        sources: Sequence[FaceSource],
        vectors: Vectors,
        problems: Sequence[str],
        record: WeightsRecord,
    ) -> None:
        order = sorted(range(len(sources)), key=lambda place: bool(problems[place]))
        self.sources = [sources[place] for place in order]
        self.problems = [problems[place] for place in order]
        self.vectors = vectors[order]
        self._good = problems.count("")  # these come first
        self._unknown: Future[UnknownGroups] = Future()
        self._lock = threading.Lock()
        self._known: tuple[object, object] | None = None
        self._groups: list[list[int]] = []
        threshold = linking_threshold(record, len(vectors))
        threading.Thread(target=self._cluster, args=(threshold,), daemon=True).start()

    def _cluster(self, threshold: float) -> None:
        # By name: the same face in two copies of an image is one person.
        names = [source.source for source in self.sources[: self._good]]
        images = np.unique(np.array(names, dtype=str), return_inverse=True)[1].reshape(-1)
        good = self.vectors[: self._good]
        try:
            found = cluster(good, threshold=threshold, min_faces=1, images=images)
            self._unknown.set_result(UnknownGroups(self.sources[: self._good], good, found))
        except Exception as error:  # noqa: BLE001
            self._unknown.set_exception(error)  # result() raises it

    def is_grouped(self, seconds: float) -> bool:
        """Waits at most that long, and returns whether the faces are grouped."""
        wait([self._unknown], seconds)
        return self._unknown.done()

    @classmethod
    def of_images(cls, images: Iterable[EmbeddedImage], recognizer: FaceRecognizer) -> Album:
        """Creates an album from embedded images; those that cannot be read have no faces."""
        sources: list[FaceSource] = []
        vectors: list[Vectors] = []
        problems: list[str] = []
        for image in images:
            for face in image.faces:
                if image.sha256 is not None:
                    sources.append(face.to_source(image.sha256))
                    vectors.append(face.unit)
                    problems.append("; ".join(face.problems))
        rows = np.array(vectors, np.float32).reshape(-1, recognizer.embedder.embedding_size)
        return cls(sources, rows, problems, recognizer.embedder.record)

    @classmethod
    def open(cls, source: str | os.PathLike[str] | None, recognizer: FaceRecognizer) -> Album:
        """Reads a folder of images, or a table that ``facekit index`` wrote."""
        if source is None:
            return cls.of_images([], recognizer)
        if Path(source).suffix == ".parquet":
            return cls._of_table(source, recognizer)
        paths = list_images(source, recursive=True).checked().images
        found = recognizer.faces(paths)
        return cls.of_images(
            track(found, "Finding faces", total=len(paths), shown=True), recognizer
        )

    @classmethod
    def _of_table(cls, source: str | os.PathLike[str], recognizer: FaceRecognizer) -> Album:
        from facekit.archive.results import face_columns, face_sources
        from facekit.archive.rows import vectors_of
        from facekit.archive.table import ArchiveTable

        table = ArchiveTable(source)
        own = recognizer.embedder.record.identity
        same_weights(table.weights, own, f"{os.fspath(source)}: was made", "the gallery with")
        sources: list[FaceSource] = []
        problems: list[str] = []
        vectors = [np.empty((0, recognizer.embedder.embedding_size), np.float32)]
        for partition in table.partitions:
            rows = table.read(partition, ["path", "sha256", "faces"])
            columns, faces = face_columns(rows)
            if not len(faces):
                continue
            sources += face_sources(rows, columns).values()
            problems += columns["problems"].to_pylist()
            vectors.append(vectors_of(faces))
        return cls(sources, np.concatenate(vectors), problems, recognizer.embedder.record)

    def groups(self, gallery: Gallery) -> list[list[int]]:
        """Waits for the groups and returns the places of their faces, the largest group first."""
        enrolled, decisions = gallery.enrolled(), gallery.decisions()
        with self._lock:
            if self._known is None or self._known != (enrolled, decisions):
                unknown = self._unknown.result()
                named = gallery.images_with_digests(unknown.images)
                self._groups = unknown.after(named, decisions)
                self._known = (enrolled, decisions)
            return self._groups
