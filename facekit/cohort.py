"""The embeddings of a cohort: unenrolled people who resemble the strangers you expect."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from facekit.errors import EnrollmentWarning, InvalidArgumentError
from facekit.gallery import Gallery
from facekit.gallery.decisions import Decisions
from facekit.io.files import is_folder
from facekit.io.folders import list_images
from facekit.io.sources import StreamSource
from facekit.pipeline import FacePipeline
from facekit.report import some_of
from facekit.utils.progress import track
from facekit.utils.validation import unit_rows

# An image embedded again is nearer than this to itself, and another of the same person is not.
_SAME_IMAGE = 1e-3


def cohort_embeddings(
    cohort: StreamSource | npt.NDArray[Any],
    pipeline: FacePipeline,
    decisions: Decisions,
    size: int,
    *,
    progress: bool,
    **reading: Any,
) -> npt.NDArray[np.float32]:
    """Returns the embeddings of a cohort; see :meth:`facekit.FaceRecognizer.calibrate`."""
    if isinstance(cohort, np.ndarray) and cohort.ndim == 2:
        return unit_rows(cohort, size, "cohort")
    images: StreamSource = cohort
    if isinstance(images, str | os.PathLike) and is_folder(images):
        images = list_images(images, recursive=True).checked().images
    unit, unused = [], []
    run = pipeline.run(images, digests=bool(decisions), **reading)
    for image in track(run, "Embedding the cohort", total=0, shown=progress):
        unit += [
            f.unit for f in image.faces if not decisions.of(f.to_source(image.sha256)).excluded
        ]
        if not image.faces:
            unused.append(f"{image.source}: {image.error or 'no face found'}")
    if not unit:
        raise InvalidArgumentError(
            f"cohort: no face in any of {len(unused)} images{some_of(unused)}"
        )
    if unused:
        warnings.warn(
            f"cohort: {len(unused)} images are not used{some_of(unused)}",
            EnrollmentWarning,
            stacklevel=3,
        )
    return np.array(unit)


def not_enrolled(faces: npt.NDArray[np.float32], gallery: Gallery) -> npt.NDArray[np.float32]:
    """Returns the faces of a cohort without those of enrolled images."""
    # A few of these are enough to lower the threshold until no one is named.
    kept = np.array(
        [not found or found[0].distance > _SAME_IMAGE for found in gallery.search(faces, 1)], bool
    )
    if len(faces) and not kept.any():
        raise InvalidArgumentError("cohort: every face is that of an enrolled image; give others")
    if not kept.all():
        warnings.warn(
            f"cohort: {len(kept) - int(kept.sum())} of {len(kept)} faces are those of enrolled "
            "images and are left out; a cohort must hold no one who is enrolled",
            EnrollmentWarning,
            stacklevel=3,
        )
    others: npt.NDArray[np.float32] = faces[kept]
    return others
