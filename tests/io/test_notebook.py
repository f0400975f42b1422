"""What a notebook shows of results."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
from PIL import Image

from facekit import FaceRecognizer
from facekit.io.notebook import rows_as_html


def pictures(html: str) -> list[Image.Image]:
    found = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', html)
    return [Image.open(io.BytesIO(base64.b64decode(data))) for data in found]


def test_faces_reports_and_galleries_show_pictures_with_names(hopper: Path) -> None:
    recognizer = FaceRecognizer("facekit-small").fit({"<b>Grace": hopper}, progress=False)
    (image,) = recognizer.recognize_stream([hopper])
    for shown in (
        image,
        recognizer.recognize(hopper),
        recognizer.report_,
        recognizer.gallery,
    ):
        html = shown._repr_html_()
        assert "&lt;b&gt;Grace" in html
        assert "<b>" not in html
        (picture,) = pictures(html)
        assert max(picture.size) == 96
    # The face alone, not the whole portrait, which the report shows.
    face, whole = (
        np.asarray(pictures(shown._repr_html_())[0].resize((64, 64)), dtype=float)
        for shown in (image, recognizer.report_)
    )
    assert np.abs(face - whole).mean() > 10


def test_what_cannot_be_read_is_a_caption_alone(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("no image")
    rows = [
        {"image": str(tmp_path / "a.jpg"), "name": None, "x": 0.0, "width": 1.0},
        {"image": "image 0", "error": 'bad" onerror="x'},
        {"image": "a\0b", "group": None},
        {"source": "", "person": "Ada", "status": "no face"},
    ]
    html = rows_as_html("title", rows)
    assert pictures(html) == []
    for caption in ("unknown", "bad&quot; onerror=&quot;x", "not grouped", "Ada: no face"):
        assert caption in html


def test_long_results_are_cut() -> None:
    html = rows_as_html("faces", [{"image": "", "name": f"p{number}"} for number in range(30)])
    assert "p23<" in html
    assert "p24<" not in html
    assert "and 6 more" in html
