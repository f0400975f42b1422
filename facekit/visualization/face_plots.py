"""Plots of images and faces: matplotlib axes in, axes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from facekit.errors import InvalidArgumentError
from facekit.faces import Face, RecognizedFace
from facekit.io.images import ImageSource, load_image
from facekit.utils.extras import import_extra
from facekit.utils.figures import axes_or_new, plain, shorten
from facekit.utils.validation import aligned_faces, whole
from facekit.visualization.checks import check_results, one_each
from facekit.visualization.colors import color_of, text_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIDE = 6.0
_CELL = 1.25
_CAPTION = 0.18
_GAP = 0.06
_LETTERS = 8.0


def plot_faces(
    image: ImageSource,
    faces: Sequence[Face | RecognizedFace],
    *,
    keypoints: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Shows an image with boxes, keypoints and names.

    The overlay is vector graphics, crisp at any size and in a PDF. The colors are those of
    :func:`draw_faces`: green for known people, orange for strangers, blue for faces that were not
    identified. The label is the name with its distance, or the detector's confidence.

    Args:
        image: The image in which the faces were found.
        faces: What a :class:`facekit.Detector` or :class:`facekit.FaceRecognizer` found in it.
        keypoints: Whether to mark the five keypoints.
        ax: Where to draw; a new figure by default.

    Returns:
        The axes drawn on. Their data coordinates are the pixels of the image; the patches and
        texts are those of the faces, in their order.

    Raises:
        ImageError: If the image cannot be read.
        InvalidArgumentError: If something in ``faces`` is not a face, or ``ax`` is not an axes.

    Example:
        >>> import numpy as np
        >>> from facekit import Face, Keypoints
        >>> from facekit.visualization import plot_faces
        >>> points = Keypoints((30, 40), (70, 40), (50, 60), (35, 80), (65, 80))
        >>> face = Face(box=(10, 12, 80, 100), confidence=0.98, keypoints=points)
        >>> ax = plot_faces(np.zeros((128, 96, 3), dtype=np.uint8), [face])
        >>> ax.texts[0].get_text()
        '0.98'
    """
    rectangle = import_extra("matplotlib.patches").Rectangle
    check_results(faces)
    pixels = load_image(image)
    height, width = pixels.shape[:2]
    scale = _SIDE / max(width, height)
    ax = axes_or_new(ax, max(1.0, width * scale), max(1.0, height * scale))
    ax.imshow(pixels)
    # The most certain come first and end up on top.
    for layer, result in zip(range(len(faces), 0, -1), faces, strict=True):
        order = 2 + layer
        face = result.face if isinstance(result, RecognizedFace) else result
        color = tuple(value / 255 for value in color_of(result))
        x, y, box_width, box_height = face.box
        ax.add_patch(
            rectangle(
                (x, y), box_width, box_height, fill=False, edgecolor=color, lw=2, zorder=order
            )
        )
        if keypoints:
            points = face.keypoints.to_array()
            ax.scatter(
                points[:, 0], points[:, 1], s=14, color=color, edgecolors="white", lw=0.5,
                zorder=order, clip_on=True,
            )  # fmt: skip
        # Above the box, or inside it if there is not enough space. Near the right border, the label
        # ends where the box does, so that it stays inside the image.
        above, right = y > 0.06 * height, x > 2 / 3 * width
        ax.text(
            min(max(x + box_width * right, 0), width),
            min(max(y, 0), height),
            plain(text_of(result)),
            color="white",
            size=9,
            va="bottom" if above else "top",
            ha="right" if right else "left",
            bbox={"facecolor": color, "edgecolor": color, "pad": 1.5},
            zorder=order,
        )
    # Faces may lie partly beyond the border.
    ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    ax.set_axis_off()
    return ax


def plot_face_grid(
    faces: npt.ArrayLike,
    *,
    captions: Sequence[str] | None = None,
    columns: int = 8,
    ax: Axes | None = None,
) -> Axes:
    """Shows aligned faces in a grid, with a caption below each.

    Args:
        faces: The faces as :meth:`facekit.Aligner.align` returns them, uint8 ``(n, S, S, 3)``, RGB.
        captions: A caption for each face, shortened to the width of the face.
        columns: The number of columns.
        ax: Where to draw; a new figure by default.

    Returns:
        The axes drawn on. Their images and texts are those of the faces, in their order.

    Raises:
        InvalidArgumentError: If there are no faces or they have another shape or type, ``captions``
            has another length, or ``columns`` is not positive.

    Example:
        >>> import numpy as np
        >>> from facekit.visualization import plot_face_grid
        >>> faces = np.zeros((3, 160, 160, 3), dtype=np.uint8)
        >>> ax = plot_face_grid(faces, captions=["Ada", "Grace", "Alan"], columns=2)
        >>> [text.get_text() for text in ax.texts]
        ['Ada', 'Grace', 'Alan']
    """
    pixels = aligned_faces(faces, "faces")
    if not pixels.size:
        raise InvalidArgumentError(f"faces must hold at least one face, got {pixels.shape}")
    columns = min(whole(columns, "columns", least=1), len(pixels))
    rows = -(-len(pixels) // columns)
    across = 1 + _GAP
    down = 1 + _GAP + (0 if captions is None else _CAPTION)
    if captions is not None:
        captions = one_each(captions, "captions", len(pixels))
    given = ax is not None
    # Twice the margin that the layout keeps.
    border = 2 * 3 / 72
    ax = axes_or_new(
        ax, (columns * across + _GAP) * _CELL + border, (rows * down + _GAP) * _CELL + border
    )
    for index, face in enumerate(pixels):
        row, column = divmod(index, columns)
        left, top = column * across, row * down
        ax.imshow(face, extent=(left, left + 1, top + 1, top))
    ax.set(xlim=(-_GAP, columns * across), ylim=(rows * down, -_GAP))
    ax.set_axis_off()
    if captions is not None:
        # The layout of a new figure is not known before it is drawn.
        width = _width_of_unit(ax) if given else _CELL * ax.figure.dpi
        for index, text in enumerate(captions):
            row, column = divmod(index, columns)
            x, y = column * across + 0.5, row * down + 1.03
            shorten(ax.text(x, y, plain(text), size=_LETTERS, ha="center", va="top"), width)
    return ax


def _width_of_unit(ax: Axes) -> float:
    """Returns the width in pixels of one unit of axes with square units."""
    area = ax.get_window_extent()
    return float(min(area.width / np.ptp(ax.get_xlim()), area.height / np.ptp(ax.get_ylim())))
