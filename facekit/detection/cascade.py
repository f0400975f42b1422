"""The cascade: P-Net proposes windows, R-Net refines them, O-Net decides."""

from __future__ import annotations

import functools
import itertools
import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from facekit.detection.boxes import Boxes, moved, squared, suppress_non_maxima
from facekit.detection.networks import (
    Network,
    output_network,
    proposal_network,
    refinement_network,
)
from facekit.detection.patches import Source, cut_patches, patch_source
from facekit.detection.pyramid import (
    WINDOW,
    Level,
    draw_rows,
    draw_small_rows,
    draws_from_integral,
    plan_pyramid,
)
from facekit.detection.settings import Settings
from facekit.detection.tiling import (
    TILE_HEIGHT,
    TILE_WIDTH,
    Strip,
    Tile,
    Windows,
    by_level,
    draw_tile,
    joined,
    plan_strips,
    plan_tiles,
    read_tile,
)
from facekit.detection.view import Detections
from facekit.io.images import RGBImage
from facekit.utils.forking import ForkLock
from facekit.utils.openvino import available_cores

Item = TypeVar("Item")
Result = TypeVar("Result")
FloatArray: TypeAlias = npt.NDArray[np.float32]
Pixels: TypeAlias = npt.NDArray[Any]

# The batch size of R-Net and O-Net: large enough to be fast, small enough to share the work.
_REFINED_AT_ONCE, _OUTPUT_AT_ONCE = 16, 2
_REFINED_SIDE, _OUTPUT_SIDE = 24, 48
_MOST_PATCHES = 256

# Larger images are not copied to floating point, and this many pixels are drawn at a time.
_COPIED_PIXELS = _DRAWN_PIXELS = 4_000_000


class Cascade:
    """The three networks, compiled, and the threads that run them, one per core."""

    def __init__(self, threads: int) -> None:
        self._proposal = Network(proposal_network, (TILE_HEIGHT, TILE_WIDTH), threads)
        self._refinement = Network(refinement_network, (_REFINED_AT_ONCE,), threads)
        self._output = Network(output_network, (_OUTPUT_AT_ONCE,), threads)
        self._workers = ThreadPoolExecutor(threads, thread_name_prefix="facekit-detection")
        self._threads = threads
        self._callers, self._counting = 0, threading.Lock()

    def detect(self, images: Sequence[RGBImage], settings: Settings) -> list[Detections]:
        """Finds the faces of several images, whose windows share tiles and batches."""
        with self._calling():
            pixels = [_copied(image) for image in images]
            boxes = self._propose(images, pixels, settings)
            sources = [patch_source(*pair) for pair in zip(images, pixels, strict=True)]
            boxes = self._refine(sources, boxes, settings)
            return self._conclude(sources, boxes, settings)

    @contextmanager
    def _calling(self) -> Iterator[None]:
        with self._counting:
            self._callers += 1
        try:
            yield
        finally:
            with self._counting:
                self._callers -= 1

    def _propose(
        self, images: Sequence[RGBImage], pixels: Sequence[Pixels], settings: Settings
    ) -> list[Boxes]:
        plans = [
            plan_pyramid(
                image.shape[0],
                image.shape[1],
                settings.min_face_size,
                settings.scale_factor,
                complete=settings.complete_pyramid,
            )
            for image in images
        ]
        levels = [level for plan in plans for level in plan]
        drawings = [
            drawing
            for image, copied, plan in zip(images, pixels, plans, strict=True)
            for drawing in _drawings(image, copied, plan)
        ]

        def draw(strip: Strip) -> FloatArray:
            return drawings[strip.level](strip.top, strip.height)

        least = _log_odds(settings.thresholds[0])
        found: list[list[Windows]] = [[] for _ in levels]
        for strips in plan_strips(levels, _DRAWN_PIXELS):
            search = functools.partial(self._search, drawn=self._each(draw, strips), least=least)
            answers = self._each(search, plan_tiles(strips))
            for strip, windows in zip(strips, by_level(answers, len(strips)), strict=True):
                found[strip.level].append(windows._replace(top=windows.top + strip.top))
        proposals = (
            _proposals(level, joined(windows), settings.overlaps[0])
            for level, windows in zip(levels, found, strict=True)
        )
        return [
            _merged(list(itertools.islice(proposals, len(plan))), settings.overlaps[1])
            for plan in plans
        ]

    def _search(self, tile: Tile, drawn: Sequence[FloatArray], least: float) -> Windows:
        pixels, hidden = self._proposal.inputs()
        draw_tile(tile, drawn, pixels, hidden)
        (answer,) = self._proposal.run()
        return read_tile(tile, answer, least)

    def _refine(
        self, sources: Sequence[Source], boxes: Sequence[Boxes], settings: Settings
    ) -> list[Boxes]:
        answers = self._classify(self._refinement, sources, boxes, _REFINED_SIDE, _REFINED_AT_ONCE)
        refined = []
        for windows, (offsets, probabilities) in zip(boxes, answers, strict=True):
            passed = probabilities[:, 1] > settings.thresholds[1]
            better = moved(windows[passed], offsets[passed])
            kept = suppress_non_maxima(better, probabilities[passed, 1], settings.overlaps[2])
            refined.append(squared(better[kept]))
        return refined

    def _conclude(
        self, sources: Sequence[Source], boxes: Sequence[Boxes], settings: Settings
    ) -> list[Detections]:
        answers = self._classify(self._output, sources, boxes, _OUTPUT_SIDE, _OUTPUT_AT_ONCE)
        concluded = []
        for windows, (offsets, points, probabilities) in zip(boxes, answers, strict=True):
            passed = probabilities[:, 1] > settings.thresholds[2]
            faces = moved(windows[passed], offsets[passed])
            confidences = probabilities[passed, 1].astype(np.float64)
            keypoints = _placed(points[passed], windows[passed])
            kept = suppress_non_maxima(faces, confidences, settings.overlaps[3], measure="min")
            concluded.append(Detections(faces[kept], confidences[kept], keypoints[kept]))
        return concluded

    def _classify(
        self,
        network: Network,
        sources: Sequence[Source],
        boxes: Sequence[Boxes],
        side: int,
        at_once: int,
    ) -> Iterator[list[FloatArray]]:
        """Runs a network on the windows of all images, whole batches at a time; by image."""
        lengths = [len(windows) for windows in boxes]
        starts, count = np.cumsum([0, *lengths[:-1]]), sum(lengths)
        # One part per core, unless that would take much memory; whole batches, since the network
        # accepts nothing else.
        part = min(-(-count // self._threads), _MOST_PATCHES)
        part = max(-(-part // at_once), 1) * at_once

        def answer(start: int) -> list[FloatArray]:
            shares = [
                windows[max(start - first, 0) : max(start + part - first, 0)]
                for windows, first in zip(boxes, starts, strict=True)
            ]
            patches = np.concatenate(
                [cut_patches(*pair, side) for pair in zip(sources, shares, strict=True)]
            )
            (pixels,) = network.inputs()
            batches = []
            for first in range(0, max(len(patches), 1), at_once):
                batch = patches[first : first + at_once]
                pixels[: len(batch)] = batch
                batches.append([output[: len(batch)].copy() for output in network.run()])
            return [np.concatenate(outputs) for outputs in zip(*batches, strict=True)]

        # At least one part, even if empty, determines the shapes of the outputs.
        parts = self._each(answer, range(0, max(count, 1), part))
        outputs = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
        return map(list, zip(*(np.split(output, starts[1:]) for output in outputs), strict=True))

    def _each(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Calls a function for each item, on all cores not used by other callers."""
        # Images in parallel are faster than one image at a time on all cores.
        if len(items) < 2 or self._callers >= self._threads:
            return [function(item) for item in items]
        return list(self._workers.map(function, items))


def shared_cascade(threads: int | None = None) -> Cascade:
    """Returns a cascade shared by the whole process, since the networks never change."""
    # Without the lock, concurrent threads would each build one.
    with _building:
        return _built(os.getpid(), threads or available_cores())


_building = ForkLock()


@functools.cache
def _built(process: int, threads: int) -> Cascade:
    return Cascade(threads)


def _copied(image: RGBImage) -> Pixels:
    return image.astype(np.float32) if image[..., 0].size <= _COPIED_PIXELS else image


def _drawings(
    image: RGBImage, pixels: Pixels, levels: Sequence[Level]
) -> list[Callable[[int, int], FloatArray]]:
    """Returns for each level what draws its rows: from the pixels, or from the integral image."""
    small = [pixels is not image and draws_from_integral(level, image) for level in levels]
    # The sums of at most _COPIED_PIXELS fit into 32 bits.
    integral: Any = cv2.integral(image, sdepth=cv2.CV_32S) if any(small) else None
    return [
        functools.partial(draw_small_rows, integral, level)
        if one
        else functools.partial(draw_rows, pixels, level)
        for level, one in zip(levels, small, strict=True)
    ]


def _proposals(level: Level, windows: Windows, threshold: float) -> tuple[Boxes, FloatArray]:
    """Converts the windows found on a level to boxes in the image, with probabilities."""
    corner = np.stack([windows.left, windows.top], axis=1).astype(np.float64)
    # From the window's second to its thirteenth pixel, as in mtcnn.
    cell = np.concatenate([corner + 1, corner + WINDOW], axis=1)
    boxes: Boxes = (cell + windows.offsets.astype(np.float64) * (WINDOW - 1)) / level.scale
    probabilities = _probabilities(windows.scores)
    kept = suppress_non_maxima(boxes, probabilities, threshold)
    return boxes[kept], probabilities[kept]


def _merged(proposals: Sequence[tuple[Boxes, FloatArray]], threshold: float) -> Boxes:
    """Converts the proposals of all levels to squares for R-Net."""
    boxes = np.concatenate([np.empty((0, 4)), *(boxes for boxes, _ in proposals)])
    scores = np.concatenate([np.empty(0, np.float32), *(scores for _, scores in proposals)])
    return squared(boxes[suppress_non_maxima(boxes, scores, threshold)])


def _placed(points: FloatArray, windows: Boxes) -> npt.NDArray[np.float64]:
    """Converts keypoints from window units to pixels; as in mtcnn, offset by one pixel."""
    corner, size = windows[:, None, :2], (windows[:, 2:] - windows[:, :2] + 1.0)[:, None]
    return points.reshape(-1, 2, 5).transpose(0, 2, 1) * size + corner - 1.0


def _probabilities(log_odds: FloatArray) -> FloatArray:
    # In single precision, like mtcnn, whose order of windows depends on it.
    with np.errstate(over="ignore"):
        return np.float32(1.0) / (np.float32(1.0) + np.exp(-log_odds))


def _log_odds(probability: float) -> float:
    if probability in (0.0, 1.0):
        return math.copysign(math.inf, probability - 0.5)
    return math.log(probability / (1.0 - probability))
