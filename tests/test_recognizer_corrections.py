"""What somebody said about faces counts in names, groups and calibration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from colored_people import COLORS, ColorDetector, ColorEmbedder, Places, embedding_of, picture

from facekit import Aligner, FaceRecognizer, IdentityClassifier, InvalidArgumentError
from facekit.gallery.records import FaceSource
from facekit.suggestions import suggest
from facekit.visualization.files import save_image

STRATEGIES = ("nearest", "centroid", "svm")
BOTH: Places = {"Red": (10, 10), "Green": (90, 40)}


@pytest.fixture(params=STRATEGIES)
def recognizer(request: pytest.FixtureRequest, tmp_path: Path) -> FaceRecognizer:
    made = FaceRecognizer(
        detector=ColorDetector(),
        embedder=ColorEmbedder(),
        aligner=Aligner(16),
        quality=None,
        naming_quality=None,
        classifier=IdentityClassifier(request.param, threshold=0.8),
        gallery=tmp_path / "people.facekit",
    )
    for name in ("Red", "Green"):
        made.enroll(name, photo(tmp_path / f"{name}.png", {name: (40, 30)}))
    return made


def photo(path: Path, places: Places) -> Path:
    """Draws a photo of colored people; the file tells it from all others."""
    image = picture(places)
    image[-1, -1] = np.frombuffer(path.name.encode().ljust(3)[:3], np.uint8)
    save_image(path, image)
    return path


def labels(recognizer: FaceRecognizer, path: Path) -> list[str]:
    return sorted(face.label for face in recognizer.recognize(path))


def faces(recognizer: FaceRecognizer, path: Path) -> dict[str, FaceSource]:
    """Returns the faces of a photo by the person that they look like."""
    (image,) = recognizer.faces([path])
    return {
        min(COLORS, key=lambda name: float(np.linalg.norm(embedding_of(name) - face.unit))): (
            face.to_source(image.sha256)
        )
        for face in image.faces
    }


def test_a_face_that_is_not_a_person_is_not_named_so_again(
    recognizer: FaceRecognizer, tmp_path: Path
) -> None:
    path = photo(tmp_path / "both.png", BOTH)
    assert labels(recognizer, path) == ["Green", "Red"]
    number = recognizer.gallery.review.reject(faces(recognizer, path)["Red"], "Red")
    assert labels(recognizer, path) == ["Green", "unknown"]
    moved = tmp_path / "moved.png"
    moved.write_bytes(path.read_bytes())
    assert labels(recognizer, moved) == ["Green", "unknown"]
    assert labels(recognizer, photo(tmp_path / "another.png", BOTH)) == ["Green", "Red"]
    why = {one.candidate for one in recognizer.explain(path)}
    assert why == {"Green"}
    (again,) = recognizer.recognize_batch([path])
    assert sorted(face.label for face in again) == ["Green", "unknown"]
    recognizer.gallery.review.undo(number)
    assert labels(recognizer, path) == ["Green", "Red"]


def test_nobody_is_left_for_a_face(recognizer: FaceRecognizer, tmp_path: Path) -> None:
    path = photo(tmp_path / "one.png", {"Red": (30, 30)})
    own = faces(recognizer, path)["Red"]
    for name in ("Red", "Green"):
        recognizer.gallery.review.reject(own, name)
    (face,) = recognizer.recognize(path)
    assert (face.name, face.probability) == (None, 0.0)
    assert suggest(recognizer, [own], embedding_of("Red")[None]) == []


def test_a_face_that_was_accepted_has_the_name(recognizer: FaceRecognizer, tmp_path: Path) -> None:
    path = photo(tmp_path / "stranger.png", {"Blue": (30, 30)})
    assert labels(recognizer, path) == ["unknown"]
    recognizer.gallery.review.accept(faces(recognizer, path)["Blue"], "Green")
    (face,) = recognizer.recognize(path)
    assert (face.name, face.candidate, face.probability) == ("Green", "Green", 1.0)
    assert face.distance > face.threshold
    (why,) = recognizer.explain(path)
    assert (why.name, why.distance) == ("Green", face.distance)
    row = embedding_of("Blue")[None]
    (decided,) = recognizer.identify(row, sources=[faces(recognizer, path)["Blue"]])
    assert decided.name == "Green"
    (plain,) = recognizer.identify(row)
    assert plain.name is None
    with pytest.raises(InvalidArgumentError, match="sources must be one for each"):
        recognizer.identify(row, sources=[])


def test_a_face_that_is_left_out_is_in_no_answer(
    recognizer: FaceRecognizer, tmp_path: Path
) -> None:
    path = photo(tmp_path / "both.png", BOTH)
    own = faces(recognizer, path)
    recognizer.gallery.review.exclude(own["Red"])
    assert labels(recognizer, path) == ["Green"]
    assert len(recognizer.explain(path)) == 1
    recognizer.gallery.review.exclude(own["Green"], "ignore")
    assert recognizer.recognize(path) == []


def test_a_name_is_given_once_per_image(recognizer: FaceRecognizer, tmp_path: Path) -> None:
    path = photo(tmp_path / "twins.png", {"Red": (10, 10), "Blue": (100, 50)})
    own = faces(recognizer, path)
    recognizer.gallery.review.accept(own["Blue"], "Red")
    assert labels(recognizer, path) == ["Red", "Red"]
    number = recognizer.gallery.review.once_per_image()
    found = {face.face.box[0]: face.name for face in recognizer.recognize(path)}
    # The one that was accepted, though the other is nearer.
    assert [found[own[name].box[0]] for name in ("Red", "Blue")] == [None, "Red"]  # type: ignore[index]
    explained = {why.box[0]: why.name for why in recognizer.explain(path) if why.box}
    assert explained == found
    recognizer.gallery.review.undo(number)
    assert labels(recognizer, path) == ["Red", "Red"]


def test_an_enrolled_image_that_is_no_face_names_nobody(
    recognizer: FaceRecognizer, tmp_path: Path
) -> None:
    path = photo(tmp_path / "blue.png", {"Blue": (30, 30)})
    recognizer.enroll("Red", path)
    assert labels(recognizer, path) == ["Red"] or recognizer.classifier.strategy == "centroid"
    own = recognizer.gallery.images("Red")[1]
    for correct in (
        lambda: recognizer.gallery.review.exclude(own),
        lambda: recognizer.gallery.review.reject(own, "Red"),
        lambda: recognizer.gallery.review.accept(own, "Green"),
    ):
        number = correct()
        again = photo(tmp_path / "blue again.png", {"Blue": (50, 30)})
        assert labels(recognizer, again) == ["unknown"]
        assert recognizer.gallery.people == {"Green": 1, "Red": 2}
        recognizer.gallery.review.undo(number)


def test_corrections_outlive_the_process(recognizer: FaceRecognizer, tmp_path: Path) -> None:
    path = photo(tmp_path / "both.png", BOTH)
    recognizer.gallery.review.reject(faces(recognizer, path)["Red"], "Red")
    recognizer.save(tmp_path / "saved.facekit")
    loaded = FaceRecognizer.load(
        tmp_path / "saved.facekit", detector=ColorDetector(), embedder=ColorEmbedder()
    )
    assert labels(loaded, path) == ["Green", "unknown"]


def test_corrections_change_groups(recognizer: FaceRecognizer, tmp_path: Path) -> None:
    folder = tmp_path / "album"
    paths = [photo(folder / f"{n}.png", {"Red": (10 + n, 10)}) for n in range(3)]
    blue = photo(folder / "blue.png", {"Blue": (50, 20)})

    def groups() -> list[list[str]]:
        found = recognizer.cluster(folder, min_faces=1, progress=False)
        return sorted(sorted(Path(name).stem for name in group.sources) for group in found.groups)

    assert groups() == [["0", "1", "2"], ["blue"]]
    review = recognizer.gallery.review
    one = {path.stem: next(iter(faces(recognizer, path).values())) for path in [*paths, blue]}
    review.separate(one["0"], one["2"])
    assert ["0", "1", "2"] not in groups()
    review.link(one["0"], one["blue"])
    assert any({"0", "blue"} <= set(group) and "2" not in group for group in groups())
    review.exclude(one["blue"])
    assert not any("blue" in group for group in groups())
    for _ in range(3):
        review.undo()
    review.accept(one["0"], "Red")
    review.accept(one["1"], "Green")
    assert not any({"0", "1"} <= set(group) for group in groups())


def test_faces_that_nobody_decided_about_are_suggested_by_their_doubt(
    recognizer: FaceRecognizer, tmp_path: Path
) -> None:
    paths = [photo(tmp_path / f"{n}.png", {name: (30, 30)}) for n, name in enumerate(COLORS)]
    found = [next(iter(faces(recognizer, path).values())) for path in paths]
    rows = np.stack([embedding_of(name) for name in COLORS])
    suggestions = suggest(recognizer, found, rows)
    assert [one.doubt for one in suggestions] == sorted(
        (s.doubt for s in suggestions), reverse=True
    )
    assert {one.place for one in suggestions} == {0, 1, 2, 3}
    recognizer.gallery.review.accept(suggestions[0].face, suggestions[0].person)
    recognizer.gallery.review.reject(suggestions[1].face, suggestions[1].person)
    left = suggest(recognizer, found, rows)
    assert suggestions[0].place not in {one.place for one in left}
    (asked,) = (one for one in left if one.place == suggestions[1].place)
    assert asked.person != suggestions[1].person


def test_calibration_leaves_out_what_is_no_face(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    recognizer = FaceRecognizer("facekit-small")
    rows = rng.normal(size=(60, 128))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    people = [f"person {n // 3}" for n in range(60)]
    # The last photos are no faces: all alike, whoever they are enrolled as.
    rows[2::3] = rows[2]
    places = [FaceSource(f"{n}.jpg", f"{n:064x}", (0, 0, 50, 50)) for n in range(60)]
    recognizer.gallery.extend(people, rows.astype(np.float32), places)
    before = recognizer.calibration
    for place in places[2::3]:
        recognizer.gallery.review.exclude(place)
    after = recognizer.calibration
    clean = FaceRecognizer("facekit-small")
    kept = [n for n in range(60) if n % 3 != 2]
    clean.gallery.extend(
        [people[n] for n in kept], rows[kept].astype(np.float32), [places[n] for n in kept]
    )
    assert after == clean.calibration
    assert after != before
