"""The gallery: the embeddings of the enrolled people, where each came from, and its file."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from facekit.errors import EnrollmentError, InvalidArgumentError
from facekit.gallery.catalogue import Catalogue, EnrolledPhoto, PhotoSource, checked_sources
from facekit.gallery.enrolled import Enrolled
from facekit.gallery.review import Duplicate, Outlier, near_people, odd_photos
from facekit.gallery.store import Store
from facekit.utils.validation import identity, json_values, unit_rows, whole


class Match(NamedTuple):
    """An enrolled photo that resembles a probe.

    Attributes:
        person: Who it shows.
        distance: Euclidean distance between the unit embeddings, 0 to 2.
        photo: The number of the photo in the gallery.

    Example:
        >>> import numpy as np
        >>> from facekit import Gallery
        >>> gallery = Gallery("example@1", embedding_size=2)
        >>> _ = gallery.enroll("Ada", np.array([[1.0, 0.0]]), ["ada.jpg"])
        >>> match = gallery.search(np.array([[0.8, 0.6]]))[0][0]
        >>> match.person, match.photo, round(match.distance, 3)
        ('Ada', 1, 0.632)
    """

    person: str
    distance: float
    photo: int


class Gallery:
    """Holds the embeddings of the people who are enrolled, and the photos they came from.

    ``Gallery(weights, embedding_size)`` is one in memory. :meth:`open` and :meth:`create` give one
    in a folder: every change is on the disk when the method returns, whatever happens to the
    process afterwards, and happens as a whole or not at all. Several processes and threads may use
    one at once. Every method of such a gallery can raise :class:`facekit.FileFormatError`, if the
    files turn out to be damaged or cannot be read or written, and
    :class:`facekit.GalleryBusyError`, if another process keeps them locked.

    Args:
        weights: The identity of the weights that make the embeddings
            (:attr:`facekit.embedding.WeightsRecord.identity`). Those of other weights cannot be
            compared.
        embedding_size: The number of components of an embedding.

    Attributes:
        weights: As given.
        embedding_size: As given.
        path: The folder, or ``None`` in memory.

    Raises:
        InvalidArgumentError: If ``embedding_size`` is no positive whole number.

    Example:
        >>> import numpy as np
        >>> from facekit import Gallery
        >>> gallery = Gallery("example@1", embedding_size=2)
        >>> gallery.enroll("Ada", np.array([[1.0, 0.0]], dtype=np.float32), ["ada.jpg"])
        [1]
        >>> gallery.people
        {'Ada': 1}
        >>> gallery.search(np.array([[0.8, 0.6]]))[0][0].person
        'Ada'
        >>> gallery.remove("Ada"), len(gallery)
        (1, 0)
    """

    def __init__(self, weights: str, embedding_size: int) -> None:
        self._start(Store.in_memory(weights, whole(embedding_size, "embedding_size", least=1)))

    @classmethod
    def create(cls, path: str | os.PathLike[str], weights: str, embedding_size: int) -> Gallery:
        """Makes an empty gallery in a folder.

        Args:
            path: The folder; it is made, and its own folder must exist.
            weights: As for the class.
            embedding_size: As for the class.

        Returns:
            The gallery.

        Raises:
            FileFormatError: If something is there already or cannot be written.
            InvalidArgumentError: If ``embedding_size`` is no positive whole number.
        """
        Store.create(Path(path), weights, whole(embedding_size, "embedding_size", least=1))
        return cls.open(path, weights=weights)

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], *, weights: str | None = None, timeout: float = 10.0
    ) -> Gallery:
        """Opens the gallery in a folder, and finishes what a killed process left undone.

        Args:
            path: The folder that :meth:`create` made.
            weights: The identity of the weights that the caller uses, to be compared.
            timeout: How long a change waits for another process that is changing the gallery, in
                seconds.

        Returns:
            The gallery. Up to 20,000 photos every byte was checked; see :meth:`check`.

        Raises:
            FileFormatError: If it is missing, truncated, damaged, altered, or of another version.
            GalleryBusyError: If another process keeps the gallery locked.
            InvalidArgumentError: If it belongs to other weights.
        """
        gallery = cls.__new__(cls)
        gallery._start(Store.open(Path(path), weights, timeout))
        return gallery

    def _start(self, store: Store) -> None:
        self._store = store
        self._lock = threading.RLock()
        self.weights, self.embedding_size = store.weights, store.embedding_size
        self.path = store.path

    def __len__(self) -> int:
        return len(self.enrolled())

    def __repr__(self) -> str:
        place = "" if self.path is None else f", path={os.fspath(self.path)!r}"
        return (
            f"Gallery({len(self.people)} people, {len(self)} photos, "
            f"weights={self.weights!r}{place})"
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
        """Closes the files. Nothing needs to be saved: every change is on the disk already."""
        with self._lock:
            self._store.close()

    # What is enrolled.

    @property
    def people(self) -> dict[str, int]:
        """The enrolled people, sorted by name, with the number of photos of each."""
        with self._lock:
            return self._catalogue.counts()

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
            name: Whose; those of everybody by default.

        Returns:
            The photos; none of an empty gallery.

        Raises:
            EnrollmentError: If nobody of that name is enrolled.
            InvalidArgumentError: If the name is empty.
        """
        with self._lock:
            person = None if name is None else self._person(name)[0]
            return self._catalogue.photos(person=person)

    def photo(self, number: int) -> EnrolledPhoto:
        """Returns one enrolled photo by its number.

        Args:
            number: Its number, from 1, as :meth:`enroll` returned it.

        Returns:
            The photo.

        Raises:
            EnrollmentError: If there is none of that number.
        """
        with self._lock:
            found = self._catalogue.photos([number])
        if not found:
            raise EnrollmentError(f"no photo of the number {number} is enrolled")
        return found[0]

    def metadata(self, name: str) -> dict[str, Any]:
        """Returns what was noted about a person.

        Args:
            name: Who it is.

        Returns:
            Values for JSON by key; empty if nothing was noted.

        Raises:
            EnrollmentError: If nobody of that name is enrolled.
            InvalidArgumentError: If the name is empty.
        """
        with self._lock:
            return self._person(name)[1]

    def enrolled(self) -> Enrolled:
        """Returns the embeddings with their people as they are now.

        It does not change when others are enrolled, so that any number of threads may read it. Of
        those who are removed, it holds zeros.
        """
        with self._lock:
            return self._store.enrolled()

    def content(self) -> tuple[list[EnrolledPhoto], npt.NDArray[np.float32]]:
        """Returns all photos with a copy of their embeddings, as they were at one moment."""
        with self._lock, self._store.changing():
            return self._content()

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
            name: Who it is; not empty.
            embeddings: float32 ``(n, d)``, of unit L2 norm.
            photos: Where each comes from: what the photo is called, or more.
            metadata: What to note about the person, values for JSON; what was noted before under
                other keys stays.

        Returns:
            The numbers of the photos in the gallery.

        Raises:
            InvalidArgumentError: If an argument cannot be used; then nothing changes.
            GalleryBusyError: If another process keeps the gallery locked.
            FileFormatError: If the gallery cannot be written.
        """
        name = identity(name)
        names = [name] * len(photos)
        about = {name: json_values(metadata or {})}
        names, rows, described = self._checked(names, embeddings, photos)
        with self._lock:
            return self._store.add(names, rows, described, about) if names else []

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
            GalleryBusyError: If another process keeps the gallery locked.
            FileFormatError: If the gallery cannot be written.
        """
        names, rows, photos = self._checked(names, embeddings, sources)
        with self._lock:
            return self._store.add(names, rows, photos, {}) if names else []

    def replace(
        self,
        names: Sequence[str],
        embeddings: npt.ArrayLike,
        sources: Sequence[str | PhotoSource],
    ) -> list[int]:
        """Erases everybody and enrolls these photos instead, in one step.

        Args:
            names: The person of each, n of them.
            embeddings: float32 ``(n, d)``, of unit L2 norm.
            sources: Where each comes from, n of them.

        Returns:
            The numbers of the photos in the gallery, from 1 to n.

        Raises:
            InvalidArgumentError: If an argument cannot be used; then nothing changes.
            GalleryBusyError: If another process keeps the gallery locked.
            FileFormatError: If the gallery cannot be written.
        """
        names, rows, photos = self._checked(names, embeddings, sources)
        with self._lock:
            self._store.replace(names, rows, photos)
        return list(range(1, len(rows) + 1))

    def remove(self, name: str) -> int:
        """Erases a person: name, metadata, embeddings and where the photos came from.

        When it returns, none of it is in the gallery's files any more.

        Args:
            name: Who it is.

        Returns:
            How many photos were enrolled.

        Raises:
            EnrollmentError: If nobody of that name is enrolled.
            GalleryBusyError: If another process keeps the gallery locked.
            InvalidArgumentError: If the name is empty.
        """
        with self._lock:
            with self._store.changing():
                person, _ = self._person(name)
                numbers = [photo.id for photo in self._catalogue.photos(person=person)]
                self._store.remove([person], numbers)
            self._store.erase(numbers)
        return len(numbers)

    def remove_photos(self, numbers: Sequence[int]) -> int:
        """Erases photos; a person left without any is erased, too.

        Args:
            numbers: The numbers of the photos.

        Returns:
            How many photos were removed.

        Raises:
            EnrollmentError: If one of them is not enrolled; then nothing changes.
            GalleryBusyError: If another process keeps the gallery locked.
        """
        numbers = list(dict.fromkeys(int(number) for number in numbers))
        with self._lock:
            with self._store.changing():
                people = {self._person(self.photo(number).person)[0] for number in numbers}
                self._store.remove(sorted(people), numbers)
            self._store.erase(numbers)
        return len(numbers)

    def clear(self) -> int:
        """Erases everybody.

        Returns:
            How many photos were enrolled.

        Raises:
            GalleryBusyError: If another process keeps the gallery locked.
        """
        with self._lock:
            removed = len(self)
            self._store.replace([], np.zeros((0, self.embedding_size), np.float32), [])
        return removed

    def rename(self, name: str, new: str) -> None:
        """Gives a person another name.

        Args:
            name: Who it is.
            new: The new name; nobody may have it.

        Raises:
            EnrollmentError: If nobody is enrolled under the old name, or somebody under the new.
            InvalidArgumentError: If one of the names is empty.
            GalleryBusyError: If another process keeps the gallery locked.
        """
        new = identity(new)
        with self._lock, self._store.changing():
            person, metadata = self._person(name)
            if new != name and self._catalogue.person(new) is not None:
                raise EnrollmentError(
                    f"{new!r} is enrolled already; if both are one person, use merge"
                )
            self._catalogue.set_person(person, new, metadata)
            self._store.forget()

    def merge(self, name: str, into: str) -> int:
        """Gives all photos of one name to another: the two were one person.

        Args:
            name: The name that disappears. What was noted about it stays, where the other name has
                nothing of that key.
            into: The name that stays.

        Returns:
            How many photos changed their name.

        Raises:
            EnrollmentError: If nobody is enrolled under one of the names.
            InvalidArgumentError: If both are the same, or one is empty.
            GalleryBusyError: If another process keeps the gallery locked.
        """
        if name == into:
            raise InvalidArgumentError(f"name and into must differ, both are {name!r}")
        with self._lock, self._store.changing():
            (person, metadata), (other, kept) = self._person(name), self._person(into)
            numbers = [photo.id for photo in self._catalogue.photos(person=person)]
            self._store.reassign(numbers, other)
            self._catalogue.delete_people_without_photos([person])
            self._catalogue.set_person(other, into, {**metadata, **kept})
            self._store.forget()
        return len(numbers)

    def set_metadata(self, name: str, metadata: Mapping[str, Any]) -> None:
        """Replaces what is noted about a person.

        Args:
            name: Who it is.
            metadata: Values for JSON.

        Raises:
            EnrollmentError: If nobody of that name is enrolled.
            InvalidArgumentError: If a value is none for JSON, or the name is empty.
            GalleryBusyError: If another process keeps the gallery locked.
        """
        checked = json_values(metadata)
        with self._lock, self._store.changing():
            person, _ = self._person(name)
            self._catalogue.set_person(person, name, checked)

    @property
    def settings(self) -> dict[str, Any]:
        """What a recognizer keeps with the gallery, such as its calibration; values for JSON."""
        with self._lock:
            found: dict[str, Any] = self._catalogue.meta()["settings"]
        return found

    def set_settings(self, settings: Mapping[str, Any]) -> None:
        """Replaces :attr:`settings`.

        Args:
            settings: Values for JSON.

        Raises:
            InvalidArgumentError: If a value is none for JSON.
            GalleryBusyError: If another process keeps the gallery locked.
        """
        checked = json_values(settings)
        with self._lock, self._store.changing():
            self._catalogue.set_meta({"settings": checked})

    # Questions.

    def search(self, probes: npt.ArrayLike, count: int = 5) -> list[list[Match]]:
        """Finds the enrolled photos that are nearest to each probe.

        Up to ``facekit.gallery.index.EXACT_LIMIT`` photos every one is compared; beyond
        that FAISS, if it is installed, chooses those to compare.

        Args:
            probes: Embeddings, ``(n, d)``.
            count: How many photos to return for each, at most.

        Returns:
            For each probe the photos, the nearest first.

        Raises:
            InvalidArgumentError: If the probes do not fit.
        """
        count = whole(count, "count", least=1)
        checked = unit_rows(probes, self.embedding_size, "probes")
        enrolled = self.enrolled()
        found = enrolled.search(checked, count)
        return [
            [
                Match(str(enrolled.classes[enrolled.labels[row]]), float(distance), int(row) + 1)
                for row, distance in zip(rows, distances, strict=True)
                if row >= 0
            ]
            for rows, distances in zip(found.rows, found.distances, strict=True)
        ]

    def duplicates(self, threshold: float) -> list[Duplicate]:
        """Finds names that may stand for one person.

        Args:
            threshold: Two names are reported if the distance between them, the median over the
                photos of the one with fewer photos, is at most this.
                :meth:`facekit.embedding.WeightsRecord.threshold` gives one.

        Returns:
            The pairs of names, the nearest first.
        """
        return near_people(self.enrolled(), threshold)

    def outliers(self, threshold: float) -> list[Outlier]:
        """Finds photos that may show somebody else than their name says.

        Only people with three or more photos are looked at: of two that differ, nobody can say
        which is the wrong one.

        Args:
            threshold: A photo is reported if every other photo of its name is farther away than
                this, or if a photo of another name is within this and nearer than all of its own.

        Returns:
            The photos, the one farthest from its name first.
        """
        return [
            Outlier(self.photo(row + 1), distance, resembles)
            for row, distance, resembles in odd_photos(self.enrolled(), threshold)
        ]

    # Care.

    def check(self) -> None:
        """Checks every byte of the gallery against its checksums.

        :meth:`open` does so up to 20,000 photos. A million take about half a minute.

        Raises:
            FileFormatError: If something was damaged or altered.
        """
        with self._lock:
            self._store.check()

    def compact(self) -> None:
        """Gives the space of removed photos back; the numbers of photos change.

        Raises:
            GalleryBusyError: If another process keeps the gallery locked.
        """
        with self._lock:
            self._store.compact()

    def copy(self, path: str | os.PathLike[str] | None = None) -> Gallery:
        """Makes a gallery with the same content, which changes on its own: a backup.

        Args:
            path: The folder to make for it; in memory by default.

        Returns:
            The other gallery. Its photos are numbered without gaps.

        Raises:
            FileFormatError: If something is there already or cannot be written.
        """
        with self._lock, self._store.changing():
            photos, embeddings = self._content()
            about = {name: self.metadata(name) for name in self.people}
            settings = self.settings
        if path is None:
            other = Gallery(self.weights, self.embedding_size)
        else:
            other = Gallery.create(path, self.weights, self.embedding_size)
        if photos:
            other._store.add([photo.person for photo in photos], embeddings, photos, about)
        other.set_settings(settings)
        return other

    # Inside.

    @property
    def _catalogue(self) -> Catalogue:
        return self._store.catalogue

    def _content(self) -> tuple[list[EnrolledPhoto], npt.NDArray[np.float32]]:
        photos = self._catalogue.photos()
        rows = np.array([photo.id - 1 for photo in photos], dtype=np.int64)
        return photos, self._store.vectors()[rows]

    def _person(self, name: str) -> tuple[int, dict[str, Any]]:
        name = identity(name)
        found = self._catalogue.person(name)
        if found is None:
            people = list(self._catalogue.counts())
            shown = ", ".join(people[:20]) + (f" and {len(people) - 20} more" * (len(people) > 20))
            raise EnrollmentError(
                f"nobody is enrolled as {name!r}; enrolled are {shown or 'no people at all'}"
            )
        return found

    def _checked(
        self,
        names: Sequence[str],
        embeddings: npt.ArrayLike,
        photos: Sequence[str | PhotoSource],
    ) -> tuple[list[str], npt.NDArray[np.float32], list[PhotoSource]]:
        names = [identity(name) for name in names]
        rows = unit_rows(embeddings, self.embedding_size)
        if not len(names) == len(photos) == len(rows):
            raise InvalidArgumentError(
                f"there must be as many names and sources as embeddings, got {len(names)} names, "
                f"{len(photos)} sources and {len(rows)} embeddings"
            )
        return names, rows, checked_sources(photos)
