"""What the commands share: arguments, exit codes, and processing images one by one."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facekit.errors import FacekitError, InvalidArgumentError
from facekit.utils.progress import track
from facekit.utils.reasons import why

if TYPE_CHECKING:
    from facekit.detection import FaceDetector
    from facekit.embedding import Embedder
    from facekit.faces import DetectedImage, Face
    from facekit.io.folders import ImageListing
    from facekit.io.images import Reading
    from facekit.report import ImageReport, RecognizedImage

_STANDARD_INPUT = Path("-")
# The first bytes of images, with which no file name starts.
_IMAGES = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"II*\0", b"MM\0*")

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


def answer(options: argparse.Namespace, values: Any, *lines: str) -> int:
    """Prints values as JSON if that is asked for, else the lines; returns :data:`DONE`."""
    for line in [json.dumps(values)] if options.json else lines:
        print(line)
    return DONE


def say(words: object) -> None:
    """Prints a sentence beside the results, on standard error."""
    with suppress(OSError):  # if it cannot be written anywhere, the exit code has to suffice
        print(f"facekit: {words}", file=sys.stderr)


def print_csv(results: Any, columns: Sequence[str], *, header: bool = True) -> None:
    """Prints results as CSV with these columns."""
    from facekit.io.tables import csv_line, rows

    if header:
        print(csv_line(columns), flush=True)
    for row in rows(results):
        print(csv_line([row.get(column) for column in columns]), flush=True)


def listed_images(options: argparse.Namespace) -> list[Path]:
    """Returns the images and folders named, as arguments and in lists."""
    lists = [] if options.files_from is None else [options.files_from]
    lists += [path for path in options.images if path == _STANDARD_INPUT]
    named = [path for path in options.images if path != _STANDARD_INPUT]
    named += [path for one in dict.fromkeys(lists) for path in _in_list(one)]
    if not named:
        raise InvalidArgumentError("no photos given; name photos or folders, or give a list")
    return named


def _in_list(path: Path) -> list[Path]:
    try:
        content = sys.stdin.buffer.read() if path == _STANDARD_INPUT else path.read_bytes()
    except OSError as error:
        raise InvalidArgumentError(f"--files-from {path}: cannot be read ({why(error)})") from error
    if content.startswith(_IMAGES):
        given = "standard input" if path == _STANDARD_INPUT else f"--files-from {path}"
        raise InvalidArgumentError(f"{given}: is an image; expected a list of image names")
    names = content.split(b"\0") if b"\0" in content else content.splitlines()
    return [Path(os.fsdecode(name)) for name in names if name]


def detector_for(options: argparse.Namespace, given: FaceDetector | None = None) -> FaceDetector:
    """Returns a detector with the options of :data:`facekit.cli.options.DETECTION`."""
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


def for_each_image(
    options: argparse.Namespace,
    answers: Callable[[list[Path]], Iterator[DetectedImage | RecognizedImage]],
    describe: Callable[[Any], str],
    write: Callable[[Path, Sequence[Any]], None] | None = None,
    *,
    columns: Sequence[str] = (),
) -> int:
    """Processes the images; one that cannot be used is reported, and the others are processed."""
    from facekit.io.folders import check_output_folder

    named = listed_images(options)
    images = expanded(named, recursive=options.recursive)
    if options.output is not None:
        check_output_folder(options.output, [*named, *images], deep=options.recursive)
    names = {} if options.output is None else _output_names(images)
    failures = 0
    if options.csv:
        print_csv([], columns)
    # A bar and lines of text on one terminal would garble each other.
    shown = not sys.stdout.isatty()
    for found in track(answers(images), "Photos", total=len(images), shown=shown):
        image = images[found.index]
        try:
            if found.error is not None:
                raise found.error
            if write is not None:
                write(image, found.faces)
            if options.output is not None:
                path = options.output / names[image]
                _write_annotated(path, image, found, reading_of(options))
        except FacekitError as error:
            failures += 1
            reason = in_command_words(error, options)
            if options.json:
                print(json.dumps({"image": str(image), "error": reason}), flush=True)
            else:
                say(reason)
            continue
        if options.json:
            faces = [face.to_dict() for face in found.faces]
            print(json.dumps({"image": str(image), "faces": faces}), flush=True)
        elif options.csv:
            print_csv(found, columns, header=False)
        else:
            print(f"{image}: {count(len(found.faces), 'face')}", flush=True)
            for face in found.faces:
                print(f"  {describe(face)}", flush=True)
    if failures:
        say(f"{failures} of {len(images)} photos could not be used")
    return FAILED if failures else DONE


def expanded(images: Sequence[Path], *, recursive: bool = False) -> list[Path]:
    """Returns the images, with each folder replaced by the images in it."""
    listings = folder_listings(images, recursive=recursive)
    # A folder without images stays in the list, to be reported like any other bad image.
    return list(
        dict.fromkeys(
            image
            for path in images
            for image in (path in listings and listings[path].images) or [path]
        )
    )


def folder_listings(paths: Iterable[Path], *, recursive: bool) -> dict[Path, ImageListing]:
    """Lists the images of the folders, and reports on standard error what was skipped in them."""
    from facekit.io.files import is_folder
    from facekit.io.folders import list_images

    listings = {path: list_images(path, recursive=recursive) for path in paths if is_folder(path)}
    for listing in listings.values():
        if listing.passed_over:
            say(listing.summary())
    return listings


def say_poor(report: ImageReport) -> None:
    """Reports on standard error how images of poor quality can be enrolled anyway."""
    poor = sum(outcome.status == "poor quality" for outcome in report.left_out)
    if poor:
        say(f"{count(poor, 'image')} too poor to be enrolled; --any-quality enrolls them")


def _output_names(images: Sequence[Path]) -> dict[Path, str]:
    from facekit.visualization.files import file_name

    # Images of the same name from different folders must not overwrite each other, even on file
    # systems that ignore case.
    taken: set[str] = set()
    names = {}
    for image in images:
        name, number = file_name(image.stem, ".png"), 1
        while name.casefold() in taken:
            number += 1
            name = file_name(image.stem, f"-{number}.png")
        taken.add(name.casefold())
        names[image] = name
    return names


def _write_annotated(
    path: Path, image: Path, found: DetectedImage | RecognizedImage, reading: Reading
) -> None:
    from facekit.io.images import load_image
    from facekit.visualization import save_image
    from facekit.visualization.drawing import draw_onto

    if path.exists() and path.samefile(image):
        raise InvalidArgumentError(f"{image}: --output would overwrite the photo itself")
    pixels = getattr(found, "image", None)  # already in memory
    if pixels is None:
        pixels = load_image(image, **reading)
    draw_onto(pixels, found.faces)
    save_image(path, pixels, replace=False)


def chosen_embedder(options: argparse.Namespace) -> Embedder:
    """Returns the embedder of ``--weights``, or of the default weights."""
    from facekit.embedding.weights.registry import DEFAULT_WEIGHTS

    return embedder_of(options, DEFAULT_WEIGHTS if options.weights is None else options.weights)


def embedder_of(options: argparse.Namespace, weights: str) -> Embedder:
    """Returns an embedder with these weights that runs as the options say."""
    from facekit.embedding import Embedder

    return Embedder(
        weights,
        allow_unverified=options.allow_unverified,
        engine="openvino-int8" if options.int8 else "openvino",
    )


def place(face: Face) -> str:
    """Describes the place of a face in words."""
    x, y, width, height = (round(value) for value in face.box)
    return f"{width} × {height} at ({x}, {y}), confidence {face.confidence:.3f}"


def count(number: int, noun: str) -> str:
    """Returns the number with its noun: "no faces", "1 face", "2 faces"."""
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def persons(number: int) -> str:
    """Returns the number of people: "1 person", "2 people"."""
    return f"{number:,} {'person' if number == 1 else 'people'}"
