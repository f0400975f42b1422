"""The gallery: the embeddings of the enrolled people, where each came from, and its file."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from facekit.errors import EnrollmentError, EnrollmentWarning, FileFormatError, InvalidArgumentError
from facekit.gallery.corrections import Correction
from facekit.gallery.decisions import Decisions
from facekit.gallery.enrolled import Enrolled
from facekit.gallery.index import LEAST_NORM
from facekit.gallery.protocol import Batch, GalleryStore
from facekit.gallery.records import EnrolledPhoto, Match, PhotoSource, checked_sources
from facekit.gallery.review import Duplicate, Outlier, near_people, odd_photos
from facekit.gallery.reviewer import Review
from facekit.gallery.store import FileStore
from facekit.io.notebook import MOST_SHOWN, rows_as_html
from facekit.io.tables import BOX_COLUMNS
from facekit.utils.validation import identity, json_values, text, unit_rows, whole


class Gallery:
    """Holds the embeddings of the people who are enrolled, and the photos they came from.

    ``Gallery(weights, embedding_size)`` is in memory. :meth:`open` and :meth:`create` give one in a
    file: every change is on the disk when the method returns, whatever happens to the process
    afterwards, and happens as a whole or not at all. Several processes and threads may use one at
    once; those who read never wait for one who writes. It pickles by its path, and works after a
    fork.

    Names are normalized: Unicode's form C, without white space around them. A person cannot be
    called "unknown", which is what strangers are called.

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
        path: The file, or ``None`` in memory.

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
        self._start(FileStore.in_memory(str(weights), size))

    @classmethod
    def create(cls, path: str | os.PathLike[str], weights: str, embedding_size: int) -> Gallery:
        """Makes an empty gallery in a file that its owner alone can read.

        Args:
            path: The file; its folder must exist.
            weights: As for the class.
            embedding_size: As for the class.

        Returns:
            The gallery.

        Raises:
            FileFormatError: If something already exists or cannot be written.
            InvalidArgumentError: If ``embedding_size`` is not a positive whole number, or the path
                holds a NUL.
        """
        size = whole(embedding_size, "embedding_size", least=1, most=_MOST_COMPONENTS)
        FileStore.create(_file(path), str(weights), size)
        return cls.open(path, weights=weights)

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], *, weights: str | None = None, timeout: float = 10.0
    ) -> Gallery:
        """Opens the gallery in a file.

        A file, or a folder, that cannot be written can be read. People and vectors are read, and
        checked against their checksums, when they are first used.

        Args:
            path: The file that :meth:`create` or :meth:`copy` made.
            weights: The identity of the weights that the caller uses, to be compared.
            timeout: How long a change waits for another process that is changing the gallery, in
                seconds.

        Returns:
            The gallery.

        Raises:
            FileFormatError: If it is missing, truncated, damaged, altered, or of another version.
            InvalidArgumentError: If it belongs to other weights, or the path holds a NUL.
        """
        gallery = cls.__new__(cls)
        gallery._start(FileStore.open(_file(path), weights, timeout))
        return gallery

    @classmethod
    def of(cls, store: GalleryStore) -> Gallery:
        """Makes a gallery of any store, such as a database server's.

        Args:
            store: Keeps the people and photos.

        Returns:
            The gallery. Names, metadata, settings and the care of the file are the matter of
            :meth:`create`'s files: :meth:`rename`, :meth:`merge`, :meth:`metadata`,
            :attr:`settings`, :attr:`review`, :meth:`check`, :meth:`compact` raise
            :class:`facekit.InvalidArgumentError`.
        """
        gallery = cls.__new__(cls)
        gallery._start(store)
        return gallery

    def _start(self, store: GalleryStore) -> None:
        self._store = store
        self.weights, self.embedding_size = store.weights, store.embedding_size
        self.path = store.path if isinstance(store, FileStore) else None

    def __len__(self) -> int:
        return len(self.enrolled())

    def __iter__(self) -> Iterator[str]:
        return iter(self.people)

    def __contains__(self, name: object) -> bool:
        try:
            return self._has(identity(name))
        except InvalidArgumentError:
            return False

    def __repr__(self) -> str:
        place = "" if self.path is None else f", path={os.fspath(self.path)!r}"
        return (
            f"Gallery({len(self.enrolled().classes)} people, {len(self)} photos, "
            f"weights={self.weights!r}{place})"
        )

    def _repr_html_(self) -> str:
        people = self.people
        rows: list[dict[str, Any]] = [
            {"name": f"{name}: {photos}"} for name, photos in people.items()
        ]
        for row, name in zip(rows[:MOST_SHOWN], people, strict=False):
            photo = next(iter(self.photos(name)))
            box = photo.box or (None,) * 4
            row |= {"image": photo.source, **dict(zip(BOX_COLUMNS, box, strict=True))}
        return rows_as_html(repr(self), rows)

    def __reduce__(self) -> tuple[Any, ...]:
        if not isinstance(self._store, FileStore):
            return Gallery.of, (self._store,)
        if self.path is not None:
            return _opened, (str(self.path.absolute()), self.weights)
        photos, embeddings = self.content()
        notes = {name: note for name in self if (note := self.metadata(name))}
        return _filled, (
            self.weights,
            self.embedding_size,
            photos,
            embeddings,
            notes,
            self.settings,
            self.review.corrections,
        )

    def __enter__(self) -> Gallery:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file. Nothing needs to be saved: every change is on the disk already.

        A gallery that is not closed is closed when it is no longer used.
        """
        if isinstance(self._store, FileStore):
            self._store.close()

    # What is enrolled.

    @property
    def people(self) -> dict[str, int]:
        """The enrolled people, sorted by name, with the number of photos of each."""
        if isinstance(self._store, FileStore):
            return self._store.people()
        return dict(sorted(Counter(photo.person for photo in self.photos()).items()))

    @property
    def embeddings(self) -> npt.NDArray[np.float32]:
        """A copy of the embeddings, float32 ``(n, d)``, in the order of enrollment."""
        enrolled = self.enrolled()
        return enrolled.embeddings[enrolled.rows]

    @property
    def names(self) -> tuple[str, ...]:
        """The person of each embedding."""
        return tuple(photo.person for photo in self.photos())

    @property
    def sources(self) -> tuple[str, ...]:
        """What the photo of each embedding is called."""
        return tuple(photo.source for photo in self.photos())

    def photos(self, name: str | None = None) -> list[EnrolledPhoto]:
        """Returns the enrolled photos, in the order of enrollment.

        Args:
            name: Whose; those of everyone by default.

        Returns:
            The photos; none of an empty gallery.

        Raises:
            EnrollmentError: If no such person is enrolled.
            InvalidArgumentError: If the name cannot be one.
        """
        if name is None:
            return [photo for photos, _ in self.snapshot() for photo in photos]
        person = identity(name)
        if isinstance(self._store, FileStore):
            return self._store.photos_of(person)
        found = [photo for photo in self.photos() if photo.person == person]
        if not found:
            raise EnrollmentError(f"no one is enrolled as {person!r}")
        return found

    def photo(self, number: int) -> EnrolledPhoto:
        """Returns one enrolled photo by its number.

        Args:
            number: Its number, as :meth:`enroll` returned it.

        Returns:
            The photo.

        Raises:
            EnrollmentError: If there is none of that number.
            InvalidArgumentError: If the number is not a whole one.
        """
        number = whole(number, "number")
        if isinstance(self._store, FileStore):
            return self._store.photos([number])[0]
        for photo in self.photos():
            if photo.id == number:
                return photo
        raise EnrollmentError(f"no photo number {number} is enrolled")

    def metadata(self, name: str) -> dict[str, Any]:
        """Returns what was noted about a person.

        Args:
            name: Who it is.

        Returns:
            Values for JSON by key; empty if nothing was noted.

        Raises:
            EnrollmentError: If no such person is enrolled.
            InvalidArgumentError: If the name cannot be one.
        """
        return self._in_file.metadata(identity(name))

    def enrolled(self) -> Enrolled:
        """Returns the embeddings with their people as they are now.

        It does not change when others are enrolled, so that any number of threads may read it. Of
        those who are removed, it holds zeros. It costs what has changed since the last call; of a
        store other than a file's, everything is read each time.
        """
        if isinstance(self._store, FileStore):
            return self._store.enrolled()
        photos, embeddings = self.content()
        classes, labels = np.unique(
            np.array([photo.person for photo in photos], dtype=object), return_inverse=True
        )
        return Enrolled(embeddings, labels, classes, least_norm=LEAST_NORM)

    def snapshot(self) -> Iterator[Batch]:
        """Yields everything that is enrolled at one moment, batch by batch.

        Yields:
            Some photos, and their embeddings, float32 ``(n, d)``; in the order of enrollment.
        """
        yield from self._store.snapshot()

    def content(self) -> tuple[list[EnrolledPhoto], npt.NDArray[np.float32]]:
        """Returns all photos with a copy of their embeddings, as they were at one moment."""
        photos: list[EnrolledPhoto] = []
        vectors = [np.empty((0, self.embedding_size), np.float32)]
        for some, embeddings in self.snapshot():
            photos += some
            vectors.append(embeddings)
        return photos, np.concatenate(vectors)

    # Changes.

    def enroll(
        self,
        name: str,
        embeddings: npt.ArrayLike,
        photos: Sequence[str | PhotoSource],
        *,
        metadata: Mapping[str, Any] | None = None,
    ) -> list[int]:
        """Adds photos of one person, who may be enrolled already.

        Args:
            name: Who it is; a non-empty string other than "unknown".
            embeddings: float32 ``(n, d)``, of unit L2 norm.
            photos: Where each comes from: what the photo is called, or more.
            metadata: What to note about the person, values for JSON; what was noted before under
                other keys stays.

        Returns:
            The numbers of the photos in the gallery.

        Raises:
            InvalidArgumentError: If an argument cannot be used; then nothing changes.

        Warns:
            EnrollmentWarning: If the file of a photo, by its SHA-256, is enrolled under another
                name, too.
        """
        return self._enroll([name] * len(photos), embeddings, photos, {name: metadata or {}})

    def extend(
        self,
        names: Sequence[str],
        embeddings: npt.ArrayLike,
        sources: Sequence[str | PhotoSource],
    ) -> list[int]:
        """Adds photos of several people.

        Args:
            names: The person of each, n of them.
            embeddings: float32 ``(n, d)``, of unit L2 norm.
            sources: Where each comes from, n of them.

        Returns:
            The numbers of the photos in the gallery.

        Raises:
            InvalidArgumentError: If an argument cannot be used; then nothing changes.

        Warns:
            EnrollmentWarning: As for :meth:`enroll`.
        """
        return self._enroll(names, embeddings, sources, {})

    def replace(self, batches: Iterable[Batch]) -> int:
        """Erases everyone and enrolls these photos instead, in one step.

        Args:
            batches: Some photos with their people, and their embeddings, float32 ``(n, d)``, of
                unit L2 norm, at a time: what :meth:`snapshot` of another gallery yields. They are
                written one after the other, so that the memory does not grow with their number.

        Returns:
            How many photos are enrolled now, numbered from 1 on.

        Raises:
            InvalidArgumentError: If an argument cannot be used; then nothing changes.
        """
        if isinstance(self._store, FileStore):
            return self._store.replace(map(self._checked_batch, batches))
        self._store.remove([photo.id for photo in self.photos()])
        return sum(
            len(self.extend([photo.person for photo in photos], embeddings, photos))
            for photos, embeddings in batches
        )

    def remove(self, name: str) -> int:
        """Erases a person: name, metadata, embeddings, corrections and where photos came from.

        When it returns, none of it is in the gallery's file any more, nor beside it.

        Args:
            name: Who it is.

        Returns:
            How many photos were enrolled.

        Raises:
            EnrollmentError: If no such person is enrolled.
            GalleryBusyError: If another process keeps the gallery locked; or if one has been
                reading for so long that the log could not be erased, which the message says.
            InvalidArgumentError: If the name cannot be one.
        """
        if isinstance(self._store, FileStore):
            return self._store.remove_person(identity(name))
        photos = self.photos(name)
        self._store.remove([photo.id for photo in photos])
        return len(photos)

    def remove_photos(self, numbers: Sequence[int]) -> int:
        """Erases photos; a person left without any is erased, too.

        Args:
            numbers: The numbers of the photos.

        Returns:
            How many photos were removed.

        Raises:
            EnrollmentError: If one of them is not enrolled; then nothing changes.
            InvalidArgumentError: If a number is not a whole one.
        """
        chosen = list(dict.fromkeys(whole(number, "number") for number in numbers))
        if chosen:
            self._store.remove(chosen)
        return len(chosen)

    def clear(self) -> int:
        """Erases everyone, and what was said about faces.

        Returns:
            How many photos were enrolled.
        """
        removed = len(self)
        self.replace([])
        return removed

    def rename(self, name: str, new: str) -> None:
        """Gives a person another name; the old one is gone from the file when it returns.

        Args:
            name: Who it is.
            new: The new name; nobody may have it.

        Raises:
            EnrollmentError: If no one is enrolled under the old name, or someone under the new.
            InvalidArgumentError: If one of the names cannot be one.
        """
        self._in_file.rename(identity(name), identity(new))

    def merge(self, name: str, into: str) -> int:
        """Gives all photos of one name to another: the two were one person.

        Args:
            name: The name that disappears. What was noted about it stays, where the other name has
                nothing of that key.
            into: The name that stays.

        Returns:
            How many photos changed their name.

        Raises:
            EnrollmentError: If no one is enrolled under one of the names.
            InvalidArgumentError: If both are the same, or one cannot be a name.
        """
        one, other = identity(name), identity(into)
        if one == other:
            raise InvalidArgumentError(f"name and into must differ, both are {one!r}")
        return self._in_file.merge(one, other)

    def set_metadata(self, name: str, metadata: Mapping[str, Any]) -> None:
        """Replaces what is noted about a person.

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
        """What a recognizer keeps with the gallery, such as its calibration; values for JSON."""
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
        """The corrections of faces, which are made, listed and undone there.

        Raises:
            InvalidArgumentError: If the gallery is of another store than a file's, which keeps no
                corrections.
        """
        return Review(self._in_file)

    def decisions(self) -> Decisions:
        """Returns what follows from :attr:`review` for each face; nothing with another store."""
        return self._store.decisions() if isinstance(self._store, FileStore) else Decisions()

    def photos_of_images(self, digests: Set[str]) -> list[EnrolledPhoto]:
        """Returns the enrolled photos whose files have one of these SHA-256.

        Args:
            digests: SHA-256 of files, in hexadecimal.
        """
        if isinstance(self._store, FileStore):
            return self._store.photos_of_images(digests)
        return [photo for photo in self.photos() if photo.sha256 in digests]

    # Questions.

    def search(self, probes: npt.ArrayLike, count: int = 5) -> list[list[Match]]:
        """Finds the enrolled photos that are nearest to each probe.

        Up to ``facekit.gallery.index.EXACT_LIMIT`` photos every one is compared; beyond
        that FAISS, if it is installed, chooses those to compare.

        Args:
            probes: Embeddings, ``(n, d)``, of unit L2 norm.
            count: How many photos to return for each, at most.

        Returns:
            For each probe the photos, the nearest first.

        Raises:
            InvalidArgumentError: If the probes do not fit.
        """
        count = whole(count, "count", least=1)
        return self._store.search(unit_rows(probes, self.embedding_size, "probes"), count)

    def duplicates(self, threshold: float) -> list[Duplicate]:
        """Finds names that may stand for one person.

        Args:
            threshold: Two names are reported if the distance between them, the median over the
                photos of the one with fewer photos, is at most this.
                :meth:`facekit.embedding.weights.registry.WeightsRecord.threshold` gives one.

        Returns:
            The pairs of names, the nearest first.
        """
        return near_people(self.enrolled(), threshold)

    def outliers(self, threshold: float) -> list[Outlier]:
        """Finds photos that may show someone else than their name says.

        Only people with three or more photos are looked at: of two that differ, nobody can say
        which is the wrong one.

        Args:
            threshold: A photo is reported if every other photo of its name is farther away than
                this, or if a photo of another name is within this and nearer than all of its own.

        Returns:
            The photos, the one farthest from its name first.
        """
        odd = odd_photos(self.enrolled(), threshold)
        photos = [self.photo(row + 1) for row, _, _ in odd]
        return [
            Outlier(photo, distance, resembles)
            for photo, (_, distance, resembles) in zip(photos, odd, strict=True)
        ]

    # Care.

    def check(self) -> None:
        """Checks everything in the gallery against its checksums, also what is not used.

        Raises:
            FileFormatError: If something was damaged or altered. :func:`facekit.gallery.repair`
                saves what is whole.
        """
        self._in_file.check()

    def compact(self) -> None:
        """Gives the space of removed photos back; the numbers of photos change.

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
        """Makes a gallery with the same content, which changes on its own: a backup.

        Args:
            path: The file to make, which is there as a whole or not at all; in memory by default.
            overwrite: Whether a gallery that is there gets this content instead of its own, in one
                step.
            settings: Its :attr:`settings`; the same by default.

        Returns:
            The other gallery. Its photos are numbered without gaps.

        Raises:
            FileFormatError: If something is there already, or something other than a gallery, or
                cannot be written.
            InvalidArgumentError: If JSON cannot write a setting, or the path holds a NUL.
        """
        kept = None if settings is None else json_values(settings, "settings")
        if path is None:
            other = Gallery(self.weights, self.embedding_size)
            other._in_file.take_over(self._in_file, kept)
            return other
        file = _file(path)
        if overwrite and file.exists():
            other = Gallery.open(file)
            try:
                if other.embedding_size != self.embedding_size:
                    raise FileFormatError(
                        f"{file}: its embeddings have {other.embedding_size} components, these "
                        f"have {self.embedding_size}; delete the file, or choose another"
                    )
                other._in_file.take_over(self._in_file, kept)
            finally:
                other.close()
        else:
            FileStore.create(file, self.weights, self.embedding_size, self._in_file, kept)
        return Gallery.open(file)

    # Inside.

    @property
    def _in_file(self) -> FileStore:
        if not isinstance(self._store, FileStore):
            raise InvalidArgumentError(
                f"a gallery in a {type(self._store).__name__} cannot do this; one in a file can"
            )
        return self._store

    def _has(self, name: str) -> bool:
        return self._store.has(name) if isinstance(self._store, FileStore) else name in self.people

    def _enroll(
        self,
        names: Sequence[str],
        embeddings: npt.ArrayLike,
        sources: Sequence[str | PhotoSource],
        metadata: Mapping[str, Mapping[str, Any]],
    ) -> list[int]:
        about = {identity(name): json_values(note) for name, note in metadata.items()}
        people, rows, photos = self._checked(names, embeddings, sources)
        if not people:
            return []
        if not isinstance(self._store, FileStore):
            if any(about.values()):
                self._in_file  # noqa: B018 - it says that there is no metadata
            return self._store.add(people, rows, photos)
        for sentence in self._store.elsewhere(people, photos):
            warnings.warn(sentence, EnrollmentWarning, stacklevel=3)
        return self._store.add(people, rows, photos, about)

    def _checked_batch(self, batch: Batch) -> Batch:
        photos, embeddings = batch
        people, rows, _ = self._checked([photo.person for photo in photos], embeddings, photos)
        return [replace(one, person=name) for one, name in zip(photos, people, strict=True)], rows

    def _checked(
        self,
        names: Sequence[str],
        embeddings: npt.ArrayLike,
        photos: Sequence[str | PhotoSource],
    ) -> tuple[list[str], npt.NDArray[np.float32], list[PhotoSource]]:
        # Plain before they are compared: a subclass of str may take two names for equal.
        plain = [text(name, "a person's name") for name in names]
        known = {name: identity(name) for name in dict.fromkeys(plain)}
        rows = unit_rows(embeddings, self.embedding_size, "embeddings")
        if not len(names) == len(photos) == len(rows):
            raise InvalidArgumentError(
                f"there must be as many names and sources as embeddings, got {len(names)} names, "
                f"{len(photos)} sources and {len(rows)} embeddings"
            )
        return [known[name] for name in plain], rows, checked_sources(photos)


_MOST_COMPONENTS = 1 << 16


def _file(path: str | os.PathLike[str]) -> Path:
    if "\0" in os.fspath(path):
        raise InvalidArgumentError(f"path must not hold a NUL, got {os.fspath(path)!r:.80}")
    if not Path(path).name:
        raise InvalidArgumentError(f"path must be that of a file, got {os.fspath(path)!r}")
    return Path(path)


def _opened(path: str, weights: str) -> Gallery:
    return Gallery.open(path, weights=weights)


def _filled(
    weights: str,
    size: int,
    photos: list[EnrolledPhoto],
    embeddings: npt.NDArray[np.float32],
    notes: dict[str, dict[str, Any]],
    settings: dict[str, Any],
    corrections: tuple[Correction, ...],
) -> Gallery:
    store = FileStore.in_memory(weights, size)
    store.add([photo.person for photo in photos], embeddings, photos, notes)
    store.set_settings(settings)
    store.correct(corrections)
    return Gallery.of(store)
