"""Work in another process, started from a program that has loaded nothing else.

The tests' own process holds TensorFlow and the threads of many libraries, which a fork does not
survive reliably; and a child that hangs or a crash there would take the other tests with it.
"""

from __future__ import annotations

import contextlib
import faulthandler
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

METHODS = multiprocessing.get_all_start_methods()

_SECONDS = 120


def in_another_process(
    work: Callable[..., Any], *arguments: Any, method: str, busy_threads: int = 0
) -> Any:
    """Returns what the work answers in a child of a program that has done it before.

    Args:
        work: What is done; it is pickled, and so are its arguments and its answer.
        arguments: What it is given.
        method: How the child is started.
        busy_threads: How many threads of the program do the same all the time meanwhile.
    """
    program = subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    task = pickle.dumps((work, arguments, method, busy_threads))
    try:
        answer, log = program.communicate(task, timeout=2 * _SECONDS)
    finally:
        if hasattr(os, "killpg"):  # a hanging child holds the pipes, and outlives the program
            with contextlib.suppress(ProcessLookupError):  # all have ended, as they should
                os.killpg(program.pid, signal.SIGKILL)
        program.kill()
    assert program.returncode == 0, log.decode(errors="replace")
    return pickle.loads(answer)


def _main() -> None:
    faulthandler.enable()
    faulthandler.dump_traceback_later(_SECONDS, exit=True)
    work, arguments, method, busy_threads = pickle.load(sys.stdin.buffer)
    import facekit  # noqa: F401  # work on OpenCV alone does not import it

    work(*arguments)  # what is loaded at the first use is loaded before the fork
    stop = threading.Event()

    def work_until_stopped() -> None:
        while not stop.is_set():
            work(*arguments)

    threads = [threading.Thread(target=work_until_stopped) for _ in range(busy_threads)]
    for thread in threads:
        thread.start()
    try:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
            answer = pool.submit(work, *arguments).result()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    pickle.dump(answer, sys.stdout.buffer)


if __name__ == "__main__":
    _main()
