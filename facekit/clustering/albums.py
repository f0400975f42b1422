"""The unknown faces of an image archive, grouped into people."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from facekit.alignment import Aligner
from facekit.clustering.groups import cluster, linking_threshold
from facekit.clustering.journal import FaceJournal
from facekit.detection import Detector, FaceDetector
from facekit.embedding import FaceEmbedder
from facekit.errors import ImageError
from facekit.gallery.decisions import Decisions
from facekit.gallery.records import FaceSource
from facekit.io.decoding import Truncated
from facekit.io.folders import list_images
from facekit.io.images import MAX_PIXELS, ImageSource
from facekit.io.tables import Tabular
from facekit.parts import detector_to_dict, quality_to_dict
from facekit.pipeline import EmbeddedFace, FacePipeline
from facekit.quality import QualityGate
from facekit.utils.progress import track
from facekit.utils.validation import instance

ImageArchive: TypeAlias = str | os.PathLike[str] | Iterable[ImageSource]
"""A folder, searched recursively, or images as for :func:`facekit.load_image`."""


@dataclass(frozen=True)
class PersonGroup(Tabular):
    """Faces of an archive that seem to show the same person.

    Args:
        faces: The faces, the most typical first.
        spread: The root mean squared distance between two of the faces.
        weights: The identity of the weights that embedded the faces.

    Example:
        >>> import numpy as np
        >>> from facekit import Face, Keypoints
        >>> from facekit.clustering.albums import PersonGroup
        >>> from facekit.pipeline import EmbeddedFace
        >>> points = Keypoints((30, 40), (70, 40), (50, 60), (35, 80), (65, 80))
        >>> face = Face(box=(10, 12, 80, 100), confidence=0.98, keypoints=points)
        >>> found = EmbeddedFace("party.jpg", face, None, np.array([1, 0], dtype=np.float32))
        >>> group = PersonGroup((found, found), spread=0.0, weights="example@1")
        >>> len(group), group.representative.source, group.embeddings.shape
        (2, 'party.jpg', (2, 2))
    """

    faces: tuple[EmbeddedFace, ...]
    spread: float
    weights: str

    def __len__(self) -> int:
        return len(self.faces)

    @property
    def representative(self) -> EmbeddedFace:
        """The most typical face."""
        return self.faces[0]

    @property
    def embeddings(self) -> npt.NDArray[np.float32]:
        """The embeddings of the faces, float32 ``(n, d)``."""
        return np.stack([face.unit for face in self.faces])

    @property
    def sources(self) -> tuple[str, ...]:
        """The image of each face."""
        return tuple(face.source for face in self.faces)

    def to_rows(self) -> list[dict[str, Any]]:
        """Returns a row for each face, as ``to_frame`` has them."""
        return [face.to_dict(rounded=False) for face in self.faces]

    def to_dict(self, *, rounded: bool = True) -> dict[str, Any]:
        """Returns the group as plain Python values, ready for ``json.dumps``.

        Args:
            rounded: As in :meth:`facekit.Face.to_dict`.

        Returns:
            The spread, and the faces as :meth:`facekit.pipeline.EmbeddedFace.to_dict` gives them.
        """
        return {
            "spread": self.spread,
            "faces": [face.to_dict(rounded=rounded) for face in self.faces],
        }


@dataclass(frozen=True)
class ArchiveClustering(Tabular):
    """The faces of an archive, grouped into people.

    Args:
        groups: The groups, the largest first.
        ungrouped: The faces that resemble no others.
        poor: The faces that the quality gate flagged; they are not grouped.
        images: The number of images read.
        errors: Why other images could not be read.
        threshold: The Euclidean distance up to which faces were linked.
        weights: The identity of the weights that embedded the faces.
        folder: The folder that was searched, if one was.

    Example:
        >>> from facekit import Embedder, cluster_images
        >>> from matplotlib.cbook import get_sample_data
        >>> portrait = get_sample_data("grace_hopper.jpg", asfileobj=False)
        >>> found = cluster_images([portrait, portrait], embedder=Embedder("facekit-small"))
        >>> found.images, [len(group) for group in found.groups], found.ungrouped
        (2, [2], ())
    """

    groups: tuple[PersonGroup, ...]
    ungrouped: tuple[EmbeddedFace, ...]
    poor: tuple[EmbeddedFace, ...]
    images: int
    errors: tuple[ImageError, ...]
    threshold: float
    weights: str
    folder: str | None = None

    def to_rows(self) -> list[dict[str, Any]]:
        """Returns a row for each face, with the number of its group from 1.

        Ungrouped faces come last, with the group ``None``.
        """
        grouped = [
            {"group": number, **row}
            for number, group in enumerate(self.groups, start=1)
            for row in group.to_rows()
        ]
        others = [face.to_dict(rounded=False) for face in (*self.ungrouped, *self.poor)]
        return grouped + [{"group": None, **row} for row in others]

    def to_dict(self, *, rounded: bool = True) -> dict[str, Any]:
        """Returns what was found, without embeddings, as plain Python values for ``json.dumps``.

        Args:
            rounded: As in :meth:`facekit.Face.to_dict`.

        Returns:
            The fields but ``folder`` by name.
        """
        return {
            "groups": [group.to_dict(rounded=rounded) for group in self.groups],
            "ungrouped": [face.to_dict(rounded=rounded) for face in self.ungrouped],
            "poor": [face.to_dict(rounded=rounded) for face in self.poor],
            "images": self.images,
            "errors": [str(error) for error in self.errors],
            "threshold": self.threshold,
            "weights": self.weights,
        }


def cluster_images(
    images: ImageArchive,
    *,
    embedder: FaceEmbedder,
    detector: FaceDetector | None = None,
    aligner: Aligner | None = None,
    quality: QualityGate | None = QualityGate(),  # noqa: B008 - it is frozen
    threshold: float | None = None,
    min_faces: int = 2,
    max_pixels: int = MAX_PIXELS,
    truncated: Truncated = "error",
    journal: str | os.PathLike[str] | None = None,
    decisions: Decisions | None = None,
    progress: bool = True,
) -> ArchiveClustering:
    """Groups the faces in images into people; no enrollment is needed.

    Only face images, locations and embeddings are kept, about 4 KiB per face.

    Args:
        images: A folder, searched recursively, or several images.
        embedder: Embeds the faces.
        detector: Finds them; by default one with default arguments.
        aligner: Cuts them out; by default the one that the weights were trained with.
        quality: The gate that faces must pass to be grouped; ``None`` lets all pass.
        threshold: The Euclidean distance up to which two faces are linked; by default
            :func:`facekit.clustering.groups.linking_threshold` of the weights and the number of
            faces.
        min_faces: The faces of smaller groups are left ungrouped; at least 1.
        max_pixels: The largest image that is read, in pixels.
        truncated: As for :func:`facekit.load_image`.
        journal: A file that stores the faces found so far, so that an interrupted call resumes when
            it is repeated; it is deleted when the groups are found. Without it, an interrupted call
            starts over.
        decisions: Decisions about faces, from :meth:`facekit.Gallery.decisions`: which are the same
            person, which are not, and which to exclude.
        progress: Whether to show a progress bar, if standard error is a terminal.

    Returns:
        The groups. An image that cannot be read is reported in ``errors``.

    Raises:
        ImageError: If the folder is missing or holds no images.
        InvalidArgumentError: If an argument cannot be used.
        FileFormatError: If the journal cannot be used.

    Example:
        >>> from facekit import Embedder, cluster_images
        >>> from matplotlib.cbook import get_sample_data
        >>> portrait = get_sample_data("grace_hopper.jpg", asfileobj=False)
        >>> found = cluster_images(
        ...     [portrait, "no_such_photo.jpg", portrait], embedder=Embedder("facekit-small"))
        >>> [len(group) for group in found.groups], len(found.errors)
        ([2], 1)

    References:
        As for :func:`facekit.cluster`.
    """
    # Checked before the long work.
    if detector is None:
        detector = Detector()
    pipeline = FacePipeline(detector, embedder, aligner=aligner, quality=quality)
    instance(embedder, "embedder", FaceEmbedder)
    said = Decisions() if decisions is None else instance(decisions, "decisions", Decisions)
    checked = linking_threshold(embedder.record) if threshold is None else threshold
    cluster(np.empty((0, 1), dtype=np.float32), threshold=checked, min_faces=min_faces)
    folder = os.fspath(images) if isinstance(images, str | os.PathLike) else None
    if isinstance(images, str | os.PathLike):
        images = list_images(images, recursive=True).checked().images
    total = len(images) if isinstance(images, Sequence) else 0
    settings = {
        "weights": embedder.record.identity,
        "detector": detector_to_dict(pipeline.detector),
        "aligner": pipeline.aligner.to_dict(),
        "quality": quality_to_dict(quality),
    }
    number = 0
    good: list[EmbeddedFace] = []
    sources: list[FaceSource] = []
    seen_in: list[int] = []  # two faces in one image are two people
    poor: list[EmbeddedFace] = []
    errors: list[ImageError] = []
    with FaceJournal(Path(journal), settings) if journal is not None else nullcontext() as kept:
        stream = pipeline.run(
            images,
            digests=bool(said),
            skip=None if kept is None else lambda _, digest: digest in kept.known,
            max_pixels=max_pixels,
            truncated=truncated,
        )
        for image in track(stream, "Finding faces", total=total, shown=progress):
            if image.error is not None:
                errors.append(image.error)
                continue
            number += 1
            for face in image.faces if kept is None else kept.keep(image):
                source = face.to_source(image.sha256)
                if said.of(source).excluded:
                    continue
                if face.problems:
                    poor.append(face)
                    continue
                good.append(face)
                sources.append(source)
                seen_in.append(number)
        if threshold is None:
            threshold = linking_threshold(embedder.record, len(good))
        embeddings = np.array([face.unit for face in good], dtype=np.float32)
        same, different = said.pairs(sources)
        found = cluster(
            embeddings.reshape(len(good), embedder.embedding_size),
            threshold=threshold,
            min_faces=min_faces,
            images=np.array(seen_in, dtype=np.int64),
            same=same,
            different=different,
        )
    weights = embedder.record.identity
    return ArchiveClustering(
        groups=tuple(
            PersonGroup(tuple(good[place] for place in group.members), group.spread, weights)
            for group in found.groups
        ),
        ungrouped=tuple(good[place] for place in found.ungrouped),
        poor=tuple(poor),
        images=number,
        errors=tuple(errors),
        threshold=found.threshold,
        weights=weights,
        folder=folder,
    )
