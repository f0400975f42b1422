"""``python -m facekit``, and the ``facekit`` command: quiet at Ctrl+C even while it starts."""

import gc
import signal
import sys


def main() -> int:
    """Runs the command of the process's own command line."""
    # Until the command takes over, the signal ends the process, without Python's traceback.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from facekit.cli import main as run

    code = run()
    # At the end, Python would search all objects for cycles, which takes a tenth of a second.
    gc.freeze()
    return code


if __name__ == "__main__":
    sys.exit(main())
