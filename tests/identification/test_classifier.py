"""The classifier as scikit-learn sees it, and the laws of open-set identification."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.utils.estimator_checks import parametrize_with_checks

from facekit import IdentityClassifier, InvalidArgumentError

FloatArray = npt.NDArray[np.float64]
STRATEGIES = pytest.mark.parametrize("strategy", ["svm", "nearest", "centroid"])
NAMES = ["Ada", "Grace", "Katherine", "Mary", "Zoë"]
SIZE = 16


def unit(vectors: FloatArray) -> FloatArray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def people(
    seed: int = 0, count: int = 4, images: int = 3, noise: float = 0.08
) -> tuple[FloatArray, npt.NDArray[np.str_]]:
    """Returns unit embeddings of well separated people, and their names."""
    generator = np.random.default_rng(seed)
    centers = np.linalg.qr(generator.normal(size=(SIZE, SIZE)))[0][:count]
    spread = noise * generator.normal(size=(count * images, SIZE))
    return unit(centers.repeat(images, axis=0) + spread), np.repeat(NAMES[:count], images)


def strangers(seed: int = 0, count: int = 20) -> FloatArray:
    return unit(np.random.default_rng([seed, 1]).normal(size=(count, SIZE)))


seeds = st.integers(0, 2**32 - 1)
strategies = st.sampled_from(["svm", "nearest", "centroid"])
# One photo of each, up to a few; one person alone, up to all.
galleries = st.builds(people, seeds, st.integers(1, len(NAMES)), st.integers(1, 4))


# What scikit-learn expects.


@parametrize_with_checks(
    [IdentityClassifier(strategy, threshold=None) for strategy in ("svm", "nearest", "centroid")]
)
def test_scikit_learn_compatibility(estimator: Any, check: Any) -> None:
    check(estimator)


@STRATEGIES
def test_clone_copies_the_parameters_alone(strategy: Any) -> None:
    classifier = IdentityClassifier(strategy, threshold=0.7, C=3.0).fit(*people())
    cloned = clone(classifier)
    assert cloned.get_params() == {
        "strategy": strategy,
        "fpir": 0.001,
        "threshold": 0.7,
        "C": 3.0,
        "distances": None,
        "prior": 0.5,
    }
    with pytest.raises(NotFittedError):
        cloned.predict(strangers())


def test_set_params_undoes_get_params() -> None:
    parameters = IdentityClassifier("nearest", threshold=0.5, C=2.0).get_params()
    assert IdentityClassifier(threshold=1.0).set_params(**parameters).get_params() == parameters


@STRATEGIES
def test_a_pipeline_may_normalize_first(strategy: Any) -> None:
    embeddings, names = people()
    pipeline = make_pipeline(Normalizer(), IdentityClassifier(strategy, threshold=0.9))
    assert pipeline.fit(5 * embeddings, names).score(0.1 * embeddings, names) == 1.0


def test_a_grid_search_chooses_parameters() -> None:
    embeddings, names = people(images=6)
    grid = {"C": [0.01, 1.0, 100.0], "strategy": ["svm", "nearest"]}
    search = GridSearchCV(IdentityClassifier(threshold=1.0), grid, cv=3).fit(embeddings, names)
    assert search.best_score_ == 1.0
    assert search.predict(embeddings[:1]).tolist() == ["Ada"]


def test_cross_validation_sees_refused_people_as_errors() -> None:
    embeddings, names = people(images=4)
    scores = cross_val_score(IdentityClassifier(threshold=0.0), embeddings, names, cv=2)
    assert scores.tolist() == [0.0, 0.0]


# Laws of both strategies.


@given(gallery=galleries, strategy=strategies)
def test_enrolled_people_are_recognized(gallery: Any, strategy: Any) -> None:
    embeddings, names = gallery
    classifier = IdentityClassifier(strategy, threshold=1.0).fit(embeddings, names)
    assert classifier.predict(embeddings).tolist() == names.tolist()


@given(gallery=galleries, strategy=strategies, shuffled=st.permutations(range(len(NAMES))))
def test_renaming_people_renames_the_answers(
    gallery: Any, strategy: Any, shuffled: list[int]
) -> None:
    embeddings, names = gallery
    probes = unit(embeddings + 0.02)
    renamed = {name: NAMES[other] for name, other in zip(NAMES, shuffled, strict=True)}
    first = IdentityClassifier(strategy, threshold=1.0).fit(embeddings, names)
    second = IdentityClassifier(strategy, threshold=1.0).fit(
        embeddings, [renamed[name] for name in names]
    )
    expected = [None if name is None else renamed[name] for name in first.predict(probes)]
    assert second.predict(probes).tolist() == expected


@given(gallery=galleries, strategy=strategies, data=st.data())
def test_the_order_of_enrollment_does_not_matter(
    gallery: Any, strategy: Any, data: st.DataObject
) -> None:
    embeddings, names = gallery
    order = data.draw(st.permutations(range(len(names))), label="order")
    first = IdentityClassifier(strategy, threshold=1.0).fit(embeddings, names)
    second = IdentityClassifier(strategy, threshold=1.0).fit(embeddings[order], names[order])
    probes = unit(embeddings + 0.02)
    assert second.predict(probes).tolist() == first.predict(probes).tolist()
    np.testing.assert_allclose(
        second.identify(probes).distance, first.identify(probes).distance, atol=1e-12
    )


@given(gallery=galleries, strategy=strategies, seed=seeds)
def test_shares_add_up_to_one_and_name_the_candidate(
    gallery: Any, strategy: Any, seed: int
) -> None:
    classifier = IdentityClassifier(strategy, threshold=1.0).fit(*gallery)
    probes = strangers(seed)
    shares, found = classifier.predict_proba(probes), classifier.identify(probes)
    assert shares.shape == (len(probes), len(classifier.classes_))
    assert (shares >= 0).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    assert classifier.classes_[shares.argmax(axis=1)].tolist() == found.candidate.tolist()
    np.testing.assert_allclose(shares.max(axis=1), found.probability)


@given(gallery=galleries, strategy=strategies, seed=seeds, threshold=st.floats(0.0, 2.0))
def test_a_name_is_given_exactly_within_the_threshold(
    gallery: Any, strategy: Any, seed: int, threshold: float
) -> None:
    classifier = IdentityClassifier(strategy, threshold=threshold).fit(*gallery)
    probes = np.concatenate([gallery[0], strangers(seed)])
    found = classifier.identify(probes)
    expected = [
        name if distance <= threshold else None
        for name, distance in zip(found.candidate, found.distance, strict=True)
    ]
    assert classifier.predict(probes).tolist() == expected


@given(
    gallery=galleries,
    strategy=strategies,
    seed=seeds,
    thresholds=st.tuples(st.floats(0.0, 2.0), st.floats(0.0, 2.0)).map(sorted),
)
def test_a_larger_threshold_never_turns_a_known_face_unknown(
    gallery: Any, strategy: Any, seed: int, thresholds: list[float]
) -> None:
    probes = np.concatenate([gallery[0], strangers(seed)])
    strict, lenient = (
        IdentityClassifier(strategy, threshold=threshold).fit(*gallery).predict(probes)
        for threshold in thresholds
    )
    known = np.not_equal(strict, None)
    assert lenient[known].tolist() == strict[known].tolist()


@given(gallery=galleries, strategy=st.sampled_from(["svm", "nearest"]), seed=seeds)
def test_threshold_zero_knows_the_enrolled_embeddings_alone(
    gallery: Any, strategy: Any, seed: int
) -> None:
    embeddings, names = gallery
    classifier = IdentityClassifier(strategy, threshold=0.0).fit(embeddings, names)
    assert classifier.predict(embeddings).tolist() == names.tolist()
    assert classifier.predict(strangers(seed)).tolist() == [None] * 20


@given(gallery=galleries, strategy=strategies, seed=seeds)
def test_without_a_threshold_everybody_gets_a_name(gallery: Any, strategy: Any, seed: int) -> None:
    classifier = IdentityClassifier(strategy, threshold=None).fit(*gallery)
    answers = classifier.predict(strangers(seed))
    assert answers.dtype == classifier.classes_.dtype
    assert set(answers.tolist()) <= set(classifier.classes_.tolist())


@given(gallery=galleries, strategy=st.sampled_from(["svm", "nearest"]), seed=seeds)
def test_the_distance_is_that_to_the_nearest_image_of_the_candidate(
    gallery: Any, strategy: Any, seed: int
) -> None:
    embeddings, names = gallery
    probes = strangers(seed)
    found = IdentityClassifier(strategy, threshold=1.0).fit(embeddings, names).identify(probes)
    for probe, name, distance in zip(probes, found.candidate, found.distance, strict=True):
        expected = np.linalg.norm(embeddings[names == name] - probe, axis=1).min()
        assert distance == pytest.approx(expected, abs=1e-7)


@given(seed=seeds, count=st.integers(1, 5), images=st.integers(1, 4))
def test_nearest_is_what_comparing_with_every_image_finds(
    seed: int, count: int, images: int
) -> None:
    # No separated people here: any vectors will do.
    embeddings = strangers(seed, count * images)
    names = np.tile(NAMES[:count], images)
    probes = strangers(seed + 1)
    found = IdentityClassifier("nearest", threshold=1.0).fit(embeddings, names).identify(probes)
    for probe, name, distance in zip(probes, found.candidate, found.distance, strict=True):
        distances = np.linalg.norm(embeddings - probe, axis=1)
        assert distance == pytest.approx(distances.min(), abs=1e-7)
        assert distances[names == name].min() == pytest.approx(distances.min(), abs=1e-7)


@given(gallery=galleries, strategy=strategies, seed=seeds)
def test_the_largest_score_decides(gallery: Any, strategy: Any, seed: int) -> None:
    classifier = IdentityClassifier(strategy, threshold=None).fit(*gallery)
    probes = strangers(seed)
    scores = classifier.decision_function(probes)
    chosen = (scores > 0).astype(int) if len(classifier.classes_) == 2 else scores.argmax(axis=1)
    assert classifier.classes_[chosen].tolist() == classifier.predict(probes).tolist()


# Few people, few photos.


@STRATEGIES
def test_one_person_with_one_image(strategy: Any) -> None:
    embeddings, names = people(count=1, images=1)
    classifier = IdentityClassifier(strategy, threshold=1.0).fit(embeddings, names)
    assert classifier.predict([embeddings[0], -embeddings[0]]).tolist() == ["Ada", None]
    assert classifier.predict_proba(-embeddings).tolist() == [[1.0]]
    assert classifier.decision_function(embeddings).shape == (1, 1)


@STRATEGIES
def test_one_image_of_each(strategy: Any) -> None:
    embeddings, names = people(count=5, images=1)
    classifier = IdentityClassifier(strategy, threshold=1.0).fit(embeddings, names)
    assert classifier.predict(embeddings).tolist() == names.tolist()


@STRATEGIES
def test_a_rare_person_is_not_drowned_by_a_frequent_one(strategy: Any) -> None:
    embeddings, names = people(count=2, images=40)
    few = slice(0, 41)
    classifier = IdentityClassifier(strategy, threshold=1.0).fit(embeddings[few], names[few])
    assert classifier.predict(embeddings[41:]).tolist() == ["Grace"] * 39


@STRATEGIES
def test_two_people_have_one_decision_value(strategy: Any) -> None:
    embeddings, names = people(count=2)
    classifier = IdentityClassifier(strategy, threshold=None).fit(embeddings, names)
    values = classifier.decision_function(embeddings)
    assert values.shape == (6,)
    assert np.where(values > 0, "Grace", "Ada").tolist() == names.tolist()


@STRATEGIES
def test_names_may_be_numbers(strategy: Any) -> None:
    embeddings, names = people()
    classifier = IdentityClassifier(strategy, threshold=1.0).fit(
        embeddings, [len(name) for name in names]
    )
    assert classifier.classes_.tolist() == [3, 4, 5, 9]
    assert classifier.predict(embeddings[:1]).tolist() == [3]


@STRATEGIES
@pytest.mark.parametrize("count", [1, 2, 3])
def test_no_probes_get_no_answers(strategy: Any, count: int) -> None:
    classifier = IdentityClassifier(strategy, threshold=1.0).fit(*people(count=count))
    nothing = np.empty((0, SIZE))
    assert classifier.predict(nothing).shape == (0,)
    assert [len(part) for part in classifier.identify(nothing)] == [0, 0, 0]
    assert classifier.predict_proba(nothing).shape == (0, count)
    assert classifier.decision_function(nothing).shape == ((0,) if count == 2 else (0, count))


def test_fitting_again_forgets_the_first_people() -> None:
    embeddings, names = people()
    classifier = IdentityClassifier("svm", threshold=1.0).fit(embeddings, names)
    classifier.fit(embeddings[:3], names[:3])
    assert classifier.classes_.tolist() == ["Ada"]
    assert not hasattr(classifier, "coef_")
    assert classifier.predict(embeddings[-1:]).tolist() == [None]


@STRATEGIES
def test_memory_does_not_grow_with_embeddings_times_images(strategy: Any) -> None:
    embeddings, names = people(images=500)
    classifier = IdentityClassifier(strategy, threshold=1.0).fit(embeddings, names)
    probes = strangers(count=8_000)
    expected = np.concatenate([classifier.predict(part) for part in np.split(probes, 8)])
    tracemalloc.start()
    found = classifier.predict(probes)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.tolist() == expected.tolist()
    # Three numbers for each embedding and image would be 384 MB.
    assert most < 160e6


def test_the_data_are_not_changed() -> None:
    embeddings, names = people()
    before = embeddings.copy()
    IdentityClassifier(threshold=1.0).fit(embeddings, names).predict(embeddings)
    np.testing.assert_array_equal(embeddings, before)


# The score.


def test_score_counts_strangers_that_were_refused_as_right() -> None:
    embeddings, names = people()
    classifier = IdentityClassifier(threshold=0.9).fit(embeddings, names)
    probes = np.concatenate([embeddings[:2], -embeddings[:2]])
    assert classifier.score(probes, ["Ada", "Ada", None, None]) == 1.0
    assert classifier.score(probes, ["Ada", "Grace", None, "Ada"]) == 0.5


def test_score_weighs_samples() -> None:
    embeddings, names = people()
    classifier = IdentityClassifier(threshold=1.0).fit(embeddings, names)
    assert classifier.score(embeddings[:2], ["Ada", "Zoë"], sample_weight=[3, 1]) == 0.75


@pytest.mark.parametrize("threshold", [1.0, None])
def test_score_takes_a_column_as_well(threshold: float | None) -> None:
    embeddings, names = people()
    classifier = IdentityClassifier(threshold=threshold).fit(embeddings, names)
    assert classifier.score(embeddings, names[:, None]) == 1.0


@pytest.mark.parametrize("truth", [["Ada"], ["Ada", "Grace"], []])
def test_score_wants_one_name_for_each_embedding(truth: list[str]) -> None:
    embeddings, names = people()
    classifier = IdentityClassifier(threshold=1.0).fit(embeddings, names)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        classifier.score(embeddings, truth)


# What is refused.


@STRATEGIES
def test_embeddings_must_have_unit_norm_for_a_threshold(strategy: Any) -> None:
    embeddings, names = people()
    embeddings[5] *= 1.5
    with pytest.raises(InvalidArgumentError, match=r"row 5 has norm 1\.5"):
        IdentityClassifier(strategy, threshold=1.0).fit(embeddings, names)
    classifier = IdentityClassifier(strategy, threshold=1.0).fit(*people())
    with pytest.raises(InvalidArgumentError, match="unit L2 norm"):
        classifier.predict(embeddings)


@STRATEGIES
@pytest.mark.parametrize("norm", [0.1, 0.5, 10.0])
def test_without_a_threshold_any_norm_will_do(strategy: Any, norm: float) -> None:
    embeddings, names = people()
    classifier = IdentityClassifier(strategy, threshold=None).fit(norm * embeddings, names)
    assert classifier.score(norm * embeddings, names) == 1.0
    embeddings[1:] *= 2  # the largest product is not the smallest distance
    classifier.fit(norm * embeddings, names)
    (explanation,) = classifier.explain(norm * embeddings[:1], count=1)
    assert explanation.nearest[0].row == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(value: float) -> None:
    embeddings, names = people()
    classifier = IdentityClassifier(threshold=1.0).fit(embeddings, names)
    embeddings[0, 0] = value
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        classifier.predict(embeddings)
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        IdentityClassifier(threshold=1.0).fit(embeddings, names)


def test_embeddings_of_another_width_are_refused() -> None:
    classifier = IdentityClassifier(threshold=1.0).fit(*people())
    with pytest.raises(ValueError, match="15 features, but IdentityClassifier is expecting 16"):
        classifier.predict(unit(np.ones((2, 15))))


def test_an_empty_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="0 sample"):
        IdentityClassifier(threshold=1.0).fit(np.empty((0, SIZE)), [])


def test_a_stranger_cannot_be_enrolled() -> None:
    embeddings, _ = people(count=1, images=2)
    with pytest.raises(InvalidArgumentError, match="row 1 is None"):
        IdentityClassifier(threshold=1.0).fit(embeddings, ["Ada", None])


@pytest.mark.parametrize("threshold", [-0.1, 2.1, float("nan"), float("inf"), "1.0", [1.0]])
def test_an_invalid_threshold_is_named(threshold: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="threshold must be") as caught:
        IdentityClassifier(threshold=threshold).fit(*people())
    assert repr(threshold) in str(caught.value)


@pytest.mark.parametrize("threshold", [0, 1, 2.0, np.float32(0.5), np.int64(1)])
def test_any_number_will_do_as_a_threshold(threshold: Any) -> None:
    embeddings, names = people()
    classifier = IdentityClassifier(threshold=threshold).fit(embeddings, names)
    assert classifier.score(embeddings, names) == 1.0


@pytest.mark.parametrize("strategy", ["SVM", "", None, 1])
def test_an_invalid_strategy_is_named(strategy: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="strategy must be"):
        IdentityClassifier(strategy, threshold=1.0).fit(*people())


@STRATEGIES
@pytest.mark.parametrize("penalty", [-1.0, 0, float("nan"), "1", None])
def test_an_invalid_penalty_is_refused_however_many_people(strategy: Any, penalty: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="C must be a number above 0"):
        IdentityClassifier(strategy, threshold=1.0, C=penalty).fit(*people(count=1))


def test_constructor_arguments_are_checked_when_fitting() -> None:
    classifier = IdentityClassifier("nonsense", threshold=7)  # type: ignore[arg-type]
    assert classifier.get_params()["threshold"] == 7


# Calibration.


def table() -> Any:
    from facekit.embedding.weights.registry import REGISTRY

    return REGISTRY["facenet-20180402-vggface2"].distances


@given(
    gallery=galleries,
    strategy=strategies,
    rates=st.tuples(st.floats(1e-6, 0.5), st.floats(1e-6, 0.5)).map(sorted),
)
def test_the_threshold_rises_with_the_target_rate(
    gallery: Any, strategy: Any, rates: list[float]
) -> None:
    strict, lenient = (
        IdentityClassifier(strategy, fpir=rate, distances=table()).fit(*gallery).threshold_
        for rate in rates
    )
    assert strict <= lenient


@given(gallery=galleries, strategy=strategies, seed=seeds)
def test_an_explanation_agrees_with_the_prediction(gallery: Any, strategy: Any, seed: int) -> None:
    classifier = IdentityClassifier(strategy, distances=table()).fit(*gallery)
    probes = np.concatenate([gallery[0], strangers(seed)])
    explained = classifier.explain(probes)
    assert [one.name for one in explained] == classifier.predict(probes).tolist()
    for one, probability in zip(explained, classifier.predict_proba(probes), strict=True):
        assert one.probability == pytest.approx(probability.max())
        assert 0.0 <= probability.sum() <= 1.0 + 1e-9
        assert (one.name is not None) == (one.distance <= classifier.threshold_)
        assert list(one.nearest) == sorted(one.nearest, key=lambda near: near.distance)


def test_more_people_make_the_threshold_stricter() -> None:
    thresholds = [
        IdentityClassifier(distances=table()).fit(*people(count=count)).threshold_
        for count in range(1, 6)
    ]
    assert thresholds == sorted(thresholds, reverse=True)


def test_without_a_table_a_small_gallery_cannot_be_calibrated() -> None:
    with pytest.raises(InvalidArgumentError, match=r"fpir=0\.001.*distances=.*threshold="):
        IdentityClassifier().fit(*people())


@STRATEGIES
def test_a_large_gallery_reaches_the_rate_that_was_set(strategy: Any) -> None:
    # Random directions: the gallery's own photos must say how far apart they are.
    generator = np.random.default_rng(0)
    embeddings = unit(generator.normal(size=(300, SIZE)))
    names = [f"person {index:03}" for index in range(300)]
    classifier = IdentityClassifier(strategy, fpir=0.1).fit(embeddings, names)
    named = np.not_equal(classifier.predict(unit(generator.normal(size=(400, SIZE)))), None)
    assert 0.05 <= named.mean() <= 0.2
