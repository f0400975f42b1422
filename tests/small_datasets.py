"""Small data sets of made-up faces for the tests of training."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from facekit import Face, Keypoints
from facekit.training import FaceDataset

SIDE = 16


def numbered_faces(number: int) -> npt.NDArray[np.uint8]:
    """Returns faces that differ: the first two values of each are its number."""
    faces = np.zeros((number, SIDE, SIDE, 3), dtype=np.uint8)
    faces[:, 0, 0, 0], faces[:, 0, 0, 1] = np.divmod(np.arange(number), 256)
    return faces


def numbers_of(faces: npt.NDArray[np.uint8]) -> list[int]:
    """Returns the numbers of faces of :func:`numbered_faces`."""
    return (faces[:, 0, 0, 0].astype(int) * 256 + faces[:, 0, 0, 1]).tolist()


def people_with(counts: Sequence[int], unknown: int = 0) -> FaceDataset:
    """Returns a data set of people with so many photos each, in mixed order."""
    names = [f"person {n:03}" for n, count in enumerate(counts) for _ in range(count)]
    people: list[str | None] = [*names, *[None] * unknown]
    np.random.default_rng(0).shuffle(people)
    return FaceDataset.from_arrays(numbered_faces(len(people)), people)


def portrait(number: int, size: int = 40) -> Image.Image:
    """Returns a picture of a color of its own."""
    rng = np.random.default_rng(number)
    return Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8))


def write_images(folder: Path, counts: dict[str, int]) -> Path:
    """Writes a folder of people with so many photos each."""
    numbers = itertools.count()
    for person, count in counts.items():
        (folder / person).mkdir(parents=True)
        for image in range(count):
            portrait(next(numbers)).save(folder / person / f"{image}.png")
    return folder


def face_at(left: float, top: float, side: float, confidence: float = 1.0) -> Face:
    """Returns a face whose keypoints lie where they usually do."""
    points = [(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)]
    keypoints = Keypoints(*((left + x * side, top + y * side) for x, y in points))
    return Face(box=(left, top, side, side), confidence=confidence, keypoints=keypoints)


class CountingDetector:
    """Stands in for the detector: finds faces at once, and counts the pictures it has seen."""

    def __init__(self, *faces: Face) -> None:
        self.faces = list(faces) or [face_at(5, 5, 30)]
        self.seen = 0

    def get_params(self) -> dict[str, object]:
        return {"stands in": True}

    def detect(self, image: npt.NDArray[np.uint8]) -> list[Face]:
        self.seen += 1
        return self.faces

    def detect_batch(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[list[Face]]:
        return [self.detect(image) for image in images]
