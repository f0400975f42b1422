"""Nothing is sent, and nothing is written but what was named: the commands, in a fresh home."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

# Replaces the socket layer before anything else is imported, and reports the first use.
WATCHED = """
import socket, sys
def refuse(*arguments, **named):
    sys.stderr.write("CONNECTION %r\\n" % (arguments,))
    raise OSError("no network")
for name in ("connect", "connect_ex", "sendto", "sendmsg"):
    setattr(socket.socket, name, refuse)
socket.create_connection = socket.getaddrinfo = refuse
import json
from facekit.cli import main
for command in json.loads(sys.argv[1]):
    assert main(command) in (0, 1), command
"""

COMMANDS = [
    ["detect", "{image}", "--output", "{out}/annotated"],
    ["verify", "{image}", "{image}"],
    ["enroll", "{out}/people", "Grace", "{image}"],
    ["fit", "{known}", "{out}/fitted"],
    ["cluster", "{known}", "--output", "{out}/groups"],
    ["weights", "list"],
    ["weights", "verify", "facekit-small"],
    ["demo", "--output", "{out}/demo"],
]


def test_nothing_is_sent_and_nothing_is_written_elsewhere(
    tmp_path: Path, known: Path, hopper: Path
) -> None:
    home, out, work = (tmp_path / name for name in ("home", "out", "work"))
    for folder in (home, out, work):
        folder.mkdir()
    before = {path: path.stat().st_mtime_ns for path in known.rglob("*")}
    places = {"image": hopper, "known": known, "out": out}
    commands = [[word.format(**places) for word in command] for command in COMMANDS]
    kept = ("PATH", "PYTHONPATH", "LANG", "TF_CPP_MIN_LOG_LEVEL", "LD_LIBRARY_PATH", "SYSTEMROOT")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment |= {
        "HOME": str(home),
        "FACEKIT_HOME": str(tmp_path / "facekit"),  # may be written to: compiled networks
        "USERPROFILE": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "TMPDIR": str(home),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    answer = subprocess.run(
        [sys.executable, "-c", WATCHED, json.dumps(commands)],
        capture_output=True,
        text=True,
        cwd=work,
        env=environment,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert "CONNECTION" not in answer.stderr
    written = [path for folder in (home, work) for path in folder.rglob("*") if path.is_file()]
    assert written == []
    assert {path: path.stat().st_mtime_ns for path in known.rglob("*")} == before
