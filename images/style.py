"""What the scripts of this folder share: colors, boxes, arrows, and writing a picture twice.

Coordinates are pixels of a page, from the upper left corner, y downwards. Every picture comes in
two versions with a transparent background: one for light pages, one for dark ones. Letters are
written as outlines of fonts that come with matplotlib, so that they look the same everywhere.
"""

from __future__ import annotations

import base64
import io
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path as Outline
from PIL import Image

Point = tuple[float, float]

WIDTH = 760
"""The width of a picture that fills a page, in pixels."""
TEXT = 15.0
SMALL = 13.5
"""Sizes of letters in pixels; those of the serif font look as large as a sans serif's 12 and 11."""
DIGITS = 2
"""Decimal places of the outlines in the files: a hundredth of a pixel or less."""

SETTINGS = {
    "font.family": ["STIXGeneral"],
    "mathtext.fontset": "stix",
    "svg.fonttype": "path",
    "svg.hashsalt": "facekit",
    "path.simplify": False,
}


@dataclass(frozen=True)
class Tone:
    """A color's two shades: of an area, and of the line around it."""

    fill: str
    line: str


@dataclass(frozen=True)
class Palette:
    """The colors for one kind of page.

    Args:
        ink: Of letters.
        muted: Of letters that matter less, and of arrows.
        faint: Of lines in the background.
        blue, green, orange, purple, yellow, gray: Of things.
    """

    ink: str
    muted: str
    faint: str
    blue: Tone
    green: Tone
    orange: Tone
    purple: Tone
    yellow: Tone
    gray: Tone


# Lines are of Okabe and Ito's palette, which also the color-blind tell apart, or near it.
LIGHT = Palette(
    ink="#1f2328",
    muted="#57606a",
    faint="#c4cbd3",
    blue=Tone("#dcebf8", "#0072b2"),
    green=Tone("#d5f0e5", "#00845f"),
    orange=Tone("#fce4d4", "#c85500"),
    purple=Tone("#ece4f6", "#7d5ba6"),
    yellow=Tone("#fdf2c8", "#9a7400"),
    gray=Tone("#eef0f3", "#818b96"),
)
DARK = Palette(
    ink="#e6edf3",
    muted="#a3adb8",
    faint="#434b55",
    blue=Tone("#12304a", "#56b4e9"),
    green=Tone("#0d3a2d", "#3fc79a"),
    orange=Tone("#47260f", "#f39a4d"),
    purple=Tone("#31274a", "#bf9ff2"),
    yellow=Tone("#3b310e", "#e3b341"),
    gray=Tone("#23292f", "#8b96a2"),
)
PALETTES = {"light": LIGHT, "dark": DARK}


class Canvas:
    """A picture of a given size that things are drawn on.

    Args:
        width: In pixels.
        height: In pixels.
        palette: The colors of the page that it is for.
    """

    def __init__(self, width: float, height: float, palette: Palette) -> None:
        self.palette = palette
        self.figure = Figure(figsize=(width / 96, height / 96))
        FigureCanvasSVG(self.figure)
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, width), ylim=(height, 0))
        self.axes.axis("off")

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: float = TEXT,
        color: str | None = None,
        across: str = "center",
        down: str = "center_baseline",
        **options: object,
    ) -> None:
        """Writes words, with formulas between dollar signs."""
        self.axes.text(
            x,
            y,
            words,
            fontsize=size * 0.75,
            color=color or self.palette.ink,
            ha=across,
            va=down,
            **options,
        )

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        lines: str | Sequence[str] = (),
        tone: Tone | None = None,
        *,
        size: float = TEXT,
        radius: float = 5,
        dashed: bool = False,
    ) -> None:
        """Draws a box around the point (x, y), with lines of words in its middle."""
        tone = tone or self.palette.gray
        self.axes.add_patch(
            FancyBboxPatch(
                (x - width / 2, y - height / 2),
                width,
                height,
                boxstyle=f"round,pad=0,rounding_size={radius}",
                facecolor="none" if dashed else tone.fill,
                edgecolor=tone.line,
                linewidth=0.9,
                linestyle=(0, (4, 3)) if dashed else "solid",
                zorder=2,
            )
        )
        lines = [lines] if isinstance(lines, str) else list(lines)
        step = size * 1.25
        for index, line in enumerate(lines):
            small = index > 0
            self.text(
                x,
                y + (index - (len(lines) - 1) / 2) * step,
                line,
                size=min(size, SMALL) if small else size,
                zorder=3,
            )

    def disc(
        self, x: float, y: float, radius: float, tone: Tone, words: str = "", **options: object
    ) -> None:
        """Draws a disc around the point (x, y), with a sign in it."""
        style = {"facecolor": tone.fill, "edgecolor": tone.line, "linewidth": 0.9, "zorder": 3}
        self.axes.add_patch(Circle((x, y), radius, **{**style, **options}))
        if words:
            self.text(x, y, words, size=radius * 1.6, zorder=4)

    def line(self, points: Sequence[Point], *, radius: float = 7, **options: object) -> None:
        """Draws a line through points, its corners rounded."""
        self._stroke(points, radius, arrowstyle="-", **options)

    def arrow(self, points: Sequence[Point], *, radius: float = 7, **options: object) -> None:
        """Draws an arrow through points, its corners rounded."""
        self._stroke(points, radius, arrowstyle="-|>,head_length=4.2,head_width=2", **options)

    def _stroke(self, points: Sequence[Point], radius: float, **options: object) -> None:
        style = {
            "color": self.palette.muted,
            "linewidth": 1.0,
            "mutation_scale": 1,
            "joinstyle": "miter",
            "capstyle": "butt",
            "shrinkA": 0,
            "shrinkB": 0,
            "zorder": 1,
        }
        patch = FancyArrowPatch(path=_rounded(points, radius), **{**style, **options})
        self.axes.add_patch(patch)


def _rounded(points: Sequence[Point], radius: float) -> Outline:
    corners = [np.array(point, dtype=float) for point in points]
    vertices, codes = [corners[0]], [Outline.MOVETO]
    for before, corner, after in zip(corners, corners[1:], corners[2:], strict=False):
        legs = [end - corner for end in (before, after)]
        lengths = [float(np.hypot(*leg)) for leg in legs]
        cut = min(radius, *(length / 2 for length in lengths))
        start, end = (
            corner + leg / length * cut for leg, length in zip(legs, lengths, strict=True)
        )
        vertices += [start, corner, end]
        codes += [Outline.LINETO, Outline.CURVE3, Outline.CURVE3]
    return Outline([*vertices, corners[-1]], [*codes, Outline.LINETO])


def draw(
    name: str,
    folder: Path,
    size: tuple[float, float],
    title: str,
    paint: Callable[[Canvas], None],
) -> None:
    """Writes a picture for light pages and one for dark ones.

    Args:
        name: The files are called ``<name>-light.svg`` and ``<name>-dark.svg``.
        folder: Where to write them.
        size: Width and height in pixels.
        title: What the picture shows, for those who cannot see it.
        paint: Draws on a canvas.
    """
    for mode, palette in PALETTES.items():
        with mpl.rc_context(SETTINGS):
            canvas = Canvas(*size, palette)
            paint(canvas)
            written = io.StringIO()
            # Without a date, so that the same picture is the same file.
            canvas.figure.savefig(
                written, format="svg", transparent=True, metadata={"Date": None, "Title": title}
            )
        path = folder / f"{name}-{mode}.svg"
        path.write_text(_tidied(written.getvalue(), title), encoding="utf-8", newline="\n")


def _tidied(svg: str, title: str) -> str:
    """Shortens the outlines, and gives the picture a title that browsers and readers know."""

    def shortened(match: re.Match[str]) -> str:
        return re.sub(r"-?\d+\.\d+", lambda number: _short(number[0]), match[0])

    svg = re.sub(r'\bd="[^"]*"', shortened, svg)
    svg = re.sub(r"data:image/png;base64,([^\"]+)", _smaller, svg)
    svg = re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE)
    return re.sub(
        r"(<svg\b[^>]*)>",
        lambda tag: f'{tag[1]} role="img">\n <title>{escape(title)}</title>',
        svg,
        count=1,
    )


def _smaller(pixels: re.Match[str]) -> str:
    """Writes pixels inside the picture anew, without alpha: photos as JPEG, what is smaller."""
    image = Image.open(io.BytesIO(base64.b64decode(pixels[1]))).convert("RGB")
    written = []
    for kind, options in (("jpeg", {"quality": 82}), ("png", {})):
        file = io.BytesIO()
        image.save(file, kind, optimize=True, **options)
        written.append(f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}")
    return min(written, key=len)


def _short(number: str) -> str:
    text = f"{float(number):.{DIGITS}f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


@contextmanager
def clipped(canvas: Canvas, clip: object) -> Iterator[None]:
    """Cuts all that is drawn meanwhile at the border of a patch."""
    before = set(canvas.axes.get_children())
    yield
    for artist in set(canvas.axes.get_children()) - before:
        artist.set_clip_path(clip)


def output_folder() -> Path:
    """Returns the folder that the command line names, or else this one."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    folder.mkdir(parents=True, exist_ok=True)
    return folder
