"""Nothing is sent, and nothing is written where no one named it: by facekit or its dependencies."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

# Python runs a module of this name at the start of every process, children included.
REFUSE_CONNECTIONS = """
import os, socket

def refused(*arguments, **named):
    if getattr(arguments[0], "family", None) == getattr(socket, "AF_UNIX", -1):
        return original(*arguments, **named)
    with open(os.environ["CONNECTIONS"], "a") as stream:
        print(arguments[1:] or arguments, file=stream)
    raise OSError("the network is not there")

original = socket.socket.connect
socket.socket.connect = socket.socket.connect_ex = socket.socket.sendto = refused
socket.getaddrinfo = socket.gethostbyname = socket.create_connection = refused
"""


def leftovers(folder: Path, script: str) -> tuple[list[str], str]:
    """Runs a script in a fresh home, and returns the files in it and the connections tried."""
    home = folder / "home"
    home.mkdir()
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(REFUSE_CONNECTIONS)
    connections = folder / "connections.txt"
    # Some libraries report nothing where they believe to be tested.
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("XDG_", "FACEKIT_OFFLINE", "GITHUB_", "CI", "KERAS_HOME", "MPL"))
    }
    environment |= {
        "HOME": str(home),
        "USERPROFILE": str(home),
        "LOCALAPPDATA": str(home),
        "FACEKIT_HOME": str(folder / "facekit"),
        "CONNECTIONS": str(connections),
        "PYTHONPATH": os.pathsep.join([str(folder / "site"), *sys.path]),
    }
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    files = [str(path.relative_to(home)) for path in home.rglob("*")]
    return files, connections.read_text() if connections.exists() else ""


def test_importing_openvino_as_facekit_does_sends_and_writes_nothing(tmp_path: Path) -> None:
    script = "from facekit.utils.openvino import ov; ov.convert_model"
    assert leftovers(tmp_path, script) == ([], "")


def test_the_runtime_comes_without_the_conversion_tools(tmp_path: Path) -> None:
    script = (
        "import sys; from facekit.utils.openvino import ov\n"
        "loaded = [name for name, module in sys.modules.items() if module is not None]\n"
        "assert not {'openvino.tools.ovc', 'openvino_telemetry'} & {*loaded}"
    )
    assert leftovers(tmp_path, script) == ([], "")


def test_commands_send_nothing_and_write_only_what_is_named(
    tmp_path: Path, known: Path, hopper: Path
) -> None:
    script = f"""
from facekit.cli import main
known, photo = {str(known)!r}, {str(hopper)!r}
for arguments in (
    ["detect", photo],
    ["enroll", "people.facekit", "--from", known],
    ["recognize", "people.facekit", photo],
    ["verify", photo, photo],
    ["weights", "list"],
    ["weights", "verify"],
):
    status = main(arguments)
    assert status == 0, (arguments, status)
"""
    assert leftovers(tmp_path, script) == ([], "")


@pytest.mark.skipif(shutil.which("fc-list") is None, reason="needs fontconfig")
def test_new_fonts_are_noted_in_the_folder_of_facekit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fonts").mkdir()
    config = tmp_path / "fonts.conf"
    config.write_text(
        f"<fontconfig><dir>{tmp_path / 'fonts'}</dir>"
        '<cachedir prefix="xdg">fontconfig</cachedir></fontconfig>'
    )
    monkeypatch.setenv("FONTCONFIG_FILE", str(config))
    script = "from facekit.utils.figures import new_figure; new_figure(1, 1)"
    assert leftovers(tmp_path, script) == ([], "")
    assert any((tmp_path / "facekit" / "fontconfig").iterdir())


def test_ray_is_told_to_report_nothing_before_it_is_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from facekit.archive import on_ray

    class Ray(ModuleType):
        data = ModuleType("ray.data")

        def is_initialized(self) -> bool:
            return True

    seen = []

    def imported(name: str) -> ModuleType:
        seen.append(os.environ.get("RAY_USAGE_STATS_ENABLED"))
        return Ray(name)

    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    monkeypatch.setattr(on_ray, "import_extra", imported)
    with on_ray.connected(None, None):
        assert seen == ["0", "0"]
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


@pytest.mark.check
def test_training_and_plots_write_only_into_the_folder_of_facekit(tmp_path: Path) -> None:
    script = """
import numpy as np
from facekit import Architecture
from facekit.embedding import build_network
from facekit.visualization import plot_faces
build_network(Architecture(width=0.25, blocks=0.1, input_size=80, embedding_size=16))
plot_faces(np.zeros((9, 9, 3), np.uint8), []).figure.savefig("faces.png")
"""
    assert leftovers(tmp_path, script) == ([], "")
    assert (tmp_path / "faces.png").is_file()
