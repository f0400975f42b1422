"""Access control in pure ASGI, so that no kind of connection bypasses it."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "facekit"
_POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    b"content-security-policy": _POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    # Not "no-referrer": a browser would send "Origin: null" with our own forms.
    b"referrer-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"private, no-store",
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

    def __init__(self, app: App, access: Access) -> None:
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
                own = {name.lower() for name, _ in message["headers"]}
                added = [pair for pair in _HEADERS.items() if pair[0] not in own]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None and self._running >= self._access.at_once:
            refusal = 503, "too many requests at once"
        if refusal is not None:
            await _say(guarded, *refusal)
            return
        self._running += 1
        try:
            body = await asyncio.wait_for(self._body(receive), self._access.seconds)
            if body is None:
                await _say(guarded, 413, f"a body has at most {self._access.most_bytes:,} bytes")
                return
            await self._app(scope, _replayed(body, receive), guarded)
        except (asyncio.TimeoutError, TimeoutError):
            await _say(guarded, 408, "the body took too long")
        finally:
            self._running -= 1

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            if name in (b"host", b"origin") and name.decode() in headers:
                return 400, "a header is repeated"
            headers[name.decode("latin-1")] = value.decode("latin-1")
        if headers.get("host") not in self._access.hosts:
            return 421, "this host is not served"
        origin, changes = headers.get("origin"), scope["method"] not in ("GET", "HEAD")
        program = headers.get("authorization", "").removeprefix("Bearer ")
        with_key = bool(program) and self._access.opens(program)
        if origin is not None and origin.partition("://")[2] not in self._access.hosts:
            return 403, "this origin is not allowed"
        if changes and origin is None and not with_key:
            return 403, "a form must state its origin"
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._access.most_bytes:
            return 413, f"a body has at most {self._access.most_bytes:,} bytes"
        if scope["path"] in _OPEN or with_key or self._in_session(headers.get("cookie", "")):
            return None
        return 401, "open the address that facekit web printed, or log in at /login"

    def _in_session(self, cookies: str) -> bool:
        try:
            cookie = SimpleCookie(cookies).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and hmac.compare_digest(
            cookie.value.encode(), self._access.session.encode()
        )

    async def _body(self, receive: Receive) -> bytes | None:
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return bytes(body)
            body += message.get("body", b"")
            if len(body) > self._access.most_bytes:
                return None
            if not message.get("more_body"):
                return bytes(body)


def _replayed(body: bytes, receive: Receive) -> Receive:
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay


async def _say(send: Send, status: int, sentence: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{sentence}\n".encode()})
