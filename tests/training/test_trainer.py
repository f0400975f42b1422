"""The trainers on small networks: what they leave behind, how they stop, how they go on."""

from __future__ import annotations

import errno
import os
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from facekit import (
    Aligner,
    Architecture,
    Embedder,
    FaceRecognizer,
    FileFormatError,
    IdentityClassifier,
    InvalidArgumentError,
)
from facekit.errors import NotFittedError, RandomWeightsWarning, TrainingDataError, TrainingError
from facekit.training import Distiller, FaceDataset, TripletLoss, TripletTrainer
from facekit.training.engine.validation import validate
from tests.small_networks import SMALL_V1, predict, random_pictures
from tests.training import small_training

HEAD_ONLY: dict[str, Any] = {
    "embedding_size": 16,
    "trainable": "head",
    "augmentation": None,
    "identities": 4,
    "images": 3,
    "learning_rate": 0.01,
}


@lru_cache(maxsize=1)
def backbone() -> Embedder:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RandomWeightsWarning)
        return Embedder(weights=None, architecture=SMALL_V1, batch_size=8)


@lru_cache
def faces(seed: int = 0) -> FaceDataset:
    """Returns faces that have the same names for every seed; the names are not UTF-8."""
    return FaceDataset.from_arrays(
        random_pictures(24, seed=seed),
        [f"p{i % 6}" for i in range(24)],
        keys=[f"\udcff-{i}.jpg" for i in range(24)],
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[TripletTrainer, Path]:
    folder = tmp_path_factory.mktemp("run") / "mine"
    trainer = TripletTrainer(backbone(), folder=folder, **HEAD_ONLY)
    trainer.fit(faces(), faces(), epochs=3)
    return trainer, folder


def test_a_trained_head_separates_what_it_was_shown(
    trained: tuple[TripletTrainer, Path],
) -> None:
    trainer, _ = trained
    before, *_, after = trainer.history_
    assert before["epoch"] == 0
    assert after["epoch"] == 3
    assert after["validation_auc"] > before["validation_auc"]
    assert after["loss"] < trainer.history_[1]["loss"]
    expected = {
        "loss", "active", "semihard", "positive_distance", "negative_distance", "spread",
        "validation_auc", "validation_eer", "validation_tar", "validation_recall", "learning_rate",
    }  # fmt: skip
    assert expected <= set(after)


def test_the_folder_holds_all_that_was_learned(trained: tuple[TripletTrainer, Path]) -> None:
    trainer, folder = trained
    names = {file.name.split("-")[0] for file in folder.iterdir()}
    assert names == {
        "checkpoint.safetensors", "embedder.safetensors", "history.csv", "history.png",
        "features",
    }  # fmt: skip
    embedder = Embedder(folder / "embedder.safetensors")
    assert embedder.record.name == "mine"
    assert embedder.record.alignment == backbone().record.alignment
    pictures = random_pictures(5, seed=3)
    np.testing.assert_allclose(
        embedder.embed(pictures), predict(trainer.network_, pictures), atol=2e-4
    )
    np.testing.assert_array_equal(embedder.embed(pictures), trainer.embedder().embed(pictures))


def test_a_recognizer_uses_the_trained_file(
    trained: tuple[TripletTrainer, Path], known: Path, hopper: Path
) -> None:
    _, folder = trained
    embedder = Embedder(folder / "embedder.safetensors")
    classifier = IdentityClassifier(threshold=1e-3)
    recognizer = FaceRecognizer(embedder=embedder, classifier=classifier).fit(known)
    (face,) = recognizer.recognize(hopper)
    assert face.name == "Grace"


def test_a_frozen_backbone_stays_what_it_was(trained: tuple[TripletTrainer, Path]) -> None:
    trainer, _ = trained
    network, _ = backbone().to_network(embedding_size=16)
    for layer in network.layers:
        same = [
            np.array_equal(np.asarray(one), np.asarray(two))
            for one, two in zip(
                layer.weights, trainer.network_.get_layer(layer.name).weights, strict=True
            )
        ]
        assert all(same) == (layer.name != "Bottleneck"), layer.name


@pytest.mark.check
def test_a_finished_training_is_not_repeated_and_can_be_extended(
    trained: tuple[TripletTrainer, Path],
) -> None:
    _, folder = trained
    again = TripletTrainer(backbone(), folder=folder, workers=1, **HEAD_ONLY)
    history = again.fit(faces(), faces(), epochs=3, resume=True)
    assert [row["epoch"] for row in history] == [0, 1, 2, 3]
    # Other faces of the same names are not taken for those whose features the folder has.
    other = faces(seed=1)
    assert again.fit(faces(), other, epochs=4, resume=True)[-1]["epoch"] == 4
    assert again.validation_ is not None
    expected = validate(again.embedder().embed(other.images(range(24))), other.labels)
    assert again.validation_.auc == pytest.approx(expected.auc, abs=1e-3)


def test_a_training_is_neither_overwritten_nor_mixed_with_another(
    trained: tuple[TripletTrainer, Path],
) -> None:
    _, folder = trained
    before = (folder / "checkpoint.safetensors").read_bytes()
    with pytest.raises(InvalidArgumentError, match="already holds a training"):
        TripletTrainer(backbone(), folder=folder, **HEAD_ONLY).fit(faces(), epochs=3)
    with pytest.raises(InvalidArgumentError, match=r"other settings.*margin=0.2, now 0.5"):
        TripletTrainer(backbone(), folder=folder, margin=0.5, **HEAD_ONLY).fit(
            faces(), epochs=3, resume=True
        )
    for other in (faces().subset(range(18)), faces(seed=1)):
        with pytest.raises(InvalidArgumentError, match=r"other settings.*faces"):
            TripletTrainer(backbone(), folder=folder, **HEAD_ONLY).fit(other, epochs=3, resume=True)
    assert (folder / "checkpoint.safetensors").read_bytes() == before


@pytest.mark.parametrize("resume", [False, True])
def test_an_embedder_without_a_checkpoint_is_not_overwritten(tmp_path: Path, resume: bool) -> None:
    kept = tmp_path / "embedder.safetensors"
    kept.write_bytes(b"the only copy")
    with pytest.raises(InvalidArgumentError, match="would overwrite; give another folder"):
        TripletTrainer(backbone(), folder=tmp_path, **HEAD_ONLY).fit(
            faces(), epochs=1, resume=resume
        )
    assert kept.read_bytes() == b"the only copy"


@pytest.mark.check
def test_a_network_trains_as_a_whole_in_parts_and_in_half_precision(tmp_path: Path) -> None:
    architecture = Architecture("inception_resnet_v1", 0.1, 0.1, input_size=75, embedding_size=16)
    train = FaceDataset.from_arrays(random_pictures(8, side=75), [f"p{i % 2}" for i in range(8)])
    trainer = TripletTrainer(
        architecture,
        folder=tmp_path / "run",
        identities=2,
        images=4,
        micro_batch=4,
        precision="mixed_bfloat16",
        miner="hard",
        trainable="last-blocks",
    )
    history = trainer.fit(train, epochs=1)
    assert all(np.isfinite(history.column("loss")))
    assert keras.config.dtype_policy().name == "float32"
    assert trainer.embedder().embed(train.images([0])).shape == (1, 16)
    assert trainer.validation_ is None


# What can be passed in, on the small network of small_training.

# The loss that TensorFlow compiles in the shortest time.
HARD = {0: TripletLoss("hard")}


def test_a_function_of_ones_own_is_minimized_and_callbacks_are_called_as_keras_does(
    tmp_path: Path,
) -> None:
    def objective(labels: Any, embeddings: Any) -> Any:
        return keras.ops.mean(keras.ops.square(embeddings[:, 0]))

    calls: list[str] = []
    losses: list[float] = []

    class Note(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_begin(self, logs: Any = None) -> None:
            calls.append("train begin")

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            calls.append(f"epoch {epoch} begin")

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            assert {"loss", "spread"} <= set(logs)
            calls.append("batch")

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            assert {"learning_rate", "validation_auc"} <= set(logs)
            assert self.model.network.count_params() > 0
            losses.append(logs["loss"])
            calls.append(f"epoch {epoch} end")

        def on_train_end(self, logs: Any = None) -> None:
            calls.append("train end")

    small_training.train(tmp_path / "run", epochs=2, objectives={0: objective}, callbacks=[Note()])
    assert losses[1] < losses[0]
    batches = ["batch"] * 8
    assert calls == [
        *("train begin", "epoch 0 begin", *batches, "epoch 0 end"),
        *("epoch 1 begin", *batches, "epoch 1 end", "train end"),
    ]


@pytest.mark.check
def test_early_stopping_of_keras_stops_and_gives_the_best_weights(tmp_path: Path) -> None:
    # An area under the curve cannot grow by 1, so that the first epoch stays the best.
    stopping = keras.callbacks.EarlyStopping(
        "validation_auc", mode="max", min_delta=1.0, restore_best_weights=True, patience=1
    )
    stopped = small_training.train(tmp_path / "run", objectives=HARD, callbacks=[stopping])
    assert stopping.stopped_epoch == 1
    rows = (tmp_path / "run" / "history.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["epoch", "0", "1", "2"]
    for best in stopping.best_weights:
        assert any(np.array_equal(best, weights) for weights in stopped)


# What can go wrong, on the small network of small_training.


def test_collapse_stops_with_the_last_good_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="lower learning rate") as caught:
        small_training.train(
            tmp_path / "run",
            objectives=HARD,
            learning_rates={0: 1.0},
            schedule="constant",
            warm_up_steps=0,
            optimizer=Crush(),
            patience=3,
        )
    path = tmp_path / "run" / "checkpoint.safetensors"
    assert str(path) in str(caught.value)
    from facekit.training.engine.checkpoints import Checkpoint

    kept = Checkpoint(path)
    network = small_training.network()
    kept.restore("network", network.variables)
    embeddings = np.asarray(network(small_training.faces().images(range(16)).astype(np.float32)))
    assert np.linalg.norm(embeddings - embeddings.mean(axis=0), axis=1).mean() > 0.01


@keras.saving.register_keras_serializable(package="tests")
class Crush(keras.optimizers.SGD):  # type: ignore[misc]
    """An optimizer that brings kernels to zero from the third step on: all faces in one point."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        if len(variable.shape) > 1:
            factor = keras.ops.cast(self.iterations < 2, variable.dtype)
            self.assign(variable, variable * factor)
        else:
            self.assign(variable, keras.ops.ones_like(variable))


def test_nan_stops_at_once(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"NaN or infinite.*last good checkpoint is kept"):
        small_training.train(
            tmp_path / "run",
            objectives=HARD,
            learning_rates={0: 1e38},
            schedule="constant",
            warm_up_steps=0,
        )


def test_a_full_disk_stops_and_freeing_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(folder: str) -> list[Any]:
        return small_training.train(tmp_path / folder, objectives=HARD, epochs=2)

    whole = train("whole")
    real, calls = os.fsync, []

    def filling(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", filling)
        with pytest.raises(FileFormatError, match="No space left"):
            train("run")
    for expected, weights in zip(whole, train("run"), strict=True):
        np.testing.assert_array_equal(weights, expected)


@pytest.mark.parametrize(
    "people", [["Ann"] * 6, ["a", "b", "c", "d", "e", "f"]], ids=["one person", "one photo each"]
)
def test_faces_without_triplets_are_refused_before_anything_is_written(
    tmp_path: Path, people: list[str]
) -> None:
    train = FaceDataset.from_arrays(random_pictures(6), people)
    trainer = TripletTrainer(SMALL_V1, folder=tmp_path / "run", identities=2)
    with pytest.raises(TrainingDataError, match="two photos"):
        trainer.fit(train)
    assert not (tmp_path / "run").exists()
    with pytest.raises(NotFittedError, match="call fit first"):
        trainer.embedder()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start": "facenet"}, "start must be an Architecture or an Embedder"),
        ({"network": object(), "start": None}, "network needs an Architecture"),
        ({"embedding_size": 64}, "embedding_size and dropout need an Embedder"),
        ({"margin": 0.0}, "margin"),
        ({"miner": "random"}, "miner must be one of"),
        ({"miner": {1: "hard"}}, "begin with epoch 0"),
        ({"objective": "hard"}, "objective must be a keras.losses.Loss"),
        ({"learning_rate": -1.0}, "learning_rate must be a number above 0"),
        ({"optimizer": "magic"}, "optimizer must be"),
        ({"schedule": "linear"}, "schedule must be "),
        ({"precision": "float8"}, "precision must be "),
        ({"precision": "mixed_float16", "micro_batch": 32}, "mixed_bfloat16"),
        ({"micro_batch": 7}, "must divide the batch of 128 faces"),
        ({"aligner": Aligner(32)}, "side 32, the network reads"),
        ({"patience": 0}, "patience"),
        ({"checkpoint_interval": -1}, "checkpoint_interval"),
    ],
)
def test_arguments_that_cannot_work(
    tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    given = {"start": SMALL_V1, "folder": tmp_path, **arguments}
    if given["start"] is None:
        given["start"] = backbone()
    with pytest.raises(InvalidArgumentError, match=message):
        TripletTrainer(given.pop("start"), **given)


def test_a_student_follows_its_teacher(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {
        **{name: HEAD_ONLY[name] for name in ("trainable", "augmentation", "learning_rate")},
        "teacher": backbone(),
        "embedding_size": 16,
        "batch_size": 8,
        "angle_weight": 1.0,
    }
    unnamed = FaceDataset.from_arrays(random_pictures(24), [None] * 24)
    distiller = Distiller(backbone(), folder=tmp_path / "run", **arguments)
    history = distiller.fit(unnamed, faces(), epochs=8)
    similarity = history.column("cosine_similarity")
    assert similarity[-1] > similarity[0]
    assert (tmp_path / "run" / "embedder.safetensors").is_file()
    with pytest.raises(InvalidArgumentError, match="in the same order"):
        distiller.fit(unnamed, teacher_faces=faces().subset(range(5)), resume=True)
    with pytest.raises(InvalidArgumentError, match="at most the teacher's, 64, got 128"):
        Distiller(Architecture(), teacher=backbone(), folder=tmp_path)
    with pytest.raises(InvalidArgumentError, match="must be positive"):
        Distiller(SMALL_V1, teacher=backbone(), folder=tmp_path, cosine_weight=0, distance_weight=0)
