"""``python -m facekit``, and the ``facekit`` command: quiet at Ctrl+C even while it starts."""

import signal
import sys


def main() -> int:
    """Runs the command of the process's own command line."""
    # Until the command takes over, the signal ends the process, without Python's traceback.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from facekit.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
