"""A browser without JavaScript, for the page of ``facekit web``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="starlette is not installed")
from colored_people import ColorDetector, ColorEmbedder
from starlette.testclient import TestClient

from facekit import Aligner, FaceRecognizer, IdentityClassifier
from facekit.web import Access, create_app
from facekit.web.album import Album

ADDRESS = "http://127.0.0.1:8350"
ORIGIN = {"origin": ADDRESS}


class Page:
    """A browser without JavaScript."""

    def __init__(self, recognizer: FaceRecognizer, folder: Path | None) -> None:
        self.recognizer = recognizer
        self.album = Album.open(folder, recognizer)
        self.access = Access(hosts=("127.0.0.1:8350", "localhost:8350"))
        app = create_app(recognizer, self.album, access=self.access)
        self.client = TestClient(app, base_url=ADDRESS, raise_server_exceptions=False)  # type: ignore[arg-type]

    def open(self) -> Page:
        answer = self.client.get("/login", params={"token": self.access.key})
        assert answer.status_code == 200
        return self

    def get(self, path: str) -> str:
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    def post(self, path: str, **form: object) -> str:
        answer = self.client.post(path, data=form, headers=ORIGIN)  # type: ignore[arg-type]
        assert answer.status_code == 200, answer.text
        return answer.text

    def undo(self) -> str:
        return self.post("/undo", step=self.step())

    def step(self) -> str:
        """Returns what the button for undoing says of the latest step."""
        found = re.search(r'name="step" value="(\d+)"', self.get("/people"))
        return found[1] if found else ""

    def key(self, *faces: int) -> list[str]:
        """Returns what the forms say of the groups of these faces."""
        pages = [self.get(f"/group/{face}") for face in faces]
        return [re.findall(r'name="group" value="(.*?)"', page)[0] for page in pages]

    def groups(self) -> list[int]:
        """Returns the sizes of the groups, and opens the first page."""
        self.get("/")
        return [len(group) for group in self.album.groups(self.recognizer.gallery)]

    def group(self, number: int) -> list[int]:
        return self.album.groups(self.recognizer.gallery)[number]


def recognizer_of(path: Path | None) -> FaceRecognizer:
    return FaceRecognizer(
        detector=ColorDetector(),
        embedder=ColorEmbedder(),
        aligner=Aligner(16),
        quality=None,
        naming_quality=None,
        classifier=IdentityClassifier("nearest", threshold=0.8),
        gallery=path,
    )
