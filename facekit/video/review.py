"""The best faces of strangers, cropped for review before enrollment."""

from __future__ import annotations

import os
from pathlib import Path

from facekit.clustering.export import check_output, write_json, written_together
from facekit.io.images import RGBImage
from facekit.video.reading import VideoFile
from facekit.video.result import VideoResult
from facekit.video.tracks import Sighting, Track
from facekit.visualization import Tile, contact_sheet, save_image
from facekit.visualization.cutting import square_around


def write_review(
    result: VideoResult, folder: str | os.PathLike[str], *, faces: int = 5
) -> list[Track]:
    """Writes the best faces of each stranger into separate folders for review.

    ``people/unknown-003`` holds the best faces of track 3, each from a different moment;
    ``sheets/unknown-003.png`` shows them together; ``groups.json`` says when each is seen. Rename
    the folders in ``people`` to the people's names, delete the rest, and pass them to
    :meth:`facekit.FaceRecognizer.fit` or ``facekit enroll --from``. Nothing is enrolled
    automatically.

    Args:
        result: The result for a video file, which must still exist, because it is read again.
        folder: Where to write; created if it does not exist.
        faces: The maximum number of faces per person.

    Returns:
        The tracks that were written.

    Raises:
        ImageError: If the video cannot be read again.
        InvalidArgumentError: If the folder already holds groups.
        FileFormatError: If the folder cannot be written.

    Example:
        >>> import pathlib, tempfile
        >>> from facekit.video import write_review
        >>> from facekit.video.result import VideoResult
        >>> write_review(VideoResult("empty room.mp4"), pathlib.Path(tempfile.mkdtemp()))
        []
    """
    check_output(folder)
    chosen = {track.id: track.best_sightings(faces) for track in result.unknown}
    if not chosen:
        return []
    cuts = _cuts(Path(result.source), chosen)
    with written_together(folder) as unfinished:
        for track in result.unknown:
            _write(track, chosen[track.id], cuts, unfinished)
        about = [
            {"folder": _name(track), **track.to_dict(), "frames": None, "boxes": None}
            for track in result.unknown
        ]
        write_json({"source": result.source, "people": about}, unfinished / "groups.json")
    return list(result.unknown)


def _cuts(source: Path, chosen: dict[int, list[Sighting]]) -> dict[tuple[int, int], RGBImage]:
    places: dict[int, list[tuple[int, Sighting]]] = {}
    for number, sightings in chosen.items():
        for sighting in sightings:
            places.setdefault(sighting.frame, []).append((number, sighting))
    return {
        # Not a view, which would keep the frame.
        (number, frame.index): square_around(frame.image, sighting.box).copy()
        for frame in VideoFile(source).frames(lambda index, _: index in places)
        for number, sighting in places[frame.index]
    }


def _name(track: Track) -> str:
    return f"unknown-{track.id:03}"


def _write(
    track: Track, sightings: list[Sighting], cuts: dict[tuple[int, int], RGBImage], folder: Path
) -> None:
    tiles = []
    for rank, sighting in enumerate(sightings, start=1):
        cut = cuts.get((track.id, sighting.frame))
        if cut is None or not cut.size:
            continue
        name = f"{rank:02}-{sighting.time:.2f}s.png"
        save_image(folder / "people" / _name(track) / name, cut)
        tiles.append(Tile(cut, f"{sighting.time:.2f} s"))
    if tiles:
        seen = ", ".join(f"{start:.1f} to {end:.1f} s" for start, end in track.appearances[:5])
        sheet = contact_sheet(
            tiles, columns=len(tiles), side=120, title=f"track {track.id}: {seen}"
        )
        save_image(folder / "sheets" / f"{_name(track)}.png", sheet)
