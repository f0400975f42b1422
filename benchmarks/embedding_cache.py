"""Embeddings of the benchmarks' photos, computed once and kept in a file.

Finding and embedding the faces of some thousand photos takes minutes. The benchmarks of
identification share this cache: an ``.npz`` file, without pickle, made with one set of weights.
"""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from facekit import Detector, Embedder, Face, Keypoints, load_image
from facekit.io.folders import list_images
from facekit.utils.progress import track


class EmbeddedFaces(NamedTuple):
    """The faces of some photos.

    Attributes:
        embeddings: float32 ``(n, d)``.
        people: Whose photo each was found in, ``(n,)``.
        photos: The photo, relative to the folder, ``(n,)``.
        central: Whether it is the face nearest to the middle of its photo, bool ``(n,)``.
    """

    embeddings: np.ndarray
    people: np.ndarray
    images: np.ndarray
    central: np.ndarray

    def only(self, rows: np.ndarray) -> EmbeddedFaces:
        """Returns some of the faces."""
        return EmbeddedFaces(*(column[rows] for column in self))


def embed_folder(folder: Path, embedder: Embedder, cache: Path | None) -> EmbeddedFaces:
    """Embeds every face in a folder with one folder of photos per person.

    Args:
        folder: Holds a folder for each person.
        embedder: Embeds the faces.
        cache: The file to read instead if it is there, and to write otherwise.

    Returns:
        The faces, in the order of people, photos and the detector's confidence.
    """
    if cache is not None and cache.is_file():
        return _read(cache, embedder)
    images = [
        image
        for person in sorted(folder.iterdir())
        if person.is_dir()
        for image in list_images(person).images
    ]
    detector, aligner = Detector(), embedder.aligner()
    aligned, people, sources, central = [], [], [], []
    for image in track(images, "Finding faces", total=len(images), shown=True):
        pixels = load_image(image)
        faces = detector.detect(pixels)
        if not faces:
            continue
        aligned.append(aligner.align(pixels, faces))
        middle = np.array(pixels.shape[1::-1]) / 2
        nearest = np.argmin([np.linalg.norm(np.array(face.center) - middle) for face in faces])
        for index in range(len(faces)):
            people.append(image.parent.name)
            sources.append(f"{image.parent.name}/{image.name}")
            central.append(index == nearest)
    embeddings = embedder.embed(np.concatenate(aligned), progress=True)
    faces_found = EmbeddedFaces(embeddings, np.array(people), np.array(sources), np.array(central))
    return _written(faces_found, embedder, cache)


def embed_pool(
    pool: Path, embedder: Embedder, cache: Path | None, *, archives: tuple[str, ...]
) -> EmbeddedFaces:
    """Embeds the labeled faces of a pool of cut faces, the way ``thresholds.py`` reads it.

    Args:
        pool: The folder with ``index.csv`` and the archives that it names.
        embedder: Embeds the faces.
        cache: As for :func:`embed_folder`.
        archives: Beginnings of the names of the archives to read.

    Returns:
        The faces, in the order of the table.
    """
    if cache is not None and cache.is_file():
        return _read(cache, embedder)
    with (pool / "index.csv").open(newline="") as stream:
        rows = [
            row
            for row in csv.DictReader(stream)
            if row["label"] and float(row["score"]) > 0.99 and row["archive"].startswith(archives)
        ]
    opened = {name: zipfile.ZipFile(pool / name) for name in {row["archive"] for row in rows}}
    aligner = embedder.aligner()
    embeddings = np.empty((len(rows), embedder.embedding_size), dtype=np.float32)
    starts = range(0, len(rows), embedder.batch_size)
    for start in track(starts, "Embedding faces", total=len(starts), shown=True):
        batch = rows[start : start + embedder.batch_size]
        faces = [
            aligner.align(opened[row["archive"]].read(row["name"]), [pool_face(row)])[0]
            for row in batch
        ]
        embeddings[start : start + len(batch)] = embedder.embed(faces)
    found = EmbeddedFaces(
        embeddings,
        np.array([row["label"] for row in rows]),
        np.array([f"{row['archive']}/{row['name']}" for row in rows]),
        np.ones(len(rows), dtype=bool),
    )
    return _written(found, embedder, cache)


def pool_face(row: dict[str, str]) -> Face:
    """Returns the face that a line of a pool's index describes."""
    x1, y1, x2, y2 = (float(row[f"box_{corner}"]) for corner in ("x1", "y1", "x2", "y2"))
    points = ((float(row[f"{p}_x"]), float(row[f"{p}_y"])) for p in Keypoints._fields)
    return Face((x1, y1, x2 - x1, y2 - y1), float(row["score"]), Keypoints(*points))


def _written(faces: EmbeddedFaces, embedder: Embedder, cache: Path | None) -> EmbeddedFaces:
    if cache is not None:
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.savez(cache, weights=embedder.record.identity, **faces._asdict())
    return faces


def _read(cache: Path, embedder: Embedder) -> EmbeddedFaces:
    with np.load(cache, allow_pickle=False) as file:
        if str(file["weights"]) != embedder.record.identity:
            raise SystemExit(f"{cache}: was made with {file['weights']}; delete it")
        return EmbeddedFaces(*(file[name] for name in EmbeddedFaces._fields))
