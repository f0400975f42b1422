"""Measures identification among strangers, on LFW and on five celebrities.

    python benchmarks/identification.py lfw five_celebrities --cache embeddings/

LFW: of each person with three or more photos two are enrolled; the rest are looked up, and so are
all people who are not enrolled, the strangers. In each photo the face nearest to the middle counts.
Five celebrities: ``train`` is enrolled, ``val`` is looked up, and every face in LFW is a stranger,
except in photos of these five.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from embedding_cache import EmbeddedFaces, embed_folder
from results import add_record, record_if_asked
from sklearn.svm import SVC

from facekit import Embedder, IdentityClassifier
from facekit.embedding.weights.registry import DEFAULT_WEIGHTS

STRATEGIES = ("nearest", "centroid", "svm")
TARGETS = (0.01, 0.001)
# How LFW spells those of the five that it holds; the other folder spells the first differently.
CELEBRITIES = ("Ben_Affleck", "Elton_John", "Jerry_Seinfeld", "Madonna", "Mindy_Kaling")


class Answers(NamedTuple):
    """What a classifier says: scores are high if it is sure.

    Attributes:
        right: Whether the candidate is the person, for the people enrolled.
        known: The scores of the people enrolled.
        strangers: The scores of the strangers.
    """

    right: np.ndarray
    known: np.ndarray
    strangers: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lfw", type=Path)
    parser.add_argument("celebrities", type=Path)
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="keep the embeddings here")
    parser.add_argument("--weights", default=DEFAULT_WEIGHTS, metavar="NAME")
    add_record(parser)
    options = parser.parse_args()
    embedder = Embedder(options.weights)
    lfw = _embedded(options.lfw, embedder, options.cache, "lfw")
    train, val = (
        _embedded(options.celebrities / part, embedder, options.cache, f"five_{part}")
        for part in ("train", "val")
    )
    results = {"five": _five(train, val, lfw, embedder), "lfw": _lfw(lfw, embedder)}
    record_if_asked(options, embedder.record.name, results, embedder.record.identity)


def _embedded(folder: Path, embedder: Embedder, cache: Path | None, name: str) -> EmbeddedFaces:
    return embed_folder(folder, embedder, None if cache is None else cache / f"{name}.npz")


def _lfw(lfw: EmbeddedFaces, embedder: Embedder) -> dict[str, Any]:
    faces = lfw.only(lfw.central)
    people, counts = np.unique(faces.people, return_counts=True)
    chosen = np.isin(faces.people, people[counts >= 3])
    # The faces are sorted by person: how many of the same person came before.
    position = np.arange(len(chosen)) - np.searchsorted(faces.people, faces.people)
    enrolled = faces.only(chosen & (position < 2))
    known, strangers = faces.only(chosen & (position >= 2)), faces.only(~chosen)
    print(
        f"LFW: {len(np.unique(enrolled.people))} people enrolled with two photos each, "
        f"{len(known.people)} more photos of them, {len(strangers.people):,} of strangers",
        flush=True,
    )
    best, calibrated = {}, {}
    print("DIR: share of the enrolled people's photos that get the right name")
    for strategy in STRATEGIES:
        print(f"{strategy}:", flush=True)
        classifier = IdentityClassifier(strategy, threshold=None)
        classifier.fit(enrolled.embeddings, enrolled.people)
        answers = _by_distance(classifier, known, strangers)
        best[strategy] = _print_rates("thresholds from the strangers themselves", answers)
        for target in TARGETS:
            classifier = IdentityClassifier(
                strategy, fpir=target, distances=embedder.record.distances
            ).fit(enrolled.embeddings, enrolled.people)
            calibrated[f"{strategy}, FPIR {target:g}"] = _print_accepted(
                f"target {target:.1%}", answers, classifier.threshold_
            )
        if strategy == "nearest":
            for rate, fixed in sorted(embedder.record.thresholds.items()):
                calibrated[f"{strategy}, FMR {rate:g}"] = _print_accepted(
                    f"fixed, one pair in {1 / rate:,.0f}", answers, fixed
                )
    plain = SVC(kernel="linear", probability=True, random_state=0)
    plain.fit(enrolled.embeddings, enrolled.people)
    chances = plain.predict_proba(known.embeddings)
    answers = Answers(
        plain.predict(known.embeddings) == known.people,
        chances.max(axis=1),
        plain.predict_proba(strangers.embeddings).max(axis=1),
    )
    best["plain SVM, probability"] = _print_rates("plain SVM, probability", answers)
    return {
        "people": len(np.unique(enrolled.people)),
        "looked up": len(known.people),
        "strangers": len(strangers.people),
        "best": best,
        "calibrated": calibrated,
    }


def _by_distance(
    classifier: IdentityClassifier, known: EmbeddedFaces, strangers: EmbeddedFaces
) -> Answers:
    found = classifier.identify(known.embeddings)
    return Answers(
        found.candidate == known.people,
        -found.distance,
        -classifier.identify(strangers.embeddings).distance,
    )


def _print_rates(name: str, answers: Answers) -> dict[str, float]:
    shown, rates = [], {}
    for target in TARGETS:
        # Strangers above this threshold are accepted: as many as the target allows.
        allowed = int(target * len(answers.strangers))
        threshold = np.sort(answers.strangers)[::-1][allowed]
        named = answers.right & (answers.known > threshold)
        rates[f"{target:g}"] = float(named.mean())
        shown.append(f"DIR {named.mean():.1%} at {target:.1%} ({allowed} strangers)")
    print(f"  {name}: {answers.right.mean():.1%} without refusals, {', '.join(shown)}", flush=True)
    return rates


def _print_accepted(name: str, answers: Answers, threshold: float) -> dict[str, Any]:
    accepted = answers.strangers >= -threshold
    named = answers.right & (answers.known >= -threshold)
    print(
        f"  {name}: threshold {threshold:.3f}, strangers accepted {accepted.sum()} of "
        f"{len(accepted):,} ({accepted.mean():.2%}), {named.sum()} of {len(named)} known named "
        f"correctly ({named.mean():.1%})",
        flush=True,
    )
    return {
        "threshold": float(threshold),
        "strangers accepted": int(accepted.sum()),
        "share of strangers": float(accepted.mean()),
        "right": int(named.sum()),
        "share right": float(named.mean()),
    }


def _five(
    train: EmbeddedFaces, val: EmbeddedFaces, lfw: EmbeddedFaces, embedder: Embedder
) -> dict[str, Any]:
    train, val = train.only(train.central), val.only(val.central)
    strangers = lfw.only(~np.isin(lfw.people, CELEBRITIES))
    print(
        f"five celebrities: {len(train.people)} photos enrolled, {len(val.people)} looked up, "
        f"{len(strangers.people):,} faces of strangers",
        flush=True,
    )
    record = embedder.record
    pairs = IdentityClassifier(threshold=record.threshold(0.001), distances=record.distances)
    classifiers = {"svm, FMR 0.001": pairs} | {
        f"{strategy}, FPIR {target:g}": IdentityClassifier(
            strategy, fpir=target, distances=record.distances
        )
        for strategy in STRATEGIES
        for target in (*TARGETS, 0.005)
    }
    calibrated = {}
    for name, classifier in classifiers.items():
        classifier.fit(train.embeddings, train.people)
        answers = _by_distance(classifier, val, strangers)
        calibrated[name] = _print_accepted(name, answers, classifier.threshold_)
    return {
        "enrolled": len(train.people),
        "looked up": len(val.people),
        "strangers": len(strangers.people),
        "calibrated": calibrated,
    }


if __name__ == "__main__":
    main()
