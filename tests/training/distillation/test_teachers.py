"""Teachers: what they give, how several are joined, and how a student follows them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit import Embedder, InvalidArgumentError
from facekit.errors import TrainingDataError, WeightsError
from facekit.training import Distiller, FaceDataset, OnnxTeacher, StoredTeacher
from facekit.training.data.batches import ShuffledBatches, nearest_faces
from facekit.training.distillation.teachers import Teacher, as_teachers, joined, rotation_between
from facekit.utils.openvino import ops, ov
from tests.small_networks import SMALL_V2, random_pictures


def unit(seed: int, count: int = 40, size: int = 6) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(count, size))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def network_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that gives the means of the three channels, its batch size fixed at one."""
    given = ops.parameter([1, 3, 10, 10], np.float32)
    means = ops.reduce_mean(given, np.array([2, 3]), keep_dims=False)
    model = ov.Model([ops.reshape(means, np.array([1, -1]), special_zero=False)], [given])
    path = tmp_path_factory.mktemp("network") / "means.xml"
    ov.save_model(model, path)
    return path


def test_a_network_reads_any_number_of_faces_scaled_by_channel(network_file: Path) -> None:
    teacher = OnnxTeacher(network_file, input_mean=(0, 10, 20), input_scale=(1, 2, 4))
    faces = random_pictures(5, side=10)
    means = (faces.mean(axis=(1, 2)) - (0, 10, 20)) / (1, 2, 4)
    expected = means / np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(teacher.embed(faces), expected, atol=1e-5)
    assert (teacher.embedding_size, teacher.aligner().size) == (3, 10)
    assert isinstance(teacher, Teacher)
    mirrored = OnnxTeacher(network_file, mirrored=True)
    np.testing.assert_allclose(mirrored.embed(faces), mirrored.embed(faces[:, :, ::-1]), atol=1e-6)
    assert mirrored.identity != OnnxTeacher(network_file).identity


def test_a_file_that_is_no_network_is_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"no network")
    with pytest.raises(WeightsError, match=r"bad\.onnx: is not an ONNX face network"):
        OnnxTeacher(bad)


def test_stored_embeddings_are_found_by_key(tmp_path: Path) -> None:
    path, vectors = tmp_path / "stored.npz", unit(0, count=3)
    np.savez(path, names=np.array(["a", "b", "c"]), embeddings=2 * vectors)
    teacher = StoredTeacher.from_npz(path)
    faces = FaceDataset.from_arrays(random_pictures(2, side=10), [None] * 2, keys=["c", "a"])
    np.testing.assert_allclose(teacher.embed_faces(faces), vectors[[2, 0]], atol=1e-6)
    others = FaceDataset.from_arrays(random_pictures(2, side=10), [None] * 2, keys=["c", "d"])
    with pytest.raises(TrainingDataError, match="1 of 2 faces have no stored embedding, such as d"):
        teacher.embed_faces(others)


def test_stored_embeddings_must_be_as_many_as_their_keys(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="for 2 keys"):
        StoredTeacher(["a", "b"], unit(0, count=3))
    with pytest.raises(InvalidArgumentError, match="1 of them different"):
        StoredTeacher(["a", "a"], unit(0, count=2))
    (tmp_path / "no.npz").write_bytes(b"PK")
    with pytest.raises(TrainingDataError, match="holds no names and embeddings"):
        StoredTeacher.from_npz(tmp_path / "no.npz")


@given(st.integers(0, 100), st.floats(0.1, 3.0))
def test_joined_cosines_are_the_weighted_mean(seed: int, weight: float) -> None:
    one, other = unit(seed), unit(seed + 1, size=4)
    both = joined([one, other], [1.0, weight], 10)
    mean = (one @ one.T + weight**2 * other @ other.T) / (1 + weight**2)
    np.testing.assert_allclose(both @ both.T, mean, atol=1e-4)


def test_principal_components_keep_the_angles_that_they_can() -> None:
    flat = unit(2, count=50, size=3)
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))[0][:3]
    wide = (flat @ axes).astype(np.float32)
    reduced = joined([wide], [1.0], 3)
    np.testing.assert_allclose(reduced @ reduced.T, flat @ flat.T, atol=1e-4)
    assert joined([wide], [1.0], 8) is wide


def test_a_rotation_is_found_again() -> None:
    vectors, turn = unit(0), np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0]
    np.testing.assert_allclose(rotation_between(vectors, vectors @ turn), turn, atol=1e-5)


def grouped(vectors: np.ndarray, batch: int, size: int, of: int) -> list[np.ndarray]:
    faces = np.zeros((len(vectors), 4, 4, 3), dtype=np.uint8)
    faces[:, 0, 0, 0] = np.arange(len(vectors))
    data = FaceDataset.from_arrays(faces, [None] * len(vectors))
    batches = ShuffledBatches(data, batch_size=batch, group_size=size)
    batches.nearest = nearest_faces(vectors, of)
    return [images[:, 0, 0, 0] for images, _ in batches.read()]


@given(st.integers(2, 40), st.integers(1, 6), st.integers(2, 5))
def test_grouped_batches_hold_every_face(count: int, batch: int, size: int) -> None:
    assert set(np.concatenate(grouped(unit(3, count=count), batch, size, 4 * size))) == set(
        range(count)
    )


def test_faces_that_are_alike_come_together() -> None:
    vectors = np.repeat(unit(5, count=10), 4, axis=0) + 0.01 * unit(6, count=40)
    together = [len(set(rows // 4)) == 1 for rows in grouped(vectors, 4, 4, 3)]
    assert all(together)


@pytest.mark.check
def test_a_student_follows_several_teachers_in_its_own_axes(
    tmp_path: Path, network_file: Path
) -> None:
    faces = random_pictures(8, side=SMALL_V2.input_size)
    data = FaceDataset.from_arrays(faces, [None] * 8)
    with pytest.warns(UserWarning, match="random weights"):
        student = Embedder(weights=None, architecture=SMALL_V2)
    stored = StoredTeacher(data.keys, student.embed(faces))
    distiller = Distiller(
        student, teacher=[stored, OnnxTeacher(network_file)], teacher_weights=[1.0, 0.0],
        folder=tmp_path / "run", batch_size=8, neighbors=2, impostor_weight=1.0,
        augmentation=None, trainable="head", learning_rate=1e-9,
    )  # fmt: skip
    history = distiller.fit(data, epochs=1, progress=False)
    # The only teacher that counts is the student itself, turned to other axes and back.
    assert history[-1]["cosine_similarity"] == pytest.approx(1.0, abs=1e-3)
    again = Distiller(
        student, teacher=[stored, OnnxTeacher(network_file)], teacher_weights=[1.0, 0.0],
        folder=tmp_path / "run", batch_size=8, neighbors=2, impostor_weight=1.0,
        augmentation=None, trainable="head", learning_rate=1e-9,
    )  # fmt: skip
    again.fit(data, epochs=2, resume=True, progress=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"teacher": []}, "teacher must be an Embedder or a Teacher"),
        ({"teacher": "facenet"}, "teacher must be an Embedder or a Teacher"),
        ({"teacher_weights": [1.0, 1.0]}, "as many as teachers, 1, got 2"),
        ({"teacher_weights": [-1.0]}, "teacher_weights must be a number of at least 0"),
        ({"teacher_weights": [0.0]}, "one of teacher_weights must be positive"),
        ({"angle_weight": "1"}, "angle_weight.* must be a number"),
        ({"pruned": True}, "pruned needs an Embedder"),
        ({"neighbors": 0}, "neighbors must be"),
    ],
)
def test_what_cannot_be_followed_is_refused(
    tmp_path: Path, arguments: dict[str, object], message: str
) -> None:
    stored = StoredTeacher(["a"], np.ones((1, 64)))
    with pytest.raises(InvalidArgumentError, match=message):
        Distiller(SMALL_V2, folder=tmp_path, **{"teacher": stored, **arguments})


def test_one_teacher_is_a_list_of_one() -> None:
    stored = StoredTeacher(["a"], np.ones((1, 2)))
    assert as_teachers(stored) == as_teachers([stored]) == (stored,)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_stored_embeddings_have_a_direction(value: float) -> None:
    with pytest.raises(InvalidArgumentError, match="embeddings must"):
        StoredTeacher(["a", "b"], [[1.0, 2.0], [value, 0.0]])


@pytest.mark.parametrize("neighbors", [1, 2])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.full((8, 64), np.nan), "must hold finite numbers, row 0 does not"),
        (np.zeros((8, 64)), "must be of unit L2 norm, row 0 has 0"),
        (np.eye(7, 64), "must be 8, one a face, got 7"),
        (np.eye(8, 3), r"must be \(n, 64\), got \(8, 3\)"),
    ],
)
def test_embeddings_of_a_teacher_that_cannot_be_followed_are_named_and_not_kept(
    tmp_path: Path, given: np.ndarray, message: str, neighbors: int
) -> None:
    class Broken:
        identity, embedding_size = "broken@1", 64

        def aligner(self) -> None:
            return None

        def embed_faces(self, faces: FaceDataset, *, progress: bool = False) -> np.ndarray:
            return given

    data = FaceDataset.from_arrays(random_pictures(8, side=SMALL_V2.input_size), [None] * 8)
    distiller = Distiller(
        SMALL_V2, teacher=Broken(), folder=tmp_path, batch_size=8, neighbors=neighbors
    )
    with pytest.raises(InvalidArgumentError, match=f"of the teacher broken@1 {message}"):
        distiller.fit(data, epochs=1, progress=False)
    assert not list(tmp_path.glob("*.np*"))
