"""Draws Inception-ResNet-v2: the whole network, its stem, its blocks and its reductions.

    python images/inception_resnet_v2.py [folder]

No number is written here. The function that builds the network of an embedder is called with a
builder that notes each layer, and the pictures show what it noted; a changed network changes them.

References:
    C. Szegedy, S. Ioffe, V. Vanhoucke and A. Alemi, "Inception-v4, Inception-ResNet and the Impact
    of Residual Connections on Learning", AAAI 2017, whose figures arrange the branches alike.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from style import SMALL, WIDTH, Canvas, Tone, draw, output_folder

from facekit.embedding import Architecture
from facekit.embedding.networks.backbones import BACKBONES
from facekit.embedding.networks.blocks import Convolution, GraphBuilder, Padding
from facekit.embedding.networks.names import FEATURES_LAYER, HEAD_LAYER

ARCHITECTURE = Architecture()
"""The network that is drawn: an embedder's, whole."""
SIDES = (ARCHITECTURE.input_size, 299)
"""Sides of the pictures whose output sizes are shown: the embedder's, and the paper's."""

Kind = Literal[
    "input", "convolution", "max pooling", "average pooling", "concatenation", "projection", "sum"
]


@dataclass(frozen=True)
class Layer:
    """A layer as it was built.

    Args:
        name: Its name in the network.
        kind: What it does.
        inputs: What it reads.
        side: The side of its output, in pixels.
        channels: The channels of its output.
        kernel: The height and width of its window.
        strides: How far its windows lie apart.
        padding: What happens at the border.
        scale: Of a projection: what its output is multiplied by.
        linear: Of a sum: whether no ReLU follows.
    """

    name: str
    kind: Kind
    inputs: tuple[Layer, ...] = field(repr=False)
    side: int
    channels: int
    kernel: tuple[int, int] = (1, 1)
    strides: int = 1
    padding: Padding = "same"
    scale: float = 1.0
    linear: bool = False

    @property
    def size(self) -> str:
        """Height, width and channels of its output."""
        return f"{self.side} × {self.side} × {self.channels}"

    @property
    def parameters(self) -> int:
        """How many numbers it holds, batch normalization included."""
        if self.kind not in ("convolution", "projection"):
            return 0
        # A projection has biases; after a convolution come mean, variance and shift.
        each = 1 if self.kind == "projection" else 3
        return (math.prod(self.kernel) * self.inputs[0].channels + each) * self.channels


class Recorder(GraphBuilder):
    """Goes through a graph and notes its layers; its tensors are layers.

    Args:
        width: Multiplies the number of filters of every layer, rounded to a multiple of eight.

    Attributes:
        layers: The layers in the order in which they were built.
    """

    def __init__(self, width: float) -> None:
        super().__init__(width)
        self.layers: list[Layer] = []

    def note(
        self,
        name: str,
        kind: Kind,
        inputs: Sequence[Layer],
        channels: int,
        *,
        kernel: tuple[int, int] = (1, 1),
        strides: int = 1,
        padding: Padding = "same",
        scale: float = 1.0,
        linear: bool = False,
    ) -> Layer:
        """Notes a layer, and works out the size of its output."""
        side = inputs[0].side
        side = -(-side // strides) if padding == "same" else (side - kernel[0]) // strides + 1
        layer = Layer(
            name, kind, tuple(inputs), side, channels, kernel, strides, padding, scale, linear
        )
        self.layers.append(layer)
        return layer

    def convolved(self, x: Layer, layer: Convolution) -> Layer:
        """Notes a convolution with its batch normalization and ReLU."""
        return self.note(
            layer.name,
            "convolution",
            [x],
            layer.filters,
            kernel=layer.sides,
            strides=layer.strides,
            padding=layer.padding,
        )

    def added(self, x: Layer, mixed: Layer, scale: float, name: str, *, linear: bool) -> Layer:
        """Notes the projection and the sum."""
        update = self.note(f"{name}_Conv2d_1x1", "projection", [mixed], x.channels, scale=scale)
        return self.note(f"{name}_Add", "sum", [x, update], x.channels, linear=linear)

    def max_pooling(self, x: Layer, name: str) -> Layer:
        """Notes a pooling that halves the sides."""
        return self.note(
            name, "max pooling", [x], x.channels, kernel=(3, 3), strides=2, padding="valid"
        )

    def average_pooling(self, x: Layer, name: str) -> Layer:
        """Notes a pooling that keeps the sides."""
        return self.note(name, "average pooling", [x], x.channels, kernel=(3, 3))

    def concatenation(self, branches: Sequence[Layer], name: str) -> Layer:
        """Notes a joint; the channels add up."""
        return self.note(name, "concatenation", branches, sum(b.channels for b in branches))


@dataclass(frozen=True)
class Stage:
    """A part of the network: the same block, once or several times.

    Args:
        title: What the pictures call it.
        names: What the layers of each repetition begin with.
        layers: The layers of the first repetition.
        last: The last layer of the last repetition.
        parameters: How many numbers all repetitions hold.
        others: The last two layers, projection and sum, of each repetition, if it is a residual.
    """

    title: str
    names: tuple[str, ...]
    layers: tuple[Layer, ...]
    last: Layer
    parameters: int
    others: tuple[tuple[Layer, Layer], ...] = ()


def recorded(side: int) -> list[Layer]:
    """Returns the layers of the backbone, built for pictures of that side."""
    build = Recorder(ARCHITECTURE.width)
    pictures = Layer("pictures", "input", (), side, 3)
    BACKBONES[ARCHITECTURE.backbone](build, pictures, blocks=ARCHITECTURE.blocks)
    return build.layers


def stages(layers: Sequence[Layer]) -> list[Stage]:
    """Groups layers by the blocks that their names tell, in order."""
    blocks: dict[str, list[Layer]] = {}
    for layer in layers:
        found = re.match(r"Block\d+_\d+|Mixed_\d\w|Conv2d_7b_1x1", layer.name)
        blocks.setdefault(found[0] if found else "Stem", []).append(layer)
    kinds: dict[str, list[str]] = {}
    for name in blocks:
        kinds.setdefault(re.sub(r"^(Block\d+)_\d+$", r"\1", name), []).append(name)
    grouped = []
    letters, reductions = iter("ABC"), iter("AB")
    for kind, names in kinds.items():
        first = blocks[names[0]]
        if kind.startswith("Block"):
            title = f"Block {next(letters)}"
        elif kind.startswith("Mixed"):
            halves = any(layer.strides > 1 for layer in first)
            title = f"Reduction {next(reductions)}" if halves else "Inception"
        else:
            title = "Stem" if kind == "Stem" else "Convolution"
        residual = first[-1].kind == "sum"
        grouped.append(
            Stage(
                title,
                tuple(names),
                tuple(first),
                blocks[names[-1]][-1],
                sum(layer.parameters for name in names for layer in blocks[name]),
                tuple((blocks[n][-2], blocks[n][-1]) for n in names) if residual else (),
            )
        )
    return grouped


def branches(block: Sequence[Layer]) -> tuple[Layer, list[list[Layer]], Layer]:
    """Takes a block apart.

    Returns:
        What the block reads, its branches from there on, and the layer that joins them.
    """
    joint = next(layer for layer in block if layer.kind == "concatenation")
    inside = {id(layer) for layer in block}
    chains = []
    for layer in joint.inputs:
        chain = [layer]
        while id(chain[0].inputs[0]) in inside:
            chain.insert(0, chain[0].inputs[0])
        chains.append(chain)
    return chains[0][0].inputs[0], chains, joint


BOX = (160, 44)
ROW = 68
STEP = BOX[0] + 24
"""From the middle of one branch to that of the next."""


def tone_of(canvas: Canvas, layer: Layer) -> Tone:
    """Returns the color of what a layer does."""
    colors = canvas.palette
    if layer.kind == "convolution":
        return colors.blue if layer.kernel == (1, 1) else colors.green
    return {
        "max pooling": colors.orange,
        "average pooling": colors.orange,
        "projection": colors.purple,
    }.get(layer.kind, colors.gray)


def words_of(layer: Layer) -> tuple[str, str]:
    """Returns what a layer's box says."""
    window = f"{layer.kernel[0]} × {layer.kernel[1]}"
    if layer.kind == "convolution":
        first, second = f"{window} conv", [f"{layer.channels} filters"]
    elif layer.kind == "projection":
        first, second = f"{window} conv, linear", [f"{layer.channels} filters"]
    else:
        first, second = f"{window} {layer.kind.replace('pooling', 'pool')}", []
    if layer.strides > 1 or not second:
        second.append(f"stride {layer.strides}")
    if layer.padding == "valid" and layer.kernel != (1, 1):
        second.append("V")
    return first, ", ".join(second)


def draw_layer(canvas: Canvas, layer: Layer, x: float, y: float, width: float = BOX[0]) -> None:
    canvas.box(x, y, width, BOX[1], words_of(layer), tone_of(canvas, layer))


def sizes(small: Layer, large: Layer) -> str:
    """Returns the size of an output at both sides of pictures, the larger in brackets."""
    return f"{small.size}   ({large.side} × {large.side})"


def draw_branches(
    canvas: Canvas, block: Sequence[Layer], top: float, left: float, right: float
) -> tuple[float, float]:
    """Draws what lies between a block's input, at the given height, and its joint.

    Returns:
        The middle of the joint: x and y.
    """
    _, chains, joint = branches(block)
    step = (right - left - BOX[0]) / (len(chains) - 1)
    middle = (left + right) / 2
    deepest = max(len(chain) for chain in chains)
    bus, first = top + 20, top + 40 + BOX[1] / 2
    bottom = first + (deepest - 1) * ROW + BOX[1] / 2 + 24
    for column, chain in enumerate(chains):
        x = left + BOX[0] / 2 + column * step
        way = [(middle, top), (middle, bus), (x, bus), (x, first - BOX[1] / 2)]
        canvas.arrow(way if abs(x - middle) > 1 else [way[0], way[-1]])
        for row, layer in enumerate(chain):
            y = first + row * ROW
            draw_layer(canvas, layer, x, y)
            below = y + ROW - BOX[1] / 2 if row < len(chain) - 1 else bottom
            canvas.arrow([(x, y + BOX[1] / 2), (x, below)])
    height = 28
    words = f"concatenation, {joint.channels} channels"
    canvas.box(middle, bottom + height / 2, right - left, height, words, canvas.palette.gray)
    return middle, bottom + height


def block_height(block: Sequence[Layer]) -> float:
    """Returns the height from a block's input to the lower edge of its joint."""
    deepest = max(len(chain) for chain in branches(block)[1])
    return 40 + BOX[1] + (deepest - 1) * ROW + 24 + 28


def input_of(canvas: Canvas, x: float, y: float, words: str, width: float = 190) -> None:
    canvas.box(x, y, width, 28, words, canvas.palette.gray, radius=14)


def paint_reduction(canvas: Canvas, small: Stage, large: Stage) -> None:
    inside = [branches(stage.layers)[0] for stage in (small, large)]
    heading(canvas, small)
    span = STEP * len(branches(small.layers)[1]) - 24
    left, right = (WIDTH - span) / 2, (WIDTH + span) / 2
    input_of(canvas, WIDTH / 2, 52, sizes(*inside))
    _, y = draw_branches(canvas, small.layers, 66, left, right)
    canvas.arrow([(WIDTH / 2, y), (WIDTH / 2, y + 24)])
    input_of(canvas, WIDTH / 2, y + 38, sizes(small.last, large.last))
    footnote(canvas, y + 76, small.layers)


def reduction_height(stage: Stage) -> float:
    return 66 + block_height(stage.layers) + 94


def paint_residual(canvas: Canvas, small: Stage, large: Stage) -> None:
    colors = canvas.palette
    inside = [branches(stage.layers)[0] for stage in (small, large)]
    heading(canvas, small)
    span = STEP * len(branches(small.layers)[1]) - 24
    shortcut = 60.0
    left = (WIDTH - span + shortcut) / 2
    middle = left + span / 2
    around = left - shortcut
    input_of(canvas, middle, 52, sizes(*inside))
    _, y = draw_branches(canvas, small.layers, 66, left, left + span)
    projection, total = small.others[0]
    canvas.arrow([(middle, y), (middle, y + 22)])
    draw_layer(canvas, projection, middle, y + 22 + BOX[1] / 2, 170)
    y += 22 + BOX[1]
    canvas.arrow([(middle, y), (middle, y + 22)])
    canvas.box(middle, y + 36, 74, 28, f"× {projection.scale:g}", colors.purple, radius=14)
    canvas.arrow([(middle, y + 50), (middle, y + 70)])
    y += 70
    canvas.disc(middle, y + 13, 13, colors.yellow)
    for dx, dy in ((6, 0), (0, 6)):
        ends = [(middle - dx, y + 13 - dy), (middle + dx, y + 13 + dy)]
        canvas.line(ends, color=colors.ink, linewidth=1.2, zorder=4)
    canvas.arrow(
        [(middle - 95, 52), (around, 52), (around, y + 13), (middle - 13, y + 13)], radius=10
    )
    canvas.text(around + 10, y + 1, "shortcut", size=SMALL, color=colors.muted, across="left")
    y += 26
    if not total.linear:
        canvas.arrow([(middle, y), (middle, y + 18)])
        canvas.box(middle, y + 31, 74, 26, "ReLU", colors.gray)
        y += 44
    canvas.arrow([(middle, y), (middle, y + 20)])
    input_of(canvas, middle, y + 34, sizes(small.last, large.last))
    footnote(canvas, y + 72, small.layers, exceptions(small))


def residual_height(stage: Stage) -> float:
    relu = 0 if stage.others[0][1].linear else 44
    note = 20 if exceptions(stage) else 0
    return 66 + block_height(stage.layers) + 22 + BOX[1] + 70 + 26 + relu + 90 + note


def exceptions(stage: Stage) -> str:
    """Says which repetitions of a residual block differ from the first, or nothing."""
    first = (stage.others[0][0].scale, stage.others[0][1].linear)
    found = []
    for name, (projection, total) in zip(stage.names, stage.others, strict=True):
        if (projection.scale, total.linear) != first:
            relu = "no ReLU" if total.linear else "with ReLU"
            found.append(f"{name}: × {projection.scale:g}, {relu}")
    return "; ".join(found)


def heading(canvas: Canvas, stage: Stage) -> None:
    times = f", {len(stage.names)} times" if len(stage.names) > 1 else ""
    canvas.text(16, 24, f"{stage.title}{times}", size=18, weight="bold", across="left")
    names = stage.names[0] + (f" … {stage.names[-1]}" if times else "")
    canvas.text(WIDTH - 16, 24, names, color=canvas.palette.muted, across="right")


def footnote(canvas: Canvas, y: float, layers: Sequence[Layer], exception: str = "") -> None:
    words = [
        f"Sizes at {SIDES[0]} px, in brackets at {SIDES[1]} px",
        "conv: with batch normalization and ReLU",
    ]
    if any(layer.kind == "projection" for layer in layers):
        words[-1] += ", unless linear"
    if any(layer.padding == "valid" and layer.kernel != (1, 1) for layer in layers):
        words.append("V: no padding")
    colors = canvas.palette
    canvas.text(WIDTH / 2, y, ";  ".join(words), size=SMALL, color=colors.muted)
    if exception:
        canvas.text(WIDTH / 2, y + 20, exception, size=SMALL, color=colors.muted)


def paint_stem(canvas: Canvas, small: Sequence[Stage], large: Sequence[Stage]) -> None:
    colors = canvas.palette
    chain = list(zip(small[0].layers, large[0].layers, strict=True))
    middle = WIDTH / 2
    canvas.text(16, 24, "Stem", size=18, weight="bold", across="left")
    chain.insert(0, tuple(layer.inputs[0] for layer in chain[0]))
    for x, side, across in ((middle - 104, 0, "right"), (middle + 104, 1, "left")):
        canvas.text(x, 24, f"{SIDES[side]} px", size=SMALL, color=colors.muted, across=across)
    input_of(canvas, middle, 52, "pictures", BOX[0])
    y = 52.0
    row = 62
    for index, pair in enumerate(chain):
        for x, layer, across in (
            (middle - 104, pair[0], "right"),
            (middle + 104, pair[1], "left"),
        ):
            canvas.text(x, y, layer.size, size=SMALL, across=across)
        if index:
            draw_layer(canvas, pair[0], middle, y)
        below = y + (BOX[1] / 2 if index else 14)
        if index < len(chain) - 1:
            y = 66 + 18 + BOX[1] / 2 + index * row
            canvas.arrow([(middle, below), (middle, y - BOX[1] / 2)])
    y += BOX[1] / 2
    mixed = small[1]
    span = STEP * len(branches(mixed.layers)[1]) - 24
    left, right = (WIDTH - span) / 2, (WIDTH + span) / 2
    canvas.text(16, y + 8, mixed.title, size=18, weight="bold", across="left")
    canvas.text(WIDTH - 16, y + 8, mixed.names[0], color=colors.muted, across="right")
    _, y = draw_branches(canvas, mixed.layers, y, left, right)
    canvas.arrow([(middle, y), (middle, y + 24)])
    input_of(canvas, middle, y + 38, sizes(mixed.last, large[1].last))
    footnote(canvas, y + 76, [*small[0].layers, *mixed.layers])


def stem_height(parts: Sequence[Stage]) -> float:
    return 84 + 62 * (len(parts[0].layers) - 1) + BOX[1] + block_height(parts[1].layers) + 94


def paint_network(canvas: Canvas, small: Sequence[Stage], large: Sequence[Stage]) -> None:
    colors = canvas.palette
    columns = (16, 210, 420, 560, WIDTH - 16)
    box_x, row, height = 116.0, 54, 34
    tones = {
        "Stem": colors.green,
        "Inception": colors.green,
        "Block A": colors.purple,
        "Block B": colors.purple,
        "Block C": colors.purple,
        "Reduction A": colors.orange,
        "Reduction B": colors.orange,
        "Convolution": colors.green,
    }
    for x, words, across in (
        (columns[2], f"output at {SIDES[0]} px", "center"),
        (columns[3] + 10, f"at {SIDES[1]} px", "center"),
        (columns[4], "parameters", "right"),
        (columns[1] + 16, "layers", "left"),
    ):
        canvas.text(x, 20, words, size=SMALL, color=colors.muted, across=across)
    canvas.line([(columns[0], 36), (columns[4], 36)], color=colors.faint)
    last = (small[-1].last, large[-1].last)
    features, d = last[0].channels, ARCHITECTURE.embedding_size
    pictures = [layers[0].layers[0].inputs[0] for layers in (small, large)]
    rows: list[tuple[str, int, Tone, str, str, str, int]] = [
        ("Pictures", 1, colors.gray, "", pictures[0].size, pictures[1].size, 0)
    ]
    for one, other in zip(small, large, strict=True):
        names = one.names[0]
        if len(one.names) > 1:
            names += f" … {len(one.names)}"
        elif one.title == "Stem":
            names = f"{one.layers[0].name} …"
        rows.append(
            (
                one.title,
                len(one.names),
                tones[one.title],
                names,
                one.last.size,
                other.last.size,
                one.parameters,
            )
        )
    rows += [
        ("Average pooling", 1, colors.orange, FEATURES_LAYER, f"{features}", f"{features}", 0),
        ("Dense", 1, colors.blue, HEAD_LAYER, f"{d}", f"{d}", (features + 1) * d),
        ("L2 normalization", 1, colors.yellow, "embedding", f"{d}", f"{d}", 0),
    ]
    for index, (title, times, tone, names, size, other, parameters) in enumerate(rows):
        y = 64 + index * row
        for shift in (6, 3) if times > 1 else ():
            canvas.box(box_x + shift, y - shift, 164, height, (), tone)
        words = f"{times} × {title[0].lower()}{title[1:]}" if times > 1 else title
        canvas.box(box_x, y, 164, height, words, tone)
        if index < len(rows) - 1:
            above = 6 if rows[index + 1][1] > 1 else 0
            canvas.arrow([(box_x, y + height / 2), (box_x, y + row - height / 2 - above)])
        canvas.text(columns[1] + 16, y, names, color=colors.muted, size=SMALL, across="left")
        canvas.text(columns[2], y, size)
        canvas.text(columns[3] + 10, y, other)
        count = f"{parameters:,}" if parameters else "–"
        canvas.text(columns[4], y, count, across="right")
    y = 64 + len(rows) * row - 26
    canvas.line([(columns[1] + 16, y), (columns[4], y)], color=colors.faint)
    total = sum(entry[-1] for entry in rows)
    canvas.text(columns[1] + 16, y + 18, "together", color=colors.muted, size=SMALL, across="left")
    canvas.text(columns[4], y + 18, f"{total:,}", across="right", weight="bold")


def main(folder: Path) -> None:
    small, large = (stages(recorded(side)) for side in SIDES)
    prefix = "inception_resnet_v2"
    draw(
        prefix,
        folder,
        (WIDTH, 64 + 54 * (len(small) + 4) + 8),
        "The whole Inception-ResNet-v2 of an embedder: its parts in order, with the size of the "
        "output and the number of parameters of each",
        lambda canvas: paint_network(canvas, small, large),
    )
    draw(
        f"{prefix}_stem",
        folder,
        (WIDTH, stem_height(small)),
        "The stem of Inception-ResNet-v2, layer by layer, and the Inception block after it",
        lambda canvas: paint_stem(canvas, small, large),
    )
    for one, other in zip(small, large, strict=True):
        name = f"{prefix}_{one.title.lower().replace(' ', '_')}"
        if one.others:
            draw(
                name,
                folder,
                (WIDTH, residual_height(one)),
                f"{one.title} of Inception-ResNet-v2: branches of convolutions, joined, projected, "
                "scaled and added to the block's input",
                lambda canvas, pair=(one, other): paint_residual(canvas, *pair),
            )
        elif one.title.startswith("Reduction"):
            draw(
                name,
                folder,
                (WIDTH, reduction_height(one)),
                f"{one.title} of Inception-ResNet-v2: branches of convolutions and a pooling halve "
                "the sides and are joined",
                lambda canvas, pair=(one, other): paint_reduction(canvas, *pair),
            )


if __name__ == "__main__":
    main(output_folder())
