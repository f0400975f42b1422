"""The command that serves a local page: web."""

from __future__ import annotations

import argparse
import ipaddress
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from facekit.cli.common import DONE
from facekit.cli.opening import new_if_missing, read_as
from facekit.cli.options import READING, add_command, option
from facekit.errors import InvalidArgumentError
from facekit.utils.extras import import_extra

_LEAST_PASSWORD = 12


def add_commands(commands: Any) -> None:
    """Adds the command to the parser's."""
    add_command(
        commands,
        "web",
        _web,
        "name and correct people on a page in the browser of this machine",
        option(
            "images IMAGES",
            Path,
            "a folder of photos, or a table that 'facekit index' wrote",
            nargs="?",
        ),
        option(
            "--gallery GALLERY",
            Path,
            "created if necessary; default: %(default)s",
            default=Path("people.facekit"),
        ),
        option("--port", int, "default: %(default)s", default=8350),
        option(
            "--address",
            str,
            "the address to listen on; any but this machine's own needs --password-file; "
            "default: %(default)s",
            default="127.0.0.1",
        ),
        option("--password-file FILE", Path, "its first line is the password"),
        option(
            "--allow-host HOST",
            str,
            "an additional host name, with port, under which browsers may request the page",
            action="append",
            default=[],
        ),
        *READING,
    )


def _web(options: argparse.Namespace) -> int:
    uvicorn = import_extra("uvicorn")
    for package in ("starlette", "jinja2", "python_multipart"):
        import_extra(package)
    from facekit.recognizer import FaceRecognizer
    from facekit.web import create_app
    from facekit.web.album import Album

    path: Path = options.gallery
    with new_if_missing(path), ExitStack() as opened:
        # Before the long work: the port may be in use.
        taken = opened.enter_context(listening_socket(options))
        access = access_of(options, taken.getsockname()[1])
        recognizer = FaceRecognizer.load(path) if path.exists() else FaceRecognizer(gallery=path)
        opened.enter_context(recognizer.gallery)
        read_as(options, recognizer)
        album = Album.open(options.images, recognizer)
        opened.pop_all()
    with taken, recognizer.gallery:
        app = create_app(recognizer, album, access=access)
        host = access.hosts[0]
        shown = "" if options.password_file else f"?token={access.key}"
        print(f"http://{host}/login{shown}", flush=True)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,  # it would contain the token
            server_header=False,
            ws="none",
            limit_concurrency=64,
            timeout_keep_alive=5,
        )
        uvicorn.Server(config).run(sockets=[taken])
    return DONE


def listening_socket(options: argparse.Namespace) -> socket.socket:
    """Returns a socket that listens as the options say."""
    address, port = options.address, options.port
    if not _is_local(address) and options.password_file is None:
        raise InvalidArgumentError(
            f"--address {address} gives other machines access; that needs --password-file"
        )
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family)
    except (OSError, OverflowError) as error:
        raise InvalidArgumentError(
            f"--port {port}: cannot listen on {address} ({error}); give another port"
        ) from error


def _is_local(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        raise InvalidArgumentError(f"--address must be an IP address, got {address!r}") from None


def access_of(options: argparse.Namespace, port: int) -> Any:
    """Returns who may ask at a port, as the options say."""
    from facekit.web import Access

    shown = f"[{options.address}]" if ":" in options.address else options.address
    names = [f"{shown}:{port}"]
    if _is_local(options.address):
        names.append(f"localhost:{port}")
    hosts = tuple(dict.fromkeys([*options.allow_host, *names]))
    if options.password_file is None:
        return Access(hosts)
    try:
        password = options.password_file.read_text(encoding="utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgumentError(f"--password-file: cannot be read ({error})") from error
    if len(password) < _LEAST_PASSWORD:
        raise InvalidArgumentError(f"the password must have at least {_LEAST_PASSWORD} characters")
    return Access(hosts, key=password)
