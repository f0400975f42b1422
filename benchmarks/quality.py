"""Measures from which quality on faces are recognized badly, and whom the gates flag.

    python benchmarks/quality.py lfw five_celebrities/train --damage 120 --pool pool/index.csv

reads folders with one folder of photos per person. Of each photo the face nearest to the middle is
taken to be that person's. ``--damage`` takes that many people of two photos or more from the first
folder, damages one photo of each in a controlled way and finds its face again. ``--pool`` adds
faces found before, of 1,000 people drawn at random.

Each face is compared with the person's other photos that the gate for enrolling lets pass, and with
those of all others. For each folder are printed the share of faces that each gate flags, and what
recognition makes of them; for each degree of damage the same beside the number measured. Then, for
each number, its curve:

- the ROC of taking the number for the sign of a face that matches fewer than half of the person's
  photos: the area, and at each limit the share of such faces and of the others that are flagged;
- the limits at which, of the 80 faces around it, from the worst on, 90, 80 and 50 % of the usual
  share of matches is reached; "-" if even the worst 80 reach it;
- how many of the others the worst 80 match, against the usual share.

``--covered`` names a list of photos in the folder whose faces wear dark glasses, or perhaps do
(``benchmarks/lfw_dark_glasses.csv``). Printed is only the share of these, and of all others, whose
``occlusion`` is above 0.7; with ``--groups`` also that of the faces of each group.

``--record`` keeps what the page on quality states.
"""

from __future__ import annotations

import argparse
import csv
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from embedding_cache import pool_face
from results import add_record, in_data, record_if_asked
from sklearn.metrics import roc_auc_score

from facekit import Detector, Embedder, Face, Keypoints, load_image
from facekit.embedding.weights.registry import DEFAULT_WEIGHTS
from facekit.io.folders import list_images
from facekit.io.images import RGBImage
from facekit.quality import QualityGate, measure_quality
from facekit.quality.measures import FaceQuality
from facekit.utils.progress import track

Cut: TypeAlias = "tuple[np.ndarray, FaceQuality] | None"

GATES = {"enrolling": QualityGate(), "naming": QualityGate.for_naming()}
WINDOW = 80
# The limit for QualityGate.max_occlusion that is tried.
_MOST_COVERED = 0.7
NUMBERS = ("interocular", "sharpness", "brightness", "contrast", "overexposed", "yaw", "pitch",
           "roll", "outside", "confidence", "occlusion")  # fmt: skip
WORSE_IF_LOWER = {"interocular", "sharpness", "brightness", "contrast", "confidence"}
# In the pool all faces have one size, what lies beyond a border is mirrored, and the detector's
# confidence was a condition.
NOT_IN_POOL = {"interocular", "outside", "confidence"}


@dataclass(frozen=True)
class Portrait:
    """The face of one photo: whose it is, how good, and its embedding."""

    person: str
    image: str
    quality: FaceQuality
    embedding: np.ndarray


class Reader:
    """Finds, aligns, embeds and assesses the face in the middle of a photo."""

    def __init__(self, weights: str) -> None:
        self.detector, self.embedder = Detector(), Embedder(weights)
        self.aligner = self.embedder.aligner()
        self.threshold = self.embedder.record.threshold()

    def cut(self, load: Callable[[], RGBImage], face: Face | None = None) -> Cut:
        """Returns the aligned face and its quality, or ``None`` if there is no face."""
        pixels = load()
        if face is None:
            faces = self.detector.detect(pixels)
            if not faces:
                return None
            face = min(faces, key=lambda face: _from_middle(face, pixels))
        return self.aligner.align(pixels, [face])[0], measure_quality(pixels, face)

    def portraits(self, images: Iterable[tuple[str, str, Callable[[], Cut]]]) -> list[Portrait]:
        """Reads the photos of some people; those without a face are left out."""
        people, qualities, aligned = [], [], []
        todo = list(images)
        for person, image, cut in track(todo, "Finding faces", total=len(todo), shown=True):
            found = cut()
            if found is not None:
                people.append((person, image))
                aligned.append(found[0])
                qualities.append(found[1])
        embeddings = self.embedder.embed(aligned, progress=True)
        return [
            Portrait(*whose, quality, embedding)
            for whose, quality, embedding in zip(people, qualities, embeddings, strict=True)
        ]


class Matches:
    """What recognition makes of some faces, given photos to compare them with."""

    def __init__(self, probes: list[Portrait], images: list[Portrait], threshold: float) -> None:
        self.probes = probes
        images = [image for image in images if not GATES["enrolling"].problems(image.quality)]
        people, names = (np.array([getattr(p, f) for p in images]) for f in ("person", "image"))
        own, others = [], []
        stacked = np.stack([image.embedding for image in images])
        for probe in probes:
            within = np.linalg.norm(stacked - probe.embedding, axis=1) <= threshold
            same = people == probe.person
            mine = within[same & (names != probe.image)]
            own.append(mine.mean() if len(mine) else np.nan)
            others.append(within[~same].mean())
        self.own, self.others = np.array(own), np.array(others)

    def words(self, chosen: np.ndarray) -> str:
        """Returns the shares of matches of some of the faces."""
        if not np.isfinite(self.own[chosen]).any():
            return "no other photo of the person to compare with"
        return (
            f"matched {np.nanmean(self.own[chosen]):.1%} of the person's photos, "
            f"{self.others[chosen].mean():.3%} of the others'"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--damage", type=int, default=0, metavar="PEOPLE")
    parser.add_argument("--pool", type=Path, metavar="INDEX")
    parser.add_argument("--covered", type=Path, metavar="LIST")
    parser.add_argument("--groups", type=Path, metavar="INDEX")
    parser.add_argument("--weights", default=DEFAULT_WEIGHTS, metavar="NAME")
    add_record(parser)
    options = parser.parse_args()
    reader = Reader(options.weights)
    if options.covered:
        (folder,) = options.folders
        results = {"covered": _report_covered(reader, folder, options.covered, options.groups)}
        record = reader.embedder.record
        record_if_asked(options, record.name, results, record.identity)
        return
    folders = {}
    usual: list[Matches] = []
    damaged: dict[str, Matches] = {}
    damages: dict[str, dict[str, Any]] = {}
    for folder in options.folders:
        images = _images(folder)
        portraits = reader.portraits(
            (person, str(path), partial(reader.cut, partial(load_image, path)))
            for person, path in images
        )
        usual.append(Matches(portraits, portraits, reader.threshold))
        folders[in_data(folder)] = _report(f"{folder}: {len(images):,} photos", usual[-1])
        if options.damage and folder == options.folders[0]:
            damaged, damages = _damaged(reader, images, portraits, options.damage)
    pool = None
    if options.pool is not None:
        portraits = reader.portraits(_pool(options.pool, reader))
        pool = Matches(portraits, portraits, reader.threshold)
        _report(str(options.pool), pool)
    curves = {}
    for number in NUMBERS:
        sets = [(found, found) for found in usual]
        if number in damaged:
            sets.append((damaged[number], usual[0]))
        if pool is not None and number not in NOT_IN_POOL:
            sets.append((pool, pool))
        curves[f"`{number}`"] = _report_curve(number, sets)
    record = reader.embedder.record
    results = {"folders": folders, "damages": damages, "numbers": curves}
    record_if_asked(options, record.name, results, record.identity)


def _damaged(
    reader: Reader, images: list[tuple[str, Path]], portraits: list[Portrait], people: int
) -> tuple[dict[str, Matches], dict[str, dict[str, Any]]]:
    """Damages a photo of each of some people, and prints what comes of it.

    Returns:
        The damaged faces by the number measured, and what was printed by damage and degree.
    """
    several = [name for name, count in Counter(name for name, _ in images).items() if count > 1]
    first = {name: next(path for who, path in images if who == name) for name in several[:people]}
    print("damage                  number          its median  found  matched  flagged")
    found: dict[str, list[Portrait]] = {}
    rows: dict[str, dict[str, Any]] = {}
    for name, number, damage, degrees in _DAMAGES:
        for degree in degrees:
            probes = reader.portraits(
                (who, str(path), partial(reader.cut, partial(_damage, damage, path, degree)))
                for who, path in first.items()
            )
            found.setdefault(number, []).extend(probes)
            if not probes:
                print(f"{name:15} {degree:6.4g}  {number:15} {'':10} {0:6.0%}", flush=True)
                continue
            matches = Matches(probes, portraits, reader.threshold)
            median = np.median([abs(getattr(probe.quality, number)) for probe in probes])
            row = rows[f"{name} {degree:g}"] = {
                "number": number,
                "median": float(f"{median:.3g}"),
                "found": len(probes) / len(first),
                "matched": np.nanmean(matches.own),
                **{
                    purpose: np.mean([bool(gate.problems(p.quality)) for p in probes])
                    for purpose, gate in GATES.items()
                },
            }
            flagged = " ".join(f"{row[purpose]:5.0%} {purpose}" for purpose in GATES)
            print(
                f"{name:15} {degree:6.4g}  {number:15} {median:10.3f} "
                f"{row['found']:6.0%} {row['matched']:8.1%} {flagged}",
                flush=True,
            )
    return {
        name: Matches(probes, portraits, reader.threshold) for name, probes in found.items()
    }, rows


def _damage(damage: Callable[[RGBImage, float], RGBImage], path: Path, degree: float) -> RGBImage:
    return damage(load_image(path), degree)


def _report_covered(
    reader: Reader, folder: Path, listed: Path, groups: Path | None
) -> dict[str, dict[str, float]]:
    """Returns how many faces, listed and others, are beyond the limit of ``occlusion``."""
    with listed.open(encoding="utf-8", newline="") as lines:
        kinds = {row["photo"]: row["eyes"] for row in csv.DictReader(lines)}
    found: dict[str, list[float]] = {}
    images = [path for _, path in _images(folder)]
    for path in track(images, "Finding faces", total=len(images), shown=True):
        cut = reader.cut(partial(load_image, path))
        if cut is not None:
            found.setdefault(kinds.get(path.name, "seen"), []).append(cut[1].occlusion)
    if groups is not None:
        with groups.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
        files = {row["archive"]: zipfile.ZipFile(groups.parent / row["archive"]) for row in rows}
        for row in rows:
            content = files[row["archive"]].read(row["name"])
            measured = measure_quality(content, pool_face(row)).occlusion
            found.setdefault(row["group"], []).append(measured)
    shares = {
        kind: {"faces": len(each), "flagged": float(np.mean(np.array(each) > _MOST_COVERED))}
        for kind, each in found.items()
    }
    for kind, row in shares.items():
        flagged = f"{row['flagged']:.2%} beyond {_MOST_COVERED}"
        print(f"occlusion of {kind:12} {row['faces']:6,} faces, {flagged}")
    scores = np.concatenate([found["covered"], found["seen"]])
    is_covered = np.arange(len(scores)) < len(found["covered"])
    shares["covered"]["area"] = float(roc_auc_score(is_covered, scores))
    print(f"  area under the ROC, covered against seen: {shares['covered']['area']:.3f}")
    return shares


def _pool(
    index: Path, reader: Reader, people: int = 1000, most: int = 4
) -> Iterator[tuple[str, str, Callable[[], Cut]]]:
    by_person: dict[str, list[dict[str, str]]] = {}
    with index.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if row["label"]:
                by_person.setdefault(row["label"], []).append(row)
    several = sorted(person for person, rows in by_person.items() if len(rows) > 1)
    archives: dict[str, zipfile.ZipFile] = {}
    for person in np.random.default_rng(0).permutation(several)[:people]:
        for row in by_person[person][:most]:
            archive = archives.setdefault(
                row["archive"], zipfile.ZipFile(index.parent / row["archive"])
            )
            left, top, right, bottom = (float(row[f"box_{at}"]) for at in ("x1", "y1", "x2", "y2"))
            points = ((float(row[f"{n}_x"]), float(row[f"{n}_y"])) for n in Keypoints._fields)
            face = Face(
                (left, top, right - left, bottom - top), float(row["score"]), Keypoints(*points)
            )
            content = archive.read(row["name"])
            name = f"{row['archive']}/{row['name']}"
            yield str(person), name, partial(reader.cut, partial(load_image, content), face)


def _report(title: str, matches: Matches) -> dict[str, Any]:
    everybody = np.ones(len(matches.probes), bool)
    print(f"{title}, {len(matches.probes):,} with a face; {matches.words(everybody)}")
    shares: dict[str, Any] = {"faces": len(matches.probes), "matched": np.nanmean(matches.own)}
    for purpose, gate in GATES.items():
        problems = [gate.problems(probe.quality) for probe in matches.probes]
        flagged = np.array([bool(lines) for lines in problems])
        shares[purpose] = {"faces": int(flagged.sum()), "share": flagged.mean()}
        print(f"  flagged for {purpose}: {flagged.sum():,} ({flagged.mean():.2%})")
        kinds = Counter(line.split(":")[0] for lines in problems for line in lines)
        for kind, count in kinds.most_common():
            having = np.array([any(q.startswith(kind) for q in lines) for lines in problems])
            shares[purpose][kind] = {"faces": count}
            if np.isfinite(matches.own[having]).any():
                shares[purpose][kind]["matched"] = np.nanmean(matches.own[having])
            print(f"    {kind:20} {count:5,} {matches.words(having)}")
        if flagged.any():
            print(f"    {'any of these':20} {flagged.sum():5,} {matches.words(flagged)}")
            if np.isfinite(matches.own[flagged]).any():
                shares[purpose]["matched"] = np.nanmean(matches.own[flagged])
    return shares


def _report_curve(number: str, sets: list[tuple[Matches, Matches]]) -> dict[str, Any]:
    """Prints the curve of a number, over several sets of faces, each against its usual matches."""
    values, own, others, lost = [], [], [], []
    for found, usual in sets:
        known = np.isfinite(found.own)
        values.append(np.array([abs(getattr(p.quality, number)) for p in found.probes])[known])
        own.append(found.own[known] / np.nanmean(usual.own))
        others.append(found.others[known] / (usual.others.mean() or np.nan))
        lost.append(found.own[known] < 0.5)
    value, match, false, bad = map(np.concatenate, (values, own, others, lost))
    order = np.argsort(value if number in WORSE_IF_LOWER else -value, kind="stable")
    value, match, false, bad = value[order], match[order], false[order], bad[order]
    around = np.convolve(match, np.ones(WINDOW) / WINDOW, "valid")
    middle = value[WINDOW // 2 :]
    reached = {f"{share:.0%}": int(np.argmax(around >= share)) for share in (0.9, 0.8, 0.5)}
    crossings = {share: f"{middle[at]:.3g}" if at else "–" for share, at in reached.items()}
    steps = np.arange(1, len(bad) + 1)
    hits, alarms = bad.cumsum() / bad.sum(), (~bad).cumsum() / (~bad).sum()
    places = np.unique(np.geomspace(20, len(bad) - 1, 8).astype(int))
    curve = "  ".join(f"{value[i]:.3g}: {hits[i]:.1%} / {alarms[i]:.1%}" for i in places)
    area = float(np.trapezoid(hits, alarms)) if hasattr(np, "trapezoid") else float("nan")
    print(f"{number}: {len(steps):,} faces, from {value[0]:.3g}; area {area:.2f}")
    print(f"  usual share of matches: {crossings}; worst {WINDOW}: {around[0]:.0%}")
    print(f"  matches with others, of the usual: {np.nanmean(false[:WINDOW]):.1f}")
    print(f"  flagged of the lost / of the others  {curve}", flush=True)
    return {
        "faces": len(steps),
        "limits": crossings,
        "worst": around[0],
        "area": area,
        "others": np.nanmean(false[:WINDOW]),
    }


def _images(folder: Path) -> list[tuple[str, Path]]:
    """Returns whose image each of a folder is, and its path."""
    return [(p.name, path) for p in _subfolders(folder) for path in list_images(p).images]


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


def _from_middle(face: Face, pixels: RGBImage) -> float:
    return float(np.hypot(*np.subtract(face.center, np.array(pixels.shape[1::-1]) / 2)))


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
