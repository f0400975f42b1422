"""The commands about archives of very many photos: index, and archive info, identify, cluster."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facekit.cli.common import (
    DONE,
    FAILED,
    add_command,
    add_detection,
    add_json,
    add_weights,
    chosen_embedder,
    count,
    detector_for,
    reading_of,
)
from facekit.errors import InvalidArgumentError

if TYPE_CHECKING:
    from facekit.archive import ArchiveTable


def add_commands(commands: Any) -> None:
    """Adds the commands to the parser's."""
    index = add_command(
        commands, "index", _index, "find and embed the faces of an archive, into a Parquet table"
    )
    index.add_argument(
        "photos",
        nargs="+",
        metavar="PHOTOS",
        help="a folder of photos and of such folders, photos, or an address such as s3://bucket",
    )
    index.add_argument("table", type=Path, metavar="TABLE", help="the folder of the table")
    index.add_argument(
        "--changed",
        choices=("stat", "content"),
        default="stat",
        help="what tells that a photo has changed: its size and time, or its content; default: "
        "%(default)s",
    )
    index.add_argument(
        "--prune", action="store_true", help="remove the rows of photos that are not there any more"
    )
    index.add_argument(
        "--retry-errors", action="store_true", help="try photos again that could not be read"
    )
    index.add_argument(
        "--partition-size",
        type=int,
        default=1000,
        metavar="NUMBER",
        help="photos in one file of the table; default: %(default)s",
    )
    index.add_argument(
        "--float32", action="store_true", help="keep embeddings in full, in twice the space"
    )
    _add_engine(index)
    add_detection(index)
    add_weights(index)
    add_json(index, "one object")
    archive = add_command(commands, "archive", _info, "work with the table of facekit index")
    inner = archive.add_subparsers(title="commands", metavar="COMMAND", required=True)
    info = _add(inner, "info", _info, "show what a table holds")
    info.add_argument("--check", action="store_true", help="also read and check all of it")
    identify = _add(inner, "identify", _identify, "name the people in a table")
    identify.add_argument("gallery", type=Path, metavar="GALLERY", help="who is enrolled")
    identify.add_argument(
        "--once-an-image", action="store_true", help="give a name at most once in a photo"
    )
    cluster = _add(inner, "cluster", _cluster, "group the faces of a table into people")
    cluster.add_argument(
        "--threshold",
        type=float,
        metavar="DISTANCE",
        help="largest distance of linked faces; default: what suits weights and number of faces",
    )
    cluster.add_argument(
        "--album",
        choices=("folder", "day"),
        help="link faces of one folder, or of one day, up to a wider distance",
    )
    cluster.add_argument(
        "--min-faces", type=int, default=2, metavar="NUMBER", help="default: %(default)s"
    )
    cluster.add_argument(
        "--any-quality",
        action="store_true",
        help="group small, blurred, dark and turned faces as well",
    )
    for command in (identify, cluster):
        command.add_argument(
            "--output",
            type=Path,
            required=True,
            metavar="FILE",
            help="the file to write, one row a face: .parquet or .csv",
        )
        command.add_argument(
            "--overwrite", action="store_true", help="replace a file that is there"
        )
        _add_engine(command)


def _add(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], help_text: str
) -> argparse.ArgumentParser:
    command = add_command(commands, name, run, help_text)
    command.add_argument("table", type=Path, metavar="TABLE", help="the folder of the table")
    add_json(command, "one object")
    return command


def _add_engine(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="this machine alone, or a Ray cluster; default: %(default)s",
    )
    command.add_argument(
        "--workers", type=int, metavar="NUMBER", help="with Ray: how many workers, a core each"
    )
    command.add_argument(
        "--address", metavar="ADDRESS", help="with Ray: the cluster; default: RAY_ADDRESS, or here"
    )


def _engine(options: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(options, name) for name in ("engine", "workers", "address")}


def _index(options: argparse.Namespace) -> int:
    from facekit.archive import index_archive

    photos: list[str] = options.photos
    found = index_archive(
        photos[0] if len(photos) == 1 else photos,
        options.table,
        detector=detector_for(options),
        embedder=chosen_embedder(options),
        half=not options.float32,
        changed=options.changed,
        prune=options.prune,
        retry_errors=options.retry_errors,
        partition_size=options.partition_size,
        **reading_of(options),
        **_engine(options),
    )
    if found.passed_over:
        print(f"facekit: {found.passed_over}", file=sys.stderr)
    return _answer(
        options,
        found.to_dict(),
        f"{count(found.images, 'photo')}: {found.indexed} indexed, {found.unchanged} unchanged; "
        f"{found.table} holds {count(found.faces, 'face')}",
        found.errors,
    )


def _info(options: argparse.Namespace) -> int:
    table = _opened(options)
    if options.check:
        table.check()
    found = {"weights": table.weights, "partitions": len(table.partitions), **table.counts()}
    return _answer(options, found, "\n".join(f"{key}: {found[key]}" for key in found))


def _identify(options: argparse.Namespace) -> int:
    from facekit.archive import identify_archive, write_results

    _check_output(options)
    found = identify_archive(
        _opened(options),
        options.gallery,
        once_an_image=options.once_an_image,
        **_engine(options),
    )
    faces = write_results(found, options.output)
    return _answer(
        options,
        {"faces": faces, "output": str(options.output)},
        f"{count(faces, 'face')} written to {options.output}",
    )


def _cluster(options: argparse.Namespace) -> int:
    from facekit.archive import cluster_archive, write_results

    _check_output(options)
    found = cluster_archive(
        _opened(options),
        threshold=options.threshold,
        album=options.album,
        min_faces=options.min_faces,
        any_quality=options.any_quality,
        **_engine(options),
    )
    faces = write_results(found, options.output)
    people = len(set(found["person"].drop_null().to_pylist()))
    return _answer(
        options,
        {"faces": faces, "people": people, "output": str(options.output)},
        f"{count(faces, 'face')}, {people} {'person' if people == 1 else 'people'}, written to "
        f"{options.output}",
    )


def _check_output(options: argparse.Namespace) -> None:
    """Checks that a file of ``--output`` can be written and replaces no other file unasked."""
    from facekit.archive.results import check_result_file

    if check_result_file(options.output).exists() and not options.overwrite:
        raise InvalidArgumentError(
            f"{options.output}: is there already; give --overwrite to replace it"
        )


def _opened(options: argparse.Namespace) -> ArchiveTable:
    from facekit.archive import ArchiveTable

    return ArchiveTable(options.table)


def _answer(options: argparse.Namespace, found: dict[str, Any], words: str, errors: int = 0) -> int:
    if options.json:
        print(json.dumps(found))
    else:
        for line in words.splitlines():
            print(line)
    if errors:
        print(f"facekit: {errors} photos could not be read; their rows say why", file=sys.stderr)
    return FAILED if errors else DONE
