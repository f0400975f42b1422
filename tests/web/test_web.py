"""The page: people are named, merged, split, discarded, and all of that is undone."""

from __future__ import annotations

import io
import re
from base64 import b64decode
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("starlette", reason="starlette is not installed")
from colored_people import COLORS, picture
from web_pages import ORIGIN, Page, recognizer_of

from facekit import FaceRecognizer
from facekit.visualization.files import save_image


@pytest.fixture
def page(tmp_path: Path) -> Page:
    for count, name in zip((4, 3, 2), COLORS, strict=False):
        for number in range(count):
            image = picture({name: (20 + 10 * number, 30)})
            save_image(tmp_path / "album" / f"{name}-{number}.png", image)
    return Page(recognizer_of(tmp_path / "people.facekit"), tmp_path / "album").open()


def test_pages_wait_for_the_groups(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page.album, "is_grouped", lambda _: False)
    for path in ("/", "/suggestions", "/group/0"):
        answer = page.client.get(path)
        assert (answer.status_code, answer.headers["refresh"]) == (503, "5")
        assert "<h1>One moment</h1>" in answer.text
    assert "No one is enrolled" in page.get("/people")
    monkeypatch.undo()
    assert page.groups() == [4, 3, 2]


def test_groups_are_named_and_that_is_undone(page: Page) -> None:
    assert page.groups() == [4, 3, 2]
    text = page.get("/")
    assert "9 faces in 3 groups" in text
    assert page.client.get(re.findall(r'src="(/face/\d+)"', text)[0]).content[:2] == b"\xff\xd8"
    first = page.group(0)[0]
    assert "Undo naming 4 faces Ada" in page.post("/name", group=page.key(first), name="Ada")
    assert page.groups() == [3, 2]
    assert page.recognizer.people == {"Ada": 4}
    assert 'value="Ada"' in page.get("/")  # the list of names
    page.undo()
    assert page.groups() == [4, 3, 2]
    assert page.recognizer.people == {}


def test_undoing_a_name_leaves_what_was_said_before(page: Page) -> None:
    page.post("/merge", group=page.key(page.group(0)[0], page.group(1)[0]))
    page.post("/name", group=page.key(page.group(0)[0]), name="Ada")
    assert page.groups() == [2]
    page.undo()
    assert page.groups() == [7, 2]
    page.undo()
    assert page.groups() == [4, 3, 2]
    assert len(page.recognizer.gallery.review) == 0


def test_groups_are_merged_split_and_discarded(page: Page) -> None:
    page.post("/merge", group=page.key(page.group(0)[0], page.group(1)[0]))
    assert page.groups() == [7, 2]
    page.undo()
    whole = page.group(0)
    page.post("/split", group=page.key(whole[0]), face=whole[1:3])
    assert page.groups() == [3, 2, 2, 2]
    assert sorted(whole[1:3]) in [sorted(group) for group in (page.group(n) for n in range(4))]
    page.post("/discard", group=page.key(page.group(0)[0]), whole=1, kind="ignore")
    assert page.groups() == [2, 2, 2]
    page.post("/discard", face=page.group(0)[0], kind="not_a_face")
    assert page.groups() == [2, 2, 1]
    for _ in range(3):
        page.undo()
    assert page.groups() == [4, 3, 2]
    assert len(page.recognizer.gallery.review) == 0
    answer = page.client.post("/undo", headers=ORIGIN)
    assert (answer.status_code, "nothing to undo" in answer.text) == (400, True)
    twice = {"group": page.key(whole[0], whole[0])}
    answer = page.client.post("/merge", data=twice, headers=ORIGIN)  # type: ignore[arg-type]
    assert (answer.status_code, "at least two groups" in answer.text) == (400, True)


def stale(page: Page, path: str, **form: object) -> str:
    """Returns the answer to a form of a page that was opened before something changed."""
    answer = page.client.post(path, data=form, headers=ORIGIN)  # type: ignore[arg-type]
    assert answer.status_code == 409
    assert 'role="alert"' in answer.text
    return answer.text


@pytest.mark.parametrize("meanwhile", ["named", "merged", "split", "discarded", "linked"])
@pytest.mark.parametrize("form", ["name", "answer", "discard", "split", "merge"])
def test_a_group_that_has_changed_since_it_was_shown_is_left(
    page: Page, form: str, meanwhile: str
) -> None:
    page.recognizer.gallery.enroll("Ada", page.album.vectors[:1], ["elsewhere.png"])
    faces, other, third = (page.group(number) for number in range(3))
    (shown,) = page.key(faces[0])
    keys = page.key(other[0])
    review = page.recognizer.gallery.review
    if meanwhile == "named":
        page.post("/name", group=shown, name="Ada")
    elif meanwhile == "merged":
        page.post("/merge", group=page.key(faces[0], third[0]))
    elif meanwhile == "split":
        page.post("/split", group=shown, face=faces[1])
    elif meanwhile == "discarded":
        page.post("/discard", face=faces[1], kind="ignore")
    else:  # by a program or another process
        review.link(page.album.sources[faces[0]], page.album.sources[third[0]])
    before = page.recognizer.people, review.corrections, page.step()
    fields: dict[str, object] = {
        "name": {"name": "Grace"},
        "answer": {"name": "Ada", "said": "is_not"},
        "discard": {"whole": 1, "kind": "ignore"},
        "split": {"face": faces[0]},
        "merge": {"group": [shown, *keys]},
    }[form]
    text = stale(page, f"/{form}", **{"group": shown, **fields})
    assert "has changed since the page was opened" in text
    assert (page.recognizer.people, review.corrections, page.step()) == before


def test_faces_that_were_named_since_they_were_shown_are_not_discarded(page: Page) -> None:
    faces = page.group(0)
    page.post("/split", group=page.key(faces[0]), face=faces[:2])
    page.recognizer.gallery.enroll(  # by a program or another process
        "Ada", page.album.vectors[faces[:1]], [page.album.sources[faces[0]]]
    )
    before = page.recognizer.gallery.review.corrections
    text = stale(page, "/discard", face=faces[0], kind="ignore")
    assert "1 of 1 faces were left as they are" in text
    assert page.recognizer.gallery.review.corrections == before
    assert "1 of 3 faces were left" in stale(page, "/discard", face=faces[:3], kind="ignore")
    discarded = page.recognizer.gallery.review.corrections[len(before) :]
    assert [one.face for one in discarded] == [page.album.sources[face] for face in faces[1:3]]
    assert "2 of 2 faces were left" in stale(page, "/discard", face=faces[1:3], kind="not_a_face")
    page.undo()
    assert page.recognizer.gallery.review.corrections == before


def test_an_undo_is_of_the_step_that_the_page_shows(page: Page) -> None:
    page.post("/name", group=page.key(page.group(0)[0]), name="Ada")
    shown = page.step()
    page.post("/name", group=page.key(page.group(0)[0]), name="Grace")
    assert "nothing was undone" in stale(page, "/undo", step=shown)
    assert page.recognizer.people == {"Ada": 4, "Grace": 3}
    page.undo()
    page.post("/undo", step=shown)
    assert page.recognizer.people == {}


def test_each_correction_is_listed_and_undone(page: Page, tmp_path: Path) -> None:
    images, review = page.album.sources, page.recognizer.gallery.review
    page.post("/merge", group=page.key(page.group(0)[0], page.group(1)[0]))
    page.post("/discard", face=page.group(1)[0], kind="ignore")
    page.post("/discard", face=page.group(0)[0], kind="not_a_face")
    page.recognizer.gallery.enroll("Ada", page.album.vectors[:1], ["elsewhere.png"])
    review.accept(images[0], "Ada")  # by a program
    review.reject(images[1], "Ada")
    review.separate(images[0], images[2])
    review.once_per_image()
    before = review.corrections
    page = Page(page.recognizer, tmp_path / "album").open()  # the page was started again
    text = page.get("/corrections")
    assert "7 corrections in the gallery" in text
    assert [str(one) in text for one in before] == [True] * 7
    for number in re.findall(r'name="number" value="(\d+)"', text):
        assert int(number) == review.corrections[-1].number  # the latest first
        page.post("/retract", number=number)
    assert review.corrections == ()
    assert page.client.post("/retract", data={"number": 1}, headers=ORIGIN).status_code == 400


def test_a_step_of_which_a_correction_was_undone_undoes_the_rest(page: Page) -> None:
    page.post("/discard", group=page.key(page.group(0)[0]), whole=1, kind="ignore")
    assert page.groups() == [3, 2]
    first = page.recognizer.gallery.review.corrections[0].number
    assert "Undo discarding 4 faces" in page.post("/retract", number=first)
    assert page.groups() == [3, 2, 1]
    page.undo()
    assert page.groups() == [4, 3, 2]
    page.post("/discard", face=page.group(2)[0], kind="ignore")
    (last,) = page.recognizer.gallery.review.corrections
    assert "Undo discarding" not in page.post("/retract", number=last.number)


def test_suggestions_are_answered(page: Page) -> None:
    page.post("/name", group=page.key(page.group(0)[0]), name="Ada")
    assert "Is this <b>Ada</b>?" in page.get("/suggestions")
    asked = page.group(0)[0]
    page.post("/answer", group=page.key(asked), name="Ada", said="is_not")
    assert page.get("/suggestions").count("Is this <b>Ada</b>?") == 1
    page.post("/answer", group=page.key(page.group(1)[0]), name="Ada", said="is")
    assert page.recognizer.people == {"Ada": 6}
    page.undo()
    assert page.recognizer.people == {"Ada": 4}


def test_suggestions_come_likely_first_or_doubtful_first(page: Page) -> None:
    page.post("/name", group=page.key(page.group(0)[0]), name="Ada")

    def distances(path: str) -> list[float]:
        return [float(one) for one in re.findall(r"Distance ([\d.]+)", page.get(path))]

    likely, doubtful = distances("/suggestions"), distances("/suggestions?order=doubt")
    assert len(likely) == 2
    assert likely == sorted(likely)
    far = [abs(distance - 0.8) for distance in doubtful]  # from the threshold
    assert far == sorted(far)
    fields = {"name": "Ada", "order": "doubt"}
    for path, field in (("/answer", {"said": "is_not"}), ("/discard", {"kind": "not_a_face"})):
        asked = page.group(0)[0]
        text = page.post(path, face=asked, group=page.key(asked), **fields, **field)
        assert "The most doubtful come first." in text  # the same page is open
    assert "The most likely come first." in page.get("/suggestions")


def test_a_person_is_corrected_and_erased(page: Page) -> None:
    page.post("/merge", group=page.key(page.group(0)[0], page.group(2)[0]))
    page.post("/name", group=page.key(page.group(0)[0]), name="Ada")
    assert "Ada</a>: 6 photos" in page.get("/people")
    text = page.get("/person?name=Ada")
    images = re.findall(r'src="(/image/[^"]+)"', text)
    assert len(images) == 6
    assert page.client.get(images[0]).headers["content-type"] == "image/jpeg"
    page.post("/remove", name="Ada", image=images[0].partition("?")[2])
    assert page.recognizer.people == {"Ada": 5}
    assert page.groups() == [3, 1]
    refused = page.client.post("/erase", data={"name": "Ada", "again": "ada"}, headers=ORIGIN)
    assert refused.status_code == 400
    page.post("/erase", name="Ada", again="Ada")
    assert page.recognizer.people == {}
    assert "Ada" not in page.get("/")
    path = page.recognizer.gallery.path
    assert path is not None
    assert b"Ada" not in b"".join(one.read_bytes() for one in path.parent.glob("people*"))


def test_a_page_from_before_a_compaction_removes_no_other_photo(page: Page) -> None:
    page.post("/name", group=page.key(page.group(2)[0]), name="Grace")
    page.post("/name", group=page.key(page.group(0)[0]), name="Ada")
    gallery = page.recognizer.gallery
    before = page.get("/person?name=Ada")
    gallery.remove("Grace")
    gallery.compact()  # the photos have other numbers
    sources, numbers = gallery.sources, {image.id for image in gallery.images()}
    shown = re.findall(r'name="image" value="(.*?)"', before)
    stale = [key for key in shown if int(key.partition("-")[0]) in numbers]
    assert stale, "other photos of the person have these numbers"
    refused = page.client.post("/remove", data={"name": "Ada", "image": stale}, headers=ORIGIN)
    assert refused.status_code == 400
    assert gallery.sources == sources
    addresses = [
        re.findall(r'src="(/image/.*?)"', text) for text in (before, page.get("/person?name=Ada"))
    ]
    assert not set(addresses[0]) & set(addresses[1]), "a browser keeps the faces for a while"


def test_an_undo_touches_nothing_else(page: Page) -> None:
    page.post("/name", group=page.key(page.group(2)[0]), name="Grace")
    page.post("/name", group=page.key(page.group(0)[0]), name="Ada")
    page.recognizer.gallery.remove("Grace")
    page.recognizer.gallery.compact()  # the photos have other numbers
    page.recognizer.gallery.review.once_per_image()
    page.undo()
    assert page.recognizer.people == {}
    assert len(page.recognizer.gallery.review) == 1


def test_an_image_is_tried_and_explained(page: Page, tmp_path: Path) -> None:
    page.post("/name", group=page.key(page.group(0)[0]), name="Ada")
    data = (tmp_path / "album" / "Red-0.png").read_bytes()
    answer = page.client.post("/try", files={"image": ("x.png", data)}, headers=ORIGIN)
    assert "<h2>Ada</h2>" in answer.text
    assert "at distance 0.00; a name is given up to 0.80" in answer.text
    image = picture({"Red": (20, 30), "Blue": (100, 40)})
    save_image(tmp_path / "two.png", image)
    data = (tmp_path / "two.png").read_bytes()
    text = page.client.post("/try", files={"image": ("x.png", data)}, headers=ORIGIN).text
    sections = re.findall(
        r'base64,([^"]+)" alt="Face (\d) of 2".*?<h2>(\w+)</h2>', text, flags=re.DOTALL
    )
    assert [number for _, number, _ in sections] == ["1", "2"]
    for face, _, name in sections:  # each answer stands beside its face
        with Image.open(io.BytesIO(b64decode(face))) as cut:
            red, _, blue = cut.convert("RGB").getpixel((cut.width // 2, cut.height // 2))
        assert (red > blue) == (name == "Ada")
    assert {name for _, _, name in sections} == {"Ada", "unknown"}
    broken = page.client.post("/try", files={"image": ("x.png", b"no")}, headers=ORIGIN)
    assert (broken.status_code, "alert" in broken.text) == (400, True)


def test_the_other_pages(page: Page) -> None:
    page.post("/name", group=page.key(page.group(0)[0]), name="Ada")
    assert "within 0.800 of the enrolled person" in page.get("/calibration")
    assert "0 faces." in page.get("/refused")
    assert "/api/recognize" in page.get("/api")
    assert page.client.get("/nothing").status_code == 404
    assert page.client.get("/face/999").status_code == 404
    assert page.client.get("/calibration?page=1e9").status_code == 200
    for text in (page.get("/"), page.get("/person?name=Ada"), page.get("/suggestions")):
        assert "<script" not in text
        assert not re.search(r'(?:src|href|action)="(?:https?:)?//', text)
        images = re.findall(r"<img [^>]*>", text)
        assert images
        assert all('alt="' in image for image in images)
        labeled = re.sub(r"<label[^>]*>.*?</label>", "", text, flags=re.DOTALL)
        assert set(re.findall(r'<input type="(\w+)"', labeled)) <= {"hidden"}


def test_the_calibration_has_its_curve(tmp_path: Path, hopper: Path) -> None:
    recognizer = FaceRecognizer()
    recognizer.enroll("Grace", hopper)
    page = Page(recognizer, None).open()
    assert "<polyline points=" in page.get("/calibration")


def test_programs_ask_in_json(page: Page, tmp_path: Path) -> None:
    client, key = page.client, {"authorization": f"Bearer {page.access.key}"}
    client.cookies.clear()
    data = (tmp_path / "album" / "Red-0.png").read_bytes()
    enrolled = client.post("/api/enroll?name=Ada", content=data, headers=key)
    assert enrolled.json() == {"name": "Ada", "enrolled": 1}
    assert client.get("/api/people", headers=key).json() == {"people": {"Ada": 1}}
    found = client.post("/api/recognize", content=data, headers=key).json()
    assert [face["name"] for face in found["faces"]] == ["Ada"]
    wrong = client.post("/api/recognize", content=b"no image", headers=key)
    assert (wrong.status_code, list(wrong.json())) == (400, ["error"])
    described = client.get("/api/openapi.json", headers=key).json()
    for path, methods in described["paths"].items():
        for method in methods:
            assert client.request(method, path, headers=key).status_code != 404


def test_a_table_of_faces_is_an_album(tmp_path: Path, hopper: Path, astronaut: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from facekit.archive import index_archive

    index_archive([hopper, astronaut], tmp_path / "faces.parquet", progress=False)
    page = Page(FaceRecognizer(), tmp_path / "faces.parquet").open()
    assert page.groups() == [1, 1]
    assert page.client.get("/face/0").content[:2] == b"\xff\xd8"
    page.post("/name", group=page.key(0), name="Grace")
    assert page.groups() == [1]


def test_a_wrong_folder_leaves_no_gallery_behind(tmp_path: Path) -> None:
    from facekit.cli import main

    gallery = tmp_path / "people.facekit"
    assert main(["web", "--gallery", str(gallery), str(tmp_path / "nowhere")]) == 2
    assert list(tmp_path.iterdir()) == []


def test_an_image_that_was_replaced_shows_no_other_face(page: Page, tmp_path: Path) -> None:
    face = page.group(0)[0]
    path = Path(page.album.sources[face].source)
    save_image(path, picture({"Blue": (20, 30)}))
    answer = page.client.get(f"/face/{face}")
    assert (answer.status_code, "has changed since" in answer.text) == (400, True)


def test_copies_of_an_image_are_grouped_and_not_split(page: Page, tmp_path: Path) -> None:
    first = Path(page.album.sources[page.group(0)[0]].source)
    (tmp_path / "album" / "copy.png").write_bytes(first.read_bytes())
    page = Page(page.recognizer, tmp_path / "album").open()
    assert page.groups() == [5, 3, 2]
    names = [Path(source.source).name for source in page.album.sources]
    twins = [names.index("copy.png"), names.index(first.name)]
    others = [face for face in page.group(0) if face not in twins]
    page.post("/split", group=page.key(twins[0]), face=others)
    fields = {"group": page.key(twins[0]), "face": twins[0]}
    answer = page.client.post("/split", data=fields, headers=ORIGIN)
    assert (answer.status_code, "the same face of the same image" in answer.text) == (400, True)
    page.post("/name", group=page.key(twins[0]), name="Ada")
    assert page.groups() == [3, 3, 2]
