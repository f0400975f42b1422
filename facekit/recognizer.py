"""FaceRecognizer: detector, aligner, embedder and classifier in one object."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import numpy.typing as npt

from facekit import parts
from facekit.alignment import Aligner
from facekit.cohort import cohort_embeddings, not_enrolled
from facekit.detection import FaceDetector
from facekit.detection.registry import make_detector
from facekit.embedding import Embedder, FaceEmbedder
from facekit.embedding.weights.registry import DEFAULT_WEIGHTS
from facekit.enrollment import Enrollment, check_used, partial_gallery
from facekit.errors import (
    CalibrationWarning,
    EnrollmentError,
    FileFormatError,
    InvalidArgumentError,
    NoFaceError,
)
from facekit.faces import Identity, RecognizedFace, Verification
from facekit.gallery import Gallery
from facekit.gallery.records import FaceSource
from facekit.identification import IdentityClassifier
from facekit.identification.answers import Explanation
from facekit.identification.calibration import Calibration
from facekit.identification.defaults import default_classifier
from facekit.identification.fitting import Fitted, GalleryFitting
from facekit.io.decoding import Truncated
from facekit.io.files import exists, real_path
from facekit.io.images import MAX_PIXELS, ImageSource, Reading, check_several, describe_source
from facekit.io.people import EnrollmentSource, PersonImage, people_images
from facekit.io.sources import StreamSource, all_or_batch_error
from facekit.io.tables import Faces
from facekit.naming import Namer
from facekit.pipeline import EmbeddedImage, FacePipeline
from facekit.quality import QualityGate
from facekit.report import ImageReport, RecognizedImage
from facekit.utils.progress import track
from facekit.utils.validation import choice, identity, instance, same_weights, unit_rows, whole

if TYPE_CHECKING:
    from facekit.clustering.albums import ArchiveClustering, ImageArchive, PersonGroup
    from facekit.video import FaceTracker
    from facekit.video.recognition import VideoRecognition, VideoSource
    from facekit.video.result import VideoResult
    from facekit.video.tracks import Track


class FaceRecognizer:
    """Recognizes people in images: finds faces, aligns, embeds and names them.

    Each part can be passed in; those not given are created with defaults that suit the weights.

    Args:
        weights: The weights that embed the faces, as for :class:`facekit.Embedder`. Cannot be
            combined with ``embedder``.
        detector: Finds the faces: ``"mtcnn"``, the default, ``"yunet"``, a
            :class:`facekit.Detector`, or any :class:`facekit.FaceDetector`.
        aligner: Cuts them out; by default the one that the weights were trained with.
        embedder: Embeds them: a :class:`facekit.Embedder`, or any
            :class:`facekit.FaceEmbedder`.
        classifier: Names them; it is cloned, not changed. By default the one that ``facekit
            calibrate`` chose for the gallery, or else that of
            :func:`facekit.identification.defaults.default_classifier`.
            ``IdentityClassifier("centroid", fpir=0.001)`` names fewer strangers, and fewer of
            those who are enrolled.
        quality: The gate that a face must pass to be enrolled or grouped; ``None`` lets all pass.
        naming_quality: The wider gate that a face must pass to be named; ``None`` names all. A face
            that passes it but not ``quality`` is named with ``remarks``.
        gallery: The enrolled people: a :class:`facekit.Gallery` made with these weights, or the
            path of one, which is created if it does not exist. By default an empty one in memory.
        max_pixels: The largest image that is read, in pixels.
        truncated: Whether a JPEG whose end is missing is used, as for :func:`facekit.load_image`.

    Attributes:
        gallery: The enrolled embeddings, a :class:`facekit.Gallery`. If it is in a file, every
            change is on disk when the method returns.
        report_: What happened to the images of the last :meth:`fit` or :meth:`enroll`, an
            :class:`facekit.report.ImageReport`; empty before, and after :meth:`load`.

    Raises:
        InvalidArgumentError: If a part is of another kind, ``weights`` and ``embedder`` are both
            given, the aligner's output size does not match the embedder, the gallery was made with
            other weights, or neither the classifier nor the weights have a threshold.
        WeightsError: If the weights are missing, damaged or altered, or do not fit.
        FileFormatError: If the gallery or an embedder's file is damaged, altered or too new, or the
            gallery cannot be created.
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
        if embedder is None:
            embedder = Embedder(DEFAULT_WEIGHTS if weights is None else weights)
        if detector is None or isinstance(detector, str):
            detector = make_detector("mtcnn" if detector is None else detector)
        # Checks that the parts fit.
        pipeline = FacePipeline(detector, embedder, aligner=aligner, quality=quality)
        self.embedder: FaceEmbedder = embedder
        self.detector: FaceDetector = detector
        self.aligner = pipeline.aligner
        self.quality = quality
        instance(naming_quality, "naming_quality", QualityGate, optional=True)
        self.naming_quality = naming_quality
        self.max_pixels = whole(max_pixels, "max_pixels", least=1)
        choice(truncated, "truncated", get_args(Truncated))
        self.truncated = truncated
        instance(classifier, "classifier", IdentityClassifier, optional=True)
        if classifier is not None:
            _check_threshold(classifier)
        elif not isinstance(gallery, Gallery | None) and not exists(gallery):
            classifier = default_classifier(self.embedder.record)  # may fail; no file remains then
        self.gallery = self._opened(gallery)
        self.classifier = (
            classifier
            or parts.calibrated_classifier(self.gallery)
            or default_classifier(self.embedder.record)
        )
        self.report_ = ImageReport(())
        self._fitting = GalleryFitting()
        self._fitting.take(self.gallery.settings.get("calibration") or {})

    def __repr__(self) -> str:
        return (
            f"FaceRecognizer({len(self.people)} people, {len(self.gallery)} photos, "
            f"weights={self.embedder.record.name!r})"
        )

    @property
    def people(self) -> dict[str, int]:
        """The enrolled people, sorted by name, with the number of images of each."""
        return self.gallery.people

    @property
    def threshold(self) -> float:
        """The largest Euclidean distance at which a face is named.

        It depends on who is enrolled, unless the classifier has a fixed threshold.

        Raises:
            NotFittedError: If it depends on who is enrolled, and no one is.
            InvalidArgumentError: If the classifier has none.
        """
        given = self.classifier.threshold
        return self._namer().threshold if isinstance(given, str | None) else float(given)

    @property
    def calibration(self) -> Calibration:
        """How the threshold was found; its ``doubt`` says why it may not hold for these people.

        Raises:
            NotFittedError: If no one is enrolled.
        """
        found = self.fitted().classifier.calibration_
        assert found is not None  # the classifier has a threshold
        return found

    def fitted(self) -> Fitted:
        """Returns a copy of the classifier, fitted to who is enrolled now, and calibrated.

        Returns:
            The classifier, with the enrolled embeddings and the corrections that it was fitted to.

        Raises:
            NotFittedError: If no one is enrolled.
            InvalidArgumentError: If the classifier has no threshold, or it cannot be calibrated.
        """
        _check_threshold(self.classifier)
        self._check_weights("gallery was made", self.gallery.weights)
        table = self.embedder.record.distances
        return self._fitting.current(self.gallery, self.classifier, table)

    @property
    def verification_threshold(self) -> float:
        """The largest Euclidean distance at which two images count as the same person.

        The classifier's fixed threshold, or else the distance at which the weights accept one pair
        of strangers in a thousand.
        """
        given = self.classifier.threshold
        return self.embedder.record.threshold() if isinstance(given, str | None) else float(given)

    # Enrolling.

    def fit(
        self, images: EnrollmentSource, *, cropped: bool = False, progress: bool = True
    ) -> FaceRecognizer:
        """Enrolls the people in images, replacing those enrolled before.

        Every image should show the face of its person; if it shows several, the largest is used. An
        image that cannot be used is left out, and reported in ``report_`` and in a warning. The
        previous people are replaced at the end, in one step. With a gallery in a file, an
        interrupted call keeps its progress beside that file, and the next call resumes from there,
        if it finds and judges faces in the same way.

        Args:
            images: A folder with one folder per person, named after the person; or ``{name:
                images}``, where ``images`` is one image, a list or a folder; or pairs of ``(name,
                image)``.
            cropped: Whether each image is already cropped to the face; the whole image is then
                used, and nothing is detected.
            progress: Whether to show a progress bar, if standard error is a terminal.

        Returns:
            The recognizer itself.

        Raises:
            EnrollmentError: If none of the images can be used; then nothing changes.
            InvalidArgumentError: If ``images`` has another form, a name is empty, or the threshold
                cannot be calibrated for these people.

        Warns:
            EnrollmentWarning: If images were left out or show several faces.
            CalibrationWarning: As :meth:`calibrate`.
        """
        listed = people_images(images)
        how = {
            # The parameters of a detector that is not facekit's own are not known.
            "detector": parts.detector_to_dict(self.detector).get("parameters"),
            "aligner": self.aligner.to_dict(),
            "quality": parts.quality_to_dict(self.quality),
            "cropped": cropped,
            **self._reading,
        }
        with partial_gallery(self.gallery, how) as fresh:
            enrollment = self._enroll(fresh, listed, cropped=cropped, progress=progress)
            self.gallery.replace(enrollment.content())
        self._fitting.forget()
        # If the threshold cannot be calibrated for these people, fail now, not at the first image.
        # With enroll, people are added one by one, and may become enough later.
        self._warn_of_resemblance()
        return self

    def enroll(
        self,
        name: str,
        images: ImageSource | Sequence[ImageSource],
        *,
        cropped: bool = False,
        progress: bool = True,
    ) -> ImageReport:
        """Adds images of one person, who may already be enrolled.

        Args:
            name: Who it is.
            images: One image, a list of images, or a folder of them.
            cropped: As for :meth:`fit`.
            progress: As for :meth:`fit`.

        Returns:
            The outcome for each image.

        Raises:
            EnrollmentError: As :meth:`enroll_people`.
            InvalidArgumentError: If the name is empty.

        Warns:
            EnrollmentWarning: As :meth:`enroll_people`.
        """
        listed = people_images({identity(name): images})
        return self._enroll(self.gallery, listed, cropped=cropped, progress=progress).report

    def enroll_people(
        self, images: EnrollmentSource, *, cropped: bool = False, progress: bool = True
    ) -> ImageReport:
        """Adds images of several people, who may already be enrolled.

        A file whose content is already enrolled for its person is skipped. With a gallery in a
        file, progress is written every few images, so that an interrupted call resumes when it is
        repeated.

        Args:
            images: As for :meth:`fit`.
            cropped: As for :meth:`fit`.
            progress: As for :meth:`fit`.

        Returns:
            The outcome for each image.

        Raises:
            EnrollmentError: If none of the images can be used; then nothing changes.
            InvalidArgumentError: If ``images`` has another form or a name is empty.

        Warns:
            EnrollmentWarning: If images were left out or show several faces.
        """
        listed = people_images(images)
        return self._enroll(self.gallery, listed, cropped=cropped, progress=progress).report

    def enroll_group(self, name: str, group: PersonGroup) -> None:
        """Enrolls the faces of a group as one person, who may already be enrolled.

        Args:
            name: Who it is.
            group: One of the groups that :meth:`cluster` found.

        Raises:
            InvalidArgumentError: If the name is empty, or the group was not found by
                :meth:`cluster`, or with other weights.
        """
        from facekit.clustering.albums import PersonGroup

        instance(group, "group", PersonGroup)
        self._check_weights("the group was found", group.weights)
        sources = [FaceSource(found.source, box=found.face.box) for found in group.faces]
        self.gallery.enroll(identity(name), group.embeddings, sources)

    def remove(self, name: str) -> int:
        """Removes a person: embeddings, sources and what the classifier learned from them.

        In a gallery file the person is erased. Files saved earlier still contain the person:
        overwrite or delete them.

        Args:
            name: Who it is.

        Returns:
            How many images of that person were enrolled.

        Raises:
            EnrollmentError: If no such person is enrolled.
        """
        removed, person = self.gallery.remove(name), identity(name)
        self.report_ = ImageReport(tuple(o for o in self.report_.outcomes if o.person != person))
        return removed

    def calibrate(
        self,
        cohort: StreamSource | npt.NDArray[np.floating[Any]] | None = None,
        *,
        cropped: bool = False,
        progress: bool = True,
    ) -> float:
        """Refines the calibration and returns the threshold.

        Without a cohort, all images of the gallery are compared with each other; up to 2,000 images
        this happens automatically whenever the gallery changes. With a cohort, which are people who
        are not enrolled and resemble the strangers you expect, the threshold is the one at which a
        share ``fpir`` of the cohort's faces gets a name. It adapts to later changes of the gallery
        until :meth:`fit` or the next call, and :meth:`save` stores it.

        Args:
            cohort: A folder, searched recursively, or images, or embeddings, float ``(n, d)`` of
                unit norm. A few hundred faces, none of an enrolled person; enrolled images are left
                out.
            cropped: As for :meth:`fit`.
            progress: As for :meth:`fit`.

        Returns:
            The largest Euclidean distance at which a face is named, 0 to 2.

        Raises:
            NotFittedError: If no one is enrolled.
            InvalidArgumentError: If the cohort holds no faces or has another form, the weights have
                no table of distances, or too few people are enrolled.

        Warns:
            EnrollmentWarning: If images of the cohort cannot be read, show no face or are enrolled.
            CalibrationWarning: If the enrolled people resemble each other so much that strangers
                like them are named more often than ``fpir`` says.

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
        if cohort is None:
            self._fitting.forget()
        else:
            self.fitted()  # fails now, not after the cohort is read
            faces = cohort_embeddings(
                cohort,
                self._pipeline(None),
                self.gallery.decisions(),
                self.embedder.embedding_size,
                cropped=cropped,
                progress=progress,
                **self._reading,
            )
            faces = not_enrolled(faces, self.gallery)
            table = self.embedder.record.distances
            self._fitting.calibrate(self.gallery, self.classifier, table, faces)
        self._warn_of_resemblance()
        return self.threshold

    # Naming.

    def recognize(self, image: ImageSource, *, cropped: bool = False) -> Faces[RecognizedFace]:
        """Names the people in one image.

        Args:
            image: Anything that :func:`facekit.load_image` reads.
            cropped: As for :meth:`fit`.

        Returns:
            A list of one result for each face, the most confidently detected first; it has
            ``to_frame()`` for pandas.

        Raises:
            ImageError: If the image cannot be read.
            NotFittedError: If no one is enrolled.
            InvalidArgumentError: If the threshold cannot be calibrated: the weights have no table
                of distances, and too few people are enrolled.
        """
        (result,) = self.recognize_stream([image], cropped=cropped)
        if result.error is not None:
            raise result.error
        return Faces(result.faces, result.source)

    def recognize_batch(
        self, images: Iterable[ImageSource], *, cropped: bool = False, progress: bool = True
    ) -> list[Faces[RecognizedFace]]:
        """Names the people in several images; faces of different images are embedded together.

        Args:
            images: Any number of images; a generator is consumed lazily.
            cropped: As for :meth:`fit`.
            progress: As for :meth:`fit`.

        Returns:
            For each image, in order, what :meth:`recognize` returns for it.

        Raises:
            BatchError: If some of the images cannot be read. It is raised after the others were
                recognized, holds their results, and is an :class:`facekit.ImageError`.
            InvalidArgumentError: If one image is given instead of several.
            NotFittedError: If no one is enrolled.
        """
        check_several(images, instead="recognize")
        total = len(images) if isinstance(images, Sequence) else 0
        stream = self.recognize_stream(images, cropped=cropped)
        tracked = track(stream, "Recognizing", total=total, shown=progress and total > 1)
        return all_or_batch_error(
            [image.error or Faces(image.faces, image.source) for image in tracked]
        )

    def recognize_stream(
        self, images: StreamSource, *, every: int = 1, cropped: bool = False
    ) -> Iterator[RecognizedImage]:
        """Names the people in any number of images, or in a video, one after the other.

        Images are read ahead in the background, results come in order, and memory does not grow
        with their number. An image that cannot be read yields its error, and the others are
        processed.

        Args:
            images: A folder, a video file, the number of a camera, or any number of images, such as
                a generator.
            every: Take one of this many images or frames.
            cropped: As for :meth:`fit`.

        Yields:
            One result for each image, with its faces or its error.

        Raises:
            ImageError: If the folder, the video or the camera cannot be opened.
            NotFittedError: If no one is enrolled.

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
        namer = self._namer()
        groups = self._pipeline(self.naming_quality).run_grouped(
            images, every=every, cropped=cropped, digests=namer.needs_digests, **self._reading
        )
        quality = self.quality
        return namer.stream(groups, quality.without_border() if cropped and quality else quality)

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

        Each person is tracked from frame to frame and named once, by the mean of all their faces,
        with a threshold calibrated for such means. Only a few frames are in memory at a time.

        Args:
            source: As for :class:`facekit.video.recognition.VideoRecognition`, like the rest. A
                camera needs ``seconds``, or it runs until it breaks off.
            stride: Search one in this many frames; about eight searches a second by default.
            on_track: Called with a :class:`facekit.video.tracks.Track` when its name changes or it
                ends.
            tracker: Follows the boxes; a new :class:`facekit.video.BoxTracker` by default.
            min_faces: A track with fewer good faces is not named and is listed separately.
            seconds: Stop after this many seconds of the video.

        Returns:
            The people with their appearances, boxes and names. If no one is enrolled, all are
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
        """Prepares :meth:`recognize_video` for processing frame by frame.

        Args:
            source: As for :meth:`recognize_video`.
            options: As for :class:`facekit.video.recognition.VideoRecognition`.

        Returns:
            An object to iterate over, which then has the result.

        Raises:
            ImageError: As :meth:`recognize_video`, like ``InvalidArgumentError`` and
                ``MissingExtraError``.
        """
        from facekit.video.recognition import VideoRecognition

        # One for the whole video: it caches the calibrations that it has computed.
        identify = self._namer().means().identify if len(self.gallery) else None
        options = {"max_pixels": self.max_pixels, **options}
        return VideoRecognition(source, self._pipeline(self.naming_quality), identify, **options)

    def identify(
        self,
        embeddings: npt.ArrayLike,
        images: Sequence[float] | None = None,
        *,
        sources: Sequence[FaceSource] | None = None,
    ) -> list[Identity]:
        """Identifies embeddings.

        Args:
            embeddings: ``(n, d)``, of unit L2 norm, made by the recognizer's embedder.
            images: How many images of one person each embedding is the normalized mean of, at least
                1: distances of a mean are distributed differently, so it has another threshold. By
                default 1. Similar images count for fewer: ``DistanceTable.independent_images``.
            sources: Where the face of each is, with ``sha256`` and ``box``; the corrections of the
                gallery (:attr:`facekit.Gallery.review`) are then applied first.

        Returns:
            One identity for each.

        Raises:
            NotFittedError: If no one is enrolled.
            InvalidArgumentError: If the embeddings have another shape or norm, or ``sources``
                another length.

        Example:
            >>> from facekit import FaceRecognizer
            >>> from matplotlib.cbook import get_sample_data
            >>> portrait = get_sample_data("grace_hopper.jpg", asfileobj=False)
            >>> recognizer = FaceRecognizer("facekit-small").fit({"Grace Hopper": portrait})
            >>> [found.label for found in recognizer.identify(recognizer.gallery.embeddings)]
            ['Grace Hopper']
        """
        namer = self._namer()
        return namer.identify(unit_rows(embeddings, self.embedder.embedding_size), images, sources)

    def explain(
        self, image: ImageSource, count: int = 5, *, cropped: bool = False
    ) -> list[Explanation]:
        """Explains why each face of an image is named, or not.

        Args:
            image: Anything that :func:`facekit.load_image` reads.
            count: How many of the nearest enrolled images to list, at most.
            cropped: As for :meth:`fit`.

        Returns:
            One explanation for each face, with the names and in the order of :meth:`recognize`.

        Raises:
            ImageError: If the image cannot be read.
            NotFittedError: If no one is enrolled.
        """
        namer = self._namer()
        (found,) = self._embedded([image], cropped=cropped, digests=namer.needs_digests)
        return namer.explain(found, count, self.gallery)

    # Faces without names.

    def faces(self, images: StreamSource) -> Iterator[EmbeddedImage]:
        """Finds and embeds the faces of images as :meth:`recognize` does, without naming them.

        Args:
            images: As for :meth:`recognize_stream`.

        Yields:
            One result for each image, with the SHA-256 of its file.

        Raises:
            ImageError: If the folder, the video or the camera cannot be opened.
        """
        return self._pipeline(self.naming_quality).run(images, digests=True, **self._reading)

    def verify(
        self, first: ImageSource, second: ImageSource, *, cropped: bool = False
    ) -> Verification:
        """Decides whether two images show the same person; no enrollment is needed.

        Args:
            first: An image; if it shows several faces, the largest is used.
            second: Another image.
            cropped: As for :meth:`fit`.

        Returns:
            The answer, with the distance, the threshold and the faces compared.

        Raises:
            ImageError: If an image cannot be read.
            NoFaceError: If no face is found in one of them.
        """
        found = self._embedded([first, second], select="largest", cropped=cropped)
        for image, result, place in zip((first, second), found, ("first", "second"), strict=True):
            if not result.faces:
                raise NoFaceError(
                    f"{describe_source(image, f'the {place} image')}: no face found; a larger or "
                    "sharper photo, or a lower min_face_size or thresholds of the Detector, may "
                    "help"
                )
        one, other = (result.faces[0] for result in found)
        distance = float(np.linalg.norm(one.unit.astype(np.float64) - other.unit))
        threshold = self.verification_threshold
        return Verification(distance <= threshold, distance, threshold, (one.face, other.face))

    def cluster(
        self,
        images: ImageArchive,
        *,
        threshold: float | None = None,
        min_faces: int = 2,
        progress: bool = True,
    ) -> ArchiveClustering:
        """Groups the faces in images into people; no enrollment is needed.

        The corrections of the gallery are applied (:attr:`facekit.Gallery.review`).

        Args:
            images: As :func:`facekit.cluster_images` takes them; likewise the rest.
            threshold: The Euclidean distance up to which two faces are linked.
            min_faces: The faces of smaller groups are left ungrouped.
            progress: As for :meth:`fit`.

        Returns:
            The groups; :meth:`enroll_group` enrolls one.

        Raises:
            ImageError: If the folder is missing or holds no images.
            InvalidArgumentError: If an argument cannot be used.
        """
        from facekit.clustering.albums import cluster_images

        return cluster_images(
            images,
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

    # Files.

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a gallery file with everyone enrolled and the recognizer's parameters.

        It holds the name of the embedder's weights, not the weights themselves, and no images. The
        file is biometric data of the people enrolled; protect it accordingly.

        Args:
            path: Where to write. An existing gallery is replaced atomically.

        Raises:
            FileFormatError: If the file cannot be written.
            NotFittedError: If no one is enrolled.
        """
        self.fitted()
        path = Path(path)
        own = parts.parts_to_dict(
            self.detector, self.aligner, self.classifier, self.quality, self.naming_quality
        )
        kept = {**self.gallery.settings, "recognizer": {**own, **self._fitting.to_dict()}}
        kept.pop("calibration", None)  # the classifier has it
        if self.gallery.path is not None and real_path(path) == real_path(self.gallery.path):
            self.gallery.set_settings(kept)
        else:
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
        """Opens a gallery file as a recognizer, with the parameters that :meth:`save` stored there.

        It gives bit-identical answers and works on the file: people that it enrolls or removes are
        changed there. A gallery without parameters gets the default parts.

        Args:
            path: The file.
            detector: The detector it was saved with, if that is not one of facekit's own.
            embedder: The embedder it was saved with, if its weights are not known by name.
            classifier: A classifier to use instead of the one it was saved with.

        Returns:
            The recognizer.

        Raises:
            FileFormatError: If the file is missing, truncated, altered, of another kind or newer.
            InvalidArgumentError: If the detector or the embedder is needed and not given, or the
                embedder's weights are not those that the file was made with.
            WeightsError: If the weights are missing, damaged or altered.
        """
        gallery, shown = Gallery.open(path), os.fspath(path)
        try:
            if embedder is None:
                embedder = parts.embedder_by_name(gallery.weights.rpartition("@")[0], shown)
            kept = gallery.settings.get("recognizer")
            made: dict[str, Any] = {"detector": detector}
            if kept is not None:
                made = parts.parts_from_dict(kept, shown, detector)
            # Settings of a later facekit calibrate take precedence.
            if classifier is None:
                classifier = parts.calibrated_classifier(gallery) or made.get("classifier")
            made["classifier"] = classifier
            recognizer = cls(embedder=embedder, gallery=gallery, **made)
            if "calibration" not in gallery.settings:  # a later one, taken above
                recognizer._fitting.take(kept or {})
        except (KeyError, TypeError) as error:
            gallery.close()
            raise FileFormatError(f"{shown}: lacks a part of a recognizer ({error})") from error
        except BaseException:
            gallery.close()
            raise
        return recognizer

    # Inside.

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
            if not exists(gallery):
                try:
                    return Gallery.create(gallery, weights, size)
                except FileFormatError:
                    if not exists(gallery):  # no other process has just created it
                        raise
            return Gallery.open(gallery, weights=weights)
        self._check_weights("gallery was made", gallery.weights)
        return gallery

    def _check_weights(self, what: str, weights: str) -> None:
        same_weights(weights, self.embedder.record.identity, what)

    def _namer(self) -> Namer:
        return Namer(self.fitted())

    def _warn_of_resemblance(self) -> None:
        doubt = self.calibration.doubt
        if doubt:
            warnings.warn(doubt, CalibrationWarning, stacklevel=3)

    def _enroll(
        self, gallery: Gallery, images: Iterable[PersonImage], *, cropped: bool, progress: bool
    ) -> Enrollment:
        self._check_weights("gallery was made", self.gallery.weights)
        enrollment, before = Enrollment(gallery), self.report_
        pipeline = self._pipeline(self.quality)
        try:
            enrollment.run(images, pipeline, self._reading, cropped=cropped, progress=progress)
        finally:
            self.report_ = enrollment.report
        try:
            check_used(enrollment.report)
        except EnrollmentError:
            self.report_ = before
            raise
        return enrollment

    def _embedded(self, images: list[ImageSource], **options: Any) -> list[EmbeddedImage]:
        found = list(self._pipeline(self.naming_quality).run(images, **self._reading, **options))
        for image in found:
            if image.error is not None:
                raise image.error
        return found


def _check_threshold(classifier: IdentityClassifier) -> None:
    if classifier.threshold is None:
        raise InvalidArgumentError(
            "classifier needs a threshold: without one every stranger gets a name"
        )
