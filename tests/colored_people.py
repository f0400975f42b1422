"""Videos of colored squares, and parts that take each color for a person."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from facekit import Aligner, Architecture, Face, FacePipeline
from facekit.embedding.weights.registry import WeightsRecord
from facekit.faces import Identity
from facekit.pipeline import face_in_box
from facekit.video import VideoFrame, write_frames

COLORS = {
    "Red": (230, 20, 20),
    "Green": (20, 230, 20),
    "Blue": (20, 20, 230),
    "Yellow": (230, 230, 20),
}
SIZE = (96, 160)
SIDE = 24
_CORNERS = np.array(list(COLORS.values()), dtype=np.float32)

Places = Mapping[str, tuple[float, float]]


class ColorDetector:
    """Finds the squares; each color is a face."""

    def detect_batch(self, images: Any) -> list[list[Face]]:
        return [list(self._faces(image)) for image in images]

    def _faces(self, image: npt.NDArray[np.uint8]) -> Iterable[Face]:
        away = np.linalg.norm(image[:, :, None].astype(np.float32) - _CORNERS, axis=3)
        for color in range(len(COLORS)):
            # Each side may be a stripe of another color after the encoding.
            near = cv2.erode((away[:, :, color] < 90).astype(np.uint8), np.ones((3, 3)))
            rows, columns = np.nonzero(near)
            if len(rows) > 30:
                x, y = int(columns.min()), int(rows.min())
                width, height = int(columns.max()) - x + 1, int(rows.max()) - y + 1
                yield face_in_box((float(x), float(y), float(width), float(height)))


class ColorEmbedder:
    """Embeds a face as the direction of its color from gray."""

    input_size, embedding_size = 16, 3
    record = WeightsRecord(
        "colors", "1", Architecture(input_size=80), {"size": 16}, thresholds={0.001: 0.8}
    )

    def embed(self, aligned: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        colors = aligned[:, 6:10, 6:10].astype(np.float32).mean(axis=(1, 2)) - 124.5
        unit: npt.NDArray[np.float32] = colors / np.linalg.norm(colors, axis=1, keepdims=True)
        return unit


def embedding_of(name: str) -> npt.NDArray[np.float32]:
    """Returns the embedding of a color."""
    return ColorEmbedder().embed(np.full((1, 16, 16, 3), COLORS[name], dtype=np.uint8))[0]


def pipeline() -> FacePipeline:
    """Returns a pipeline for squares."""
    return FacePipeline(ColorDetector(), ColorEmbedder(), aligner=Aligner(16))


def picture(places: Places, size: tuple[int, int] = SIZE) -> npt.NDArray[np.uint8]:
    """Draws squares with their upper left corners at some places; later ones cover earlier ones."""
    image = np.full((*size, 3), 128, dtype=np.uint8)
    for name, (x, y) in places.items():
        left, top = max(0, round(x)), max(0, round(y))
        image[top : max(0, round(y) + SIDE), left : max(0, round(x) + SIDE)] = COLORS[name]
        # A feature, by which one can see whether the face is covered.
        image[max(0, top + 3) : top + 7, left + 3 : left + 7] = 255
    return image


def clip(places: Callable[[int], Places], frames: int, *, rate: float = 10.0) -> list[VideoFrame]:
    """Draws a video in memory."""
    return [VideoFrame(n, n / rate, picture(places(n))) for n in range(frames)]


def write_clip(path: Path, places: Callable[[int], Places], frames: int = 20) -> Path:
    """Writes a video of 10 frames a second."""
    write_frames(path, clip(places, frames), rate=10)
    return path


def naming(*known: str) -> Callable[..., list[Identity]]:
    """Names colors, as a recognizer that knows some of them."""
    people = {name: embedding_of(name) for name in known}

    def identify(means: np.ndarray, images: Sequence[float]) -> list[Identity]:
        answers = []
        for mean in means:
            distances = {name: float(np.linalg.norm(mean - own)) for name, own in people.items()}
            name = min(distances, key=distances.__getitem__)
            near = distances[name] < 0.5
            answers.append(Identity(name if near else None, name, distances[name], 0.5, 0.9))
        return answers

    return identify
