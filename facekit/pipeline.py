"""The pipeline: detect, gate, align, embed; in order and in bounded memory."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from facekit.alignment import DEFAULT_TEMPLATE, Aligner
from facekit.detection import FaceDetector
from facekit.embedding import FaceEmbedder
from facekit.errors import ImageError, InvalidArgumentError
from facekit.faces import SAME_FACE, Face, Keypoints, box_overlap, largest_face
from facekit.gallery.records import FaceSource
from facekit.io.decoding import Truncated
from facekit.io.images import MAX_PIXELS, DecodedImage, ImageSource, Reading, read_image
from facekit.io.safetensors_file import sha256
from facekit.io.sources import (
    PIXELS_TOGETHER,
    ImageItem,
    StreamSource,
    image_items,
    in_groups,
    in_order,
)
from facekit.io.tables import Tabular
from facekit.quality import QualityGate
from facekit.quality.measures import FaceQuality
from facekit.utils.reasons import why
from facekit.utils.terminal import printable
from facekit.utils.validation import flag, instance, whole

FaceSelection: TypeAlias = Literal["all", "largest", "central"]
"""Which faces of an image to use: all, the largest, or the one nearest to the center."""

Select: TypeAlias = Callable[[list[Face], tuple[int, int]], list[Face]]
"""Chooses the faces to use, given all that were found and the image's height and width."""

Answers = TypeVar("Answers", bound=Sized)

# The side of the aligned square, as a multiple of that of MTCNN's boxes.
_ALIGNED_BY_BOX = 1.25

# How many faces are embedded together, and how many images at most wait for that.
_FACES_TOGETHER, _IMAGES_TOGETHER = 32, 64


@dataclass(frozen=True)
class EmbeddedFace(Tabular):
    """One face of an image, with its quality and its embedding.

    Args:
        source: The image's name: its path, or its position among the images given.
        face: Where it is in the image.
        quality: How good the image of the face is, or ``None`` without a gate.
        embedding: float32 ``(d,)``, of unit L2 norm; ``None`` if faces were not embedded.
        aligned: The aligned face, uint8 ``(S, S, 3)``, if it was kept.

    Example:
        >>> import numpy as np
        >>> from facekit import Face, Keypoints
        >>> from facekit.pipeline import EmbeddedFace
        >>> points = Keypoints((30, 40), (70, 40), (50, 60), (35, 80), (65, 80))
        >>> face = Face(box=(10, 12, 80, 100), confidence=0.98, keypoints=points)
        >>> found = EmbeddedFace("party.jpg", face, None, np.array([1, 0], dtype=np.float32))
        >>> found.to_dict()["image"], found.problems
        ('party.jpg', ())
    """

    source: str
    face: Face
    quality: FaceQuality | None
    embedding: npt.NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    aligned: npt.NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the image of the face is too poor, in words; empty if good or not assessed."""
        return () if self.quality is None else self.quality.problems

    @property
    def unit(self) -> npt.NDArray[np.float32]:
        """The embedding.

        Raises:
            InvalidArgumentError: If the face was not embedded.
        """
        if self.embedding is None:
            raise InvalidArgumentError(f"the face in {self.source} was not embedded")
        return self.embedding

    def to_source(self, sha256: str | None) -> FaceSource:
        """Returns the location of the face, as a gallery stores it.

        Args:
            sha256: The SHA-256 of the image's file, if it is known.
        """
        return FaceSource(self.source, sha256, self.face.box)

    def to_dict(self, *, rounded: bool = True) -> dict[str, Any]:
        """Returns the face, its image and its problems as plain Python values.

        Args:
            rounded: As in :meth:`facekit.Face.to_dict`.

        Returns:
            The dictionary of the face, with ``image`` and ``problems`` added.
        """
        problems = list(self.problems)
        return {"image": self.source, **self.face.to_dict(rounded=rounded), "problems": problems}


@dataclass(frozen=True)
class EmbeddedImage(Tabular):
    """One of many images, with its faces or the error that kept it from being used.

    Args:
        source: The image's name.
        index: Its position, from 0; in a video the number of the frame.
        faces: The faces that were chosen, the most confident first.
        found: How many faces were found, chosen or not.
        size: Height and width in pixels; ``(0, 0)`` if it could not be read.
        sha256: The SHA-256 of the image's file, if it was requested.
        error: Why it could not be used, or ``None``.

    Example:
        >>> import numpy as np
        >>> from facekit import Detector, Embedder, FacePipeline
        >>> pipeline = FacePipeline(Detector(), Embedder())
        >>> black = np.zeros((40, 50, 3), dtype=np.uint8)
        >>> for image in pipeline.run([black, "no_such_photo.jpg"]):
        ...     print(image.source, image.size, len(image.faces), image.error is None)
        image 0 (40, 50) 0 True
        no_such_photo.jpg (0, 0) 0 False
    """

    source: str
    index: int
    faces: tuple[EmbeddedFace, ...] = ()
    found: int = 0
    size: tuple[int, int] = (0, 0)
    sha256: str | None = None
    error: ImageError | None = None

    @property
    def skipped(self) -> bool:
        """Whether the image was skipped without being read."""
        return self.error is None and self.size == (0, 0)


class FacePipeline:
    """Turns images into embedded faces: detect, gate, align, embed.

    Each thread takes a whole image through detection, gate and alignment, while the caller's thread
    embeds the faces of the images before. Pixels are dropped as soon as the faces are cut out.

    Args:
        detector: Finds the faces. One with an attribute ``concurrency`` is called from that many
            threads at once, any other from one. One with an attribute ``images_together`` gets up
            to that many small images at once, any other one at a time.
        embedder: Embeds them; ``None`` to stop after the alignment. One with a method ``warm_up``
            is started by it in a thread of its own, while the first image is searched.
        aligner: Cuts them out; by default the one that the embedder's weights were trained with.
        quality: Measures each face; ``None`` to skip this. Poor faces are embedded as well; the
            caller decides what to do with them.

    Raises:
        InvalidArgumentError: If a part is of another kind, neither an embedder nor an aligner is
            given, or the aligner's output size does not match the embedder.

    Example:
        >>> from facekit import Detector, Embedder, FacePipeline
        >>> from matplotlib.cbook import get_sample_data
        >>> portrait = get_sample_data("grace_hopper.jpg", asfileobj=False)
        >>> (image,) = FacePipeline(Detector(), Embedder()).run([portrait])
        >>> len(image.faces), image.faces[0].embedding.shape, image.faces[0].problems
        (1, (128,), ())
    """

    def __init__(
        self,
        detector: FaceDetector,
        embedder: FaceEmbedder | None = None,
        *,
        aligner: Aligner | None = None,
        quality: QualityGate | None = None,
    ) -> None:
        instance(detector, "detector", FaceDetector)
        instance(embedder, "embedder", FaceEmbedder, optional=True)
        instance(aligner, "aligner", Aligner, optional=True)
        instance(quality, "quality", QualityGate, optional=True)
        if aligner is None:
            if embedder is None:
                raise InvalidArgumentError("give an embedder, an aligner, or both")
            aligner = Aligner(**embedder.record.alignment)
        self.detector = detector
        self.embedder = embedder
        self.aligner = aligner
        self.quality = quality
        if embedder is not None and self.aligner.size != embedder.input_size:
            raise InvalidArgumentError(
                f"aligner gives faces of side {self.aligner.size}, the embedder reads "
                f"{embedder.input_size}"
            )

    def run(
        self,
        images: StreamSource,
        *,
        select: FaceSelection | Select | Mapping[int, Select] = "all",
        cropped: bool = False,
        known: Sequence[Sequence[Face]] | None = None,
        every: int = 1,
        digests: bool = False,
        skip: Callable[[int, str], bool] | None = None,
        keep_aligned: bool = False,
        max_pixels: int = MAX_PIXELS,
        truncated: Truncated = "error",
    ) -> Iterator[EmbeddedImage]:
        """Processes images and yields the faces of each, in order.

        Args:
            images: A folder, a video, a camera, or any number of images; see
                ``facekit.io.sources.StreamSource``.
            select: Which faces to use: a name, a function of all faces and the image's height and
                width, or such functions by the image's position.
            cropped: Whether each image is already cropped to a face; the whole image is then the
                box, and nothing is detected.
            known: The faces of each image, if they are already known; nothing is then detected.
            every: Take one of this many images or frames.
            digests: Whether to compute ``sha256`` of images in files.
            skip: Called with an image's position and ``sha256`` before it is read; if it returns
                true, the image is yielded without faces.
            keep_aligned: Whether to keep the aligned faces.
            max_pixels: The largest image that is read, in pixels.
            truncated: As for :func:`facekit.load_image`.

        Yields:
            One result for each image.

        Raises:
            ImageError: If the folder, the video or the camera cannot be opened.
            InvalidArgumentError: If an argument cannot be used.
        """
        reading: Reading = {"max_pixels": max_pixels, "truncated": truncated}
        steps = _Steps(self, select, cropped, known, digests, skip, reading=reading)
        return _flattened(self._grouped(images, steps, every, keep_aligned))

    def run_grouped(
        self,
        images: StreamSource,
        *,
        cropped: bool = False,
        every: int = 1,
        digests: bool = False,
        max_pixels: int = MAX_PIXELS,
        truncated: Truncated = "error",
    ) -> Iterator[list[EmbeddedImage]]:
        """Like :meth:`run`, but yields together the images whose faces are embedded together.

        Args:
            images: As for :meth:`run`, like the others.
            cropped: Likewise.
            every: Likewise.
            digests: Likewise.
            max_pixels: Likewise.
            truncated: Likewise.

        Yields:
            The results of the next images, at least one; frames of a camera one at a time.

        Raises:
            ImageError: As :meth:`run`.
            InvalidArgumentError: As :meth:`run`.
        """
        reading: Reading = {"max_pixels": max_pixels, "truncated": truncated}
        steps = _Steps(self, cropped=cropped, digests=digests, reading=reading)
        return self._grouped(images, steps, every)

    def _grouped(
        self, images: StreamSource, steps: _Steps, every: int, keep_aligned: bool = False
    ) -> Iterator[list[EmbeddedImage]]:
        live = isinstance(images, int)
        prepared = in_order(
            image_items(images, whole(every, "every", least=1)),
            steps.run,
            threads=0 if live else getattr(self.detector, "concurrency", 1),
            together=1 if live else getattr(self.detector, "images_together", 1),
            held_by_item=lambda item: item.held,
            held_by_result=lambda one: one.aligned.nbytes,
        )
        together = 1 if live or self.embedder is None else _IMAGES_TOGETHER
        return self._groups(prepared, together, keep_aligned or self.embedder is None)

    def _groups(
        self, prepared: Iterator[_Prepared], together: int, keep_aligned: bool
    ) -> Iterator[list[EmbeddedImage]]:
        waiting: list[_Prepared] = []
        with closing(prepared):  # type: ignore[type-var]
            try:
                for one in prepared:
                    waiting.append(one)
                    faces = sum(len(each.aligned) for each in waiting)
                    if faces >= _FACES_TOGETHER or len(waiting) >= together:
                        group, waiting = waiting, []
                        yield self._embedded(group, keep_aligned)
            finally:  # an error or an interruption, too, comes after what was done before it
                if waiting:
                    yield self._embedded(waiting, keep_aligned)

    def _embedded(self, waiting: list[_Prepared], keep_aligned: bool) -> list[EmbeddedImage]:
        aligned = [face for one in waiting for face in one.aligned]
        embeddings: Iterable[npt.NDArray[np.float32] | None] = [None] * len(aligned)
        if self.embedder is not None and aligned:
            found = self.embedder.embed(np.stack(aligned))
            embeddings = _one_each(found, len(aligned), "the embedder", "faces")
        rest = iter(embeddings)
        return [
            replace(
                one.image,
                faces=tuple(
                    replace(face, embedding=next(rest), aligned=cut if keep_aligned else None)
                    for face, cut in zip(one.image.faces, one.aligned, strict=True)
                ),
            )
            for one in waiting
        ]


def _one_each(answers: Answers, count: int, part: str, what: str) -> Answers:
    """Returns the answers of a part, which may be the user's own, if there is one for each."""
    given = len(answers) if isinstance(answers, Sized) else repr(answers)
    if given != count:
        raise InvalidArgumentError(f"{part} gave {given} answers for {count} {what}")
    return answers


def _flattened(groups: Iterator[list[EmbeddedImage]]) -> Iterator[EmbeddedImage]:
    with closing(groups):  # type: ignore[type-var]
        for group in groups:
            yield from group


@dataclass(frozen=True)
class _Prepared:
    image: EmbeddedImage
    aligned: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class _Read:
    item: ImageItem
    sha256: str | None = None
    image: DecodedImage | None = None
    error: ImageError | None = None

    @property
    def pixels(self) -> int:
        """The number of pixels in memory."""
        return 0 if self.image is None else self.image.pixels[..., 0].size


@dataclass
class _Steps:
    """The work of one thread: read, detect, gate, align."""

    pipeline: FacePipeline
    select: FaceSelection | Select | Mapping[int, Select] = "all"
    cropped: bool = False
    known: Sequence[Sequence[Face]] | None = None
    digests: bool = False
    skip: Callable[[int, str], bool] | None = None
    reading: Reading = field(kw_only=True)

    def __post_init__(self) -> None:
        flag(self.cropped, "cropped")
        self._choose = _selection(self.select)
        self._aligner, gate = self.pipeline.aligner, self.pipeline.quality
        self._gate = gate.without_border() if self.cropped and gate else gate
        self._warm_up: Callable[[], None] | None = getattr(self.pipeline.embedder, "warm_up", None)

    def run(self, items: Iterator[ImageItem]) -> Iterator[_Prepared]:
        """Processes images; small ones are searched together."""
        groups = in_groups(map(self._read, items), lambda one: one.pixels, PIXELS_TOGETHER)
        # No variable keeps a group in memory while the next one is read.
        return itertools.chain.from_iterable(map(self._prepared, groups))

    def _prepared(self, group: list[_Read]) -> Iterator[_Prepared]:
        found = iter(self._found([one for one in group if one.image is not None]))
        for one in group:
            if one.image is None:
                yield self._without_faces(one, one.error)
            elif isinstance(faces := next(found), ImageError):
                yield self._without_faces(one, faces)
            else:
                yield self._with_faces(one, one.image, faces)

    def _read(self, item: ImageItem) -> _Read:
        digest = None
        try:
            if self.digests or self.skip is not None:
                digest = content_sha256(item.source)
            if self.skip is not None and digest is not None and self.skip(item.index, digest):
                return _Read(item, digest)
            self._warm_up_once()
            image = read_image(item.source, max_side=self._side_enough(), **self.reading)
        except ImageError as error:
            return _Read(item, digest, error=error)
        return _Read(item, digest, image)

    def _found(self, images: Sequence[_Read]) -> Sequence[Sequence[Face] | ImageError]:
        pixels = [one.image.pixels for one in images if one.image is not None]
        if self.cropped:
            return [
                [face_in_box((0.0, 0.0, float(one.shape[1]), float(one.shape[0])))]
                for one in pixels
            ]
        if self.known is not None:
            known = [faces for one in images for faces in self.known[one.item.index :][:1]]
            return _one_each(known, len(images), "known", "images")
        try:
            found = self.pipeline.detector.detect_batch(pixels) if images else []
        except ImageError as error:
            # A detector of the user's own may refuse an image; the others have their faces.
            return [error] if len(images) == 1 else [self._found([one])[0] for one in images]
        return _one_each(found, len(images), "the detector", "images")

    def _without_faces(self, one: _Read, error: ImageError | None) -> _Prepared:
        size = self._aligner.size
        image = EmbeddedImage(one.item.name, one.item.index, sha256=one.sha256, error=error)
        return _Prepared(image, np.empty((0, size, size, 3), dtype=np.uint8))

    def _with_faces(self, one: _Read, read: DecodedImage, found: Sequence[Face]) -> _Prepared:
        item = one.item
        faces = [_scaled(face, read.scale) for face in found]
        chosen = self._choose(item.index)(list(faces), (read.height, read.width))
        read = self._fine_enough(item, read, chosen)
        across, down = read.scale
        seen = [_scaled(face, (1 / across, 1 / down)) for face in chosen]
        gate = self._gate
        image = EmbeddedImage(
            item.name,
            item.index,
            tuple(
                EmbeddedFace(
                    item.name,
                    face,
                    None if gate is None else gate.assess(read.pixels, face_seen, scale=across),
                )
                for face, face_seen in zip(chosen, seen, strict=True)
            ),
            found=len(faces),
            size=(read.height, read.width),
            sha256=one.sha256,
        )
        return _Prepared(image, self._aligner.align(read.pixels, seen))

    def _warm_up_once(self) -> None:
        """Starts the embedder in another thread: two cores then start two networks."""
        warm_up, self._warm_up = self._warm_up, None
        if warm_up is not None:
            executor = ThreadPoolExecutor(1, thread_name_prefix="facekit-embedding")
            executor.submit(warm_up)  # what fails there, fails again where faces are embedded
            executor.shutdown(wait=False)

    def _side_enough(self) -> int | None:
        """Returns the longest side that the search needs; ``None`` for the whole image."""
        if self.cropped or self.known is not None:
            return None
        return getattr(self.pipeline.detector, "max_image_side", None)

    def _fine_enough(
        self, item: ImageItem, read: DecodedImage, faces: Sequence[Face]
    ) -> DecodedImage:
        """Rereads an image at full size if it was reduced so far that a face would be enlarged."""
        if read.scale == (1.0, 1.0) or all(
            _ALIGNED_BY_BOX * min(face.box[2:]) >= max(read.scale) * self._aligner.size
            for face in faces
        ):
            return read
        try:
            return read_image(item.source, **self.reading)
        except ImageError:  # larger than max_pixels, or a stream that cannot be read twice
            return read


def _scaled(face: Face, scale: tuple[float, float]) -> Face:
    """Returns the face scaled by these factors horizontally and vertically."""
    across, down = scale
    if (across, down) == (1.0, 1.0):
        return face
    x, y, width, height = face.box
    points = Keypoints(*((px * across, py * down) for px, py in face.keypoints))
    return Face((x * across, y * down, width * across, height * down), face.confidence, points)


def face_in_box(box: tuple[float, float, float, float], confidence: float = 1.0) -> Face:
    """Makes a face of a box alone, with keypoints where those of a frontal face lie."""
    x, y, width, height = box
    side = _ALIGNED_BY_BOX * float(np.sqrt(width * height))
    corner = np.array([x + width / 2, y + height / 2]) - side / 2
    points = corner + side * np.array(DEFAULT_TEMPLATE)
    return Face(box, confidence, Keypoints(*((float(px), float(py)) for px, py in points)))


def content_sha256(source: ImageSource) -> str | None:
    """Returns the SHA-256 of an image's file, or ``None`` for an image that is not a file."""
    if isinstance(source, bytes | bytearray | memoryview):
        return hashlib.sha256(bytes(source)).hexdigest()
    if not isinstance(source, str | os.PathLike):
        return None
    try:
        # A pipe would block forever; anything but a regular file is reported when it is read.
        return sha256(Path(source)) if Path(source).is_file() else None
    except (OSError, ValueError) as error:
        raise ImageError(f"{printable(source)}: cannot be read ({why(error)})") from error


def nearest_to_middle(faces: Sequence[Face], size: tuple[int, int]) -> Face:
    """Returns the face whose center is nearest to the middle of an image."""
    middle = np.array(size[::-1]) / 2
    return min(faces, key=lambda face: float(np.linalg.norm(np.array(face.center) - middle)))


def _selection(
    select: FaceSelection | Select | Mapping[int, Select],
) -> Callable[[int], Select]:
    """Returns the function that chooses the faces of the image at a position."""
    if isinstance(select, Mapping):
        return select.__getitem__
    named: dict[Any, Select] = {
        "all": lambda faces, _: faces,
        "largest": select_largest,
        "central": lambda faces, size: [nearest_to_middle(faces, size)] if faces else [],
    }
    if not callable(select) and (not isinstance(select, str) or select not in named):
        raise InvalidArgumentError(
            f"select must be one of {tuple(named)} or a function, got {select!r}"
        )
    chosen = select if callable(select) else named[select]
    return lambda _: chosen


def select_largest(faces: list[Face], _: tuple[int, int]) -> list[Face]:
    """Chooses the largest face, for :meth:`FacePipeline.run`."""
    return [largest_face(faces)] if faces else []


def select_marked(box: tuple[float, float, float, float]) -> Select:
    """Returns what chooses the face that a box marks, for :meth:`FacePipeline.run`."""

    def select(faces: list[Face], _: tuple[int, int]) -> list[Face]:
        near = [face for face in faces if box_overlap(face.box, box) >= SAME_FACE]
        return [max(near, key=lambda face: box_overlap(face.box, box))] if near else []

    return select
