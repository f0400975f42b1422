"""Downloads from a server that breaks off, lies or refuses, and by two processes at once."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from local_server import send, serving

from facekit.embedding import Architecture
from facekit.embedding.weights.registry import WeightsFile, WeightsRecord
from facekit.embedding.weights.retrieval import fetch, locate
from facekit.errors import WeightsNotFoundError
from facekit.io.downloads import RefusedError, download

CONTENT = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home of its own, downloads allowed, no proxy between this machine and itself."""
    monkeypatch.setenv("FACEKIT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("FACEKIT_DATA", raising=False)
    monkeypatch.delenv("FACEKIT_OFFLINE", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("time.sleep", lambda _: None)


def record_at(url: str) -> WeightsRecord:
    return WeightsRecord(
        name="tiny",
        version="1",
        architecture=Architecture(),
        alignment={"size": 160},
        files=(WeightsFile("tiny.h5", "keras_facenet_h5", SHA256, url),),
    )


def place(tmp_path: Path) -> Path:
    return tmp_path / "home" / "weights" / "tiny" / "tiny.h5"


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def good(handler: BaseHTTPRequestHandler, _: int) -> None:
    send(handler, CONTENT)


def test_a_file_is_downloaded_once(tmp_path: Path) -> None:
    with serving(good) as (address, requested):
        record = record_at(f"{address}/tiny.h5")
        for _ in range(2):
            assert locate(record) == (place(tmp_path), record.files[0])
    assert requested == ["/tiny.h5"]
    assert place(tmp_path).read_bytes() == CONTENT
    assert names_in(place(tmp_path).parent) == ["tiny.h5"]


def test_a_downloaded_file_is_readable_by_whom_the_umask_allows(tmp_path: Path) -> None:
    (tmp_path / "ordinary").touch()
    with serving(good) as (address, _):
        fetch(record_at(f"{address}/tiny.h5"))
    assert place(tmp_path).stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_a_connection_that_breaks_once_is_tried_again(tmp_path: Path) -> None:
    def break_once(handler: BaseHTTPRequestHandler, number: int) -> None:
        send(handler, CONTENT if number > 1 else CONTENT[:5000], announced=len(CONTENT))

    with serving(break_once) as (address, requested):
        fetch(record_at(f"{address}/tiny.h5"))
    assert len(requested) == 2
    assert place(tmp_path).read_bytes() == CONTENT
    assert names_in(place(tmp_path).parent) == ["tiny.h5"]


def test_a_connection_that_always_breaks_leaves_no_file(tmp_path: Path) -> None:
    def always_break(handler: BaseHTTPRequestHandler, _: int) -> None:
        send(handler, CONTENT[:5000], announced=len(CONTENT))

    with (
        serving(always_break) as (address, requested),
        pytest.raises(WeightsNotFoundError, match="could not be fetched") as caught,
    ):
        fetch(record_at(f"{address}/tiny.h5"))
    assert len(requested) == 4
    assert f"download {address}/tiny.h5 yourself" in str(caught.value)
    assert str(place(tmp_path)) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert names_in(place(tmp_path).parent) == []


def test_wrong_bytes_are_refused(tmp_path: Path) -> None:
    def lie(handler: BaseHTTPRequestHandler, _: int) -> None:
        send(handler, CONTENT[::-1])

    with (
        serving(lie) as (address, _),
        pytest.raises(WeightsNotFoundError, match="hash"),
    ):
        fetch(record_at(f"{address}/tiny.h5"))
    assert names_in(place(tmp_path).parent) == []


def test_a_refusal_is_final(tmp_path: Path) -> None:
    def refuse(handler: BaseHTTPRequestHandler, _: int) -> None:
        handler.send_error(404)

    with serving(refuse) as (address, requested):
        with pytest.raises(RefusedError, match="404"):
            download(f"{address}/tiny.h5", place(tmp_path), SHA256)
        assert len(requested) == 1
        with pytest.raises(WeightsNotFoundError, match="404") as caught:
            fetch(record_at(f"{address}/tiny.h5"))
    assert str(place(tmp_path)) in str(caught.value)
    assert names_in(place(tmp_path).parent) == []


def test_a_server_in_trouble_is_asked_again(tmp_path: Path) -> None:
    def recover(handler: BaseHTTPRequestHandler, number: int) -> None:
        if number == 1:
            handler.send_error(503)
        else:
            send(handler, CONTENT)

    with serving(recover) as (address, requested):
        fetch(record_at(f"{address}/tiny.h5"))
    assert len(requested) == 2
    assert place(tmp_path).read_bytes() == CONTENT


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with serving(good) as (address, _):
        pass
    with pytest.raises(WeightsNotFoundError, match="could not be fetched"):
        fetch(record_at(f"{address}/tiny.h5"))
    assert names_in(place(tmp_path).parent) == []


def test_an_altered_file_is_replaced(tmp_path: Path) -> None:
    place(tmp_path).parent.mkdir(parents=True)
    place(tmp_path).write_bytes(CONTENT[:100])
    with serving(good) as (address, _):
        fetch(record_at(f"{address}/tiny.h5"))
    assert place(tmp_path).read_bytes() == CONTENT


def test_offline_nothing_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEKIT_OFFLINE", "1")
    with (
        serving(good) as (address, requested),
        pytest.raises(WeightsNotFoundError, match="FACEKIT_OFFLINE"),
    ):
        locate(record_at(f"{address}/tiny.h5"))
    assert requested == []


def test_the_proxy_of_the_environment_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(good) as (address, requested):
        monkeypatch.setenv("http_proxy", address)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        fetch(record_at("http://weights.invalid/tiny.h5"))
    assert requested == ["http://weights.invalid/tiny.h5"]
    assert place(tmp_path).read_bytes() == CONTENT


PROCESS = """
import sys
from pathlib import Path
from facekit.io.downloads import download
print(download(sys.argv[1], Path(sys.argv[2]), sys.argv[3]).stat().st_size)
"""


def start(url: str, path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, url, str(path), SHA256],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


@pytest.fixture
def meeting() -> Iterator[threading.Barrier]:
    """Holds back answers until two requests are there."""
    barrier = threading.Barrier(2, timeout=120)
    yield barrier
    barrier.abort()


def test_two_processes_at_once_end_with_one_good_file(
    tmp_path: Path, meeting: threading.Barrier
) -> None:
    def answer_both(handler: BaseHTTPRequestHandler, number: int) -> None:
        meeting.wait()
        send(handler, CONTENT)

    with serving(answer_both) as (address, requested):
        processes = [start(f"{address}/tiny.h5", place(tmp_path)) for _ in range(2)]
        answers = [process.communicate(timeout=200) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], answers
    assert [out.strip() for out, _ in answers] == [str(len(CONTENT))] * 2
    assert len(requested) == 2
    assert place(tmp_path).read_bytes() == CONTENT
    assert names_in(place(tmp_path).parent) == ["tiny.h5"]
    # In a pipe there is no bar, and one line says what happens.
    assert all(len(error.splitlines()) == 1 for _, error in answers), answers


def test_a_killed_download_leaves_no_half_file_under_its_name(tmp_path: Path) -> None:
    begun, done = threading.Event(), threading.Event()

    def stall(handler: BaseHTTPRequestHandler, _: int) -> None:
        send(handler, CONTENT[:100_000], announced=len(CONTENT))
        handler.wfile.flush()
        begun.set()
        done.wait(120)

    with serving(stall) as (address, _):
        process = start(f"{address}/tiny.h5", place(tmp_path))
        assert begun.wait(120)
        process.kill()
        process.communicate(timeout=60)
        done.set()
    assert not place(tmp_path).exists()


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="this system has no pseudo-terminals")
def test_a_terminal_gets_a_bar(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    with serving(good) as (address, _):
        result = subprocess.run(
            [sys.executable, "-c", PROCESS, f"{address}/tiny.h5", str(place(tmp_path)), SHA256],
            stdout=subprocess.PIPE,
            stderr=theirs,
            text=True,
            check=True,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "TERM": "xterm",
                "COLUMNS": "120",
            },
        )
    os.write(theirs, b"end")
    written = b""
    while not written.endswith(b"end"):
        written += os.read(ours, 10_000)
    os.close(ours)
    os.close(theirs)
    assert result.stdout.strip() == str(len(CONTENT))
    assert b"Downloading tiny.h5" in written
    assert b"512.0/512.0 kB" in written
