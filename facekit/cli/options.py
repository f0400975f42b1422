"""The options of the commands as data, with those that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple


class Option(NamedTuple):
    """An argument of a command, as ``add_argument`` takes it."""

    names: list[str]
    settings: dict[str, Any]


def option(form: str, kind: Any, help_text: str | None = None, **more: Any) -> Option:
    """Declares an argument.

    The form is as shown in the help, such as ``"-n, --number NUMBER"`` or ``"gallery GALLERY"``;
    the kind is a type, the allowed values, ``None`` for a switch, or ``bool`` for a switch with
    ``--no-``.
    """
    *names, last = form.split(", ")
    name, _, metavar = last.partition(" ")
    settings = {"help": help_text, **more}
    if metavar:
        settings["metavar"] = metavar
    if kind is None:
        settings["action"] = "store_true"
    elif kind is bool:
        settings |= {"action": argparse.BooleanOptionalAction, "default": None}
    elif isinstance(kind, tuple):
        settings["choices"] = kind
    else:
        settings["type"] = kind
    return Option([*names, name], settings)


def add_command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], int],
    help_text: str,
    *options: Option,
    json: str | None = None,
    csv: str | None = None,
    tensorflow: bool = False,
) -> argparse.ArgumentParser:
    """Adds a command; ``json`` and ``csv`` describe what these options print."""
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=help_text, description=help_text[0].upper() + help_text[1:] + "."
    )
    command.set_defaults(command=name, run=run, tensorflow=tensorflow)
    for names, settings in options:
        command.add_argument(*names, **settings)
    if json is not None:
        forms = command.add_mutually_exclusive_group()
        forms.add_argument("--json", action="store_true", help=f"print JSON: {json}")
        if csv is not None:
            forms.add_argument("--csv", action="store_true", help=f"print a table as CSV: {csv}")
    return command


GALLERY = option("gallery GALLERY", Path, "the gallery file")
WHO_IS_ENROLLED = option("gallery GALLERY", Path, "the gallery of enrolled people")
FPIR = option(
    "--fpir SHARE", float, "the share of strangers' faces that may get a name; default: 0.01"
)
CROPPED = option(
    "--cropped", None, "the images are cropped faces: use the whole image, detect nothing"
)
DETECTOR = option(
    "--detector", ("mtcnn", "yunet"), "the detector; default: mtcnn, or that of the gallery"
)
WEIGHTS = (
    option("--weights NAME", str, "the embedder's weights: a name or the path of a file"),
    option("--allow-unverified", None, "accept weights without a published checksum"),
    option("--int8", None, "compute embeddings in 8-bit integers, in about half of the time"),
)
READING = (
    option(
        "--max-pixels N",
        int,
        "refuse images with more pixels, width × height (default: 120 million)",
    ),
    option(
        "--truncated",
        ("error", "use"),
        "a JPEG whose end is missing: refuse it, or use what is there (default: error)",
    ),
)
DETECTION = (
    DETECTOR,
    option("--min-face-size PIXELS", float, "the side of the smallest face"),
    option("--max-image-side PIXELS", int, "search larger images in a reduced copy"),
    option("--max-faces NUMBER", int, "keep only the largest faces"),
    *READING,
)
EMBEDDING = (CROPPED, *DETECTION, *WEIGHTS)
FILES_FROM = option(
    "--files-from FILE",
    Path,
    "also read photos and folders from this list: one per line, or separated by NUL bytes; - is "
    "standard input",
)
IMAGES = (
    option(
        "images IMAGE",
        Path,
        "a photo, a folder of photos, or - for a list of them on standard input",
        nargs="*",
    ),
    option("-r, --recursive", None, "include subfolders"),
    FILES_FROM,
)
COPIES = option("--output FOLDER", Path, "write annotated copies into this folder")
FOLLOWED_GALLERY = option(
    "--gallery GALLERY", Path, "apply the corrections in this gallery (see facekit review)"
)
GROUP_ANY_QUALITY = option(
    "--any-quality", None, "group small, blurred, dark and turned faces as well"
)


def any_quality(what: str) -> Option:
    """Declares ``--any-quality``, which treats poor images of faces like others."""
    return option("--any-quality", None, f"{what} poor images of faces as well")
