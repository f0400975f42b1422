"""Names made to break out of what they are written into, through every output that has names."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest

from facekit import Face, FaceRecognizer, Keypoints, RecognizedFace
from facekit.cli import main
from facekit.cli.output import safe_output
from facekit.faces import Identity
from facekit.io.tables import write_table
from facekit.io.xmp import FaceRegion, read_regions, write_regions
from facekit.report import ImageOutcome, ImageReport, RecognizedImage
from facekit.video import draw_timeline, to_csv, to_vtt
from facekit.video.result import VideoResult
from facekit.video.tracks import Track
from facekit.visualization import Tile, contact_sheet, draw_faces, plot_faces, save_image
from facekit.visualization.files import file_name

# Names that people may have.
NAMES = (
    "<script>alert(1)</script>",
    "'\"><img src=x onerror=alert(1)>",
    "00:01 --> 00:09 <c.red>",
    '=cmd|"/c calc"!A0',
    "@SUM(1+1)*cmd",
    "a,b;c\"d'e",
    "]]></mwg-rs:Name>&amp;",
    "[red]bold[red] {0} %s $\\frac{1}{2}$",
    "../../etc/passwd",
    "-rf",
)
# Names of files and of faces that a program makes; no person may be called so. The module csv of
# Python 3.10 neither reads nor writes a NUL.
FOREIGN = (
    *NAMES,
    "caf\udce9.jpg",
    "a\nb.jpg: 2 faces\r\n\x1b[2J\x1b]0;title\x07\x9b\u2028\u202egpj.exe"
    + "\x00" * (sys.version_info >= (3, 11)),
)

FACE = Face(
    (20.0, 20.0, 40.0, 40.0), 0.9, Keypoints((30, 30), (50, 30), (40, 40), (32, 50), (48, 50))
)
IMAGE = np.full((80, 120, 3), 90, np.uint8)


def recognized(name: str) -> RecognizedFace:
    return RecognizedFace(FACE, name, name, 0.5, 0.9, 0.99)


def video(name: str) -> VideoResult:
    """Returns a video with one person who appears once."""
    seen = np.arange(3)
    track = Track(
        id=1,
        frames=seen,
        times=seen / 10,
        boxes=np.tile(np.float32(FACE.box), (3, 1)),
        goodness=np.ones(3, np.float32),
        pieces=np.zeros(3, np.int64),
        images=3,
        mean=None,
        worth=3.0,
        best=None,  # type: ignore[arg-type]
        identity=Identity(name, name, 0.5, 0.9, 0.99),
        ended=True,
    )
    return VideoResult(name, (track,), size=(80, 120), duration=1.0, frames=10)


class Tags(HTMLParser):
    """The tags and attributes of a text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {tag, *(name for name, _ in attrs)}


def html_of_notebooks(name: str, _: Path) -> None:
    image = RecognizedImage(name, 0, (recognized(name),))
    report = ImageReport((ImageOutcome(name, name, "enrolled"),))
    for result in (image, report, video(name)):
        html = result._repr_html_()
        assert Tags(html).found <= {"div", "p", "figure", "style", "figcaption", "title"}, html
        assert "\x1b" not in html


def subtitles(name: str, _: Path) -> None:
    lines = to_vtt(video(name)).splitlines()
    assert [bool(re.search("-->", line)) for line in lines] == [False, False, True, False]
    assert lines[3].isprintable()
    assert "<" not in lines[3]


def table_of_a_video(name: str, _: Path) -> None:
    (row,) = csv.DictReader(io.StringIO(to_csv(video(name)), newline=""))
    assert row["name"].isprintable() or "\u202e" in row["name"]
    assert (row["track"], row["name"] == name) == ("1", name in NAMES)


def table_of_faces(name: str, folder: Path) -> None:
    found = [RecognizedImage(name, 0, (recognized(name),))]
    assert write_table(found, folder / "a.csv") == 1
    with (folder / "a.csv").open(newline="", errors="surrogateescape") as stream:
        (row,) = csv.DictReader(stream)
    # It leads back to the file and to the person.
    assert (row["image"], row["name"], row["face"]) == (name, name, "0")
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    assert write_table(found, folder / "a.parquet") == 1
    read = parquet.read_table(folder / "a.parquet")["image"].to_pylist()
    assert read == [name.replace("\udce9", r"\xe9")]


def table_of_an_archive(name: str, folder: Path) -> None:
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from facekit.archive import write_results

    if not name.isascii() and name.startswith("caf"):
        return  # its path is no UTF-8, and is not indexed
    table = arrow.table({"path": [name, "b.jpg"], "name": [name, None]})
    for file in ("a.csv", "a.parquet"):
        assert write_results(table, folder / file) == 2
    with (folder / "a.csv").open(newline="", encoding="utf-8") as stream:
        first, second = csv.DictReader(stream)
    assert (first, second["path"]) == ({"path": name, "name": name}, "b.jpg")
    assert arrow.parquet.read_table(folder / "a.parquet").equals(table)


def sidecars(name: str, folder: Path) -> None:
    if name not in NAMES:
        return  # refused, which tests/io/test_xmp.py shows
    save_image(folder / "a.png", IMAGE)
    write_regions(folder / "a.png", [FaceRegion(FACE.box, name)])
    (region,) = read_regions(folder / "a.png")
    assert region.name == name


def pictures(name: str, folder: Path) -> None:
    drawn = draw_faces(IMAGE, [recognized(name)])
    assert drawn.shape == IMAGE.shape
    assert (drawn != IMAGE).any()
    assert contact_sheet([Tile(IMAGE, name)], title=name).ndim == 3
    assert draw_timeline(video(name)).shape[1] == 1000
    plot_faces(IMAGE, [recognized(name)]).figure.savefig(folder / "a.svg")
    assert "script" not in Tags((folder / "a.svg").read_text()).found


def names_of_files(name: str, folder: Path) -> None:
    made = file_name(name, ".png")
    save_image(folder / made, IMAGE)
    assert [path.name for path in folder.iterdir()] == [made]
    assert made.isprintable()


def lines_of_a_terminal(name: str, _: Path) -> None:
    kept = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", kept)
        with safe_output():
            print(f"{name}: no faces")
    kept.seek(0)
    (line,) = kept.read().splitlines()
    assert line.isprintable()


def pages(name: str, folder: Path) -> None:
    if name not in NAMES:
        return  # tests/utils/test_validation.py shows that no person is called so
    pytest.importorskip("starlette", reason="starlette is not installed")
    from colored_people import embedding_of, picture
    from web_pages import Page, recognizer_of

    for number, color in enumerate(("Red", "Green")):
        image = folder / "album" / file_name(name, f"{number}.png")
        save_image(image, picture({color: (20, 30)}))
    recognizer = recognizer_of(None)
    recognizer.gallery.enroll(name, embedding_of("Red")[None], [name])
    page = Page(recognizer, folder / "album").open()
    page.groups()
    asked = quote(name, safe="")
    for path in ("/", "/people", f"/person?name={asked}", "/suggestions", "/group/0"):
        text = page.get(path)
        assert not {"script", "onerror", "c.red"} & Tags(text).found, path
    assert page.client.get("/api/people").json() == {"people": {name: 1}}
    assert "2 photos" in page.post("/name", group=page.key(1), name=name) + page.get("/people")


OUTPUTS: tuple[Callable[[str, Path], None], ...] = (
    html_of_notebooks,
    subtitles,
    table_of_a_video,
    table_of_faces,
    table_of_an_archive,
    sidecars,
    pictures,
    names_of_files,
    lines_of_a_terminal,
    pages,
)


@pytest.mark.parametrize("output", OUTPUTS, ids=lambda output: output.__name__)
def test_a_name_stays_a_name(output: Callable[[str, Path], None], tmp_path: Path) -> None:
    for number, name in enumerate(FOREIGN):
        folder = tmp_path / str(number)
        folder.mkdir()
        output(name, folder)


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="this system has no pseudo-terminals")
def test_errors_under_a_progress_bar_steer_no_terminal(tmp_path: Path) -> None:
    names = [re.sub(r"[/.\0]", "", name) for name in FOREIGN]
    for name in names:
        (tmp_path / f"{name}.png").write_bytes(b"no image")
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "facekit", "detect", tmp_path],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "250"},
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # the other end is closed
        while part := os.read(ours, 10_000):
            shown += part
    os.close(ours)
    assert process.wait() == 2
    assert b"Photos" in shown
    assert shown.count(b"facekit: ") == len(names) + 1
    # Rich steers the terminal, but neither clears it nor gives it a title.
    for sequence in (b"\x1b[2J", b"\x1b]0;", b"\xc2\x9b", "\u202e".encode()):
        assert sequence not in shown
    assert b"[red]bold[red] {0} %s" in shown


def test_commands_print_names_as_they_are(
    tmp_path: Path, hopper: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, gallery = NAMES[0], tmp_path / "people.facekit"
    image = tmp_path / '=cmd|"calc"!A0\n\x1b[2J.jpg'
    shutil.copy(hopper, image)
    FaceRecognizer().fit({name: hopper}, progress=False).save(gallery)
    recognize = ["recognize", str(gallery), str(image)]

    def printed(*arguments: str) -> str:
        assert main([*map(str, arguments)]) == 0
        out = capsys.readouterr().out
        assert all(line.isprintable() for line in out.splitlines())
        return out

    assert name in printed("people", str(gallery))
    assert f": 1 face\n  {name}" in printed(*recognize)
    found = json.loads(printed(*recognize, "--json"))
    assert (found["image"], found["faces"][0]["name"]) == (str(image), name)
    _, line = printed(*recognize, "--csv").splitlines()
    (row,) = csv.reader([line])
    assert name in row
    printed(*recognize, "--xmp", "--output", str(tmp_path / "named"))
    (region,) = read_regions(image)
    assert region.name == name
