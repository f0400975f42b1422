"""Measures the detector beside the ``mtcnn`` package, and ``facenet-pytorch`` if it is installed.

    python benchmarks/detection.py wider_face lfw --plot detection.png

``wider_face`` holds ``images/`` and ``wider_face_train_bbx_gt.txt``; ``lfw`` holds photos of 250
pixels, in folders. All detectors see the same decoded images, taking turns in one process
(minimum face 20). Medians and ratios are printed, the faces found, the recall of WIDER's boxes at
an intersection over union of 0.5, the throughput of many images at once, and the memory that
images of many sizes take. What the processor could do at most is measured by a product of two
matrices in OpenVINO.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
from results import add_record, record_if_asked

from facekit import Detector, Face, load_image
from facekit.detection.boxes import overlap
from facekit.detection.pyramid import plan_pyramid
from facekit.utils.openvino import Graph, available_cores, ops, ov

# Multiplications and additions of P-Net for a pixel of a level: its three convolutions and its
# output layer, the last three on a quarter of the pixels. Those of R- and O-Net for a window.
PROPOSAL_FLOPS = 2 * (270 + (1440 + 4608 + 160) / 4)

# Each image is searched so often in a row by each detector, and the median counts: right after
# another library, the first time also measures what that one left behind, in caches and threads.
REPEATS = 3

Corners = np.ndarray
Find = Callable[[np.ndarray], tuple[Corners, np.ndarray]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wider_face", type=Path)
    parser.add_argument("lfw", type=Path)
    parser.add_argument("--lfw-photos", type=int, default=40)
    parser.add_argument("--plot", type=Path, help="draw the medians here")
    add_record(parser)
    options = parser.parse_args()
    wider = {
        path.name: load_image(path) for path in sorted(options.wider_face.glob("images/**/*.jpg"))
    }
    images = sorted(options.lfw.glob("*/*.jpg"))
    images = images[:: max(len(images) // options.lfw_photos, 1)][: options.lfw_photos]
    crowd = next(iter(wider.values()))
    sets = {
        "250 × 250 (lfw)": [load_image(image) for image in images],
        "640 × 480": [cv2.resize(crowd, (640, 480), interpolation=cv2.INTER_AREA)] * 9,
        "1024 wide (wider_face)": list(wider.values()),
        "4000 × 3000": [cv2.resize(crowd, (4000, 3000), interpolation=cv2.INTER_CUBIC)],
    }
    detectors = available_detectors()
    rows = compare_speed(sets, detectors)
    boxes = read_boxes(options.wider_face / "wider_face_train_bbx_gt.txt")
    recall = compare_recall(wider, boxes, detectors)
    measure_arguments(wider, boxes)
    measure_throughput(images, options.wider_face)
    memory = measure_memory(crowd)
    record_if_asked(options, "peers", {"rows": rows, "recall": recall, "memory": memory})
    if options.plot is not None:
        plot(rows, options.plot)


def available_detectors() -> dict[str, Find]:
    from mtcnn import MTCNN

    ours, theirs = Detector(), MTCNN()

    def facekit(image: np.ndarray) -> tuple[Corners, np.ndarray]:
        faces = ours.detect(image)
        return corners_of(faces), np.array([face.confidence for face in faces])

    def mtcnn(image: np.ndarray) -> tuple[Corners, np.ndarray]:
        faces = theirs.detect_faces(image)
        boxes = np.array([face["box"] for face in faces], dtype=float).reshape(-1, 4)
        return as_corners(boxes), np.array([face["confidence"] for face in faces])

    found: dict[str, Find] = {"facekit": facekit, "mtcnn": mtcnn}
    try:
        import facenet_pytorch as package
    except ImportError:
        print("facenet-pytorch is not installed and is left out")
        return found
    torch_detector = package.MTCNN(keep_all=True, min_face_size=20)

    def facenet_pytorch(image: np.ndarray) -> tuple[Corners, np.ndarray]:
        boxes, confidences = torch_detector.detect(image)
        return (np.empty((0, 4)), np.empty(0)) if boxes is None else (boxes, confidences)

    return {**found, "facenet-pytorch": facenet_pytorch}


def corners_of(faces: Sequence[Face]) -> Corners:
    return as_corners(np.array([face.box for face in faces]).reshape(-1, 4))


def as_corners(boxes: np.ndarray) -> Corners:
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def compare_speed(
    sets: dict[str, list[np.ndarray]], detectors: dict[str, Find]
) -> dict[str, dict[str, float]]:
    """Returns for each set the median milliseconds, and how many times as long others take."""
    limit = floating_point_limit()
    print(f"\nOpenVINO multiplies float32 matrices at {limit / 1e9:.0f} GFLOP/s here.")
    rows: dict[str, dict[str, float]] = {}
    for name, images in sets.items():
        times: dict[str, list[float]] = {detector: [] for detector in detectors}
        faces = dict.fromkeys(detectors, 0)
        for find in detectors.values():
            find(images[0])
        for image in images:
            for detector, find in detectors.items():
                seconds = []
                for _ in range(REPEATS):
                    start = time.perf_counter()
                    boxes, _ = find(image)
                    seconds.append(time.perf_counter() - start)
                times[detector].append(statistics.median(seconds))
                faces[detector] += len(boxes)
        medians = {detector: statistics.median(seconds) for detector, seconds in times.items()}
        ours = medians["facekit"]
        rows[name] = {}
        print(f"\n{name}, {len(images)} images, median of each")
        for detector, seconds in medians.items():
            ratio = statistics.median(
                other / own for other, own in zip(times[detector], times["facekit"], strict=True)
            )
            rows[name] |= {f"{detector} ms": 1e3 * seconds, f"{detector} takes": ratio}
            print(
                f"  {detector:16} {1e3 * seconds:8.1f} ms {1 / seconds:7.1f} a second, "
                f"{faces[detector]:4} faces, ratio {ratio:.1f}"
            )
        pixels = statistics.median(
            sum(level.height * level.width for level in plan_pyramid(*p.shape[:2], 20, 0.709))
            for p in images
        )
        share = PROPOSAL_FLOPS * pixels / ours / limit
        print(f"  P-Net alone is {share:.0%} of what the processor could do in facekit's time")
    return rows


def floating_point_limit() -> float:
    """Returns floating-point operations a second of a large matrix product in OpenVINO."""
    side, cores = 2048, available_cores()
    matrix = np.random.default_rng(0).random((side, side), dtype=np.float32)
    factor = ops.parameter([side, side], np.float32)
    product = ops.matmul(factor, ops.constant(matrix), False, False)
    graph = Graph(lambda: ov.Model([product], [factor], "product"), threads=cores, streams=1)
    seconds = []
    for _ in range(6):
        start = time.perf_counter()
        graph.infer(matrix)
        seconds.append(time.perf_counter() - start)
    return 2 * side**3 / min(seconds)


def read_boxes(path: Path) -> dict[str, Corners]:
    """Reads WIDER FACE's text format: a path, a count, then a line for each box."""
    lines = path.read_text().splitlines()
    boxes, place = {}, 0
    while place < len(lines):
        name, count = Path(lines[place]).name, int(lines[place + 1])
        rows = [list(map(float, line.split()[:4])) for line in lines[place + 2 : place + 2 + count]]
        boxes[name] = as_corners(np.array(rows).reshape(-1, 4))
        # Where there is no face, a line of zeros stands for it.
        place += 2 + max(count, 1)
    return boxes


def compare_recall(
    images: dict[str, np.ndarray], truth: dict[str, Corners], detectors: dict[str, Find]
) -> dict[str, Any]:
    total = sum(len(truth[name]) for name in images)
    print(f"\nRecall of {total} boxes of {len(images)} images, at thresholds of the confidence")
    recall: dict[str, Any] = {"boxes": total}
    for detector, find in detectors.items():
        answers = {name: find(image) for name, image in images.items()}
        cells, recall[detector] = [], {}
        for threshold in (0.6, 0.8, 0.95):
            hits = count = 0
            for name, (boxes, confidences) in answers.items():
                kept = boxes[confidences > threshold]
                hits += matched(truth[name], kept)
                count += len(kept)
            cells.append(f"{threshold}: {hits / total:.1%} ({count} found)")
            recall[detector][str(threshold)] = hits / total
        print(f"  {detector:16} {', '.join(cells)}")
    return recall


def matched(truth: Corners, found: Corners) -> int:
    """Counts the true boxes that have a box of their own with an overlap of at least 0.5."""
    shares = overlap(truth, found)
    hits = 0
    while shares.size and shares.max() >= 0.5:
        row, column = np.unravel_index(shares.argmax(), shares.shape)
        shares[row], shares[:, column] = 0.0, 0.0
        hits += 1
    return hits


def measure_arguments(images: dict[str, np.ndarray], truth: dict[str, Corners]) -> None:
    total = sum(len(truth[name]) for name in images)
    choices: list[dict[str, Any]] = [
        {},
        {"min_face_size": 15},
        {"min_face_size": 40},
        {"max_image_side": 512},
        {"scale_factor": 0.6},
        {"scale_factor": 0.8},
        {"thresholds": (0.5, 0.6, 0.7)},
        {"thresholds": (0.7, 0.8, 0.9)},
    ]
    print("\nArguments, all WIDER images one by one: time, faces found, recall")
    plain = 0.0
    for arguments in choices:
        detector = Detector(**arguments)
        seconds = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            answers = {name: detector.detect(image) for name, image in images.items()}
            seconds.append(time.perf_counter() - start)
        median = statistics.median(seconds)
        plain = plain or median
        hits = sum(matched(truth[name], corners_of(faces)) for name, faces in answers.items())
        named = ", ".join(f"{name}={value}" for name, value in arguments.items()) or "defaults"
        print(
            f"  {named:30} {median / plain:5.2f} x, {sum(map(len, answers.values())):4} faces, "
            f"recall {hits / total:.1%}"
        )


def measure_throughput(lfw: Sequence[Path], wider_face: Path) -> None:
    detector = Detector()
    print("\nFrom files, a second: one by one, and with detect_batch")
    for name, files in (("lfw", lfw), ("wider_face", sorted(wider_face.glob("images/**/*.jpg")))):
        rates = []
        for run in (
            lambda files=files: [detector.detect(file) for file in files],
            lambda files=files: detector.detect_batch(files),
        ):
            run()
            start = time.perf_counter()
            run()
            rates.append(len(files) / (time.perf_counter() - start))
        print(f"  {name:12} {rates[0]:6.1f} {rates[1]:6.1f}")


def measure_memory(crowd: np.ndarray) -> dict[str, float]:
    # In a process of its own: in this one, growth would vanish in memory that was freed before.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        count, growth = process.submit(memory_growth, crowd).result()
    print(f"\n{count} images of as many sizes: {growth / 1e6:+.1f} MB after the first ten")
    return {"images": count, "grown MB": growth / 1e6}


def memory_growth(crowd: np.ndarray) -> tuple[int, int]:
    """Returns how many sizes were searched, and by how many bytes the process grew."""
    detector, process = Detector(), psutil.Process()
    sizes = [(height, width) for height in range(100, 300, 6) for width in range(100, 300, 6)]
    sizes = np.random.default_rng(0).permutation(sizes)[:1000].tolist()
    for number, (height, width) in enumerate(sizes):
        detector.detect(crowd[:height, :width])
        if number == 9:
            gc.collect()
            before = process.memory_info().rss
    gc.collect()
    return len(sizes), process.memory_info().rss - before


def plot(rows: dict[str, dict[str, float]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    detectors = [name[:-3] for name in next(iter(rows.values())) if name.endswith(" ms")]
    width = 0.8 / len(detectors)
    for offset, detector in enumerate(detectors):
        places = np.arange(len(rows)) + width * (offset - (len(detectors) - 1) / 2)
        heights = [row[f"{detector} ms"] for row in rows.values()]
        bars = axes.bar(places, heights, width, label=detector)
        axes.bar_label(bars, fmt="%.0f", fontsize=8)
    axes.set_xticks(range(len(rows)), list(rows))
    axes.set_yscale("log")
    axes.set_ylabel("median time of an image in ms")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
