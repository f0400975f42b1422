"""A process's copy of a gallery in memory, kept up to date by reading changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from facekit.gallery.database import Stream, View, count_blocks
from facekit.gallery.enrolled import Enrolled
from facekit.gallery.index import LEAST_NORM, NO_ROWS, IntArray
from facekit.gallery.layout import IMAGE, PERSON, Data, Layout, decoded, short_digests

# Of more erased rows than this the labels are rebuilt.
_MOST_LEFT = 4096


class Growing:
    """An array that grows at its end; earlier views of it stay valid."""

    def __init__(self, dtype: Any, *shape: int) -> None:
        self._all: npt.NDArray[Any] = np.zeros((0, *shape), dtype)
        self.held = self._all

    def grow(self, length: int) -> npt.NDArray[Any]:
        """Adds items that hold zeros, up to that length, and returns them."""
        before = len(self.held)
        if length > len(self._all):
            # Reserved memory that is not yet used costs nothing, so that copies are rare.
            shape = (length + length // 4 + 64, *self._all.shape[1:])
            larger = np.zeros(shape, self._all.dtype)
            larger[:before] = self.held
            self._all = larger
        self.held = self._all[:length]
        return self.held[before:]


class Mirror:
    """The people and vectors of a gallery, as of one version of it."""

    # People have slots, numbered from 0 in the order of enrollment; a removed person leaves a slot
    # without a name.
    _left: IntArray  # erased rows that have labels

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.forget()

    def forget(self) -> None:
        """Discards everything, so that it is read again."""
        self.version, self._generation = -1, ""  # nothing is known yet
        self._vectors = Growing(np.float32, self._layout.size)
        self._owners = Growing(np.uint32)
        self._records, self._names = Growing(PERSON), Growing(object)
        self._images, self._sizes = Growing(np.int64), Counter[int]()  # by the number of the owner
        self._start_labels()
        self._digests: Growing | None = None
        self.slots: dict[str, int] = {}  # by name
        self.enrolled = self._now()  # erased rows may keep their labels

    @property
    def owners(self) -> npt.NDArray[np.uint32]:
        """The slot of each image's person plus 1, by row; 0 if the image was removed."""
        return self._owners.held

    @property
    def names(self) -> npt.NDArray[Any]:
        """The name of each slot, or ``None``."""
        return self._names.held

    def rows_of(self, slot: int) -> list[int]:
        """Returns the rows of a person's images."""
        rows = self.enrolled.images_of(int(self._label_of.held[slot + 1]))
        there: list[int] = rows[self._owners.held[rows] == slot + 1].tolist()
        return there

    def digests(self, view: View) -> npt.NDArray[np.uint64]:
        """Returns the first eight bytes of each image's SHA-256, by row."""
        if self._digests is None:
            count, self._digests = view.head["photos"], Growing(np.uint64)
            blocks = view.blocks("photos", count_blocks(count, self._layout.rows))
            self._note_digests(count, enumerate(blocks))
        return self._digests.held

    def follow(self, view: View) -> None:
        """Updates everything from a view."""
        if view.head["version"] == self.version:
            return
        if view.head["generation"] == self._generation and view.head["version"] > self.version:
            self.apply(view, view.changed_since(self.version), view.block)
            return
        self.forget()
        counts: dict[Stream, int] = {
            "vectors": count_blocks(view.head["photos"], self._layout.rows),
            "people": count_blocks(view.head["people"], self._layout.rows),
        }
        # A damaged or forged head must not announce blocks that do not exist.
        for stream, count in counts.items():
            if count != view.count(stream):
                raise view.damage(f"the number of blocks of {stream}")
        every = [(stream, index) for stream, count in counts.items() for index in range(count)]
        reading = {stream: view.blocks(stream, count) for stream, count in counts.items()}
        names = view.blocks("names", count_blocks(view.head["names"], view.head["bytes"]))
        self.apply(view, every, lambda stream, _: next(reading[stream]), b"".join(names))

    def apply(
        self,
        view: View,
        changed: Iterable[tuple[Stream, int]],
        read: Callable[[Stream, int], Data],
        heap: bytes = b"",
    ) -> None:
        """Reads the blocks that have changed since the known version."""
        blocks: dict[Stream, list[int]] = {"people": [], "vectors": [], "photos": []}
        for stream, index in sorted(changed):
            if stream in blocks:
                blocks[stream].append(index)
        try:
            renamed = self._apply_people(view, blocks["people"], read, heap)
            erased, moved = self._apply_vectors(view, blocks["vectors"], read)
            if self._digests is not None:
                found = ((index, read("photos", index)) for index in blocks["photos"])
                self._note_digests(view.head["photos"], found)
            # Whatever a state has seen of labels and names stays.
            relabeled = moved or len(self._left) + len(erased) > _MOST_LEFT
            if relabeled:
                self._start_labels()
            else:
                self._rename(renamed)
                # People and rows that went keep their labels until all are relabeled.
                self._left = np.concatenate((self._left, erased))
            self._number()
            self.enrolled = self.enrolled.followed_by(self._now(), erased, relabeled=relabeled)
        except BaseException:
            self.forget()
            raise
        self.version, self._generation = view.head["version"], view.head["generation"]

    def _apply_people(
        self, view: View, indices: list[int], read: Callable[[Stream, int], Data], heap: bytes
    ) -> list[int]:
        # Returns the slots whose people have new names.
        count, rows = view.head["people"], self._layout.rows
        known = len(self._records.held)
        self._records.grow(count)
        self._names.grow(count)[:] = None
        changed: list[int] = []
        for index in indices:
            records = np.frombuffer(read("people", index), PERSON)[: count - index * rows]
            before = self._records.held[index * rows : index * rows + len(records)]
            # By checksum: a new name may have the length and place of the old one.
            differ = records != before
            changed += (np.flatnonzero(differ) + index * rows).tolist()
            before[:] = records
        starts = self._records.held["name"][changed].tolist()
        lengths = self._records.held["length"][changed].tolist()
        places = list(zip(starts, lengths, strict=True))
        if heap.isascii() and heap:
            everything = heap.decode("ascii")  # slicing costs less than decoding each name
            names = [everything[start : start + length] or None for start, length in places]
        else:
            names = [
                decoded(
                    heap[start : start + length] if heap else view.bytes_at("names", start, length)
                )
                or None
                for start, length in places
            ]
        if any(
            (name is None) != (length == 0) for name, length in zip(names, lengths, strict=True)
        ):
            raise view.damage("its names")
        earlier = [self._names.held[slot] if slot < known else None for slot in changed]
        # A name may pass from one person to another: remove all old ones first.
        for name in earlier:
            if name is not None:
                self.slots.pop(name, None)
        for slot, name in zip(changed, names, strict=True):
            self._names.held[slot] = name
            if name is not None:
                self.slots[name] = slot
        return [
            slot
            for slot, name, before in zip(changed, names, earlier, strict=True)
            if slot < known and name not in (before, None)
        ]

    def _apply_vectors(
        self, view: View, indices: list[int], read: Callable[[Stream, int], Data]
    ) -> tuple[IntArray, bool]:
        # Returns the rows that were erased, and whether others went from one person to another.
        count, rows = view.head["photos"], self._layout.rows
        known, moved, erased = len(self._owners.held), False, [NO_ROWS]
        went, came = [NO_ROWS], [NO_ROWS]
        self._owners.grow(count)
        self._vectors.grow(count)
        for index in indices:
            first = index * rows
            last = min(first + rows, count)
            vectors, owners = self._layout.vectors(read("vectors", index))
            people = owners["person"][: last - first]
            if people.max(initial=0) > view.head["people"]:
                raise view.damage(f"block {index} of vectors")
            before = self._owners.held[first : max(first, min(last, known))]
            differ = before != people[: len(before)]
            moved = moved or bool(people[: len(before)][differ].any())
            went.append(before[differ])
            came.append(people[np.append(differ, np.ones(len(people) - len(before), bool))])
            # A new row may be erased already, if another process added and removed it.
            differ = np.append(differ, np.ones(last - first - len(before), bool))
            erased.append(first + np.flatnonzero(differ & (people == 0)))
            self._vectors.held[erased[-1]] = 0.0
            new = slice(max(first, known), last)
            if new.start < new.stop:
                self._vectors.held[new] = vectors[new.start - first : new.stop - first]
            self._owners.held[first:last] = people
        self._count(view, np.concatenate(went), np.concatenate(came))
        return np.concatenate(erased), moved

    def _count(self, view: View, went: IntArray, came: IntArray) -> None:
        self._images.grow(len(self._names.held) + 1)
        owners, place = np.unique(np.concatenate((came, went)), return_inverse=True)
        signs = np.repeat([1.0, -1.0], [len(came), len(went)])
        change = np.bincount(place, signs, len(owners)).astype(np.int64)[owners > 0]
        owners = owners[owners > 0]
        before = self._images.held[owners]
        after = before + change
        if (self._records.held["length"][owners[after > 0] - 1] == 0).any():
            raise view.damage("its names")
        self._images.held[owners] = after
        self._sizes.subtract(before.tolist())
        self._sizes.update(after.tolist())

    def _note_digests(self, count: int, blocks: Iterable[tuple[int, Data]]) -> None:
        assert self._digests is not None
        self._digests.grow(count)
        for index, data in blocks:
            first = index * self._layout.rows
            part = self._digests.held[first : first + self._layout.rows]
            part[:] = short_digests(np.frombuffer(data, IMAGE))[: len(part)]

    def _start_labels(self) -> None:
        self._left = NO_ROWS
        self._labels = Growing(np.int32)
        self._classes = Growing(object)
        self._label_of = Growing(np.int32)  # by the number of the owner; -1 without one
        self._label_of.grow(1)[:] = -1

    def _rename(self, slots: list[int]) -> None:
        if not slots:
            return
        classes, self._classes = self._classes.held, Growing(object)
        self._classes.grow(len(classes))[:] = classes
        self._classes.held[self._label_of.held[1:][slots]] = self._names.held[slots]

    def _number(self) -> None:
        # Labels number the people who are there.
        slot, first = len(self._label_of.held) - 1, len(self._classes.held)
        there = self._images.held[slot + 1 :] > 0
        numbers = self._label_of.grow(len(self._names.held) + 1)
        np.cumsum(there, out=numbers)
        numbers += first - 1
        numbers[~there] = -1
        self._classes.grow(first + int(there.sum()))[:] = self._names.held[slot:][there]
        owners = self._owners.held[len(self._labels.held) :]
        labels = self._labels.grow(len(self._owners.held))
        np.take(self._label_of.held, owners, out=labels, mode="clip")  # no owner is beyond

    def _now(self) -> Enrolled:
        sizes = {size: people for size, people in sorted(self._sizes.items()) if size and people}
        held = self._vectors.held, self._labels.held, self._classes.held
        return Enrolled(*held, least_norm=LEAST_NORM, sizes=sizes, left=self._left)
