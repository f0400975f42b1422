"""The commands for videos and cameras: who appears when."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facekit.cli.common import (
    DONE,
    FAILED,
    INTERRUPTED,
    answer,
    chosen_embedder,
    count,
    persons,
    reading_of,
    say,
)
from facekit.cli.opening import follow, open_recognizer
from facekit.cli.options import DETECTION, WEIGHTS, add_command, option
from facekit.errors import InvalidArgumentError
from facekit.io.files import real_path, replace_atomically
from facekit.utils.progress import progress_bar

if TYPE_CHECKING:
    from facekit.recognizer import FaceRecognizer
    from facekit.video.recognition import VideoRecognition
    from facekit.video.result import VideoResult
    from facekit.video.tracks import Track


def add_commands(commands: Any) -> None:
    """Adds the commands to the parser's."""
    add_command(
        commands,
        "video",
        _video,
        "say who appears in a video, and when",
        option("video VIDEO", Path, "a video file"),
        *_SHARED,
        option(
            "--output FILE",
            Path,
            "write a copy with names, or with --blur an anonymized one; .mp4, .mov or .mkv",
        ),
        option(
            "--blur",
            ("known", "unknown", "all"),
            "make faces unrecognizable in the copy; searches every frame",
        ),
        option("--vtt FILE", Path, "write subtitles with the names"),
        option("--timeline FILE", Path, "draw a timeline of who appears when; .png"),
        option(
            "--enroll-unknown FOLDER",
            Path,
            "write the best faces of each stranger into this folder, to review before enrolling",
        ),
        option(
            "--stride NUMBER",
            int,
            "search one in this many frames; default: about eight per second, with --blur all",
        ),
        option("--overwrite", None, "replace existing files"),
        json="one object",
    )
    add_command(
        commands,
        "camera",
        _camera,
        "say who is in front of a camera, until Ctrl-C is pressed",
        option(
            "camera CAMERA",
            str,
            "the number of a camera, or the address of a stream (rtsp://…); default: 0",
            nargs="?",
            default="0",
        ),
        *_SHARED,
        option(
            "--patience SECONDS",
            float,
            "give up after this many seconds without a frame, 0 for never; default: 60",
            default=60.0,
        ),
        json="one object each time someone appears, is named or leaves, one per line",
    )


_SHARED = (
    option("--gallery GALLERY", Path, "the enrolled people; default: none"),
    option("--csv FILE", Path, "write a table: who, from, to"),
    option("--seconds NUMBER", float, "stop after this many seconds of the video"),
    option(
        "--min-faces NUMBER",
        int,
        "people with fewer good faces are not named; default: %(default)s",
        default=3,
    ),
    option("--any-quality", None, "use poor faces as well"),
    *DETECTION,
    *WEIGHTS,
)


def _video(options: argparse.Namespace) -> int:
    from facekit.video import write_annotated, write_review
    from facekit.video.encoding import check_new, check_suffix

    if options.blur and options.output is None:
        raise InvalidArgumentError("--blur needs --output, the file for the copy")
    outputs = _given(options.output, options.csv, options.vtt, options.timeline)
    files = [*outputs, *_given(options.video, options.gallery)]
    if len(set(map(_file_at, files))) < len(files):
        raise InvalidArgumentError(
            "each output file needs a name of its own, not that of the video or the gallery"
        )
    for path in outputs:  # before the long work
        check_new(path, overwrite=options.overwrite)
    if options.timeline is not None and options.timeline.suffix.lower() != ".png":
        raise InvalidArgumentError(f"--timeline {options.timeline}: the ending must be .png")
    if options.output is not None:
        check_suffix(options.output)
    if options.enroll_unknown is not None:
        from facekit.clustering.export import check_output

        check_output(options.enroll_unknown)
    stride = 1 if options.stride is None and options.blur else options.stride
    with _recognizer(options) as recognizer:
        run = _run(recognizer, options.video, options, stride=stride)
        interrupted = missing = ""
        try:
            with _bar("Searching", run.duration) as show:
                for frame in run:
                    show(frame.time)
        except KeyboardInterrupt:  # results so far are kept
            interrupted = "the rest of the video was not searched"
        result = run.result()
        written = _write_tables(result, options)
        try:
            if options.output is not None and not interrupted:
                missing = "the copy ends early"
                written.append(options.output)
                with _bar("Writing", result.duration) as show:
                    write_annotated(
                        result,
                        options.output,
                        blur=options.blur,
                        overwrite=options.overwrite,
                        progress=lambda index, time: show(time),
                    )
            if options.enroll_unknown is not None and not interrupted:
                missing = "the faces of strangers were not written"
                if write_review(result, options.enroll_unknown):
                    written.append(options.enroll_unknown)
        except KeyboardInterrupt:
            interrupted = missing
    answer(options, result.to_dict(), *_lines(result), *(f"Wrote {path}" for path in written))
    if result.unreadable:
        say(f"{count(result.unreadable, 'frame')} could not be decoded")
    announced = run.duration or 0.0
    if not interrupted and announced - result.duration > 1.0 + 2 * result.step:
        say(
            f"the last frame is at {result.duration:.1f} s, the file should last "
            f"{announced:.1f} s; it may be truncated"
        )
    if interrupted:
        say(f"interrupted; {interrupted}")
        return INTERRUPTED
    return FAILED if result.unreadable else DONE


def _given(*paths: Path | None) -> list[Path]:
    return [path for path in paths if path is not None]


def _file_at(path: Path) -> object:
    """Returns what two names of one file have in common, hard links included."""
    try:
        found = path.stat()
    except OSError:  # it does not exist yet
        return real_path(path)
    return found.st_dev, found.st_ino


def _write_tables(result: VideoResult, options: argparse.Namespace) -> list[Path]:
    from facekit.video import draw_timeline, to_csv, to_vtt
    from facekit.visualization import save_image

    if options.csv is not None:
        replace_atomically(options.csv, to_csv(result).encode("utf-8", "backslashreplace"))
    if options.vtt is not None:
        replace_atomically(options.vtt, to_vtt(result).encode("utf-8", "backslashreplace"))
    if options.timeline is not None:
        save_image(options.timeline, draw_timeline(result))
    return _given(options.csv, options.vtt, options.timeline)


def _lines(result: VideoResult) -> Iterator[str]:
    from facekit.video.tracks import shown_name

    yield (
        f"{result.source}: {result.duration:.1f} s, {count(result.searched, 'frame')} searched, "
        f"{persons(len(result.tracks))}"
    )
    for seen, track in result.appearances():
        yield f"  {seen.start:8.2f} to {seen.end:8.2f} s: {shown_name(track)}{_evidence(track)}"
    if result.passing:
        yield f"  {count(len(result.passing), 'track')} too short or too poor to be named"


def _evidence(track: Track) -> str:
    identity = track.identity
    faces = count(track.images, "face")
    return f", {faces}" + ("" if identity is None else f", distance {identity.distance:.2f}")


def _camera(options: argparse.Namespace) -> int:
    from facekit.video.encoding import check_new
    from facekit.video.live import LiveStream
    from facekit.video.tables import HEADER, table_line

    if options.csv is not None:
        check_new(options.csv)
    with ExitStack() as stack:
        recognizer = stack.enter_context(_recognizer(options))
        table = None
        if options.csv is not None:
            table = stack.enter_context(options.csv.open("w", encoding="utf-8", newline=""))
            table.write(HEADER)

        def on_track(track: Track) -> None:
            if table is not None and track.ended:
                table.writelines(table_line(seen, track) for seen in track.appearances)
                table.flush()
            _say(track, options)

        given = options.camera
        source = int(given) if given.isdecimal() and len(given) < 16 else given
        live = LiveStream(
            source, patience=options.patience or None, max_pixels=reading_of(options)["max_pixels"]
        )
        run = _run(recognizer, live, options, on_track=on_track, keep=False)
        try:
            for _ in run:
                pass
        except KeyboardInterrupt:  # the only way to end it: people present are recorded
            run.stop()
        finally:
            say(
                f"{count(run.searched, 'frame')} searched, {live.dropped} passed over, "
                f"{count(live.reconnects, 'break')}"
            )
    return DONE


def _say(track: Track, options: argparse.Namespace) -> None:
    from facekit.video.tracks import shown_name

    if options.json:
        shown = {**track.to_dict(), "ended": track.ended}
        for name in ("frames", "times", "boxes"):
            del shown[name]
        print(json.dumps(shown), flush=True)
        return
    if track.ended:
        what = f"{shown_name(track)} was there from {track.start:.1f} s"
    else:
        what = f"track {track.id} is {track.label}"
    print(f"{track.end:8.1f} s: {what}{_evidence(track)}", flush=True)


@contextmanager
def _recognizer(options: argparse.Namespace) -> Iterator[FaceRecognizer]:
    from facekit.quality import QualityGate
    from facekit.recognizer import FaceRecognizer

    if options.gallery is None:
        recognizer = FaceRecognizer(embedder=chosen_embedder(options), quality=QualityGate())
    else:
        recognizer = open_recognizer(options, options.gallery)
    with recognizer.gallery:
        follow(options, recognizer)
        yield recognizer


def _run(
    recognizer: FaceRecognizer, source: Any, options: argparse.Namespace, **more: Any
) -> VideoRecognition:
    return recognizer.video_recognition(
        source, min_faces=options.min_faces, seconds=options.seconds, **more
    )


@contextmanager
def _bar(description: str, duration: float | None) -> Iterator[Callable[[float], None]]:
    """Shows how many seconds of a video are done."""
    with progress_bar(f"{description}, seconds", round(duration or 0)) as bar:
        done = 0

        def show(time: float) -> None:
            nonlocal done
            if bar is not None and int(time) > done:
                bar.update(int(time) - done)
                done = int(time)

        yield show
