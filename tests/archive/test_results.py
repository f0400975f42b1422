"""Names and groups of a table: those of the recognizer, and no two faces of an image alike."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit import (
    FaceRecognizer,
    FileFormatError,
    Gallery,
    IdentityClassifier,
    InvalidArgumentError,
    QualityGate,
)
from facekit.archive import cluster_archive, identify_archive, index_archive, write_results
from facekit.archive.results import face_columns, face_sources
from facekit.archive.rows import ImageRow, image_schema, table_of
from facekit.archive.table import MANIFEST, ArchiveTable
from facekit.clustering.apart import apart
from facekit.embedding.weights.registry import DEFAULT_WEIGHTS, REGISTRY
from facekit.errors import NotFittedError
from facekit.faces import Face, Keypoints
from facekit.gallery.records import FaceSource
from facekit.pipeline import EmbeddedFace, EmbeddedImage

RECORD = REGISTRY[DEFAULT_WEIGHTS]
SIZE = RECORD.architecture.embedding_size
POINTS = Keypoints((30, 40), (70, 40), (50, 60), (35, 80), (65, 80))
needs_networkit = pytest.mark.skipif(
    importlib.util.find_spec("networkit") is None or importlib.util.find_spec("faiss") is None,
    reason="networkit or faiss is missing",
)


def made_table(folder: Path, images: list[list[Any]], *, partition: int = 4) -> ArchiveTable:
    """Writes a table of images with these embeddings, as indexing would."""
    settings = {"weights": RECORD.identity, "embedding_size": SIZE, "embedding": "float32"}
    table = ArchiveTable.create(folder, settings)
    face = Face((1.0, 2.0, 30.0, 40.0), 0.9, POINTS)
    rows = [
        ImageRow(
            EmbeddedImage(
                f"{number}",
                number,
                tuple(EmbeddedFace(f"{number}", face, None, vector) for vector in vectors),
                size=(100, 100),
                sha256=f"{number:064x}",
            ),
            f"/album/{number:04}.jpg", 1, 1, None, None,
        )
        for number, vectors in enumerate(images)
    ]  # fmt: skip
    schema = image_schema(SIZE, half=False)
    for start in range(0, len(rows), partition):
        part = table_of(rows[start : start + partition], schema, RECORD.identity)
        table.commit(f"part-{start:04}.parquet", part)
    table.finish()
    return ArchiveTable(folder)


def people_vectors(people: int, each: int, spread: float = 0.3, seed: int = 0) -> Any:
    """Returns unit vectors ``(people, each, d)`` around a center for each person."""
    random = np.random.default_rng(seed)
    centers = random.normal(size=(people, 1, SIZE)) / np.sqrt(SIZE)
    vectors = centers + spread * random.normal(size=(people, each, SIZE)) / np.sqrt(SIZE)
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    return vectors.astype(np.float32)


def enrolled(vectors: Any) -> Gallery:
    gallery = Gallery(RECORD.identity, SIZE)
    for number, rows in enumerate(vectors):
        gallery.enroll(f"person {number}", rows[:2], ["a", "b"])
    return gallery


@pytest.mark.parametrize("strategy", ["centroid", "nearest", "svm"])
def test_names_are_those_of_the_recognizer(strategy: Any, tmp_path: Path) -> None:
    vectors = people_vectors(40, 4)
    table = made_table(
        tmp_path / "t", [[v[3], w[2]] for v, w in zip(vectors, vectors[::-1], strict=True)]
    )
    gallery = enrolled(vectors[:35])
    classifier = IdentityClassifier(strategy, fpir=0.01)
    found = identify_archive(table, gallery, classifier=classifier).read_all()
    recognizer = FaceRecognizer(gallery=gallery, classifier=classifier)
    faces = np.concatenate([[v[3], w[2]] for v, w in zip(vectors, vectors[::-1], strict=True)])
    expected = recognizer.identify(faces)
    assert found["name"].to_pylist() == [one.name for one in expected]
    assert found["candidate"].to_pylist() == [one.candidate for one in expected]
    np.testing.assert_allclose(found["distance"], [one.distance for one in expected], atol=1e-6)
    assert found["face"].to_pylist() == [0, 1] * 40
    assert None in found["name"].to_pylist()


@pytest.mark.parametrize("strategy", ["centroid", "nearest"])
@pytest.mark.parametrize("shard", [1, 7, 69])
def test_shards_of_the_gallery_give_the_same_answers(
    strategy: Any, shard: int, tmp_path: Path
) -> None:
    vectors = people_vectors(35, 4)
    table = made_table(tmp_path / "t", [[v[3]] for v in vectors] + [[]])
    options = {"classifier": IdentityClassifier(strategy, threshold=0.8)}
    whole = identify_archive(table, enrolled(vectors), **options).read_all()
    parts = identify_archive(table, enrolled(vectors), shard_size=shard, **options).read_all()
    columns = ["path", "face", "name", "candidate"]
    assert parts.select(columns).equals(whole.select(columns))
    np.testing.assert_allclose(parts["distance"], whole["distance"], atol=1e-6)


def test_a_gallery_calibrated_with_a_cohort_names_as_its_recognizer(tmp_path: Path) -> None:
    vectors = people_vectors(3, 5)
    recognizer = FaceRecognizer(gallery=enrolled(vectors[:, :2]))
    alone = recognizer.threshold
    strangers = people_vectors(400, 1)[:, 0] + 4 * vectors[0, 0]
    recognizer.calibrate(strangers / np.linalg.norm(strangers, axis=1, keepdims=True))
    assert recognizer.threshold < alone - 0.1
    recognizer.save(tmp_path / "people.facekit")
    # A face of the second person that only the threshold before lets pass.
    cosine = 1 - ((recognizer.threshold + alone) / 2) ** 2 / 2
    mean, other = vectors[1, :2].sum(axis=0), people_vectors(1, 1, seed=9)[0, 0]
    mean /= np.linalg.norm(mean)
    other -= (other @ mean) * mean
    face = cosine * mean + np.sqrt(1 - cosine**2) * other / np.linalg.norm(other)
    table = made_table(tmp_path / "t", [[face.astype(np.float32)]])
    found = identify_archive(table, tmp_path / "people.facekit").read_all()
    assert found["candidate"].to_pylist() == ["person 1"]
    assert recognizer.threshold < found["distance"][0].as_py() < alone
    assert found["name"].to_pylist() == [None]


def test_a_name_comes_once_an_image_if_it_is_asked(tmp_path: Path) -> None:
    vectors = people_vectors(3, 5)
    table = made_table(tmp_path / "t", [list(vectors[0]), [vectors[0][0], vectors[1][0]], []])
    classifier = IdentityClassifier("nearest", threshold=1.2)
    every = identify_archive(table, enrolled(vectors), classifier=classifier).read_all()
    assert every["name"].to_pylist() == ["person 0"] * 6 + ["person 1"]
    once = identify_archive(
        table, enrolled(vectors), classifier=classifier, once_an_image=True
    ).read_all()
    names, paths = once["name"].to_pylist(), once["path"].to_pylist()
    given = [(path, name) for path, name in zip(paths, names, strict=True) if name]
    assert len(set(given)) == len(given) == 3
    assert names[0] == "person 0"  # at distance 0, the nearest


def test_unsuitable_galleries_are_refused(tmp_path: Path) -> None:
    vectors = people_vectors(3, 2)
    table = made_table(tmp_path / "t", [[vectors[0][0]]])
    with pytest.raises(NotFittedError):
        identify_archive(table, Gallery(RECORD.identity, SIZE))
    with pytest.raises(InvalidArgumentError, match="other@1"):
        identify_archive(table, Gallery("other@1", SIZE))
    with pytest.raises(InvalidArgumentError, match="svm"):
        identify_archive(
            table, enrolled(vectors), classifier=IdentityClassifier(threshold=1.0), shard_size=2
        )
    for name, value in (("engine", "x"), ("shard_size", 0), ("once_an_image", 1)):
        with pytest.raises(InvalidArgumentError, match=name):
            identify_archive(table, enrolled(vectors), **{name: value})


def test_faces_with_problems_get_no_name(hopper: Path, tmp_path: Path) -> None:
    from facekit import Detector

    gate = QualityGate(min_interocular=500)
    index_archive([hopper], tmp_path / "t", quality=gate, detector=Detector())
    recognizer = FaceRecognizer().fit({"Grace": hopper})
    recognizer.save(tmp_path / "g.facekit")
    found = identify_archive(tmp_path / "t", tmp_path / "g.facekit").read_all().to_pylist()
    assert [(row["name"], row["candidate"]) for row in found] == [(None, "Grace")]
    assert found[0]["problems"].startswith("too small")


def test_a_table_from_before_a_measure_is_read_and_kept_up_to_date(
    hopper: Path, astronaut: Path, tmp_path: Path
) -> None:
    index_archive([hopper], tmp_path / "t")
    table = ArchiveTable(tmp_path / "t")
    (partition,) = table.partitions
    rows = pq.read_table(partition)
    # As written before: no face has the number, and the gate has no such limit.
    quality = [
        field
        for field in table.schema.field("faces").type.value_type.field("quality").type
        if field.name != "occlusion"
    ]
    face = [
        pa.field("quality", pa.struct(quality)) if field.name == "quality" else field
        for field in table.schema.field("faces").type.value_type
    ]
    faces = pa.list_(pa.field("element", pa.struct(face)))
    place = rows.schema.get_field_index("faces")
    pq.write_table(rows.cast(rows.schema.set(place, pa.field("faces", faces))), partition)
    manifest = pq.read_table(tmp_path / "t" / MANIFEST)
    metadata = {
        key: value.replace(b', "max_occlusion": null', b"")
        for key, value in manifest.schema.metadata.items()
    }
    assert metadata != manifest.schema.metadata
    pq.write_table(manifest.replace_schema_metadata(metadata), tmp_path / "t" / MANIFEST)

    index_archive([hopper, astronaut], tmp_path / "t")
    found = ArchiveTable(tmp_path / "t").dataset().to_table().to_pylist()
    measured = {Path(row["path"]).name: row["faces"][0]["quality"] for row in found}
    assert measured[hopper.name]["occlusion"] is None
    assert 0.0 <= measured[astronaut.name]["occlusion"] < 0.5


def corrected_table(folder: Path, vectors: Any) -> tuple[ArchiveTable, list[FaceSource]]:
    """Returns a table with an image of one face for each vector, and where the faces are."""
    table = made_table(folder, [[vector] for vector in vectors])
    found = []
    for partition in table.partitions:
        columns, _ = face_columns(rows := table.read(partition))
        found += face_sources(rows, columns).values()
    return table, found


@pytest.mark.parametrize("shard", [2, 1000])
def test_names_follow_corrections(shard: int, tmp_path: Path) -> None:
    vectors = people_vectors(3, 4)
    table, images = corrected_table(tmp_path / "t", vectors.reshape(-1, SIZE))
    classifier = IdentityClassifier("nearest", threshold=1.0)
    gallery = enrolled(vectors)

    def names() -> list[str | None]:
        found = identify_archive(table, gallery, classifier=classifier, shard_size=shard)
        answers = found.read_all().to_pylist()
        images_given = {"sources": images} if gallery.review.corrections else {}
        recognizer = FaceRecognizer(gallery=gallery, classifier=classifier)
        identified = recognizer.identify(vectors.reshape(-1, SIZE), **images_given)
        for answer, identity, image in zip(answers, identified, images, strict=True):
            if not gallery.decisions().of(image).excluded:
                assert (answer["name"], answer["candidate"]) == (identity.name, identity.candidate)
                assert answer["distance"] == pytest.approx(identity.distance, abs=1e-6)
        return [answer["name"] for answer in answers]

    first, second, third = list(dict.fromkeys(names()))
    assert names() == [first] * 4 + [second] * 4 + [third] * 4
    review = gallery.review
    review.reject(images[0], first)
    review.accept(images[1], second)
    review.exclude(images[4])
    assert names() == [None, second, first, first, None, *[second] * 3, *[third] * 4]
    for _ in range(3):
        review.undo()
    assert names() == [first] * 4 + [second] * 4 + [third] * 4


@needs_networkit
def test_groups_follow_corrections(tmp_path: Path) -> None:
    vectors = people_vectors(3, 4).reshape(-1, SIZE)
    table, images = corrected_table(tmp_path / "t", vectors)
    with Gallery.create(tmp_path / "g", RECORD.identity, SIZE) as gallery:
        gallery.review.link(images[0], images[4])
        gallery.review.separate(images[8], images[9])
        gallery.review.exclude(images[11], "ignore")
    groups = cluster_archive(table, gallery=tmp_path / "g")["person"].to_pylist()
    assert groups[:8] == [0] * 8
    assert groups[8] != groups[9]
    assert groups[11] is None
    assert cluster_archive(table, gallery=Gallery(RECORD.identity, SIZE)).equals(
        cluster_archive(table)
    )


@needs_networkit
@pytest.mark.parametrize("album", [None, "folder", "day"])
@pytest.mark.parametrize("shard", [11, 1000])
def test_people_are_found_and_no_two_faces_of_an_image_are_one(
    album: Any, shard: int, tmp_path: Path
) -> None:
    vectors = people_vectors(12, 9)
    images = [[vectors[p][n] for p in range(12)] for n in range(9)]
    images.append([vectors[0][0], vectors[0][1]])  # two of one person, as twins would be
    table = made_table(tmp_path / "t", images)
    found = cluster_archive(table, album=album, shard_size=shard)
    assert found.equals(cluster_archive(table, album=album, shard_size=shard))
    people, paths = found["person"].to_pylist(), found["path"].to_pylist()
    assert len(set(zip(people[:-1], paths[:-1], strict=True))) == len(people) - 1
    truth = [p for _ in range(9) for p in range(12)]
    pairs = set(zip(people[:108], truth, strict=True))
    assert len(pairs) == 12
    assert people[0] == 0  # the person with the most faces
    assert max(found["distance"].drop_null().to_pylist()) < 0.6


@needs_networkit
def test_small_groups_and_empty_tables_have_no_people(tmp_path: Path) -> None:
    empty = made_table(tmp_path / "empty", [[], []])
    assert len(cluster_archive(empty)) == 0
    vectors = people_vectors(3, 3)
    table = made_table(tmp_path / "t", [[v] for v in vectors[0]] + [[vectors[1][0]], []])
    assert cluster_archive(table)["person"].to_pylist() == [0, 0, 0, None]
    assert cluster_archive(table, min_faces=4)["person"].to_pylist() == [None] * 4
    assert cluster_archive(table, threshold=0.0)["person"].to_pylist() == [None] * 4
    for name, value in (("album", "x"), ("threshold", 3), ("min_faces", 0), ("shard_size", 1)):
        with pytest.raises(InvalidArgumentError, match=name):
            cluster_archive(table, **{name: value})


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 9)), max_size=30))
def test_apart_moves_only_what_must_move(faces: list[tuple[int, int, int]]) -> None:
    groups, images, seeds = (
        (np.array(column, np.int64) for column in zip(*faces, strict=True))
        if faces
        else (np.empty(0, np.int64),) * 3
    )
    vectors = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)[seeds]
    found = apart(vectors, groups, images)
    assert len(set(zip(found, images, strict=True))) == len(faces)
    for group in set(found):  # no new neighbors
        assert len(set(groups[found == group])) == 1
    for group in set(groups):  # as many groups as the image with the most faces needs, not more
        most = np.bincount(images[groups == group]).max()
        assert len(set(found[groups == group])) == most


@pytest.mark.parametrize("kind", ["table", "reader"])
def test_results_are_written_whole(kind: str, tmp_path: Path) -> None:
    table = pa.table({"path": ["a,b", 'c"d'], "name": ["Ada", None]})

    def given() -> Any:
        return table if kind == "table" else table.to_reader()

    assert write_results(given(), tmp_path / "r.parquet") == 2
    assert pq.read_table(tmp_path / "r.parquet").equals(table)
    assert write_results(given(), tmp_path / "r.csv") == 2
    assert pcsv.read_csv(tmp_path / "r.csv")["path"].to_pylist() == ["a,b", 'c"d']
    for bad in ("r.xlsx", "no/folder.csv"):
        with pytest.raises(InvalidArgumentError, match=bad.partition(".")[0]):
            write_results(given(), tmp_path / bad)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(FileFormatError, match=r"folder\.csv"):
        write_results(given(), tmp_path / "folder.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.csv", "r.csv", "r.parquet"]


def test_a_failure_on_the_way_leaves_no_file(tmp_path: Path) -> None:
    vectors = people_vectors(3, 2)
    table = made_table(tmp_path / "t", [[vectors[0][0]]] * 8)
    reader = identify_archive(table, enrolled(vectors))
    shutil.copy(table.path / "_manifest", table.partitions[1])
    with pytest.raises(FileFormatError, match="part-"):
        write_results(reader, tmp_path / "names.csv")
    assert not list(tmp_path.glob("*.csv"))
