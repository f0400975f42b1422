"""Counts how many strangers a recognizer takes for one of the people it knows.

    python benchmarks/strangers.py known/ strangers/

fits on a folder with one folder of photos per person, and recognizes every photo in another such
folder, whose people are not enrolled. Printed is the share of strangers' faces that get a name, by
the default classifier, and for two strategies and each threshold of the weights' record. People of
the same name in both folders (underscores and case do not count) are left out of the strangers.
``--known-photos`` names a folder with other photos of the people in the first: how many of them
show a person who gets the right name, at an FPIR of 1 % and of 2 %.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from results import add_record, record_if_asked
from sklearn.base import clone

from facekit import FaceRecognizer, IdentityClassifier, load_image
from facekit.embedding.weights.registry import DEFAULT_WEIGHTS
from facekit.errors import EnrollmentWarning
from facekit.io.folders import list_images
from facekit.utils.progress import track


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("known", type=Path)
    parser.add_argument("strangers", type=Path)
    parser.add_argument("--known-photos", type=Path, metavar="FOLDER")
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
    embeddings = _embeddings(recognizer, images)
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


def _embeddings(recognizer: FaceRecognizer, images: list[Path]) -> np.ndarray:
    aligned = []
    for image in track(images, "Finding faces", total=len(images), shown=True):
        pixels = load_image(image)
        aligned.append(recognizer.aligner.align(pixels, recognizer.detector.detect(pixels)))
    return recognizer.embedder.embed(np.concatenate(aligned), progress=True)


def _plain(name: str) -> str:
    return name.replace("_", " ").casefold()


if __name__ == "__main__":
    main()
