"""Takes pictures of the page of ``facekit web``, at the width of a desktop and of a phone.

    python images/web_page.py [folder]

Needs the extra ``web``, playwright, Chromium, matplotlib and scikit-image. The album consists of
altered copies of two portraits in the public domain: Grace Hopper (United States Navy, carried by
matplotlib) and Eileen Collins (NASA, carried by scikit-image).
"""

from __future__ import annotations

import io
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from playwright.sync_api import sync_playwright
from style import output_folder

from facekit import FaceRecognizer
from facekit.demo import portrait_paths
from facekit.web import Access, create_app
from facekit.web.album import Album

MOST_BYTES = 150_000


def main(folder: Path) -> None:
    with (
        tempfile.TemporaryDirectory() as made,
        sync_playwright() as playwright,
        _served(Path(made)) as address,
    ):
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(java_script_enabled=False)
        page.goto(address)
        _take(page, folder / "web-groups", 1440, 640)
        page.locator("section").first.get_by_label("Name").fill("Grace Hopper")
        page.locator("section").first.get_by_role("button", name="Name").click()
        page.get_by_role("link", name="Suggestions").click()
        _take(page, folder / "web-suggestions", 360, 500)
        browser.close()


def _take(page: Any, file: Path, width: int, height: int) -> None:
    page.set_viewport_size({"width": width, "height": height})
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_load_state("networkidle")
        taken = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        written = file.with_name(f"{file.name}-{scheme}.png")
        taken.quantize(192, dither=Image.Dither.NONE).save(written, optimize=True)
        assert written.stat().st_size < MOST_BYTES, written


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    """Yields the address of a page with the album of altered portraits."""
    _write_album(folder / "album")
    recognizer = FaceRecognizer(gallery=folder / "people.facekit")
    album = Album.open(folder / "album", recognizer)
    taken = socket.create_server(("127.0.0.1", 0))
    host = f"127.0.0.1:{taken.getsockname()[1]}"
    access = Access(hosts=(host,))
    app = create_app(recognizer, album, access=access)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://{host}/login?token={access.key}"
    server.should_exit = True
    thread.join()


def _write_album(folder: Path) -> None:
    folder.mkdir()
    portraits = [Image.open(path).convert("RGB") for path in portrait_paths().values()]
    for number, portrait in enumerate(portraits):
        width, height = portrait.size
        ways = {
            "plain": portrait,
            "mirrored": ImageOps.mirror(portrait),
            "gray": ImageOps.grayscale(portrait).convert("RGB"),
            "dark": ImageEnhance.Brightness(portrait).enhance(0.6),
            "bright": ImageEnhance.Brightness(portrait).enhance(1.4),
            "pale": ImageEnhance.Color(portrait).enhance(0.4),
            "tilted": portrait.rotate(12, expand=True, fillcolor=(90, 90, 90)),
            "turned": portrait.rotate(-14, expand=True, fillcolor=(40, 60, 90)),
            "soft": portrait.filter(ImageFilter.GaussianBlur(2)),
            "near": portrait.crop((width // 8, 0, width - width // 8, height * 3 // 4)),
            "contrast": ImageOps.autocontrast(portrait, cutoff=4),
            "posterized": ImageOps.posterize(portrait, 3),
        }
        for way, image in list(ways.items())[: 12 - 2 * number]:
            image.save(folder / f"{number}-{way}.jpg", quality=90)


if __name__ == "__main__":
    main(output_folder())
