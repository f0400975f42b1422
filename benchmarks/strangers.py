"""Counts how many strangers a recognizer takes for one of the people it knows.

    python benchmarks/strangers.py known/ strangers/

fits on a folder with one folder of photos per person, and recognizes every photo in another such
folder, whose people are not enrolled. Printed is the share of strangers' faces that get a name, by
the default classifier, and for two strategies and each threshold of the weights' record. People of
the same name in both folders (underscores and case do not count) are left out of the strangers.
``--known-photos`` names a folder with other photos of the people in the first: how many of them
show a person who gets the right name, at an FPIR of 1 % and of 2 %.

``--covered`` draws dark glasses, or a mask, over one face of each stranger and over photos of the
people known. Printed are the share of all pairs of strangers that the weights' threshold for one
pair in 1,000 accepts, plain and covered; and the share of covered strangers who get a name if each
person was enrolled with one covered photo, the mean of ten rounds: with the gate off, and with
``QualityGate(max_occlusion=0.7)``, where a plain photo takes the place of each that it leaves out.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from results import add_record, record_if_asked
from sklearn.base import clone

from facekit import (
    Face,
    FaceRecognizer,
    IdentityClassifier,
    Keypoints,
    load_image,
)
from facekit.alignment import DEFAULT_TEMPLATE
from facekit.embedding.weights.registry import DEFAULT_WEIGHTS
from facekit.errors import EnrollmentWarning
from facekit.faces import largest_face
from facekit.io.folders import list_images
from facekit.quality import measure_quality
from facekit.training.data.occlusion import occlude
from facekit.utils.progress import track

# The limit for QualityGate.max_occlusion that is tried.
_MOST_COVERED = 0.7
_ROUNDS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("known", type=Path)
    parser.add_argument("strangers", type=Path)
    parser.add_argument("--known-photos", type=Path, metavar="FOLDER")
    parser.add_argument("--covered", action="store_true", help="draw glasses and masks as well")
    parser.add_argument("--weights", default=DEFAULT_WEIGHTS, metavar="NAME")
    add_record(parser)
    options = parser.parse_args()
    recognizer = FaceRecognizer(options.weights)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EnrollmentWarning)
        recognizer.fit(options.known)
    known = {_plain(name) for name in recognizer.people}
    images = [
        image
        for folder in sorted(options.strangers.iterdir())
        if folder.is_dir() and _plain(folder.name) not in known
        for image in list_images(folder).images
    ]
    aligned = _aligned(recognizer, images)
    embeddings = recognizer.embedder.embed(np.concatenate(aligned), progress=True)
    print(f"{recognizer}, {len(images):,} photos of strangers, {len(embeddings):,} faces")
    gallery = recognizer.gallery
    default = clone(recognizer.classifier).set_params(threshold=recognizer.threshold)
    named = default.fit_enrolled(gallery.enrolled()).identify(embeddings).distance
    named = named <= recognizer.threshold
    print(
        f"default ({default.strategy}, FPIR {default.fpir}), threshold "
        f"{recognizer.threshold:.3f}: {named.sum()} named, {named.mean():.2%}"
    )
    results: dict[str, Any] = {
        "enrolled photos": len(gallery),
        "faces": len(embeddings),
        "default": {
            "threshold": recognizer.threshold,
            "named": int(named.sum()),
            "share": float(named.mean()),
        },
        "fixed": {},
    }
    if options.known_photos:
        results["known"] = _known(recognizer, options.known_photos)
    if options.covered:
        # One face of each stranger, from the first photo that shows one.
        first = {
            p.parent: faces[0]
            for p, faces in zip(images[::-1], aligned[::-1], strict=True)
            if len(faces)
        }
        results["covered"] = _covered(recognizer, np.stack(list(first.values())))
    thresholds = recognizer.embedder.record.thresholds
    for strategy in ("svm", "nearest"):
        classifier = IdentityClassifier(strategy, threshold=2.0).fit_enrolled(gallery.enrolled())
        distances = classifier.identify(embeddings).distance
        for rate, threshold in sorted(thresholds.items()):
            named = distances <= threshold
            fixed = results["fixed"].setdefault(f"{rate:g}", {"threshold": threshold})
            fixed[strategy] = float(named.mean())
            print(
                f"{strategy:8} threshold {threshold:.3f} (one pair in {1 / rate:,.0f}): "
                f"{named.sum()} named, {named.mean():.2%}"
            )
    record = recognizer.embedder.record
    record_if_asked(options, record.name, results, record.identity)


def _known(recognizer: FaceRecognizer, folder: Path) -> dict[str, int]:
    """Returns how many photos of enrolled people get the right name."""
    images = [
        (_plain(person.name), _embeddings(recognizer, [image]))
        for person in sorted(folder.iterdir())
        for image in list_images(person).images
    ]
    counts = {"photos": len(images)}
    for fpir in (0.01, 0.02):
        classifier = clone(recognizer.classifier)
        classifier.set_params(fpir=fpir, distances=recognizer.embedder.record.distances)
        classifier.fit_enrolled(recognizer.gallery.enrolled())
        named = [
            name in {_plain(str(found)) for found in classifier.predict(faces) if found}
            for name, faces in images
            if len(faces)
        ]
        counts[f"right at FPIR {fpir:g}"] = sum(named)
        print(
            f"FPIR {fpir:g}: {sum(named)} of {len(images)} photos of known people named correctly"
        )
    return counts


def _covered(recognizer: FaceRecognizer, strangers: np.ndarray) -> dict[str, dict[str, float]]:
    """Returns what comes of drawn glasses and masks, and what of it the quality gate prevents."""
    record, rng = recognizer.embedder.record, np.random.default_rng(0)
    photos: dict[str, list[np.ndarray]] = {}
    for image in recognizer.gallery.images():
        own = photos.setdefault(image.person, [])
        if len(own) < _ROUNDS:
            own.append(_largest(recognizer, Path(image.source)))
    upper = np.triu_indices(len(strangers), 1)
    plain = {person: recognizer.embedder.embed(np.stack(own)) for person, own in photos.items()}
    rows: dict[str, dict[str, float]] = {}
    for cover in (None, "glasses", "mask"):

        def drawn(faces: Sequence[np.ndarray], cover: Any = cover) -> np.ndarray:
            return np.stack([f if cover is None else occlude(f, rng, cover) for f in faces])

        probes = drawn(list(strangers))
        embeddings = recognizer.embedder.embed(probes)
        distances = np.sqrt(np.maximum(0, 2 - 2 * (embeddings @ embeddings.T)[upper]))
        row = rows[cover or "plain"] = {
            "faces": len(probes),
            "pairs accepted": float(np.mean(distances <= record.threshold())),
            "flagged": float(np.mean([_occlusion(face) > _MOST_COVERED for face in probes])),
        }
        covered = {person: drawn(own) for person, own in photos.items()}
        vectors = {person: recognizer.embedder.embed(own) for person, own in covered.items()}
        named: dict[str, list[float]] = {"off": [], "on": []}
        for place in range(min(map(len, photos.values()))):
            for gate, shares in named.items():
                gallery = [
                    plain[person][place]
                    if gate == "on" and _occlusion(covered[person][place]) > _MOST_COVERED
                    else vectors[person][place]
                    for person in photos
                ]
                classifier = clone(recognizer.classifier).set_params(distances=record.distances)
                answers = classifier.fit(np.stack(gallery), list(photos)).predict(embeddings)
                shares.append(float(np.mean([name is not None for name in answers])))
        row |= {f"named, gate {gate}": float(np.mean(shares)) for gate, shares in named.items()}
        print(
            f"{cover or 'plain':8} {row['pairs accepted']:.3%} of pairs of strangers accepted; "
            f"{row['flagged']:.1%} flagged; named with the gate off "
            f"{row['named, gate off']:.2%}, on {row['named, gate on']:.2%}"
        )
    return rows


def _largest(recognizer: FaceRecognizer, image: Path) -> np.ndarray:
    pixels = load_image(image)
    return recognizer.aligner.align(pixels, [largest_face(recognizer.detector.detect(pixels))])[0]


def _occlusion(aligned: np.ndarray) -> float:
    """Measures an aligned face, for which the default template holds."""
    side = len(aligned)
    points = Keypoints(*((side * x, side * y) for x, y in DEFAULT_TEMPLATE))
    return measure_quality(aligned, Face((0, 0, side, side), 1.0, points)).occlusion


def _embeddings(recognizer: FaceRecognizer, images: list[Path]) -> np.ndarray:
    return recognizer.embedder.embed(np.concatenate(_aligned(recognizer, images)), progress=True)


def _aligned(recognizer: FaceRecognizer, images: list[Path]) -> list[np.ndarray]:
    """Returns the aligned faces of each image."""
    aligned = []
    for image in track(images, "Finding faces", total=len(images), shown=True):
        pixels = load_image(image)
        aligned.append(recognizer.aligner.align(pixels, recognizer.detector.detect(pixels)))
    return aligned


def _plain(name: str) -> str:
    return name.replace("_", " ").casefold()


if __name__ == "__main__":
    main()
