"""The page in a real Chromium: by mouse, by keyboard alone, on a phone, and without the network."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright", reason="playwright is not installed")
pytest.importorskip("uvicorn", reason="the extra web is not installed")
import uvicorn
from colored_people import COLORS, picture
from playwright.sync_api import expect, sync_playwright
from web_pages import recognizer_of

from facekit import FaceRecognizer
from facekit.visualization.files import save_image
from facekit.web import Access, create_app
from facekit.web.album import Album

pytestmark = pytest.mark.check
_CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
_PHONE = {"width": 360, "height": 740}


@pytest.fixture
def recognizer(tmp_path: Path) -> FaceRecognizer:
    return recognizer_of(tmp_path / "people.facekit")


@pytest.fixture
def address(tmp_path: Path, recognizer: FaceRecognizer) -> Iterator[str]:
    """The address to open, of a server that runs."""
    for count, name in zip((4, 3, 2), COLORS, strict=False):
        for number in range(count):
            image = picture({name: (20 + 10 * number, 30)})
            save_image(tmp_path / "album" / f"{name}-{number}.png", image)
    taken = socket.create_server(("127.0.0.1", 0))
    host = f"127.0.0.1:{taken.getsockname()[1]}"
    access = Access(hosts=(host,))
    app = create_app(recognizer, Album.open(tmp_path / "album", recognizer), access=access)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://{host}/login?token={access.key}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def asked() -> list[str]:
    """The addresses that the browser asked for."""
    return []


@pytest.fixture
def page(address: str, asked: list[str]) -> Iterator[Any]:
    """A page without JavaScript, on which the list of groups is open."""
    if _CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
        page = browser.new_context(java_script_enabled=False, viewport=_PHONE).new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        yield page
        browser.close()


def knows(recognizer: FaceRecognizer, people: dict[str, int]) -> None:
    """Waits until the form that was sent has been worked on, and these people are enrolled."""
    end = time.monotonic() + 20
    while recognizer.people != people and time.monotonic() < end:
        time.sleep(0.02)
    assert recognizer.people == people


def shows(page: Any, *sizes: str) -> None:
    """Waits until the page shows groups of these sizes."""
    expect(page.locator("section h2")).to_have_text(list(sizes))


def test_groups_are_named_merged_split_and_undone(page: Any, recognizer: FaceRecognizer) -> None:
    shows(page, "4 faces", "3 faces", "2 faces")
    page.locator("section").first.get_by_label("Name").fill("Ada <b>Lovelace</b>")
    page.locator("section").first.get_by_role("button", name="Name").click()
    knows(recognizer, {"Ada <b>Lovelace</b>": 4})
    shows(page, "3 faces", "2 faces")
    page.get_by_label("Merge").nth(0).check()
    page.get_by_label("Merge").nth(1).check()
    page.get_by_role("button", name="Merge the chosen groups").click()
    page.get_by_role("link", name="Unknown").click()
    shows(page, "5 faces")
    page.get_by_role("button", name="Undo").click()
    shows(page, "3 faces", "2 faces")
    page.get_by_role("link", name="3 faces").click()
    page.locator("input[type=checkbox]").first.check()
    page.get_by_role("button", name="Split off").click()
    page.get_by_role("link", name="Unknown").click()
    shows(page, "2 faces", "2 faces", "1 face")
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Undo").click()
    knows(recognizer, {})


def test_a_person_is_erased_for_good(page: Any, recognizer: FaceRecognizer, tmp_path: Path) -> None:
    page.locator("section").first.get_by_label("Name").fill("Countess")
    page.locator("section").first.get_by_role("button", name="Name").click()
    page.get_by_role("link", name="People").click()
    page.get_by_role("link", name="Countess").click()
    page.get_by_label("write the name again").fill("Countess")
    page.get_by_role("button", name="Erase Countess").click()
    knows(recognizer, {})
    recognizer.gallery.close()
    for file in tmp_path.glob("people.facekit*"):
        assert b"Countess" not in file.read_bytes()


def test_an_image_is_uploaded(page: Any, tmp_path: Path) -> None:
    page.locator("section").first.get_by_label("Name").fill("Ada")
    page.locator("section").first.get_by_role("button", name="Name").click()
    page.get_by_role("link", name="Try a photo").click()
    name = next(iter(COLORS))
    page.get_by_label("Photo").set_input_files(tmp_path / "album" / f"{name}-0.png")
    page.get_by_role("button", name="Recognize").click()
    assert page.locator("section h2").inner_text() == "Ada"


def press(page: Any, focused: str, key: str) -> None:
    """Goes on with Tab to the next element of a kind, and presses a key there."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.locator(f"{focused}:focus").count():
            break
    assert page.locator(f"{focused}:focus").count()
    page.keyboard.press(key)


def test_the_keyboard_alone_does_everything(page: Any, recognizer: FaceRecognizer) -> None:
    def sent(focused: str, key: str = "Enter") -> None:
        with page.expect_navigation():
            press(page, focused, key)

    press(page, "form[action='/name'] input[name=name]", "a")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    knows(recognizer, {"a": 4})
    press(page, ".merge input", "Space")
    press(page, ".merge input", "Space")
    sent("#merge button")
    assert page.locator("h1").inner_text().startswith("5 faces")
    press(page, ".faces input", "Space")
    sent("button[formaction='/split']")
    sent("nav a[href='/']")
    shows(page, "4 faces", "1 face")
    sent(".undo button")
    sent("nav a[href='/suggestions']")
    sent(".question button[value=is_not]")
    sent("nav a[href='/corrections']")
    before = len(recognizer.gallery.review)
    sent(".corrections button")
    assert len(recognizer.gallery.review) == before - 1
    sent("nav a[href='/people']")
    sent("main li a")
    press(page, "input[name=again]", "a")
    sent("form[action='/erase'] button")
    knows(recognizer, {})


def test_a_name_runs_no_script(page: Any, address: str, recognizer: FaceRecognizer) -> None:
    script = "<script>document.title = 'run'</script><img src=x onerror=\"document.title='run'\">"
    page = page.context.browser.new_context().new_page()  # with JavaScript
    page.goto(address)
    page.locator("section").first.get_by_label("Name").fill(script)
    page.locator("section").first.get_by_role("button", name="Name").click()
    knows(recognizer, {script: 4})
    for link in ("Unknown", "Suggestions", "People", script, "Corrections"):
        page.get_by_role("link", name=link, exact=True).click()
        page.wait_for_load_state()
        assert page.title() not in ("", "run")


def test_nothing_is_wider_than_a_phone_and_no_other_host_is_asked(
    page: Any, asked: list[str], address: str
) -> None:
    page.locator("section").first.get_by_label("Name").fill("Ada")
    page.locator("section").first.get_by_role("button", name="Name").click()
    page.locator("section").first.get_by_role("button", name="Ignore").click()
    links = ["Unknown", "Suggestions", "People", "Ada", "Corrections", "Try a photo", "Too poor"]
    for link in [*links, "Calibration", "Programs"]:
        page.get_by_role("link", name=link, exact=True).click()
        page.locator("main").wait_for()
        widest = max(
            (place["x"] + place["width"])
            for element in page.locator("body *:visible").all()
            if (place := element.bounding_box())
        )
        assert widest <= _PHONE["width"] + 1, link
    host = address.partition("/login")[0]
    assert asked
    assert all(one.startswith(host + "/") for one in asked)
