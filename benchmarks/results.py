"""Keeps what the benchmarks measured in ``results.json``, where the pages take their figures from.

    python benchmarks/strangers.py known/ strangers/ --record
    facekit evaluate lfw --json | python benchmarks/results.py lfw
    python benchmarks/results.py

A benchmark with ``--record`` replaces its entry: the command, the identity of the weights, and the
results. ``lfw`` does so for the JSON of ``facekit evaluate lfw``. Without arguments the entries are
listed, and those are marked that were measured with another version of the weights than today's.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results.json")
_DIGITS = 6


def add_record(parser: argparse.ArgumentParser) -> None:
    """Adds the option that :func:`record_if_asked` looks for."""
    parser.add_argument(
        "--record",
        nargs="?",
        const="",
        metavar="VARIANT",
        help="write the results into results.json, from which the pages take their figures; a "
        "variant's name keeps runs with other settings apart",
    )


def record_if_asked(
    options: argparse.Namespace, subject: str, results: Mapping[str, Any], weights: str = ""
) -> None:
    """Replaces the benchmark's entry for a subject (the name of the weights, say)."""
    if options.record is not None:
        script = Path(sys.argv[0]).stem
        name = f"{subject}/{options.record}" if options.record else subject
        write(script, name, command_line(sys.argv), results, weights)


def write(
    benchmark: str, subject: str, command: str, results: Mapping[str, Any], weights: str
) -> None:
    """Replaces one entry of the file."""
    kept = json.loads(RESULTS.read_text(encoding="utf-8"))
    entry = {"command": command, **({"weights": weights} if weights else {})}
    kept.setdefault(benchmark, {})[subject] = {**entry, "results": _rounded(results)}
    kept = {name: dict(sorted(kept[name].items())) for name in sorted(kept)}
    unfinished = RESULTS.with_suffix(".partial")
    unfinished.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    unfinished.replace(RESULTS)


def in_data(folder: Path) -> str:
    """Returns what a folder is called in the folder of the data, or its last two parts."""
    data, path = Path(os.environ.get("FACEKIT_DATA", "data")).resolve(), folder.resolve()
    return (
        path.relative_to(data) if path.is_relative_to(data) else Path(*path.parts[-2:])
    ).as_posix()


def command_line(words: list[str]) -> str:
    """Returns a command as a page states it: folders by their names in the folder of the data."""
    data = Path(os.environ.get("FACEKIT_DATA", "data")).resolve()
    shown = ["python", f"benchmarks/{Path(words[0]).name}"]
    leave_out = False
    for word in words[1:]:
        path = Path(word).resolve()
        is_option = word.startswith("-")
        if is_option:
            leave_out = word in ("--record", "--cache", "--json")
        if path == data:
            word = "data"
        elif path.is_relative_to(data):
            word = path.relative_to(data).as_posix()
        if not leave_out:
            shown.append(word)
        leave_out = leave_out and is_option
    return shlex.join(shown)


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return round(value, _DIGITS) if isinstance(value, float) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("benchmark", nargs="?", choices=("lfw",), help="reads its JSON from stdin")
    if parser.parse_args().benchmark:
        given = json.load(sys.stdin)
        name, _, _ = given["weights"].partition("@")
        command = f"facekit evaluate lfw --weights {name}"
        results = {**given["results"], "without_face": len(given["without_face"])}
        write("lfw", name, command, results, given["weights"])
        return
    from facekit.embedding.weights.registry import REGISTRY

    for benchmark, entries in json.loads(RESULTS.read_text(encoding="utf-8")).items():
        for subject, entry in entries.items():
            weights = entry.get("weights", "")
            known = REGISTRY.get(weights.partition("@")[0])
            changed = known is not None and known.identity != weights
            note = f"  measured with another version than {known.identity}" if changed else ""
            print(f"{benchmark:20} {subject:40} {weights:30}{note}")


if __name__ == "__main__":
    main()
