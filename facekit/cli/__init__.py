"""The ``facekit`` command."""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

from facekit import __version__
from facekit.cli import (
    archive,
    clustering,
    completion,
    evaluation,
    gallery,
    recognition,
    review,
    training,
    video,
    web,
    weights,
)
from facekit.cli.common import FAILED, INTERRUPTED, in_command_words, say
from facekit.cli.output import Interruption, OutputError, safe_output, write_output
from facekit.errors import FacekitError
from facekit.utils.extras import import_extra
from facekit.utils.terminal import printable

# In the order of the help.
_COMMANDS = [recognition, gallery, review, clustering, archive]
_COMMANDS += [video, evaluation, training, web, weights]

_EXIT_CODES = """\
exit codes: 0 done (verify: same person; demo: all named correctly; weights verify: unaltered),
1 the answer is no (verify: different people; demo: not all named correctly; weights verify: a
file is damaged), 2 an error, or some photos could not be read, 130 interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command."""
    interruption = Interruption()
    if arguments is None:
        interruption.install()
    try:
        options = _parsed(arguments)
        with safe_output():
            return _run(options)
    except OutputError as error:
        say(f"error: {error}")
        return FAILED
    except KeyboardInterrupt:
        pass
    except Exception as error:  # noqa: BLE001
        # An extension module that is interrupted during its import may raise anything.
        if not interruption.happened:
            return _failed(error)
    say("interrupted")
    return INTERRUPTED


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.run is None:
        parser.print_help()
        options.run = lambda _: FAILED
    return options


def _failed(error: Exception) -> int:
    """Reports an unexpected error, without Python's exit code 1, which means "no"."""
    if isinstance(error, FileNotFoundError) and error.filename is None:  # of os.getcwd
        say("error: the working directory no longer exists; change into another one")
    elif isinstance(error, OSError):
        named = error.filename is not None and error.strerror is not None
        what = f"{error.filename}: {error.strerror}" if named else error
        say(f"error: {printable(what, limit=1000)}")
    else:
        traceback.print_exception(error)
    return FAILED


def _run(options: argparse.Namespace) -> int:
    try:
        if options.tensorflow and not options.verbose:
            _start_tensorflow_quietly()
        return int(options.run(options))
    except FacekitError as error:
        say(f"error: {in_command_words(error, options)}")
        return FAILED


class _Parser(argparse.ArgumentParser):
    """A parser whose errors cannot control the terminal: arguments may be hostile file names."""

    _collecting = False

    def error(self, message: str) -> NoReturn:
        if match := re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message):
            message += _did_you_mean(match[1], re.findall(r"[\w.-]+", match[2]))
        super().error(printable(message, limit=1000))

    def _print_message(self, message: str, file: Any = None) -> None:
        """Prints a message; unlike argparse, notices that help cannot be written."""
        if file is sys.stdout:
            write_output(message)
        else:
            super()._print_message(message, file)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Accepts arguments after options, and suggests a correction for an unknown option."""
        if self._subparsers is None and not self._collecting and "--" not in (args or ()):
            # Python before 3.12.7 does not accept the arguments of a list after an option.
            self._collecting = True
            try:
                return self.parse_known_intermixed_args(args, namespace)
            finally:
                self._collecting = False
        known, rest = super().parse_known_args(args, namespace)
        unknown = [word for word in rest if word.startswith("-") and word != "-"]
        if unknown:
            options = re.findall(r"(?<![\w-])--?[a-z][\w-]*", self.format_help())
            hint = _did_you_mean(unknown[0].partition("=")[0], options)
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return known, rest


def _did_you_mean(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _start_tensorflow_quietly() -> None:
    """Starts TensorFlow without its libraries' messages about hardware."""
    # They write directly to file descriptor 2, before they read any of their settings.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    kept, silent = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 2)
    try:
        tf = import_extra("tensorflow")
        tf.config.list_logical_devices()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(silent)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="facekit",
        description="Recognize people in photos. Everything runs on this machine.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"facekit {__version__}")
    parser.add_argument(
        "--verbose", action="store_true", help="show the output of the underlying libraries"
    )
    parser.set_defaults(run=None, tensorflow=False)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for part in _COMMANDS:
        part.add_commands(commands)
    completion.add_command_to(commands, parser)
    return parser
