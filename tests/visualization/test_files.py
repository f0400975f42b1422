"""Laws of writing images: whole or not at all, never over a foreign file, under any name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from facekit import ImageError, load_image
from facekit.utils.terminal import printable
from facekit.visualization import save_image
from facekit.visualization.files import check_replaceable, file_name

BLACK = np.zeros((4, 6, 3), np.uint8)


@given(st.text(st.characters(codec=None), max_size=300), st.sampled_from(["", ".png", "-2.png"]))
def test_a_name_is_short_and_without_a_separator(text: str, suffix: str) -> None:
    name = file_name(text, suffix)
    assert 0 < len(name.removesuffix(suffix).encode()) <= 100
    assert Path(name).name == name
    assert printable(name) == name
    assert not set(name) & set('\\/:*?"<>|')
    assert not name.startswith(".") or name == suffix


@given(st.text("abcdefXYZ0189 -_äé林", min_size=1, max_size=20).map(str.strip).filter(bool))
def test_an_ordinary_name_stays(text: str) -> None:
    assert file_name(text, ".png") == f"{text}.png"


def test_only_our_own_files_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    save_image(path, BLACK, replace=False)
    save_image(path, BLACK + 9, replace=False)
    assert load_image(path)[0, 0].tolist() == [9, 9, 9]
    Image.new("RGB", (3, 3)).save(path)
    with pytest.raises(ImageError, match="move it away, or write somewhere else"):
        save_image(path, BLACK, replace=False)
    assert load_image(path).shape == (3, 3, 3)
    save_image(path, BLACK)
    assert load_image(path).shape == (4, 6, 3)


@pytest.mark.parametrize("kind", ["folder", "text", "broken link", "empty"])
def test_anything_else_is_not_replaced(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.png"
    if kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("Software facekit")
    elif kind == "empty":
        path.touch()
    else:
        path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ImageError, match="already exists"):
        check_replaceable(path)


def test_a_failure_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.png"
    save_image(path, BLACK)
    before = path.read_bytes()

    def fail(image: Image.Image, target: Path, **_: object) -> None:
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(ImageError, match="No space left"):
        save_image(path, BLACK)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
