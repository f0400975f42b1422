"""Each command under strace, without a network: no connection, no file made elsewhere."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facekit import Architecture, Embedder, FaceRecognizer
from facekit.cli import _parser, main
from facekit.video import write_frames
from tests.portrait_video import portrait_frames
from tests.small_networks import random_pictures

# For each command of the parser what to call it with, and the exit code. {work} is the folder that
# everything lies in.
COMMANDS: dict[str, tuple[str, int]] = {
    "detect": ("{photos}/Grace --output {work}/annotated", 0),
    "fit": ("{photos} {work}/fitted", 0),
    "recognize": ("{gallery} {photos}/Grace --output {work}/named", 0),
    "verify": ("{photo} {photo}", 0),
    "completion": ("bash", 0),
    "explain": ("{gallery} {photo}", 0),
    "demo": ("--output {work}/demo", 0),
    "gallery info": ("{gallery}", 0),
    "gallery check": ("{gallery}", 0),
    "gallery compact": ("{gallery}", 0),
    "gallery repair": ("{gallery} --output {work}/repaired", 0),
    "gallery migrate": ("{gallery} --weights facekit-small --output {work}/migrated", 0),
    "enroll": ("{gallery} Grace {photo}", 0),
    "people": ("{gallery}", 0),
    "remove": ("{gallery} Eileen", 0),
    "rename": ("{gallery} Eileen Collins", 0),
    "merge": ("{gallery} Eileen Grace", 0),
    "calibrate": ("{gallery}", 0),
    "review list": ("{gallery}", 0),
    "review suggest": ("{gallery} {photo}", 0),
    "review accept": ("{gallery} Grace {photo}", 0),
    "review reject": ("{gallery} Eileen {photo}", 0),
    "review link": ("{gallery} {photo} {other}", 0),
    "review separate": ("{gallery} {photo} {other}", 0),
    "review exclude": ("{gallery} {photo}", 0),
    "review once-per-image": ("{gallery}", 0),
    "review undo": ("{gallery}", 0),
    "cluster": ("{photos}/Grace {photos}/Eileen --output {work}/groups", 0),
    "index": ("{photos}/Grace {work}/new.table", 0),
    "archive info": ("{table} --check", 0),
    "archive identify": ("{table} {gallery} --output {work}/names.csv", 0),
    "archive cluster": ("{table} --output {work}/people.parquet", 0),
    "video": (
        "{work}/clip.mp4 --gallery {gallery} --output {work}/copy.mp4 --csv {work}/table.csv "
        "--vtt {work}/names.vtt --timeline {work}/time.png --enroll-unknown {work}/review",
        0,
    ),
    "camera": ("97 --patience 1 --gallery {gallery} --csv {work}/camera.csv", 2),  # none is there
    "web": ("{photos}/Grace --gallery {gallery} --port 99999", 2),  # there is no such port
    "evaluate": ("lfw --data {photos} --output {work}/roc.png", 0),
    "train": (
        "--data {work}/pool --folder {work}/trained --weights {small} --trainable head "
        "--no-augmentation --identities 3 --images 2 --validation 0 --epochs 1",
        0,
    ),
    "distill": (
        "--data {work}/pool --folder {work}/distilled --weights {small} --teacher {small} "
        "--batch-size 6 --validation 0 --epochs 1",
        0,
    ),
    "weights list": ("", 0),
    "weights show": ("facekit-small", 0),
    "weights pull": ("facekit-small", 0),
    "weights path": ("facekit-small", 0),
    "weights verify": ("facekit-small", 0),
}
# A system may refuse both: a container without privileges, for instance.
_CALLS = "connect,sendto,sendmsg,open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2"
_PREFIX = ["unshare", "-rn", "strace", "-f", "-qq", "-e", f"trace={_CALLS}", "-o"]
_MAKES = re.compile(r"(?:open\w*\(.*O_(?:WRONLY|RDWR|CREAT)|(?:creat|mkdir\w*|rename\w*)\()")
_PATH = re.compile(r'"((?:[^"\\]|\\.)*)"')


def _commands(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[str]:
    """Yields all commands that a parser knows, with those inside of others."""
    inner = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not inner:
        yield " ".join(words)
    for action in inner:
        for name, command in action.choices.items():
            yield from _commands(command, (*words, name))


def test_no_command_is_forgotten() -> None:
    assert set(COMMANDS) == set(_commands(_parser()))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, hopper: Path, astronaut: Path) -> Path:
    """A folder with photos, a gallery, a table, a video, faces to train with, and weights."""
    folder = tmp_path_factory.mktemp("prepared")
    people = {"Grace": hopper, "Eileen": astronaut}
    images = folder / "photos"
    for name, image in people.items():
        (images / name).mkdir(parents=True)
        for number in (1, 2):
            Image.open(image).convert("RGB").save(images / name / f"{name}_000{number}.jpg")
    rows = ["Grace\t1\t2", "Grace\t1\tEileen\t1", "Eileen\t1\t2", "Grace\t2\tEileen\t2"]
    (images / "pairs.txt").write_text("\n".join(["2\t1", *rows]))
    recognizer = FaceRecognizer().fit(people)
    recognizer.gallery.review.once_per_image()
    recognizer.save(folder / "people.facekit")
    assert main(["index", str(images / "Grace"), str(folder / "faces.table")]) == 0
    frames = portrait_frames(people, frames=8, size=(300, 640))
    write_frames(folder / "clip.mp4", frames, rate=12)
    _write_pool(folder / "pool")
    small = Architecture(width=0.1, blocks=0.1, input_size=80, embedding_size=16)
    with pytest.warns(UserWarning, match="random weights"):
        Embedder(weights=None, architecture=small).save(folder / "small.safetensors")
    return folder


@pytest.fixture
def work(tmp_path: Path, prepared: Path) -> Path:
    """A copy of the folder, that a command may change."""
    return Path(shutil.copytree(prepared, tmp_path / "work"))


def _write_pool(folder: Path) -> None:
    """Writes faces that are cut already: no detector is needed."""
    folder.mkdir()
    points = ["left_eye", "right_eye", "nose", "mouth_left", "mouth_right"]
    columns = [f"{point}_{axis}" for point in points for axis in "xy"]
    boxes = ["box_x1", "box_y1", "box_x2", "box_y2"]
    lines = [",".join(["archive", "name", "label", *boxes, *columns, "score"])]
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        for index, picture in enumerate(random_pictures(12, side=130)):
            with archive.open(f"{index}.webp", "w") as stream:
                Image.fromarray(np.ascontiguousarray(picture[:128, :128])).save(stream, "WEBP")
            lines.append(
                f"a.zip,{index}.webp,p{index % 4},21,10,106,118,45,50,83,50,64,73,48,90,80,90,0.999"
            )
    (folder / "index.csv").write_text("\n".join(lines))


@pytest.mark.skipif(
    "FACEKIT_TRACE" not in os.environ, reason="make fuzz runs it: set FACEKIT_TRACE=1"
)
@pytest.mark.parametrize("command", COMMANDS)
def test_the_system_calls_of_a_command(command: str, work: Path) -> None:
    if shutil.which("strace") is None or shutil.which("unshare") is None:
        pytest.skip("needs strace and unshare")
    trace = work / "trace.txt"
    if subprocess.run([*_PREFIX, trace, "true"], check=False, capture_output=True).returncode:
        pytest.skip("the system allows no strace in a namespace of its own")
    home, facekit_home, temporary = (work / name for name in ("home", "facekit", "temporary"))
    home.mkdir()
    temporary.mkdir()
    places = {
        "work": work,
        "photos": work / "photos",
        "photo": next((work / "photos" / "Grace").iterdir()),
        "other": next((work / "photos" / "Eileen").iterdir()),
        "gallery": work / "people.facekit",
        "small": work / "small.safetensors",
        "table": work / "faces.table",
    }
    words, expected = COMMANDS[command]
    named = [word.format(**places) for word in words.split()]
    outputs = {path for path in map(Path, named) if path.is_absolute() and not path.exists()}
    answer = subprocess.run(
        [*_PREFIX, str(trace), sys.executable, "-m", "facekit", *command.split(), *named],
        capture_output=True,
        text=True,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("XDG_")},
            "HOME": str(home),
            "FACEKIT_HOME": str(facekit_home),
            "TMPDIR": str(temporary),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),
        },
        cwd=home,
        check=False,
    )
    assert answer.returncode == expected, answer.stderr
    calls = trace.read_text(errors="replace").splitlines()
    assert [line for line in calls if "sa_family=AF_INET" in line] == []
    made = {
        path
        for line in calls
        if _MAKES.search(line) and " = -1 " not in line
        for path in _PATH.findall(line)
        if not path.startswith(("/dev/", "/proc/"))
    }
    # The system's own list of fonts, which matplotlib has brought up to date: as root alone.
    fonts = Path("/var/cache/fontconfig")
    allowed = (facekit_home, temporary, fonts, places["gallery"], *outputs)
    # Beside a file that is replaced in one step lies a hidden one of its name or ending, and beside
    # a gallery SQLite's log.
    elsewhere = {
        path
        for path in made
        if not any(
            Path(path).is_relative_to(place)
            or (
                Path(path).parent == place.parent
                and (
                    place.name in Path(path).name
                    or (Path(path).name.startswith(".") and Path(path).suffix == place.suffix)
                )
            )
            for place in allowed
        )
    }
    assert elsewhere == set()
    assert list(home.iterdir()) == []
