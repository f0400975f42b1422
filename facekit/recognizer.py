"""FaceRecognizer: detector, aligner, embedder and classifier in one object."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from facekit import parts
from facekit.alignment import Aligner
from facekit.detection import FaceDetector, make_detector
from facekit.embedding import Embedder, FaceEmbedder
from facekit.embedding.weights.registry import DEFAULT_WEIGHTS
from facekit.enrollment import Enrollment, discard, partial_gallery
from facekit.errors import (
    CalibrationWarning,
    EnrollmentError,
    EnrollmentWarning,
    FileFormatError,
    InvalidArgumentError,
    NoFaceError,
    NotFittedError,
)
from facekit.faces import Identity, RecognizedFace, Verification
from facekit.gallery import Gallery
from facekit.gallery.decisions import Decision, Decisions
from facekit.gallery.enrolled import Enrolled
from facekit.gallery.records import PhotoSource
from facekit.identification import IdentityClassifier, default_classifier
from facekit.identification.answers import Explanation, Neighbor
from facekit.identification.calibration import Calibration
from facekit.identification.decided import decide, once_each, usable
from facekit.identification.means import MeanIdentifier
from facekit.io.decoding import Truncated
from facekit.io.folders import list_images
from facekit.io.images import MAX_PIXELS, ImageSource, Reading, check_several, describe_source
from facekit.io.people import EnrollmentSource, PersonImage, people_images
from facekit.io.sources import StreamSource, all_or_batch_error
from facekit.pipeline import EmbeddedFace, EmbeddedImage, FacePipeline
from facekit.quality import QualityGate
from facekit.quality.gate import limits_broken
from facekit.report import PhotoReport, RecognizedImage
from facekit.utils.forking import ForkLock
from facekit.utils.progress import track
from facekit.utils.validation import identity, unit_rows

if TYPE_CHECKING:
    from facekit.clustering.albums import ArchiveClustering, PersonGroup, PhotoArchive
    from facekit.video import FaceTracker, Track, VideoRecognition, VideoResult
    from facekit.video.recognition import VideoSource

# How many photos an error names; the report has all.
_NAMED = 10

# Up to this many photos every change of the gallery refines the calibration; beyond that it is kept
# until calibrate or fit is called.
_CALIBRATED_AT_ONCE = 2000


_Judged: TypeAlias = tuple[EmbeddedFace, Decision]


class _Fitted(NamedTuple):
    classifier: IdentityClassifier
    enrolled: Enrolled
    used: Enrolled  # without photos that corrections exclude
    decisions: Decisions
    parameters: dict[str, Any]


class FaceRecognizer:
    """Recognizes people in photos: finds the faces, aligns, embeds and names them.

    Each part can be given ready-made; what is not given is built with defaults that suit the
    weights.

    Args:
        weights: Which weights embed the faces, as for :class:`facekit.Embedder`. Not together with
            ``embedder``.
        detector: Finds the faces: ``"mtcnn"``, the default, ``"yunet"``, a
            :class:`facekit.Detector`, or any :class:`facekit.FaceDetector`.
        aligner: Cuts them out; by default the one that the weights were trained with.
        embedder: Embeds them: a :class:`facekit.Embedder`, or any
            :class:`facekit.FaceEmbedder`.
        classifier: Names them; it is cloned, not changed. By default the one that ``facekit
            calibrate`` chose for the gallery, or else that of
            :func:`facekit.identification.default_classifier`.
            ``IdentityClassifier("centroid", fpir=0.001)`` names fewer strangers, and fewer of
            those who are enrolled.
        quality: The gate that a face must pass to be enrolled or grouped; ``None`` lets all pass.
        naming_quality: The wider gate that a face must pass to be named; ``None`` names all. What
            passes it, but not ``quality``, is named with ``remarks``.
        gallery: Who is enrolled: a :class:`facekit.Gallery` of these weights, or the path of one,
            which is made if it is not there. By default an empty one in memory.
        max_pixels: The largest image that is read, in pixels.
        truncated: Whether a JPEG whose end is missing is used, as for :func:`facekit.load_image`.

    Attributes:
        gallery: The enrolled embeddings, a :class:`facekit.Gallery`. In a file, every change is
            on the disk when the method that makes it returns.
        report_: What happened to the photos of the last :meth:`fit` or :meth:`enroll`, an
            :class:`facekit.PhotoReport`; empty before, and after :meth:`load`.

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
        detector: FaceDetector | str | None = None,
        aligner: Aligner | None = None,
        embedder: FaceEmbedder | None = None,
        classifier: IdentityClassifier | None = None,
        quality: QualityGate | None = QualityGate(),  # noqa: B008 - it is frozen
        naming_quality: QualityGate | None = QualityGate.for_naming(),  # noqa: B008
        gallery: Gallery | str | os.PathLike[str] | None = None,
        max_pixels: int = MAX_PIXELS,
        truncated: Truncated = "error",
    ) -> None:
        if weights is not None and embedder is not None:
            raise InvalidArgumentError("give either weights or embedder, not both")
        self.embedder: FaceEmbedder = embedder or Embedder(
            DEFAULT_WEIGHTS if weights is None else weights
        )
        if detector is None or isinstance(detector, str):
            detector = make_detector(detector or "mtcnn")
        self.detector: FaceDetector = detector
        self.aligner = aligner or Aligner(**self.embedder.record.alignment)
        self.quality = quality
        self.naming_quality = naming_quality
        self.max_pixels = max_pixels
        self.truncated = truncated
        self._pipeline(None)  # checks that the parts fit
        if classifier is not None and classifier.threshold is None:
            raise InvalidArgumentError(
                "classifier needs a threshold: without one every stranger gets somebody's name"
            )
        self.gallery = self._opened(gallery)
        self.classifier = (
            classifier or _kept_classifier(self.gallery) or default_classifier(self.embedder.record)
        )
        self.report_ = PhotoReport(())
        self._fitted: _Fitted | None = None
        self._shift: tuple[float, int] | None = None
        self._cohort = _kept_cohort(self.gallery.settings.get("calibration"))
        self._fitting = ForkLock()

    def __repr__(self) -> str:
        return (
            f"FaceRecognizer({len(self.people)} people, {len(self.gallery)} photos, "
            f"weights={self.embedder.record.name!r})"
        )

    def __getstate__(self) -> dict[str, Any]:
        # What the classifier learned follows from the gallery.
        return {**self.__dict__, "_fitted": None}

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
    def calibration(self) -> Calibration:
        """Where the threshold comes from, and in ``doubt`` why it may not hold for these people.

        Raises:
            NotFittedError: If nobody is enrolled.
        """
        found = self._current().classifier.calibration_
        assert found is not None  # the classifier has a threshold
        return found

    @property
    def verification_threshold(self) -> float:
        """The largest Euclidean distance at which two photos count as one person's.

        The one that the classifier was given, or else that at which the weights accept one pair of
        strangers in a thousand.
        """
        given = self.classifier.threshold
        return self.embedder.record.threshold() if isinstance(given, str) else float(given or 0.0)

    def fit(
        self, photos: EnrollmentSource, *, cropped: bool = False, progress: bool = True
    ) -> FaceRecognizer:
        """Enrolls the people of some photos, in place of those enrolled before.

        Every photo should show the face of its person; of several faces the largest is taken. A
        photo that cannot be used is left out, and named in ``report_`` and in a warning. The photos
        are read piece by piece; the people before are replaced at the end, in one step. With a
        gallery in a file, a call that is interrupted keeps what it has done beside that file, and
        the next one goes on from there.

        Args:
            photos: A folder with one folder a person, named after the person; or ``{name:
                images}``, where the images are one image, a list of them or a folder; or pairs of
                ``(name, image)``.
            cropped: Whether each image is cut to the face already, so that the whole image is the
                face and nothing is detected.
            progress: Whether to show a progress bar, if standard error is a terminal.

        Returns:
            The recognizer itself.

        Raises:
            EnrollmentError: If no photo at all can be used; then nothing changes.
            InvalidArgumentError: If ``photos`` has another form, a name is empty, or the threshold
                cannot be calibrated for these people.

        Warns:
            EnrollmentWarning: If photos were left out or show several faces.
            CalibrationWarning: As :meth:`calibrate`.
        """
        images = people_images(photos)
        fresh = partial_gallery(self.gallery)
        enrollment = Enrollment(fresh)
        try:
            self._enroll(enrollment, images, cropped=cropped, progress=progress)
        except EnrollmentError:
            fresh.close()
            if fresh.path is not None:
                discard(fresh.path)
            raise
        self.gallery.replace(enrollment.content())
        fresh.close()
        if fresh.path is not None:
            discard(fresh.path)
        self._shift = self._cohort = None
        # If the threshold cannot be calibrated for these people, that is an error now, not at the
        # first photo. People who are enrolled one by one may become enough later.
        self._warn_of_resemblance()
        return self

    def enroll(
        self,
        name: str,
        photos: ImageSource | Sequence[ImageSource],
        *,
        cropped: bool = False,
        progress: bool = True,
    ) -> PhotoReport:
        """Adds photos of one person, who may be enrolled already.

        A photo in a file that is enrolled for this person already, by its content, is passed over.

        Args:
            name: Who it is.
            photos: One image, a list of images, or a folder of them.
            cropped: As for :meth:`fit`.
            progress: Whether to show a progress bar, if standard error is a terminal.

        Returns:
            The outcome for each photo.

        Raises:
            EnrollmentError: If none of the photos can be used; then nothing changes.
            InvalidArgumentError: If the name is empty.

        Warns:
            EnrollmentWarning: If photos were left out or show several faces.
        """
        return self.enroll_people({identity(name): photos}, cropped=cropped, progress=progress)

    def enroll_people(
        self, photos: EnrollmentSource, *, cropped: bool = False, progress: bool = True
    ) -> PhotoReport:
        """Adds photos of several people, who may be enrolled already.

        With a gallery in a file, what is enrolled is on the disk every few photos. A call that is
        interrupted goes on when it is repeated: photos in files that are enrolled already, by their
        content, are passed over.

        Args:
            photos: As for :meth:`fit`.
            cropped: As for :meth:`fit`.
            progress: Whether to show a progress bar, if standard error is a terminal.

        Returns:
            The outcome for each photo.

        Raises:
            EnrollmentError: If none of the photos can be used; then nothing changes.
            InvalidArgumentError: If ``photos`` has another form or a name is empty.

        Warns:
            EnrollmentWarning: If photos were left out or show several faces.
        """
        images = people_images(photos)
        return self._enroll(Enrollment(self.gallery), images, cropped=cropped, progress=progress)

    def remove(self, name: str) -> int:
        """Forgets a person: embeddings, sources and what the classifier learned of them.

        From a gallery in a file the person is erased. Files saved before still hold the person:
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
        self.report_ = PhotoReport(kept)
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

        The corrections of the gallery are followed (:attr:`facekit.Gallery.review`).

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
        from facekit.clustering.albums import cluster_photos

        return cluster_photos(
            photos,
            embedder=self.embedder,
            detector=self.detector,
            aligner=self.aligner,
            quality=self.quality,
            threshold=threshold,
            min_faces=min_faces,
            decisions=self.gallery.decisions(),
            **self._reading,
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
        self._check_weights("the group was found", group.weights)
        photos = [PhotoSource(found.source, box=found.face.box) for found in group.faces]
        self.gallery.enroll(identity(name), group.embeddings, photos)

    def faces(self, images: StreamSource) -> Iterator[EmbeddedImage]:
        """Finds and embeds the faces of images as :meth:`recognize` does, and names nobody.

        Args:
            images: As for :meth:`recognize_stream`.

        Yields:
            One result for each image, with the SHA-256 of its file.

        Raises:
            ImageError: If the folder, the video or the camera cannot be opened.
        """
        return self._pipeline(self.naming_quality).run(images, digests=True, **self._reading)

    def recognize(self, image: ImageSource, *, cropped: bool = False) -> list[RecognizedFace]:
        """Names the people in one photo.

        Args:
            image: Anything that :func:`facekit.load_image` reads.
            cropped: As for :meth:`fit`.

        Returns:
            One result for each face, the most confidently detected first; an empty list if there
            is none.

        Raises:
            ImageError: If the image cannot be read.
            NotFittedError: If nobody is enrolled.
            InvalidArgumentError: If the threshold cannot be calibrated: the weights have no table
                of distances, and too few people are enrolled.
        """
        (result,) = self.recognize_stream([image], cropped=cropped)
        if result.error is not None:
            raise result.error
        return list(result.faces)

    def recognize_batch(
        self, images: Iterable[ImageSource], *, cropped: bool = False, progress: bool = True
    ) -> list[list[RecognizedFace]]:
        """Names the people in several photos; faces of different photos are embedded together.

        Args:
            images: Any number of images; a generator is read piece by piece.
            cropped: As for :meth:`fit`.
            progress: Whether to show a progress bar, if standard error is a terminal.

        Returns:
            For each photo, in order, what :meth:`recognize` returns for it.

        Raises:
            BatchError: If some of the images cannot be read; it is raised after the others were
                recognized, holds their results, and is an :class:`facekit.ImageError`.
            InvalidArgumentError: If one image is given instead of several.
            NotFittedError: If nobody is enrolled.
        """
        check_several(images, instead="recognize")
        total = len(images) if isinstance(images, Sequence) else 0
        stream = self.recognize_stream(images, cropped=cropped)
        tracked = track(stream, "Recognizing", total=total, shown=progress and total > 1)
        return all_or_batch_error([image.error or list(image.faces) for image in tracked])

    def recognize_stream(
        self, images: StreamSource, *, every: int = 1, cropped: bool = False
    ) -> Iterator[RecognizedImage]:
        """Names the people in any number of photos, or in a video, one after the other.

        Photos are read ahead in the background, results come in order, and the memory does not grow
        with their number. A photo that cannot be read is reported in its place, and the rest goes
        on.

        Args:
            images: A folder, a video file, the number of a camera, or any number of images, such as
                a generator.
            every: Take one of this many images or frames.
            cropped: As for :meth:`fit`.

        Yields:
            One result for each photo, with its faces or its error.

        Raises:
            ImageError: If the folder, the video or the camera cannot be opened.
            NotFittedError: If nobody is enrolled.

        Example:
            >>> from facekit import FaceRecognizer
            >>> from matplotlib.cbook import get_sample_data
            >>> portrait = get_sample_data("grace_hopper.jpg", asfileobj=False)
            >>> recognizer = FaceRecognizer("facekit-small").fit({"Grace Hopper": portrait})
            >>> for image in recognizer.recognize_stream([portrait, "no_such_photo.jpg"]):
            ...     print([face.label for face in image.faces], image.error is None)
            ['Grace Hopper'] True
            [] False
        """
        fitted = self._current()
        groups = self._pipeline(self.naming_quality).run_grouped(
            images,
            every=every,
            cropped=cropped,
            digests=bool(fitted.decisions),
            **self._reading,
        )
        return self._named(groups, fitted, cropped=cropped)

    def recognize_video(
        self,
        source: VideoSource,
        *,
        stride: int | None = None,
        on_track: Callable[[Track], object] | None = None,
        tracker: FaceTracker | None = None,
        min_faces: int = 3,
        seconds: float | None = None,
    ) -> VideoResult:
        """Says who appears in a video, and when.

        Each person is followed from frame to frame and named once, by the mean of all their faces,
        whose law of distances the calibration knows. The pixels of few frames are in memory at a
        time.

        Args:
            source: A video file, the number of a camera, the address of a stream (``rtsp://…``), or
                frames (:class:`facekit.video.VideoFrame`). A camera needs ``seconds``, or it runs
                until it breaks off; see :class:`facekit.video.VideoRecognition`.
            stride: Search one in this many frames; by default as many as make about eight searches
                a second.
            on_track: Called with a :class:`facekit.video.Track` when it gets a name, when that is
                revised, and when it ends.
            tracker: Follows the boxes; a new :class:`facekit.video.BoxTracker` by default.
            min_faces: A track with fewer good faces is not named, and listed apart.
            seconds: Stop after this many seconds of the video.

        Returns:
            The people with their appearances, boxes and names. If nobody is enrolled, all are
            unknown.

        Raises:
            ImageError: If the video or camera cannot be opened or read.
            InvalidArgumentError: If an argument cannot be used.
            MissingExtraError: If PyAV is not installed; it comes with the extra ``video``.

        Example:
            >>> from facekit import FaceRecognizer, load_image
            >>> from facekit.video import VideoFrame
            >>> from matplotlib.cbook import get_sample_data
            >>> portrait = load_image(get_sample_data("grace_hopper.jpg", asfileobj=False))
            >>> recognizer = FaceRecognizer("facekit-small").fit({"Grace Hopper": portrait})
            >>> frames = [VideoFrame(n, n / 8, portrait) for n in range(4)]
            >>> result = recognizer.recognize_video(frames)
            >>> [(track.label, track.start, track.end) for track in result.tracks]
            [('Grace Hopper', 0.0, 0.375)]
        """
        run = self.video_recognition(
            source,
            stride=stride,
            on_track=on_track,
            tracker=tracker,
            min_faces=min_faces,
            seconds=seconds,
        )
        for _ in run:
            pass
        return run.result()

    def video_recognition(self, source: VideoSource, **options: Any) -> VideoRecognition:
        """Prepares what :meth:`recognize_video` does, to be gone through frame by frame.

        Args:
            source: As for :meth:`recognize_video`.
            options: As for :class:`facekit.video.VideoRecognition`.

        Returns:
            What is to be iterated over, and has the result.

        Raises:
            ImageError: If the video cannot be opened.
            InvalidArgumentError: If an argument cannot be used.
            MissingExtraError: If PyAV is not installed; it comes with the extra ``video``.
        """
        from facekit.video import VideoRecognition

        identify = None
        if len(self.gallery):
            fitted = self._current()
            # One for the whole video: it keeps the laws that it has found.
            identify = MeanIdentifier(fitted.classifier, fitted.used).identify
        options = {"max_pixels": self.max_pixels, **options}
        return VideoRecognition(source, self._pipeline(self.naming_quality), identify, **options)

    def identify(
        self,
        embeddings: npt.ArrayLike,
        images: Sequence[float] | None = None,
        *,
        photos: Sequence[PhotoSource] | None = None,
    ) -> list[Identity]:
        """Says whose the given embeddings are.

        Args:
            embeddings: ``(n, d)``, of unit L2 norm, made by the recognizer's embedder.
            images: How many images of one person each embedding is the scaled mean of, at least 1:
                a mean has another law of distances, and so another threshold. By default each is of
                one image. Images that resemble each other count for fewer:
                ``DistanceTable.independent_images``.
            photos: Where the face of each is, with ``sha256`` and ``box``: then the corrections of
                the gallery decide first (:attr:`facekit.Gallery.review`).

        Returns:
            One answer for each.

        Raises:
            NotFittedError: If nobody is enrolled.
            InvalidArgumentError: If the embeddings have another shape or norm, or there are not as
                many photos.

        Example:
            >>> from facekit import FaceRecognizer
            >>> from matplotlib.cbook import get_sample_data
            >>> portrait = get_sample_data("grace_hopper.jpg", asfileobj=False)
            >>> recognizer = FaceRecognizer("facekit-small").fit({"Grace Hopper": portrait})
            >>> [found.label for found in recognizer.identify(recognizer.gallery.embeddings)]
            ['Grace Hopper']
        """
        fitted = self._current()
        rows = unit_rows(embeddings, self.embedder.embedding_size)
        if photos is not None and len(photos) != len(rows):
            raise InvalidArgumentError(
                f"photos must be as many as embeddings, got {len(photos)} for {len(rows)}"
            )
        found = (
            self._identities(rows, fitted)
            if images is None
            else MeanIdentifier(fitted.classifier, fitted.used).identify(rows, images)
        )
        if photos is None:
            return found
        return [
            decide(answer, row, fitted.decisions.of(photo), fitted.classifier)
            for answer, row, photo in zip(found, rows, photos, strict=True)
        ]

    def explain(
        self, image: ImageSource, count: int = 5, *, cropped: bool = False
    ) -> list[Explanation]:
        """Says why each face of a photo gets its name, or none.

        Args:
            image: Anything that :func:`facekit.load_image` reads.
            count: How many of the nearest enrolled photos to list, at most.
            cropped: As for :meth:`fit`.

        Returns:
            One explanation for each face, in the order of :meth:`recognize` and with its names.

        Raises:
            ImageError: If the image cannot be read.
            NotFittedError: If nobody is enrolled.
        """
        fitted = self._current()
        (found,) = self._embedded([image], cropped=cropped, digests=bool(fitted.decisions))
        judged = _judged(found, fitted)
        unit = self._rows([face.unit for face, _ in judged])
        explanations = fitted.classifier.explain(unit, count)
        identities = self._decided(judged, fitted)
        answers = tuple(_answer(face, next(identities), said, None) for face, said in judged)
        if fitted.decisions.once_per_image:
            answers = once_each(answers, _accepted(judged))
        return [
            replace(
                why,
                name=answer.name,
                candidate=answer.candidate,
                distance=answer.distance,
                probability=answer.probability,
                threshold=answer.threshold,
                nearest=tuple(self._with_source(neighbor) for neighbor in why.nearest),
            )
            for answer, why in zip(answers, explanations, strict=True)
        ]

    def calibrate(
        self,
        cohort: StreamSource | npt.NDArray[np.floating[Any]] | None = None,
        *,
        cropped: bool = False,
        progress: bool = True,
    ) -> float:
        """Refines the calibration, and returns the threshold.

        Without a cohort all photos of the gallery are compared with each other. Up to 2,000 photos
        this happens by itself whenever the gallery changes. A cohort of people who are not enrolled
        and resemble those who will be met takes their place: the threshold is then the one at which
        ``fpir`` of these faces get a name. It follows later changes of the gallery until
        :meth:`fit` or the next call, and :meth:`save` keeps it.

        Args:
            cohort: A folder of images and of all folders in it, or images, or embeddings, float
                ``(n, d)`` of unit norm. Some hundred faces, none of an enrolled person.
            cropped: Whether each image of the cohort is cut to the face already, as for
                :meth:`fit`.
            progress: Whether to show a progress bar, if standard error is a terminal.

        Returns:
            The largest Euclidean distance at which a face is named, 0 to 2.

        Raises:
            NotFittedError: If nobody is enrolled.
            InvalidArgumentError: If there are no faces in the cohort, it has another form, the
                weights have no table of distances, or too few people are enrolled.

        Warns:
            EnrollmentWarning: If images of the cohort cannot be read or show no face.
            CalibrationWarning: If the enrolled people resemble each other so much that strangers
                like them will get a name more often than ``fpir`` says.

        Example:
            >>> import numpy as np
            >>> from facekit import FaceRecognizer
            >>> from matplotlib.cbook import get_sample_data
            >>> portrait = get_sample_data("grace_hopper.jpg", asfileobj=False)
            >>> recognizer = FaceRecognizer("facekit-small").fit({"Grace Hopper": portrait})
            >>> cohort = np.random.default_rng(0).normal(size=(500, 128))
            >>> cohort /= np.linalg.norm(cohort, axis=1, keepdims=True)
            >>> 0 < recognizer.calibrate(cohort) < 2
            True
        """
        faces = None
        if cohort is not None:
            faces = self._cohort_embeddings(cohort, cropped=cropped, progress=progress)
        with self._fitting:
            self._fitted = self._shift = self._cohort = None
        if faces is not None:
            self._check_weights("gallery was made", self.gallery.weights)
            classifier = self._classifier().fit_enrolled(self._current().used, cohort=faces)
            found = classifier.calibration_
            if found is not None and classifier.distances is None:
                raise InvalidArgumentError(
                    "the weights have no table of distances that a cohort could refine; give the "
                    f"classifier a threshold: {found.threshold:.3f} is that of this cohort"
                )
            if found is not None:
                self._cohort, self._fitted = (found.shift, found.probes), None
        self._warn_of_resemblance()
        return self.threshold

    def verify(
        self, first: ImageSource, second: ImageSource, *, cropped: bool = False
    ) -> Verification:
        """Says whether two photos show the same person; nobody needs to be enrolled.

        Args:
            first: A photo; of several faces the largest counts.
            second: Another one.
            cropped: As for :meth:`fit`.

        Returns:
            The answer, with the distance, the threshold and the faces compared.

        Raises:
            ImageError: If an image cannot be read.
            NoFaceError: If no face is found in one of them.
        """
        images = self._embedded([first, second], select="largest", cropped=cropped)
        for image, found, fallback in zip(
            (first, second), images, ("the first image", "the second image"), strict=True
        ):
            if not found.faces:
                raise NoFaceError(
                    f"{describe_source(image, fallback)}: no face found; a larger or sharper "
                    "photo, or a lower min_face_size or thresholds of the Detector, may help"
                )
        one, other = (found.faces[0] for found in images)
        distance = float(np.linalg.norm(one.unit.astype(np.float64) - other.unit))
        return Verification(
            same=distance <= self.verification_threshold,
            distance=distance,
            threshold=self.verification_threshold,
            faces=(one.face, other.face),
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a gallery file with everybody enrolled and the recognizer's parameters.

        The weights of the embedder are not in it, only their name; neither are the photos. The
        file is biometric data of the people enrolled: keep it as such.

        Args:
            path: Where to write. An existing gallery is replaced in one step.

        Raises:
            FileFormatError: If the file cannot be written.
            NotFittedError: If nobody is enrolled.
        """
        self._current()
        path = Path(path)
        kept = {**self.gallery.settings, "recognizer": self._to_dict()}
        kept.pop("calibration", None)  # the classifier has it
        if self.gallery.path is not None and path.resolve() == self.gallery.path.resolve():
            self.gallery.set_settings(kept)
            return
        self.gallery.copy(path, overwrite=True, settings=kept).close()

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        detector: FaceDetector | str | None = None,
        embedder: FaceEmbedder | None = None,
        classifier: IdentityClassifier | None = None,
    ) -> FaceRecognizer:
        """Opens a gallery file as a recognizer, with the parameters that :meth:`save` kept there.

        It gives the same answers to the bit, and works on the file: what it enrolls or removes is
        changed there. A gallery without parameters gets the default parts.

        Args:
            path: The file.
            detector: The detector it was saved with, if that is not one of facekit's own.
            embedder: The embedder it was saved with, if its weights are not known by name.
            classifier: Another classifier than that it was saved with.

        Returns:
            The recognizer.

        Raises:
            FileFormatError: If the file is missing, truncated, altered, of another kind or newer.
            InvalidArgumentError: If the detector or the embedder is needed and not given, or the
                embedder has other weights than the file was made with.
            WeightsNotFoundError: If the weights are not on this machine and cannot be fetched.
            WeightsError: If the weights are damaged or altered.
        """
        gallery = Gallery.open(path)
        try:
            name = gallery.weights.rpartition("@")[0]
            embedder = embedder or parts.embedder_by_name(name, os.fspath(path))
            kept = gallery.settings.get("recognizer")
            if kept is None:
                return cls(
                    detector=detector, embedder=embedder, classifier=classifier, gallery=gallery
                )
            recognizer = cls(
                detector=detector or parts.detector_from_dict(kept["detector"], os.fspath(path)),
                aligner=Aligner(**kept["aligner"]),
                embedder=embedder,
                # What facekit calibrate set after it was saved comes first.
                classifier=classifier
                or _kept_classifier(gallery)
                or parts.classifier_from_dict(kept["classifier"]),
                quality=parts.quality_from_dict(kept["quality"]),
                naming_quality=parts.quality_from_dict(kept["naming_quality"]),
                gallery=gallery,
            )
            if kept["shift"] is not None:
                recognizer._shift = (float(kept["shift"][0]), int(kept["shift"][1]))
            recognizer._cohort = recognizer._cohort or _kept_cohort(kept)
        except (KeyError, TypeError) as error:
            gallery.close()
            raise FileFormatError(
                f"{os.fspath(path)}: misses a part of a recognizer ({error})"
            ) from error
        except BaseException:
            gallery.close()
            raise
        return recognizer

    def _to_dict(self) -> dict[str, Any]:
        return {
            "detector": parts.detector_to_dict(self.detector),
            "aligner": self.aligner.to_dict(),
            "quality": parts.quality_to_dict(self.quality),
            "naming_quality": parts.quality_to_dict(self.naming_quality),
            "classifier": parts.classifier_to_dict(self.classifier),
            "shift": self._shift,
            "cohort": self._cohort,
        }

    @property
    def _reading(self) -> Reading:
        return {"max_pixels": self.max_pixels, "truncated": self.truncated}

    def _pipeline(self, quality: QualityGate | None) -> FacePipeline:
        return FacePipeline(self.detector, self.embedder, aligner=self.aligner, quality=quality)

    def _opened(self, gallery: Gallery | str | os.PathLike[str] | None) -> Gallery:
        weights, size = self.embedder.record.identity, self.embedder.embedding_size
        if gallery is None:
            return Gallery(weights, size)
        if not isinstance(gallery, Gallery):
            if Path(gallery).exists():
                return Gallery.open(gallery, weights=weights)
            return Gallery.create(gallery, weights, size)
        self._check_weights("gallery was made", gallery.weights)
        return gallery

    def _check_weights(self, what: str, weights: str) -> None:
        own = self.embedder.record.identity
        if weights != own:
            raise InvalidArgumentError(
                f"{what} with the weights {weights}, the embedder has {own}; their embeddings "
                "cannot be compared"
            )

    def _current(self) -> _Fitted:
        self._check_weights("gallery was made", self.gallery.weights)
        enrolled = self.gallery.enrolled()
        if len(enrolled) == 0:
            raise NotFittedError(
                "nobody is enrolled; call fit with photos of the people, enroll, or load a file"
            )
        decisions, parameters = self.gallery.decisions(), self.classifier.get_params()
        fitted = self._fitted
        if not _is_current(fitted, enrolled, decisions, parameters):
            with self._fitting:
                fitted = self._fitted
                if not _is_current(fitted, enrolled, decisions, parameters):
                    fitted = self._fitted = self._fit(enrolled, decisions, parameters)
        assert fitted is not None
        return fitted

    def _fit(self, enrolled: Enrolled, decisions: Decisions, parameters: dict[str, Any]) -> _Fitted:
        used = usable(self.gallery, enrolled, decisions)
        if len(used) == 0:
            raise NotFittedError("corrections exclude every enrolled photo; enroll others")
        kept = self._cohort or (self._shift if len(used) > _CALIBRATED_AT_ONCE else None)
        classifier = self._classifier().fit_enrolled(used, shift=kept)
        found = classifier.calibration_
        self._shift = (found.shift, found.probes) if found is not None else None
        return _Fitted(classifier, enrolled, used, decisions, parameters)

    def _classifier(self) -> IdentityClassifier:
        classifier = type(self.classifier)(**self.classifier.get_params())
        if classifier.distances is None:
            classifier.set_params(distances=self.embedder.record.distances)
        return classifier

    def _warn_of_resemblance(self) -> None:
        doubt = self.calibration.doubt
        if doubt:
            warnings.warn(doubt, CalibrationWarning, stacklevel=3)

    def _cohort_embeddings(
        self, cohort: StreamSource | npt.NDArray[Any], *, cropped: bool, progress: bool
    ) -> npt.NDArray[np.float32]:
        if isinstance(cohort, np.ndarray) and cohort.ndim == 2:
            return unit_rows(cohort, self.embedder.embedding_size, "cohort")
        images: StreamSource = cohort
        if isinstance(images, str | os.PathLike) and Path(images).is_dir():
            images = list_images(images, recursive=True).checked().images
        unit, unused = [], []
        said = self.gallery.decisions()
        run = self._pipeline(None).run(images, cropped=cropped, digests=bool(said), **self._reading)
        for image in track(run, "Embedding the cohort", total=0, shown=progress):
            unit += [f.unit for f in image.faces if not said.of(f.photo(image.sha256)).excluded]
            if not image.faces:
                unused.append(f"{image.source}: {image.error or 'no face found'}")
        if not unit:
            raise InvalidArgumentError(
                f"cohort: no face in any of {len(unused)} images{_listed(unused)}"
            )
        if unused:
            warnings.warn(
                f"cohort: {len(unused)} images are not used{_listed(unused)}",
                EnrollmentWarning,
                stacklevel=3,
            )
        return self._rows(unit)

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
        self,
        enrollment: Enrollment,
        images: Iterable[PersonImage],
        *,
        cropped: bool,
        progress: bool,
    ) -> PhotoReport:
        self._check_weights("gallery was made", self.gallery.weights)
        enrolled_before = self.report_
        try:
            report = enrollment.run(
                images,
                self._pipeline(self.quality),
                cropped=cropped,
                **self._reading,
                progress=progress,
            )
        finally:
            self.report_ = enrollment.report
        if not report.used and not report.already_enrolled:
            self.report_ = enrolled_before
            lines = [outcome.line().strip() for outcome in report.left_out]
            raise EnrollmentError(
                f"none of the photos can be enrolled{_listed(lines)}{_way_round(report)}"
            )
        if report.left_out or report.several_faces:
            warnings.warn(report.summary() + _way_round(report), EnrollmentWarning, stacklevel=4)
        return report

    def _embedded(self, images: list[ImageSource], **options: Any) -> list[EmbeddedImage]:
        found = list(self._pipeline(self.naming_quality).run(images, **self._reading, **options))
        for image in found:
            if image.error is not None:
                raise image.error
        return found

    def _rows(self, embeddings: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
        return np.reshape(np.array(embeddings), (-1, self.embedder.embedding_size))

    def _identities(self, embeddings: npt.ArrayLike, fitted: _Fitted) -> list[Identity]:
        found = fitted.classifier.identify(embeddings)
        threshold = self._threshold_of(fitted)
        return [
            Identity(
                name=str(candidate) if distance <= threshold else None,
                candidate=str(candidate),
                distance=float(distance),
                threshold=threshold,
                probability=float(probability),
            )
            for candidate, distance, probability in zip(*found, strict=True)
        ]

    def _named(
        self, groups: Iterator[list[EmbeddedImage]], fitted: _Fitted, *, cropped: bool
    ) -> Iterator[RecognizedImage]:
        wanted = self.quality.without_border() if cropped and self.quality else self.quality
        with closing(groups):  # type: ignore[type-var]
            for group in groups:
                judged = [_judged(image, fitted) for image in group]
                identities = self._decided(list(chain.from_iterable(judged)), fitted)
                for image, mine in zip(group, judged, strict=True):
                    faces = tuple(
                        _answer(face, next(identities), decision, wanted) for face, decision in mine
                    )
                    if fitted.decisions.once_per_image:
                        faces = once_each(faces, _accepted(mine))
                    yield RecognizedImage(image.source, image.index, faces, image.error)

    def _decided(self, judged: Sequence[_Judged], fitted: _Fitted) -> Iterator[Identity]:
        unit = self._rows([face.unit for face, _ in judged])
        found = self._identities(unit, fitted)
        for answer, row, (_, decision) in zip(found, unit, judged, strict=True):
            yield decide(answer, row, decision, fitted.classifier)


def _judged(image: EmbeddedImage, fitted: _Fitted) -> list[_Judged]:
    """Returns the faces of an image with what was decided about them, without those excluded."""
    if not fitted.decisions:
        return [(face, Decision()) for face in image.faces]
    found = [(face, fitted.decisions.of(face.photo(image.sha256))) for face in image.faces]
    return [(face, decision) for face, decision in found if not decision.excluded]


def _accepted(judged: Sequence[_Judged]) -> set[int]:
    return {place for place, (_, decision) in enumerate(judged) if decision.person is not None}


def _answer(
    face: EmbeddedFace, identity: Identity, decision: Decision, wanted: QualityGate | None
) -> RecognizedFace:
    """Returns a face with its name; one that was accepted has it however poor the image."""
    remarks = wanted.problems(face.quality) if wanted and face.quality else ()
    if decision.person is not None:
        return RecognizedFace.of(face.face, identity, (), face.problems or remarks)
    return RecognizedFace.of(face.face, identity, face.problems, remarks)


def _is_current(
    fitted: _Fitted | None,
    enrolled: Enrolled,
    decisions: Decisions,
    parameters: Mapping[str, Any],
) -> bool:
    return (
        fitted is not None
        and fitted.enrolled is enrolled
        and fitted.decisions is decisions
        and fitted.parameters == parameters
    )


def _way_round(report: PhotoReport) -> str:
    poor = [outcome.detail for outcome in report.left_out if outcome.status == "poor quality"]
    limits = limits_broken(line for detail in poor for line in detail.split("; "))
    if not limits:
        return ""
    wider = ", ".join(f"{name}=None" for name in limits)
    return f"\nTo enroll poor images, too, pass quality=QualityGate({wider}) or quality=None."


def _listed(lines: Sequence[str]) -> str:
    more = f"; and {len(lines) - _NAMED} more" * (len(lines) > _NAMED)
    return (": " if lines else "") + "; ".join(lines[:_NAMED]) + more


def _kept_cohort(kept: Mapping[str, Any] | None) -> tuple[float, int] | None:
    cohort = (kept or {}).get("cohort")
    return None if cohort is None else (float(cohort[0]), int(cohort[1]))


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
