"""The commands that train an embedder: train and distill."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facekit.cli.common import DONE, count
from facekit.cli.options import READING, add_command, option
from facekit.errors import InvalidArgumentError
from facekit.utils.extras import import_extra
from facekit.utils.reasons import why

if TYPE_CHECKING:
    from facekit.alignment import Aligner
    from facekit.embedding import Architecture, Embedder
    from facekit.training import FaceDataset
    from facekit.training.distillation.teachers import Teacher

_NETWORK = ("backbone", "width", "blocks", "input_size", "head_batch_normalization")
_TEACHER = "facenet-20180402-vggface2"
_DEFAULTS: dict[str, Any] = {"epochs": 10, "validation": 0.1, "seed": 0}


# The options that both commands have, without defaults, so that those in the file apply.
_OPTIONS = (
    option(
        "--data FACES",
        str,
        "a folder with one folder per person, a CSV file of photos and people, or a folder "
        "of zip archives with an index.csv of detected faces",
    ),
    option("--folder FOLDER", str, "the folder for the training's files"),
    option("--weights NAME", str, "weights to start from (default: random ones)"),
    option(
        "--network CHECKPOINT",
        str,
        "start with the network of another training's checkpoint; --input-size may differ "
        "(default: random weights)",
    ),
    option(
        "--trainable WHAT",
        str,
        "layers to train: all, last-blocks, head or a block; by epoch: 0:head,3:all (default: all)",
    ),
    option("--optimizer NAME", str, "a Keras optimizer (default: adam)"),
    option("--learning-rate RATE", str, "by epoch: 0:0.001,5:0.0001 (default: the optimizer's)"),
    option("--schedule", ("cosine", "constant"), "default: cosine"),
    option("--precision", ("float32", "mixed_float16", "mixed_bfloat16"), "default: float32"),
    option("--backbone", ("inception_resnet_v1", "inception_resnet_v2"), "default: v2"),
    option("--alignment", ("similarity", "crop"), "default: as the weights, or similarity"),
    option("--epochs N", int, "epochs in all (default: 10)"),
    option(
        "--validation N", float, "share of the people to validate with, 0 for none (default: 0.1)"
    ),
    option("--warm-up-steps N", int, "steps over which the learning rate rises (default: 0)"),
    option("--width N", float, "multiplies the backbone's filters (default: 1)"),
    option("--blocks N", float, "multiplies the backbone's blocks (default: 1)"),
    option("--input-size N", int, "side of the faces in pixels (default: 160)"),
    option("--embedding-size N", int, "components of an embedding (default: 128, or the weights')"),
    option("--dropout N", float, "share of features that training drops (default: 0)"),
    option(
        "--patience N", int, "consecutive suspicious steps that count as collapse (default: 50)"
    ),
    option("--checkpoint-interval N", float, "seconds between checkpoints (default: 60)"),
    option("--workers N", int, "threads that make batches (default: 2)"),
    option("--seed N", int, "seed of all random choices (default: 0)"),
    option("--augmentation", bool, "alter the faces in every batch (default: yes)"),
)
_TRAIN_OPTIONS = (
    option(
        "--miner WHICH",
        str,
        "batch-all, semihard, hard or facenet; by epoch: 0:batch-all,2:semihard "
        "(default: semihard)",
    ),
    option(
        "--margin N", float, "how much farther than a positive a negative must be (default: 0.2)"
    ),
    option("--identities N", int, "people in a batch (default: 32)"),
    option("--images N", int, "photos per person in a batch (default: 4)"),
    option("--micro-batch N", int, "faces that run through the network at a time (default: all)"),
)
_DISTILL_OPTIONS = (
    option(
        "--teacher NAME",
        str,
        f"the teacher's weights (default: {_TEACHER}); several are tables in CONFIG: "
        "[[teachers]] with weights, onnx or stored, and weight",
    ),
    option("--batch-size N", int, "faces in a batch (default: 128)"),
    option("--cosine-weight N", float, "weight of directions (default: 1)"),
    option("--distance-weight N", float, "weight of the distances of pairs (default: 1)"),
    option("--angle-weight N", float, "weight of the angles of triplets (default: 0)"),
    option("--impostor-weight N", float, "weight of the nearest faces of others (default: 0)"),
    option("--neighbors N", int, "size of the groups of similar faces in a batch (default: 1)"),
    option("--pruned", bool, "start with the teacher pruned to --width (default: random weights)"),
)


def add_commands(commands: Any) -> None:
    """Adds the commands to the parser's."""
    for name, run, what, options in (
        (
            "train",
            _train,
            "train an embedder with triplets of faces of known people",
            _TRAIN_OPTIONS,
        ),
        ("distill", _distill, "train a small embedder to follow a large one", _DISTILL_OPTIONS),
    ):
        add_command(
            commands,
            name,
            run,
            what,
            option(
                "config CONFIG",
                Path,
                "a TOML file with any of the options, named as here with _ for -; options given "
                "here take precedence",
                nargs="?",
            ),
            *options,
            *_OPTIONS,
            *READING,
            option(
                "--tensorboard",
                None,
                "also write events for TensorBoard into the folder",
                default=None,
            ),
            option("--resume", None, "continue the training in the folder", default=None),
            json="one object for each epoch, on a separate line",
            tensorflow=True,
        )


def _train(options: argparse.Namespace) -> int:
    from facekit.training import TripletTrainer

    return _fit(TripletTrainer, options, _settings(options))


def _distill(options: argparse.Namespace) -> int:
    from facekit.training import Distiller

    settings = _settings(options)
    teachers, weights = _teachers(settings)
    return _fit(Distiller, options, settings, teacher=teachers, teacher_weights=weights)


def _fit(
    trainer: type[Any], options: argparse.Namespace, settings: dict[str, Any], **others: Any
) -> int:
    start = _start(settings)
    _read_network(start, settings)
    aligner = _aligner(start, settings)
    # Checks the settings before faces are prepared, which takes hours for many images.
    made = _made(trainer, start, settings, **others)
    arguments = _fit_arguments(options, settings)
    labeled_only = "teacher" not in others
    train, validation = _faces(settings, aligner, labeled_only=labeled_only)
    if not labeled_only:
        # The same faces in each teacher's alignment; the same seed gives the same split.
        arguments["teacher_faces"] = [
            None if wanted is None else _faces(settings, wanted, labeled_only=False)[0]
            for wanted in (teacher.aligner() for teacher in others["teacher"])
        ]
    people = f"{len(train.identities):,} people"
    print(f"{count(len(train), 'face')} of {people} to train with", file=sys.stderr)
    made.fit(train, validation, **arguments)
    if not options.json:
        print(f"Wrote {Path(settings['folder']) / 'embedder.safetensors'}")
    return DONE


def _teachers(settings: dict[str, Any]) -> tuple[list[Embedder | Teacher], list[float]]:
    """Returns the teachers named in the settings, and their weights."""
    from facekit.embedding import Embedder
    from facekit.training import OnnxTeacher, StoredTeacher

    tables = settings.pop("teachers", None) or [{"weights": settings.get("teacher", _TEACHER)}]
    settings.pop("teacher", None)
    tables = tables if isinstance(tables, list) else [tables]
    makers: dict[str, Any] = {
        "weights": Embedder,
        "onnx": OnnxTeacher,
        "stored": StoredTeacher.from_npz,
    }
    teachers, weights = [], []
    for table in tables:
        rest = dict(table) if isinstance(table, Mapping) else {}
        kinds = sorted(makers.keys() & rest.keys())
        if len(kinds) != 1:
            raise InvalidArgumentError(
                f"each of [[teachers]] names one of weights, onnx and stored, got {table!r}"
            )
        weights.append(rest.pop("weight", 1.0))
        source = rest.pop(kinds[0])
        try:
            teachers.append(makers[kinds[0]](source, **rest))
        except TypeError as error:
            raise InvalidArgumentError(f"[[teachers]] cannot be used: {error}") from error
    return teachers, weights


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """Returns the file's settings, overridden by those of the command line."""
    given = vars(options)
    known = set(given) - {"command", "config", "json", "run", "tensorflow", "verbose"}
    read = _read_toml(options.config) if options.config is not None else {}
    if "teacher" in given:
        known.add("teachers")
    unknown = sorted(set(read) - known)
    if unknown:
        raise InvalidArgumentError(
            f"{options.config}: unknown setting {unknown[0]!r}; known are "
            f"{', '.join(sorted(known))}"
        )
    overruling = {name: given[name] for name in known if given.get(name) is not None}
    settings = {**_DEFAULTS, **read, **overruling}
    for name in ("data", "folder"):
        if name not in settings:
            raise InvalidArgumentError(
                f"--{name} is missing; give it, or {name} in the configuration file"
            )
    for name in ("data", "folder", "weights", "network"):
        if not isinstance(settings.get(name, ""), str):
            raise InvalidArgumentError(f"{name} must be a string, got {settings[name]!r}")
    for name, kind in (("miner", str), ("trainable", str), ("learning_rate", float)):
        if name in settings:
            settings[name] = _by_epoch(name, settings[name], kind)
    return settings


def _read_toml(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidArgumentError(f"{path}: cannot be read ({why(error)})") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidArgumentError(f"{path}: cannot be read as TOML ({error})") from error


def _by_epoch(name: str, value: Any, kind: type[str] | type[float]) -> Any:
    """Returns "a", or {0: "a", 2: "b"} of "0:a,2:b" or of a table with such keys."""
    try:
        if isinstance(value, Mapping):
            return {int(epoch): kind(held) for epoch, held in value.items()}
        if isinstance(value, str) and ":" in value:
            pairs = [pair.split(":") for pair in value.split(",")]
            return {int(epoch): kind(held.strip()) for epoch, held in pairs}
        return kind(value)
    except (ValueError, TypeError) as error:
        option = name.replace("_", "-")
        raise InvalidArgumentError(
            f"--{option} must be a value, or values by epoch such as 0:…,2:…, got {value!r}"
        ) from error


def _start(settings: dict[str, Any]) -> Architecture | Embedder:
    from facekit.embedding import Architecture, Embedder

    weights = settings.pop("weights", None)
    network = {name: settings.pop(name) for name in _NETWORK if name in settings}
    if weights is None:
        for name in ("embedding_size", "dropout"):
            if name in settings:
                network[name] = settings.pop(name)
        return Architecture.from_dict(network)
    if network:
        raise InvalidArgumentError(
            f"--{next(iter(network)).replace('_', '-')} cannot be combined with --weights, "
            "which fix the network"
        )
    return Embedder(weights)


def _read_network(start: Architecture | Embedder, settings: dict[str, Any]) -> None:
    """Replaces the path of a checkpoint by its network."""
    from facekit.embedding import Architecture, build_network
    from facekit.training.engine.checkpoints import Checkpoint

    if "network" not in settings:
        return
    if not isinstance(start, Architecture):
        raise InvalidArgumentError("give either --network or --weights, not both")
    network = build_network(start)
    Checkpoint(settings["network"]).restore("network", network.variables)
    settings["network"] = network


def _aligner(start: Architecture | Embedder, settings: dict[str, Any]) -> Aligner:
    from facekit.alignment import Aligner
    from facekit.embedding import Embedder

    own = start.aligner() if isinstance(start, Embedder) else Aligner(start.input_size)
    mode = settings.pop("alignment", own.mode)
    aligner = own if mode == own.mode else Aligner(own.size, mode)
    settings["aligner"] = aligner
    return aligner


def _faces(
    settings: Mapping[str, Any], aligner: Aligner, *, labeled_only: bool
) -> tuple[FaceDataset, FaceDataset | None]:
    from facekit.training import FaceDataset

    source = Path(settings["data"])
    reading = {name: settings[name] for name in ("max_pixels", "truncated") if name in settings}
    arguments: dict[str, Any] = {"input_size": aligner.size, "aligner": aligner, **reading}
    if (source / "index.csv").is_file():
        faces = FaceDataset.from_archives(source, labeled_only=labeled_only, **arguments)
    elif source.suffix == ".csv":
        faces = FaceDataset.from_csv(source, **arguments)
    else:
        faces = FaceDataset.from_folder(source, **arguments)
    if not settings["validation"]:
        return faces, None
    return faces.split(settings["validation"], seed=settings["seed"])


def _made(
    trainer: type[Any], start: Architecture | Embedder, settings: Mapping[str, Any], **others: Any
) -> Any:
    """Creates a trainer from its settings; the others are for faces and ``fit``."""
    from facekit.training import Augmentation

    taken = {entry.name for entry in fields(trainer)} - {"start", "augmentation"}
    arguments = {name: value for name, value in settings.items() if name in taken}
    chosen = settings.get("augmentation", True)
    try:
        if isinstance(chosen, Mapping):
            augmentation: Augmentation | None = Augmentation(**chosen)
        else:
            augmentation = Augmentation() if chosen else None
        return trainer(start, augmentation=augmentation, **arguments, **others)
    except TypeError as error:
        # A value of another type, or an unknown name of the augmentation.
        raise InvalidArgumentError(f"a setting cannot be used: {error}") from error


def _fit_arguments(options: argparse.Namespace, settings: Mapping[str, Any]) -> dict[str, Any]:
    from keras.callbacks import LambdaCallback, TensorBoard

    report = _print_json if options.json else _print_row
    callbacks = [LambdaCallback(on_epoch_end=report)]
    if settings.get("tensorboard"):
        import_extra("tensorboard")
        callbacks.append(TensorBoard(str(Path(settings["folder"]) / "tensorboard")))
    return {
        "epochs": settings["epochs"],
        "resume": bool(settings.get("resume")),
        "callbacks": callbacks,
    }


def _print_json(epoch: int, row: Mapping[str, float]) -> None:
    print(json.dumps({"epoch": epoch + 1, **row}), flush=True)


def _print_row(epoch: int, row: Mapping[str, float]) -> None:
    words = [f"loss {row['loss']:.4f}"]
    words += [
        f"{label} {row[name]:.2%}"
        for name, label in (
            ("active", "active triplets"),
            ("cosine_similarity", "cosine similarity"),
            ("validation_tar", "TAR at FMR 1 %"),
            ("validation_eer", "EER"),
            ("validation_recall", "recall@1"),
        )
        if name in row
    ]
    print(f"Epoch {epoch + 1}: {', '.join(words)}", flush=True)
