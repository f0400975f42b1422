"""The commands for weights: list, show, pull, verify and path."""

from __future__ import annotations

import argparse
import json
from typing import Any

from facekit.cli.common import DONE, NEGATIVE, answer, say
from facekit.cli.options import add_command, option
from facekit.errors import FacekitError, WeightsNotFoundError


def add_commands(commands: Any) -> None:
    """Adds the command with its own commands to the parser's."""
    group = add_command(commands, "weights", _list, "list, show, fetch and check weights")
    inner = group.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_command(inner, "list", _list, "list the weights known by name", json="one array")
    name = option("name NAME", str, "as `facekit weights list` names it")
    for command, run, help_text in (
        ("show", _show, "show what is known about a set of weights"),
        ("pull", _pull, "download weights, unless they are already here"),
        ("path", _path, "print the path of a weights file"),
    ):
        add_command(inner, command, run, help_text, name, json="one object")
    add_command(
        inner,
        "verify",
        _verify,
        "check that weights files are unaltered",
        option(
            "weights NAME|FILE",
            str,
            "a name or the path of a file; default: all weights that are on this machine",
            nargs="?",
        ),
        json="one array",
    )


def _list(options: argparse.Namespace) -> int:
    from facekit.embedding.weights.registry import DEFAULT_WEIGHTS, REGISTRY
    from facekit.embedding.weights.retrieval import find

    rows: list[dict[str, Any]] = []
    for record in REGISTRY.values():
        found = find(record)
        rows.append(
            {
                "name": record.name,
                "version": record.version,
                "default": record.name == DEFAULT_WEIGHTS,
                "input_size": record.architecture.input_size,
                "embedding_size": record.architecture.embedding_size,
                "path": None if found is None else str(found[0]),
            }
        )
    width = max(len(row["name"]) for row in rows)
    lines = [
        f"{row['name']:{width}}  {row['input_size']} px, {row['embedding_size']}-D, "
        + ("on this machine" if row["path"] else "not on this machine")
        + (", the default" if row["default"] else "")
        for row in rows
    ]
    return answer(options, rows, *lines)


def _show(options: argparse.Namespace) -> int:
    from facekit.embedding.weights.registry import record_for
    from facekit.embedding.weights.retrieval import bundled

    record = record_for(options.name)
    values = record.card()
    elsewhere = "the package" if record.name in bundled() else "no address"
    lines = []
    for key, value in values.items():
        title = key.replace("_", " ")
        if isinstance(value, dict):
            lines.append(f"{title}:" if value else f"{title}: none measured")
            for name, item in value.items():
                groups = item if isinstance(item, dict) else {}
                lines.append(f"  {name}:{'' if groups else f' {item}'}")
                lines += [f"    {group}: {figure}" for group, figure in groups.items()]
        elif isinstance(value, list):
            lines.append(f"{title}:")
            for file in value:
                lines.append(f"  {file['name']}")
                lines.append(f"    from: {file['url'] or elsewhere}")
                lines.append(f"    SHA-256: {file['sha256'] or 'none published'}")
        else:
            lines.append(f"{title}: {value}")
    return answer(options, values, *lines)


def _pull(options: argparse.Namespace) -> int:
    from facekit.embedding.weights.registry import record_for
    from facekit.embedding.weights.retrieval import check, fetch, find
    from facekit.utils.home import home

    record = record_for(options.name)
    found = find(record)
    if found is not None:
        path, file = found
        downloadable = file.url is not None and file.sha256 is not None
        if downloadable and path.parent == home() / "weights" / record.name:
            # A damaged file from an earlier download is replaced.
            path, file = fetch(record)
        check(path, file)
    else:
        path, _ = fetch(record)
    return answer(options, {"name": record.name, "path": str(path)}, str(path))


def _path(options: argparse.Namespace) -> int:
    from facekit.embedding.weights.registry import record_for
    from facekit.embedding.weights.retrieval import find, folders

    record = record_for(options.name)
    found = find(record)
    if found is None:
        raise WeightsNotFoundError(
            f"the weights {record.name!r} are not on this machine; looked in "
            f"{', '.join(map(str, folders(record)))}. `facekit weights pull {record.name}` "
            "downloads them, or says how"
        )
    return answer(options, {"name": record.name, "path": str(found[0])}, str(found[0]))


def _verify(options: argparse.Namespace) -> int:
    from facekit.embedding.weights.reading import looks_like_path
    from facekit.embedding.weights.registry import REGISTRY, record_for
    from facekit.embedding.weights.retrieval import find, locate

    names = [name for name, record in REGISTRY.items() if find(record) is not None]
    if options.weights is not None:
        names = [options.weights]
        if not looks_like_path(options.weights) and find(record_for(options.weights)) is None:
            locate(record_for(options.weights))
    results = [_verified(name) for name in names]
    if options.json:
        print(json.dumps(results))
    else:
        for result in results:
            if result["error"] is None:
                print(f"{result['weights']}: {result['answer']}")
            else:
                say(result["error"])
        if not results:
            print("No weights are on this machine.")
    return NEGATIVE if any(result["error"] for result in results) else DONE


def _verified(weights: str) -> dict[str, str | None]:
    from facekit.embedding.weights.reading import read_weights

    try:
        record, _ = read_weights(weights, allow_unverified=True)
    except WeightsNotFoundError:
        raise
    except FacekitError as error:
        return {"weights": weights, "identity": None, "answer": None, "error": str(error)}
    unpublished = any(file.sha256 is None for file in record.files)
    answer = "intact, fits its network; no checksum is published" if unpublished else "unaltered"
    return {"weights": weights, "identity": record.identity, "answer": answer, "error": None}
