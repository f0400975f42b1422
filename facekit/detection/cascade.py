"""The cascade: P-Net proposes windows, R-Net refines them, O-Net has the last word."""

from __future__ import annotations

import functools
import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from facekit.detection.boxes import Boxes, moved, squared, suppress_non_maxima
from facekit.detection.networks import (
    Network,
    output_network,
    proposal_network,
    refinement_network,
)
from facekit.detection.patches import cut_patches, packed
from facekit.detection.pyramid import (
    SMALL_SCALE,
    WINDOW,
    Level,
    draw_level,
    draw_small_levels,
    plan_pyramid,
)
from facekit.detection.settings import Settings
from facekit.detection.tiling import (
    TILE_HEIGHT,
    TILE_WIDTH,
    Tile,
    Windows,
    by_level,
    draw_tile,
    plan_tiles,
    read_tile,
)
from facekit.io.images import RGBImage
from facekit.utils.openvino import available_cores

Item = TypeVar("Item")
Result = TypeVar("Result")
FloatArray: TypeAlias = npt.NDArray[np.float32]
Packed: TypeAlias = npt.NDArray[np.uint32]

# How many windows R-Net and O-Net take at once: enough to be quick, few enough to share the work.
_REFINED_AT_ONCE, _OUTPUT_AT_ONCE = 16, 2
_REFINED_SIDE, _OUTPUT_SIDE = 24, 48
_MOST_PATCHES = 256

# The overlaps above which the weaker of two windows goes, as in mtcnn 1.0.0: within a level,
# between levels, after R-Net and, relative to the smaller one, after O-Net.
_WITHIN_LEVEL, _BETWEEN_LEVELS, _REFINED, _OUTPUT = 0.5, 0.7, 0.7, 0.7


class Detections(NamedTuple):
    """The faces of one picture, the most confident first.

    Attributes:
        boxes: float64 ``(n, 4)``: x1, y1, x2, y2 in pixels, not clipped to the picture.
        confidences: float64 ``(n,)``.
        keypoints: float64 ``(n, 5, 2)``: x and y, in the order of :class:`facekit.Keypoints`.
    """

    boxes: Boxes
    confidences: npt.NDArray[np.float64]
    keypoints: npt.NDArray[np.float64]


class Cascade:
    """The three networks, compiled, and the threads that run them.

    Args:
        threads: How many cores to use.
    """

    def __init__(self, threads: int) -> None:
        self._proposal = Network(proposal_network(TILE_HEIGHT, TILE_WIDTH), threads)
        self._refinement = Network(refinement_network(_REFINED_AT_ONCE), threads)
        self._output = Network(output_network(_OUTPUT_AT_ONCE), threads)
        self._workers = ThreadPoolExecutor(threads, thread_name_prefix="facekit-detection")
        self._threads = threads
        self._callers, self._counting = 0, threading.Lock()

    def detect(self, pictures: Sequence[RGBImage], settings: Settings) -> list[Detections]:
        """Finds the faces of several pictures, whose windows go through each network together.

        Args:
            pictures: uint8 ``(height, width, 3)``, of any sizes.
            settings: What to look for.

        Returns:
            The faces of each picture, as if it were the only one.
        """
        if not pictures:
            return []
        with self._calling():
            boxes = self._propose(pictures, settings)
            sources = [packed(picture) for picture in pictures]
            boxes = self._refine(sources, boxes, settings.thresholds[1])
            return self._conclude(sources, boxes, settings.thresholds[2])

    @contextmanager
    def _calling(self) -> Iterator[None]:
        with self._counting:
            self._callers += 1
        try:
            yield
        finally:
            with self._counting:
                self._callers -= 1

    def _propose(self, pictures: Sequence[RGBImage], settings: Settings) -> list[Boxes]:
        plans = [
            plan_pyramid(
                picture.shape[0],
                picture.shape[1],
                settings.min_face_size,
                settings.scale_factor,
                complete=settings.complete_pyramid,
            )
            for picture in pictures
        ]
        levels = [level for plan in plans for level in plan]
        drawn = self._draw(pictures, plans)
        least = _log_odds(settings.thresholds[0])
        found = self._each(lambda tile: self._search(tile, drawn, least), plan_tiles(levels))
        proposals = [
            _proposals(level, windows)
            for level, windows in zip(levels, by_level(found, len(levels)), strict=True)
        ]
        ends = np.cumsum([len(plan) for plan in plans])
        return [
            _merged(proposals[end - len(plan) : end]) for plan, end in zip(plans, ends, strict=True)
        ]

    def _draw(
        self, pictures: Sequence[RGBImage], plans: Sequence[Sequence[Level]]
    ) -> list[FloatArray]:
        """Draws the levels of all pictures, picture by picture, the large ones first."""
        jobs: list[Callable[[], list[FloatArray]]] = []
        for picture, plan in zip(pictures, plans, strict=True):
            pixels = picture.astype(np.float32)
            small = [level for level in plan if level.scale <= SMALL_SCALE]
            # What takes longest comes first, so that no core is left with it at the end.
            jobs.append(functools.partial(draw_small_levels, picture, small) if small else list)
            jobs += [
                functools.partial(_drawn_alone, pixels, level)
                for level in plan
                if level.scale > SMALL_SCALE
            ]
        drawn = iter(self._each(lambda job: job(), jobs))
        levels: list[FloatArray] = []
        for plan in plans:
            small_ones = next(drawn)
            for _ in range(len(plan) - len(small_ones)):
                levels += next(drawn)
            levels += small_ones
        return levels

    def _search(self, tile: Tile, drawn: Sequence[FloatArray], least: float) -> Windows:
        pixels, hidden = self._proposal.inputs()
        draw_tile(tile, drawn, pixels, hidden)
        (answer,) = self._proposal.run()
        return read_tile(tile, answer, least)

    def _refine(
        self, sources: Sequence[Packed], boxes: Sequence[Boxes], threshold: float
    ) -> list[Boxes]:
        answers = self._classify(self._refinement, sources, boxes, _REFINED_SIDE, _REFINED_AT_ONCE)
        refined = []
        for windows, (offsets, probabilities) in zip(boxes, answers, strict=True):
            passed = probabilities[:, 1] > threshold
            better = moved(windows[passed], offsets[passed])
            kept = suppress_non_maxima(better, probabilities[passed, 1], _REFINED)
            refined.append(squared(better[kept]))
        return refined

    def _conclude(
        self, sources: Sequence[Packed], boxes: Sequence[Boxes], threshold: float
    ) -> list[Detections]:
        answers = self._classify(self._output, sources, boxes, _OUTPUT_SIDE, _OUTPUT_AT_ONCE)
        concluded = []
        for windows, (offsets, points, probabilities) in zip(boxes, answers, strict=True):
            passed = probabilities[:, 1] > threshold
            faces = moved(windows[passed], offsets[passed])
            confidences = probabilities[passed, 1].astype(np.float64)
            keypoints = _placed(points[passed], windows[passed])
            kept = suppress_non_maxima(faces, confidences, _OUTPUT, measure="min")
            concluded.append(Detections(faces[kept], confidences[kept], keypoints[kept]))
        return concluded

    def _classify(
        self,
        network: Network,
        sources: Sequence[Packed],
        boxes: Sequence[Boxes],
        side: int,
        at_once: int,
    ) -> list[list[FloatArray]]:
        """Runs a network on the windows of all pictures, whole batches at a time."""
        counts = [len(windows) for windows in boxes]
        owners = np.repeat(np.arange(len(boxes)), counts)
        windows = np.concatenate(boxes)

        # As few parts as there are cores, unless they would take much memory; whole batches, since
        # the network takes nothing else.
        part = min(-(-len(windows) // self._threads), _MOST_PATCHES)
        part = max(-(-part // at_once), 1) * at_once

        def answer(start: int) -> list[FloatArray]:
            chosen = slice(start, start + part)
            patches = np.empty((len(windows[chosen]), side, side, 3), dtype=np.float32)
            for owner in np.unique(owners[chosen]):
                mine = owners[chosen] == owner
                patches[mine] = cut_patches(sources[owner], windows[chosen][mine], side)
            (pixels,) = network.inputs()
            batches = []
            for first in range(0, max(len(patches), 1), at_once):
                batch = patches[first : first + at_once]
                pixels[: len(batch)] = batch
                batches.append([output[: len(batch)].copy() for output in network.run()])
            return [np.concatenate(outputs) for outputs in zip(*batches, strict=True)]

        # One part at least, of nothing, says what the outputs look like.
        parts = self._each(answer, range(0, max(len(windows), 1), part))
        outputs = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
        ends = np.cumsum(counts)
        return [
            [output[end - count : end] for output in outputs]
            for count, end in zip(counts, ends, strict=True)
        ]

    def _each(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Calls a function for each item, on all cores unless other callers keep them busy."""
        # Whole images side by side are faster than one image after the other on all cores.
        if len(items) < 2 or self._callers >= self._threads:
            return [function(item) for item in items]
        return list(self._workers.map(function, items))


def shared_cascade(threads: int | None = None) -> Cascade:
    """Returns a cascade that the whole process shares, since the networks never change.

    Args:
        threads: How many cores to use; all that the process may use by default.

    Returns:
        The same cascade for the same number of threads, and another one in each process: after a
        fork, the threads of the parent's are not there.
    """
    # Without the lock, threads that come at once would each build one.
    with _building:
        return _built(os.getpid(), threads or available_cores())


_building = threading.Lock()


def _renew_lock() -> None:
    # A thread that was building during a fork is not there to let go of the child's lock.
    global _building
    _building = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


@functools.cache
def _built(process: int, threads: int) -> Cascade:
    return Cascade(threads)


def _drawn_alone(pixels: FloatArray, level: Level) -> list[FloatArray]:
    return [draw_level(pixels, level)]


def _proposals(level: Level, windows: Windows) -> tuple[Boxes, FloatArray]:
    """Turns the windows found on a level into boxes in the picture, and their probabilities."""
    corner = np.stack([windows.left, windows.top], axis=1).astype(np.float64)
    # From the window's second to its thirteenth pixel, as mtcnn counts.
    cell = np.concatenate([corner + 1, corner + WINDOW], axis=1)
    boxes: Boxes = (cell + windows.offsets.astype(np.float64) * (WINDOW - 1)) / level.scale
    probabilities = _probabilities(windows.scores)
    kept = suppress_non_maxima(boxes, probabilities, _WITHIN_LEVEL)
    return boxes[kept], probabilities[kept]


def _merged(proposals: Sequence[tuple[Boxes, FloatArray]]) -> Boxes:
    """Turns the proposals of all levels of a picture into squares for R-Net."""
    boxes = np.concatenate([np.empty((0, 4)), *(boxes for boxes, _ in proposals)])
    scores = np.concatenate([np.empty(0, np.float32), *(scores for _, scores in proposals)])
    return squared(boxes[suppress_non_maxima(boxes, scores, _BETWEEN_LEVELS)])


def _placed(points: FloatArray, windows: Boxes) -> npt.NDArray[np.float64]:
    """Turns keypoints in sizes of their window into pixels; as in mtcnn, a pixel before that."""
    corner, size = windows[:, None, :2], (windows[:, 2:] - windows[:, :2] + 1.0)[:, None]
    return points.reshape(-1, 2, 5).transpose(0, 2, 1) * size + corner - 1.0


def _probabilities(log_odds: FloatArray) -> FloatArray:
    # In single precision, in which mtcnn computes them: its order of windows depends on it.
    with np.errstate(over="ignore"):
        return np.float32(1.0) / (np.float32(1.0) + np.exp(-log_odds))


def _log_odds(probability: float) -> float:
    if probability in (0.0, 1.0):
        return math.copysign(math.inf, probability - 0.5)
    return math.log(probability / (1.0 - probability))
