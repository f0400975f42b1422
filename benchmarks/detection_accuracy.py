"""Measures what the detectors find in WIDER FACE's photos, and at what cost.

    python benchmarks/detection_accuracy.py wider_face --json detection_accuracy.json

``wider_face`` holds ``images/`` and ``wider_face_train_bbx_gt.txt``. The protocol is WIDER FACE's:
a face is found if a box overlaps it (IoU) by at least 0.5; boxes of other sizes than those counted
are ignored, like faces marked invalid; average precision is the area under the curve of precision
and recall, with the last threshold lowered to 0.02. Its lists of easy, medium and hard faces exist
for the validation photos alone, so the faces are counted all together and by their height. Recall
and false positives are those of the detector as it is, the time is the processor's, of all threads:
the median of the ratios to the default detector, photo by photo, taking turns in one process.

Some detectors also search each photo lying on its side or upside down, to see what ``rotations``
brings.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from results import add_record, record_if_asked

from facekit import Detector, Face, YuNetDetector, load_image
from facekit.detection.boxes import overlap

TURNS = (0, 90, 180, 270)
LOWEST = 0.02
OVERLAP = 0.5
HEIGHTS = {"all": (0, np.inf), "< 30 px": (0, 30), "30 to 80 px": (30, 80), "> 80 px": (80, np.inf)}

SETTINGS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "Detector()": (Detector, {}),
    "Detector(padding=0.2)": (Detector, {"padding": 0.2}),
    "Detector(rotations=(0, 90, 180, 270))": (Detector, {"rotations": TURNS}),
    "Detector(min_face_size=12)": (Detector, {"min_face_size": 12}),
    "Detector(thresholds=(0.5, 0.6, 0.6))": (Detector, {"thresholds": (0.5, 0.6, 0.6)}),
    "Detector.thorough()": (Detector, Detector.thorough().get_params()),
    "YuNetDetector()": (YuNetDetector, {}),
    "YuNetDetector(padding=0.2)": (YuNetDetector, {"padding": 0.2}),
    "YuNetDetector(rotations=(0, 90, 180, 270))": (YuNetDetector, {"rotations": TURNS}),
    "YuNetDetector(upscale=2)": (YuNetDetector, {"upscale": 2}),
    "YuNetDetector(max_image_side=640)": (YuNetDetector, {"max_image_side": 640}),
}


class Truth(NamedTuple):
    """The annotated faces of a photo: corners ``(n, 4)``, and whether each is marked invalid."""

    boxes: np.ndarray
    invalid: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wider_face", type=Path)
    parser.add_argument("--json", type=Path, help="write the figures here")
    add_record(parser)
    options = parser.parse_args()
    truth = read_truth(options.wider_face / "wider_face_train_bbx_gt.txt")
    images = {
        path.name: load_image(path)
        for path in sorted(options.wider_face.glob("images/**/*.jpg"))
        if path.name in truth
    }
    truth = {name: truth[name] for name in images}
    valid = np.concatenate([boxes[~invalid] for boxes, invalid in truth.values()])
    heights = valid[:, 3] - valid[:, 1]
    counts = {
        name: int(((heights >= low) & (heights < high)).sum())
        for name, (low, high) in HEIGHTS.items()
    }
    print(f"{len(images)} photos; faces by height: {counts}")
    figures = []
    ratios = measure_time(images)
    for name, (kind, parameters) in SETTINGS.items():
        detector, lowered = kind(**parameters), lowered_detector(kind, parameters)
        answers = {image: lowered.detect(pixels) for image, pixels in images.items()}
        # A face that the lowered threshold adds suppresses no better one.
        own = above(answers, threshold_of(detector))
        if len(detector.rotations) > 1:  # but it would count in the choice of the rotation
            own = answers = {image: detector.detect(pixels) for image, pixels in images.items()}
        row = {
            "detector": name,
            "average_precision": {
                size: round(average_precision(truth, answers, *limits), 3)
                for size, limits in HEIGHTS.items()
            },
            **recall_of(truth, own),
            "time": round(ratios[name], 2),
        }
        if name.endswith("()") or "rotations" in name:
            row["turned"] = turned_recall(detector, images, truth)
        figures.append(row)
        print(json.dumps(row), flush=True)
    results = {"faces": counts, "rows": figures}
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    record_if_asked(
        options, "wider_face", {**results, "rows": {row["detector"]: row for row in figures}}
    )


def threshold_of(detector: Any) -> float:
    return detector.threshold if isinstance(detector, YuNetDetector) else detector.thresholds[2]


def above(answers: dict[str, list[Face]], threshold: float) -> dict[str, list[Face]]:
    return {
        name: [face for face in faces if face.confidence > threshold]
        for name, faces in answers.items()
    }


def lowered_detector(kind: type[Any], parameters: dict[str, Any]) -> Any:
    """Returns the detector with the last of its thresholds lowered."""
    detector = kind(**parameters)
    if kind is YuNetDetector:
        return detector.set_params(threshold=LOWEST)
    return detector.set_params(thresholds=(*detector.thresholds[:2], LOWEST))


def read_truth(path: Path) -> dict[str, Truth]:
    """Reads WIDER FACE's text format: a path, a count, then a line for each box."""
    lines = path.read_text().splitlines()
    truth, place = {}, 0
    while place < len(lines):
        name, count = Path(lines[place]).name, int(lines[place + 1])
        rows = [list(map(int, line.split())) for line in lines[place + 2 : place + 2 + count]]
        table = np.array(rows, dtype=float).reshape(-1, 10)
        table = table[(table[:, 2] > 0) & (table[:, 3] > 0)]
        corners = np.concatenate([table[:, :2], table[:, :2] + table[:, 2:4]], axis=1)
        truth[name] = Truth(corners, table[:, 7] == 1)
        # Where there is no face, a line of zeros stands for it.
        place += 2 + max(count, 1)
    return truth


def corners_of(faces: list[Face]) -> np.ndarray:
    boxes = np.array([face.box for face in faces]).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def matched(truth: Truth, faces: list[Face], ignored: np.ndarray) -> list[tuple[float, int, int]]:
    """Returns for each box that counts its confidence, and whether it is a box and a hit.

    As in WIDER FACE's program: each box belongs to the face that it overlaps most; a second box of
    a face counts as wrong.
    """
    shares = overlap(corners_of(faces), truth.boxes)
    taken = np.zeros(len(truth.boxes), dtype=bool)
    found = []
    for face, row in zip(faces, shares, strict=True):
        nearest = int(row.argmax()) if len(row) else -1
        hit = nearest >= 0 and row[nearest] >= OVERLAP
        if hit and ignored[nearest]:
            continue
        found.append((face.confidence, 1, int(hit and not taken[nearest])))
        if hit:
            taken[nearest] = True
    return found


def average_precision(
    truth: dict[str, Truth], answers: dict[str, list[Face]], low: float, high: float
) -> float:
    found: list[tuple[float, int, int]] = []
    total = 0
    for name, one in truth.items():
        height = one.boxes[:, 3] - one.boxes[:, 1]
        ignored = one.invalid | (height < low) | (height >= high)
        total += int((~ignored).sum())
        found += matched(one, answers[name], ignored)
    table = np.array(sorted(found, reverse=True)).reshape(-1, 3)
    hits = table[:, 2].cumsum()
    precision = hits / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    recall = np.concatenate([[0.0], hits / total])
    return float((np.diff(recall) * envelope).sum())


def recall_of(truth: dict[str, Truth], answers: dict[str, list[Face]]) -> dict[str, float]:
    found = [row for name, one in truth.items() for row in matched(one, answers[name], one.invalid)]
    hits = sum(hit for _, _, hit in found)
    total = sum(int((~one.invalid).sum()) for one in truth.values())
    return {"recall": round(hits / total, 3), "false_positives": len(found) - hits}


def turned_recall(
    detector: Any, images: dict[str, np.ndarray], truth: dict[str, Truth]
) -> dict[str, float]:
    """Recall on photos turned by 90, 180 or 270 degrees, each by another."""
    answers, turned = {}, {}
    for number, (name, pixels) in enumerate(images.items()):
        quarters = number % 3 + 1
        answers[name] = detector.detect(np.ascontiguousarray(np.rot90(pixels, quarters)))
        turned[name] = Truth(turn(truth[name].boxes, pixels, quarters), truth[name].invalid)
    return recall_of(turned, answers)


def turn(boxes: np.ndarray, pixels: np.ndarray, quarters: int) -> np.ndarray:
    """Turns boxes counterclockwise, as ``np.rot90`` turns the pixels."""
    size = np.array(pixels.shape[1::-1], dtype=float)
    for _ in range(quarters):
        x1, y1, x2, y2 = boxes.T
        boxes = np.stack([y1, size[0] - x2, y2, size[0] - x1], axis=1)
        size = size[::-1]
    return boxes


def measure_time(images: dict[str, np.ndarray]) -> dict[str, float]:
    """Returns the median of the times relative to the default detector, of every fifth photo."""
    detectors = {name: kind(**parameters) for name, (kind, parameters) in SETTINGS.items()}
    times: dict[str, list[float]] = {name: [] for name in detectors}
    first = next(iter(images.values()))
    for detector in detectors.values():
        detector.detect(first)
    for pixels in list(images.values())[::5]:
        for name, detector in detectors.items():
            start = time.process_time()
            detector.detect(pixels)
            times[name].append(time.process_time() - start)
    base = next(iter(times.values()))
    return {
        name: statistics.median(one / other for one, other in zip(own, base, strict=True))
        for name, own in times.items()
    }


if __name__ == "__main__":
    main()
