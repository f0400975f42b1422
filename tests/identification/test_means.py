"""The law of means: strangers get a name as rarely by several images as by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facekit import Detector, Embedder, FacePipeline, IdentityClassifier
from facekit.embedding.weights.registry import REGISTRY
from facekit.gallery.enrolled import Enrolled
from facekit.identification.means import MeanIdentifier

TABLE = REGISTRY["facekit-small"].distances
assert TABLE is not None

FPIR, GALLERIES, GALLERY, MOST = 0.01, 20, 100, 3


def test_equal_images_count_as_one_and_images_of_other_days_each() -> None:
    assert TABLE.independent_images(100, 1.0) == 1.0
    # As far apart as half of the pairs of photos of a person are, and farther.
    alike = 1 - float(TABLE.quantiles("genuine", "centroid", 1)[TABLE.rates.index(0.5)]) ** 2 / 2
    for images in (2, 5, 10):
        length = np.sqrt(alike + (1 - alike) / images)
        assert TABLE.independent_images(images, float(length)) == images
    counted = [TABLE.independent_images(10, length) for length in (0.8, 0.85, 0.9, 0.95)]
    assert counted == sorted(counted, reverse=True)


def test_a_number_of_images_is_rounded_up() -> None:
    enrolled = Enrolled(np.eye(3), np.arange(3), np.array(["a", "b", "c"], dtype=object))
    classifier = IdentityClassifier("centroid", distances=TABLE).fit_enrolled(enrolled)
    numbers = [1.0, 1.1, 1.25, 1.3, 9.0, 12.0, 100.0, 1000.0]
    found = MeanIdentifier(classifier, enrolled).identify(np.eye(3)[[0] * len(numbers)], numbers)
    one, *more = [identity.threshold for identity in found]
    assert more[0] == more[1] > more[2] > more[3] == more[4] > more[5] == more[6]
    assert one == classifier.threshold_ > more[0]


@pytest.mark.check
def test_means_of_strangers_are_named_as_rarely_as_asked(data_folder: Path) -> None:
    photos = [
        images[:MOST]
        for folder in sorted((data_folder / "lfw").iterdir())
        if len(images := sorted(folder.glob("*.jpg"))) >= MOST
    ]
    embeddings = []
    answers = FacePipeline(Detector(), Embedder("facekit-small")).run(
        [image for images in photos for image in images]
    )
    for answer in answers:
        middle = np.array(answer.size[::-1]) / 2
        away = [np.linalg.norm(np.array(face.face.center) - middle) for face in answer.faces]
        embeddings.append(answer.faces[int(np.argmin(away))].unit if away else None)
    by_person = [embeddings[n : n + MOST] for n in range(0, len(embeddings), MOST)]
    people = [np.stack(own) for own in by_person if all(one is not None for one in own)]
    assert len(people) > 200
    named = dict.fromkeys(range(1, MOST + 1), 0.0)
    for seed in range(GALLERIES):
        order = np.random.default_rng(seed).permutation(len(people))
        enrolled = Enrolled(
            np.concatenate([people[person][:2] for person in order[:GALLERY]]),
            np.repeat(np.arange(GALLERY), 2),
            np.array([str(person) for person in order[:GALLERY]], dtype=object),
        )
        classifier = IdentityClassifier("svm", fpir=FPIR, distances=TABLE).fit_enrolled(enrolled)
        identifier = MeanIdentifier(classifier, enrolled)
        for images in named:
            totals = [people[person][:images].mean(axis=0) for person in order[GALLERY:]]
            lengths = [float(np.linalg.norm(total)) for total in totals]
            means = [total / length for total, length in zip(totals, lengths, strict=True)]
            worths = [TABLE.independent_images(images, length) for length in lengths]
            found = identifier.identify(np.stack(means), worths)
            named[images] += sum(one.name is not None for one in found) / len(found) / GALLERIES
    assert min(named.values()) >= FPIR / 2
    # Those who are drawn here are named more often than asked by single photos as well.
    assert named[1] <= 2 * FPIR
    assert max(named.values()) <= 2 * named[1]
