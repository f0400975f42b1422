"""The command that groups unknown faces into people: cluster."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facekit.cli.common import (
    DONE,
    FAILED,
    answer,
    chosen_embedder,
    count,
    detector_for,
    folder_listings,
    listed_images,
    print_csv,
    reading_of,
    say,
)
from facekit.cli.options import (
    DETECTION,
    FILES_FROM,
    FOLLOWED_GALLERY,
    GROUP_ANY_QUALITY,
    WEIGHTS,
    add_command,
    option,
)

if TYPE_CHECKING:
    from facekit.clustering.albums import ArchiveClustering

# The faces found so far, in the output folder; deleted when all images have been read.
_JOURNAL = ".faces.partial"


def add_commands(commands: Any) -> None:
    """Adds the command to the parser's."""
    add_command(
        commands,
        "cluster",
        _cluster,
        "group the unknown faces of photos into people",
        option(
            "images IMAGE",
            Path,
            "a photo, a folder, searched recursively, or - for a list on standard input",
            nargs="*",
        ),
        FILES_FROM,
        option(
            "--output FOLDER",
            Path,
            "write a folder of faces and a contact sheet for each group into this folder",
        ),
        option(
            "--threshold DISTANCE",
            float,
            "largest distance of linked faces; default: depends on the weights",
        ),
        option("--min-faces NUMBER", int, "of a group; default: %(default)s", default=2),
        FOLLOWED_GALLERY,
        GROUP_ANY_QUALITY,
        *DETECTION,
        *WEIGHTS,
        json="one object",
        csv="one line per face, with the number of its group",
    )


def _cluster(options: argparse.Namespace) -> int:
    from facekit.clustering.albums import cluster_images
    from facekit.clustering.export import check_output, write_groups
    from facekit.gallery import Gallery
    from facekit.io.folders import check_output_folder
    from facekit.io.tables import DETECTION_COLUMNS
    from facekit.quality import QualityGate

    named = listed_images(options)
    if options.output is not None:
        check_output_folder(options.output, named, deep=True)
        check_output(options.output)
    listings = folder_listings(named, recursive=True)
    found_in = {folder: listing.checked().images for folder, listing in listings.items()}
    images = dict.fromkeys(image for path in named for image in found_in.get(path, [path]))
    decisions = None
    if options.gallery is not None:
        with Gallery.open(options.gallery) as gallery:
            decisions = gallery.decisions()
    found = cluster_images(
        list(images),
        detector=detector_for(options),
        **reading_of(options),
        embedder=chosen_embedder(options),
        quality=None if options.any_quality else QualityGate(),
        threshold=options.threshold,
        min_faces=options.min_faces,
        journal=None if options.output is None else options.output / _JOURNAL,
        decisions=decisions,
    )
    errors = list(found.errors)
    if options.output is not None:
        errors += write_groups(found, options.output, **reading_of(options))
    if options.csv:
        print_csv(found, ("group", *DETECTION_COLUMNS[:1], *DETECTION_COLUMNS[2:], "problems"))
    else:
        answer(options, found.to_dict(), *_lines(found, options.output))
    for error in errors:
        say(error)
    return FAILED if errors else DONE


def _lines(found: ArchiveClustering, output: Path | None) -> Iterator[str]:
    from facekit.clustering.export import group_name

    grouped = sum(map(len, found.groups))
    yield (
        f"{count(found.images, 'photo')}: {count(len(found.groups), 'group')} of "
        f"{count(grouped, 'face')}, {len(found.ungrouped)} not grouped, "
        f"{len(found.poor)} of poor quality"
    )
    for number, group in enumerate(found.groups, start=1):
        x, y, width, height = (round(value) for value in group.representative.face.box)
        yield (
            f"  {group_name(number)}: {count(len(group), 'face')}, such as {width} × {height} at "
            f"({x}, {y}) in {group.representative.source}"
        )
    if output is not None and found.groups:
        yield f"Wrote {output / 'people'}, {output / 'sheets'} and {output / 'groups.json'}"
        yield (
            f"To enroll: rename the folders in {output / 'people'} to the people's names, and run "
            f"facekit fit {output / 'people'} GALLERY"
        )
