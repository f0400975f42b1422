"""The command that measures accuracy: evaluate."""

from __future__ import annotations

import argparse
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facekit.cli.common import DONE, answer, chosen_embedder, detector_for, reading_of
from facekit.cli.options import DETECTOR, READING, WEIGHTS, add_command, option
from facekit.errors import FileFormatError, InvalidArgumentError

if TYPE_CHECKING:
    from facekit.embedding import Embedder
    from facekit.evaluation.lfw import LFWResult


def add_commands(commands: Any) -> None:
    """Adds the command to the parser's."""
    add_command(
        commands,
        "evaluate",
        _evaluate_lfw,
        "measure accuracy on a benchmark",
        option("benchmark", ("lfw",), "lfw: View 2, ten folds or a part"),
        option("--data FOLDER", Path, "the photos; default: $FACEKIT_DATA/lfw"),
        option("--pairs FILE", Path, "default: pairs*.txt in the folder"),
        option("--alignment", ("similarity", "crop", "both"), "default: both", default="both"),
        option("--output PNG", Path, "draw the ROC curves here"),
        DETECTOR,
        *READING,
        *WEIGHTS,
        json="one object",
    )


def _evaluate_lfw(options: argparse.Namespace) -> int:
    from facekit.alignment import Aligner, AlignmentMode
    from facekit.evaluation import evaluate_lfw, read_pairs
    from facekit.visualization.files import check_replaceable

    if options.output is not None:
        if options.output.suffix.lower() != ".png":
            raise InvalidArgumentError(f"--output {options.output}: the name must end in .png")
        if not options.output.parent.is_dir():
            raise InvalidArgumentError(f"--output {options.output}: its folder does not exist")
        check_replaceable(options.output)
    folder = options.data or Path(os.environ.get("FACEKIT_DATA", ""), "lfw")
    pairs_file = options.pairs or _only_pairs_file(folder)
    pairs = read_pairs(pairs_file)
    embedder = chosen_embedder(options)
    both: tuple[AlignmentMode, ...] = ("similarity", "crop")
    modes = [mode for mode in both if options.alignment in (mode, "both")]
    own = embedder.aligner()
    results = evaluate_lfw(
        folder,
        pairs,
        detector=detector_for(options),
        embedder=embedder,
        aligners={
            mode: own if mode == own.mode else Aligner(embedder.input_size, mode) for mode in modes
        },
        **reading_of(options),
    )
    if options.output is not None:
        _write_roc(options.output, results)
    if not options.json:
        _print_lfw(results, pairs_file, embedder)
        return DONE
    values = {
        "weights": embedder.record.identity,
        "pairs_file": str(pairs_file),
        "results": {name: result.report.to_dict() for name, result in results.items()},
        "without_face": list(next(iter(results.values())).without_face),
    }
    return answer(options, values)


def _print_lfw(results: dict[str, LFWResult], pairs_file: Path, embedder: Embedder) -> None:
    from rich.console import Console
    from rich.table import Table

    first = next(iter(results.values()))
    folds = len(first.report.fold_accuracies)
    table = Table(
        title=f"LFW View 2, {folds} folds, {first.report.pairs:,} pairs",
        caption=f"Weights {embedder.record.name}, trained with the alignment "
        f"{embedder.record.alignment['mode']}",
    )
    table.add_column("alignment")
    for name in results:
        table.add_column(name, justify="right")
    reports = [result.report for result in results.values()]
    lines: list[tuple[str, list[str]]] = [
        ("accuracy", [f"{r.accuracy:.2%} ± {r.standard_error:.2%}" for r in reports]),
        ("of each fold", [", ".join(f"{a:.2%}" for a in r.fold_accuracies) for r in reports]),
        ("threshold (mean)", [f"{sum(r.fold_thresholds) / folds:.3f}" for r in reports]),
        ("area under ROC", [f"{r.auc:.4f}" for r in reports]),
        ("equal error rate", [f"{r.eer:.2%}" for r in reports]),
    ]
    lines += [
        (f"TAR at FMR {rate * 100:g} %", [f"{r.tar_at_fmr[rate]:.2%}" for r in reports])
        for rate in first.report.tar_at_fmr
    ]
    for label, values in lines:
        table.add_row(label, *values)
    Console().print(table)
    print(f"Pairs: {pairs_file}")
    if first.without_face:
        print(f"No face found in {', '.join(first.without_face)}: the center was used.")


def _write_roc(path: Path, results: dict[str, LFWResult]) -> None:
    from facekit.evaluation.plots.roc import plot_roc
    from facekit.evaluation.verification import roc
    from facekit.io.files import replace_atomically
    from facekit.utils.figures import new_figure

    figure = new_figure(6, 4.5)
    curves = {name: roc(result.distances, result.same) for name, result in results.items()}
    plot_roc(curves, ax=figure.subplots())
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=150, metadata={"Software": "facekit"})
    replace_atomically(path, drawn.getvalue())


def _only_pairs_file(folder: Path) -> Path:
    found = sorted(folder.glob("pairs*.txt"))
    if len(found) != 1:
        raise FileFormatError(
            f"{folder}: {'holds several files' if found else 'holds no file'} of pairs; "
            "give the folder of LFW's photos with --data and its pairs.txt with --pairs"
        )
    return found[0]
