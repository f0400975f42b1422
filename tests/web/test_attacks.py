"""What others try with the page, and what it says."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="starlette is not installed")
from starlette.testclient import TestClient
from web_pages import ADDRESS, ORIGIN, Page, recognizer_of

from facekit.cli import main
from facekit.cli.common import FAILED
from facekit.cli.web import access_of, listening_socket
from facekit.gallery.records import FaceSource
from facekit.web import Access, create_app
from facekit.web.guard import COOKIE, Guard
from tests.web import full_disk

XSS = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


@pytest.fixture
def page(tmp_path: Path) -> Page:
    made = Page(recognizer_of(tmp_path / "people"), None)
    made.recognizer.gallery.enroll(
        XSS, made.recognizer.embedder.embed(_red()), [FaceSource("/etc/passwd")]
    )
    return made.open()


def _red() -> Any:
    import numpy as np

    return np.full((1, 16, 16, 3), (230, 20, 20), np.uint8)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        pytest.param("GET", "/", {"host": "evil.example"}, 421, id="foreign Host"),
        pytest.param("GET", "/", {"host": "127.0.0.1:9999"}, 421, id="another port"),
        pytest.param("GET", "/", {"host": "evil.example:8350"}, 421, id="DNS rebinding"),
        pytest.param("GET", "/", {"host": ""}, 421, id="no Host"),
        pytest.param("GET", "/", {"origin": "http://evil.example"}, 403, id="foreign Origin"),
        pytest.param("POST", "/undo", {"origin": "http://evil.example"}, 403, id="CSRF form"),
        pytest.param("POST", "/undo", {"origin": "null"}, 403, id="CSRF from a sandbox"),
        pytest.param("POST", "/undo", {}, 403, id="CSRF without Origin"),
        pytest.param("POST", "/erase", {"origin": f"{ADDRESS}.evil.example"}, 403, id="prefix"),
        pytest.param("DELETE", "/api/people", ORIGIN, 405, id="another method"),
        pytest.param("GET", "/face/../../etc/passwd", {}, 404, id="path traversal"),
        pytest.param("GET", "/face/..%2f..%2fetc%2fpasswd", {}, 404, id="encoded traversal"),
        pytest.param("GET", "/face/-1", {}, 404, id="negative number"),
        pytest.param("GET", "/templates/base.html", {}, 404, id="a file of the package"),
        pytest.param("GET", "/image/1", {}, 400, id="a file that is not an image"),
        pytest.param("POST", "/try", {**ORIGIN, "content-length": "99999999999"}, 413, id="size"),
        pytest.param("POST", "/try", {**ORIGIN, "content-length": "-1"}, 413, id="bad size"),
    ],
)
def test_what_is_refused(
    page: Page, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    answer = page.client.request(method, path, headers=headers)
    assert answer.status_code == status
    assert "root:" not in answer.text
    assert page.recognizer.people == {XSS: 1}


def test_who_has_no_key_sees_nothing(page: Page) -> None:
    page.client.cookies.clear()
    for path in ("/", "/people", "/face/0", "/api/people", "/api/openapi.json"):
        answer = page.client.get(path)
        assert (answer.status_code, "<script>" in answer.text) == (401, False)
        forged = {"cookie": f"{COOKIE}=guess", "authorization": "Bearer guess"}
        assert page.client.get(path, headers=forged).status_code == 401
    assert page.client.get("/login?token=guess").status_code == 401
    assert page.client.get("/login").status_code == 200


def test_the_cookie_stays_at_home(page: Page) -> None:
    answer = page.client.get("/login", params={"token": page.access.key}, follow_redirects=False)
    cookie = answer.headers["set-cookie"].lower()
    assert "samesite=strict" in cookie
    assert "httponly" in cookie
    assert page.access.key.lower() not in cookie
    assert page.access.key not in repr(page.access)


def test_a_name_runs_no_script(page: Page) -> None:
    for path in ("/people", "/", f"/person?name={XSS}"):
        text = page.get(path)
        assert "<script" not in text
        assert "<img src=x" not in text
    answer = page.client.get("/people")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "script" not in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "private, no-store"


def test_a_web_socket_is_closed(page: Page) -> None:
    sent: list[Any] = []

    async def run() -> None:
        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "websocket.connect"}

        await page.client.app({"type": "websocket", "path": "/", "headers": []}, receive, send)

    asyncio.run(run())
    assert sent == [{"type": "websocket.close", "code": 1008}]


def asked(access: Access, bodies: list[bytes], *, wait: float = 0.0) -> int:
    """Returns the status of a request whose body comes in parts."""
    statuses: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        assert body == b"".join(bodies)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def run() -> None:
        parts = list(bodies)

        async def receive() -> Any:
            await asyncio.sleep(wait)
            return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

        async def send(message: Any) -> None:
            if "status" in message:
                statuses.append(message["status"])

        headers = [
            (b"host", b"127.0.0.1:8350"),
            (b"authorization", f"Bearer {access.key}".encode()),
        ]
        scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
        await Guard(app, access)(scope, receive, send)

    asyncio.run(run())
    return statuses[0]


def test_bodies_are_bounded_in_size_and_time() -> None:
    hosts = ("127.0.0.1:8350",)
    assert asked(Access(hosts, most_bytes=10), [b"12345", b"67890"]) == 200
    # Without a Content-Length, in parts.
    assert asked(Access(hosts, most_bytes=10), [b"12345", b"678901"]) == 413
    assert asked(Access(hosts, seconds=0.05), [b"1"] * 100, wait=0.01) == 408
    assert asked(Access(hosts, at_once=0), [b"1"]) == 503


def test_half_a_form_is_not_followed() -> None:
    access = Access(("127.0.0.1:8350",))
    parts = [
        {"type": "http.request", "body": b"face=1&name=An", "more_body": True},
        {"type": "http.disconnect"},
    ]
    calls: list[Any] = []

    async def receive() -> Any:
        return parts.pop(0)

    async def called(*given: Any) -> None:
        calls.append(given)

    headers = [(b"host", b"127.0.0.1:8350"), (b"authorization", f"Bearer {access.key}".encode())]
    scope = {"type": "http", "method": "POST", "path": "/name", "headers": headers}
    asyncio.run(Guard(called, access)(scope, receive, called))
    assert not parts
    assert calls == []


def test_an_odd_cookie_of_another_page_on_this_machine_closes_no_session(page: Page) -> None:
    page.client.cookies.clear()
    cookies = f'state[0]={{"a": 1}}; {COOKIE}={page.access.session}; b c'
    assert page.client.get("/people", headers={"cookie": cookies}).status_code == 200


def test_two_hosts_in_one_request_are_refused(page: Page) -> None:
    answer = page.client.get("/", headers=[("host", "127.0.0.1:8350"), ("host", "evil")])  # type: ignore[arg-type]
    assert answer.status_code == 400


def test_thumbnails_are_kept_within_a_bound(tmp_path: Path, hopper: Path) -> None:
    from facekit.web.thumbnails import Thumbnails

    kept = Thumbnails({"max_pixels": 10**8, "truncated": "error"}, most_bytes=20_000)
    for number in range(20):
        box = (100.0 + number, 100.0, 200.0, 200.0)
        assert kept.cut(FaceSource(str(hopper), box=box))[:2] == b"\xff\xd8"
    assert 0 < sum(map(len, kept._kept.values())) == kept._bytes <= 20_000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--address", "0.0.0.0"], "needs --password-file"),
        (["--address", "example.com"], "must be an IP address"),
        (["--password-file", "short"], "at least 12 characters"),
        (["--password-file", "missing"], "cannot be read"),
    ],
)
def test_other_machines_need_a_password(
    tmp_path: Path,
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("short").write_text("secret\n")
    assert main(["web", *words]) == FAILED
    assert message in capsys.readouterr().err
    assert not Path("people.facekit").exists()


def test_a_port_in_use_is_said_before_the_photos_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read(*_: object) -> None:
        raise AssertionError("photos were read")

    monkeypatch.setattr("facekit.web.album.Album.open", read)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        gallery = str(tmp_path / "people.facekit")
        assert main(["web", "--gallery", gallery, "--port", str(port), str(tmp_path)]) == FAILED
    assert f"--port {port}: cannot listen on 127.0.0.1" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_free_port_is_the_one_that_is_shown_and_accepted() -> None:
    options = Namespace(address="127.0.0.1", port=0, password_file=None, allow_host=[])
    with listening_socket(options) as taken:
        port = taken.getsockname()[1]
        assert port > 0
        assert access_of(options, port).hosts == (f"127.0.0.1:{port}", f"localhost:{port}")


def test_a_password_opens_a_session(tmp_path: Path) -> None:
    access = Access(("192.0.2.1:8350",), key="correct horse battery")
    app = create_app(recognizer_of(None), access=access)
    with TestClient(app, base_url="http://192.0.2.1:8350") as client:  # type: ignore[arg-type]
        origin = {"origin": "http://192.0.2.1:8350"}
        assert client.get("/").status_code == 401
        answer = client.post("/login", data={"token": access.key}, headers=origin)
        assert "Unknown faces" in answer.text


def test_a_full_disk_is_said_and_costs_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=1m none "$1" && shift && "$@"']
    if shutil.which("unshare") is None or subprocess.run([*mounted, "sh", disk, "true"]).returncode:
        pytest.skip("a disk cannot be mounted here")
    script = [sys.executable, full_disk.__file__, disk]
    answer = subprocess.run(
        [*map(str, [*mounted, "sh", disk, *script])],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
