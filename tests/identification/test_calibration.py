"""Calibration: what a cohort decides, and when the enrolled people speak against the table."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facekit import Gallery, IdentityClassifier, InvalidArgumentError
from facekit.embedding.weights.registry import REGISTRY
from facekit.errors import CalibrationWarning
from facekit.gallery.enrolled import Enrolled
from facekit.identification.calibration import calibrate
from facekit.identification.fitting import GalleryFitting

SIZE = 128
TABLE = REGISTRY["facekit-small"].distances
STRATEGIES = pytest.mark.parametrize("strategy", ["nearest", "centroid", "svm"])


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def gallery(seed: int, people: int = 5, images: int = 2, common: float = 0.0) -> Enrolled:
    rng = np.random.default_rng(seed)
    middles = unit(rng.normal(size=(people, SIZE)))
    middles = unit(middles + common * unit(rng.normal(size=(1, SIZE))))
    labels = np.repeat(np.arange(people), images)
    embeddings = unit(middles[labels] + 0.02 * rng.normal(size=(len(labels), SIZE)))
    return Enrolled(embeddings, labels, np.array([f"person {i:03}" for i in range(people)]))


@STRATEGIES
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), fpir=st.sampled_from([0.01, 0.05, 0.2]))
def test_the_share_of_a_large_cohort_that_was_asked_gets_a_name(
    strategy: Any, seed: int, fpir: float
) -> None:
    enrolled = gallery(seed)
    cohort = unit(np.random.default_rng([seed, 1]).normal(size=(2000, SIZE)))
    for table in (None, TABLE):
        classifier = IdentityClassifier(strategy, fpir=fpir, distances=table)
        classifier.fit_enrolled(enrolled, cohort=cohort)
        assert classifier.calibration_.probes == 2000
        named = classifier.identify(cohort).distance <= classifier.threshold_
        # The SVM's candidate need not be the nearest person.
        assert named.mean() <= fpir + 0.001
        if strategy != "svm":
            assert named.mean() == pytest.approx(fpir, abs=0.001)


def test_a_small_cohort_shifts_the_table() -> None:
    enrolled = gallery(0)
    cohort = unit(np.random.default_rng(1).normal(size=(100, SIZE)))
    alone = calibrate(enrolled, measure="nearest", fpir=0.001, table=TABLE)
    shifted = calibrate(enrolled, measure="nearest", fpir=0.001, table=TABLE, cohort=cohort)
    assert shifted.threshold == pytest.approx(alone.threshold + shifted.shift)
    assert shifted.shift != 0.0


@pytest.mark.parametrize(
    "cohort",
    [np.empty((0, SIZE)), np.ones((3, 4)), [["a"]], np.ones(SIZE), 2 * np.eye(SIZE)],
)
def test_a_cohort_that_cannot_be_used_is_named(cohort: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="cohort must"):
        calibrate(gallery(0), measure="nearest", fpir=0.01, table=TABLE, cohort=cohort)


def test_a_cohort_counts_for_who_is_enrolled_meanwhile() -> None:
    cohort = unit(np.random.default_rng(1).normal(size=(100, SIZE)))
    people, fitting = Gallery("example@1", SIZE), GalleryFitting()
    people.enroll("Ada", cohort[:1], ["a.jpg"])
    fits, calibrated = threading.Event(), threading.Event()

    class Watched(IdentityClassifier):
        def fit_enrolled(self, *args: Any, cohort: Any = None, **kwargs: Any) -> Any:
            if cohort is not None:
                people.enroll("Grace", cohort[1:2], ["g.jpg"])
                other.start()
                assert fits.wait(60)
            elif threading.current_thread() is other:
                fits.set()
                calibrated.wait(0.3)
            return super().fit_enrolled(*args, cohort=cohort, **kwargs)

    classifier = Watched("centroid", fpir=0.01)
    other = threading.Thread(target=lambda: fitting.current(people, classifier, TABLE))
    fitting.calibrate(people, classifier, TABLE, cohort)
    calibrated.set()
    other.join()
    found = fitting.current(people, classifier, TABLE).classifier.calibration_
    assert found.probes == len(cohort)


def test_a_small_cohort_does_not_replace_a_table() -> None:
    with pytest.raises(InvalidArgumentError, match="the cohort has 100 faces"):
        calibrate(gallery(0), measure="nearest", fpir=0.01, cohort=gallery(1, images=20).embeddings)


def test_people_who_resemble_each_other_are_said() -> None:
    relatives, others = gallery(0, common=2.0), gallery(0)
    classifier = IdentityClassifier("centroid", fpir=0.01, distances=TABLE)
    with pytest.warns(CalibrationWarning, match="resemble each other"):
        classifier.fit(relatives.embeddings, relatives.classes[relatives.labels])
    classifier.fit(others.embeddings, others.classes[others.labels])
    assert classifier.calibration_.doubt == ""


def test_the_core_does_not_need_scikit_learn() -> None:
    script = (
        "import sys, numpy as np\n"
        "from facekit import IdentityClassifier\n"
        "from facekit.gallery.enrolled import Enrolled\n"
        "enrolled = Enrolled(np.eye(2), np.array([0, 1]), np.array(['Ada', 'Grace']))\n"
        "found = IdentityClassifier('centroid', threshold=0.5).fit_enrolled(enrolled)\n"
        "assert found.predict(np.eye(2)).tolist() == ['Ada', 'Grace']\n"
        "assert not {'sklearn', 'scipy'} & set(sys.modules), 'imported'\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
