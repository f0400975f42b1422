"""Writing the groups of an archive for a person to review and name."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from facekit.clustering.albums import ArchiveClustering
from facekit.errors import FileFormatError, ImageError, InvalidArgumentError
from facekit.io.decoding import Truncated
from facekit.io.files import exists, without_nul
from facekit.io.folders import check_output_folder
from facekit.io.images import load_image
from facekit.utils.terminal import printable
from facekit.visualization import Tile, contact_sheet, save_image
from facekit.visualization.cutting import square_around
from facekit.visualization.files import file_name

_MOST_TILES = 60
_TILE_SIDE = 120
_PARTS = ("people", "sheets", "groups.json")
_UNFINISHED = ".facekit-unfinished-"


def group_name(number: int) -> str:
    """Returns the name of a group before it is named after a person."""
    return f"group-{number:03}"


def check_output(folder: str | os.PathLike[str]) -> None:
    """Checks that a folder does not already hold groups."""
    for part in _PARTS:
        if exists(Path(folder, part)):
            raise InvalidArgumentError(
                f"{os.fspath(folder)}: already holds groups ({part}); choose another folder"
            )


@contextmanager
def written_together(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Creates a hidden folder whose contents are moved into the given one when complete."""
    check_output(folder)
    folder = Path(folder)
    try:
        without_nul(folder).mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f"{_UNFINISHED}*"):  # by a run that was killed
            shutil.rmtree(left)
        with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=folder) as unfinished:
            for part in ("people", "sheets"):
                Path(unfinished, part).mkdir()
            yield Path(unfinished)
            _move_parts(Path(unfinished), folder)
    except OSError as error:
        raise FileFormatError(f"{printable(folder)}: cannot be written ({error})") from error


def write_json(record: Any, path: Path) -> None:
    """Writes values as JSON; names that are not UTF-8 are escaped so that Python restores them."""
    text = json.dumps(record, indent=1, ensure_ascii=False)
    path.write_bytes(text.encode("utf-8", "backslashreplace"))


def write_groups(
    found: ArchiveClustering,
    folder: str | os.PathLike[str],
    *,
    max_pixels: int | None = None,
    truncated: Truncated = "error",
) -> list[ImageError]:
    """Writes a folder of face crops and a contact sheet for each group, and a list of all faces.

    ``people/group-001`` holds the faces of the largest group, cropped from the images, and so on;
    ``sheets/group-001.png`` shows up to 60 of them, the most typical first, with the names of the
    images; ``groups.json`` lists all of them with image and location. After renaming the folders in
    ``people`` to the people's names and removing wrong crops, pass that folder to
    :meth:`facekit.FaceRecognizer.fit`.

    Args:
        found: The groups; their images must be files that still exist.
        folder: Where to write; created if it does not exist. Until everything is written, the
            output is in a hidden folder inside it, which is removed after a failure or an
            interruption.
        max_pixels: As for :func:`facekit.load_image`.
        truncated: Likewise.

    Returns:
        The reason for each image that could not be reread; its faces are listed but not cropped.

    Raises:
        FileFormatError: If the folder cannot be written.
        ImageError: If an image cannot be written.
        InvalidArgumentError: If the folder already holds groups, holds one of the images, or is
            inside the folder that was searched for them, where a later search would find the faces.

    Example:
        >>> import pathlib, tempfile
        >>> from facekit import Embedder, cluster_images
        >>> from facekit.clustering.export import write_groups
        >>> from matplotlib.cbook import get_sample_data
        >>> portrait = get_sample_data("grace_hopper.jpg", asfileobj=False)
        >>> found = cluster_images([portrait, portrait], embedder=Embedder("facekit-small"))
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> write_groups(found, folder)
        []
        >>> sorted(path.name for path in folder.iterdir())
        ['groups.json', 'people', 'sheets']
    """
    grouped = (face for group in found.groups for face in group.faces)
    read = {face.source for face in (*grouped, *found.ungrouped, *found.poor)}
    if found.folder is not None:
        read.add(found.folder)
    check_output_folder(folder, read, deep=True)
    with written_together(folder) as unfinished:
        return _write_parts(found, unfinished, max_pixels, truncated)


def _write_parts(
    found: ArchiveClustering, folder: Path, max_pixels: int | None, truncated: Truncated
) -> list[ImageError]:
    errors: list[ImageError] = []
    cuts: dict[int, list[tuple[int, Path]]] = defaultdict(list)
    for source, places in _by_image(found).items():
        try:
            pixels = load_image(source, max_pixels=max_pixels, truncated=truncated)
        except ImageError as error:
            errors.append(error)
            continue
        boxes = [found.groups[group].faces[rank].face.box for group, rank in places]
        crops = [square_around(pixels, box) for box in boxes]
        if not all(crop.size for crop in crops):
            errors.append(ImageError(f"{printable(source)}: has changed: a face is outside of it"))
            continue
        for (group, rank), crop in zip(places, crops, strict=True):
            name = file_name(f"{rank + 1:04}-{Path(source).stem}", ".png")
            cut = folder / "people" / group_name(group + 1) / name
            save_image(cut, crop)
            cuts[group].append((rank, cut))
    for number, group_cuts in sorted(cuts.items()):
        shown = sorted(group_cuts)[:_MOST_TILES]
        faces = found.groups[number].faces
        tiles = [
            Tile(load_image(cut), printable(Path(faces[rank].source).name)) for rank, cut in shown
        ]
        of_all = f", {len(shown)} shown" if len(shown) < len(faces) else ""
        title = f"{group_name(number + 1)}: {len(faces)} faces{of_all}"
        sheet = contact_sheet(tiles, columns=6, side=_TILE_SIDE, title=title)
        save_image(folder / "sheets" / f"{group_name(number + 1)}.png", sheet)
    write_json(found.to_dict(), folder / "groups.json")
    return errors


def _move_parts(source: Path, target: Path) -> None:
    """Moves the contents into place, all or none."""
    moved: list[str] = []
    try:
        for part in _PARTS:
            if (source / part).is_file() or any((source / part).iterdir()):
                (source / part).rename(target / part)
                moved.append(part)
    except BaseException:
        for part in moved:
            (target / part).rename(source / part)
        raise


def _by_image(found: ArchiveClustering) -> dict[str, list[tuple[int, int]]]:
    """Returns the grouped faces of each image, as group and rank, so that it is read only once."""
    places: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for number, group in enumerate(found.groups):
        for rank, face in enumerate(group.faces):
            places[face.source].append((number, rank))
    return places
