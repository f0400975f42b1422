"""Laws of progress: the items are unchanged, and a bar is shown to people only."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit.utils.progress import track

SCRIPT = """
from facekit.utils.progress import track
for item in track(range(3), "Counting", total=3, shown=True):
    print(item)
"""


@given(items=st.lists(st.integers(), max_size=20), shown=st.booleans())
def test_items_come_unchanged_and_in_order(items: list[int], shown: bool) -> None:
    assert list(track(items, "Counting", total=len(items), shown=shown)) == items


@pytest.mark.parametrize("shown", [True, False])
def test_items_are_taken_one_at_a_time(shown: bool) -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(5):
            taken.append(item)
            yield item

    tracked = track(items(), "Counting", total=5, shown=shown)
    assert taken == []
    assert next(tracked) == 0
    assert taken == [0]


@pytest.mark.parametrize("shown", [True, False])
def test_error_of_the_items_comes_through(shown: bool) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyboardInterrupt

    tracked = track(items(), "Counting", total=2, shown=shown)
    assert next(tracked) == 1
    with pytest.raises(KeyboardInterrupt):
        next(tracked)


@pytest.mark.parametrize("shown", [True, False])
def test_work_may_stop_early_and_start_again(shown: bool) -> None:
    for _ in range(2):
        for item in track(range(5), "Counting", total=5, shown=shown):
            if item == 2:
                break
        assert item == 2


@pytest.mark.parametrize("variable", ["NOTHING", "FORCE_COLOR", "TTY_COMPATIBLE"])
def test_pipe_gets_no_bar(variable: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, variable: "1"},
    )
    assert result.stdout == "0\n1\n2\n"
    assert result.stderr == ""


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="this system has no pseudo-terminals")
@pytest.mark.parametrize("shown", [True, False])
def test_terminal_gets_a_bar_when_asked(shown: bool) -> None:
    ours, theirs = os.openpty()
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT.replace("shown=True", f"shown={shown}")],
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        check=True,
        env={**os.environ, "TERM": "xterm"},
    )
    os.write(theirs, b"end")
    written = b""
    while not written.endswith(b"end"):
        written += os.read(ours, 10_000)
    os.close(ours)
    os.close(theirs)
    assert result.stdout == "0\n1\n2\n"
    assert (b"Counting" in written) == shown


NOTEBOOK = """
import time
from facekit.utils.progress import progress_bar, track
for item in track(range(8), "Counting <faces>", total=8, shown=True):
    time.sleep(0.12)
for item in track(range(8), "Short work", total=8, shown=True):
    pass
with progress_bar("Downloading") as bar:
    bar.total = 4_000_000
    for _ in range(2):
        time.sleep(0.6)
        bar.update(1_000_000)
    bar.close()
"""


def test_notebook_gets_bars_that_vanish() -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    drawn: list[str] = []

    class Client(nbclient.NotebookClient):  # type: ignore[misc, name-defined]
        def process_message(self, message: dict, *rest: object) -> object:  # type: ignore[type-arg]
            drawn.append(message["content"].get("data", {}).get("text/html", ""))
            return super().process_message(message, *rest)

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(NOTEBOOK)])
    kernels = {"kernel_name": "python3", "timeout": 60}
    done = Client(notebook, **kernels).execute()
    bars = "".join(drawn)
    assert re.search(
        r'Counting &lt;faces&gt; <progress value="\d" max="8"></progress> \d of 8', bars
    )
    assert "1.0 of 4.0 MB, 0:0" in bars
    assert "Short" not in bars
    shown = [output["data"] for output in done.cells[0].outputs]
    assert shown == [{"text/html": "", "text/plain": ""}] * 2
