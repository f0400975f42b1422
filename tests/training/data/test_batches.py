"""Laws of the batches: pure functions of seed, epoch and index, by whatever way they are read."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_datasets import SIDE, numbers_of, people_with

from facekit import InvalidArgumentError
from facekit.errors import TrainingDataError
from facekit.training import Augmentation, BalancedBatches, FaceDataset, ShuffledBatches
from facekit.training.data.batches import Batch, SeededBatches

PEOPLE = people_with([9, 5, 2, 3, 1, 7, 1], unknown=4)
AUGMENTATION = Augmentation(jpeg=1.0)

Make = Callable[..., SeededBatches]


def balanced(**arguments: object) -> BalancedBatches:
    return BalancedBatches(PEOPLE, **{"identities": 3, "images": 3, **arguments})  # type: ignore[arg-type]


def shuffled(**arguments: object) -> ShuffledBatches:
    return ShuffledBatches(PEOPLE, **{"batch_size": 5, **arguments})  # type: ignore[arg-type]


both = pytest.mark.parametrize("make", [balanced, shuffled])


def same(left: Batch, right: Batch) -> bool:
    return np.array_equal(left[0], right[0]) and np.array_equal(left[1], right[1])


# What a batch is


@st.composite
def balanced_epochs(draw: st.DrawFn) -> tuple[FaceDataset, int, int, list[np.ndarray]]:
    """Draws people, P, K, and which faces make up each batch of an epoch."""
    counts = draw(st.lists(st.integers(2, 30), min_size=2, max_size=12))
    people, identities = people_with(counts), draw(st.integers(2, len(counts)))
    images, seed = draw(st.integers(2, 7)), draw(st.integers(0, 2**32))
    batches = BalancedBatches(people, identities=identities, images=images, seed=seed)
    epoch = draw(st.integers(0, 5))
    return people, identities, images, [batches.rows(epoch, i) for i in range(len(batches))]


@given(balanced_epochs())
def test_every_batch_has_p_people_with_k_images(drawn: tuple) -> None:
    people, identities, images, epoch = drawn
    sizes = np.bincount(people.labels)
    for rows in epoch:
        labels = people.labels[rows].reshape(-1, images)
        assert (labels == labels[:, :1]).all()
        assert len(set(labels[:, 0])) == len(labels) == identities
        for group, (label, *_) in zip(rows.reshape(-1, images), labels, strict=True):
            assert len(set(group)) == min(images, sizes[label])


@given(balanced_epochs())
def test_every_epoch_shows_every_image_in_no_more_batches_than_needed(drawn: tuple) -> None:
    people, identities, images, epoch = drawn
    assert set(np.concatenate(epoch)) == set(range(len(people)))
    groups = -(-np.bincount(people.labels) // images)
    assert len(epoch) == max(*groups, -(-groups.sum() // identities))


@given(number=st.integers(1, 200), size=st.integers(1, 50), seed=st.integers(0, 2**32))
def test_shuffled_batches_hold_every_face_and_are_of_one_size(
    number: int, size: int, seed: int
) -> None:
    batches = ShuffledBatches(people_with([number]), batch_size=size, seed=seed)
    rows = [batches.rows(0, index) for index in range(len(batches))]
    assert {len(batch) for batch in rows} == {min(size, number)}
    flat = np.concatenate(rows)
    # The first faces come a second time at the end, where the last batch would be too small.
    assert sorted(flat[:number]) == list(range(number))
    assert np.array_equal(flat[number:], flat[: len(flat) - number])


@given(
    counts=st.lists(st.integers(1, 9), min_size=2, max_size=8),
    photos=st.integers(2, 4),
    seed=st.integers(0, 2**40),
    epoch=st.integers(0, 1000),
)
def test_labels_are_those_of_the_faces(
    counts: list[int], photos: int, seed: int, epoch: int
) -> None:
    people = people_with([*counts, 2, 2], unknown=2)
    batches = BalancedBatches(people, identities=2, images=photos, seed=seed)
    batches.epoch = epoch
    seen = set()
    for images, labels in batches:
        assert (images.shape, images.dtype) == ((2 * photos, SIDE, SIDE, 3), np.uint8)
        assert (labels.shape, labels.dtype) == ((2 * photos,), np.int32)
        numbers = numbers_of(images)
        assert np.array_equal(people.labels[numbers], labels)
        assert sorted(np.unique(labels, return_counts=True)[1]) == [photos, photos]
        seen |= set(numbers)
    often = np.bincount(people.labels[people.labels >= 0]) > 1
    assert seen == {n for n, label in enumerate(people.labels) if label >= 0 and often[label]}


def test_people_with_one_image_are_left_out_and_listed() -> None:
    batches = balanced()
    assert batches.left_out == ("person 004", "person 006")
    assert batches.summary() == (
        "an epoch: 26 photos of 5 people in 4 batches of 3 people × 3 photos; people left out for "
        "lack of a second photo: 2; photos left out, because the person is not known: 4"
    )
    assert "left out" not in BalancedBatches(people_with([2, 2]), identities=2).summary()


def test_every_epoch_is_shuffled_in_another_way() -> None:
    batches = shuffled()
    epochs = []
    for epoch in range(3):
        batches.epoch = epoch
        epochs.append([number for images, _ in batches for number in numbers_of(images)])
        assert set(epochs[-1]) == set(range(len(PEOPLE)))
    assert epochs[0] != epochs[1] != epochs[2]


# Pure functions of seed, epoch and index


@both
@given(seed=st.integers(0, 99), epoch=st.integers(0, 99), data=st.data())
def test_batch_is_a_function_of_seed_epoch_and_index(
    make: Make, seed: int, epoch: int, data: st.DataObject
) -> None:
    batches = make(seed=seed, augmentation=AUGMENTATION)
    index = data.draw(st.integers(0, len(batches) - 1))
    # Whatever was read before does not matter.
    for other in data.draw(st.lists(st.integers(0, len(batches) - 1), max_size=3)):
        _ = batches.batch(data.draw(st.integers(0, 3)), other)
    fresh = make(seed=seed, augmentation=AUGMENTATION)
    fresh.epoch = epoch
    assert same(batches.batch(epoch, index), fresh[index])


@both
@pytest.mark.parametrize("augmentation", [None, AUGMENTATION])
def test_other_seeds_and_epochs_give_other_batches(
    make: Make, augmentation: Augmentation | None
) -> None:
    one, other = make(augmentation=augmentation), make(augmentation=augmentation, seed=1)
    assert not same(one[0], other[0])
    assert not same(one[0], one.batch(1, 0))


@both
@pytest.mark.parametrize("workers", [1, 3])
def test_reading_on_from_the_middle_gives_the_rest(make: Make, workers: int) -> None:
    batches = make(augmentation=AUGMENTATION, workers=workers)
    batches.epoch = 5
    whole = [batches[index] for index in range(len(batches))]
    for start in range(len(batches) + 1):
        rest = list(batches.read(start))
        assert len(rest) == len(whole) - start
        assert all(map(same, rest, whole[start:]))


@both
def test_many_threads_make_the_same_batches(make: Make) -> None:
    batches = make(augmentation=AUGMENTATION)
    calls = list(itertools.product(range(6), range(len(batches)))) * 3
    with ThreadPoolExecutor(8) as executor:
        made = list(executor.map(lambda call: batches.batch(*call), calls))
    fresh = make(augmentation=AUGMENTATION)
    assert all(same(batch, fresh.batch(*call)) for batch, call in zip(made, calls, strict=True))


def test_a_reader_that_stops_early_makes_no_more_batches_and_leaves_no_threads() -> None:
    batches = balanced(workers=2)
    batches.max_queue_size = 1
    made: list[int] = []
    original = batches.batch

    def batch(epoch: int, index: int) -> Batch:
        made.append(index)
        return original(epoch, index)

    batches.batch = batch  # type: ignore[method-assign]
    before = threading.active_count()
    reader = batches.read()
    next(reader)
    assert threading.active_count() > before
    reader.close()
    assert threading.active_count() == before
    # The one that was read, and those that were made ahead of it.
    assert set(made) <= {0, 1} < set(range(len(batches)))


@both
def test_index_beyond_the_epoch_is_an_error(make: Make) -> None:
    batches = make()
    for index in (-1, len(batches)):
        with pytest.raises(IndexError, match=str(len(batches) - 1)):
            batches[index]


def test_augmentation_is_off_by_one_argument() -> None:
    plain, augmented = shuffled(), shuffled(augmentation=AUGMENTATION)
    assert all(
        images.sum() == PEOPLE.images(plain.rows(0, i)).sum() for i, (images, _) in enumerate(plain)
    )
    assert np.array_equal(plain[0][1], augmented[0][1])
    assert not np.array_equal(plain[0][0], augmented[0][0])


# Keras


@both
@pytest.mark.parametrize("workers", [1, 2])
def test_keras_fits_on_them_and_goes_through_the_epochs(make: Make, workers: int) -> None:
    batches = make(workers=workers)
    made: list[tuple[int, int]] = []
    original = batches.batch

    def batch(epoch: int, index: int) -> Batch:
        made.append((epoch, index))
        return original(epoch, index)

    batches.batch = batch  # type: ignore[method-assign]
    model = keras.Sequential([keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(8)])
    model.compile(
        "sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    )
    history = model.fit(batches, epochs=3, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    # Keras ends one epoch more, if it has to build the model.
    assert batches.epoch in (3, 4)
    for epoch in range(batches.epoch - 3, batches.epoch):
        assert {(epoch, index) for index in range(len(batches))} <= set(made)


# What cannot work


@pytest.mark.parametrize("counts", [[5], [1, 1, 1], [5, 1, 1], [1]])
def test_too_few_people_are_counted(counts: list[int]) -> None:
    pairs = sum(count > 1 for count in counts)
    with pytest.raises(TrainingDataError, match=f"{len(counts)} people.*{pairs} have two photos"):
        BalancedBatches(people_with(counts), identities=2)


def test_unknown_people_alone_give_no_triplets() -> None:
    with pytest.raises(TrainingDataError, match="0 people of the data set"):
        BalancedBatches(people_with([], unknown=5), identities=2)


def test_empty_data_set_is_named() -> None:
    with pytest.raises(TrainingDataError, match="no faces"):
        ShuffledBatches(people_with([]))


@pytest.mark.parametrize(
    ("make", "arguments", "name"),
    [
        (balanced, {"identities": 1}, "identities"),
        (balanced, {"identities": 6}, "identities must be at most 5"),
        (balanced, {"identities": 2.0}, "identities"),
        (balanced, {"images": 1}, "images"),
        (balanced, {"images": True}, "images"),
        (balanced, {"seed": -1}, "seed"),
        (balanced, {"workers": 0}, "workers"),
        (shuffled, {"batch_size": 0}, "batch_size"),
        (shuffled, {"seed": None}, "seed"),
    ],
)
def test_bad_argument_is_named(make: Make, arguments: dict[str, object], name: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{name}.*, got"):
        make(**arguments)
