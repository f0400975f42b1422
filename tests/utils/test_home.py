"""The folder for what is downloaded or cached."""

from __future__ import annotations

from pathlib import Path

import pooch
import pytest

from facekit.io.downloads import weights_folders
from facekit.utils.home import home


def test_home_is_the_folder_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FACEKIT_HOME", str(tmp_path))
    assert home() == tmp_path


def test_a_tilde_that_no_shell_expanded_is_the_users_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("FACEKIT_HOME", "FACEKIT_DATA"):
        monkeypatch.setenv(name, "~/facekit")
    assert home() == tmp_path / "facekit"
    assert weights_folders("a") == [tmp_path / "facekit" / "weights" / "a"] * 2


def test_home_is_the_cache_folder_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEKIT_HOME", "")
    assert home() == Path(pooch.os_cache("facekit"))
