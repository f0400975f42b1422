"""The commands for a gallery: enroll, people, remove, rename, merge and calibrate."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facekit.cli import gallery_file
from facekit.cli.common import (
    DONE,
    FAILED,
    answer,
    chosen_embedder,
    count,
    embedder_of,
    expanded,
    listed_images,
    persons,
    say,
    say_poor,
)
from facekit.cli.opening import follow, new_if_missing, open_recognizer, weights_of
from facekit.cli.options import (
    CROPPED,
    DETECTION,
    FPIR,
    GALLERY,
    IMAGES,
    WEIGHTS,
    add_command,
    any_quality,
    option,
)
from facekit.errors import EnrollmentWarning, InvalidArgumentError

if TYPE_CHECKING:
    from facekit.report import ImageOutcome


def add_commands(commands: Any) -> None:
    """Adds the commands to the parser's."""
    gallery_file.add_commands(commands)
    for name, run, help_text, options in (
        ("enroll", _enroll, "add people to a gallery, new or existing", _ENROLL),
        ("people", _people, "list who is enrolled in a gallery", _PEOPLE),
        ("remove", _change, "erase a person from a gallery", (_NAME,)),
        ("rename", _change, "give a person another name", _RENAME),
        ("merge", _change, "merge two names of the same person", _MERGE),
        ("calibrate", _calibrate, "set how often a gallery may name a stranger", _CALIBRATE),
    ):
        add_command(commands, name, run, help_text, GALLERY, *options, json="one object")


_NAME = option("name NAME", str, "who it is")
_RENAME = (_NAME, option("new NEW", str, "the new name, not in use yet"))
_MERGE = (_NAME, option("into INTO", str, "the name that stays"))
_ENROLL = (
    *WEIGHTS,
    option("name NAME", str, "who the photos show", nargs="?"),
    *IMAGES,
    option(
        "--from FOLDER",
        Path,
        "enroll the people of this folder, which holds a folder of photos for each",
        dest="folder",
    ),
    any_quality("enroll"),
    CROPPED,
    *DETECTION,
)
_PEOPLE = (
    *WEIGHTS,
    option(
        "--check",
        None,
        "also list names that may be the same person, and photos under a wrong name",
    ),
)
_CALIBRATE = (
    *WEIGHTS,
    FPIR,
    option(
        "--strategy",
        ("svm", "nearest", "centroid"),
        "how a face is compared; default: %(default)s",
        default="centroid",
    ),
    option(
        "--cohort FOLDER",
        Path,
        "images of people who are not enrolled and resemble the strangers you expect",
    ),
)


def _enroll(options: argparse.Namespace) -> int:
    from facekit.gallery import Gallery
    from facekit.identification import IdentityClassifier
    from facekit.recognizer import FaceRecognizer

    path: Path = options.gallery
    given = listed_images(options) if options.images or options.files_from else []
    if (options.folder is None) == (not given):
        raise InvalidArgumentError("give either NAME and at least one IMAGE, or --from FOLDER")
    if given and options.name is None:
        raise InvalidArgumentError("name the person that the photos show")
    if options.folder is not None and options.name is not None:
        raise InvalidArgumentError("with --from FOLDER the folders give the names, not NAME")
    images = expanded(given, recursive=options.recursive)
    # Enrolling needs no threshold, so weights that cannot be calibrated work as well.
    classifier = IdentityClassifier("nearest", threshold=2.0)
    with new_if_missing(path):
        if path.exists():
            with Gallery.open(path) as gallery:
                weights, _ = weights_of(gallery, options)
            embedder = embedder_of(options, weights)
            recognizer = FaceRecognizer.load(path, embedder=embedder, classifier=classifier)
        else:
            embedder = chosen_embedder(options)
            recognizer = FaceRecognizer(embedder=embedder, classifier=classifier, gallery=path)
        follow(options, recognizer)
        with recognizer.gallery as gallery, warnings.catch_warnings():
            warnings.simplefilter("ignore", EnrollmentWarning)
            found = recognizer.enroll_people(
                options.folder or {options.name: images}, cropped=options.cropped
            )
            enrolled = gallery.people
    outcomes = found.outcomes
    listed = [
        {"image": o.source, "person": o.person, "status": o.status, "detail": o.detail}
        for o in outcomes
    ]
    answer(
        options,
        {"gallery": str(path), "people": found.people, "images": listed},
        *map(_line, outcomes),
        f"{count(len(found.used), 'photo')} of "
        f"{persons(len({outcome.person for outcome in found.used}))} "
        f"enrolled; {path} holds {count(sum(enrolled.values()), 'photo')} of "
        f"{persons(len(enrolled))}",
    )
    say_poor(found)
    unreadable = sum(outcome.status == "unreadable" for outcome in outcomes)
    if unreadable:
        say(f"{unreadable} of {len(outcomes)} photos could not be read")
    return FAILED if unreadable else DONE


def _people(options: argparse.Namespace) -> int:
    from facekit.gallery import Gallery

    with Gallery.open(options.gallery) as gallery:
        people = gallery.people
        values: dict[str, Any] = {"weights": gallery.weights, "people": people}
        if options.check:
            threshold = weights_of(gallery, options)[1].threshold()
            values["duplicates"] = [pair._asdict() for pair in gallery.duplicates(threshold)]
            values["outliers"] = [
                {
                    "person": odd.image.person,
                    "image": odd.image.source,
                    "distance": odd.distance,
                    "resembles": odd.resembles,
                }
                for odd in gallery.outliers(threshold)
            ]
    width = max(map(len, ["person", *people]))
    lines = [f"{'person':{width}}  photos"]
    lines += [f"{name:{width}}  {number:6,}" for name, number in people.items()]
    for pair in values.get("duplicates", ()):
        both = f"{pair['first']} and {pair['second']}"
        lines.append(f"one person? {both}, distance {pair['distance']:.2f}")
    for odd in values.get("outliers", ()):
        resembles = f", resembles {odd['resembles']}" if odd["resembles"] else ""
        lines.append(
            f"someone else? {odd['image']} ({odd['person']}), distance "
            f"{odd['distance']:.2f}{resembles}"
        )
    if options.check and not values["duplicates"] and not values["outliers"]:
        lines.append("No suspicious names or photos.")
    return answer(options, values, *lines)


def _change(options: argparse.Namespace) -> int:
    from facekit.gallery import Gallery

    name = options.name
    with Gallery.open(options.gallery) as gallery:
        if options.command == "remove":
            images = gallery.remove(name)
            words = f"Erased {name}: {count(images, 'photo')}"
        elif options.command == "rename":
            images = len(gallery.images(name))
            gallery.rename(name, options.new)
            words = f"{name} is now {options.new}"
        else:
            images = gallery.merge(name, options.into)
            words = f"{count(images, 'photo')} of {name} now under {options.into}"
    return answer(options, {"name": name, "images": images}, words)


def _calibrate(options: argparse.Namespace) -> int:
    from facekit.identification import IdentityClassifier
    from facekit.identification.defaults import DEFAULT_FPIR

    fpir = DEFAULT_FPIR if options.fpir is None else options.fpir
    recognizer = open_recognizer(options, options.gallery)
    with recognizer.gallery as gallery:
        recognizer.classifier = IdentityClassifier(options.strategy, fpir=fpir)
        recognizer.calibrate(options.cohort)
        found = recognizer.calibration
        people, images = len(gallery.people), len(gallery)
        chosen = {"strategy": options.strategy, "fpir": fpir}
        kept = [found.shift, found.probes] if options.cohort is not None else None
        gallery.set_settings({**gallery.settings, "calibration": {**chosen, "cohort": kept}})
        table = recognizer.embedder.record.distances
    numbers = {"threshold": found.threshold, "shift": found.shift, "probes": found.probes}
    own = f"{found.probes:,} " + (
        "faces of the cohort" if options.cohort else "of the gallery's own photos"
    )
    if table is None:
        rests = own
    elif found.probes:
        rests = f"the weights' table of distances and {own}, which shift it by {found.shift:+.3f}"
    else:
        rests = "the weights' table of distances; there are too few people to refine it"
    return answer(
        options,
        {**chosen, **numbers, "people": people, "images": images},
        f"threshold {found.threshold:.3f}: about {fpir:.2%} of strangers get a name",
        f"  for {count(images, 'photo')} of {persons(people)}, strategy {options.strategy}",
        f"  based on {rests}",
        f"Stored in {options.gallery}: facekit recognize uses it and adapts it to later changes",
    )


def _line(outcome: ImageOutcome) -> str:
    detail = f"; {outcome.detail}" if outcome.detail else ""
    person = f" ({outcome.person})" if outcome.person else ""
    return f"{outcome.source}{person}: {outcome.status}{detail}"
