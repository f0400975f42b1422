"""Videos as files: true times, turned, damaged, empty, silent, and their copies."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from colored_people import COLORS, clip, naming, pipeline, write_clip
from hypothesis import given
from hypothesis import strategies as st

from facekit import FileFormatError, ImageError, InvalidArgumentError, load_image
from facekit.video import (
    VideoFile,
    VideoFrame,
    draw_timeline,
    to_csv,
    to_vtt,
    write_annotated,
    write_frames,
    write_review,
)
from facekit.video.encoding import VideoWriter
from facekit.video.recognition import VideoRecognition
from facekit.video.result import VideoResult

PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/hostname\n#EXT-X-ENDLIST\n"


def places(n: int) -> dict[str, tuple[float, float]]:
    return {"Red": (10 + 2 * n, 10), "Green": (100 - 2 * n, 60)}


def recognized(path: Path, *known: str, stride: int = 1) -> VideoResult:
    run = VideoRecognition(path, pipeline(), naming(*known) if known else None, stride=stride)
    for _ in run:
        pass
    return run.result()


def add_sound(path: Path, target: Path, seconds: float, codec: str = "aac") -> Path:
    """Copies a video and puts a tone beside it."""
    with av.open(str(path)) as source, av.open(str(target), "w") as output:
        video = source.streams.video[0]
        copy = output.add_stream_from_template(video)
        sound = output.add_stream(codec, rate=48000)
        for packet in source.demux(video):
            if packet.dts is not None:
                packet.stream = copy
                output.mux(packet)
        tone = (np.sin(np.arange(int(seconds * 48000)) / 20) * 9000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
        resampler = av.AudioResampler(sound.format, sound.layout, 48000, frame_size=1024)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(sound.encode(part))
        output.mux(sound.encode(None))
    return target


def sound_of(path: Path) -> bytes:
    with av.open(str(path)) as container:
        return b"".join(
            bytes(p) for p in container.demux(container.streams.audio[0]) if p.dts is not None
        )


def turn(path: Path, xx: int = 0, xy: int = 1, yx: int = -1, yy: int = 0) -> None:
    """Writes the display matrix into an MP4; by default, a turn by a quarter."""
    data = bytearray(path.read_bytes())
    header = data.index(b"tkhd")
    matrix = header + 4 + 40  # of a header of version 0
    one = 0x10000
    values = (xx * one, xy * one, 0, yx * one, yy * one, 0, 0, 0, 0x40000000)
    for place, value in enumerate(values):
        data[matrix + 4 * place : matrix + 4 * place + 4] = value.to_bytes(4, "big", signed=True)
    path.write_bytes(data)


@given(st.lists(st.integers(1, 400), min_size=1, max_size=6))
def test_frames_keep_their_times(gaps: list[int]) -> None:
    import tempfile

    moments = np.concatenate([[0.0], np.cumsum(gaps) / 1000])
    image = np.full((32, 48, 3), 90, dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "variable.mp4")
        write_frames(path, [VideoFrame(n, float(t), image) for n, t in enumerate(moments)])
        times = [frame.time for frame in VideoFile(path).frames()]
    assert times == pytest.approx(moments.tolist(), abs=1e-4)


def test_a_variable_frame_rate_is_in_the_table_and_in_the_copy(tmp_path: Path) -> None:
    moments = [0.0, 0.1, 0.2, 0.25, 0.3, 1.0, 1.7, 1.75]
    frames = [
        VideoFrame(n, moment, frame.image)
        for n, (moment, frame) in enumerate(zip(moments, clip(places, 8), strict=True))
    ]
    write_frames(tmp_path / "variable.mkv", frames)
    result = recognized(tmp_path / "variable.mkv", "Red")
    assert result.tracks[0].times.tolist() == pytest.approx(moments, abs=2e-3)
    write_annotated(result, tmp_path / "copy.mp4")
    times = [frame.time for frame in VideoFile(tmp_path / "copy.mp4").frames()]
    assert times == pytest.approx(moments, abs=2e-3)


def test_a_turned_video_is_turned_back(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "turned.mp4", lambda n: {"Red": (10, 10), "Green": (100, 60)})
    upright = next(VideoFile(path).frames()).image
    turn(path)
    video = VideoFile(path)
    assert video.size == (160, 96)
    # The matrix turns clockwise by a quarter.
    image = next(video.frames()).image
    assert np.abs(image.astype(int) - np.rot90(upright, -1)).max() < 12
    write_annotated(recognized(path, "Red"), tmp_path / "copy.mp4")
    assert VideoFile(tmp_path / "copy.mp4").size == (160, 96)


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("quarters", range(4))
def test_a_turned_and_mirrored_video_is_upright(
    tmp_path: Path, quarters: int, flipped: bool
) -> None:
    path = write_clip(tmp_path / "turned.mp4", lambda n: {"Red": (10, 10), "Green": (100, 60)})
    stored = next(VideoFile(path).frames()).image
    turned = np.linalg.matrix_power(np.array([[0, 1], [-1, 0]]), quarters)  # clockwise
    shown = np.rot90(stored, -quarters)
    if flipped:
        turned, shown = turned @ np.diag([-1, 1]), shown[:, ::-1]
    turn(path, *turned.ravel().tolist())
    image = next(VideoFile(path).frames()).image
    assert np.abs(image.astype(int) - shown).max() < 12


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".mov"])
def test_the_sound_is_kept_as_it_is(tmp_path: Path, ending: str) -> None:
    path = add_sound(write_clip(tmp_path / "a.mp4", places), tmp_path / "sound.mp4", 2.0)
    assert VideoFile(path).has_audio
    write_annotated(recognized(path, "Red"), tmp_path / f"copy{ending}")
    assert sound_of(tmp_path / f"copy{ending}") == sound_of(path)
    assert len(list(VideoFile(tmp_path / f"copy{ending}").frames())) == 20


def test_sound_that_the_container_cannot_hold_is_encoded_again(tmp_path: Path) -> None:
    path = add_sound(
        write_clip(tmp_path / "a.mp4", places), tmp_path / "sound.mkv", 2.0, "pcm_s16le"
    )
    write_annotated(recognized(path, "Red"), tmp_path / "copy.mp4")
    with av.open(str(tmp_path / "copy.mp4")) as container:
        audio = container.streams.audio[0]
        assert audio.codec_context.name == "aac"
        assert sum(frame.samples for frame in container.decode(audio)) / 48000 == pytest.approx(
            2, abs=0.1
        )


def test_a_copy_without_sound(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", places)
    write_annotated(recognized(path), tmp_path / "copy.mp4")
    assert not VideoFile(tmp_path / "copy.mp4").has_audio


def test_frames_of_odd_sides_are_written(tmp_path: Path) -> None:
    image = np.full((33, 47, 3), 90, dtype=np.uint8)
    write_frames(tmp_path / "odd.mp4", [VideoFrame(0, 0.0, image)])
    assert VideoFile(tmp_path / "odd.mp4").size == (34, 48)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not a video"),
        (b"no video at all" * 100, "is not a video"),
        (PLAYLIST, "is not a video"),
        (b"ffconcat version 1.0\nfile /etc/hostname\n", "is not a video"),
    ],
)  # fmt: skip
def test_what_is_no_video_is_one_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "file.mp4"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=words) as raised:
        VideoFile(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_file_and_a_folder_and_sound_alone(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        VideoFile(tmp_path / "none.mp4")
    with pytest.raises(ImageError, match="is a folder"):
        VideoFile(tmp_path)
    with av.open(str(tmp_path / "sound.mp4"), "w") as output:
        stream = output.add_stream("aac", rate=48000)
        silence = np.zeros((2, 1024), dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = 48000, 0
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    with pytest.raises(ImageError, match="no video"):
        VideoFile(tmp_path / "sound.mp4")
    with pytest.raises(ImageError, match="max_pixels"):
        VideoFile(write_clip(tmp_path / "a.mp4", places), max_pixels=1000)


def noisy(frames: int) -> list[VideoFrame]:
    """Draws a video of which each frame has its share of the file."""
    noise, found = np.random.default_rng(1), []
    for frame in clip(places, frames):
        image = np.where(noise.random((96, 160, 1)) < 0.1, np.uint8(200), frame.image)
        found.append(VideoFrame(frame.index, frame.time, image))
    return found


def damaged(path: Path) -> Path:
    """Spoils a few pictures in the middle of a video; what comes before and after stays."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        places = [(packet.pos, packet.size) for packet in packets[len(packets) // 3 :][:3]]
    data = bytearray(path.read_bytes())
    for start, size in places:
        # All that a decoder may do with it is to refuse it: no part of a picture is so long.
        data[start : start + size] = b"\xff" * size
    path.write_bytes(data)
    return path


def test_damaged_frames_are_counted_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "damaged.mp4"
    write_frames(path, noisy(30))
    result = recognized(damaged(path), "Red")
    assert result.unreadable > 0
    assert result.unreadable + result.frames >= 20
    assert result.frames >= 3
    write_annotated(result, tmp_path / "copy.mp4")
    assert len(list(VideoFile(tmp_path / "copy.mp4").frames())) == result.frames


def test_a_video_without_a_readable_frame_is_said(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", places)
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    end = start - 8 + int.from_bytes(data[start - 8 : start - 4], "big")
    data[start:end] = bytes(end - start)
    path.write_bytes(data)
    with pytest.raises(ImageError, match="holds no frame") as raised:
        VideoFile(path)
    assert str(path) in str(raised.value)
    # A file that ends after its header.
    with av.open(str(tmp_path / "b.mkv"), "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        output.start_encoding()
    with pytest.raises(ImageError, match=r"not a video that can be opened \(End of file\)"):
        VideoFile(tmp_path / "b.mkv")


def test_a_truncated_file_gives_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    write_frames(path, noisy(40))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    result = recognized(path, "Red")
    assert 0 < result.frames < 40
    # The index of an MP4 stands at its end.
    write_frames(tmp_path / "b.mp4", noisy(40))
    data = (tmp_path / "b.mp4").read_bytes()
    (tmp_path / "b.mp4").write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match="not a video that can be opened"):
        VideoFile(tmp_path / "b.mp4")


def test_nothing_is_written_to_standard_error(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", places)
    damaged(write_clip(tmp_path / "b.mp4", places))
    script = """
import sys
from facekit.errors import FacekitError
from facekit.video import VideoFile, write_annotated
from facekit.video.live import LiveStream
from facekit.video.recognition import VideoRecognition
from colored_people import pipeline
for name in sys.argv[1:]:
    run = VideoRecognition(name, pipeline(), stride=1)
    for _ in run: pass
    write_annotated(run.result(), name + ".copy.mp4")
try:
    next(LiveStream(97, patience=0.3).frames())
except FacekitError as error:
    print(error)
"""
    paths = [str(Path(__file__).parents[1]), *sys.path]
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "a.mp4"), str(tmp_path / "b.mp4")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.startswith("camera 97: sends no frames")


def is_covered(frame: VideoFrame, name: str) -> bool:
    """Whether the white spot of a square is not to be seen."""
    x, y = (round(value) for value in places(frame.index)[name])
    return int(frame.image[y + 4 : y + 6, x + 4 : x + 6].min()) < 150


@pytest.mark.parametrize(
    ("blur", "covered"),
    [("known", {"Red"}), ("unknown", {"Green"}), ("all", {"Red", "Green"})],
)
def test_faces_are_covered(tmp_path: Path, blur: str, covered: set[str]) -> None:
    # Three searches a second: the frames between are covered, too.
    path = write_clip(tmp_path / "a.mp4", places)
    result = recognized(path, "Red", stride=3)
    write_annotated(result, tmp_path / "copy.mp4", blur=blur)  # type: ignore[arg-type]
    frames = list(VideoFile(tmp_path / "copy.mp4").frames())
    assert len(frames) == 20
    for frame in frames:
        hidden = {name for name in ("Red", "Green") if is_covered(frame, name)}
        assert hidden == covered, frame.index


def test_a_copy_is_never_the_original_and_replaces_nothing(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", places)
    before = path.read_bytes()
    result = recognized(path)
    with pytest.raises(InvalidArgumentError, match="itself"):
        write_annotated(result, path, overwrite=True)
    (tmp_path / "there.mp4").write_bytes(b"mine")
    with pytest.raises(InvalidArgumentError, match="already"):
        write_annotated(result, tmp_path / "there.mp4")
    with pytest.raises(InvalidArgumentError, match="ending"):
        write_annotated(result, tmp_path / "copy.avi")
    with pytest.raises(InvalidArgumentError, match="folder"):
        write_annotated(result, tmp_path / "none" / "copy.mp4")
    assert path.read_bytes() == before
    write_annotated(result, tmp_path / "there.mp4", overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "there.mp4"]


def test_a_copy_that_fails_leaves_nothing_and_one_that_is_interrupted_can_be_played(
    tmp_path: Path,
) -> None:
    def write(name: str, frames: int, error: type[BaseException] | None) -> None:
        with VideoWriter(tmp_path / name, (32, 48)) as writer:
            for n in range(frames):
                writer.add(n / 10, np.zeros((32, 48, 3), dtype=np.uint8))
            if error is not None:
                raise error

    with pytest.raises(RuntimeError):
        write("a.mp4", 3, RuntimeError)
    with pytest.raises(FileFormatError, match="no frame"):
        write("a.mp4", 0, None)
    assert not list(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        write("a.mp4", 3, KeyboardInterrupt)
    assert len(list(VideoFile(tmp_path / "a.mp4").frames())) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_tables_say_who_from_to(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "a.mp4", lambda n: {"Red": (10, 10)} | ({"Blue": (90, 50)} if n > 9 else {})
    )
    result = recognized(path, "Red")
    rows = list(csv.DictReader(to_csv(result).splitlines()))
    assert [(row["name"], row["start"], row["end"]) for row in rows] == [
        ("Red", "0.000", "1.900"),
        ("unknown", "1.000", "1.900"),
    ]
    lines = to_vtt(result).splitlines()
    assert lines[0] == "WEBVTT"
    assert lines[2:4] == ["00:00:00.000 --> 00:00:01.900", "Red"]
    assert json.loads(json.dumps(result.to_dict()))["people"] == ["Red"]
    height, width = draw_timeline(result, width=500).shape[:2]
    assert (height, width) == (136, 500)
    assert [track.label for track in result.at(0.5)] == ["Red"]


def test_strangers_are_written_for_review_and_can_be_enrolled(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", places)
    result = recognized(path, "Red")
    (track,) = write_review(result, tmp_path / "review")
    assert track.label == "unknown"
    (folder,) = (tmp_path / "review" / "people").iterdir()
    cuts = sorted(folder.iterdir())
    assert 2 <= len(cuts) <= 5
    for cut in cuts:
        image = load_image(cut)
        middle = image[len(image) // 2, image.shape[1] // 2].astype(int)
        assert np.abs(middle - COLORS["Green"]).max() < 40
    assert list((tmp_path / "review" / "sheets").iterdir())
    with pytest.raises(InvalidArgumentError, match="already"):
        write_review(result, tmp_path / "review")


@pytest.mark.check
def test_memory_does_not_grow_with_the_frames() -> None:
    import tracemalloc

    image = clip(places, 1)[0].image

    def peak(frames: int) -> int:
        run = VideoRecognition(
            (VideoFrame(n, n / 25, image) for n in range(frames)), pipeline(), stride=1
        )
        tracemalloc.start()
        for _ in run:
            pass
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(50)
    # 44 bytes a face, and no pixels. Threads that other tests left may allocate meanwhile, too.
    assert any(peak(300) - peak(100) < 200 * 2 * 300 for _ in range(3))
