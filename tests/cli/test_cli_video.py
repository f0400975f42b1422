"""The commands video and camera: what they write, refuse and keep when interrupted."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest
from local_server import serving
from portrait_video import portrait_frames

from facekit.cli import main
from facekit.video import VideoFile, VideoFrame, write_frames


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, hopper: Path, astronaut: Path) -> Path:
    """A gallery of one of two people, and a short video of both."""
    folder = tmp_path_factory.mktemp("video")
    frames = portrait_frames({"Grace": hopper, "Eileen": astronaut}, frames=24, size=(300, 640))
    write_frames(folder / "clip.mp4", frames, rate=12)
    assert main(["enroll", str(folder / "people"), "Grace", str(hopper)]) == 0
    return folder


def test_who_appears_when(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {name: tmp_path / name for name in ("copy.mp4", "table.csv", "names.vtt", "time.png")}
    arguments = ["video", str(folder / "clip.mp4"), "--gallery", str(folder / "people")]
    arguments += ["--output", str(files["copy.mp4"]), "--csv", str(files["table.csv"])]
    arguments += ["--vtt", str(files["names.vtt"]), "--timeline", str(files["time.png"])]
    arguments += ["--enroll-unknown", str(tmp_path / "review")]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "2 people" in out
    assert ": Grace, " in out
    assert all(path.stat().st_size for path in files.values())
    rows = list(csv.DictReader(files["table.csv"].read_text(encoding="utf-8").splitlines()))
    assert {row["name"] for row in rows} == {"Grace", "unknown"}
    assert len(list(VideoFile(files["copy.mp4"]).frames())) == 24
    assert list((tmp_path / "review" / "people").glob("unknown-*/*.png"))
    # Nothing is overwritten.
    assert main(arguments) == 2
    assert "already exists" in capsys.readouterr().err


def test_a_truncated_video_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Of noise, each frame has its share of the file.
    noise = np.random.default_rng(0).integers(0, 256, (16, 96, 128, 3), dtype=np.uint8)
    path = tmp_path / "clip.mkv"
    write_frames(path, (VideoFrame(n, n / 2, image) for n, image in enumerate(noise)), rate=2)
    assert main(["video", str(path)]) == 0
    assert not capsys.readouterr().err
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert main(["video", str(path)]) == 0
    assert "the file should last 8.0 s; it may be truncated" in capsys.readouterr().err


def test_json_and_no_gallery(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["video", str(folder / "clip.mp4"), "--json", "--stride", "4"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["people"], answer["searched"], answer["frames"]) == ([], 6, 24)


@pytest.mark.parametrize(
    ("more", "word"),
    [
        (["--blur", "all"], "--output"),
        (["--output", "copy.avi"], "ending"),
        (["--timeline", "time.jpg"], ".png"),
        (["--csv", "same", "--vtt", "same"], "a name of its own"),
        (["--gallery", "none"], "none"),
        (["--stride", "0"], "stride"),
    ],
)
def test_what_cannot_be_done_is_said_before_the_work(
    folder: Path,
    more: list[str],
    word: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["video", str(folder / "clip.mp4"), *more]) == 2
    assert word in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_gallery_is_no_output(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gallery = folder / "people"
    before = gallery.read_bytes()
    arguments = ["--gallery", str(gallery), "--csv", str(gallery), "--overwrite"]
    assert main(["video", str(folder / "clip.mp4"), *arguments]) == 2
    assert "a name of its own" in capsys.readouterr().err
    assert gallery.read_bytes() == before


def test_a_hard_link_to_the_video_is_no_output_either(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    link = tmp_path / "link.mp4"
    link.hardlink_to(folder / "clip.mp4")
    arguments = ["--output", str(link), "--csv", str(tmp_path / "t.csv"), "--overwrite"]
    assert main(["video", str(folder / "clip.mp4"), *arguments]) == 2
    assert "a name of its own" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["link.mp4"], "nothing was searched"


def test_a_missing_video_and_a_missing_camera(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["video", "none.mp4"]) == 2
    assert capsys.readouterr().err.startswith("facekit: error: none.mp4: no such file")
    assert main(["camera", "97", "--patience", "0.3"]) == 2
    assert "camera 97: sends no frames" in capsys.readouterr().err


def test_who_is_in_view_when_a_stream_gives_up_is_in_the_table(
    folder: Path, hopper: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (still,) = portrait_frames({"Grace": hopper}, frames=1, size=(300, 400))
    frames = (VideoFrame(n, n / 12, still.image) for n in range(36))
    write_frames(tmp_path / "part.mkv", frames)
    part = (tmp_path / "part.mkv").read_bytes()

    def camera(handler: BaseHTTPRequestHandler, number: int) -> None:
        if number > 1:
            handler.send_error(503)
        else:
            handler.send_response(200)
            handler.end_headers()
            for start in range(0, len(part), 500):
                handler.wfile.write(part[start : start + 500])
                time.sleep(0.03)

    table = tmp_path / "table.csv"
    arguments = ["--gallery", str(folder / "people"), "--csv", str(table), "--min-faces", "1"]
    with serving(camera) as (address, requested):
        assert main(["camera", f"{address}/live", *arguments, "--patience", "2"]) == 2
    assert len(requested) > 1
    said = capsys.readouterr()
    assert re.search(r"track \d+ is Grace", said.out)
    assert "Grace was there from" in said.out
    assert "sends no frames" in said.err
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    # A machine that is busy drops frames, and whoever is out of view for long gets a second row.
    assert {row["name"] for row in rows} == {"Grace"}


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one process")
@pytest.mark.parametrize(
    ("stage", "sent"),
    [
        ("searching", signal.SIGINT),
        pytest.param("writing", signal.SIGTERM, marks=pytest.mark.check),
    ],
)
def test_an_interruption_keeps_the_table_and_closes_the_copy(
    folder: Path, tmp_path: Path, stage: str, sent: signal.Signals
) -> None:
    (tmp_path / "copy.mp4").write_bytes(b"old")
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", SLOWLY, stage, str(folder / "clip.mp4"), str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell makes the programs that it runs in the background ignore interrupts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == f"{stage}\n"
    process.send_signal(sent)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert (tmp_path / "t.csv").read_text(encoding="utf-8").startswith("name,track,start,end")
    assert "2 people" in out
    if stage == "searching":
        assert "interrupted; the rest of the video was not searched" in err
        assert "copy.mp4" not in out
        assert (tmp_path / "copy.mp4").read_bytes() == b"old"
    else:
        assert "interrupted; the copy ends early" in err
        assert f"Wrote {tmp_path / 'copy.mp4'}" in out
        assert 5 <= len(list(VideoFile(tmp_path / "copy.mp4").frames())) < 24
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.mp4", "t.csv"]


# Stops after some frames until it is interrupted.
SLOWLY = """
import sys, time
from facekit.cli import main
from facekit.video.encoding import VideoWriter
from facekit.video.recognition import VideoRecognition
stage, video, folder = sys.argv[1:]
frames, add, seen = VideoRecognition.__iter__, VideoWriter.add, []
def stop(now):
    seen.append(now)
    if now == stage and seen.count(now) == 6:
        print(stage, flush=True)
        time.sleep(60)
def said(run):
    for frame in frames(run):
        stop("searching")
        yield frame
def added(*arguments):
    add(*arguments)
    stop("writing")
VideoRecognition.__iter__, VideoWriter.add = said, added
sys.argv = ["facekit", "video", video, "--csv", folder + "/t.csv", "--stride", "1"]
sys.argv += ["--output", folder + "/copy.mp4", "--overwrite"]
sys.exit(main())
"""
