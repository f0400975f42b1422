"""A command's output, escaped in one place, and its interruption: full disks, Ctrl+C."""

from __future__ import annotations

import io
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TextIO

from facekit.cli.common import INTERRUPTED, say
from facekit.errors import FacekitWarning
from facekit.utils.reasons import why
from facekit.utils.terminal import printable


class OutputError(Exception):
    """Standard output cannot be written; not a FacekitError, so that no command goes on."""


class SafeStream:
    """A text stream on which untrusted text can neither control the terminal nor forge a line.

    Each ``write`` is at most one line, as from ``print``: what is inside it is escaped.
    """

    def __init__(self, stream: TextIO, *, required: bool) -> None:
        self._stream = stream
        self._required = required  # whether results are lost if it cannot be written

    @property
    def rich_proxied_file(self) -> TextIO:
        """The stream for Rich, whose escape sequences are wanted."""
        return self._stream

    def write(self, text: str) -> int:
        """Writes text, escaped."""
        body, end = (text[:-1], "\n") if text.endswith("\n") else (text, "")
        with self._watched():
            self._stream.write(printable(body) + end)
        return len(text)

    def flush(self) -> None:
        """Hands on what was written."""
        with self._watched():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # If an error cannot be written anywhere, the exit code has to suffice.
            if self._required:
                _give_up(self._stream)
                raise OutputError(_why(error)) from error


@contextmanager
def safe_output() -> Iterator[None]:
    """Makes ``print`` safe and limits warnings to one line each, until the end of the block."""
    kept = sys.stdout, sys.stderr
    for stream in kept:
        if isinstance(stream, io.TextIOWrapper) and (
            stream.errors == "strict" or stream.encoding.lower() != "utf-8"  # the C locale
        ):
            stream.reconfigure(errors="backslashreplace")  # what the terminal cannot show
    # They are None if the shell closed them.
    sys.stdout = SafeStream(sys.stdout or io.StringIO(), required=True)
    sys.stderr = SafeStream(sys.stderr or io.StringIO(), required=False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", FacekitWarning)
            warnings.showwarning = _show_warning
            yield
    finally:
        sys.stdout, sys.stderr = kept
        write_output()


def write_output(text: str = "") -> None:
    """Writes text as it is, and hands on all that was written."""
    try:
        if sys.stdout is not None:
            sys.stdout.write(text)
            sys.stdout.flush()
    except OSError as error:
        _give_up(sys.stdout)
        raise OutputError(_why(error)) from error


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    say(f"warning: {message}")


def _give_up(stream: TextIO) -> None:
    """Makes Python discard unwritten output instead of failing again at exit."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except (OSError, ValueError):  # a stream of a test has no number
        return


def _why(error: OSError) -> str:
    return f"standard output cannot be written ({why(error)})"


class Interruption:
    """Ctrl+C or SIGTERM: the first ends the command cleanly, the next one at once, and quietly."""

    def __init__(self) -> None:
        self.happened = False

    def install(self) -> None:
        """Handles both for the rest of the process, unless it was started to ignore them."""
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL):
                signal.signal(number, self._interrupt)
                sys.unraisablehook = self._unraisable

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.happened:
            self._exit()
        self.happened = True
        raise KeyboardInterrupt

    def _unraisable(self, unraisable: Any) -> None:
        # In a destructor or a callback, Python would print the interruption and continue.
        if unraisable.exc_type is KeyboardInterrupt:
            self._exit()
        sys.__unraisablehook__(unraisable)

    def _exit(self) -> None:
        if sys.__stderr__ is not None and sys.__stderr__.isatty():
            os.write(2, b"\x1b[?25h")  # a progress bar hides the cursor
        os._exit(INTERRUPTED)
