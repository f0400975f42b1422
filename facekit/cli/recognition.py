"""The commands that find and name people: detect, fit, recognize, verify, demo."""

from __future__ import annotations

import argparse
import dataclasses
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facekit.cli.common import (
    DONE,
    NEGATIVE,
    answer,
    chosen_embedder,
    count,
    detector_for,
    for_each_image,
    place,
    reading_of,
    say,
    say_poor,
)
from facekit.cli.opening import follow, new_if_missing, open_recognizer
from facekit.cli.options import (
    COPIES,
    DETECTION,
    EMBEDDING,
    FPIR,
    IMAGES,
    READING,
    WHO_IS_ENROLLED,
    add_command,
    any_quality,
    option,
)
from facekit.errors import EnrollmentWarning, InvalidArgumentError

if TYPE_CHECKING:
    from facekit.faces import RecognizedFace
    from facekit.io.people import EnrollmentSource


def add_commands(commands: Any) -> None:
    """Adds the commands to the parser's."""
    by_image, by_face = "one object per photo, one per line", "one line per face"
    add_command(
        commands,
        "detect",
        _detect,
        "find the faces in photos",
        *IMAGES,
        COPIES,
        *DETECTION,
        json=by_image,
        csv=by_face,
    )
    add_command(
        commands,
        "fit",
        _fit,
        "enroll people from a folder with one folder of photos per person",
        *_FIT,
        *EMBEDDING,
        json="one object",
    )
    add_command(
        commands,
        "recognize",
        _recognize,
        "name the people in photos",
        *_RECOGNIZE,
        *EMBEDDING,
        json=by_image,
        csv=by_face,
    )
    add_command(
        commands,
        "explain",
        _explain,
        "explain why the faces in a photo are named, or not",
        WHO_IS_ENROLLED,
        option("image IMAGE", Path, "a photo"),
        option(
            "--count NUMBER",
            int,
            "number of nearest enrolled photos to list; default: %(default)s",
            default=5,
        ),
        *EMBEDDING,
        json="one array",
    )
    add_command(
        commands,
        "verify",
        _verify,
        "decide whether two photos show the same person",
        option("first FIRST", Path, "a photo"),
        option("second SECOND", Path, "the photo to compare it with"),
        *EMBEDDING,
        json="one object",
    )
    default = "one folder each (default: portraits from other packages)"
    add_command(
        commands,
        "demo",
        _demo,
        "enroll people, name them in other photos and draw a contact sheet",
        option("--known FOLDER", Path, f"the people to enroll, {default}"),
        option("--images FOLDER", Path, f"the photos to name, {default}"),
        option("--output FOLDER", Path, "default: %(default)s", default=Path("output")),
        *READING,
    )


_FIT = (
    option("folder FOLDER", Path, "a folder with one folder per person"),
    option(
        "--from-xmp",
        None,
        "the folder is searched recursively for photos: enroll the faces that photo managers "
        "have marked and named in XMP",
    ),
    option("gallery GALLERY", Path, "the gallery to write; people in an existing one are replaced"),
    option(
        "--strategy",
        ("centroid", "nearest", "svm"),
        "how a face is compared with people; default: centroid",
    ),
    FPIR,
    option(
        "--threshold DISTANCE",
        float,
        "instead of --fpir: the largest distance that counts as known, regardless of enrollment",
    ),
    any_quality("enroll and name"),
)
_RECOGNIZE = (
    option("gallery GALLERY", Path, "the gallery that 'facekit fit' or 'facekit enroll' made"),
    *IMAGES,
    COPIES,
    any_quality("name"),
    option("--xmp", None, "write the names as face regions into the photos' XMP sidecars"),
    option(
        "--embed",
        None,
        "with --xmp: let ExifTool write them into the photos; it keeps originals as *_original",
    ),
    option(
        "--replace-regions",
        None,
        "with --xmp: replace all existing face regions, including named ones",
    ),
)


def _detect(options: argparse.Namespace) -> int:
    from facekit.detection.base import ImageDetector
    from facekit.io.tables import DETECTION_COLUMNS

    detector, reading = detector_for(options), reading_of(options)
    assert isinstance(detector, ImageDetector)
    return for_each_image(
        options,
        lambda images: detector.detect_stream(images, **reading),
        place,
        columns=DETECTION_COLUMNS,
    )


def _fit(options: argparse.Namespace) -> int:
    from facekit.identification.defaults import default_classifier
    from facekit.io.xmp import tagged_people
    from facekit.recognizer import FaceRecognizer

    if options.fpir is not None and options.threshold is not None:
        raise InvalidArgumentError("give either --fpir or --threshold, not both")
    path: Path = options.gallery
    with new_if_missing(path):
        embedder = chosen_embedder(options)
        classifier = default_classifier(embedder.record)
        if options.strategy is not None:
            classifier.set_params(strategy=options.strategy)
        if options.fpir is not None:
            classifier.set_params(fpir=options.fpir, threshold="auto")
        if options.threshold is not None:
            classifier.set_params(threshold=options.threshold)
        recognizer = FaceRecognizer(embedder=embedder, classifier=classifier, gallery=path)
        follow(options, recognizer)
        with recognizer.gallery, warnings.catch_warnings():
            warnings.simplefilter("ignore", EnrollmentWarning)
            images: EnrollmentSource = options.folder
            if options.from_xmp:
                images = tagged_people(options.folder)
            recognizer.fit(images, cropped=options.cropped)
            recognizer.save(path)
            report, people = recognizer.report_, recognizer.people
    left_out = [{"image": o.source, "reason": o.detail} for o in report.left_out]
    several = [{"image": o.source, "reason": o.detail} for o in report.several_faces]
    values = {"people": people, "left_out": left_out, "several_faces": several}
    answer(options, values, *report.summary().splitlines(), f"Wrote {path}")
    if not options.json:
        say_poor(report)
    return DONE


def _recognize(options: argparse.Namespace) -> int:
    if not options.xmp and (options.embed or options.replace_regions):
        raise InvalidArgumentError("--embed and --replace-regions need --xmp")
    if options.xmp and options.cropped:
        raise InvalidArgumentError("give either --xmp or --cropped, not both")
    from facekit.io.tables import RECOGNITION_COLUMNS

    recognizer = open_recognizer(options, options.gallery)
    with recognizer.gallery:
        follow(options, recognizer)
        unnamed = 0

        def describe(result: RecognizedFace) -> str:
            nonlocal unnamed
            unnamed += bool(result.problems)
            problems = "".join(f"; {line}" for line in (*result.problems, *result.remarks))
            return f"{result.label}, distance {result.distance:.2f}, {place(result.face)}{problems}"

        code = for_each_image(
            options,
            lambda images: recognizer.recognize_stream(images, cropped=options.cropped),
            describe,
            _xmp_writer(options) if options.xmp else None,
            columns=RECOGNITION_COLUMNS,
        )
        if unnamed:
            say(f"{count(unnamed, 'face')} too poor to be named; --any-quality names them")
        return code


def _explain(options: argparse.Namespace) -> int:
    recognizer = open_recognizer(options, options.gallery)
    with recognizer.gallery:
        follow(options, recognizer)
        faces = recognizer.explain(options.image, options.count, cropped=options.cropped)
    lines = [f"{options.image}: {count(len(faces), 'face')}"]
    for face in faces:
        x, y, *_ = map(round, face.box or (0, 0))
        poor = f"; too poor to be named: {'; '.join(face.problems)}" if face.problems else ""
        lines.append(
            f"  {face.name or 'unknown'} at ({x}, {y}): distance {face.distance:.2f} to "
            f"{face.candidate}, named up to {face.threshold:.2f}; probability "
            f"{face.probability:.2f}{poor}"
        )
        lines += [f"    {near.distance:.2f} {near.person}, {near.source}" for near in face.nearest]
    return answer(options, [dataclasses.asdict(face) for face in faces], *lines)


def _xmp_writer(options: argparse.Namespace) -> Callable[[Path, Sequence[Any]], None]:
    """Returns a function that writes the names in an image as face regions."""
    from facekit.io.xmp import FaceRegion, write_regions

    def write(image: Path, faces: Sequence[RecognizedFace]) -> None:
        regions = [FaceRegion(one.face.box, one.name) for one in faces if one.name is not None]
        if regions or options.replace_regions:
            write_regions(image, regions, replace=options.replace_regions, embed=options.embed)

    return write


def _verify(options: argparse.Namespace) -> int:
    from facekit.recognizer import FaceRecognizer

    recognizer = FaceRecognizer(
        embedder=chosen_embedder(options), detector=detector_for(options), **reading_of(options)
    )
    result = recognizer.verify(options.first, options.second, cropped=options.cropped)
    verdict = "the same person" if result.same else "different people"
    distances = f"distance {result.distance:.3f}, threshold {result.threshold:.3f}"
    answer(options, result.to_dict(), f"{verdict}: {distances}")
    return DONE if result.same else NEGATIVE


def _demo(options: argparse.Namespace) -> int:
    from rich.console import Console

    from facekit.demo import run_demo

    right = run_demo(
        options.output, Console(), known=options.known, images=options.images, **reading_of(options)
    )
    return DONE if right else NEGATIVE
