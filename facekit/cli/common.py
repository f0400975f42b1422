"""What the commands share: arguments, exit codes, and going through photos one by one."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facekit.errors import FacekitError, InvalidArgumentError
from facekit.utils.progress import track

if TYPE_CHECKING:
    from facekit.detection import FaceDetector
    from facekit.embedding import Embedder
    from facekit.faces import DetectedImage, Face, RecognizedFace
    from facekit.io.folders import ImageListing
    from facekit.io.images import Reading
    from facekit.report import PhotoReport, RecognizedImage

_STANDARD_INPUT = Path("-")

DONE, NEGATIVE, FAILED, INTERRUPTED = 0, 1, 2, 130


def in_command_words(error: Exception, options: argparse.Namespace) -> str:
    """Returns an error's message with the command's options in place of Python's arguments."""
    message = str(error)
    if hasattr(options, "any_quality"):
        message = re.sub(
            r"pass quality=QualityGate\(.*?\) or quality=None", "give --any-quality", message
        )
    for name in vars(options):
        option = f"--{name.replace('_', '-')}"
        message = re.sub(rf"\b{name}=True\b", option, message)
        message = re.sub(rf'\b{name}="(\w+)"', rf"{option} \1", message)
        if "_" in name:
            message = re.sub(rf"(?<![\w/\\-]){name}(?![\w/\\.])", option, message)
    return message


def add_command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], int],
    help_text: str,
    *,
    tensorflow: bool = False,
) -> argparse.ArgumentParser:
    """Adds a command; its help text becomes its description, too."""
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=help_text, description=help_text[0].upper() + help_text[1:] + "."
    )
    command.set_defaults(run=run, tensorflow=tensorflow)
    return command


def add_json(command: argparse.ArgumentParser, what: str, *, csv: str | None = None) -> None:
    """Adds ``--json``, and ``--csv`` if the answer is a table, which print what the words say."""
    forms = command.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help=f"print JSON: {what}")
    if csv is not None:
        forms.add_argument("--csv", action="store_true", help=f"print a table as CSV: {csv}")


def print_csv(results: Any, columns: Sequence[str], *, header: bool = True) -> None:
    """Prints results as CSV with these columns."""
    from facekit.io.tables import csv_line, rows

    if header:
        print(csv_line(columns), flush=True)
    for row in rows(results):
        print(csv_line([row.get(column) for column in columns]), flush=True)


def add_weights(command: argparse.ArgumentParser) -> None:
    """Adds ``--weights``, which chooses the embedder's weights."""
    command.add_argument(
        "--weights", metavar="NAME", help="the embedder's weights: a name or the path of a file"
    )
    command.add_argument(
        "--allow-unverified",
        action="store_true",
        help="take weights of which no checksum is published",
    )


def add_photos(command: argparse.ArgumentParser) -> None:
    """Adds the photos to work on and ``--output`` for annotated copies."""
    command.add_argument(
        "photos",
        nargs="*",
        type=Path,
        metavar="PHOTO",
        help="a photo, a folder of photos, or - for a list of them on standard input",
    )
    command.add_argument(
        "-r", "--recursive", action="store_true", help="also take the folders inside folders"
    )
    add_files_from(command)
    command.add_argument(
        "--output", type=Path, metavar="FOLDER", help="write annotated copies into this folder"
    )


def add_files_from(command: argparse.ArgumentParser) -> None:
    """Adds ``--files-from``, more photos for :func:`listed_photos`."""
    command.add_argument(
        "--files-from",
        type=Path,
        metavar="FILE",
        help="take photos and folders from this list, too: one a line, or separated by NUL bytes; "
        "- is standard input",
    )


def listed_photos(options: argparse.Namespace) -> list[Path]:
    """Returns the photos and folders that were named, one by one and in lists."""
    lists = [] if options.files_from is None else [options.files_from]
    lists += [path for path in options.photos if path == _STANDARD_INPUT]
    named = [path for path in options.photos if path != _STANDARD_INPUT]
    named += [path for one in dict.fromkeys(lists) for path in _in_list(one)]
    if not named:
        raise InvalidArgumentError("no photo is named; name photos or folders, or give a list")
    return named


def _in_list(path: Path) -> list[Path]:
    try:
        content = sys.stdin.buffer.read() if path == _STANDARD_INPUT else path.read_bytes()
    except OSError as error:
        raise InvalidArgumentError(
            f"--files-from {path}: cannot be read ({error.strerror})"
        ) from error
    names = content.split(b"\0") if b"\0" in content else content.splitlines()
    return [Path(os.fsdecode(name)) for name in names if name]


def add_detector(command: argparse.ArgumentParser) -> None:
    """Adds ``--detector``."""
    command.add_argument(
        "--detector",
        choices=("mtcnn", "yunet"),
        help="what finds the faces; default: mtcnn, or that of the gallery",
    )


def add_detection(command: argparse.ArgumentParser) -> None:
    """Adds what to look for in images."""
    add_detector(command)
    command.add_argument(
        "--min-face-size", type=float, metavar="PIXELS", help="the side of the smallest face"
    )
    command.add_argument(
        "--max-image-side",
        type=int,
        metavar="PIXELS",
        help="search larger images in a reduced copy",
    )
    command.add_argument("--max-faces", type=int, metavar="NUMBER", help="only the largest")
    add_reading(command)


READING_OPTIONS: tuple[tuple[str, Any, str], ...] = (
    (
        "--max-pixels",
        int,
        "refuse images with more pixels, width × height (default: 120 million)",
    ),
    (
        "--truncated",
        ("error", "use"),
        "a JPEG whose end is missing: refuse it, or use what is there (default: error)",
    ),
)
"""How images are read: names, what stands for the values, and help texts."""


def add_reading(command: argparse.ArgumentParser) -> None:
    """Adds ``--max-pixels`` and ``--truncated``."""
    for name, kind, help_text in READING_OPTIONS:
        add_option(command, name, kind, help_text)


def add_option(command: argparse.ArgumentParser, name: str, kind: Any, help_text: str) -> None:
    """Adds an option: ``kind`` is the type, the words allowed, or what stands for the value."""
    if kind is bool:
        yes_or_no = argparse.BooleanOptionalAction
        command.add_argument(name, action=yes_or_no, default=None, help=help_text)
    elif isinstance(kind, tuple):
        command.add_argument(name, choices=kind, help=help_text)
    elif isinstance(kind, str):
        command.add_argument(name, metavar=kind, help=help_text)
    else:
        command.add_argument(name, type=kind, metavar="N", help=help_text)


def add_cropped(command: argparse.ArgumentParser) -> None:
    """Adds ``--cropped``."""
    command.add_argument(
        "--cropped",
        action="store_true",
        help="the images are cut to the face: take the whole image, detect nothing",
    )


def detector_for(options: argparse.Namespace, given: FaceDetector | None = None) -> FaceDetector:
    """Returns a detector with the options of :func:`add_detection`."""
    from facekit.detection.base import ImageDetector
    from facekit.detection.registry import DETECTORS

    kind: type[ImageDetector] = DETECTORS[options.detector or "mtcnn"]
    if options.detector is None and isinstance(given, ImageDetector):
        kind = type(given)
    detector = given if isinstance(given, kind) else kind()
    names = ("min_face_size", "max_image_side", "max_faces")
    changed = {name: value for name in names if (value := getattr(options, name, None)) is not None}
    if not changed:
        return given if given is not None and options.detector is None else detector
    return kind(**detector.get_params()).set_params(**changed)


def reading_of(options: argparse.Namespace) -> Reading:
    """Returns ``--max-pixels`` and ``--truncated``, or their defaults."""
    from facekit.io.images import MAX_PIXELS

    most = MAX_PIXELS if options.max_pixels is None else int(options.max_pixels)
    return {"max_pixels": most, "truncated": options.truncated or "error"}


def for_each_photo(
    options: argparse.Namespace,
    answers: Callable[[list[Path]], Iterator[DetectedImage | RecognizedImage]],
    describe: Callable[[Any], str],
    write: Callable[[Path, Sequence[Any]], None] | None = None,
    *,
    columns: Sequence[str] = (),
) -> int:
    """Works through the photos; one that cannot be used is reported and the rest goes on."""
    named = listed_photos(options)
    photos = expanded(named, recursive=options.recursive)
    check_output_folder(options.output, [*named, *photos], deep=options.recursive)
    names = {} if options.output is None else _output_names(photos)
    failures = 0
    if options.csv:
        print_csv([], columns)
    # A bar and lines of text on one terminal would tear each other apart.
    shown = not sys.stdout.isatty()
    for answer in track(answers(photos), "Photos", total=len(photos), shown=shown):
        photo = photos[answer.index]
        try:
            if answer.error is not None:
                raise answer.error
            if write is not None:
                write(photo, answer.faces)
            if options.output is not None:
                _write_annotated(
                    options.output / names[photo], photo, answer.faces, reading_of(options)
                )
        except FacekitError as error:
            failures += 1
            if options.json:
                print(
                    json.dumps({"image": str(photo), "error": in_command_words(error, options)}),
                    flush=True,
                )
            else:
                print(f"facekit: {in_command_words(error, options)}", file=sys.stderr)
            continue
        if options.json:
            faces = [face.to_dict() for face in answer.faces]
            print(json.dumps({"image": str(photo), "faces": faces}), flush=True)
        elif options.csv:
            print_csv(answer, columns, header=False)
        else:
            print(f"{photo}: {count(len(answer.faces), 'face')}", flush=True)
            for face in answer.faces:
                print(f"  {describe(face)}", flush=True)
    if failures:
        print(f"facekit: {failures} of {len(photos)} photos could not be used", file=sys.stderr)
    return FAILED if failures else DONE


def expanded(photos: Sequence[Path], *, recursive: bool = False) -> list[Path]:
    """Returns the photos, with the images inside a folder in place of the folder."""
    from facekit.io.folders import is_folder, list_images

    listings = {path: list_images(path, recursive=recursive) for path in photos if is_folder(path)}
    say_passed_over(listings.values())
    # A folder without images stays in the list, to be reported like any other bad photo.
    return list(
        dict.fromkeys(
            photo
            for path in photos
            for photo in (path in listings and listings[path].images) or [path]
        )
    )


def say_passed_over(listings: Iterable[ImageListing]) -> None:
    """Says on standard error what was passed over in folders."""
    for listing in listings:
        if listing.passed_over:
            print(f"facekit: {listing.summary()}", file=sys.stderr)


def say_poor(report: PhotoReport) -> None:
    """Says on standard error how images that were left out as too poor can be enrolled."""
    poor = sum(outcome.status == "poor quality" for outcome in report.left_out)
    if poor:
        print(
            f"facekit: {count(poor, 'image')} too poor to be enrolled; --any-quality enrolls them",
            file=sys.stderr,
        )


def check_output_folder(output: Path | None, inputs: Iterable[Path], *, deep: bool = False) -> None:
    """Checks that ``--output`` is apart from the images, so that no run takes copies for images."""
    from facekit.io.folders import is_folder

    if output is None:
        return
    target = output.resolve()
    for path in inputs:
        folder = (path if is_folder(path) else path.parent).resolve()
        if target == folder or (deep and is_folder(path) and folder in target.parents):
            raise InvalidArgumentError(
                f"--output {output}: would mix copies with the images in {folder} and might "
                "overwrite them; name a folder of its own"
            )


def _output_names(photos: Sequence[Path]) -> dict[Path, str]:
    from facekit.visualization.files import file_name

    # Photos of one name from different folders must not overwrite each other, not even where the
    # file system takes "A.png" for "a.png".
    taken: set[str] = set()
    names = {}
    for photo in photos:
        name, number = file_name(photo.stem, ".png"), 1
        while name.casefold() in taken:
            number += 1
            name = file_name(photo.stem, f"-{number}.png")
        taken.add(name.casefold())
        names[photo] = name
    return names


def _write_annotated(
    path: Path, photo: Path, results: Sequence[Face | RecognizedFace], reading: Reading
) -> None:
    from facekit.io.images import load_image
    from facekit.visualization import draw_faces, save_image

    if path.exists() and path.samefile(photo):
        raise InvalidArgumentError(f"{photo}: --output would overwrite the photo itself")
    save_image(path, draw_faces(load_image(photo, **reading), results), replace=False)


def chosen_embedder(options: argparse.Namespace) -> Embedder | None:
    """Returns the embedder of ``--weights``, or ``None`` without that option."""
    if options.weights is None:
        return None
    from facekit.embedding import Embedder

    return Embedder(options.weights, allow_unverified=options.allow_unverified)


def default_embedder() -> Embedder:
    """Returns the embedder with the default weights."""
    from facekit.embedding import Embedder

    return Embedder()


def data_folder(given: Path | None) -> Path | None:
    """Returns the folder given, or else the one that ``FACEKIT_DATA`` names, if any."""
    if given is not None:
        if not given.is_dir():
            raise InvalidArgumentError(f"--data {given}: no such folder")
        return given
    return Path(os.environ["FACEKIT_DATA"]) if os.environ.get("FACEKIT_DATA") else None


def place(face: Face) -> str:
    """Puts into words where a face is."""
    x, y, width, height = (round(value) for value in face.box)
    return f"{width} × {height} at ({x}, {y}), confidence {face.confidence:.3f}"


def count(number: int, noun: str) -> str:
    """Returns the number with its noun: "no faces", "1 face", "2 faces"."""
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"
