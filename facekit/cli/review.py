"""The commands that make, list and undo corrections: review."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facekit.cli.common import (
    DONE,
    FAILED,
    answer,
    count,
    expanded,
    listed_images,
    place,
    reading_of,
    say,
)
from facekit.cli.opening import open_recognizer, read_as
from facekit.cli.options import GALLERY, IMAGES, READING, WEIGHTS, Option, add_command, option
from facekit.errors import FacekitError, InvalidArgumentError

if TYPE_CHECKING:
    from facekit.detection import FaceDetector
    from facekit.gallery import Gallery
    from facekit.gallery.records import FaceSource

# How many suggestions are shown, of the most doubtful ones.
_SHOWN = 20


def add_commands(commands: Any) -> None:
    """Adds the command with its own commands to the parser's."""
    group = add_command(commands, "review", _list, "correct names; corrections are kept")
    inner = group.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, run, help_text, options in _COMMANDS:
        add_command(inner, name, run, help_text, GALLERY, *options, json="one object")


def _list(options: argparse.Namespace) -> int:
    from facekit.gallery import Gallery

    with Gallery.open(options.gallery) as gallery:
        corrections = gallery.review.corrections
    values = {"corrections": [correction.to_dict() for correction in corrections]}
    lines = [f"{correction.number:5}  {correction}" for correction in corrections]
    return answer(options, values, *lines, count(len(corrections), "correction"))


def _correct(options: argparse.Namespace) -> int:
    from facekit.gallery import Gallery

    with Gallery.open(options.gallery) as gallery:
        review = gallery.review
        number = _said(gallery, options)
        (made,) = (correction for correction in review.corrections if correction.number == number)
    return answer(options, made.to_dict(), f"{number}: {made}")


def _said(gallery: Gallery, options: argparse.Namespace) -> int:
    from facekit.parts import saved_detector

    review = gallery.review
    if options.command == "once-per-image":
        return review.once_per_image()
    detector = saved_detector(gallery)  # as for suggest: the numbers of the faces are the same
    face = _face(options.image, options.face, detector, options)
    if options.command == "accept":
        return review.accept(face, options.name)
    if options.command == "reject":
        return review.reject(face, options.name)
    if options.command == "exclude":
        return review.exclude(face, "ignore" if options.ignore else "not_a_face")
    other = _face(options.other, options.other_face, detector, options)
    return (review.link if options.command == "link" else review.separate)(face, other)


def _face(
    image: Path, number: int | None, detector: FaceDetector, options: argparse.Namespace
) -> FaceSource:
    from facekit.gallery.records import FaceSource
    from facekit.io.images import load_image
    from facekit.pipeline import content_sha256

    (faces,) = detector.detect_batch([load_image(image, **reading_of(options))])
    if not faces:
        raise InvalidArgumentError(f"{image}: no face found")
    if number is None and len(faces) > 1:
        listed = "; ".join(f"{at} is {place(face)}" for at, face in enumerate(faces, start=1))
        raise InvalidArgumentError(f"{image}: choose a face with --face: {listed}")
    if number is not None and not 1 <= number <= len(faces):
        raise InvalidArgumentError(f"{image}: has {count(len(faces), 'face')}, not {number}")
    return FaceSource(str(image), content_sha256(image), faces[(number or 1) - 1].box)


def _suggest(options: argparse.Namespace) -> int:
    from facekit.suggestions import suggest

    given = expanded(listed_images(options), recursive=options.recursive)
    recognizer = open_recognizer(options, options.gallery)
    read_as(options, recognizer)
    errors: list[FacekitError] = []
    images, rows, numbers = [], [], []
    with recognizer.gallery:
        for image in recognizer.faces(given):
            if image.error is not None:
                errors.append(image.error)
            for number, face in enumerate(image.faces, start=1):
                if not face.problems:
                    images.append(face.to_source(image.sha256))
                    rows.append(face.unit)
                    numbers.append(number)
        found = suggest(recognizer, images, rows)[: options.limit]
    listed = [
        {
            "image": one.face.source,
            "face": numbers[one.place],
            "person": one.person,
            "distance": one.distance,
            "threshold": one.threshold,
            "doubt": one.doubt,
        }
        for one in found
    ]
    lines = [
        f"{one.face.source}, face {numbers[one.place]}: {one.person}? distance "
        f"{one.distance:.2f}, threshold {one.threshold:.2f}"
        for one in found
    ]
    summary = f"{count(len(found), 'question')}; answer with facekit review accept or reject"
    answer(options, {"suggestions": listed}, *lines, summary)
    for error in errors:
        say(error)
    return FAILED if errors else DONE


def _undo(options: argparse.Namespace) -> int:
    from facekit.gallery import Gallery

    with Gallery.open(options.gallery) as gallery:
        undone = gallery.review.undo(options.number)
    return answer(options, undone.to_dict(), f"Undone: {undone}")


_NAME = option("name NAME", str, "the enrolled person")
_FACE = (
    option("image IMAGE", Path, "the photo with the face"),
    option(
        "--face NUMBER",
        int,
        "which of several faces, from 1, in the order of 'facekit detect'",
    ),
    *READING,
)
_OTHER = (
    option("other OTHER", Path, "the other photo"),
    option("--other-face NUMBER", int, "as for --face"),
)
_IGNORE = option("--ignore", None, "it is a face, but should be ignored")
_SUGGEST = (
    *IMAGES,
    *READING,
    *WEIGHTS,
    option("--limit NUMBER", int, "default: %(default)s", default=_SHOWN),
)
_UNDO = option("number NUMBER", int, "as listed", nargs="?")
_COMMANDS: tuple[tuple[str, Any, str, tuple[Option, ...]], ...] = (
    ("list", _list, "list the corrections of a gallery", ()),
    ("suggest", _suggest, "list faces whose names are worth checking", _SUGGEST),
    ("accept", _correct, "confirm that a face is a person", (_NAME, *_FACE)),
    ("reject", _correct, "state that a face is not a person", (_NAME, *_FACE)),
    ("link", _correct, "state that two faces are the same person", (*_FACE, *_OTHER)),
    ("separate", _correct, "state that two faces are different people", (*_FACE, *_OTHER)),
    ("exclude", _correct, "exclude a detection that is not a face, or a face", (*_FACE, _IGNORE)),
    ("once-per-image", _correct, "give each name to at most one face per image", ()),
    ("undo", _undo, "undo a correction, the latest by default", (_UNDO,)),
)
