"""Compares the detector's faces with those of the ``mtcnn`` package, photo by photo.

    python benchmarks/detection_agreement.py wider_face/images lfw --photos 400

takes up to that many photos of each folder, spread evenly, and runs both on the same decoded
images. A face agrees if the other side has one with an intersection over union of at least 0.95,
every keypoint within 2 % of the box's longer side, and a confidence within 0.01. Each face that
does not is listed with its nearest.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from mtcnn import MTCNN

from facekit import Detector, Face, load_image
from facekit.detection.boxes import overlap
from facekit.io.images import IMAGE_SUFFIXES
from facekit.utils.progress import track


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--photos", type=int, default=400, help="of each folder")
    options = parser.parse_args()
    ours, theirs = Detector(), MTCNN()
    for folder in options.folders:
        found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        places = np.linspace(0, len(found) - 1, min(options.photos, len(found)))
        images = [found[round(place)] for place in places]
        agreeing = {"mtcnn": [0, 0], "facekit": [0, 0]}
        widest = 0.0
        for photo in track(images, folder.name, total=len(images), shown=True):
            image = load_image(photo)
            answers = {
                "mtcnn": [
                    exact_face(row) for row in theirs.detect_faces(image, output_type="numpy")
                ],
                "facekit": ours.detect(image),
            }
            for side, other in (("mtcnn", "facekit"), ("facekit", "mtcnn")):
                for face in answers[side]:
                    nearest = max(
                        answers[other], key=lambda candidate: iou(face, candidate), default=None
                    )
                    good = nearest is not None and agree(face, nearest)
                    agreeing[side][0] += good
                    agreeing[side][1] += 1
                    if good:
                        widest = max(widest, abs(face.confidence - nearest.confidence))
                    else:
                        print(f"{image.name}: {describe(face, nearest, side, other)}")
        print(f"{folder}: {len(images)} photos")
        for side, (good, count) in agreeing.items():
            share = f"{good / count:.2%}" if count else "none"
            print(f"  of {count} faces of {side}, {good} ({share}) have one of the other side")
        print(f"  largest difference of confidence between faces that agree: {widest:.6f}")


def exact_face(row: np.ndarray) -> Face:
    x, y, width, height, confidence = row[1:6].tolist()
    names = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
    keypoints = dict(
        zip(names, zip(row[6:11].tolist(), row[11:16].tolist(), strict=True), strict=True)
    )
    return Face.from_dict(
        {"box": [x, y, width, height], "confidence": min(confidence, 1.0), "keypoints": keypoints}
    )


def iou(face: Face, other: Face) -> float:
    return float(overlap(corners(face), corners(other))[0, 0])


def corners(face: Face) -> np.ndarray:
    x, y, width, height = face.box
    return np.array([[x, y, x + width, y + height]])


def keypoint_distance(face: Face, other: Face) -> float:
    difference = face.keypoints.to_array() - other.keypoints.to_array()
    return float(np.linalg.norm(difference, axis=1).max() / max(face.box[2:]))


def agree(face: Face, other: Face) -> bool:
    return (
        iou(face, other) >= 0.95
        and keypoint_distance(face, other) <= 0.02
        and abs(face.confidence - other.confidence) <= 0.01
    )


def describe(face: Face, nearest: Face | None, side: str, other: str) -> str:
    box = ", ".join(f"{value:.1f}" for value in face.box)
    what = f"{side} has ({box}), confidence {face.confidence:.4f}"
    if nearest is None or iou(face, nearest) == 0.0:
        return f"{what}; {other} has none there"
    return (
        f"{what}; nearest of {other}: IoU {iou(face, nearest):.3f}, keypoints "
        f"{keypoint_distance(face, nearest):.2%}, confidence {nearest.confidence:.4f}"
    )


if __name__ == "__main__":
    main()
