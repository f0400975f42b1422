"""Nothing of what is removed, renamed or replaced stays in the file, in its log or beside it."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from effort import tries

from facekit import Gallery
from facekit.gallery import store
from facekit.gallery.records import EnrolledImage, FaceSource

SIZE = 8
PEOPLE = tries(60, 300)


class Diary:
    """Does random things to a gallery, and keeps what must be there and what must be gone."""

    def __init__(self, path: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.vectors = np.random.default_rng(seed)
        self.gallery = Gallery.create(path, "example@1", SIZE)
        self.folder = path.parent
        # By person: the bytes of name, metadata and each photo.
        self.people: dict[str, tuple[list[bytes], dict[int, list[bytes]]]] = {}
        self.gone: list[bytes] = []
        self.checked = 0
        self.made = 0

    def secret(self) -> str:
        """Returns a string that no other contains, of any length and of any alphabet."""
        self.made += 1
        length = self.random.choice([0, 1, 5, 60, 700])
        letters = "".join(self.random.choice("abcé漢🙂") for _ in range(length))
        return f"<{self.made}>{letters}</{self.made}>"

    def images(self) -> tuple[np.ndarray, list[FaceSource], list[list[bytes]]]:
        count = self.random.choice([1, 1, 2, 7])
        rows = self.vectors.normal(size=(count, SIZE))
        rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        digests = [self.random.randbytes(32) for _ in range(count)]
        boxes = [tuple(self.vectors.uniform(1, 999, 4)) for _ in range(count)]
        sources = [
            FaceSource(self.secret(), digest.hex(), box)
            for digest, box in zip(digests, boxes, strict=True)
        ]
        traces = [
            [source.source.encode(), digest, row.tobytes(), np.array(box).tobytes()]
            for source, digest, row, box in zip(sources, digests, rows, boxes, strict=True)
        ]
        return rows, sources, traces

    def enroll(self) -> None:
        name, note = self.secret(), self.secret()
        rows, sources, traces = self.images()
        numbers = self.gallery.enroll(name, rows, sources, metadata={"note": note})
        self.people[name] = (
            [name.encode(), note.encode()],
            dict(zip(numbers, traces, strict=True)),
        )

    def add(self, name: str) -> None:
        rows, sources, traces = self.images()
        numbers = self.gallery.extend([name] * len(rows), rows, sources)
        self.people[name][1].update(zip(numbers, traces, strict=True))

    def remove(self, name: str) -> None:
        own, images = self.people.pop(name)
        assert self.gallery.remove(name) == len(images)
        self.gone += own + [trace for each in images.values() for trace in each]

    def remove_images(self, name: str) -> None:
        own, images = self.people[name]
        chosen = self.random.sample(sorted(images), self.random.randint(1, len(images)))
        self.gallery.remove_images(chosen)
        for number in chosen:
            self.gone += images.pop(number)
        if not images:
            self.gone += own
            del self.people[name]

    def rename(self, name: str) -> None:
        new = self.secret()
        own, images = self.people.pop(name)
        self.gallery.rename(name, new)
        self.gone.append(own[0])
        self.people[new] = ([new.encode(), own[1]], images)

    def merge(self, name: str) -> None:
        into = self.random.choice(sorted(self.people))
        if into != name:
            own, images = self.people.pop(name)
            assert self.gallery.merge(name, into) == len(images)
            self.gone += own
            self.people[into][1].update(images)

    def note(self, name: str) -> None:
        note = self.secret()
        own, images = self.people[name]
        self.gallery.set_metadata(name, {"note": note})
        self.gone.append(own[1])
        self.people[name] = ([own[0], note.encode()], images)

    def compact(self) -> None:
        self.gallery.compact()
        numbers = {image.source.encode(): image.id for image in self.gallery.images()}
        self.people = {
            name: (own, {numbers[traces[0]]: traces for traces in images.values()})
            for name, (own, images) in self.people.items()
        }

    def check(self, *, everything: bool = False) -> None:
        """Looks for what has gone since the last time, or for all that ever went."""
        content = b"".join(path.read_bytes() for path in sorted(self.folder.iterdir()))
        gone = self.gone if everything else self.gone[self.checked :]
        # The ends: the middle of a long one may lie on two pages.
        parts = {part for trace in gone for part in (trace[:12], trace[-12:])}
        assert [part for part in parts if part in content] == []
        self.checked = len(self.gone)
        names = {path.name for path in self.folder.iterdir()}
        assert names <= {"people", "people-wal", "people-shm"}

    def check_content(self) -> None:
        for gallery in (self.gallery, Gallery.open(self.folder / "people")):
            assert gallery.people == {
                name: len(images) for name, (_, images) in sorted(self.people.items())
            }
            found = {image.id: image for image in gallery.images()}
            for name, (own, images) in self.people.items():
                assert gallery.metadata(name).get("note", "").encode() == own[1]
                for number, (source, digest, vector, box) in images.items():
                    assert found[number].person == name
                    assert found[number].source.encode() == source
                    assert found[number].sha256 == digest.hex()
                    assert np.array(found[number].box).tobytes() == box
                    match = gallery.search(np.frombuffer(vector, np.float32)[None], 1)[0][0]
                    assert (match.person, match.image, match.distance) == (name, number, 0.0)
            gallery.check()


@pytest.mark.parametrize(("small_blocks", "people"), [(False, 60), (True, PEOPLE)])
def test_people_come_and_go_in_any_order(
    tmp_path: Path, small_blocks: bool, people: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With small blocks, SQLite has thousands of rows to keep in order."""
    if small_blocks:
        monkeypatch.setattr(store, "rows_in_a_block", lambda size: 4)
        monkeypatch.setattr(store, "TEXT_BYTES", 128)
    diary = Diary(tmp_path / "people", seed=small_blocks)
    changes = [diary.remove, diary.remove_images, diary.rename, diary.merge, diary.note, diary.add]
    enrolled = 0
    while enrolled < people or diary.people:
        if enrolled < people and (not diary.people or diary.random.random() < 0.5):
            diary.enroll()
            enrolled += 1
        else:
            name = diary.random.choice(sorted(diary.people))
            diary.random.choice(changes if enrolled < people else changes[:2])(name)
            if diary.random.random() < 0.01:
                diary.compact()
            diary.check()
        if diary.random.random() < 0.02:
            diary.check(everything=True)
            diary.check_content()
    diary.check(everything=True)
    assert len(diary.gallery) == 0
    assert len(diary.gone) > 5 * people


def test_what_is_replaced_or_cleared_is_gone(tmp_path: Path) -> None:
    diary = Diary(tmp_path / "people", seed=3)
    for _ in range(40):
        diary.enroll()
    rows, sources, _ = diary.images()
    diary.gallery.set_settings({"calibration": {"of": "</settings>" * 9}})
    images = [EnrolledImage(s.source, s.sha256, s.box, person="kept") for s in sources]
    assert diary.gallery.replace([(images[:20], rows[:20]), (images[20:], rows[20:])]) == len(rows)
    for own, images in diary.people.values():
        diary.gone += own + [trace for each in images.values() for trace in each]
    diary.check(everything=True)
    assert diary.gallery.people == {"kept": len(rows)}
    assert diary.gallery.settings == {"calibration": {"of": "</settings>" * 9}}
    diary.gallery.set_settings({})
    diary.gone += [b"</settings>", *(source.source.encode() for source in sources)]
    assert diary.gallery.clear() == len(rows)
    diary.check(everything=True)


def test_what_is_removed_while_others_have_the_file_open_is_gone(tmp_path: Path) -> None:
    diary = Diary(tmp_path / "people", seed=4)
    for _ in range(20):
        diary.enroll()
    other = Gallery.open(tmp_path / "people")
    assert len(other) == len(diary.gallery)
    for name in sorted(diary.people)[:10]:
        diary.remove(name)
        assert name not in other
        diary.check()
    other.close()
    diary.check_content()
