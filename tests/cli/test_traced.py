"""Each command under strace, without a network: no connection, no file written elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_privacy import COMMANDS

TRACED = [
    *COMMANDS,
    ["evaluate", "lfw", "--data", "{known}", "--pairs", "{out}/pairs.txt"],
    ["train", "--data", "{known}", "--folder", "{out}/trained", "--epochs", "1"],
    ["distill", "--data", "{known}", "--folder", "{out}/small", "--epochs", "1"],
]
# A system may refuse both: a container without privileges, for instance.
_PREFIX = ["unshare", "-rn", "strace", "-f", "-qq", "-e", "trace=connect,openat", "-o"]
_WRITES = re.compile(r'openat\([^"]*"([^"]+)", [^,)]*O_(?:WRONLY|RDWR|CREAT)')

pytestmark = pytest.mark.skipif(
    "FACEKIT_TRACE" not in os.environ, reason="make fuzz runs it: set FACEKIT_TRACE=1"
)


@pytest.mark.parametrize("command", TRACED, ids=lambda command: " ".join(command[:2]))
def test_the_system_calls_of_a_command(
    command: list[str], tmp_path: Path, known: Path, hopper: Path
) -> None:
    if shutil.which("strace") is None or shutil.which("unshare") is None:
        pytest.skip("needs strace and unshare")
    home, out = tmp_path / "home", tmp_path / "out"
    home.mkdir()
    out.mkdir()
    (out / "pairs.txt").write_text("1\t1\nGrace\t1\t1\nGrace\t1\tEileen\t1\n")
    trace = tmp_path / "trace.txt"
    if subprocess.run([*_PREFIX, trace, "true"], check=False, capture_output=True).returncode:
        pytest.skip("the system allows no strace in a namespace of its own")
    places = {"image": hopper, "known": known, "out": out}
    environment = {
        **os.environ,
        "HOME": str(home),
        "FACEKIT_HOME": str(tmp_path / "facekit"),
        "TMPDIR": str(out),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    words = [word.format(**places) for word in command]
    answer = subprocess.run(
        [*_PREFIX, str(trace), sys.executable, "-m", "facekit", *words],
        capture_output=True,
        text=True,
        env=environment,
        cwd=home,
        check=False,
    )
    assert "Traceback" not in answer.stderr
    calls = trace.read_text(errors="replace")
    assert not re.findall(r"connect\(.*AF_INET6?.*", calls)
    allowed = (str(out), str(tmp_path / "facekit"), "/dev/", "/proc/")
    written = {path for path in _WRITES.findall(calls) if not path.startswith(allowed)}
    assert written == set()
