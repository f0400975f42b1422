"""A small HTTP server on this machine that behaves as badly as a test wants."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler, int], None]
"""Answers a request; the number counts them from one."""


def send(handler: BaseHTTPRequestHandler, content: bytes, *, announced: int | None = None) -> None:
    """Sends content, saying that it has ``announced`` bytes, then closes the connection."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content) if announced is None else announced))
    handler.end_headers()
    handler.wfile.write(content)


@contextmanager
def serving(answer: Answer) -> Iterator[tuple[str, list[str]]]:
    """Runs a server; yields its address and a list that grows by the path of every request."""
    requested: list[str] = []
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with lock:
                requested.append(self.path)
                number = len(requested)
            answer(self, number)

        def log_message(self, *_: object) -> None:
            """Keeps standard error for the code under test."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", requested
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
