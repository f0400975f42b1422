"""The data set: aligned faces of people, decoded on demand."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facekit.alignment import Aligner
from facekit.detection import Detector
from facekit.errors import InvalidArgumentError, TrainingDataError, TrainingDataWarning
from facekit.io.decoding import Truncated
from facekit.io.files import is_folder
from facekit.io.images import MAX_PIXELS, Reading
from facekit.io.people import PersonImage
from facekit.pipeline import FacePipeline
from facekit.report import ImageOutcome, ImageReport
from facekit.training.data.archives import read_index
from facekit.training.data.collection import Gathered, gather
from facekit.training.data.face_cache import FaceCache
from facekit.training.data.images import (
    align_largest,
    folder_candidates,
    manifest_candidates,
    read_images,
)
from facekit.utils.home import home
from facekit.utils.validation import aligned_faces, identity, number, whole

# Searching an image takes tenths of a second; known faces are aligned at once.
_IMAGES_AT_A_TIME, _FOUND_AT_A_TIME = 8, 256


class FaceDataset:
    """Aligned faces with their people.

    Create one with :meth:`from_folder`, :meth:`from_csv`, :meth:`from_archives` or
    :meth:`from_arrays`. The first three align each face once and keep it in a cache on disk, so
    that recreating the data set takes seconds, an interrupted preparation resumes where it stopped,
    and faces are read only on demand.

    Args:
        read: Reads faces by number, uint8 ``(n, S, S, 3)``; called by several threads.
        rows: The number of each face for ``read``, int64 ``(n,)``.
        people: The person of each face, n names; empty if unknown.
        keys: The name of each face, n strings.
        input_size: The side S of the faces, in pixels.
        report: The outcome for every image given.

    Attributes:
        input_size: As given.
        identities: The names of the people, sorted; only people with at least one face.
        labels: int32 ``(n,)``: for each face the index of its person in ``identities``, or -1 if
            unknown.
        keys: The name of each face: the path of its image, or ``archive/name``.
        report: As given.

    Example:
        >>> import numpy as np
        >>> from facekit.training import FaceDataset
        >>> faces = np.zeros((4, 32, 32, 3), dtype=np.uint8)
        >>> data = FaceDataset.from_arrays(faces, ["Ann", "Bob", "Ann", None])
        >>> data
        FaceDataset(4 faces of 2 people, input_size=32)
        >>> data.labels.tolist()
        [0, 1, 0, -1]
        >>> data.images([2, 0]).shape
        (2, 32, 32, 3)
    """

    def __init__(
        self,
        read: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.uint8]],
        rows: npt.NDArray[np.int64],
        people: Sequence[str],
        keys: Sequence[str],
        *,
        input_size: int,
        report: ImageReport,
    ) -> None:
        self._read, self._rows, self._people = read, rows, tuple(people)
        self.input_size = input_size
        self.keys = tuple(keys)
        self.report = report
        self.identities = tuple(sorted({person for person in people if person}))
        places = {person: place for place, person in enumerate(self.identities)}
        self.labels = np.array([places.get(person, -1) for person in people], dtype=np.int32)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return (
            f"FaceDataset({len(self):,} faces of {len(self.identities):,} people, "
            f"input_size={self.input_size})"
        )

    def images(
        self, indices: Sequence[int] | npt.NDArray[np.integer[Any]]
    ) -> npt.NDArray[np.uint8]:
        """Reads faces. Any number of threads may do so at once.

        Args:
            indices: Which faces, from 0 to ``len(self) - 1``; ``(n,)``.

        Returns:
            uint8 ``(n, S, S, 3)``, RGB, in the order of ``indices``.

        Raises:
            InvalidArgumentError: If an index is none of a face.
            FileFormatError: If the cache is missing or damaged.
        """
        return self._read(self._rows[self._checked(indices)])

    def subset(self, indices: Sequence[int] | npt.NDArray[np.integer[Any]]) -> FaceDataset:
        """Returns a data set of some of the faces, in the order given.

        Its ``identities`` are only those of its faces, so labels are renumbered.

        Args:
            indices: Which faces, from 0 to ``len(self) - 1``; ``(n,)``.

        Raises:
            InvalidArgumentError: If an index is none of a face.
        """
        chosen = self._checked(indices)
        return FaceDataset(
            self._read,
            self._rows[chosen],
            [self._people[index] for index in chosen],
            [self.keys[index] for index in chosen],
            input_size=self.input_size,
            report=self.report,
        )

    def split(self, validation: float = 0.1, *, seed: int = 0) -> tuple[FaceDataset, FaceDataset]:
        """Splits the data set so that no person is in both parts.

        People are drawn at random, in equal shares from those with one face and those with more,
        since only the latter give pairs for validation. Faces of unknown people go to the first
        part.

        Args:
            validation: The share of people in the second part, between 0 and 1, or their number.
            seed: Seed of the draw; the same seed gives the same split.

        Returns:
            The training part and the validation part.

        Raises:
            InvalidArgumentError: If ``validation`` is not such a number.
            TrainingDataError: If the data set has fewer than two people.

        Warns:
            TrainingDataWarning: If the second part is too small for validation: it has fewer than
                two people, or no person with two faces.
        """
        people = len(self.identities)
        if people < 2:
            raise TrainingDataError(
                f"a split needs at least two people, the data set has {people}; add people"
            )
        wanted = _number_held_out(validation, people)
        rng = np.random.default_rng(whole(seed, "seed", least=0))
        counts = np.bincount(self.labels[self.labels >= 0], minlength=people)
        several, single = (rng.permutation(np.flatnonzero(o)) for o in (counts > 1, counts == 1))
        of_several = math.ceil(wanted * len(several) / people)
        held_out = np.concatenate([several[:of_several], single[: wanted - of_several]])
        if len(held_out) < 2 or not of_several:
            warnings.warn(
                f"{len(held_out)} of {people} people are held out, {of_several} of them with two "
                "faces or more; validation needs two people, one of them with two faces",
                TrainingDataWarning,
                stacklevel=2,
            )
        is_held_out = np.isin(self.labels, held_out)
        return (
            self.subset(np.flatnonzero(~is_held_out)),
            self.subset(np.flatnonzero(is_held_out)),
        )

    @classmethod
    def from_folder(
        cls,
        path: str | os.PathLike[str],
        *,
        input_size: int,
        aligner: Aligner | None = None,
        detector: Detector | None = None,
        max_pixels: int = MAX_PIXELS,
        truncated: Truncated = "error",
        cache: str | os.PathLike[str] | None = None,
        progress: bool = True,
    ) -> FaceDataset:
        """Creates a data set from a folder with one folder per person, named after the person.

        Faces are detected in each image, and the largest is used.

        Args:
            path: The folder.
            input_size: The side S of the faces, in pixels.
            aligner: Cuts the faces out; its ``size`` must be ``input_size``. By default one that
                aligns by similarity.
            detector: Finds the faces; by default the default detector.
            max_pixels: The largest image that is read, in pixels.
            truncated: As for :func:`facekit.load_image`.
            cache: The folder of the cache; by default ``faces`` in ``FACEKIT_HOME`` or in the
                user's cache folder.
            progress: Whether to show a progress bar on a terminal.

        Returns:
            The data set, with at least one face.

        Raises:
            TrainingDataError: If the folder is missing, or no image shows a usable face.
            FileFormatError: If the cache is damaged or cannot be written.
            InvalidArgumentError: If the aligner does not make faces of ``input_size``.
        """
        reading: Reading = {"max_pixels": max_pixels, "truncated": truncated}
        candidates = folder_candidates(Path(path))
        return cls._from_images(candidates, input_size, aligner, detector, reading, cache, progress)

    @classmethod
    def from_csv(
        cls,
        path: str | os.PathLike[str],
        *,
        input_size: int,
        path_column: str = "path",
        identity_column: str = "identity",
        aligner: Aligner | None = None,
        detector: Detector | None = None,
        max_pixels: int = MAX_PIXELS,
        truncated: Truncated = "error",
        cache: str | os.PathLike[str] | None = None,
        progress: bool = True,
    ) -> FaceDataset:
        """Creates a data set from the images listed in a CSV file.

        Args:
            path: The file: UTF-8, comma-separated, with a header line.
            input_size: The side S of the faces, in pixels.
            path_column: The column of the images' paths; relative paths start at the file's folder.
            identity_column: The column of the people; empty if unknown.
            aligner: As in :meth:`from_folder`, like the others.
            detector: Likewise.
            max_pixels: Likewise.
            truncated: Likewise.
            cache: Likewise.
            progress: Likewise.

        Returns:
            The data set, with at least one face.

        Raises:
            TrainingDataError: If the file cannot be read, or no image shows a face that can be
                used.
            FileFormatError: If the cache is damaged or cannot be written.
            InvalidArgumentError: If the aligner does not make faces of ``input_size``.
        """
        candidates = manifest_candidates(
            Path(path), path_column=path_column, identity_column=identity_column
        )
        reading: Reading = {"max_pixels": max_pixels, "truncated": truncated}
        return cls._from_images(candidates, input_size, aligner, detector, reading, cache, progress)

    @classmethod
    def from_archives(
        cls,
        path: str | os.PathLike[str],
        *,
        input_size: int,
        aligner: Aligner | None = None,
        labeled_only: bool = True,
        min_score: float = 0.95,
        max_pixels: int = MAX_PIXELS,
        truncated: Truncated = "error",
        cache: str | os.PathLike[str] | None = None,
        progress: bool = True,
    ) -> FaceDataset:
        """Creates a data set from images in zip archives with known faces.

        It suits large collections: a few files instead of a hundred thousand, with faces found once
        by a detector or the data set's authors. A CSV file has a line for each image, with the
        columns ``archive``, the name of a zip file beside it; ``name``, the image in it; ``label``,
        the person, or empty; ``box_x1``, ``box_y1``, ``box_x2``, ``box_y2``, then ``left_eye_x``,
        ``left_eye_y`` and so on for each of :class:`facekit.Keypoints`, in pixels; and ``score``,
        the detector's confidence.

        Args:
            path: The CSV file, in UTF-8, or its folder if it is called ``index.csv``.
            input_size: The side S of the faces, in pixels.
            aligner: As in :meth:`from_folder`.
            labeled_only: Whether to leave out the faces of unknown people.
            min_score: The confidence that a face needs, in [0, 1].
            max_pixels: As in :meth:`from_folder`, like the others.
            truncated: Likewise.
            cache: Likewise.
            progress: Likewise.

        Returns:
            The data set, with at least one face.

        Raises:
            TrainingDataError: If the index or an archive is missing or damaged, or no face is left.
            FileFormatError: If the cache is damaged or cannot be written.
            InvalidArgumentError: If an argument lies outside its range.
        """
        number(min_score, "min_score", 0.0, 1.0)
        aligner = _checked_aligner(aligner, input_size)
        reading: Reading = {"max_pixels": max_pixels, "truncated": truncated}
        faces = _cache(cache, aligner, reading, source="pool")
        with ExitStack() as archives:
            index = Path(path, "index.csv") if is_folder(path) else Path(path)
            items = read_index(
                index,
                archives,
                aligner,
                labeled_only=labeled_only,
                min_score=min_score,
                reading=reading,
            )
            gathered = gather(items, faces, at_a_time=_FOUND_AT_A_TIME, progress=progress)
        return cls._of(gathered, faces)

    @classmethod
    def from_arrays(
        cls,
        images: npt.NDArray[np.uint8],
        identities: Sequence[str | None],
        *,
        keys: Sequence[str] | None = None,
    ) -> FaceDataset:
        """Creates a data set from aligned faces in memory.

        Args:
            images: uint8 ``(n, S, S, 3)``, RGB; not copied.
            identities: The people, ``n`` names; ``None`` if unknown.
            keys: The name of each; by default its number.

        Returns:
            The data set.

        Raises:
            InvalidArgumentError: If the shapes or types do not match.
        """
        images = aligned_faces(images, "images")
        people = [
            "" if name is None or name == "" else identity(name, "an identity")
            for name in identities
        ]
        keys = [str(number) for number in range(len(images))] if keys is None else keys
        if not len(images) == len(people) == len(keys):
            raise InvalidArgumentError(
                f"images, identities and keys must be equally many, got {len(images)}, "
                f"{len(people)} and {len(keys)}"
            )
        outcomes = [ImageOutcome(*named, "used") for named in zip(people, keys, strict=True)]
        report = ImageReport(tuple(outcomes), done="used")
        rows, side = np.arange(len(images)), images.shape[1]
        return cls(images.__getitem__, rows, people, keys, input_size=side, report=report)

    @classmethod
    def _from_images(
        cls,
        candidates: list[PersonImage],
        input_size: int,
        aligner: Aligner | None,
        detector: Detector | None,
        reading: Reading,
        cache: str | os.PathLike[str] | None,
        progress: bool,
    ) -> FaceDataset:
        aligner = _checked_aligner(aligner, input_size)
        detector = detector or Detector()
        found_by = {
            "class": type(detector).__name__,
            **detector.get_params(),
            "threads": None,  # changes nothing
        }
        faces = _cache(cache, aligner, reading, source="photos", detector=found_by)
        pipeline = FacePipeline(detector, aligner=aligner)
        gathered = gather(
            read_images(candidates, progress=progress),
            faces,
            at_a_time=_IMAGES_AT_A_TIME,
            progress=progress,
            align=lambda images: align_largest(images, pipeline, reading),
        )
        return cls._of(gathered, faces)

    @classmethod
    def _of(cls, gathered: Gathered, cache: FaceCache) -> FaceDataset:
        return cls(
            cache.read,
            gathered.rows,
            [outcome.person for outcome in gathered.used],
            [outcome.source for outcome in gathered.used],
            input_size=cache.size,
            report=gathered.report,
        )

    def _checked(
        self, indices: Sequence[int] | npt.NDArray[np.integer[Any]]
    ) -> npt.NDArray[np.int64]:
        checked = np.asarray(indices, dtype=np.int64 if len(indices) == 0 else None)
        if (
            checked.ndim != 1
            or not np.issubdtype(checked.dtype, np.integer)
            or not ((checked >= 0) & (checked < len(self))).all()
        ):
            raise InvalidArgumentError(
                f"indices must be whole numbers from 0 to {len(self) - 1}, got {indices!r:.200}"
            )
        return checked.astype(np.int64)


def _number_held_out(validation: float, people: int) -> int:
    if isinstance(validation, int | np.integer):
        return whole(validation, "validation, a number of people,", least=1, most=people - 1)
    share = number(validation, "validation, a share of the people,", above=0.0, below=1.0)
    # Any share leaves at least one person on each side.
    return min(max(round(share * people), 1), people - 1)


def _checked_aligner(aligner: Aligner | None, input_size: int) -> Aligner:
    if aligner is None:
        return Aligner(size=input_size)
    if aligner.size != input_size:
        raise InvalidArgumentError(
            f"aligner makes faces of {aligner.size} pixels, but input_size is {input_size}; "
            f"give Aligner(size={input_size}, ...)"
        )
    return aligner


def _cache(
    folder: str | os.PathLike[str] | None, aligner: Aligner, reading: Reading, **settings: Any
) -> FaceCache:
    settings["aligner"] = aligner.to_dict()
    if reading["truncated"] == "use":  # faces of incomplete images are kept apart
        settings["truncated"] = "use"
    path = home() / "faces" if folder is None else Path(folder)
    return FaceCache(path, size=aligner.size, settings=settings)
