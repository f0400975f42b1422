"""The commands for large archives of images: index, and archive info, identify, cluster."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from facekit.cli.common import (
    DONE,
    FAILED,
    answer,
    chosen_embedder,
    count,
    detector_for,
    persons,
    reading_of,
    say,
)
from facekit.cli.options import (
    DETECTION,
    FOLLOWED_GALLERY,
    GROUP_ANY_QUALITY,
    WEIGHTS,
    WHO_IS_ENROLLED,
    add_command,
    option,
)
from facekit.errors import InvalidArgumentError


def add_commands(commands: Any) -> None:
    """Adds the commands to the parser's."""
    add_command(
        commands,
        "index",
        _index,
        "find and embed the faces of an archive, into a Parquet table",
        *_INDEX,
        *_ENGINE,
        *DETECTION,
        *WEIGHTS,
        json="one object",
    )
    archive = add_command(commands, "archive", _info, "work with the table of facekit index")
    inner = archive.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, run, help_text, options in (
        ("info", _info, "show what a table holds", (_CHECK,)),
        ("identify", _identify, "name the people in a table", (*_IDENTIFY, *_OUTPUT, *_ENGINE)),
        (
            "cluster",
            _cluster,
            "group the faces of a table into people",
            (*_CLUSTER, *_OUTPUT, *_ENGINE),
        ),
    ):
        add_command(inner, name, run, help_text, _TABLE, *options, json="one object")


_TABLE = option("table TABLE", Path, "the folder of the table")
_CHECK = option("--check", None, "also read and verify the whole table")
_INDEX = (
    option(
        "images IMAGES",
        str,
        "a folder, searched recursively, photos, or an address such as s3://bucket",
        nargs="+",
    ),
    _TABLE,
    option(
        "--changed",
        ("stat", "content"),
        "how to detect changed photos: by size and time, or by content; default: %(default)s",
        default="stat",
    ),
    option("--prune", None, "remove the rows of deleted photos"),
    option("--retry-errors", None, "retry photos that could not be read"),
    option(
        "--partition-size NUMBER",
        int,
        "photos per file of the table; default: %(default)s",
        default=1000,
    ),
    option("--float32", None, "store embeddings in full precision, in twice the space"),
)
_IDENTIFY = (
    WHO_IS_ENROLLED,
    option("--once-an-image", None, "give each name at most once per photo"),
)
_CLUSTER = (
    FOLLOWED_GALLERY,
    option(
        "--threshold DISTANCE",
        float,
        "largest distance of linked faces; default: depends on the weights and the number of faces",
    ),
    option(
        "--album",
        ("folder", "day"),
        "link faces of one folder, or of one day, up to a wider distance",
    ),
    option("--min-faces NUMBER", int, "default: %(default)s", default=2),
    GROUP_ANY_QUALITY,
)
_OUTPUT = (
    option("--output FILE", Path, "the file for one row per face: .parquet or .csv", required=True),
    option("--overwrite", None, "replace an existing file"),
)
_ENGINE = (
    option(
        "--engine",
        ("local", "ray"),
        "this machine alone, or a Ray cluster; default: %(default)s",
        default="local",
    ),
    option("--workers NUMBER", int, "with Ray: number of workers, one core each"),
    option("--address ADDRESS", str, "with Ray: the cluster; default: RAY_ADDRESS, or here"),
)


def _engine(options: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(options, name) for name in ("engine", "workers", "address")}


def _index(options: argparse.Namespace) -> int:
    from facekit.archive import index_archive

    images: list[str] = options.images
    found = index_archive(
        images[0] if len(images) == 1 else images,
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
        say(found.passed_over)
    answer(
        options,
        found.to_dict(),
        f"{count(found.images, 'photo')}: {found.indexed} indexed, {found.unchanged} unchanged; "
        f"{found.table} holds {count(found.faces, 'face')}",
    )
    if not found.errors:
        return DONE
    say(f"{count(found.errors, 'photo')} could not be read; see the column error of the table")
    return FAILED


def _info(options: argparse.Namespace) -> int:
    from facekit.archive.table import ArchiveTable

    table = ArchiveTable(options.table)
    if options.check:
        table.check()
    found = {"weights": table.weights, "partitions": len(table.partitions), **table.counts()}
    return answer(options, found, *(f"{key}: {found[key]}" for key in found))


def _identify(options: argparse.Namespace) -> int:
    from facekit.archive import identify_archive, write_results

    _check_output(options)
    found = identify_archive(
        options.table, options.gallery, once_an_image=options.once_an_image, **_engine(options)
    )
    faces = write_results(found, options.output)
    values = {"faces": faces, "output": str(options.output)}
    return answer(options, values, f"{count(faces, 'face')} written to {options.output}")


def _cluster(options: argparse.Namespace) -> int:
    from facekit.archive import cluster_archive, write_results

    _check_output(options)
    found = cluster_archive(
        options.table,
        threshold=options.threshold,
        album=options.album,
        min_faces=options.min_faces,
        any_quality=options.any_quality,
        gallery=options.gallery,
        **_engine(options),
    )
    faces = write_results(found, options.output)
    people = len(set(found["person"].drop_null().to_pylist()))
    return answer(
        options,
        {"faces": faces, "people": people, "output": str(options.output)},
        f"{count(faces, 'face')}, {persons(people)}, written to {options.output}",
    )


def _check_output(options: argparse.Namespace) -> None:
    """Checks that the file of ``--output`` can be written, and does not exist unless allowed."""
    from facekit.archive.results import check_result_file

    if check_result_file(options.output).exists() and not options.overwrite:
        raise InvalidArgumentError(
            f"{options.output}: already exists; use --overwrite to replace it"
        )
