"""FaceRecognizer: detector, aligner, embedder and classifier in one object."""

from __future__ import annotations

import hashlib
import os
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.base import clone

from facekit.alignment import Aligner
from facekit.clustering.albums import ArchiveClustering, PersonGroup, PhotoArchive, cluster_photos
from facekit.detection import Detector
from facekit.embedding import Embedder
from facekit.embedding.weights.distances import DistanceTable
from facekit.embedding.weights.registry import DEFAULT_WEIGHTS, REGISTRY, WeightsRecord
from facekit.enrollment import (
    Candidate,
    EnrollmentReport,
    EnrollmentSource,
    PhotoOutcome,
    find_face,
    read_candidates,
)
from facekit.errors import (
    EnrollmentError,
    EnrollmentWarning,
    FileFormatError,
    ImageError,
    InvalidArgumentError,
    NoFaceError,
    NotFittedError,
)
from facekit.faces import Face, RecognizedFace, Verification, largest_face
from facekit.gallery import Gallery
from facekit.gallery.catalogue import PhotoSource
from facekit.gallery.enrolled import Enrolled
from facekit.identification import IdentityClassifier
from facekit.identification.answers import Explanation, Neighbor
from facekit.io import safetensors_file
from facekit.io.images import ImageSource, RGBImage, check_several, describe_source, load_image
from facekit.quality import QualityGate
from facekit.utils.progress import track
from facekit.utils.validation import identity

_FILE_KIND = "facekit.recognizer"
_FILE_VERSION = 2

# How many pictures recognize_batch keeps in memory at a time: they fill the embedder's batches.
_PICTURES_AT_A_TIME = 32

DEFAULT_FPIR = 0.01
"""The share of strangers' faces that may get a name, if nothing is said. It is so small that an
album shows hardly any, and so large that its people are found."""

Box: TypeAlias = tuple[float, float, float, float]

# Up to this many photos every change of the gallery refines the calibration anew; beyond that it is
# kept until calibrate or fit is called.
_CALIBRATED_AT_ONCE = 2000


class _Fitted(NamedTuple):
    classifier: IdentityClassifier
    enrolled: Enrolled


class FaceRecognizer:
    """Recognizes people in photos: finds the faces, aligns, embeds and names them.

    Each part can be given ready-made; what is not given is built with defaults that suit the
    weights.

    Args:
        weights: Which weights embed the faces, as for :class:`facekit.Embedder`. Not together with
            ``embedder``.
        detector: Finds the faces.
        aligner: Cuts them out; by default the one that the weights were trained with.
        embedder: Embeds them.
        classifier: Names them; it is cloned, not changed. By default the one that ``facekit
            calibrate`` chose for the gallery, or else that of
            :func:`facekit.recognizer.default_classifier`.
            ``IdentityClassifier("centroid", fpir=0.001)`` names fewer strangers, and fewer of
            those who are enrolled.
        quality: The gate that a face must pass to be enrolled or named; ``None`` lets all pass.
        gallery: Who is enrolled: a :class:`facekit.Gallery` of these weights, or the folder of one,
            which is made if it is not there. By default an empty one in memory.

    Attributes:
        gallery: The enrolled embeddings, a :class:`facekit.Gallery`. In a folder, every change is
            on the disk when the method that makes it returns.
        report_: What became of the photos of the last :meth:`fit` or :meth:`enroll`, an
            :class:`facekit.EnrollmentReport`; empty before, and after :meth:`load`.

    Raises:
        InvalidArgumentError: If ``weights`` and ``embedder`` are both given, the aligner's pictures
            do not fit the embedder, the gallery belongs to other weights, the classifier has no
            threshold, or none is given and the weights have no threshold.
        WeightsNotFoundError: If the weights are not on this machine and cannot be fetched.
        WeightsError: If the weights are damaged or altered or do not fit.
        FileFormatError: If the gallery, or an embedder's own file, is damaged, altered or too new,
            or no gallery can be made in the folder.
        GalleryBusyError: If another process keeps the gallery locked.

    Example:
        >>> from facekit import FaceRecognizer
        >>> from matplotlib.cbook import get_sample_data
        >>> portrait = get_sample_data("grace_hopper.jpg", asfileobj=False)
        >>> recognizer = FaceRecognizer("facekit-small").fit({"Grace Hopper": portrait})
        >>> recognizer.people
        {'Grace Hopper': 1}
        >>> [person.label for person in recognizer.recognize(portrait)]
        ['Grace Hopper']
    """

    def __init__(
        self,
        weights: str | os.PathLike[str] | None = None,
        *,
        detector: Detector | None = None,
        aligner: Aligner | None = None,
        embedder: Embedder | None = None,
        classifier: IdentityClassifier | None = None,
        quality: QualityGate | None = QualityGate(),  # noqa: B008 - it is frozen
        gallery: Gallery | str | os.PathLike[str] | None = None,
    ) -> None:
        if weights is not None and embedder is not None:
            raise InvalidArgumentError("give either weights or embedder, not both")
        self.embedder = embedder or Embedder(DEFAULT_WEIGHTS if weights is None else weights)
        self.detector = detector or Detector()
        self.aligner = aligner or self.embedder.aligner()
        if self.aligner.size != self.embedder.input_size:
            raise InvalidArgumentError(
                f"aligner gives pictures of side {self.aligner.size}, the embedder reads "
                f"{self.embedder.input_size}"
            )
        if classifier is not None and classifier.threshold is None:
            raise InvalidArgumentError(
                "classifier needs a threshold: without one every stranger gets somebody's name"
            )
        self.quality = quality
        self.gallery = self._opened(gallery)
        self.classifier = (
            classifier or _kept_classifier(self.gallery) or default_classifier(self.embedder.record)
        )
        self.report_ = EnrollmentReport(())
        self._fitted: _Fitted | None = None
        self._shift: tuple[float, int] | None = None
        self._fitting = threading.Lock()

    def __repr__(self) -> str:
        return (
            f"FaceRecognizer({len(self.people)} people, {len(self.gallery)} photos, "
            f"weights={self.embedder.record.name!r})"
        )

    @property
    def people(self) -> dict[str, int]:
        """The enrolled people, sorted by name, with the number of photos of each."""
        return self.gallery.people

    @property
    def threshold(self) -> float:
        """The largest Euclidean distance at which a face is named.

        It follows from who is enrolled, unless the classifier has a threshold of its own.

        Raises:
            NotFittedError: If it follows from who is enrolled, and nobody is.
        """
        return self._threshold_of(None)

    @property
    def verification_threshold(self) -> float:
        """The largest Euclidean distance at which two photos count as one person's.

        The one that the classifier was given, or else that at which the weights accept one pair of
        strangers in a thousand.
        """
        given = self.classifier.threshold
        return self.embedder.record.threshold() if isinstance(given, str) else float(given or 0.0)

    def fit(self, photos: EnrollmentSource, *, progress: bool = True) -> FaceRecognizer:
        """Enrolls the people of some photos, in place of whoever was enrolled before.

        Every photo should show the face of its person; of several faces the largest is taken. A
        photo that cannot be used is left out, and named in ``report_`` and in a warning.

        Args:
            photos: A folder with one folder a person, named after the person; or ``{name:
                images}``, where the images are one image, a list of them or a folder; or pairs of
                ``(name, image)``.
            progress: Whether to show a progress bar, if standard error is a terminal.

        Returns:
            The recognizer itself.

        Raises:
            EnrollmentError: If no photo at all can be used; then nothing changes.
            InvalidArgumentError: If ``photos`` has another form, a name is empty, or the threshold
                cannot be calibrated for these people.

        Warns:
            EnrollmentWarning: If photos were left out or show several faces.
        """
        self._enroll(read_candidates(photos), anew=True, progress=progress)
        return self

    def enroll(
        self, name: str, photos: ImageSource | Sequence[ImageSource], *, progress: bool = True
    ) -> EnrollmentReport:
        """Adds photos of one person, who may be enrolled already.

        Args:
            name: Who it is.
            photos: One image, a list of images, or a folder of them.
            progress: Whether to show a progress bar, if standard error is a terminal.

        Returns:
            What became of each photo.

        Raises:
            EnrollmentError: If none of the photos can be used; then nothing changes.
            InvalidArgumentError: If the name is empty.

        Warns:
            EnrollmentWarning: If photos were left out or show several faces.
        """
        name = identity(name)
        return self._enroll(read_candidates({name: photos}), anew=False, progress=progress)

    def remove(self, name: str) -> int:
        """Forgets a person: embeddings, sources and what the classifier learned of them.

        From a gallery in a folder the person is erased. Files saved before still hold the person:
        save again over them, or delete them.

        Args:
            name: Who it is.

        Returns:
            How many photos were enrolled of that person.

        Raises:
            EnrollmentError: If nobody of that name is enrolled.
        """
        removed = self.gallery.remove(name)
        kept = tuple(o for o in self.report_.outcomes if o.person != name)
        self.report_ = EnrollmentReport(kept)
        return removed

    def cluster(
        self,
        photos: PhotoArchive,
        *,
        threshold: float | None = None,
        min_faces: int = 2,
        progress: bool = True,
    ) -> ArchiveClustering:
        """Groups the faces in photos into people; nobody needs to be enrolled.

        Args:
            photos: As :func:`facekit.cluster_photos` takes them; likewise the rest.
            threshold: The Euclidean distance up to which two faces are linked.
            min_faces: Smaller groups are left ungrouped.
            progress: Whether to show a progress bar, if standard error is a terminal.

        Returns:
            The groups; :meth:`enroll_group` enrolls one.

        Raises:
            ImageError: If the folder is missing or holds no pictures.
            InvalidArgumentError: If an argument cannot be used.
        """
        return cluster_photos(
            photos,
            embedder=self.embedder,
            detector=self.detector,
            aligner=self.aligner,
            quality=self.quality,
            threshold=threshold,
            min_faces=min_faces,
            progress=progress,
        )

    def enroll_group(self, name: str, group: PersonGroup) -> None:
        """Enrolls the faces of a group as one person, who may be enrolled already.

        Args:
            name: Who it is.
            group: One of the groups that :meth:`cluster` found.

        Raises:
            InvalidArgumentError: If the name is empty, or the group was found with other weights.
        """
        weights = self.embedder.record.identity
        if group.weights != weights:
            raise InvalidArgumentError(
                f"the group was found with the weights {group.weights}, the recognizer has "
                f"{weights}; their embeddings cannot be compared"
            )
        photos = [PhotoSource(found.source, box=found.face.box) for found in group.faces]
        self.gallery.enroll(identity(name), group.embeddings, photos)

    def recognize(self, image: ImageSource) -> list[RecognizedFace]:
        """Names the people in one photo.

        Args:
            image: Anything that :func:`facekit.load_image` reads.

        Returns:
            One result for each face, the most confidently detected first; an empty list if there
            is none.

        Raises:
            ImageError: If the image cannot be read.
            NotFittedError: If nobody is enrolled.
            InvalidArgumentError: If the threshold cannot be calibrated: the weights have no table
                of distances, and too few people are enrolled.
        """
        return self.recognize_batch([image], progress=False)[0]

    def recognize_batch(
        self, images: Iterable[ImageSource], *, progress: bool = True
    ) -> list[list[RecognizedFace]]:
        """Names the people in several photos; faces of different photos are embedded together.

        Args:
            images: Any number of images; a generator is read piece by piece.
            progress: Whether to show a progress bar, if standard error is a terminal.

        Returns:
            For each photo, in order, what :meth:`recognize` returns for it.

        Raises:
            ImageError: If one of the images cannot be read.
            InvalidArgumentError: If one image is given instead of several.
            NotFittedError: If nobody is enrolled.
        """
        fitted = self._current()
        check_several(images, instead="recognize")
        total = len(images) if isinstance(images, Sequence) else 0
        pictures = track(images, "Recognizing", total=total, shown=progress and total > 1)
        return [
            result
            for chunk in _chunks(pictures, _PICTURES_AT_A_TIME)
            for result in self._recognize_chunk(chunk, fitted)
        ]

    def explain(self, image: ImageSource, count: int = 5) -> list[Explanation]:
        """Says why each face of a photo gets its name, or none.

        Args:
            image: Anything that :func:`facekit.load_image` reads.
            count: How many of the nearest enrolled photos to list, at most.

        Returns:
            One explanation for each face, in the order of :meth:`recognize` and with its names.

        Raises:
            ImageError: If the image cannot be read.
            NotFittedError: If nobody is enrolled.
        """
        fitted = self._current()
        pixels = load_image(image)
        faces = self.detector.detect(pixels)
        embeddings = self.embedder.embed(self.aligner.align(pixels, faces))
        threshold = self._threshold_of(fitted)
        explanations = fitted.classifier.explain(embeddings, count)
        return [
            replace(
                found,
                name=(
                    found.candidate
                    if found.distance <= threshold and not self._problems(pixels, face)
                    else None
                ),
                threshold=threshold,
                nearest=tuple(self._with_source(neighbor) for neighbor in found.nearest),
            )
            for face, found in zip(faces, explanations, strict=True)
        ]

    def calibrate(self) -> float:
        """Refines the calibration with all photos of the gallery, and returns the threshold.

        Up to 2,000 photos this happens by itself whenever the gallery changes.

        Returns:
            The largest Euclidean distance at which a face is named, 0 to 2.

        Raises:
            NotFittedError: If nobody is enrolled.
            InvalidArgumentError: If the weights have no table of distances, and too few people are
                enrolled.
        """
        with self._fitting:
            self._fitted = self._shift = None
        return self._threshold_of(self._current())

    def verify(self, first: ImageSource, second: ImageSource) -> Verification:
        """Says whether two photos show the same person; nobody needs to be enrolled.

        Args:
            first: A photo; of several faces the largest counts.
            second: Another one.

        Returns:
            The answer, with the distance, the threshold and the faces compared.

        Raises:
            ImageError: If an image cannot be read.
            NoFaceError: If no face is found in one of them.
        """
        faces, aligned = [], []
        for image, fallback in ((first, "the first image"), (second, "the second image")):
            pixels = load_image(image)
            found = self.detector.detect(pixels)
            if not found:
                raise NoFaceError(
                    f"{describe_source(image, fallback)}: no face found; a larger or sharper "
                    "photo, or a lower min_face_size or thresholds of the Detector, may help"
                )
            faces.append(largest_face(found))
            aligned.append(self.aligner.align(pixels, faces[-1:]))
        one, other = self.embedder.embed(np.concatenate(aligned)).astype(np.float64)
        distance = float(np.linalg.norm(one - other))
        return Verification(
            same=distance <= self.verification_threshold,
            distance=distance,
            threshold=self.verification_threshold,
            faces=(faces[0], faces[1]),
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the recognizer to one file: the enrolled embeddings, the classifier, the settings.

        The weights of the embedder are not in it, only their name; neither are the photos. The
        file is biometric data of the people enrolled: keep it as such. A new one is readable by
        its owner alone.

        Args:
            path: Where to write. An existing file is replaced in one step.

        Raises:
            FileFormatError: If the file cannot be written.
            NotFittedError: If nobody is enrolled.
        """
        fitted = self._current()
        photos, embeddings = self.gallery.content()
        while self.gallery.enrolled() is not fitted.enrolled:  # changed by another thread
            fitted = self._current()
            photos, embeddings = self.gallery.content()
        classifier, calibration = fitted.classifier, fitted.classifier.calibration_
        safetensors_file.write(
            path,
            kind=_FILE_KIND,
            version=_FILE_VERSION,
            header={
                "weights": {
                    "name": self.embedder.record.name,
                    "identity": self.embedder.record.identity,
                },
                "detector": self.detector.get_params(),
                "aligner": self.aligner.to_dict(),
                "quality": None if self.quality is None else asdict(self.quality),
                "classifier": _classifier_to_dict(self.classifier),
                "shift": [calibration.shift, calibration.probes] if calibration else None,
                "names": [photo.person for photo in photos],
                "sources": [photo.source for photo in photos],
            },
            arrays={"embeddings": embeddings, **classifier.learned()},
            private=True,
        )

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, embedder: Embedder | None = None
    ) -> FaceRecognizer:
        """Reads a recognizer that :meth:`save` wrote; it gives the same answers to the bit.

        Args:
            path: The file.
            embedder: The embedder it was saved with, if its weights are not known by name.

        Returns:
            The recognizer.

        Raises:
            FileFormatError: If the file is missing, truncated, altered, of another kind or newer.
            InvalidArgumentError: If the embedder has other weights than the file was made with.
            WeightsNotFoundError: If the weights are not on this machine and cannot be fetched.
            WeightsError: If the weights are damaged or altered.
        """
        header, arrays = safetensors_file.read(path, kind=_FILE_KIND, newest_version=_FILE_VERSION)
        try:
            weights = header["weights"]
            embedder = embedder or _embedder_for(os.fspath(path), weights["name"])
            if embedder.record.identity != weights["identity"]:
                raise InvalidArgumentError(
                    f"{os.fspath(path)}: was made with the weights {weights['identity']}, the "
                    f"embedder has {embedder.record.identity}; their embeddings cannot be compared"
                )
            # Files from before there was a gate say nothing of one, and had none.
            quality = header.get("quality")
            recognizer = cls(
                detector=Detector(**header["detector"]),
                aligner=Aligner(**header["aligner"]),
                embedder=embedder,
                classifier=_classifier_from_dict(header["classifier"]),
                quality=None if quality is None else QualityGate(**quality),
            )
            recognizer.gallery.extend(header["names"], arrays.pop("embeddings"), header["sources"])
            if header.get("shift"):  # files of version 1 know none
                recognizer._shift = (float(header["shift"][0]), int(header["shift"][1]))
            if len(recognizer.gallery):
                recognizer._fitted = recognizer._fit(recognizer.gallery.enrolled(), arrays)
        except (KeyError, TypeError) as error:
            raise FileFormatError(
                f"{os.fspath(path)}: misses a part of a recognizer ({error})"
            ) from error
        return recognizer

    def _opened(self, gallery: Gallery | str | os.PathLike[str] | None) -> Gallery:
        weights, size = self.embedder.record.identity, self.embedder.embedding_size
        if gallery is None:
            return Gallery(weights, size)
        if not isinstance(gallery, Gallery):
            if Path(gallery).exists():
                return Gallery.open(gallery, weights=weights)
            return Gallery.create(gallery, weights, size)
        if gallery.weights != weights:
            raise InvalidArgumentError(
                f"gallery was made with the weights {gallery.weights}, the embedder has "
                f"{weights}; their embeddings cannot be compared"
            )
        return gallery

    def _current(self) -> _Fitted:
        enrolled = self.gallery.enrolled()
        if len(enrolled) == 0:
            raise NotFittedError(
                "nobody is enrolled; call fit with photos of the people, enroll, or load a file"
            )
        fitted = self._fitted
        if fitted is None or fitted.enrolled is not enrolled:
            with self._fitting:
                fitted = self._fitted
                if fitted is None or fitted.enrolled is not enrolled:
                    fitted = self._fitted = self._fit(enrolled, None)
        return fitted

    def _fit(self, enrolled: Enrolled, learned: dict[str, npt.NDArray[Any]] | None) -> _Fitted:
        classifier = clone(self.classifier)
        if classifier.distances is None:
            classifier.set_params(distances=self.embedder.record.distances)
        kept = self._shift if len(enrolled) > _CALIBRATED_AT_ONCE or learned is not None else None
        classifier.fit_enrolled(enrolled, shift=kept, learned=learned)
        found = classifier.calibration_
        self._shift = (found.shift, found.probes) if found is not None else None
        return _Fitted(classifier, enrolled)

    def _threshold_of(self, fitted: _Fitted | None) -> float:
        given = self.classifier.threshold
        if isinstance(given, str):
            return float((fitted or self._current()).classifier.threshold_ or 0.0)
        return float(given or 0.0)

    def _with_source(self, neighbor: Neighbor) -> Neighbor:
        try:
            return replace(neighbor, source=self.gallery.photo(neighbor.row + 1).source)
        except EnrollmentError:  # removed meanwhile
            return neighbor

    def _enroll(
        self, candidates: Sequence[Candidate], *, anew: bool, progress: bool
    ) -> EnrollmentReport:
        for candidate in candidates:
            if candidate.source is not None:
                identity(candidate.person)
        outcomes: list[PhotoOutcome] = []
        usable: list[Candidate] = []
        photos: list[PhotoSource] = []
        aligned: list[npt.NDArray[np.uint8]] = []
        tracked = track(candidates, "Finding faces", total=len(candidates), shown=progress)
        for candidate in tracked:
            outcome, picture, face = find_face(candidate, self.detector, self.aligner, self.quality)
            outcomes.append(outcome)
            if picture is not None and face is not None:
                usable.append(candidate)
                digest = _digest(candidate.source)
                photos.append(PhotoSource(candidate.label, sha256=digest, box=face.box))
                aligned.append(picture)
        report = EnrollmentReport(tuple(outcomes))
        if not usable:
            raise EnrollmentError(f"none of the photos can be enrolled\n{report.summary()}")
        embeddings = self.embedder.embed(np.concatenate(aligned), progress=progress)
        names = [candidate.person for candidate in usable]
        if anew:
            self.gallery.replace(names, embeddings, photos)
            self._shift = None
        else:
            self.gallery.extend(names, embeddings, photos)
        self.report_ = report
        if report.left_out or report.several_faces:
            warnings.warn(report.summary(), EnrollmentWarning, stacklevel=3)
        if anew:
            # Whoever cannot be calibrated for hears of it now, not at the first photo. People who
            # are enrolled one by one may become enough later.
            self._current()
        return report

    def _recognize_chunk(
        self, images: Sequence[ImageSource], fitted: _Fitted
    ) -> list[list[RecognizedFace]]:
        faces: list[list[Face]] = []
        problems: list[tuple[str, ...]] = []
        aligned: list[npt.NDArray[np.uint8]] = []
        for result in self.detector.detect_stream(images):
            if result.error is not None or result.image is None:
                raise result.error or ImageError(f"{result.source}: cannot be read")
            faces.append(result.faces)
            aligned.append(self.aligner.align(result.image, result.faces))
            problems += [self._problems(result.image, face) for face in result.faces]
        embeddings = self.embedder.embed(np.concatenate(aligned))
        found = fitted.classifier.identify(embeddings)
        threshold = self._threshold_of(fitted)
        answers = (found.candidate, found.distance, found.probability, problems)
        rows = iter(zip(*answers, strict=True))
        return [[_named(face, threshold, *next(rows)) for face in of_image] for of_image in faces]

    def _problems(self, pixels: RGBImage, face: Face) -> tuple[str, ...]:
        return () if self.quality is None else self.quality.assess(pixels, face).problems


def default_classifier(record: WeightsRecord) -> IdentityClassifier:
    """Returns the classifier of a :class:`FaceRecognizer` that is given none.

    It compares a face with the mean of each person's photos, and takes one stranger's face in a
    hundred for somebody who is enrolled, however many are. For weights without a table of
    distances, it is a linear SVM with a threshold at which one *pair* of strangers in a thousand
    passes.

    Args:
        record: The record of the weights.

    Returns:
        The classifier, not fitted.

    Raises:
        InvalidArgumentError: If the record has neither the table nor that threshold.

    Example:
        >>> from facekit.embedding.weights.registry import record_for
        >>> from facekit.recognizer import default_classifier
        >>> classifier = default_classifier(record_for("facekit-small"))
        >>> classifier.strategy, classifier.fpir
        ('centroid', 0.01)
    """
    if record.distances is None:
        return IdentityClassifier(threshold=record.threshold())
    return IdentityClassifier("centroid", fpir=DEFAULT_FPIR)


def _kept_classifier(gallery: Gallery) -> IdentityClassifier | None:
    kept = gallery.settings.get("calibration")
    if kept is None:
        return None
    try:
        return IdentityClassifier(kept["strategy"], fpir=kept["fpir"])
    except (KeyError, TypeError) as error:
        raise FileFormatError(
            f"{gallery.path}: its calibration cannot be read ({error}); facekit calibrate sets it"
        ) from error


def _digest(source: ImageSource | None) -> str | None:
    """Returns the SHA-256 of a photo's file; pictures that are no file have none."""
    if isinstance(source, str | os.PathLike):
        return safetensors_file.sha256(Path(source))
    return hashlib.sha256(source).hexdigest() if isinstance(source, bytes) else None


def _named(
    face: Face,
    threshold: float,
    candidate: str,
    distance: float,
    probability: float,
    problems: tuple[str, ...],
) -> RecognizedFace:
    return RecognizedFace(
        face=face,
        name=str(candidate) if distance <= threshold and not problems else None,
        candidate=str(candidate),
        distance=float(distance),
        threshold=threshold,
        probability=float(probability),
        problems=problems,
    )


def _classifier_to_dict(classifier: IdentityClassifier) -> dict[str, Any]:
    parameters: dict[str, Any] = classifier.get_params()
    table = parameters["distances"]
    return {**parameters, "distances": None if table is None else table.to_dict()}


def _classifier_from_dict(parameters: dict[str, Any]) -> IdentityClassifier:
    table = parameters.get("distances")
    return IdentityClassifier(
        **{**parameters, "distances": None if table is None else DistanceTable.from_dict(table)}
    )


def _chunks(items: Iterator[ImageSource], size: int) -> Iterator[list[ImageSource]]:
    while chunk := list(islice(items, size)):
        yield chunk


def _embedder_for(path: str, weights: str) -> Embedder:
    if weights not in REGISTRY:
        raise InvalidArgumentError(
            f"{path}: was made with the weights {weights!r}, which are not known by name; pass "
            "embedder=Embedder(<path of the weights>)"
        )
    return Embedder(weights)
