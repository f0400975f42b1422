"""Measures whether the quality gate flags the faces that are recognized badly, and only those.

    python benchmarks/quality.py lfw five_celebrities/train --damage 200

reads folders with one folder of photos a person. Of each photo the face nearest to the middle is
taken to be that person's. For each folder are printed the share of faces that the default gate
flags, with the reasons, and, for flagged and other faces, the distances to the person's other
photos that are not flagged: their median, and the share within the weights' threshold.

``--damage`` takes so many people of two photos or more from the first folder, damages one photo of
each in a controlled way, finds its face again, and prints for each degree of damage the numbers
that the gate measures beside what recognition makes of it: the share of faces found, the share
within the threshold of the person's other photo, the median distance, and the share flagged.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from results import add_record, record_if_asked

from facekit import Detector, Embedder, Face, load_image
from facekit.embedding.weights.registry import DEFAULT_WEIGHTS
from facekit.io.folders import list_images
from facekit.io.images import RGBImage
from facekit.quality import FaceQuality, QualityGate
from facekit.utils.progress import track

GATE = QualityGate()


@dataclass(frozen=True)
class Portrait:
    """The face of one photo: whose it is, how good, and its embedding."""

    person: str
    quality: FaceQuality
    embedding: np.ndarray


class Reader:
    """Finds, aligns, embeds and assesses the face in the middle of a photo."""

    def __init__(self, weights: str) -> None:
        self.detector, self.embedder = Detector(), Embedder(weights)
        self.aligner = self.embedder.aligner()
        self.threshold = self.embedder.record.threshold()

    def prepare(self, pixels: RGBImage) -> tuple[np.ndarray, FaceQuality] | None:
        """Returns the aligned face and its quality, or ``None`` if there is no face."""
        faces = self.detector.detect(pixels)
        if not faces:
            return None
        face = min(faces, key=lambda face: _from_middle(face, pixels))
        return self.aligner.align(pixels, [face])[0], GATE.assess(pixels, face)

    def portraits(self, pictures: dict[str, list[Callable[[], RGBImage]]]) -> list[Portrait]:
        """Reads the pictures of some people; those without a face are left out."""
        todo = [(person, load) for person, loads in pictures.items() for load in loads]
        people, qualities, aligned = [], [], []
        for person, load in track(todo, "Finding faces", total=len(todo), shown=True):
            found = self.prepare(load())
            if found is not None:
                people.append(person)
                aligned.append(found[0])
                qualities.append(found[1])
        embeddings = self.embedder.embed(aligned, progress=True)
        return [Portrait(*parts) for parts in zip(people, qualities, embeddings, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--damage", type=int, default=0, metavar="PEOPLE")
    parser.add_argument("--weights", default=DEFAULT_WEIGHTS, metavar="NAME")
    add_record(parser)
    options = parser.parse_args()
    reader = Reader(options.weights)
    results: dict[str, Any] = {"folders": {}}
    for folder in options.folders:
        photos = {person.name: list_images(person).images for person in _subfolders(folder)}
        name = "/".join(folder.resolve().parts[-2:])
        results["folders"][name] = _report_folder(reader, folder, photos)
    if options.damage:
        people = {
            person.name: photos
            for person in _subfolders(options.folders[0])
            if len(photos := list_images(person).images) >= 2
        }
        results["damage"] = _report_damage(reader, dict(list(people.items())[: options.damage]))
    record = reader.embedder.record
    record_if_asked(options, record.name, results, record.identity)


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


def _from_middle(face: Face, pixels: RGBImage) -> float:
    return float(np.hypot(*np.subtract(face.center, np.array(pixels.shape[1::-1]) / 2)))


def _report_folder(reader: Reader, folder: Path, photos: dict[str, list[Path]]) -> dict[str, Any]:
    portraits = reader.portraits(
        {person: [partial(load_image, path) for path in paths] for person, paths in photos.items()}
    )
    flagged = [portrait for portrait in portraits if not portrait.quality.good]
    print(
        f"{folder}: {sum(map(len, photos.values())):,} photos, {len(portraits):,} with a face, "
        f"{len(flagged):,} flagged ({len(flagged) / len(portraits):.2%})"
    )
    reasons = Counter(
        problem.split(":")[0] for portrait in flagged for problem in portrait.quality.problems
    )
    for reason, count in reasons.most_common():
        having = [p for p in flagged if any(q.startswith(reason) for q in p.quality.problems)]
        print(f"  {reason:20} {count:4,} {_distances(reader, having, portraits)}")
    print(f"  {'any of these':20} {len(flagged):4,} {_distances(reader, flagged, portraits)}")
    good = [portrait for portrait in portraits if portrait.quality.good]
    print(f"  {'not flagged':20} {len(good):4,} {_distances(reader, good, portraits)}")
    bad_pairs, good_pairs = (_pairs(probes, portraits) for probes in (flagged, good))
    return {
        "faces": len(portraits),
        "flagged": len(flagged),
        "flagged pairs": len(bad_pairs),
        "flagged within": float((bad_pairs <= reader.threshold).mean()) if len(bad_pairs) else None,
        "other pairs": len(good_pairs),
        "others within": float((good_pairs <= reader.threshold).mean()),
    }


def _pairs(probes: list[Portrait], portraits: list[Portrait]) -> np.ndarray:
    """Returns the distances of some faces to the unflagged others of the same people."""
    return np.array(
        [
            np.linalg.norm(probe.embedding - other.embedding)
            for probe in probes
            for other in portraits
            if other is not probe and other.person == probe.person and other.quality.good
        ]
    )


def _distances(reader: Reader, probes: list[Portrait], portraits: list[Portrait]) -> str:
    distances = _pairs(probes, portraits)
    if len(distances) == 0:
        return "no other photo of the person to compare with"
    within = float((distances <= reader.threshold).mean())
    return (
        f"{len(distances):6,} pairs, median distance {np.median(distances):.3f}, "
        f"{within:.1%} within {reader.threshold}"
    )


def _report_damage(reader: Reader, people: dict[str, list[Path]]) -> dict[str, Any]:
    originals = {person: load_image(paths[0]) for person, paths in people.items()}
    reference = {
        portrait.person: portrait.embedding
        for portrait in reader.portraits(
            {person: [partial(load_image, paths[1])] for person, paths in people.items()}
        )
    }
    print(f"{len(reference)} people, one photo damaged, the other not")
    rows = {}
    print("damage                  number          its median  found  within  distance  flagged")
    for name, number, damage, degrees in _DAMAGES:
        for degree in degrees:
            damaged = {
                person: [partial(damage, pixels, degree)] for person, pixels in originals.items()
            }
            probes = [probe for probe in reader.portraits(damaged) if probe.person in reference]
            found = len(probes) / len(reference)
            distances = np.array(
                [np.linalg.norm(probe.embedding - reference[probe.person]) for probe in probes]
            )
            values = [abs(getattr(probe.quality, number)) for probe in probes]
            if not probes:
                print(f"{name:15} {degree:6.4g}  {number:15} {'':10} {found:6.0%}", flush=True)
                continue
            rows[f"{name} {degree:g}"] = {
                "measure": number,
                "median": float(np.median(values)),
                "found": found,
                "within": float((distances <= reader.threshold).mean()),
            }
            print(
                f"{name:15} {degree:6.4g}  {number:15} {np.median(values):10.3f} {found:6.0%} "
                f"{(distances <= reader.threshold).mean():7.1%} {np.median(distances):9.3f} "
                f"{np.mean([not probe.quality.good for probe in probes]):8.0%}",
                flush=True,
            )
    return rows


def _shrunk(pixels: RGBImage, factor: float) -> RGBImage:
    import cv2

    height, width = pixels.shape[:2]
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def _blurred(pixels: RGBImage, sigma: float) -> RGBImage:
    import cv2

    return pixels if sigma == 0 else np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma))


def _moved(pixels: RGBImage, length: float) -> RGBImage:
    import cv2

    length = round(length)
    kernel = np.full((1, length), 1.0 / length)
    return np.asarray(cv2.filter2D(pixels, -1, kernel))


def _lit(pixels: RGBImage, gain: float) -> RGBImage:
    # In linear light, as a camera exposes, with rounding to 8 bits afterwards.
    linear = (pixels / 255.0) ** 2.2 * gain
    return (255.0 * np.clip(linear, 0.0, 1.0) ** (1 / 2.2)).round().astype(np.uint8)


def _flattened(pixels: RGBImage, share: float) -> RGBImage:
    return (127.5 + share * (pixels - 127.5)).round().astype(np.uint8)


def _cut_side(pixels: RGBImage, share: float) -> RGBImage:
    # LFW's faces stand in the middle, 0.4 times as wide as the photo.
    width = pixels.shape[1]
    return np.ascontiguousarray(pixels[:, round(width * (0.3 + 0.4 * share)) :])


def _cut_below(pixels: RGBImage, share: float) -> RGBImage:
    height = pixels.shape[0]
    return np.ascontiguousarray(pixels[: round(height * (0.72 - 0.44 * share))])


def _tilted(pixels: RGBImage, degrees: float) -> RGBImage:
    import cv2

    height, width = pixels.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 1.0)
    return np.asarray(
        cv2.warpAffine(pixels, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    )


_DAMAGES: tuple[tuple[str, str, Callable[[RGBImage, float], RGBImage], tuple[float, ...]], ...] = (
    ("shrunk", "interocular", _shrunk, (1.0, 0.7, 0.5, 0.4, 0.3, 0.25, 0.2)),
    ("out of focus", "sharpness", _blurred, (1.0, 2.0, 3.0, 4.0, 5.0)),
    ("moved", "sharpness", _moved, (5, 9, 13, 17, 21)),
    ("light", "brightness", _lit, (0.1, 0.03, 0.015, 0.01, 0.005)),
    ("little contrast", "contrast", _flattened, (0.5, 0.3, 0.2, 0.1)),
    ("light", "overexposed", _lit, (1.5, 2.0, 3.0, 4.0, 6.0, 8.0)),
    ("cut at the side", "outside", _cut_side, (0.0, 0.1, 0.2, 0.3, 0.4)),
    ("cut below", "outside", _cut_below, (0.0, 0.1, 0.2, 0.3, 0.4)),
    ("tilted", "roll", _tilted, (10, 20, 30, 40, 50)),
)


if __name__ == "__main__":
    main()
