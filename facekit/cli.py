"""The ``facekit`` command."""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facekit import __version__
from facekit.errors import EnrolmentWarning, FacekitError, InvalidArgumentError, ProtocolError
from facekit.progress import track

if TYPE_CHECKING:
    from facekit.embedding import Embedder
    from facekit.evaluation import LFWResult
    from facekit.faces import Face, RecognizedFace

DONE, NEGATIVE, FAILED, INTERRUPTED = 0, 1, 2, 130

_EXIT_CODES = """\
exit codes: 0 done (verify: same person; demo: all named rightly), 1 the answer is no (verify:
different persons; demo: not all named rightly), 2 an error, or some of the photos could not be
read, 130 interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        arguments: The command line without the program's name; that of the process by default.

    Returns:
        The exit code, as ``facekit --help`` lists them.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.run is None:
        parser.print_help()
        return FAILED
    try:
        if not options.verbose:
            _start_tensorflow_quietly()
        return int(options.run(options))
    except FacekitError as error:
        print(f"facekit: error: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("facekit: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe left, as `head` does: nothing more to say, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE


def _start_tensorflow_quietly() -> None:
    """Starts TensorFlow without what its libraries print about hardware while they start.

    They write past Python's streams, to file descriptor 2, before any setting of theirs is read.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    kept, silent = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 2)
    try:
        import tensorflow as tf

        tf.config.list_logical_devices()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(silent)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="facekit",
        description="Recognise people in photos. Everything runs on this machine.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"facekit {__version__}")
    parser.add_argument(
        "--verbose", action="store_true", help="show what the libraries underneath print"
    )
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_detect(commands)
    _add_fit(commands)
    _add_recognize(commands)
    _add_verify(commands)
    _add_demo(commands)
    _add_evaluate(commands)
    return parser


def _add_command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], help_text: str
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=help_text, description=help_text[0].upper() + help_text[1:] + "."
    )
    command.set_defaults(run=run)
    return command


def _add_json(command: argparse.ArgumentParser, what: str) -> None:
    command.add_argument("--json", action="store_true", help=f"print JSON: {what}")


def _add_weights(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--weights", metavar="NAME", help="the embedder's weights: a name or the path of a file"
    )


def _add_photos(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "photos", nargs="+", type=Path, metavar="PHOTO", help="a photo, or a folder of photos"
    )
    command.add_argument(
        "--output", type=Path, metavar="FOLDER", help="write annotated copies into this folder"
    )


def _add_detect(commands: Any) -> None:
    command = _add_command(commands, "detect", _detect, "find the faces in photos")
    _add_photos(command)
    command.add_argument(
        "--min-face-size", type=float, default=20, metavar="PIXELS", help="default: %(default)s"
    )
    _add_json(command, "one object a photo, one a line")


def _add_fit(commands: Any) -> None:
    command = _add_command(
        commands, "fit", _fit, "learn people from a folder with one folder of photos a person"
    )
    command.add_argument("folder", type=Path, help="holds a folder for each person")
    command.add_argument(
        "--model", type=Path, required=True, metavar="FILE", help="write the recogniser here"
    )
    command.add_argument("--strategy", choices=("svm", "nearest"), default="svm")
    command.add_argument(
        "--threshold",
        type=float,
        metavar="DISTANCE",
        help="largest distance that counts as known; default: one stranger in a thousand passes",
    )
    _add_weights(command)
    _add_json(command, "one object")


def _add_recognize(commands: Any) -> None:
    command = _add_command(commands, "recognize", _recognize, "name the people in photos")
    command.add_argument("model", type=Path, help="a file that 'facekit fit' wrote")
    _add_photos(command)
    _add_weights(command)
    _add_json(command, "one object a photo, one a line")


def _add_verify(commands: Any) -> None:
    command = _add_command(
        commands, "verify", _verify, "say whether two photos show the same person"
    )
    command.add_argument("first", type=Path)
    command.add_argument("second", type=Path)
    _add_weights(command)
    _add_json(command, "one object")


def _add_demo(commands: Any) -> None:
    command = _add_command(
        commands, "demo", _demo, "learn five people, name them, and draw a contact sheet"
    )
    command.add_argument("--data", type=Path, metavar="FOLDER", help="default: $FACEKIT_DATA")
    command.add_argument("--output", type=Path, default=Path("output"), metavar="FOLDER")


def _add_evaluate(commands: Any) -> None:
    command = _add_command(commands, "evaluate", _evaluate_lfw, "measure accuracy on a benchmark")
    command.add_argument("benchmark", choices=("lfw",), help="lfw: View 2, ten folds or a part")
    command.add_argument(
        "--data", type=Path, metavar="FOLDER", help="the photos; default: $FACEKIT_DATA/lfw"
    )
    command.add_argument(
        "--pairs", type=Path, metavar="FILE", help="default: pairs*.txt in the folder"
    )
    command.add_argument(
        "--alignment", choices=("similarity", "crop", "both"), default="both", help="default: both"
    )
    command.add_argument("--output", type=Path, metavar="PNG", help="draw the ROC curves here")
    _add_weights(command)
    _add_json(command, "one object")


def _detect(options: argparse.Namespace) -> int:
    from facekit.detection import Detector

    detector = Detector(min_face_size=options.min_face_size)
    return _for_each_photo(options, detector.detect, _place)


def _recognize(options: argparse.Namespace) -> int:
    from facekit.recognizer import FaceRecognizer

    recognizer = FaceRecognizer.load(options.model, embedder=_chosen_embedder(options))

    def describe(result: RecognizedFace) -> str:
        return f"{result.label}, distance {result.distance:.2f}, {_place(result.face)}"

    return _for_each_photo(options, recognizer.recognize, describe)


def _for_each_photo(
    options: argparse.Namespace,
    answer: Callable[[Path], Sequence[Any]],
    describe: Callable[[Any], str],
) -> int:
    photos = _expanded(options.photos)
    names = _output_names(photos)
    failures = 0
    # A bar and lines of text on one terminal would tear each other apart.
    shown = not sys.stdout.isatty()
    for photo in track(photos, "Photos", total=len(photos), shown=shown):
        try:
            results = answer(photo)
            if options.output is not None:
                _write_annotated(options.output / names[photo], photo, results)
        except FacekitError as error:
            failures += 1
            if options.json:
                print(json.dumps({"image": str(photo), "error": str(error)}), flush=True)
            else:
                print(f"facekit: {error}", file=sys.stderr)
            continue
        if options.json:
            faces = [result.to_dict() for result in results]
            print(json.dumps({"image": str(photo), "faces": faces}), flush=True)
        else:
            print(f"{photo}: {_count(len(results), 'face')}")
            for result in results:
                print(f"  {describe(result)}", flush=True)
    if failures:
        print(f"facekit: {failures} of {len(photos)} photos could not be used", file=sys.stderr)
    return FAILED if failures else DONE


def _fit(options: argparse.Namespace) -> int:
    from facekit.identification import IdentityClassifier
    from facekit.recognizer import FaceRecognizer

    if not options.model.resolve().parent.is_dir():
        raise InvalidArgumentError(f"--model {options.model}: its folder does not exist")
    embedder = _chosen_embedder(options) or _default_embedder()
    threshold = options.threshold
    classifier = IdentityClassifier(
        options.strategy,
        threshold=embedder.record.threshold() if threshold is None else threshold,
    )
    recognizer = FaceRecognizer(embedder=embedder, classifier=classifier)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EnrolmentWarning)
        recognizer.fit(options.folder)
    recognizer.save(options.model)
    report = recognizer.report_
    if options.json:
        left_out = [{"image": o.source, "reason": o.detail} for o in report.left_out]
        several = [{"image": o.source, "reason": o.detail} for o in report.several_faces]
        people = recognizer.people
        print(json.dumps({"people": people, "left_out": left_out, "several_faces": several}))
    else:
        print(report.summary())
        print(f"Wrote {options.model}")
    return DONE


def _verify(options: argparse.Namespace) -> int:
    from facekit.recognizer import FaceRecognizer

    recognizer = FaceRecognizer(embedder=_chosen_embedder(options))
    result = recognizer.verify(options.first, options.second)
    if options.json:
        print(json.dumps(result.to_dict()))
    else:
        answer = "the same person" if result.same else "different persons"
        print(f"{answer}: distance {result.distance:.3f}, threshold {result.threshold:.3f}")
    return DONE if result.same else NEGATIVE


def _demo(options: argparse.Namespace) -> int:
    from rich.console import Console

    from facekit.demo import run_demo

    return DONE if run_demo(_data_folder(options.data), options.output, Console()) else NEGATIVE


def _evaluate_lfw(options: argparse.Namespace) -> int:
    from facekit.alignment import Aligner, AlignmentMode
    from facekit.detection import Detector
    from facekit.evaluation import evaluate_lfw, read_pairs

    folder = options.data or (_data_folder(None) or Path()) / "lfw"
    pairs_file = options.pairs or _only_pairs_file(folder)
    pairs = read_pairs(pairs_file)
    embedder = _chosen_embedder(options) or _default_embedder()
    both: tuple[AlignmentMode, ...] = ("similarity", "crop")
    modes = [mode for mode in both if options.alignment in (mode, "both")]
    own = embedder.aligner()
    results = evaluate_lfw(
        folder,
        pairs,
        detector=Detector(),
        embedder=embedder,
        aligners={
            mode: own if mode == own.mode else Aligner(embedder.input_size, mode) for mode in modes
        },
    )
    if options.output is not None:
        _write_roc(options.output, results)
    if options.json:
        print(
            json.dumps(
                {
                    "weights": embedder.record.identity,
                    "pairs_file": str(pairs_file),
                    "results": {name: result.report.to_dict() for name, result in results.items()},
                    "without_face": list(next(iter(results.values())).without_face),
                }
            )
        )
    else:
        _print_lfw(results, pairs_file, embedder)
    return DONE


def _print_lfw(results: dict[str, LFWResult], pairs_file: Path, embedder: Embedder) -> None:
    from rich.console import Console
    from rich.table import Table

    first = next(iter(results.values()))
    folds = len(first.report.fold_accuracies)
    table = Table(
        title=f"LFW View 2, {folds} folds, {first.report.pairs:,} pairs",
        caption=f"Weights {embedder.record.name}, trained with the alignment "
        f"{embedder.record.alignment['mode']}",
    )
    table.add_column("alignment")
    for name in results:
        table.add_column(name, justify="right")
    reports = [result.report for result in results.values()]
    lines: list[tuple[str, list[str]]] = [
        ("accuracy", [f"{r.accuracy:.2%} ± {r.standard_error:.2%}" for r in reports]),
        ("of each fold", [", ".join(f"{a:.2%}" for a in r.fold_accuracies) for r in reports]),
        ("threshold (mean)", [f"{sum(r.fold_thresholds) / folds:.3f}" for r in reports]),
        ("area under ROC", [f"{r.auc:.4f}" for r in reports]),
        ("equal error rate", [f"{r.eer:.2%}" for r in reports]),
    ]
    lines += [
        (f"TAR at FAR {rate * 100:g} %", [f"{r.tar_at_far[rate]:.2%}" for r in reports])
        for rate in first.report.tar_at_far
    ]
    for label, values in lines:
        table.add_row(label, *values)
    console = Console()
    console.print(table)
    console.print(f"Pairs: {pairs_file}", highlight=False, soft_wrap=True)
    if first.without_face:
        console.print(
            f"No face found in {', '.join(first.without_face)}: the middle was used.",
            highlight=False,
            soft_wrap=True,
        )


def _write_roc(path: Path, results: dict[str, LFWResult]) -> None:
    from matplotlib.figure import Figure

    from facekit.evaluation.plots import plot_roc
    from facekit.evaluation.verification import roc

    figure = Figure(figsize=(6, 4.5), layout="constrained")
    curves = {name: roc(result.distances, result.same) for name, result in results.items()}
    plot_roc(curves, ax=figure.subplots())
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise InvalidArgumentError(f"--output {path}: cannot be written ({error})") from error


def _chosen_embedder(options: argparse.Namespace) -> Embedder | None:
    if options.weights is None:
        return None
    from facekit.embedding import Embedder

    return Embedder(options.weights)


def _default_embedder() -> Embedder:
    from facekit.embedding import Embedder

    return Embedder()


def _expanded(photos: Sequence[Path]) -> list[Path]:
    from facekit.imaging import list_images

    # A folder without pictures stays in the list, to be reported like any other bad photo.
    return list(
        dict.fromkeys(
            photo for path in photos for photo in ((path.is_dir() and list_images(path)) or [path])
        )
    )


def _output_names(photos: Sequence[Path]) -> dict[Path, str]:
    # Photos of one name from different folders must not overwrite each other.
    taken: set[str] = set()
    names = {}
    for photo in photos:
        name, number = f"{photo.stem}.png", 1
        while name in taken:
            number += 1
            name = f"{photo.stem}-{number}.png"
        taken.add(name)
        names[photo] = name
    return names


def _write_annotated(path: Path, photo: Path, results: Sequence[Face | RecognizedFace]) -> None:
    from facekit.visualization import draw_faces, save_image

    if path.exists() and path.samefile(photo):
        raise InvalidArgumentError(f"{photo}: --output would overwrite the photo itself")
    save_image(path, draw_faces(photo, results))


def _place(face: Face) -> str:
    x, y, width, height = (round(value) for value in face.box)
    return f"{width} × {height} at ({x}, {y}), confidence {face.confidence:.3f}"


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def _data_folder(given: Path | None) -> Path | None:
    if given is not None:
        if not given.is_dir():
            raise InvalidArgumentError(f"--data {given}: no such folder")
        return given
    return Path(os.environ["FACEKIT_DATA"]) if os.environ.get("FACEKIT_DATA") else None


def _only_pairs_file(folder: Path) -> Path:
    found = sorted(folder.glob("pairs*.txt"))
    if len(found) != 1:
        raise ProtocolError(
            f"{folder}: {'holds several files' if found else 'holds no file'} of pairs; "
            "give the folder of LFW's photos with --data and its pairs.txt with --pairs"
        )
    return found[0]


if __name__ == "__main__":
    sys.exit(main())
