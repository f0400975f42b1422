"""What a command prints and writes: no forged lines, no traceback, no foreign file overwritten."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facekit import FacekitError
from facekit.cli import main
from facekit.cli.common import DONE, FAILED, INTERRUPTED, in_command_words
from facekit.visualization import save_image

HOSTILE = "a\nparty.jpg: 2 faces\n  Grace Hopper\x1b[2J\u202e.jpg"
posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


def run(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "facekit", *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        **{"stdout": subprocess.PIPE, **options},  # type: ignore[call-overload]
    )


@pytest.fixture
def blank(tmp_path: Path) -> Path:
    """A small image without a face."""
    path = tmp_path / "images" / "blank.png"
    path.parent.mkdir()
    Image.new("RGB", (32, 32)).save(path)
    return path


# Foreign text


@posix
def test_a_file_name_forges_no_line_and_steers_no_terminal(
    blank: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blank.rename(blank.parent / HOSTILE)
    (blank.parent / HOSTILE.replace("a\n", "b\n")).write_bytes(b"damaged")
    assert main(["detect", str(blank.parent)]) == FAILED
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 1
    assert len(printed.err.splitlines()) == 2
    for line in (printed.out + printed.err).splitlines():
        assert line.isprintable()
    assert r"\x1b[2J\u202e.jpg: no faces" in printed.out


@linux
def test_a_name_that_is_not_utf8_is_printed_and_written(
    blank: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blank.rename(os.fsdecode(os.fsencode(blank.parent) + b"/caf\xe9.png"))
    out = tmp_path / "out"
    assert main(["detect", str(blank.parent), "--output", str(out)]) == DONE
    assert r"caf\xe9.png: no faces" in capsys.readouterr().out
    assert [path.name for path in out.iterdir()] == ["caf_.png"]
    assert main(["detect", str(blank.parent), "--json"]) == DONE
    named = Path(json.loads(capsys.readouterr().out)["image"])
    assert named.exists(), "JSON keeps the name whole"


def test_an_argument_that_is_refused_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["detect", "x.jpg", "--x\x1b[2J"])
    assert stopped.value.code == FAILED
    assert "\x1b" not in capsys.readouterr().err


def test_warnings_are_one_line(
    blank: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("bad offset\n")

    monkeypatch.setattr(Image.Image, "getexif", fail)
    assert main(["detect", str(blank)]) == DONE
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("facekit: warning: ")
    assert r"the EXIF data is damaged (bad offset\n)" in line


@pytest.mark.parametrize("source", ["data:image/png;base64," + "A" * 163_000, "rtsp://u:pw@host/1"])
def test_an_address_is_one_short_line(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", source]) == FAILED
    first, _ = capsys.readouterr().err.splitlines()
    assert len(first) < 250
    assert "pw" not in first


def test_python_arguments_are_called_by_the_option(
    blank: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["detect", str(blank), "--max-faces", "0"]) == FAILED
    assert "--max-faces must be" in capsys.readouterr().err


def test_advice_is_given_in_the_words_of_the_command() -> None:
    options = argparse.Namespace(resume=False, max_pixels=None, folder=Path("runs"))
    error = FacekitError("folder runs/max_pixels holds a training already; go on with resume=True")
    assert in_command_words(error, options).endswith("go on with --resume")
    assert "runs/max_pixels" in in_command_words(error, options)
    assert in_command_words(FacekitError("raise max_pixels"), options) == "raise --max-pixels"


# Where output cannot go


@linux
@pytest.mark.parametrize("command", ["detect", "verify"])
def test_a_full_disk_is_one_sentence_and_exit_code_2(command: str, hopper: Path) -> None:
    images = [hopper, hopper] if command == "verify" else [hopper]
    with Path("/dev/full").open("w") as full:
        answer = run(command, *images, stdout=full)
    assert answer.returncode == FAILED
    assert answer.stderr == (
        "facekit: error: standard output cannot be written (No space left on device)\n"
    )


@linux
@pytest.mark.parametrize("words", [["--help"], ["detect", "--help"], ["--version"], []])
def test_help_that_cannot_be_written_is_one_sentence_and_exit_code_2(words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        answer = run(*words, stdout=full)
    assert answer.returncode == FAILED
    assert answer.stderr == (
        "facekit: error: standard output cannot be written (No space left on device)\n"
    )


@linux
def test_if_nothing_can_be_written_the_exit_code_says_so(blank: Path) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "facekit", "detect", str(blank)]
        answer = subprocess.run(command, stdout=full, stderr=full, check=False)
    assert answer.returncode == FAILED, "1 would be an answer"


@posix
def test_a_reader_that_left_is_one_sentence_and_exit_code_2(blank: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    answer = run("detect", blank, stdout=write)
    os.close(write)
    assert answer.returncode == FAILED
    assert answer.stderr == "facekit: error: standard output cannot be written (Broken pipe)\n"


@linux
def test_a_full_disk_for_errors_changes_no_exit_code(blank: Path) -> None:
    with Path("/dev/full").open("w") as full:
        answer = subprocess.run(
            [sys.executable, "-m", "facekit", "detect", str(blank.parent / "missing.jpg")],
            stderr=full,
            check=False,
        )
    assert answer.returncode == FAILED


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])  # a terminal's, the C locale's
def test_an_ascii_terminal_shows_escapes(blank: Path, errors: str) -> None:
    path = blank.rename(blank.with_name("Zoë.png"))
    environment = {**os.environ, "PYTHONIOENCODING": f"ascii:{errors}"}
    answer = run("detect", path, env=environment)
    assert (answer.returncode, answer.stderr) == (DONE, "")
    assert r"Zo\xeb.png: no faces" in answer.stdout


def test_an_error_that_nothing_foresaw_is_not_the_answer_no(
    blank: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("facekit.cli.common.expanded", fail)
    assert main(["detect", str(blank)]) == FAILED
    printed = capsys.readouterr().err
    assert printed == "facekit: error: [Errno 5] Input/output error\n"


@posix
def test_a_working_directory_that_is_gone_is_said(tmp_path: Path) -> None:
    script = (
        'mkdir gone && cd gone && rmdir ../gone && exec "$0" -m facekit video a.mp4 --csv a.csv'
    )
    ended = subprocess.run(
        ["sh", "-c", script, sys.executable],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("facekit: error: the working directory no longer exists")


# Ctrl+C


def heed_interrupts() -> None:
    """Undoes what a shell does to the programs that it runs in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@posix
@pytest.mark.parametrize("pause", [0.0, 0.05])
def test_ctrl_c_three_times_is_quiet(tmp_path: Path, pause: float) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    first = folder / f"{'x' * 200}000.png"
    Image.new("RGB", (32, 32)).save(first)
    for number in range(1, 600):
        (folder / f"{'x' * 200}{number:03}.png").hardlink_to(first)
    process = subprocess.Popen(
        [sys.executable, "-m", "facekit", "detect", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )
    assert process.stdout is not None
    # The 599 lines that follow fill the pipe, so that the command cannot end before it is told to.
    assert process.stdout.readline().endswith("000.png: no faces\n")
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(pause)
    _, errors = process.communicate(timeout=60)
    # While Python ends, it hands the signal back to the system: to a shell, that is 130, too.
    assert process.returncode in (INTERRUPTED, -signal.SIGINT)
    assert errors in ("", "facekit: interrupted\n")


@posix
def test_ctrl_c_while_the_command_starts_is_quiet() -> None:
    # The last of the modules that are imported before the command can answer.
    interrupted = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'facekit.cli.weights':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from facekit.__main__ import main\n"
        "main()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", interrupted, "--help"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=heed_interrupts,
    )
    assert ended.returncode == -signal.SIGINT
    assert ended.stderr == ""


def test_each_image_is_reported_as_soon_as_it_is_done(
    blank: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that reads the output need not wait until a buffer is full."""
    flushed: list[str] = []
    monkeypatch.setattr(
        "builtins.print",
        lambda *words, flush=False, **_: flushed.extend(map(str, words)) if flush else None,
    )
    assert main(["detect", str(blank)]) == DONE
    assert flushed == [f"{blank}: no faces"]


# --output


def test_annotated_copies_are_replaced_and_nothing_else_is(blank: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ["detect", str(blank), "--output", str(out)]
    assert main(command) == DONE
    assert main(command) == DONE, "a copy that facekit made may be made again"
    original = out / "blank.png"
    Image.new("RGB", (9, 9), "red").save(original)
    before = original.read_bytes()
    assert main(command) == FAILED
    assert original.read_bytes() == before
    assert [path.name for path in out.iterdir()] == ["blank.png"]


def test_an_original_of_the_same_stem_is_not_overwritten(
    blank: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (32, 32), "red").save(blank.with_suffix(".jpg"))
    before = blank.read_bytes()
    assert main(["detect", str(blank.parent), "--output", str(blank.parent)]) == FAILED
    assert main(["detect", str(blank.with_suffix(".jpg")), "--output", str(blank.parent)]) == FAILED
    assert blank.read_bytes() == before
    assert "use a new folder" in capsys.readouterr().err


@posix
def test_a_link_is_not_written_through(blank: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "blank.png").symlink_to(blank)
    before = blank.read_bytes()
    assert main(["detect", str(blank), "--output", str(out)]) == FAILED
    assert blank.read_bytes() == before


@posix
@pytest.mark.parametrize(
    "command",
    [
        "detect {image} --output {loop}",
        "cluster {image} --output {loop}/groups",
        "fit {image} {loop}/people.facekit",
        "enroll {loop}/people.facekit Ada {image}",
        "video {image} --csv {loop}/table.csv",
        "detect {loop}",
    ],
)
def test_links_in_a_circle_are_one_sentence(
    command: str, blank: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    words = [word.format(image=blank, loop=loop) for word in command.split()]
    assert main(words) == FAILED
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    assert printed.err.startswith("facekit: ")


@posix
def test_names_of_copies_are_cut_to_what_file_systems_take(blank: Path, tmp_path: Path) -> None:
    for number in range(2):
        path = blank.with_name(f"{'ë' * 120}{number}.png")
        save_image(path, np.zeros((32, 32, 3), np.uint8))
    out = tmp_path / "out"
    assert main(["detect", str(blank.parent), "--output", str(out)]) == DONE
    names = [path.name for path in out.iterdir()]
    assert len(names) == 3
    assert max(len(name.encode()) for name in names) <= 106
