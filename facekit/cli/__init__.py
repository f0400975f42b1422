"""The ``facekit`` command."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

from facekit import __version__
from facekit.cli import clustering, evaluation, gallery, recognition, training, weights
from facekit.cli.common import DONE, FAILED, INTERRUPTED
from facekit.errors import FacekitError
from facekit.utils.extras import import_extra

_EXIT_CODES = """\
exit codes: 0 done (verify: same person; demo: all named rightly; weights verify: unaltered), 1 the
answer is no (verify: different persons; demo: not all named rightly; weights verify: a file is
damaged), 2 an error, or some of the photos could not be read, 130 interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        arguments: The command line without the program's name; that of the process by default.

    Returns:
        The exit code, as ``facekit --help`` lists them.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.run is None:
        parser.print_help()
        return FAILED
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        # The name of a folder may hold what the terminal cannot show; that must not end a command.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        if options.tensorflow and not options.verbose:
            _start_tensorflow_quietly()
        return int(options.run(options))
    except FacekitError as error:
        print(f"facekit: error: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("facekit: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe left, as `head` does: nothing more to say, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE


def _start_tensorflow_quietly() -> None:
    """Starts TensorFlow without what its libraries print about hardware while they start.

    They write past Python's streams, to file descriptor 2, before any setting of theirs is read.
    """
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
    parser = argparse.ArgumentParser(
        prog="facekit",
        description="Recognize people in photos. Everything runs on this machine.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"facekit {__version__}")
    parser.add_argument(
        "--verbose", action="store_true", help="show what the libraries underneath print"
    )
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    recognition.add_commands(commands)
    gallery.add_commands(commands)
    clustering.add_commands(commands)
    evaluation.add_commands(commands)
    training.add_commands(commands)
    weights.add_commands(commands)
    return parser
