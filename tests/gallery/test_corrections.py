"""Corrections: data in the gallery that outlives what is computed."""

from __future__ import annotations

import pickle
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facekit import EnrollmentError, FileFormatError, Gallery, InvalidArgumentError
from facekit.gallery import repair
from facekit.gallery.corrections import Correction
from facekit.gallery.decisions import Decision, Decisions
from facekit.gallery.records import EnrolledImage, FaceSource

PEOPLE = ("Ada", "Grace", "Mary")


def face(number: int, shift: float = 0.0, image: int | None = None) -> FaceSource:
    """Returns a face in an image; each image has a face each 100 pixels."""
    digest = f"{number if image is None else image:064x}"
    return FaceSource(f"photo {number}.jpg", digest, (100.0 * number + shift, 20, 60, 80))


def filled(gallery: Gallery) -> Gallery:
    for place, name in enumerate(PEOPLE):
        gallery.enroll(name, np.eye(4)[place : place + 1], [face(100 + place)])
    return gallery


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    return filled(Gallery.create(tmp_path / "people", "example@1", 4))


def every_kind(gallery: Gallery) -> tuple[Correction, ...]:
    review = gallery.review
    review.reject(face(1), "Ada")
    review.accept(face(2), "Grace")
    review.link(face(3), face(4))
    review.separate(face(3), face(5))
    review.exclude(face(6))
    review.exclude(face(7), "ignore")
    review.once_per_image()
    return review.corrections


FACES = st.integers(0, 4).map(face)
CORRECTIONS = st.one_of(
    st.builds(Correction, st.sampled_from(("is", "is_not")), FACES, st.sampled_from(PEOPLE)),
    st.builds(
        lambda kind, pair: Correction(kind, pair[0], other=pair[1]),
        st.sampled_from(("same", "different")),
        st.tuples(FACES, FACES).filter(lambda pair: pair[0].sha256 != pair[1].sha256),
    ),
    st.builds(Correction, st.sampled_from(("not_a_face", "ignore")), FACES),
    st.just(Correction("once_per_image")),
)
# A correction, or which of those that are there is undone.
STEPS = st.lists(CORRECTIONS | st.integers(0, 20), max_size=15)


def decided(decisions: Decisions) -> Any:
    faces = [face(number) for number in range(5)]
    return [decisions.of(one) for one in faces], decisions.pairs(faces), decisions.once_per_image


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_corrections_and_undos_equal_a_replay_of_what_is_left(
    steps: list[Correction | int],
) -> None:
    gallery = filled(Gallery("example@1", 4))
    left: dict[int, Correction] = {}
    for step in steps:
        if isinstance(step, Correction):
            (number,) = gallery.review.add([step])
            assert number not in left
            left[number] = step
        elif left:
            number = list(left)[step % len(left)]
            undone = gallery.review.undo(number)
            assert (undone.kind, undone.faces) == (left[number].kind, left.pop(number).faces)
    assert [c.number for c in gallery.review.corrections] == list(left)
    assert decided(gallery.decisions()) == decided(Decisions(left.values()))
    replayed = filled(Gallery("example@1", 4))
    replayed.review.add(left.values())
    assert decided(replayed.decisions()) == decided(gallery.decisions())


@settings(max_examples=200, deadline=None)
@given(st.lists(CORRECTIONS, max_size=15))
def test_pairs_never_contradict_each_other_and_follow_the_latest_correction(
    corrections: list[Correction],
) -> None:
    decisions = Decisions(corrections)
    same, different = decisions.pairs([face(number) for number in range(5)])
    parts = list(range(5))
    for one, other in same:
        parts = [parts[one] if part == parts[other] else part for part in parts]
    assert all(parts[one] != parts[other] for one, other in different)
    if corrections and corrections[-1].kind in ("same", "different"):
        one, other = (int(f.source.split()[1][0]) for f in corrections[-1].faces)
        if corrections[-1].kind == "same":
            assert parts[one] == parts[other]
        elif one != other:
            assert parts[one] != parts[other]


@pytest.mark.parametrize(
    ("corrections", "expected"),
    [
        ([Correction("is", face(1), "Ada")], Decision("Ada")),
        (
            [Correction("is", face(1), "Ada"), Correction("is_not", face(1), "Ada")],
            Decision(None, frozenset({"Ada"})),
        ),
        ([Correction("is_not", face(1), "Ada"), Correction("is", face(1), "Ada")], Decision("Ada")),
        (
            [Correction("is", face(1), "Ada"), Correction("not_a_face", face(1))],
            Decision(None, frozenset(), "not_a_face"),
        ),
        ([Correction("ignore", face(1)), Correction("is", face(1), "Ada")], Decision("Ada")),
        (
            [Correction("is", face(2), "Ada"), Correction("same", face(1), other=face(2))],
            Decision("Ada"),
        ),
        (
            [Correction("same", face(1), other=face(2)), Correction("is_not", face(2), "Ada")],
            Decision(None, frozenset({"Ada"})),
        ),
        ([Correction("is", face(2), "Ada")], Decision()),
    ],
)
def test_what_follows_for_a_face(corrections: list[Correction], expected: Decision) -> None:
    assert Decisions(corrections).of(face(1)) == expected


def test_a_face_is_found_again_in_a_renamed_file_by_another_detector() -> None:
    decisions = Decisions([Correction("is_not", face(1, image=9), "Ada")])
    moved = FaceSource("renamed.png", face(9).sha256, face(1, shift=12).box)
    assert decisions.of(moved).refused == {"Ada"}
    for other in (face(1, shift=55, image=9), face(1), FaceSource("renamed.png")):
        assert decisions.of(other) == Decision()


def test_corrections_last_and_are_numbered_once(gallery: Gallery) -> None:
    made = every_kind(gallery)
    assert [correction.number for correction in made] == [1, 2, 3, 4, 5, 6, 7]
    assert gallery.path is not None
    with Gallery.open(gallery.path) as again:
        assert again.review.corrections == made
        assert again.review.undo(3).kind == "same"
        assert again.review.undo().kind == "once_per_image"
        again.review.once_per_image()
    assert [c.number for c in gallery.review.corrections] == [1, 2, 4, 5, 6, 8]
    for number in (3, 99):
        with pytest.raises(EnrollmentError, match=f"no correction has the number {number}"):
            gallery.review.undo(number)


def test_corrections_survive_what_happens_to_the_gallery(gallery: Gallery, tmp_path: Path) -> None:
    made = every_kind(gallery)
    gallery.remove_images([gallery.enroll("Eve", np.eye(4)[3:], ["eve.jpg"])[0]])
    gallery.compact()
    assert gallery.review.corrections == made
    for copied in (
        gallery.copy(),
        gallery.copy(tmp_path / "copy"),
        pickle.loads(pickle.dumps(gallery)),
    ):
        assert copied.review.corrections == made
    in_memory = pickle.loads(pickle.dumps(gallery.copy()))
    assert decided(in_memory.decisions()) == decided(gallery.decisions())
    assert gallery.path is not None
    repair(gallery.path, tmp_path / "saved")
    with Gallery.open(tmp_path / "saved") as saved:
        assert decided(saved.decisions()) == decided(gallery.decisions())
    images = [EnrolledImage(f"{name}.jpg", person=name) for name in PEOPLE]
    gallery.replace([(images, np.eye(4, dtype=np.float32)[[3, 2, 1]])])
    assert gallery.review.corrections == made
    gallery.check()


def test_names_in_corrections_follow_people(gallery: Gallery) -> None:
    every_kind(gallery)
    gallery.rename("Ada", "Ada Lovelace")
    gallery.merge("Grace", "Mary")
    assert [c.person for c in gallery.review.corrections if c.person] == ["Ada Lovelace", "Mary"]


def test_erasing_a_person_erases_what_was_said_about_her(gallery: Gallery) -> None:
    review = gallery.review
    review.reject(FaceSource("first secret", f"{1:064x}", (1, 2, 30, 40)), "Ada")
    review.accept(FaceSource("second secret", f"{2:064x}", (1, 2, 30, 40)), "Ada")
    review.reject(FaceSource("second secret", f"{2:064x}", (1, 2, 30, 40)), "Grace")
    # Of an image that she is enrolled with.
    own = FaceSource("third secret", face(100).sha256, face(100).box)
    review.link(own, face(5))
    kept = review.reject(face(6), "Grace")
    assert gallery.path is not None
    folder = gallery.path.parent
    there = b"".join(path.read_bytes() for path in folder.iterdir())
    for trace in (b"Ada", b"first secret", b"second secret", b"third secret"):
        assert trace in there
    gallery.remove("Ada")
    left = b"".join(path.read_bytes() for path in folder.iterdir())
    for trace in (b"Ada", b"secret", f"{2:064x}".encode(), (face(100).sha256 or "").encode()):
        assert trace not in left
    assert [c.number for c in review.corrections] == [kept]
    gallery.remove_images([image.id for image in gallery.images("Grace")])
    assert review.corrections == ()
    review.exclude(FaceSource("fourth secret", f"{9:064x}", (1, 2, 3, 4)))
    review.undo()
    assert b"secret" not in b"".join(path.read_bytes() for path in folder.iterdir())


def test_everybody_who_is_replaced_takes_the_corrections_along(gallery: Gallery) -> None:
    every_kind(gallery)
    grace = [EnrolledImage("g.jpg", person="Grace")]
    gallery.replace([(grace, np.eye(4, dtype=np.float32)[:1])])
    kinds = ["is", "same", "different", "not_a_face", "ignore", "once_per_image"]
    assert [c.kind for c in gallery.review.corrections] == kinds
    gallery.clear()
    assert gallery.review.corrections == ()


def test_several_corrections_are_undone_in_one_step(gallery: Gallery) -> None:
    made = every_kind(gallery)
    undone = gallery.review.take_back([made[4].number, made[1].number, 99])
    assert undone == [made[1], made[4]]
    assert gallery.review.corrections == (made[0], *made[2:4], *made[5:])
    assert gallery.review.take_back([made[1].number]) == []
    assert gallery.review.exclude(face(9)) == made[-1].number + 1  # numbers are not used again


def test_many_corrections_take_little_room(gallery: Gallery) -> None:
    assert gallery.path is not None
    for number in range(300):
        gallery.review.exclude(face(number))
    assert len(gallery.review) == 300
    assert gallery.path.stat().st_size < 1 << 20
    gallery.check()


def test_a_damaged_correction_is_noticed(gallery: Gallery) -> None:
    every_kind(gallery)
    assert gallery.path is not None
    gallery.close()
    with sqlite3.connect(gallery.path) as database:
        ((data,),) = database.execute("SELECT data FROM texts").fetchall()
        assert b"is_not" in data
        database.execute("UPDATE texts SET data = ?", (data.replace(b"is_not", b"is_now"),))
    database.close()
    with Gallery.open(gallery.path) as opened, pytest.raises(FileFormatError, match="damaged"):
        opened.decisions()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "is", "face": face(1)}, "needs person"),
        ({"kind": "same", "face": face(1)}, "needs other"),
        ({"kind": "ignore"}, "needs face"),
        ({"kind": "ignore", "face": face(1), "person": "Ada"}, "takes no person"),
        ({"kind": "ignore", "face": FaceSource("image 0")}, "sha256 and box"),
        ({"kind": "guess", "face": face(1)}, "kind must be"),
    ],
)
def test_a_correction_says_what_is_missing(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        Correction(**arguments)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"kind": "ignore", "face": {"source": "a.jpg"}},
        {"kind": "ignore", "face": {"source": "a.jpg", "sha256": None, "box": None}},
        {"kind": "ignore", "face": {**Correction("ignore", face(1)).to_dict()["face"], "id": 1}},
        {**Correction("ignore", face(1)).to_dict(), "number": None},
    ],
)
def test_what_is_no_correction_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match="not a correction"):
        Correction.from_dict(values)


def test_only_enrolled_people_are_accepted_and_rejected(gallery: Gallery) -> None:
    for correct in (gallery.review.accept, gallery.review.reject):
        with pytest.raises(EnrollmentError, match="no one is enrolled as 'Eve'"):
            correct(face(1), "Eve")
    with pytest.raises(InvalidArgumentError, match="reason must be"):
        gallery.review.exclude(face(1), "is")  # type: ignore[arg-type]


class _Store:
    weights, embedding_size, erasure = "example@1", 4, "logical"

    def add(self, *_: Any) -> Any: ...

    remove = search = snapshot = add


def test_another_store_says_that_it_keeps_no_corrections() -> None:
    gallery = Gallery.of(_Store())
    assert not gallery.decisions()
    with pytest.raises(InvalidArgumentError, match="_Store cannot do this; use one in a file"):
        gallery.review  # noqa: B018


def test_a_face_is_not_separated_from_itself() -> None:
    gallery = Gallery("example@1", embedding_size=2)
    face = FaceSource("a.jpg", sha256="ab" * 32, box=(10, 12, 80, 100))
    copied = FaceSource("copy.jpg", sha256="ab" * 32, box=(10, 12, 80, 100))
    with pytest.raises(InvalidArgumentError, match=r"a\.jpg and copy\.jpg: show the same face"):
        gallery.review.separate(face, copied)
    assert gallery.review.corrections == ()
    gallery.review.separate(face, FaceSource("a.jpg", sha256="ab" * 32, box=(200, 12, 80, 100)))
