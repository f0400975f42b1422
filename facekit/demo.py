"""The demonstration: names people in the images given, or in altered portraits."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from facekit.errors import EnrollmentWarning, InvalidArgumentError
from facekit.faces import RecognizedFace
from facekit.io.decoding import Truncated
from facekit.io.folders import check_output_folder
from facekit.io.images import MAX_PIXELS, Reading, RGBImage, image_suffixes, load_image
from facekit.recognizer import FaceRecognizer
from facekit.utils.progress import track
from facekit.utils.terminal import printable
from facekit.visualization import Tile, contact_sheet, draw_faces, save_image
from facekit.visualization.files import check_replaceable

_FIT = 360
_SHEET = "contact_sheet.png"


@dataclass(frozen=True)
class NamedImage:
    """An image of a known person, and the faces found in it."""

    path: Path
    person: str
    found: Sequence[RecognizedFace]

    @property
    def right(self) -> bool:
        """Whether the person is named, and no other enrolled person."""
        return {face.name for face in self.found} - {None} == {self.person}


def run_demo(
    output: Path,
    console: Console,
    *,
    known: Path | None = None,
    images: Path | None = None,
    max_pixels: int = MAX_PIXELS,
    truncated: Truncated = "error",
) -> bool:
    """Runs the demonstration and writes an annotated contact sheet."""
    if (known is None) != (images is None):
        raise InvalidArgumentError("give both known (people to enroll) and images (images to name)")
    read = [folder for folder in (known, images) if folder is not None]
    for folder in read:
        if not folder.is_dir():
            raise InvalidArgumentError(f"{folder}: no such folder")
    check_output_folder(output, read, deep=True)
    check_replaceable(output / _SHEET)
    if known is not None and images is not None:
        reading: Reading = {"max_pixels": max_pixels, "truncated": truncated}
        return _name_people(known, images, output, console, reading)
    right = _show_portraits(output, console)
    console.print(
        "To see more, name two folders with one folder of photos per person: facekit demo --known "
        "train --images val",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return right


def _name_people(
    known: Path, images: Path, output: Path, console: Console, reading: Reading
) -> bool:
    recognizer = FaceRecognizer(**reading)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EnrollmentWarning)
        recognizer.fit(known)
    console.print(recognizer.report_.summary(), markup=False, highlight=False, soft_wrap=True)
    paths = sorted(path for path in images.glob("*/*") if path.suffix.lower() in image_suffixes())
    named = [
        NamedImage(path, path.parent.name, recognizer.recognize(path))
        for path in track(paths, "Recognizing", total=len(paths), shown=True)
    ]
    right = sum(image.right for image in named)
    console.print(_table(named, right))
    tiles = [
        Tile(
            draw_faces(load_image(image.path, **reading), image.found, fit=_FIT),
            image.person,
            image.right,
        )
        for image in named
    ]
    title = f"{right} of {len(named)} photos named correctly, by {recognizer.embedder.record.name}"
    _save_sheet(contact_sheet(tiles, title=title, side=_FIT), output, console)
    return right == len(named)


def _table(named: Sequence[NamedImage], right: int) -> Table:
    table = Table(
        title=f"{right} of {len(named)} photos named correctly",
        caption="Distance: to the mean of the person's enrolled photos, between unit embeddings.",
    )
    table.add_column("Photo")
    table.add_column("Shows", no_wrap=True)
    table.add_column("Named", no_wrap=True)
    table.add_column("Distance", justify="right")
    table.add_column("", no_wrap=True)
    for image in named:
        labels = (escape(printable(face.label)) for face in image.found)
        names = "\n".join(labels) or "no face found"
        distances = "\n".join(f"{face.distance:.2f}" for face in image.found)
        name = image.path.name
        short = name if len(name) <= 24 else f"{name[:11]}…{name[-12:]}"
        mark = "[green]✓[/]" if image.right else "[red]✗[/]"
        person = escape(printable(image.person))
        table.add_row(escape(printable(short)), person, names, distances, mark)
    return table


def _show_portraits(output: Path, console: Console) -> bool:
    portraits = portrait_paths()
    if not portraits:
        raise InvalidArgumentError(
            "no portraits are installed to show this with: pip install matplotlib scikit-image, or "
            "name two folders with one folder of photos per person: --known train --images val"
        )
    recognizer = FaceRecognizer()
    recognizer.fit(portraits, progress=False)
    people = " and ".join(portraits)
    console.print(
        f"Enrolled {people} with one portrait each; recognized in other images:", soft_wrap=True
    )
    questions: list[tuple[str, RGBImage, str | None]] = [
        (f"{name}, {change}", pixels, name)
        for name, path in portraits.items()
        for change, pixels in _changed(path)
    ]
    stranger = stranger_path()
    if stranger is not None:
        questions.append(("A photographer", load_image(stranger), None))
    tiles, all_right = [], True
    for title, pixels, expected in questions:
        found = recognizer.recognize(pixels)
        right = [face.name for face in found] == [expected]
        all_right = all_right and right
        names = ", ".join(f"{face.label} (distance {face.distance:.2f})" for face in found)
        console.print(f"  {title}: {names or 'no face found'}", highlight=False, soft_wrap=True)
        tiles.append(Tile(draw_faces(pixels, found, fit=_FIT), title, right))
    _save_sheet(contact_sheet(tiles, columns=4, side=_FIT), output, console)
    return all_right


def _changed(portrait: Path) -> Iterator[tuple[str, RGBImage]]:
    """Yields a portrait as another camera might have taken it."""
    image = Image.fromarray(load_image(portrait))
    half = image.reduce(2)
    dim = half.rotate(12, Image.Resampling.BICUBIC).point(lambda value: value // 2)
    yield "mirrored", np.asarray(ImageOps.mirror(image))
    yield "tilted and dim", np.asarray(dim)
    yield "small and gray", np.asarray(half.convert("L").convert("RGB"))


def portrait_paths() -> dict[str, Path]:
    """Returns the public-domain portraits in installed Python packages, by name.

    Grace Hopper's comes with matplotlib, Eileen Collins' with scikit-image.

    Example:
        >>> from facekit.demo import portrait_paths
        >>> list(portrait_paths())[0]
        'Grace Hopper'
    """
    places = {
        "Grace Hopper": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
        "Eileen Collins": ("skimage", "data/astronaut.png"),
    }
    found = {name: _file_of(*place) for name, place in places.items()}
    return {name: path for name, path in found.items() if path is not None}


def stranger_path() -> Path | None:
    """Returns a public-domain (CC0) image of an unnamed photographer.

    Returns:
        The file from scikit-image, or ``None`` if scikit-image is not installed.

    Example:
        >>> from facekit.demo import stranger_path
        >>> path = stranger_path()
        >>> path is None or path.name
        'camera.png'
    """
    return _file_of("skimage", "data/camera.png")


def _file_of(package: str, inside: str) -> Path | None:
    """Returns a file of an installed package."""
    spec = importlib.util.find_spec(package)
    path = Path(spec.origin).parent / inside if spec and spec.origin else None
    return path if path is not None and path.is_file() else None


def _save_sheet(sheet: RGBImage, output: Path, console: Console) -> None:
    path = output / _SHEET
    save_image(path, sheet, replace=False)
    console.print(f"Wrote {printable(path)}", highlight=False, markup=False, soft_wrap=True)
