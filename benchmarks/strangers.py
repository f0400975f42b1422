"""Counts how many strangers a recognizer takes for one of the people it knows.

    python benchmarks/strangers.py known/ strangers/

fits on a folder with one folder of photos a person, and recognizes every photo in another such
folder, whose people are not enrolled. Printed is the share of strangers' faces that get a name, by
the default classifier, and for two strategies and each threshold of the weights' record. People of
the same name in both folders (underscores and case do not count) are left out of the strangers.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
from sklearn.base import clone

from facekit import EnrollmentWarning, FaceRecognizer, IdentityClassifier, load_image
from facekit.embedding.weights.registry import DEFAULT_WEIGHTS
from facekit.io.folders import list_images
from facekit.utils.progress import track


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("known", type=Path)
    parser.add_argument("strangers", type=Path)
    parser.add_argument("--weights", default=DEFAULT_WEIGHTS, metavar="NAME")
    options = parser.parse_args()
    recognizer = FaceRecognizer(options.weights)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EnrollmentWarning)
        recognizer.fit(options.known)
    known = {_plain(name) for name in recognizer.people}
    photos = [
        photo
        for folder in sorted(options.strangers.iterdir())
        if folder.is_dir() and _plain(folder.name) not in known
        for photo in list_images(folder).images
    ]
    embeddings = _embeddings(recognizer, photos)
    print(f"{recognizer}, {len(photos):,} photos of strangers, {len(embeddings):,} faces")
    gallery = recognizer.gallery
    default = clone(recognizer.classifier).set_params(threshold=recognizer.threshold)
    named = default.fit_enrolled(gallery.enrolled()).identify(embeddings).distance
    named = named <= recognizer.threshold
    print(
        f"default ({default.strategy}, FPIR {default.fpir}), threshold "
        f"{recognizer.threshold:.3f}: {named.sum()} named, {named.mean():.2%}"
    )
    thresholds = recognizer.embedder.record.thresholds
    for strategy in ("svm", "nearest"):
        classifier = IdentityClassifier(strategy, threshold=2.0).fit_enrolled(gallery.enrolled())
        distances = classifier.identify(embeddings).distance
        for rate, threshold in sorted(thresholds.items()):
            named = distances <= threshold
            print(
                f"{strategy:8} threshold {threshold:.3f} (one pair in {1 / rate:,.0f}): "
                f"{named.sum()} named, {named.mean():.2%}"
            )


def _embeddings(recognizer: FaceRecognizer, photos: list[Path]) -> np.ndarray:
    aligned = []
    for photo in track(photos, "Finding faces", total=len(photos), shown=True):
        pixels = load_image(photo)
        aligned.append(recognizer.aligner.align(pixels, recognizer.detector.detect(pixels)))
    return recognizer.embedder.embed(np.concatenate(aligned), progress=True)


def _plain(name: str) -> str:
    return name.replace("_", " ").casefold()


if __name__ == "__main__":
    main()
