"""The images of an archive are listed with one look at each."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from facekit.archive.sources import listed


def test_a_listed_file_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [tmp_path / name for name in ("a.png", "b.png", "missing.png")]
    for file in files[:2]:
        file.write_bytes(b"12")
    looks: Counter[str] = Counter()
    stat = os.stat

    def counted(path: str | os.PathLike[str], **options: bool) -> os.stat_result:
        looks[os.fspath(path)] += 1
        return stat(path, **options)

    with monkeypatch.context() as watched:
        watched.setattr(os, "stat", counted)
        found = listed(files).files
    assert [looks[str(file)] for file in files] == [1, 1, 1]
    assert found["bytes"].to_pylist() == [2, 2, None]
