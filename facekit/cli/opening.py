"""Opens a gallery for a command, with its weights and its calibration."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from facekit.cli.common import detector_for, embedder_of, reading_of
from facekit.errors import FacekitError, InvalidArgumentError, NotFittedError
from facekit.io.files import real_path
from facekit.utils.validation import same_weights

if TYPE_CHECKING:
    from facekit.embedding.weights.registry import WeightsRecord
    from facekit.gallery import Gallery
    from facekit.recognizer import FaceRecognizer


def open_recognizer(options: argparse.Namespace, path: Path) -> FaceRecognizer:
    """Returns a recognizer for a gallery file, with the calibration stored there."""
    from facekit.gallery import Gallery
    from facekit.recognizer import FaceRecognizer

    with Gallery.open(path) as gallery:
        weights, _ = weights_of(gallery, options)
        if not len(gallery):
            raise NotFittedError(f"{path}: no one is enrolled; facekit enroll adds people")
    return FaceRecognizer.load(path, embedder=embedder_of(options, weights))


def follow(options: argparse.Namespace, recognizer: FaceRecognizer) -> None:
    """Sets up a recognizer to read images, find faces and judge them as the options say."""
    recognizer.detector = detector_for(options, recognizer.detector)
    read_as(options, recognizer)
    if getattr(options, "any_quality", False):
        recognizer.quality = recognizer.naming_quality = None


def read_as(options: argparse.Namespace, recognizer: FaceRecognizer) -> None:
    """Sets up a recognizer to read images as the options say."""
    reading = reading_of(options)
    recognizer.max_pixels, recognizer.truncated = reading["max_pixels"], reading["truncated"]


@contextmanager
def new_if_missing(path: Path) -> Iterator[None]:
    """Checks that a gallery can be made, and deletes it if the block fails to enroll anyone."""
    from facekit.gallery.database import delete_if_unused

    if not real_path(path).parent.is_dir():
        raise InvalidArgumentError(f"{path}: its folder does not exist")
    there = path.exists()
    try:
        yield
    except FacekitError:
        if not there and path.exists():
            with suppress(FacekitError):  # the reason of the failure matters more
                delete_if_unused(path)
        raise


def weights_of(gallery: Gallery, options: argparse.Namespace) -> tuple[str, WeightsRecord]:
    """Returns the name and the record of a gallery's weights."""
    from facekit.embedding.weights.reading import read_weights
    from facekit.embedding.weights.registry import REGISTRY

    name = options.weights or gallery.weights.rpartition("@")[0]
    if name in REGISTRY:
        record = REGISTRY[name]
    elif options.weights:
        record, _ = read_weights(name, allow_unverified=True)
    else:
        raise InvalidArgumentError(
            f"{options.gallery}: was made with the weights {gallery.weights}, which are not known "
            "by name; give their file with --weights"
        )
    same_weights(gallery.weights, record.identity, f"{options.gallery}: was made")
    return name, record
