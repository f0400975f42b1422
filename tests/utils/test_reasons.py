"""The reason of an error is never empty, wherever the system gives it no words."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from facekit import FacekitError, Gallery, load_image
from facekit.io.folders import list_images
from facekit.io.people import people_images
from facekit.utils.reasons import why


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(), "OSError"),
        (PermissionError(), "PermissionError"),
        (OSError("the socket is gone"), "the socket is gone"),
        (FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "secret/path"), "No such file"),
        (ValueError(), "ValueError"),
        (ValueError("embedded null byte"), "embedded null byte"),
    ],
)
def test_a_reason_is_never_empty_and_repeats_no_path(error: Exception, words: str) -> None:
    assert why(error).startswith(words)
    assert "secret" not in why(error)


@pytest.mark.parametrize(
    ("broken", "call"),
    [
        ("pathlib.Path.iterdir", people_images),
        ("os.scandir", list_images),
        ("pathlib.Path.is_file", Gallery.open),
        ("os.open", lambda folder: Gallery.create(folder / "people", "example@1", 2)),
        ("os.open", lambda folder: load_image(folder / "a.jpg")),
    ],
)
def test_an_error_of_the_system_without_words_is_named_by_its_class(
    broken: str, call: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")

    def fails(*_: Any, **__: Any) -> Any:
        raise OSError

    monkeypatch.setattr(broken, fails)
    with pytest.raises(FacekitError, match=r"\(OSError\)"):
        call(tmp_path)
