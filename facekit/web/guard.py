"""Access control in pure ASGI, so that no kind of connection bypasses it."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "facekit"
_POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not "no-referrer": a browser would send "Origin: null" with our own forms.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "private, no-store",
}
_OPEN = ("/login", "/style.css")


@dataclass(frozen=True)
class Access:
    """Who has access.

    Args:
        hosts: The accepted values of ``Host``, with ports.
        key: What opens a session: a token generated at startup, or a password.
        most_bytes: The largest request body.
        seconds: How long a body may take to arrive.
        at_once: The number of concurrent requests.
        session: The cookie value of an open session.

    Example:
        >>> from facekit.web import Access
        >>> access = Access(hosts=("127.0.0.1:8350",))
        >>> access.opens("a guess"), access.opens(access.key)
        (False, True)
    """

    hosts: Sequence[str]
    key: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    most_bytes: int = 32 << 20
    seconds: float = 20.0
    at_once: int = 16
    session: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    def opens(self, given: str) -> bool:
        """Returns whether a value is the key.

        Args:
            given: What was sent.
        """
        return hmac.compare_digest(given.encode(), self.key.encode())


class Guard:
    """Passes on requests from this page and from programs that have the key."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access, self._running = app, access, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        async def say(status: int, sentence: str) -> None:
            answer = PlainTextResponse(f"{sentence}\n", status, {"connection": "close"})
            await answer(scope, receive, guarded)

        refusal = self._refusal(HTTPConnection(scope))
        if refusal is None and self._running >= self._access.at_once:
            refusal = 503, "too many requests at once"
        if refusal is not None:
            await say(*refusal)
            return
        self._running += 1
        try:
            body = await asyncio.wait_for(self._body(scope, receive), self._access.seconds)
            if body is None:
                await say(413, f"a body has at most {self._access.most_bytes:,} bytes")
                return
            await self._app(scope, _replayed(body, receive), guarded)
        except (asyncio.TimeoutError, TimeoutError):
            await say(408, "the body took too long")
        except ClientDisconnect:  # half a form is not followed
            return
        finally:
            self._running -= 1

    def _refusal(self, request: HTTPConnection) -> tuple[int, str] | None:
        headers = request.headers
        if any(len(headers.getlist(name)) > 1 for name in ("host", "origin")):
            return 400, "a header is repeated"
        if headers.get("host") not in self._access.hosts:
            return 421, "this host is not served"
        origin, changes = headers.get("origin"), request.scope["method"] not in ("GET", "HEAD")
        program = headers.get("authorization", "").removeprefix("Bearer ")
        with_key = bool(program) and self._access.opens(program)
        if origin is not None and origin.partition("://")[2] not in self._access.hosts:
            return 403, "this origin is not allowed"
        if changes and origin is None and not with_key:
            return 403, "a form must state its origin"
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._access.most_bytes:
            return 413, f"a body has at most {self._access.most_bytes:,} bytes"
        session = request.cookies.get(COOKIE)
        in_session = session is not None and hmac.compare_digest(
            session.encode(), self._access.session.encode()
        )
        if request.scope["path"] in _OPEN or with_key or in_session:
            return None
        return 401, "open the address that facekit web printed, or log in at /login"

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        body = bytearray()
        async for part in Request(scope, receive).stream():
            body += part
            if len(body) > self._access.most_bytes:
                return None
        return bytes(body)


def _replayed(body: bytes, receive: Receive) -> Receive:
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay
