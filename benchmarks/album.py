"""Measures the page of ``facekit web``: an afternoon's album, and an album of very many faces.

    facekit index lfw lfw.parquet
    python benchmarks/album.py --table lfw.parquet
    python benchmarks/album.py --faces 100000

starts ``facekit web`` on a table of faces, and asks for its pages over HTTP as a browser does.

With ``--table``, the folders of the photos are the people's names; of each photo, the face nearest
to the middle is that person. A person who knows the names is simulated: of the twenty largest
groups each stray face is ticked and split off, and the rest gets its name. Then the suggestions are
answered from the top, until ten answers in a row are no; once in the order of the page, the most
likely first, and in an album of its own with the most doubtful first. Counted are clicks and keys,
by which the keystroke-level model gives the time: 1.3 s a click, 0.28 s a key and 1.35 s for each
group or question that is looked at. The work without suggestions is what it takes to find all faces
of these people on the pages of groups, and to write their names.

``--faces`` makes a table of random faces, twenty a person, each in a photo of 12 million pixels,
and measures the start, the pages, and the largest memory of the server.

References:
    S. Card, T. Moran and A. Newell, "The Keystroke-Level Model for User Performance Time with
    Interactive Systems", 1980.
"""

from __future__ import annotations

import argparse
import html
import http.cookiejar
import math
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from results import add_record, record_if_asked

from facekit import FaceRecognizer
from facekit.archive.rows import ImageRow, table_of
from facekit.archive.table import ArchiveTable
from facekit.clustering.groups import linking_threshold
from facekit.faces import Face, Keypoints
from facekit.pipeline import EmbeddedFace, EmbeddedImage
from facekit.web.album import Album

GROUPS_NAMED = 20
NOES = 10
CLICK, KEY, LOOK = 1.3, 0.28, 1.35


class Site:
    """A running ``facekit web``, as a browser without scripts asks for it."""

    def __init__(self, table: Path, gallery: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        command = [sys.executable, "-m", "facekit", "web", str(table), "--gallery", str(gallery)]
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [*command, "--port", str(port)], stdout=subprocess.PIPE, text=True
        )
        login = self.process.stdout.readline().strip()
        self.start = time.perf_counter() - began
        self.origin = login.partition("/login")[0]
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(jar)
        self.requests, self.seconds, self.slowest = 0, 0.0, 0.0
        while True:
            try:
                self.get(login.removeprefix(self.origin))
                break
            except urllib.error.HTTPError as error:
                if error.code != 503:
                    raise
                error.close()
                time.sleep(1)
                login = self.origin + "/"
        self.grouped = time.perf_counter() - began
        self.requests, self.seconds, self.slowest = 0, 0.0, 0.0

    def get(self, path: str, fields: dict[str, Any] | None = None) -> str:
        """Returns a page; with fields, that to which a form leads."""
        data = None if fields is None else urllib.parse.urlencode(fields, doseq=True).encode()
        request = urllib.request.Request(self.origin + path, data, {"Origin": self.origin})
        began = time.perf_counter()
        with self._opener.open(request, timeout=600) as answer:
            content = answer.read()
        taken = time.perf_counter() - began
        self.requests += 1
        self.seconds += taken
        self.slowest = max(self.slowest, taken)
        return content.decode("utf-8", "replace")

    def memory(self) -> float:
        """Returns the most memory that the server has taken, in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return int(re.search(r"VmHWM:\s*(\d+)", status)[1]) / 1024

    def close(self) -> None:
        """Ends the server."""
        self.process.terminate()
        self.process.wait()


@dataclass
class Effort:
    """What a person does."""

    clicks: int = 0
    keys: int = 0
    looks: int = 0

    def write(self, name: str) -> None:
        """Counts a click into a field, a name, and the enter key."""
        self.clicks += 1
        self.keys += len(name) + 1

    @property
    def minutes(self) -> float:
        """The time that it takes."""
        return (CLICK * self.clicks + KEY * self.keys + LOOK * self.looks) / 60

    def row(self) -> dict[str, float]:
        """Returns the figures by name."""
        return {"clicks": self.clicks, "keys": self.keys, "minutes": self.minutes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, help="what facekit index wrote")
    parser.add_argument("--faces", type=int, metavar="NUMBER", help="of random faces")
    add_record(parser)
    options = parser.parse_args()
    recognizer = FaceRecognizer()
    weights = recognizer.embedder.record
    with tempfile.TemporaryDirectory() as folder:
        if options.table is not None:
            album = Album.open(options.table, recognizer)
            results = _afternoon(options.table, Path(folder), album)
            record_if_asked(options, weights.name, results, weights.identity)
        if options.faces is not None:
            table = Path(folder) / "random.parquet"
            _random_table(table, options.faces, weights, recognizer.embedder.embedding_size)
            results = _pages(Site(table, Path(folder) / "people.facekit"))
            name = f"{options.faces} faces"
            record_if_asked(options, name, {"faces": options.faces, **results}, weights.identity)


# An afternoon's album.


def _afternoon(table: Path, folder: Path, album: Album) -> dict[str, Any]:
    truth = _people(album)
    site = Site(table, folder / "likely.facekit")
    naming, named, sizes, split = _name_groups(site, truth)
    pairs = zip(truth, album.problems, strict=True)
    wanted = sum(person in named and not problem for person, problem in pairs)
    found = sum(named.values())
    alone, elsewhere = _without_suggestions(site, truth, named)
    likely, joined, yes = _answer(site, truth, "likely")
    server = {
        "requests": site.requests,
        "seconds": site.seconds,
        "slowest": site.slowest,
        "memory": site.memory(),
    }
    site.close()
    site = Site(table, folder / "doubt.facekit")
    _name_groups(site, truth)
    doubt, joined_in_doubt, yes_in_doubt = _answer(site, truth, "doubt")
    site.close()
    result = {
        "groups": {"named": GROUPS_NAMED, "largest": sizes[0], "smallest": sizes[-1]},
        "faces": {
            "in the album": len(truth),
            "of these people": wanted,
            "split off": split,
            "left": wanted - found - joined,
        },
        "work": {
            "naming the groups": {**naming.row(), "faces": found},
            "answering suggestions, the most likely first": {**likely.row(), "faces": joined},
            "answering suggestions, the most doubtful first": {
                **doubt.row(),
                "faces": joined_in_doubt,
            },
            "instead, looking through all groups": {**alone.row(), "faces": elsewhere},
        },
        "suggestions": {
            "yes": yes,
            "no": likely.clicks - yes,
            "yes in doubt": yes_in_doubt,
            "no in doubt": doubt.clicks - yes_in_doubt,
        },
        "server": server,
    }
    _print(result)
    return result


def _name_groups(site: Site, truth: list[str]) -> tuple[Effort, Counter[str], list[int], int]:
    """Returns the work, the faces named by person, the sizes of the groups, and the strays."""
    naming, named = Effort(), Counter()
    split, sizes = 0, []
    for _ in range(GROUPS_NAMED):
        number, size, guess = next(_sections(site.get("/")))
        shown = site.get(f"/group/{number}")
        group = _faces(shown)
        naming.looks += 1
        naming.clicks += size > 12  # the first page shows that many
        person, _ = Counter(truth[face] for face in group).most_common(1)[0]
        strays = [face for face in group if truth[face] != person]
        sizes.append(size)
        if strays:
            naming.clicks += (size <= 12) + len(strays) + 1
            split += len(strays)
            shown = site.get("/split", {"group": _key(shown), "face": strays})
            guess = None
        if guess == person:
            naming.clicks += 1
        else:
            naming.write(person)
        site.get("/name", {"group": _key(shown), "name": person})
        named[person] += len(group) - len(strays)
    return naming, named, sizes, split


def _answer(site: Site, truth: list[str], order: str) -> tuple[Effort, int, int]:
    """Returns the work of answering suggestions, the faces that got a name, and how often yes."""
    asking, joined, yes, noes = Effort(), 0, 0, 0
    shown = site.get(f"/suggestions?order={order}")
    while noes < NOES and (asked := _questions(shown)):
        face, name = asked[0]
        same = truth[face] == name
        asking.clicks += 1
        asking.looks += 1
        yes += same
        noes = 0 if same else noes + 1
        if same:
            joined += len(_faces(site.get(f"/group/{face}")))
        said = "is" if same else "is_not"
        fields = {"group": _key(shown), "name": name, "order": order, "said": said}
        shown = site.get("/answer", fields)
    return asking, joined, yes


def _without_suggestions(site: Site, truth: list[str], named: Counter[str]) -> tuple[Effort, int]:
    """Returns what it takes to find and name the other groups of these people."""
    effort, faces, last = Effort(), 0, 0
    text = site.get("/")
    pages = int(re.search(r"Page 1 of (\d+)", text)[1])
    for page in range(pages):
        for number, size, _ in _sections(site.get(f"/?page={page}")):
            effort.looks += 1
            if truth[number] in named:
                effort.write(truth[number])
                faces += size
                last = page
    effort.clicks += last  # "Next"
    return effort, faces


def _people(album: Album) -> list[str]:
    """Returns who each face is: the folder's name, or a name of its own for a bystander."""
    middle: dict[str | None, tuple[float, int]] = {}
    for face, photo in enumerate(album.sources):
        with Image.open(photo.source) as image:
            size = image.size
        x, y, width, height = photo.box
        far = math.hypot(x + width / 2 - size[0] / 2, y + height / 2 - size[1] / 2)
        middle[photo.source] = min(middle.get(photo.source, (math.inf, -1)), (far, face))
    return [
        Path(photo.source).parent.name.replace("_", " ")
        if middle[photo.source][1] == face
        else f"bystander {face}"
        for face, photo in enumerate(album.sources)
    ]


def _sections(page: str) -> Iterator[tuple[int, int, str | None]]:
    """Yields for each group its first face, its size, and the name that its field holds."""
    for section in re.findall(r"<section.*?</section>", page, re.DOTALL):
        number, size = re.search(r'href="/group/(\d+)">(\d+) face', section).groups()
        guess = re.search(r'<input name="name"[^>]*value="([^"]*)"', section)
        yield int(number), int(size), html.unescape(guess[1]) if guess else None


def _faces(page: str) -> list[int]:
    return list(map(int, re.findall(r'src="/face/(\d+)"', page)))


def _key(page: str) -> str:
    """Returns what a form says of the first group of a page."""
    return re.search(r'name="group" value="(.*?)"', page)[1]


def _questions(page: str) -> list[tuple[int, str]]:
    found = re.findall(
        r'name="face" value="(\d+)">.*?<input type="hidden" name="name" value="(.*?)"', page
    )
    return [(int(face), html.unescape(name)) for face, name in found]


# Very many faces.


def _random_table(path: Path, count: int, record: Any, size: int) -> None:
    random = np.random.default_rng(0)
    people = -(-count // 20)
    centers = random.normal(size=(people, size)).astype(np.float32)
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    # Of one person's faces two lie 0.4 to 0.75 of the threshold apart.
    threshold = linking_threshold(record, count)
    photo = path.with_name("photo.jpg")
    Image.effect_noise((4000, 3000), 40).convert("RGB").save(photo)
    table = ArchiveTable.create(
        path, {"weights": record.identity, "embedding": "float16", "embedding_size": size}
    )
    points = Keypoints((1840, 1340), (2080, 1340), (1960, 1460), (1860, 1580), (2060, 1580))
    face = Face(box=(1720, 1100, 480, 640), confidence=0.99, keypoints=points)
    for start in range(0, count, 20_000):
        number = min(20_000, count - start)
        noise = random.normal(size=(number, size)).astype(np.float32)
        noise /= np.linalg.norm(noise, axis=1, keepdims=True)
        far = random.uniform(0.28, 0.53, (number, 1)).astype(np.float32) * threshold
        vectors = centers[random.integers(0, people, number)] + far * noise
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        rows = []
        for row, vector in enumerate(vectors, start=start):
            faces = (EmbeddedFace(str(photo), face, None, vector),)
            image = EmbeddedImage(str(photo), row, faces, 1, (3000, 4000), f"{row:064x}")
            rows.append(ImageRow(image, str(photo), 1, None, None, None))
        table.commit(f"part-{start:08}.parquet", table_of(rows, table.schema, record.identity))
    table.finish()


def _pages(site: Site) -> dict[str, Any]:
    first, second, third = (group for group, _, _ in islice(_sections(site.get("/")), 3))
    shown = site.get(f"/group/{first}")
    faces = _faces(shown)
    pages: dict[str, dict[str, float]] = {}

    def take(what: str, path: str, fields: dict[str, Any] | None = None) -> None:
        began = site.seconds
        site.get(path, fields)
        pages[what] = {"seconds": site.seconds - began}

    take("groups", "/?page=7")
    take("a group", f"/group/{first}")
    take("a face", f"/face/{faces[0]}")
    take("split", "/split", {"group": _key(shown), "face": faces[:3]})
    keys = [_key(site.get(f"/group/{face}")) for face in (faces[5], second, third)]
    take("merge", "/merge", {"group": keys[:2]})
    take("discard", "/discard", {"group": keys[2], "whole": 1, "kind": "ignore"})
    for number in range(GROUPS_NAMED):
        take("name", "/name", {"group": _key(site.get("/")), "name": f"Person {number}"})
    step = re.search(r'name="step" value="(\d+)"', site.get("/people"))[1]
    take("undo", "/undo", {"step": step})
    take("suggestions", "/suggestions")
    take("people", "/people")
    take("a person", "/person?name=Person+3")
    take("calibration", "/calibration")
    result = {"start": site.start, "grouped": site.grouped, "pages": pages}
    result["memory"] = site.memory()
    site.close()
    _print(result)
    return result


def _print(result: dict[str, Any], before: str = "") -> None:
    for name, value in result.items():
        if isinstance(value, dict):
            _print(value, f"{before}{name}: ")
        else:
            print(f"{before}{name}: {value:,.3f}".removesuffix(".000"))


if __name__ == "__main__":
    main()
