"""A damaged gallery answers right or says what is wrong, and what is whole can be saved."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from effort import tries

from facekit import FileFormatError, Gallery, InvalidArgumentError
from facekit.gallery import repair
from facekit.gallery.records import FaceSource

SIZE = 8
PLACES = tries(50, 200)


def vectors(seed: int, count: int = 3) -> npt.NDArray[np.float32]:
    rows = np.random.default_rng(seed).normal(size=(count, SIZE))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def answers(gallery: Gallery) -> dict[str, Any]:
    """Returns all that a gallery says, as its users ask for it."""
    images, embeddings = gallery.content()
    found = gallery.search(np.concatenate([vectors(number) for number in range(4)]), 4)
    return {
        "weights": gallery.weights,
        "people": gallery.people,
        "photos": {
            image.source: (image.person, image.sha256, image.box, row.tobytes())
            for image, row in zip(images, embeddings, strict=True)
        },
        "found": [[(match.person, match.distance) for match in each] for each in found],
        "about": {name: gallery.metadata(name) for name in gallery},
        "settings": gallery.settings,
    }


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """A gallery in which people were removed as well."""
    path = tmp_path / "sound"
    with Gallery.create(path, "example@1", SIZE) as gallery:
        for number, name in enumerate(["Ada Lovelace", "Grace Hopper", "Zoë", "Mary"]):
            images = [
                FaceSource(f"{name}-{index}.jpg", f"{number}{index}" * 32, (1.0, 2.5, 40.0, 50.0))
                for index in range(3)
            ]
            gallery.enroll(name, vectors(number), images, metadata={"number": number})
        gallery.set_settings({"threshold": 0.75})
        gallery.remove("Grace Hopper")
    return path


@pytest.fixture
def truth(sound: Path) -> dict[str, Any]:
    with Gallery.open(sound) as gallery:
        gallery.check()
        return answers(gallery)


def is_refused(path: Path, truth: dict[str, Any], *, checked: bool = False) -> bool:
    """Asks a gallery everything, and says whether that failed; any answer must be right."""
    try:
        with Gallery.open(path) as gallery:
            if checked:
                gallery.check()
            found = answers(gallery)
    except (FileFormatError, InvalidArgumentError) as error:
        complaint = str(error)
    else:
        assert found == truth
        return False
    assert str(path) in complaint
    return True


def saves_what_is_whole(path: Path, truth: dict[str, Any], most_lost: int) -> bool:
    """Repairs a gallery, and says whether that could be done; nothing wrong may be saved."""
    new = path.with_name("saved")
    new.unlink(missing_ok=True)
    try:
        found = repair(path, new)
    except FileFormatError:
        assert not new.exists()
        return False
    with Gallery.open(new) as gallery:
        gallery.check()
        saved = answers(gallery)
    assert saved["photos"].items() <= truth["photos"].items()
    assert saved["people"] == found.people
    assert saved["about"].items() <= truth["about"].items()
    lost = len(truth["photos"]) - len(saved["photos"])
    assert lost <= most_lost
    assert (lost > 0) <= (len(found.lost) > 0), "what is lost is listed"
    return True


def test_a_truncated_file_is_refused(sound: Path, truth: dict[str, Any], tmp_path: Path) -> None:
    whole = sound.read_bytes()
    path = tmp_path / "damaged"
    places = {0, 1, 15, 16, 99, 100, 4095, 4097, len(whole) // 2, len(whole) - 1}
    for place in sorted(places | set(range(0, len(whole), 4 * 4096))):
        path.write_bytes(whole[:place])
        # Of the last page, not every byte is used.
        refused = is_refused(path, truth)
        assert refused or place > len(whole) - 4096, f"{place} bytes were taken for a gallery"


@pytest.mark.parametrize("width", [1, 64])
def test_damage_in_any_place_is_refused_and_repaired_or_changes_nothing(
    sound: Path, truth: dict[str, Any], tmp_path: Path, width: int
) -> None:
    whole = sound.read_bytes()
    used = np.flatnonzero(np.frombuffer(whole, np.uint8))
    generator = np.random.default_rng(width)
    # Most of a small gallery is zeros, which wait for others: half of the places are elsewhere.
    places = [
        *generator.choice(used, PLACES // 2),
        *generator.choice(len(whole) - width, PLACES // 2),
    ]
    path = tmp_path / "damaged"
    refused = saved = 0
    for place in places:
        damaged = bytearray(whole)
        part = np.frombuffer(damaged, np.uint8)[place : place + width]
        part ^= generator.integers(1, 256, len(part), dtype=np.uint8)
        path.write_bytes(damaged)
        if is_refused(path, truth):
            refused += 1
            saved += saves_what_is_whole(path, truth, most_lost=9)
        else:
            assert is_refused(path, truth, checked=True) in (True, False)
    assert refused > PLACES // 3
    assert saved > refused // 3


def test_damage_in_a_large_gallery_is_noticed(tmp_path: Path) -> None:
    """Whatever is used is checked, however many photos there are."""
    path, damaged, count = tmp_path / "large", tmp_path / "damaged", 21_000
    rows = vectors(0, count)
    with Gallery.create(path, "example@1", SIZE) as gallery:
        gallery.extend(
            [f"person {number % 7000}" for number in range(count)],
            rows,
            [f"{number}.jpg" for number in range(count)],
        )
    whole = path.read_bytes()
    used = np.flatnonzero(np.frombuffer(whole, np.uint8))
    random, refused = np.random.default_rng(1), 0
    for place in random.choice(used, tries(10, 60)):
        content = bytearray(whole)
        content[place] ^= 1 << int(random.integers(8))
        damaged.write_bytes(content)
        try:
            with Gallery.open(damaged) as gallery:
                images, embeddings = gallery.content()
        except FileFormatError:
            refused += 1
        else:  # SQLite's own counters, for instance
            np.testing.assert_array_equal(embeddings, rows)
            assert [image.source for image in images] == [f"{n}.jpg" for n in range(count)]
            assert [image.person for image in images] == [
                f"person {n % 7000}" for n in range(count)
            ]
    assert refused > tries(10, 60) // 2


def damage_block(path: Path, stream: str, place: int) -> None:
    with sqlite3.connect(path) as database:
        (data,) = database.execute(f"SELECT data FROM {stream}").fetchone()
        damaged = bytearray(data)
        damaged[place] ^= 1
        database.execute(f"UPDATE {stream} SET data = ?", (damaged,))
    database.close()


@pytest.mark.parametrize(
    ("stream", "place", "lost"),
    [
        ("vectors", 4 * SIZE * 6, 1),  # the seventh photo, of Zoë
        ("photos", 6 * 76, 1),
        ("texts", len('{"number": 0}Ada Lovelace-0.jpg'), 1),
        ("texts", 3, 3),  # what is noted about Ada
        ("names", 0, 3),
    ],
)
def test_a_damaged_row_costs_no_other(
    sound: Path, truth: dict[str, Any], stream: str, place: int, lost: int
) -> None:
    damage_block(sound, stream, place)
    assert is_refused(sound, truth)
    assert saves_what_is_whole(sound, truth, most_lost=lost)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE head SET value = replace(value, 'example@1', 'example@2')",
        "UPDATE head SET value = replace(value, '\"photos\": 12', '\"photos\": 11')",
        "UPDATE blocks SET version = 1",
        "UPDATE blocks SET checksum = checksum + 1 WHERE stream = 'people'",
        "DELETE FROM blocks WHERE stream = 'vectors'",
        "DELETE FROM names",
        "DELETE FROM head",
        "UPDATE vectors SET data = zeroblob(length(data))",
        "UPDATE photos SET id = 1",
        "INSERT INTO people SELECT 1, data FROM people",
        "CREATE TRIGGER surprise AFTER UPDATE ON head BEGIN DELETE FROM names; END",
        "CREATE VIEW surprise AS SELECT * FROM head",
    ],
)
def test_an_altered_table_is_refused(sound: Path, truth: dict[str, Any], statement: str) -> None:
    with sqlite3.connect(sound) as database:
        assert database.execute(statement).rowcount
    database.close()
    assert is_refused(sound, truth)


def forged(path: Path, change: Callable[[str], str]) -> None:
    """Alters the head with a checksum that fits, as only a forger does."""
    with sqlite3.connect(path) as database:
        (value,) = database.execute("SELECT value FROM head").fetchone()
        value = change(value)
        checksum = zlib.crc32(value.encode())
        database.execute("UPDATE head SET value = ?, checksum = ?", (value, checksum))
    database.close()


@pytest.mark.parametrize(
    "change",
    [
        lambda head: "[" * 100_000,
        lambda head: "[]",
        lambda head: head.replace('"photos": 12', '"photos": 1152921504606846976'),
        lambda head: head.replace('"people": 4', '"people": "4"'),
        lambda head: head.replace(f'"embedding_size": {SIZE}', '"embedding_size": 1e300'),
        lambda head: head.replace('"rows": 1024', '"rows": 0'),
        lambda head: head.replace('"bytes": 32768', '"bytes": 0'),
        lambda head: head.replace('"settings": [', '"settings": [-'),
    ],
)
def test_a_forged_head_is_an_error(
    sound: Path, truth: dict[str, Any], change: Callable[[str], str]
) -> None:
    forged(sound, change)
    assert is_refused(sound, truth)


def test_a_newer_version_is_named(sound: Path) -> None:
    with sqlite3.connect(sound) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(FileFormatError, match=r"format version 99.*upgrade"):
        Gallery.open(sound)


def test_what_is_not_a_gallery_is_refused_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "empty folder").mkdir()
    (tmp_path / "empty file").touch()
    (tmp_path / "text").write_bytes(b"no database " * 1000)
    with sqlite3.connect(tmp_path / "foreign") as database:
        database.execute("CREATE TABLE head (key TEXT)")
    database.close()
    for name in ("missing", "empty folder", "empty file", "text", "foreign"):
        with pytest.raises(FileFormatError) as caught:
            Gallery.open(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)


def test_earlier_formats_are_refused_with_what_to_do(tmp_path: Path) -> None:
    from facekit.io import safetensors_file

    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "gallery.sqlite").touch()
    safetensors_file.write(
        tmp_path / "file", kind="facekit.recognizer", version=2, header={}, arrays={}
    )
    for name in ("folder", "file"):
        with pytest.raises(FileFormatError, match=r"of facekit 0\.1.*facekit enroll"):
            Gallery.open(tmp_path / name)


def test_rubbish_in_the_log_changes_nothing(sound: Path, truth: dict[str, Any]) -> None:
    sound.with_name("sound-wal").write_bytes(bytes(range(256)) * 64)
    assert not is_refused(sound, truth, checked=True)
