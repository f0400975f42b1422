"""Measures identification with strangers, beside the usual ways of doing it.

    python benchmarks/identification.py lfw five_celebrities [--cache FOLDER]

``lfw`` holds LFW's photos, a folder a person; ``five_celebrities`` holds ``train`` and ``val``. Of
every identity of LFW with three photos or more, two are enrolled; its other photos are the known
probes, and the photos of everybody else are strangers. In each photo the face nearest to the middle
counts.

Printed first is how many known probes are named rightly (detection-and-identification rate) if the
threshold lets 1 % or 0.1 % of the strangers pass; that threshold is read off the strangers
themselves, so that all ways are compared at equal false-accept rates. Then comes what a user gets,
who knows no strangers: the rates at the thresholds that facekit calibrates for a target. At last
five people are enrolled, and all of LFW are strangers.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from embedding_cache import EmbeddedFaces, embed_folder
from sklearn.svm import SVC

from facekit import Embedder, IdentityClassifier

STRATEGIES = ("svm", "nearest", "centroid")
TARGETS = (0.01, 0.001)
# Distances within which a plain nearest neighbour is believed.
FIXED_DISTANCES = (1.0, 1.1)

Answers = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lfw", type=Path)
    parser.add_argument("five_celebrities", type=Path)
    parser.add_argument("--cache", type=Path, help="a folder for the embeddings")
    parser.add_argument("--weights", default=None)
    options = parser.parse_args()
    embedder = Embedder(options.weights) if options.weights else Embedder()

    def faces_of(folder: Path, name: str) -> EmbeddedFaces:
        cache = None if options.cache is None else options.cache / f"{name}.npz"
        return embed_folder(folder, embedder, cache)

    lfw = faces_of(options.lfw, "lfw")
    lfw = lfw.only(lfw.central)
    compare(lfw, embedder)
    train = faces_of(options.five_celebrities / "train", "five_train")
    val = faces_of(options.five_celebrities / "val", "five_val")
    five_people(train.only(train.central), val.only(val.central), lfw, embedder)


def compare(lfw: EmbeddedFaces, embedder: Embedder) -> None:
    enrolled, known, strangers = split(lfw)
    print(
        f"LFW: {len(enrolled.people)} photos of {len(set(enrolled.people))} people enrolled, "
        f"{len(known.people)} known probes, {len(strangers.people)} strangers of "
        f"{len(set(strangers.people))} people"
    )
    print("named rightly at the threshold that lets 1 % and 0.1 % of the strangers pass")
    for way, answers in ways(enrolled, embedder):
        candidates, scores = answers(known.embeddings)
        _, of_strangers = answers(strangers.embeddings)
        rates = [
            np.mean((candidates == known.people) & (scores > np.quantile(of_strangers, 1 - rate)))
            for rate in TARGETS
        ]
        print(f"  {way:40} " + "  ".join(f"{rate:.1%}" for rate in rates))
    print("strangers named, and known probes named rightly, at calibrated thresholds")
    for strategy in STRATEGIES:
        for target in TARGETS:
            classifier = calibrated(strategy, target, embedder, enrolled)
            accepted = np.mean(classifier.predict(strangers.embeddings) != np.array(None))
            right = np.mean(classifier.predict(known.embeddings) == known.people)
            print(
                f"  {strategy:9} target {target:.1%}, threshold {classifier.threshold_:.3f}: "
                f"{accepted:.2%} ({accepted / target:.1f} times the target), {right:.1%}"
            )


def split(lfw: EmbeddedFaces) -> tuple[EmbeddedFaces, EmbeddedFaces, EmbeddedFaces]:
    """Returns the enrolled photos, the known probes and the strangers."""
    people, counts = np.unique(lfw.people, return_counts=True)
    of_known = np.isin(lfw.people, people[counts >= 3])
    first_two = np.zeros(len(lfw.people), dtype=bool)
    for person in people[counts >= 3]:
        first_two[np.flatnonzero(lfw.people == person)[:2]] = True
    return lfw.only(first_two), lfw.only(of_known & ~first_two), lfw.only(~of_known)


def ways(enrolled: EmbeddedFaces, embedder: Embedder) -> Iterator[tuple[str, Answers]]:
    """Yields each way with a function from embeddings to candidates and scores."""
    for strategy in STRATEGIES:
        classifier = calibrated(strategy, 0.01, embedder, enrolled)

        def ours(
            embeddings: np.ndarray, classifier: IdentityClassifier = classifier
        ) -> tuple[np.ndarray, np.ndarray]:
            found = classifier.identify(embeddings)
            return found.candidate, -found.distance

        yield f"facekit, {strategy}", ours
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of scikit-learn, for probability=True
        machine = SVC(kernel="linear", probability=True, random_state=0)
        machine.fit(enrolled.embeddings, enrolled.people)

    def tutorial(embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shares = machine.predict_proba(embeddings)
        return machine.classes_[shares.argmax(axis=1)], shares.max(axis=1)

    yield "linear SVM, its probability", tutorial


def calibrated(
    strategy: str, target: float, embedder: Embedder, enrolled: EmbeddedFaces
) -> IdentityClassifier:
    classifier = IdentityClassifier(strategy, unknown=target, distances=embedder.record.distances)
    return classifier.fit(enrolled.embeddings, enrolled.people)


def five_people(
    train: EmbeddedFaces, val: EmbeddedFaces, strangers: EmbeddedFaces, embedder: Embedder
) -> None:
    print(
        f"five people: {len(train.people)} photos enrolled, {len(val.people)} to name, "
        f"{len(strangers.people)} strangers"
    )
    for strategy in STRATEGIES:
        for target in (0.01, 0.005, 0.001):
            classifier = calibrated(strategy, target, embedder, train)
            report(f"{strategy}, target {target:.1%}", classifier, val, strangers)
    usual = IdentityClassifier(threshold=embedder.record.threshold())
    usual.fit(train.embeddings, train.people)
    report("svm, one pair of strangers in 1,000", usual, val, strangers)
    for distance in FIXED_DISTANCES:
        fixed = IdentityClassifier("nearest", threshold=distance)
        fixed.fit(train.embeddings, train.people)
        report(f"nearest within {distance}", fixed, val, strangers)


def report(
    way: str, classifier: IdentityClassifier, val: EmbeddedFaces, strangers: EmbeddedFaces
) -> None:
    right = int(np.sum(classifier.predict(val.embeddings) == val.people))
    named = int(np.sum(classifier.predict(strangers.embeddings) != np.array(None)))
    print(
        f"  {way:38} threshold {classifier.threshold_:.3f}: {right} of {len(val.people)} right, "
        f"{named} strangers named ({named / len(strangers.people):.2%})"
    )


if __name__ == "__main__":
    main()
