"""The commands for a gallery file: info, check, compact, repair and migrate."""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facekit.cli.common import DONE, FAILED, answer, count, persons, reading_of
from facekit.cli.options import GALLERY, READING, add_command, option
from facekit.errors import FileFormatError
from facekit.faces import SAME_FACE, box_overlap

if TYPE_CHECKING:
    from facekit.gallery import Gallery
    from facekit.gallery.records import EnrolledImage
    from facekit.io.images import Reading
    from facekit.pipeline import EmbeddedFace, FacePipeline


def add_commands(commands: Any) -> None:
    """Adds the command with its own commands to the parser's."""
    group = add_command(commands, "gallery", _info, "check, repair and convert a gallery's file")
    inner = group.add_subparsers(title="commands", metavar="COMMAND", required=True)
    new = option("--output NEW", Path, "a new file", required=True)
    for name, run, help_text, options in (
        ("info", _info, "show the contents of a gallery", ()),
        ("check", _check, "check everything in a gallery against its checksums", ()),
        ("compact", _compact, "free the space of removed photos", ()),
        ("repair", _repair, "save the intact parts of a damaged gallery to a new file", (new,)),
        (
            "migrate",
            _migrate,
            "embed the enrolled photos with other weights",
            (option("--weights NAME", str, "the new weights", required=True), *READING, new),
        ),
    ):
        add_command(inner, name, run, help_text, GALLERY, *options, json="one object")


def _info(options: argparse.Namespace) -> int:
    from facekit.gallery import Gallery

    with Gallery.open(options.gallery) as gallery:
        found = {
            "weights": gallery.weights,
            "embedding_size": gallery.embedding_size,
            "people": len(gallery.people),
            "images": len(gallery),
            "bytes": options.gallery.stat().st_size,
            "settings": sorted(gallery.settings),
        }
    return answer(options, found, *(f"{key.replace('_', ' ')}: {found[key]}" for key in found))


def _check(options: argparse.Namespace) -> int:
    from facekit.gallery import Gallery

    with Gallery.open(options.gallery) as gallery:
        gallery.check()
        images = len(gallery)
    return answer(options, {"images": images}, f"{count(images, 'photo')}: everything is intact")


def _compact(options: argparse.Namespace) -> int:
    from facekit.gallery import Gallery

    before = options.gallery.stat().st_size if options.gallery.is_file() else 0
    with Gallery.open(options.gallery) as gallery:
        gallery.compact()
    after = options.gallery.stat().st_size
    sizes = {"before": before, "after": after}
    return answer(options, sizes, f"{before:,} bytes before, {after:,} now")


def _repair(options: argparse.Namespace) -> int:
    from facekit.gallery import repair

    found = repair(options.gallery, options.output)
    saved = f"{count(sum(found.people.values()), 'photo')} of {persons(len(found.people))}"
    return _report(options, {"people": found.people}, list(found.lost), f"{saved} saved")


def _migrate(options: argparse.Namespace) -> int:
    from facekit.embedding import Embedder
    from facekit.gallery import Gallery
    from facekit.gallery.database import remove_files
    from facekit.parts import saved_detector
    from facekit.pipeline import FacePipeline

    output: Path = options.output
    if output.exists():
        raise FileFormatError(f"{output}: already exists")
    embedder = Embedder(options.weights)
    partial = output.with_name(f"{output.name}.partial")
    remove_files(partial)
    # The threshold and other settings belong to the old weights.
    new = Gallery.create(partial, embedder.record.identity, embedder.embedding_size)
    try:
        with Gallery.open(options.gallery) as gallery, new:
            pipeline = FacePipeline(saved_detector(gallery), embedder)
            lost = list(_embedded_again(gallery, new, pipeline, reading_of(options)))
            new.review.add(c for c in gallery.review.corrections if c.person in {None, *new})
            new.copy(output).close()
            found = {"weights": new.weights, "people": new.people}
            images = len(new)
    finally:
        remove_files(partial)
    return _report(options, found, lost, f"{count(images, 'photo')} embedded again")


def _embedded_again(
    gallery: Gallery, new: Gallery, pipeline: FacePipeline, reading: Reading
) -> Iterator[str]:
    # Enrolls the images of one gallery in another, and yields a sentence for each that fails.
    from facekit.gallery.records import FaceSource

    waiting: deque[list[EnrolledImage]] = deque()

    def files() -> Iterator[Path]:
        images = (image for batch, _ in gallery.snapshot() for image in batch)
        for source, faces in groupby(images, lambda image: image.source):
            waiting.append(list(faces))
            yield Path(source)

    for found in pipeline.run(files(), digests=True, **reading):
        for image in waiting.popleft():
            face = _same_face(image, found.faces)
            if found.error is not None:
                yield f"{image.person}: {found.error}"
            elif image.sha256 is not None and image.sha256 != found.sha256:
                yield f"{image.person}: {image.source}: the file has changed since it was enrolled"
            elif face is None:
                yield f"{image.person}: {image.source}: no face is found where it was enrolled"
            else:
                source = FaceSource(image.source, found.sha256, face.face.box)
                note = None if image.person in new else gallery.metadata(image.person)
                new.enroll(image.person, face.unit[None], [source], metadata=note)


def _same_face(image: EnrolledImage, faces: tuple[EmbeddedFace, ...]) -> EmbeddedFace | None:
    if not faces:
        return None
    if image.box is None:
        return max(faces, key=lambda face: face.face.area)
    box = image.box
    nearest = max(faces, key=lambda face: box_overlap(box, face.face.box))
    return nearest if box_overlap(box, nearest.face.box) >= SAME_FACE else None


def _report(
    options: argparse.Namespace, found: dict[str, Any], lost: list[str], summary: str
) -> int:
    lines = [*(f"lost: {sentence}" for sentence in lost), f"{summary} to {options.output}"]
    answer(options, {**found, "lost": lost}, *lines)
    return FAILED if lost else DONE
