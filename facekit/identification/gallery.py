"""The gallery: the embeddings of the enrolled people, where each came from, and its file."""

from __future__ import annotations

import json
import os
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from facekit.errors import EnrolmentError, FileFormatError, InvalidArgumentError
from facekit.identification.catalogue import Catalogue, EnrolledPhoto, PhotoSource
from facekit.identification.enrolled import UNIT_NORM_TOLERANCE, Enrolled
from facekit.identification.vectors import FileVectors, MemoryVectors, VectorStore

CHECKED_AT_OPENING = 20_000
"""Up to this many photos, :meth:`facekit.Gallery.open` checks every byte; see
:meth:`facekit.Gallery.check`."""

_CATALOGUE = "gallery.sqlite"


class Match(NamedTuple):
    """An enrolled photo that resembles a probe.

    Attributes:
        person: Who it shows.
        distance: Euclidean distance between the unit embeddings, 0 to 2.
        photo: The number of the photo in the gallery.
    """

    person: str
    distance: float
    photo: int


class Duplicate(NamedTuple):
    """Two names that may stand for one person.

    Attributes:
        first: One name.
        second: The other.
        distance: The median distance from the photos of the one with fewer to the nearest photo of
            the other.
    """

    first: str
    second: str
    distance: float


class Outlier(NamedTuple):
    """A photo that may show somebody else than its name says.

    Attributes:
        photo: The photo.
        distance: From it to the nearest other photo of its name.
        resembles: The person of the nearest photo under another name, if that is nearer.
    """

    photo: EnrolledPhoto
    distance: float
    resembles: str | None


class Gallery:
    """Holds the embeddings of the people who are enrolled, and the photos they came from.

    ``Gallery(weights, embedding_size)`` is one in memory. :meth:`open` and :meth:`create` give one
    in a folder: every change is on the disk when the method returns, whatever happens to the
    process afterwards, and happens as a whole or not at all. Several processes and threads may use
    one at once.

    Args:
        weights: The identity of the weights that make the embeddings
            (:attr:`facekit.embedding.WeightsRecord.identity`). Those of other weights cannot be
            compared.
        embedding_size: The number of components of an embedding.

    Attributes:
        weights: As given.
        embedding_size: As given.
        path: The folder, or ``None`` in memory.

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
        catalogue = Catalogue(None)
        catalogue.create(_first_values(weights, embedding_size))
        self._start(catalogue, MemoryVectors(embedding_size), None)

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
        """
        path = Path(path)
        values = _first_values(weights, embedding_size)
        # Made beside its place and renamed, so that no half of a gallery is ever there.
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
        try:
            temporary.mkdir(mode=0o700)
            (temporary / _CATALOGUE).touch(mode=0o600)
            catalogue = Catalogue(temporary / _CATALOGUE)
            catalogue.create(values)
            catalogue.close()
            FileVectors.create(
                temporary / values["vectors"], embedding_size, values["gallery"]
            ).close()
            _sync(temporary)
            if path.exists():
                raise FileExistsError("something of that name is there already")
            temporary.rename(path)
            _sync(path.parent)
        except OSError as error:
            for leftover in temporary.glob("*"):
                leftover.unlink()
            if temporary.is_dir():
                temporary.rmdir()
            raise FileFormatError(f"{path}: no gallery can be made there ({error})") from error
        return cls.open(path, weights=weights)

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], *, weights: str | None = None, timeout: float = 10.0
    ) -> Gallery:
        """Opens the gallery in a folder.

        Args:
            path: The folder that :meth:`create` made.
            weights: The identity of the weights that the caller uses, to be compared.
            timeout: How long a change waits for another process that is changing the gallery, in
                seconds.

        Returns:
            The gallery. Up to 20,000 photos every byte was checked; see :meth:`check`.

        Raises:
            FileFormatError: If it is missing, truncated, damaged, altered, or of another version.
            InvalidArgumentError: If it belongs to other weights.
        """
        path = Path(path)
        if not (path / _CATALOGUE).is_file():
            what = "is no gallery" if path.exists() else "no such gallery"
            raise FileFormatError(f"{path}: {what}; make one with Gallery.create")
        catalogue = Catalogue(path / _CATALOGUE, timeout)
        try:
            catalogue.check_format()
            gallery = cls.__new__(cls)
            try:
                meta = catalogue.meta()
                gallery._start(catalogue, _vectors_of(path, meta), path)
            except (KeyError, TypeError) as error:
                raise FileFormatError(f"{path}: the gallery is damaged ({error})") from error
            if weights is not None and weights != gallery.weights:
                raise InvalidArgumentError(  # noqa: TRY301
                    f"{path}: was made with the weights {gallery.weights}, the embedder has "
                    f"{weights}; their embeddings cannot be compared"
                )
            gallery._finish_erasures()
            if meta["count"] <= CHECKED_AT_OPENING:
                gallery.check()
            else:
                gallery._vectors.view(meta["count"])
        except BaseException:
            catalogue.close()
            raise
        return gallery

    def _start(self, catalogue: Catalogue, vectors: VectorStore, path: Path | None) -> None:
        meta = catalogue.meta()
        self.weights: str = meta["weights"]
        self.embedding_size: int = meta["embedding_size"]
        self.path = path
        self._catalogue, self._vectors, self._vectors_name = catalogue, vectors, meta["vectors"]
        self._lock = threading.RLock()
        self._enrolled: Enrolled | None = None
        self._seen = catalogue.changed_elsewhere()

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
            self._catalogue.close()
            self._vectors.close()

    # What is enrolled.

    @property
    def people(self) -> dict[str, int]:
        """The enrolled people, sorted by name, with the number of photos of each."""
        with self._lock:
            return self._catalogue.counts()

    @property
    def embeddings(self) -> npt.NDArray[np.float32]:
        """A copy of the embeddings, float32 ``(n, d)``, in the order of enrolment."""
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
        """Returns the enrolled photos, in the order of enrolment.

        Args:
            name: Whose; those of everybody by default.

        Raises:
            EnrolmentError: If nobody of that name is enrolled.
        """
        with self._lock:
            person = None if name is None else self._person(name)[0]
            return self._catalogue.photos(person=person)

    def photo(self, number: int) -> EnrolledPhoto:
        """Returns one enrolled photo by its number.

        Raises:
            EnrolmentError: If there is none of that number.
        """
        with self._lock:
            found = self._catalogue.photos([number])
        if not found:
            raise EnrolmentError(f"no photo of the number {number} is enrolled")
        return found[0]

    def metadata(self, name: str) -> dict[str, Any]:
        """Returns what was noted about a person.

        Raises:
            EnrolmentError: If nobody of that name is enrolled.
        """
        with self._lock:
            return self._person(name)[1]

    def enrolled(self) -> Enrolled:
        """Returns the embeddings with their people as they are now, which never change again."""
        with self._lock:
            seen = self._catalogue.changed_elsewhere()
            if self._enrolled is None or seen != self._seen:
                self._seen = seen
                self._enrolled = self._load()
            return self._enrolled

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
        photos = list(photos)
        return self._add([name] * len(photos), embeddings, photos, {name: metadata or {}})

    def add(self, name: str, embeddings: npt.ArrayLike, sources: Sequence[str]) -> None:
        """Does what :meth:`enroll` does.

        Args:
            name: Who it is; not empty.
            embeddings: float32 ``(n, d)``, of unit L2 norm.
            sources: What the photo of each is called, n of them.
        """
        self.enroll(name, embeddings, sources)

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
        return self._add(list(names), embeddings, list(sources), {})

    def replace(
        self,
        names: Sequence[str],
        embeddings: npt.ArrayLike,
        sources: Sequence[str | PhotoSource],
    ) -> list[int]:
        """Erases everybody and enrols these photos instead, in one step; see :meth:`extend`."""
        return self._add(list(names), embeddings, list(sources), {}, anew=True)

    def remove(self, name: str) -> int:
        """Erases a person: name, metadata, embeddings and where the photos came from.

        When it returns, none of it is in the gallery's files any more.

        Args:
            name: Who it is.

        Returns:
            How many photos were enrolled.

        Raises:
            EnrolmentError: If nobody of that name is enrolled.
            GalleryBusyError: If another process keeps the gallery locked.
        """
        with self._changing():
            person, _ = self._person(name)
            ids = [photo.id for photo in self._catalogue.photos(person=person)]
            self._catalogue.delete_photos(ids)
            self._catalogue.delete_people_without_photos([person])
        self._erase_and_forget()
        return len(ids)

    def remove_photos(self, numbers: Sequence[int]) -> int:
        """Erases photos; a person left without any is erased, too.

        Args:
            numbers: The numbers of the photos.

        Returns:
            How many photos were removed.

        Raises:
            EnrolmentError: If one of them is not enrolled; then nothing changes.
            GalleryBusyError: If another process keeps the gallery locked.
        """
        numbers = list(dict.fromkeys(int(number) for number in numbers))
        with self._changing():
            people = {self._person(self.photo(number).person)[0] for number in numbers}
            self._catalogue.delete_photos(numbers)
            self._catalogue.delete_people_without_photos(people)
        self._erase_and_forget()
        return len(numbers)

    def clear(self) -> int:
        """Erases everybody and returns how many photos were enrolled."""
        with self._changing():
            removed = self._delete_everybody()
        self._erase_and_forget()
        return removed

    def rename(self, name: str, new: str) -> None:
        """Gives a person another name.

        Args:
            name: Who it is.
            new: The new name; nobody may have it.

        Raises:
            EnrolmentError: If nobody is enrolled under the old name, or somebody under the new.
            InvalidArgumentError: If the new name is empty.
            GalleryBusyError: If another process keeps the gallery locked.
        """
        check_name(new)
        with self._changing():
            person, metadata = self._person(name)
            if new != name and self._catalogue.person(new) is not None:
                raise EnrolmentError(
                    f"{new!r} is enrolled already; if both are one person, use merge"
                )
            self._catalogue.set_person(person, new, metadata)
        self._forget()

    def merge(self, name: str, into: str) -> int:
        """Gives all photos of one name to another: the two were one person.

        Args:
            name: The name that disappears. What was noted about it stays, where the other name has
                nothing of that key.
            into: The name that stays.

        Returns:
            How many photos changed their name.

        Raises:
            EnrolmentError: If nobody is enrolled under one of the names.
            InvalidArgumentError: If both are the same.
            GalleryBusyError: If another process keeps the gallery locked.
        """
        if name == into:
            raise InvalidArgumentError(f"name and into must differ, both are {name!r}")
        with self._changing():
            (person, metadata), (other, kept) = self._person(name), self._person(into)
            ids = [photo.id for photo in self._catalogue.photos(person=person)]
            vectors = self._vectors.view(self._catalogue.meta()["count"])
            self._catalogue.reassign(ids, other, vectors)
            self._catalogue.delete_people_without_photos([person])
            self._catalogue.set_person(other, into, {**metadata, **kept})
        self._forget()
        return len(ids)

    def set_metadata(self, name: str, metadata: Mapping[str, Any]) -> None:
        """Replaces what is noted about a person.

        Args:
            name: Who it is.
            metadata: Values for JSON.

        Raises:
            EnrolmentError: If nobody of that name is enrolled.
            InvalidArgumentError: If a value is none for JSON.
            GalleryBusyError: If another process keeps the gallery locked.
        """
        checked = _checked_metadata(metadata)
        with self._changing():
            person, _ = self._person(name)
            self._catalogue.set_person(person, name, checked)

    @property
    def settings(self) -> dict[str, Any]:
        """What a recogniser keeps with the gallery, such as its calibration; values for JSON."""
        with self._lock:
            found: dict[str, Any] = self._catalogue.meta()["settings"]
        return found

    def set_settings(self, settings: Mapping[str, Any]) -> None:
        """Replaces :attr:`settings`.

        Raises:
            InvalidArgumentError: If a value is none for JSON.
            GalleryBusyError: If another process keeps the gallery locked.
        """
        checked = _checked_metadata(settings)
        with self._changing():
            self._catalogue.set_meta({"settings": checked})

    # Questions.

    def search(self, probes: npt.ArrayLike, count: int = 5) -> list[list[Match]]:
        """Finds the enrolled photos that are nearest to each probe.

        Up to :data:`facekit.identification.index.EXACT_LIMIT` photos every one is compared; beyond
        that FAISS, if it is installed, chooses those to compare.

        Args:
            probes: Embeddings, ``(n, d)``.
            count: How many photos to return for each, at most.

        Returns:
            For each probe the photos, the nearest first.

        Raises:
            InvalidArgumentError: If the probes do not fit.
        """
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
            raise InvalidArgumentError(f"count must be a positive whole number, got {count!r}")
        checked = self._checked(probes, "probes")
        enrolled = self.enrolled()
        found = enrolled.search(checked, int(count))
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
        return [Duplicate(*pair) for pair in self.enrolled().near_people(threshold)]

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
        enrolled = self.enrolled()
        return [
            Outlier(
                self.photo(row + 1),
                distance,
                None if other is None else str(enrolled.classes[other]),
            )
            for row, distance, other in enrolled.odd_photos(threshold)
        ]

    # Care.

    def check(self) -> None:
        """Checks every byte of the gallery against its checksums.

        :meth:`open` does so up to 20,000 photos. A million take about half a minute.

        Raises:
            FileFormatError: If something was damaged or altered.
        """
        with self._lock, self._catalogue.transaction():
            self._catalogue.check(self._vectors.view(self._catalogue.meta()["count"]))

    def compact(self) -> None:
        """Gives the space of removed photos back; the numbers of photos change.

        Raises:
            GalleryBusyError: If another process keeps the gallery locked.
        """
        with self._changing():
            meta = self._catalogue.meta()
            kept = self._catalogue.renumber() - 1
            # Written into a new file: other processes may still be reading the old one.
            name = _vectors_name()
            if self.path is None:
                fresh: VectorStore = MemoryVectors(self.embedding_size)
            else:
                fresh = FileVectors.create(self.path / name, self.embedding_size, meta["gallery"])
                _sync(self.path)
            fresh.append(0, self._vectors.view(meta["count"])[kept])
            self._catalogue.set_meta({"count": len(kept), "vectors": name})
        with self._lock:
            old = self._vectors_name
            self._vectors.close()
            self._vectors, self._vectors_name, self._enrolled = fresh, name, None
            if self.path is not None:
                (self.path / old).unlink(missing_ok=True)
            self._catalogue.vacuum()

    def copy(self) -> Gallery:
        """Returns a gallery in memory with the same content, which changes on its own."""
        other = Gallery(self.weights, self.embedding_size)
        with self._lock:
            photos = self._catalogue.photos()
            about = {name: self._person(name)[1] for name in self._catalogue.counts()}
            embeddings = self.embeddings
        other._add([photo.person for photo in photos], embeddings, list(photos), about)
        return other

    # Inside.

    def _add(
        self,
        names: list[str],
        embeddings: npt.ArrayLike,
        photos: Sequence[str | PhotoSource],
        metadata: Mapping[str, Mapping[str, Any]],
        *,
        anew: bool = False,
    ) -> list[int]:
        for name in names:
            check_name(name)
        rows = self._checked(embeddings, "embeddings")
        if not len(names) == len(photos) == len(rows):
            raise InvalidArgumentError(
                f"there must be as many names and sources as embeddings, got {len(names)} names, "
                f"{len(photos)} sources and {len(rows)} embeddings"
            )
        described = [
            photo if isinstance(photo, PhotoSource) else PhotoSource(str(photo)) for photo in photos
        ]
        about = {name: _checked_metadata(values) for name, values in metadata.items()}
        if not names:
            return []
        with self._changing():
            if anew:
                self._delete_everybody()
            before = self._enrolled
            people = {}
            for name in dict.fromkeys(names):
                found = self._catalogue.person(name)
                new = about.get(name, {})
                if found is None or new:
                    number, kept = found or (None, {})
                    people[name] = self._catalogue.set_person(number, name, {**kept, **new})
                else:
                    people[name] = found[0]
            count = self._catalogue.meta()["count"]
            self._vectors.append(count, rows)
            self._catalogue.add_photos(count + 1, [people[name] for name in names], described, rows)
            self._catalogue.set_meta({"count": count + len(rows)})
        if anew:
            self._erase_and_forget()
            return list(range(count + 1, count + len(rows) + 1))
        with self._lock:
            # What was known before is only extended, unless somebody else changed it meanwhile.
            if before is not None and before is self._enrolled and len(before.labels) == count:
                self._enrolled = before.extended(self._vectors.view(count + len(rows)), names)
            else:
                self._enrolled = None
        return list(range(count + 1, count + len(rows) + 1))

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._lock, self._catalogue.transaction():
            self._follow_others()
            yield

    def _delete_everybody(self) -> int:
        ids = [photo.id for photo in self._catalogue.photos()]
        people = [person for person, _ in self._catalogue.people()]
        self._catalogue.delete_photos(ids)
        self._catalogue.delete_people_without_photos(people)
        return len(ids)

    def _follow_others(self) -> None:
        seen = self._catalogue.changed_elsewhere()
        if seen != self._seen:
            self._seen, self._enrolled = seen, None
        meta = self._catalogue.meta()
        if meta["vectors"] != self._vectors_name:  # another process has made it compact
            assert self.path is not None
            self._vectors.close()
            self._vectors, self._vectors_name = _vectors_of(self.path, meta), meta["vectors"]

    def _load(self) -> Enrolled:
        with self._catalogue.transaction():
            self._follow_others()
            people = self._catalogue.people()
            owners = self._catalogue.owners()
            count = self._catalogue.meta()["count"]
        return Enrolled.of(self._vectors.view(count), people, owners)

    def _forget(self) -> None:
        with self._lock:
            self._enrolled = None

    def _erase_and_forget(self) -> None:
        with self._lock:
            before, self._enrolled = self._enrolled, None
            self._finish_erasures()
            if before is not None:
                self._enrolled = self._load().with_index_of(before)

    def _finish_erasures(self) -> None:
        # Also what a killed process left undone.
        if len(self._catalogue.pending_erasures()):
            with self._changing():
                pending = self._catalogue.pending_erasures()
                self._vectors.erase(pending - 1)
                self._catalogue.erased(pending)

    def _person(self, name: str) -> tuple[int, dict[str, Any]]:
        check_name(name)
        found = self._catalogue.person(name)
        if found is None:
            people = list(self._catalogue.counts())
            shown = ", ".join(people[:20]) + (f" and {len(people) - 20} more" * (len(people) > 20))
            raise EnrolmentError(
                f"nobody is enrolled as {name!r}; enrolled are {shown or 'no people at all'}"
            )
        return found

    def _checked(self, embeddings: npt.ArrayLike, what: str) -> npt.NDArray[np.float32]:
        rows = np.asarray(embeddings, dtype=np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.embedding_size:
            raise InvalidArgumentError(
                f"{what} must be (n, {self.embedding_size}), got {rows.shape}"
            )
        norms = np.linalg.norm(rows, axis=1)
        wrong = np.flatnonzero(~(np.abs(norms - 1.0) <= UNIT_NORM_TOLERANCE))
        if len(wrong):
            raise InvalidArgumentError(
                f"{what} must be of unit L2 norm, row {wrong[0]} has {norms[wrong[0]]:.4g}; use "
                "sklearn.preprocessing.normalize"
            )
        return rows


def check_name(name: object) -> None:
    """Checks that a person's name is a text that is not empty.

    Raises:
        InvalidArgumentError: If it is not.
    """
    if not isinstance(name, str) or not name.strip():
        raise InvalidArgumentError(
            f"a person's name must be a text that is not empty, got {name!r}"
        )


def _checked_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    try:
        checked: dict[str, Any] = json.loads(json.dumps(dict(metadata), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(
            f"metadata must be values for JSON, got {metadata!r:.200} ({error})"
        ) from error
    return checked


def _first_values(weights: str, embedding_size: int) -> dict[str, Any]:
    if (
        isinstance(embedding_size, bool)
        or not isinstance(embedding_size, int | np.integer)
        or embedding_size < 1
    ):
        raise InvalidArgumentError(
            f"embedding_size must be a positive whole number, got {embedding_size!r}"
        )
    return {
        "gallery": uuid.uuid4().hex,
        "weights": weights,
        "embedding_size": int(embedding_size),
        "count": 0,
        "vectors": _vectors_name(),
        "settings": {},
    }


def _vectors_name() -> str:
    return f"vectors-{uuid.uuid4().hex[:8]}.safetensors"


def _vectors_of(path: Path, meta: Mapping[str, Any]) -> FileVectors:
    return FileVectors(path / meta["vectors"], meta["embedding_size"], meta["gallery"])


def _sync(folder: Path) -> None:
    if os.name == "posix":  # elsewhere a folder cannot be opened
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
