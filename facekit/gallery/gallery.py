"""The gallery: the embeddings of the enrolled people, their sources, and the file."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from facekit.errors import EnrollmentError, EnrollmentWarning, FileFormatError, InvalidArgumentError
from facekit.gallery.corrections import Correction
from facekit.gallery.database import gallery_file, partial_path, remove_files
from facekit.gallery.decisions import Decisions
from facekit.gallery.enrolled import Enrolled
from facekit.gallery.index import LEAST_NORM
from facekit.gallery.protocol import Batch, GalleryStore
from facekit.gallery.records import EnrolledImage, FaceSource, Match
from facekit.gallery.review import Duplicate, Outlier, near_people, odd_images
from facekit.gallery.reviewer import Review
from facekit.gallery.store import FileStore
from facekit.io.files import exists
from facekit.io.notebook import MOST_SHOWN, rows_as_html
from facekit.io.tables import BOX_COLUMNS
from facekit.utils.validation import (
    flag,
    identity,
    instance,
    json_values,
    number,
    several,
    text,
    unit_rows,
    whole,
)


class Gallery:
    """Holds the embeddings of enrolled people, and the images that they came from.

    ``Gallery(weights, embedding_size)`` is in memory. :meth:`open` and :meth:`create` return one in
    a file: every change is atomic, and is on disk when the method returns. Several processes and
    threads may use a gallery at once; readers never wait for writers. It pickles by its path, and
    works after a fork.

    Names are normalized: Unicode's form C, without surrounding white space and invisible
    characters. A person cannot be named "unknown", the label of strangers.

    Every method of a gallery in a file can raise :class:`facekit.FileFormatError`, if the file
    turns out to be damaged or cannot be read or written, and
    :class:`facekit.errors.GalleryBusyError`, if another process keeps it locked.

    Args:
        weights: The identity of the weights that make the embeddings
            (``embedder.record.identity``). Those of other weights cannot be compared.
        embedding_size: The number of components of an embedding.

    Attributes:
        weights: As given.
        embedding_size: As given.
        path: The file, absolute, or ``None`` in memory.

    Raises:
        InvalidArgumentError: If ``embedding_size`` is not a positive whole number.

    Example:
        >>> import numpy as np
        >>> from facekit import Gallery
        >>> gallery = Gallery("example@1", embedding_size=2)
        >>> gallery.enroll("Ada", np.array([[1.0, 0.0]], dtype=np.float32), ["ada.jpg"])
        [1]
        >>> gallery.people, "Ada" in gallery
        ({'Ada': 1}, True)
        >>> gallery.search(np.array([[0.8, 0.6]]))[0][0].person
        'Ada'
        >>> gallery.remove("Ada"), len(gallery)
        (1, 0)
    """

    def __init__(self, weights: str, embedding_size: int) -> None:
        size = whole(embedding_size, "embedding_size", least=1, most=_MOST_COMPONENTS)
        self._start(FileStore.in_memory(text(weights, "weights", empty=False), size))

    @classmethod
    def create(cls, path: str | os.PathLike[str], weights: str, embedding_size: int) -> Gallery:
        """Creates an empty gallery in a file that only its owner can read.

        Args:
            path: The file; its folder must exist.
            weights: As for the class.
            embedding_size: As for the class.

        Returns:
            The gallery.

        Raises:
            FileFormatError: If the path already exists or cannot be written.
            InvalidArgumentError: If ``embedding_size`` is not a positive whole number, or the path
                holds a NUL.
        """
        size = whole(embedding_size, "embedding_size", least=1, most=_MOST_COMPONENTS)
        FileStore.create(gallery_file(path), text(weights, "weights", empty=False), size)
        return cls.open(path, weights=weights)

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], *, weights: str | None = None, timeout: float = 10.0
    ) -> Gallery:
        """Opens the gallery in a file.

        A read-only file or folder is enough for reading. People and vectors are read, and checked
        against their checksums, when they are first used.

        Args:
            path: The file that :meth:`create` or :meth:`copy` made.
            weights: The identity of the weights that the caller uses, for comparison.
            timeout: How long a change waits for another process that is changing the gallery, in
                seconds, 0 to 2,000,000.

        Returns:
            The gallery.

        Raises:
            FileFormatError: If it is missing, truncated, damaged, altered, or of another version.
            InvalidArgumentError: If it belongs to other weights, the path holds a NUL, or
                ``timeout`` is outside its range.
        """
        gallery = cls.__new__(cls)
        timeout = number(timeout, "timeout", 0, _LONGEST_TIMEOUT)
        gallery._start(FileStore.open(gallery_file(path), weights, timeout))
        return gallery

    @classmethod
    def of(cls, store: GalleryStore) -> Gallery:
        """Creates a gallery from any store, such as that of a database server.

        Args:
            store: Stores the people and images.

        Returns:
            The gallery. Only galleries in files support :meth:`rename`, :meth:`merge`,
            :meth:`metadata`, :attr:`settings`, :attr:`review`, :meth:`check` and :meth:`compact`;
            here they raise :class:`facekit.InvalidArgumentError`.
        """
        gallery = cls.__new__(cls)
        gallery._start(instance(store, "store", GalleryStore))
        return gallery

    def _start(self, store: GalleryStore) -> None:
        self._store = store
        self.weights, self.embedding_size = store.weights, store.embedding_size
        self.path = store.path if isinstance(store, FileStore) else None

    def __len__(self) -> int:
        return len(self.searched())

    def __iter__(self) -> Iterator[str]:
        return iter(self.people)

    def __contains__(self, name: object) -> bool:
        try:
            person = identity(name)
        except InvalidArgumentError:
            return False
        if isinstance(self._store, FileStore):
            return self._store.has(person)
        return person in self.people

    def __repr__(self) -> str:
        place = "" if self.path is None else f", path={os.fspath(self.path)!r}"
        return (
            f"Gallery({len(self.enrolled().classes)} people, {len(self)} photos, "
            f"weights={self.weights!r}{place})"
        )

    def _repr_html_(self) -> str:
        people = self.people
        rows: list[dict[str, Any]] = [
            {"name": f"{name}: {images}"} for name, images in people.items()
        ]
        for row, name in zip(rows[:MOST_SHOWN], people, strict=False):
            image = next(iter(self.images(name)))
            box = image.box or (None,) * 4
            row |= {"image": image.source, **dict(zip(BOX_COLUMNS, box, strict=True))}
        return rows_as_html(repr(self), rows)

    def __reduce__(self) -> tuple[Any, ...]:
        if not isinstance(self._store, FileStore):
            return Gallery.of, (self._store,)
        if self.path is not None:
            return partial(Gallery.open, weights=self.weights), (str(self.path),)
        images, embeddings = self.content()
        notes = {name: note for name in self if (note := self.metadata(name))}
        return _filled, (
            self.weights,
            self.embedding_size,
            images,
            embeddings,
            notes,
            self.settings,
            self.review.corrections,
        )

    def __enter__(self) -> Gallery:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file. Nothing needs to be saved: every change is already on disk.

        An unused gallery is closed when it is garbage-collected.
        """
        if isinstance(self._store, FileStore):
            self._store.close()

    # What is enrolled.

    @property
    def people(self) -> dict[str, int]:
        """The enrolled people, sorted by name, with the number of images of each."""
        if isinstance(self._store, FileStore):
            return self._store.people()
        return dict(sorted(Counter(image.person for image in self.images()).items()))

    @property
    def embeddings(self) -> npt.NDArray[np.float32]:
        """A copy of the embeddings, float32 ``(n, d)``, in the order of enrollment."""
        enrolled = self.enrolled()
        return enrolled.embeddings[enrolled.rows]

    @property
    def names(self) -> tuple[str, ...]:
        """The person of each embedding."""
        return tuple(image.person for image in self.images())

    @property
    def sources(self) -> tuple[str, ...]:
        """For each embedding, its source, which is the name of its image."""
        return tuple(image.source for image in self.images())

    def images(self, name: str | None = None) -> list[EnrolledImage]:
        """Returns the enrolled images, in the order of enrollment.

        Args:
            name: The person; by default, everyone.

        Returns:
            The images; an empty list for an empty gallery.

        Raises:
            EnrollmentError: If no such person is enrolled.
            InvalidArgumentError: If the name cannot be one.
        """
        if name is None:
            return [image for images, _ in self.snapshot() for image in images]
        person = identity(name)
        if isinstance(self._store, FileStore):
            return self._store.images_of(person)
        found = [image for image in self.images() if image.person == person]
        if not found:
            raise EnrollmentError(f"no one is enrolled as {person!r}")
        return found

    def image(self, number: int) -> EnrolledImage:
        """Returns one enrolled image by its number.

        Args:
            number: Its number, as :meth:`enroll` returned it.

        Returns:
            The image.

        Raises:
            EnrollmentError: If there is none of that number.
            InvalidArgumentError: If the number is not a whole one.
        """
        number = whole(number, "number")
        if isinstance(self._store, FileStore):
            return self._store.images([number])[0]
        for image in self.images():
            if image.id == number:
                return image
        raise EnrollmentError(f"no photo number {number} is enrolled")

    def images_at(self, rows: Sequence[int]) -> list[EnrolledImage]:
        """Returns the images at rows of :meth:`enrolled`.

        Args:
            rows: Indices of embeddings.

        Returns:
            The image of each.

        Raises:
            EnrollmentError: If one of them was removed meanwhile.
        """
        if isinstance(self._store, FileStore):
            places = [whole(row, "row", least=0) for row in several(rows, "rows")]
            return self._store.images([place + 1 for place in places])
        images = self.images()
        if max(rows, default=-1) >= len(images):
            raise EnrollmentError(f"no photo is enrolled at row {max(rows)}")
        return [images[row] for row in rows]

    def metadata(self, name: str) -> dict[str, Any]:
        """Returns the metadata of a person.

        Args:
            name: Who it is.

        Returns:
            JSON values by key; empty if there is no metadata.

        Raises:
            EnrollmentError: If no such person is enrolled.
            InvalidArgumentError: If the name cannot be one.
        """
        return self._in_file.metadata(identity(name))

    def enrolled(self) -> Enrolled:
        """Returns a snapshot of the embeddings with their people.

        It does not change when others are enrolled, so that any number of threads may read it. Rows
        of removed people hold zeros. Only changes since the last call are read; from a store other
        than a file, everything is read each time.
        """
        return self.searched().dense

    def searched(self) -> Enrolled:
        """Returns what :meth:`enrolled` does at the cost of what has changed.

        Removed people may stay among its ``classes``, and their rows among its ``labels``.
        """
        if isinstance(self._store, FileStore):
            return self._store.enrolled()
        images, embeddings = self.content()
        classes, labels = np.unique(
            np.array([image.person for image in images], dtype=object), return_inverse=True
        )
        return Enrolled(embeddings, labels, classes, least_norm=LEAST_NORM)

    def snapshot(self) -> Iterator[Batch]:
        """Yields a consistent snapshot of everything enrolled, batch by batch.

        Yields:
            Images and their embeddings, float32 ``(n, d)``, in the order of enrollment.
        """
        yield from self._store.snapshot()

    def content(self) -> tuple[list[EnrolledImage], npt.NDArray[np.float32]]:
        """Returns a consistent snapshot of all images with a copy of their embeddings."""
        images: list[EnrolledImage] = []
        vectors = [np.empty((0, self.embedding_size), np.float32)]
        for some, embeddings in self.snapshot():
            images += some
            vectors.append(embeddings)
        return images, np.concatenate(vectors)

    # Changes.

    def enroll(
        self,
        name: str,
        embeddings: npt.ArrayLike,
        sources: Sequence[str | FaceSource],
        *,
        metadata: Mapping[str, Any] | None = None,
    ) -> list[int]:
        """Adds images of one person, who may already be enrolled.

        Args:
            name: Who it is; a non-empty string other than "unknown".
            embeddings: float32 ``(n, d)``, of unit L2 norm.
            sources: The source of each: the image's name, or a ``FaceSource``.
            metadata: JSON values to store with the person; existing values under other keys are
                kept.

        Returns:
            The numbers of the images in the gallery.

        Raises:
            InvalidArgumentError: If an argument cannot be used; then nothing changes.

        Warns:
            EnrollmentWarning: If the file of an image, by its SHA-256, is also enrolled under
                another name.
        """
        sources, person = several(sources, "sources"), identity(name)
        about = {person: {} if metadata is None else metadata}
        return self._enroll([person] * len(sources), embeddings, sources, about)

    def extend(
        self,
        names: Sequence[str],
        embeddings: npt.ArrayLike,
        sources: Sequence[str | FaceSource],
    ) -> list[int]:
        """Adds images of several people.

        Args:
            names: The person of each, n of them.
            embeddings: float32 ``(n, d)``, of unit L2 norm.
            sources: The source of each, n of them.

        Returns:
            The numbers of the images in the gallery.

        Raises:
            InvalidArgumentError: If an argument cannot be used; then nothing changes.

        Warns:
            EnrollmentWarning: As for :meth:`enroll`.
        """
        return self._enroll(names, embeddings, sources, {})

    def replace(self, batches: Iterable[Batch]) -> int:
        """Replaces everyone with these images.

        A gallery in a file or in memory is replaced atomically. In another store, the images are
        added before the earlier ones are removed.

        Args:
            batches: Batches of images with their people, and their embeddings, float32 ``(n, d)``,
                of unit L2 norm, as :meth:`snapshot` of another gallery yields them. Memory does not
                grow with their number.

        Returns:
            The number of images enrolled now; in a file or in memory they are numbered from 1.

        Raises:
            InvalidArgumentError: If an argument cannot be used; then nothing changes.
        """
        if isinstance(self._store, FileStore):
            return self._store.replace(map(self._checked_batch, batches))
        before, added = [image.id for image in self.images()], list[int]()
        try:
            for images, embeddings in batches:
                added += self.extend([image.person for image in images], embeddings, images)
        except BaseException:
            self._store.remove(added)
            raise
        self._store.remove(before)
        return len(added)

    def remove(self, name: str) -> int:
        """Erases a person: name, metadata, embeddings, corrections and image sources.

        When it returns, none of this is left in the gallery's file or beside it, where an
        interrupted :meth:`facekit.FaceRecognizer.fit` leaves what it has done.

        Args:
            name: Who it is.

        Returns:
            How many images were enrolled.

        Raises:
            EnrollmentError: If no such person is enrolled.
            GalleryBusyError: If another process keeps the gallery locked, or has been reading for
                so long that the log could not be erased; the message says which.
            InvalidArgumentError: If the name cannot be one.
        """
        if isinstance(self._store, FileStore):
            person = identity(name)
            with self._unfinished() as fitted:
                if fitted is not None and person in fitted:
                    fitted.remove(person)
            return self._store.remove_person(person)
        images = self.images(name)
        self._store.remove([image.id for image in images])
        return len(images)

    def remove_images(self, numbers: Sequence[int]) -> int:
        """Erases images; a person left without any is erased as well.

        Args:
            numbers: The numbers of the images.

        Returns:
            The number of images removed.

        Raises:
            EnrollmentError: If one of them is not enrolled; then nothing changes.
            InvalidArgumentError: If a number is not a whole one.
        """
        chosen = list(dict.fromkeys(whole(one, "number") for one in several(numbers, "numbers")))
        if chosen:
            self._store.remove(chosen)
        return len(chosen)

    def clear(self) -> int:
        """Erases everyone, and all corrections.

        Returns:
            How many images were enrolled.
        """
        with self._unfinished() as fitted:
            if fitted is not None:
                fitted.clear()
        removed = len(self)
        self.replace([])
        return removed

    def rename(self, name: str, new: str) -> None:
        """Renames a person; the old name is gone from the file when it returns.

        Args:
            name: Who it is.
            new: The new name, not yet in use.

        Raises:
            EnrollmentError: If no one is enrolled under the old name, or someone is under the new
                one.
            InvalidArgumentError: If one of the names cannot be one.
        """
        self._in_file.rename(identity(name), identity(new))

    def merge(self, name: str, into: str) -> int:
        """Moves all images of one name to another, if both are the same person.

        Args:
            name: The name that disappears. Its metadata is kept under keys that the other name does
                not have.
            into: The name that stays.

        Returns:
            How many images changed their name.

        Raises:
            EnrollmentError: If no one is enrolled under one of the names.
            InvalidArgumentError: If both are the same, or one cannot be a name.
        """
        one, other = identity(name), identity(into)
        if one == other:
            raise InvalidArgumentError(f"name and into must differ, both are {one!r}")
        return self._in_file.merge(one, other)

    def set_metadata(self, name: str, metadata: Mapping[str, Any]) -> None:
        """Replaces the metadata of a person.

        Args:
            name: Who it is.
            metadata: Values for JSON.

        Raises:
            EnrollmentError: If no such person is enrolled.
            InvalidArgumentError: If JSON cannot write a value, or the name cannot be one.
        """
        self._in_file.set_metadata(identity(name), json_values(metadata))

    @property
    def settings(self) -> dict[str, Any]:
        """What a recognizer stores with the gallery, such as its calibration; JSON values."""
        return self._store.settings() if isinstance(self._store, FileStore) else {}

    def set_settings(self, settings: Mapping[str, Any]) -> None:
        """Replaces :attr:`settings`.

        Args:
            settings: Values for JSON.

        Raises:
            InvalidArgumentError: If JSON cannot write a value.
        """
        self._in_file.set_settings(json_values(settings, "settings"))

    # Corrections.

    @property
    def review(self) -> Review:
        """The corrections of faces, to be made, listed and undone.

        Raises:
            InvalidArgumentError: If the gallery is in a store that keeps no corrections, which only
                files do.
        """
        return Review(self._in_file)

    def decisions(self) -> Decisions:
        """Returns the consequences of :attr:`review` for each face; empty for other stores."""
        return self._store.decisions() if isinstance(self._store, FileStore) else Decisions()

    def images_with_digests(self, digests: Set[str]) -> list[EnrolledImage]:
        """Returns the enrolled images whose files have one of these SHA-256.

        Args:
            digests: SHA-256 of files, in hexadecimal.
        """
        wanted = {digest.lower() for digest in digests}
        if isinstance(self._store, FileStore):
            return self._store.images_with_digests(wanted)
        return [image for image in self.images() if image.sha256 in wanted]

    # Questions.

    def search(self, probes: npt.ArrayLike, count: int = 5) -> list[list[Match]]:
        """Finds the enrolled images that are nearest to each probe.

        Up to ``facekit.gallery.index.EXACT_LIMIT`` images, every one is compared; beyond that,
        FAISS preselects candidates if it is installed.

        Args:
            probes: Embeddings, ``(n, d)``, of unit L2 norm.
            count: How many images to return for each, at most.

        Returns:
            For each probe the images, the nearest first.

        Raises:
            InvalidArgumentError: If the probes do not fit.
        """
        count = whole(count, "count", least=1)
        return self._store.search(unit_rows(probes, self.embedding_size, "probes"), count)

    def duplicates(self, threshold: float) -> list[Duplicate]:
        """Finds pairs of names that may be the same person.

        Args:
            threshold: Two names are reported if the distance between them, the median over the
                images of the one with fewer images, is at most this.
                :meth:`facekit.embedding.weights.registry.WeightsRecord.threshold` gives one.

        Returns:
            The pairs of names, the nearest first.
        """
        return near_people(self.enrolled(), number(threshold, "threshold", low=0))

    def outliers(self, threshold: float) -> list[Outlier]:
        """Finds images that may be enrolled under the wrong name.

        Only people with three or more images are checked: if two images differ, either may be
        wrong.

        Args:
            threshold: An image is reported if every other image of its name is farther away than
                this, or if an image of another name is within this and nearer than all of its own.

        Returns:
            The images, the one farthest from its name first.
        """
        odd = odd_images(self.enrolled(), number(threshold, "threshold", low=0))
        images = self.images_at([row for row, _, _ in odd])
        return [
            Outlier(image, distance, resembles)
            for image, (_, distance, resembles) in zip(images, odd, strict=True)
        ]

    # Care.

    def check(self) -> None:
        """Checks everything in the gallery against its checksums, including unused data.

        Raises:
            FileFormatError: If something was damaged or altered. :func:`facekit.gallery.repair`
                saves the intact parts.
        """
        self._in_file.check()

    def compact(self) -> None:
        """Frees the space of removed images; image numbers change.

        Raises:
            FileFormatError: If the file cannot be written or the disk is full; nothing is lost.
        """
        self._in_file.compact()

    def copy(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        overwrite: bool = False,
        settings: Mapping[str, Any] | None = None,
    ) -> Gallery:
        """Creates an independent gallery with the same content, such as a backup.

        Args:
            path: The file to create, written atomically; in memory by default.
            overwrite: Whether to replace the content of an existing gallery, atomically.
            settings: Its :attr:`settings`; the same by default.

        Returns:
            The other gallery. Its images are numbered without gaps.

        Raises:
            FileFormatError: If the path already exists (or, with ``overwrite``, is not a gallery),
                or cannot be written.
            InvalidArgumentError: If JSON cannot write a setting, or the path holds a NUL.
        """
        kept = None if settings is None else json_values(settings, "settings")
        flag(overwrite, "overwrite")
        if path is None:
            other = Gallery(self.weights, self.embedding_size)
            other._in_file.take_over(self._in_file, kept)
            return other
        file = gallery_file(path)
        if overwrite and exists(file):
            with Gallery.open(file) as other:
                if other.embedding_size != self.embedding_size:
                    raise FileFormatError(
                        f"{file}: its embeddings have {other.embedding_size} components, these "
                        f"have {self.embedding_size}; delete the file, or choose another"
                    )
                other._in_file.take_over(self._in_file, kept)
        else:
            FileStore.create(file, self.weights, self.embedding_size, self._in_file, kept)
        return Gallery.open(file)

    # Inside.

    @contextmanager
    def _unfinished(self) -> Iterator[Gallery | None]:
        # What an interrupted fit has gathered; if it cannot be read, it is deleted as by the next.
        path = None if self.path is None else partial_path(self.path)
        if path is None or not exists(path):
            yield None
            return
        try:
            fitted = Gallery.open(path)
            _ = fitted.people
        except FileFormatError:
            remove_files(path)
            yield None
            return
        with fitted:
            yield fitted

    @property
    def _in_file(self) -> FileStore:
        if not isinstance(self._store, FileStore):
            raise InvalidArgumentError(
                f"a gallery in a {type(self._store).__name__} cannot do this; use one in a file"
            )
        return self._store

    def _enroll(
        self,
        names: Sequence[str],
        embeddings: npt.ArrayLike,
        sources: Sequence[str | FaceSource],
        metadata: Mapping[str, Mapping[str, Any]],
    ) -> list[int]:
        about = {identity(name): json_values(note) for name, note in metadata.items()}
        people, rows, checked = self._checked(names, embeddings, sources)
        if not people:
            return []
        if not isinstance(self._store, FileStore):
            if any(about.values()):
                self._in_file  # noqa: B018 - raises that there is no metadata
            return self._store.add(people, rows, checked)
        for sentence in self._store.elsewhere(people, checked):
            warnings.warn(sentence, EnrollmentWarning, stacklevel=3)
        return self._store.add(people, rows, checked, about)

    def _checked_batch(self, batch: Batch) -> Batch:
        images, embeddings = batch
        people, rows, _ = self._checked([image.person for image in images], embeddings, images)
        return [replace(one, person=name) for one, name in zip(images, people, strict=True)], rows

    def _checked(
        self,
        names: Sequence[str],
        embeddings: npt.ArrayLike,
        sources: Sequence[str | FaceSource],
    ) -> tuple[list[str], npt.NDArray[np.float32], list[FaceSource]]:
        # Converted before they are compared: a subclass of str may define its own equality.
        plain = [text(name, "a person's name") for name in several(names, "names")]
        sources = several(sources, "sources")
        known = {name: identity(name) for name in dict.fromkeys(plain)}
        rows = unit_rows(embeddings, self.embedding_size, "embeddings")
        if not len(plain) == len(sources) == len(rows):
            raise InvalidArgumentError(
                f"there must be one name and one source per embedding, got {len(plain)} names, "
                f"{len(sources)} sources and {len(rows)} embeddings"
            )
        faces = [one if isinstance(one, FaceSource) else FaceSource(one) for one in sources]
        return [known[name] for name in plain], rows, faces


_MOST_COMPONENTS = 1 << 16

# SQLite counts milliseconds in 32 bits, and does not wait at all for more.
_LONGEST_TIMEOUT = 2_000_000


def _filled(
    weights: str,
    size: int,
    images: list[EnrolledImage],
    embeddings: npt.NDArray[np.float32],
    notes: dict[str, dict[str, Any]],
    settings: dict[str, Any],
    corrections: tuple[Correction, ...],
) -> Gallery:
    store = FileStore.in_memory(weights, size)
    store.add([image.person for image in images], embeddings, images, notes)
    store.set_settings(settings)
    store.correct(corrections)
    return Gallery.of(store)
