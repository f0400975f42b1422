"""Laws of listing a folder: every entry is an image, or passed over with a reason, or hidden."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit import ImageError, InvalidArgumentError
from facekit.io import decoding, folders
from facekit.io.folders import ImageListing, check_output_folder, list_images


def reasons(listing: ImageListing) -> dict[str, str]:
    return {item.path.name: item.reason for item in listing.passed_over}


@pytest.fixture
def without_heic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "has_heic", lambda: False)


def test_images_are_sorted_and_hidden_files_are_left_out(tmp_path: Path) -> None:
    for name in ["b.JPG", "a.png", ".hidden.png", "d.webp"]:
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    listing = list_images(tmp_path)
    assert [path.name for path in listing.images] == ["a.png", "b.JPG", "d.webp"]
    assert listing.passed_over == ()
    assert listing.summary() == ""


def test_folders_inside_folders_come_after_the_files(tmp_path: Path) -> None:
    for name in ("1999/d.png", "1999/summer/b.jpg", "c.jpg", "blurred.png", ".hidden/h.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    listed = [
        path.relative_to(tmp_path).as_posix()
        for path in list_images(tmp_path, recursive=True).images
    ]
    assert listed == ["blurred.png", "c.jpg", "1999/d.png", "1999/summer/b.jpg"]


@given(st.sets(st.sampled_from([f"{n}{s}" for n in "ab." for s in [".jpg", ".txt", ".heic", ""]])))
def test_every_visible_file_is_listed_once(
    tmp_path_factory: pytest.TempPathFactory, names: set[str]
) -> None:
    folder = tmp_path_factory.mktemp("folder")
    for name in names:
        (folder / f"x{name}").touch()
    listing = list_images(folder)
    found = [path.name for path in listing.images]
    found += [item.path.name for item in listing.passed_over]
    assert sorted(found) == sorted(f"x{name}" for name in names)


def test_what_is_passed_over_is_counted_and_named(tmp_path: Path, without_heic: None) -> None:
    for name in ["a.jpg", "1.heic", "2.HEIC", "notes.txt"]:
        (tmp_path / name).touch()
    summary = list_images(tmp_path).summary()
    assert "3 passed over" in summary
    assert "2 HEIC, which needs the extra: pip install 'facekit-recognition[heic]'" in summary
    assert "(1.heic, 2.HEIC)" in summary
    assert "1 not an image, by its name (notes.txt)" in summary


def test_a_folder_of_heic_files_says_so(tmp_path: Path, without_heic: None) -> None:
    (tmp_path / "1.heic").touch()
    with pytest.raises(ImageError, match=r"1 HEIC, which needs the extra.*\(1\.heic\)"):
        list_images(tmp_path).checked()


def test_heic_files_are_images_with_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "has_heic", lambda: True)
    (tmp_path / "1.HEIC").touch()
    assert [path.name for path in list_images(tmp_path).checked().images] == ["1.HEIC"]


def test_a_missing_or_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="nowhere: no such folder"):
        list_images(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(ImageError, match="file: is a file"):
        list_images(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="empty: the folder holds no images"):
        list_images(tmp_path / "empty").checked()


def test_a_folder_that_cannot_be_read_is_reported_and_the_rest_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/1.jpg", "b/2.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    scandir = os.scandir

    def refuse(path: Path) -> object:  # root may read everything, so permissions cannot test this
        if Path(path).name == "a":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(folders.os, "scandir", refuse)
    listing = list_images(tmp_path, recursive=True)
    assert [path.name for path in listing.images] == ["2.jpg"]
    assert reasons(listing) == {"a": "an unreadable folder"}
    with pytest.raises(ImageError, match=r"a: the folder cannot be read \(Permission denied\)"):
        list_images(tmp_path / "a")


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege")
def test_links_to_files_are_followed_and_links_to_folders_are_not(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.jpg").touch()
    (tmp_path / "link.jpg").symlink_to(tmp_path / "real" / "a.jpg")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "nowhere.jpg").symlink_to(tmp_path / "gone.jpg")
    listing = list_images(tmp_path, recursive=True)
    assert [path.name for path in listing.images] == ["link.jpg", "a.jpg"]
    assert reasons(listing) == {
        "loop": "a link to a folder",
        "nowhere.jpg": "a broken link",
    }


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX")
def test_what_is_not_a_regular_file_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    os.mkfifo("f.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.jpg")
        listing = list_images(tmp_path)
    assert reasons(listing) == dict.fromkeys(("f.jpg", "s.jpg"), "not a regular file")


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes")
def test_a_name_that_is_not_utf8_is_listed_and_can_be_opened(tmp_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg"))).write_bytes(b"x")
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt"))).touch()
    listing = list_images(tmp_path)
    (image,) = listing.images
    assert image.read_bytes() == b"x"
    assert r"caf\xe9.txt" in listing.summary()


def test_where_an_output_may_be(tmp_path: Path) -> None:
    album = tmp_path / "album"
    (album / "2024").mkdir(parents=True)
    check_output_folder(album / "annotated", [album])
    check_output_folder(tmp_path / "out", [album], deep=True)
    for output, inputs, deep in (
        (album, [album], False),
        (album, [album / "a.jpg"], False),
        (album / "2024" / ".." / "groups", [album], True),
        (album, [album], True),
    ):
        with pytest.raises(InvalidArgumentError, match="use a new folder"):
            check_output_folder(output, inputs, deep=deep)


def test_what_cannot_be_an_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for output in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(InvalidArgumentError, match="is not a folder, nor can it be one"):
            check_output_folder(output, [])
    with pytest.raises(InvalidArgumentError, match="holds a NUL"):
        check_output_folder("a\0b", [])
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(InvalidArgumentError, match=f"{tmp_path} is read-only"):
        check_output_folder(tmp_path / "new" / "out", [])
