"""Uploads while the disk is full: run as a script, with a small disk of its own.

python full_disk.py DISK
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from colored_people import COLORS, picture
from PIL import Image
from web_pages import ORIGIN, Page, recognizer_of

from facekit import Gallery
from facekit.visualization.files import save_image


def fill(path: Path) -> None:
    """Fills the disk with a file."""
    with pytest.raises(OSError, match="No space left"):
        path.write_bytes(bytes(2**20))


def large_image() -> bytes:
    """Returns a photo larger than what a server keeps of a form in memory."""
    noise = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
    face = picture({"Blue": (20, 30)})
    noise[: len(face), : face.shape[1]] = face
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "PNG")
    assert len(stream.getvalue()) > 2**20
    return stream.getvalue()


def refused(answer: Any, status: int, words: str) -> None:
    """Checks that an answer says what is wrong."""
    assert (answer.status_code, words in answer.text) == (status, True), answer.text


def main(disk: Path) -> None:
    """Uploads to a page whose gallery and temporary files are on the disk."""
    tempfile.tempdir = str(disk)
    gallery, filling, album = disk / "people.facekit", disk / "filling", disk / "album"
    for name in COLORS:
        save_image(album / f"{name}.png", picture({name: (20, 30)}))
    page = Page(recognizer_of(gallery), album).open()
    page.groups()
    page.post("/name", group=page.key(0), name="Ada")
    group, step = page.key(1), page.step()
    before = sorted(disk.rglob("*"))
    small, large = (album / "Green.png").read_bytes(), large_image()
    post, key = page.client.post, {"authorization": f"Bearer {page.access.key}"}
    fill(filling)
    full = "the disk is full"
    # To name a photo needs no disk.
    answer = post("/try", files={"image": ("x.png", large)}, headers=ORIGIN)
    refused(answer, 200, "<h2>Ada</h2>")
    answer = post("/api/recognize", content=large, headers=key)
    refused(answer, 200, '"name":"Ada"')
    answer = post("/api/enroll?name=Grace", content=small, headers=key)
    refused(answer, 500, full)
    assert list(answer.json()) == ["error"]
    refused(post("/name", data={"group": group, "name": "Grace"}, headers=ORIGIN), 500, full)
    refused(post("/undo", data={"step": step}, headers=ORIGIN), 500, full)
    # Nothing is lost or half there, and the server lives on.
    assert page.recognizer.people == Gallery.open(gallery).people == {"Ada": 1}
    assert "Ada</a>: 1 photo" in page.get("/people")
    filling.unlink()
    assert sorted(disk.rglob("*")) == before
    page.undo()
    assert page.recognizer.people == {}
    answer = post("/api/enroll?name=Grace", content=small, headers=key)
    assert answer.json() == {"name": "Grace", "enrolled": 1}
    page.recognizer.gallery.check()
    assert Gallery.open(gallery).people == {"Grace": 1}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
