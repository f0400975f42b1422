"""Decisions: the consequences of a gallery's corrections for each face."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from itertools import pairwise
from typing import Literal, NamedTuple, TypeAlias

from facekit.faces import SAME_FACE, box_overlap
from facekit.gallery.corrections import Correction
from facekit.gallery.records import FaceSource

Exclusion: TypeAlias = Literal["not_a_face", "ignore"]
Pairs: TypeAlias = list[tuple[int, int]]


class Decision(NamedTuple):
    """The decision about a face."""

    person: str | None = None  # who it is, if that was said
    refused: frozenset[str] = frozenset()  # who it is not
    excluded: Exclusion | None = None  # why it is excluded


class Decisions:
    """The consequences of corrections, in the order in which they were made."""

    # If two contradict each other, the later one counts; if that is undone, the earlier one counts
    # again. Faces linked as one person share the person's name and the names ruled out.

    def __init__(self, corrections: Iterable[Correction] = ()) -> None:
        self._faces = FaceFinder()
        self._person: dict[int, str] = {}
        self._refused: dict[int, set[str]] = {}
        self._excluded: dict[int, Exclusion] = {}
        self._pairs: dict[tuple[int, int], bool] = {}
        self.once_per_image = False  # whether a name is given once per image
        for correction in corrections:
            self._follow(correction)
        self._links = _Links()
        for (one, other), together in reversed(self._pairs.items()):
            (self._links.join if together else self._links.part)(one, other)
        self._decided = self._shared()

    def __bool__(self) -> bool:
        return bool(self._faces) or self.once_per_image

    def _follow(self, correction: Correction) -> None:
        keys = [self._faces.key(face) for face in correction.faces]
        if not keys:
            self.once_per_image = True
            return
        key, person = keys[0], correction.person
        if correction.kind == "same" or correction.kind == "different":
            pair = (min(keys), max(keys))
            self._pairs.pop(pair, None)  # the latest comes last
            self._pairs[pair] = correction.kind == "same"
        elif correction.kind == "not_a_face" or correction.kind == "ignore":
            self._excluded[key] = correction.kind
            self._person.pop(key, None)
        elif person is not None and correction.kind == "is":
            self._person[key] = person
            self._refused.get(key, set()).discard(person)
            self._excluded.pop(key, None)
        elif person is not None:
            self._refused.setdefault(key, set()).add(person)
            if self._person.get(key) == person:
                del self._person[key]

    def _shared(self) -> dict[int, Decision]:
        members: dict[int, list[int]] = {}
        for key in range(len(self._faces)):
            members.setdefault(self._links.root(key), []).append(key)
        decided = {}
        for group in members.values():
            names = {self._person[key] for key in group if key in self._person}
            refused = {name for key in group for name in self._refused.get(key, ())}
            for key in group:
                own = self._person.get(key) or (next(iter(names)) if len(names) == 1 else None)
                if own in self._refused.get(key, ()):
                    own = None
                excluded = self._excluded.get(key)
                decided[key] = Decision(
                    None if excluded else own, frozenset(refused - {own}), excluded
                )
        return decided

    def of(self, face: FaceSource) -> Decision:
        """Returns the decision about a face; none without ``sha256`` and ``box``."""
        key = self._faces.find(face)
        return Decision() if key is None else self._decided[key]

    def images(self) -> set[str]:
        """Returns the SHA-256 of the images with corrections."""
        return self._faces.images()

    def pairs(self, faces: Sequence[FaceSource]) -> tuple[Pairs, Pairs]:
        """Returns the pairs of indices of faces of one person, and of faces of different people."""
        # They never contradict each other; corrections of pairs take precedence over names.
        places: dict[int, list[int]] = {}
        for place, face in enumerate(faces):
            key = self._faces.find(face)
            if key is not None:
                places.setdefault(key, []).append(place)
        links = deepcopy(self._links)
        named: dict[str, int] = {}
        for key in places:
            person = self._decided[key].person
            if person is not None:
                links.join(named.setdefault(person, key), key)
        names = list(named.values())
        for number, key in enumerate(names):
            for other in names[:number]:
                links.part(key, other)
        for key in places:
            for person in self._decided[key].refused & named.keys():
                links.part(key, named[person])
        together: dict[int, list[int]] = {}
        for key, found in places.items():
            together.setdefault(links.root(key), []).extend(found)
        same = [pair for group in together.values() for pair in pairwise(group)]
        different = [
            (group[0], together[other][0])
            for root, group in together.items()
            for other in links.parted(root)
            if other in together and root < other
        ]
        return same, different


class FaceFinder:
    """Numbers faces by the SHA-256 of their image and their box; those without are left out."""

    def __init__(self, faces: Iterable[FaceSource] = ()) -> None:
        self._by_image: dict[str, list[tuple[tuple[float, float, float, float], int]]] = {}
        self._count = 0
        for face in faces:
            if face.sha256 is not None and face.box is not None:
                self.key(face)

    def __len__(self) -> int:
        return self._count

    def find(self, face: FaceSource) -> int | None:
        """Returns the number of a face, or ``None`` if it is not known."""
        known = self._by_image.get(face.sha256 or "", [])
        if not known or face.box is None:
            return None
        shared, number = max((box_overlap(face.box, box), -number) for box, number in known)
        return -number if shared >= SAME_FACE else None

    def key(self, face: FaceSource) -> int:
        """Returns the number of a face, a new one if it is not known."""
        found = self.find(face)
        if found is None:
            assert face.sha256 is not None and face.box is not None  # noqa: PT018
            found, self._count = self._count, self._count + 1
            self._by_image.setdefault(face.sha256, []).append((face.box, found))
        return found

    def images(self) -> set[str]:
        """Returns the SHA-256 of all images."""
        return set(self._by_image)


class _Links:
    """Groups of items that belong together, and pairs of groups that must stay apart."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}
        self._apart: dict[int, set[int]] = {}

    def root(self, key: int) -> int:
        while (above := self._parent.get(key, key)) != key:
            self._parent[key] = self._parent.get(above, above)
            key = above
        return key

    def parted(self, root: int) -> set[int]:
        return self._apart.get(root, set())

    def join(self, one: int, other: int) -> None:
        """Joins two groups, unless they must stay apart."""
        root, joined = self.root(one), self.root(other)
        if root != joined and joined not in self.parted(root):
            self._parent[joined] = root
            for far in self._apart.pop(joined, set()):
                self._apart[far].discard(joined)
                self._apart[far].add(root)
                self._apart.setdefault(root, set()).add(far)

    def part(self, one: int, other: int) -> None:
        """Keeps two groups apart, unless they are already one."""
        root, far = self.root(one), self.root(other)
        if root != far:
            self._apart.setdefault(root, set()).add(far)
            self._apart.setdefault(far, set()).add(root)
