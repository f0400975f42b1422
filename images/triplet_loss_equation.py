"""Typesets the triplet loss, with what its terms mean.

    python images/triplet_loss_equation.py [folder]

References:
    F. Schroff, D. Kalenichenko and J. Philbin, "FaceNet: A Unified Embedding for Face Recognition
    and Clustering", CVPR 2015, equation 3; the bracket [·]₊ is the paper's.
"""

from __future__ import annotations

from pathlib import Path

from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from style import SMALL, WIDTH, Canvas, Tone, draw, output_folder

TITLE = (
    "The triplet loss: the sum over all triplets of the squared distance from anchor to positive, "
    "minus that from anchor to negative, plus the margin, where this is above 0"
)
SIZE = 31.0
BASELINE = 66


def paint(canvas: Canvas) -> None:
    colors = canvas.palette
    # Each part of the formula, its size, color, and the words below it.
    parts: list[tuple[str, float, Tone | None, tuple[str, ...]]] = [
        (r"$L \;=$", 1.0, None, ()),
        (r"$\sum_{(a,\,p,\,n)}$", 1.0, None, ()),
        ("$[$", 1.6, None, ()),
        (
            r"$\Vert f(a) - f(p) \Vert^2$",
            1.0,
            colors.green,
            ("anchor to positive:", "photos of one person"),
        ),
        ("$-$", 1.0, None, ()),
        (
            r"$\Vert f(a) - f(n) \Vert^2$",
            1.0,
            colors.orange,
            ("anchor to negative:", "photos of two people"),
        ),
        ("$+$", 1.0, None, ()),
        (r"$\alpha$", 1.0, colors.yellow, ("margin",)),
        ("$]$", 1.6, None, ()),
        ("$+$", 0.6, None, ()),
    ]
    gaps = (10, 4, 3, 9, 9, 9, 9, 4, 2)
    widths = [_width(canvas, formula, SIZE * scale) for formula, scale, _, _ in parts]
    x = (WIDTH - sum(widths) - sum(gaps)) / 2
    for index, (formula, scale, tone, words) in enumerate(parts):
        # A bracket reaches as far below the line as above the letters; the last sign is an index.
        lower = 5 if scale > 1 else 11 if scale < 1 else 0
        canvas.text(
            x,
            BASELINE + lower,
            formula,
            size=SIZE * scale,
            color=tone.line if tone else None,
            across="left",
            down="baseline",
            math_fontfamily="cm",
        )
        if tone:
            _brace(canvas, x, x + widths[index], BASELINE + 17, tone)
            for row, line in enumerate(words):
                middle = x + widths[index] / 2
                canvas.text(middle, BASELINE + 46 + 18 * row, line, color=tone.line)
        x += widths[index] + (gaps[index] if index < len(gaps) else 0)
    note = r"$f(x)$: the embedding of photo $x$, $\Vert f(x) \Vert = 1$;    $[z]_+ = \max(0, z)$"
    canvas.text(WIDTH / 2, BASELINE + 102, note, size=SMALL + 1, color=colors.muted)


def _width(canvas: Canvas, formula: str, size: float) -> float:
    text = canvas.axes.text(0, 0, formula, fontsize=size * 0.75, math_fontfamily="cm")
    box = text.get_window_extent()
    text.remove()
    return box.width * 96 / canvas.figure.dpi


def _brace(canvas: Canvas, left: float, right: float, y: float, tone: Tone) -> None:
    middle = (left + right) / 2
    bend = min(7.0, (right - left) / 4)
    vertices = [(left, y)]
    for corner, end in (
        ((left, y + 6), (left + bend, y + 6)),
        (None, (middle - bend, y + 6)),
        ((middle, y + 6), (middle, y + 12)),
        ((middle, y + 6), (middle + bend, y + 6)),
        (None, (right - bend, y + 6)),
        ((right, y + 6), (right, y)),
    ):
        vertices += [corner, end] if corner else [end]
    curve = [Outline.CURVE3, Outline.CURVE3]
    codes = [Outline.MOVETO, *curve, Outline.LINETO, *curve, *curve, Outline.LINETO, *curve]
    outline = Outline(vertices, codes)
    canvas.axes.add_patch(PathPatch(outline, facecolor="none", edgecolor=tone.line, linewidth=1.1))


def main(folder: Path) -> None:
    draw("triplet_loss_equation", folder, (WIDTH, 188), TITLE, paint)


if __name__ == "__main__":
    main(output_folder())
