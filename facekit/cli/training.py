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
from facekit.cli.options import READING, Option, add_command, option
from facekit.errors import InvalidArgumentError
from facekit.utils.extras import import_extra

if TYPE_CHECKING:
    from facekit.alignment import Aligner
    from facekit.embedding import Architecture, Embedder
    from facekit.training import FaceDataset
    from facekit.training.distillation.teachers import Teacher

_NETWORK = ("backbone", "width", "blocks", "input_size", "head_batch_normalization")
_TEACHER = "facenet-20180402-vggface2"
_DEFAULTS: dict[str, Any] = {"epochs": 10, "validation": 0.1, "seed": 0}


# The options that both commands have: name, placeholder or allowed values, and help text. They have
# no defaults, so that values in the configuration file apply.
_OPTIONS: tuple[tuple[str, Any, str], ...] = (
    (
        "--data",
        "FACES",
        "a folder with one folder per person, a CSV file of photos and people, or a folder "
        "of zip archives with an index.csv of detected faces",
    ),
    ("--folder", "FOLDER", "the folder for the training's files"),
    ("--weights", "NAME", "weights to start from (default: random ones)"),
    (
        "--network",
        "CHECKPOINT",
        "start with the network of another training's checkpoint; --input-size may differ "
        "(default: random weights)",
    ),
    (
        "--trainable",
        "WHAT",
        "layers to train: all, last-blocks, head or a block; by epoch: 0:head,3:all (default: all)",
    ),
    ("--optimizer", "NAME", "a Keras optimizer (default: adam)"),
    ("--learning-rate", "RATE", "by epoch: 0:0.001,5:0.0001 (default: the optimizer's)"),
    ("--schedule", ("cosine", "constant"), "default: cosine"),
    ("--precision", ("float32", "mixed_float16", "mixed_bfloat16"), "default: float32"),
    ("--backbone", ("inception_resnet_v1", "inception_resnet_v2"), "default: v2"),
    ("--alignment", ("similarity", "crop"), "default: as the weights, or similarity"),
    ("--epochs", int, "epochs in all (default: 10)"),
    ("--validation", float, "share of the people to validate with, 0 for none (default: 0.1)"),
    ("--warm-up-steps", int, "steps over which the learning rate rises (default: 0)"),
    ("--width", float, "multiplies the backbone's filters (default: 1)"),
    ("--blocks", float, "multiplies the backbone's blocks (default: 1)"),
    ("--input-size", int, "side of the faces in pixels (default: 160)"),
    ("--embedding-size", int, "components of an embedding (default: 128, or the weights')"),
    ("--dropout", float, "share of features that training drops (default: 0)"),
    ("--patience", int, "consecutive suspicious steps that count as collapse (default: 50)"),
    ("--checkpoint-interval", float, "seconds between checkpoints (default: 60)"),
    ("--workers", int, "threads that make batches (default: 2)"),
    ("--seed", int, "seed of all random choices (default: 0)"),
    ("--augmentation", bool, "alter the faces in every batch (default: yes)"),
)
_TRAIN_OPTIONS: tuple[tuple[str, Any, str], ...] = (
    (
        "--miner",
        "WHICH",
        "batch-all, semihard, hard or facenet; by epoch: 0:batch-all,2:semihard "
        "(default: semihard)",
    ),
    ("--margin", float, "how much farther than a positive a negative must be (default: 0.2)"),
    ("--identities", int, "people in a batch (default: 32)"),
    ("--images", int, "photos per person in a batch (default: 4)"),
    ("--micro-batch", int, "faces that run through the network at a time (default: all)"),
)
_DISTILL_OPTIONS: tuple[tuple[str, Any, str], ...] = (
    (
        "--teacher",
        "NAME",
        f"the teacher's weights (default: {_TEACHER}); several are tables in CONFIG: "
        "[[teachers]] with weights, onnx or stored, and weight",
    ),
    ("--batch-size", int, "faces in a batch (default: 128)"),
    ("--cosine-weight", float, "weight of directions (default: 1)"),
    ("--distance-weight", float, "weight of the distances of pairs (default: 1)"),
    ("--angle-weight", float, "weight of the angles of triplets (default: 0)"),
    ("--impostor-weight", float, "weight of the nearest faces of others (default: 0)"),
    ("--neighbors", int, "size of the groups of similar faces in a batch (default: 1)"),
    (
        "--pruned",
        bool,
        "start with the teacher pruned to --width (default: random weights)",
    ),
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
            *(_option(*given) for given in (*options, *_OPTIONS)),
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


def _option(name: str, kind: Any, help_text: str) -> Option:
    if isinstance(kind, str):
        return option(f"{name} {kind}", str, help_text)
    return option(f"{name} N" if kind in (int, float) else name, kind, help_text)


def _train(options: argparse.Namespace) -> int:
    from facekit.training import TripletTrainer

    settings = _settings(options)
    start = _start(settings)
    _read_network(start, settings)
    aligner = _aligner(start, settings)
    # Checks the settings before faces are prepared, which takes hours for many images.
    trainer = _made(TripletTrainer, start, settings)
    train, validation = _faces(settings, aligner, labeled_only=True)
    print(f"{_describe(train)} to train with", file=sys.stderr)
    trainer.fit(train, validation, **_fit_arguments(options, settings))
    return _done(options, settings)


def _distill(options: argparse.Namespace) -> int:
    from facekit.training import Distiller

    settings = _settings(options)
    teachers, weights = _teachers(settings)
    start = _start(settings)
    _read_network(start, settings)
    aligner = _aligner(start, settings)
    distiller = _made(Distiller, start, settings, teacher=teachers, teacher_weights=weights)
    train, validation = _faces(settings, aligner, labeled_only=False)
    # The same faces in each teacher's alignment; the same seed gives the same split.
    teacher_faces = [
        None if wanted is None else _faces(settings, wanted, labeled_only=False)[0]
        for wanted in (teacher.aligner() for teacher in teachers)
    ]
    print(f"{_describe(train)} to train with", file=sys.stderr)
    distiller.fit(
        train, validation, teacher_faces=teacher_faces, **_fit_arguments(options, settings)
    )
    return _done(options, settings)


def _teachers(settings: dict[str, Any]) -> tuple[list[Embedder | Teacher], list[float]]:
    """Returns the teachers named in the settings, and their weights."""
    from facekit.embedding import Embedder
    from facekit.training import OnnxTeacher, StoredTeacher

    tables = settings.pop("teachers", None) or [{"weights": settings.get("teacher", _TEACHER)}]
    settings.pop("teacher", None)
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
    known = set(given) - {"config", "json", "run", "tensorflow", "verbose"}
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
        raise InvalidArgumentError(f"{path}: cannot be read ({error.strerror})") from error
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
    Checkpoint(settings["network"]).restore_network(network)
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


def _describe(faces: FaceDataset) -> str:
    return f"{count(len(faces), 'face')} of {len(faces.identities):,} people"


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


def _done(options: argparse.Namespace, settings: Mapping[str, Any]) -> int:
    if not options.json:
        print(f"Wrote {Path(settings['folder']) / 'embedder.safetensors'}")
    return DONE
