"""Labeled Faces in the Wild: its file of pairs, and evaluation of a whole pipeline."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from facekit.alignment import Aligner
from facekit.detection import FaceDetector
from facekit.embedding import FaceEmbedder
from facekit.errors import FileFormatError
from facekit.evaluation.verification import VerificationReport, evaluate_verification
from facekit.faces import Face
from facekit.io.decoding import Truncated
from facekit.io.files import is_file
from facekit.io.images import MAX_PIXELS
from facekit.pipeline import EmbeddedImage, FacePipeline, face_in_box, nearest_to_middle
from facekit.utils.progress import track

# The assumed face in an LFW image if the detector misses it: the median of MTCNN's boxes, as
# fractions of the image. LFW's images are centered on the face by construction.
_CENTRAL_BOX = (0.32, 0.26, 0.36, 0.49)


@dataclass(frozen=True)
class Pair:
    """One question of the protocol: do these two images show the same person?

    Args:
        fold: The number of the fold, from 0.
        first: The first image, relative to the folder: ``Name/Name_0001.jpg``.
        second: The second one.
        same: The answer.

    Example:
        >>> from facekit.evaluation.lfw import Pair
        >>> pair = Pair(fold=0, first="Ada/Ada_0001.jpg", second="Ada/Ada_0002.jpg", same=True)
        >>> pair.second, pair.same
        ('Ada/Ada_0002.jpg', True)

    References:
        G. Huang, M. Ramesh, T. Berg and E. Learned-Miller, "Labeled Faces in the Wild", University
        of Massachusetts, Technical Report 07-49, 2007, section IV (View 2).
    """

    fold: int
    first: str
    second: str
    same: bool


@dataclass(frozen=True)
class LFWResult:
    """The result of an evaluation on LFW.

    Args:
        report: The figures.
        distances: The distance of each pair, float64 ``(n,)``.
        same: Whether each pair shows one person, ``(n,)``.
        without_face: Images in which the detector found no face; the center of the image was used
            instead.

    Example:
        >>> import numpy as np
        >>> from facekit.evaluation import evaluate_verification
        >>> from facekit.evaluation.lfw import LFWResult
        >>> distances, same = np.array([0.4, 1.3, 0.6, 1.2]), np.array([True, False, True, False])
        >>> report = evaluate_verification(distances, same, folds=[0, 0, 1, 1])
        >>> LFWResult(report, distances, same, without_face=()).report.accuracy
        1.0
    """

    report: VerificationReport
    distances: npt.NDArray[np.float64]
    same: npt.NDArray[np.bool_]
    without_face: tuple[str, ...]


def read_pairs(path: str | os.PathLike[str]) -> list[Pair]:
    r"""Reads LFW's ``pairs.txt`` or a subset in its format.

    The first line holds the number of folds and the number n of pairs of each kind per fold (or
    only n, for one fold). Each fold then has n lines ``name, number, number`` for pairs of the same
    person and n lines ``name, number, name, number`` for pairs of different people, separated by
    tabs.

    Args:
        path: The file.

    Returns:
        The pairs in the order of the file.

    Raises:
        FileFormatError: If the file is missing or malformed; the message names the line.

    Example:
        >>> import pathlib, tempfile
        >>> from facekit.evaluation import read_pairs
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "pairs.txt"
        >>> _ = file.write_text("1\t1\nAda\t1\t2\nAda\t1\tGrace\t3\n")
        >>> read_pairs(file)[1].second
        'Grace/Grace_0003.jpg'

    References:
        The format of ``pairs.txt`` of Labeled Faces in the Wild, Technical Report 07-49, section
        IV.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise FileFormatError(f"{path}: cannot be read as a file of pairs ({error})") from error
    try:
        header = [_positive(field) for field in lines[0].split()]
        folds, per_kind = (1, header[0]) if len(header) == 1 else header
    except (IndexError, ValueError) as error:
        raise FileFormatError(
            f"{path}, line 1: expected the number of folds and of pairs of each kind in a fold"
        ) from error
    rows = [(number, line) for number, line in enumerate(lines[1:], start=2) if line.strip()]
    if len(rows) != folds * 2 * per_kind:
        raise FileFormatError(
            f"{path}: holds {len(rows)} pairs, line 1 announces {folds} folds of "
            f"{per_kind} + {per_kind}"
        )
    return [
        _pair(path, number, line, fold=index // (2 * per_kind), same=index // per_kind % 2 == 0)
        for index, (number, line) in enumerate(rows)
    ]


def evaluate_lfw(
    folder: str | os.PathLike[str],
    pairs: Sequence[Pair],
    *,
    detector: FaceDetector,
    embedder: FaceEmbedder,
    aligners: Mapping[str, Aligner],
    max_pixels: int = MAX_PIXELS,
    truncated: Truncated = "error",
    progress: bool = True,
) -> dict[str, LFWResult]:
    """Evaluates detector, aligner and embedder together on LFW's pairs.

    Each image is searched once. If it has several faces, the one nearest to the center is used,
    because LFW's images are centered on the person they are named after. For an image without
    faces, the center of the image is used, and the image is listed. Nothing is trained.

    Args:
        folder: LFW's folder, with a folder of images for each person.
        pairs: The protocol, of :func:`read_pairs`.
        detector: Finds the faces.
        embedder: Embeds them.
        aligners: The alignments to compare, by name.
        max_pixels: The largest image that is read, in pixels.
        truncated: As for :func:`facekit.load_image`.
        progress: Whether to show a progress bar, if standard error is a terminal.

    Returns:
        The result of each aligner, by name.

    Raises:
        FileFormatError: If images are missing; the message names the first few.
        ImageError: If an image cannot be read.
        InvalidArgumentError: If the pairs have fewer than two folds, a fold lacks one kind of
            pairs, or an aligner's output size does not match the embedder.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> from facekit import Detector, Embedder
        >>> from facekit.evaluation import evaluate_lfw
        >>> from facekit.evaluation.lfw import Pair
        >>> from facekit.visualization import save_image
        >>> folder, embedder = pathlib.Path(tempfile.mkdtemp()), Embedder("facekit-small")
        >>> for name, gray in (("dark.png", 40), ("light.png", 220)):
        ...     save_image(folder / name, np.full((100, 100, 3), gray, dtype=np.uint8))
        >>> pairs = [Pair(fold, "dark.png", other, other == "dark.png")
        ...          for fold in (0, 1) for other in ("dark.png", "light.png")]
        >>> results = evaluate_lfw(folder, pairs, detector=Detector(), embedder=embedder,
        ...                        aligners={"similarity": embedder.aligner()})
        >>> results["similarity"].report.accuracy, results["similarity"].without_face
        (1.0, ('dark.png', 'light.png'))

    References:
        G. Huang, M. Ramesh, T. Berg and E. Learned-Miller, "Labeled Faces in the Wild", University
        of Massachusetts, Technical Report 07-49, 2007, section IV (View 2).
    """
    folder = Path(folder)
    images = sorted({image for pair in pairs for image in (pair.first, pair.second)})
    missing = [image for image in images if not is_file(folder / image)]
    if missing:
        raise FileFormatError(
            f"{folder}: {len(missing)} of {len(images)} photos are missing, such as "
            f"{', '.join(missing[:3])}"
        )
    paths = [folder / image for image in images]
    row = {image: index for index, image in enumerate(images)}
    first = [row[pair.first] for pair in pairs]
    second = [row[pair.second] for pair in pairs]
    same = np.array([pair.same for pair in pairs])
    folds = np.array([pair.fold for pair in pairs])
    # Checked before the long work.
    evaluate_verification(np.zeros(len(pairs)), same, folds)
    pipelines = {
        name: FacePipeline(detector, embedder, aligner=aligner)
        for name, aligner in aligners.items()
    }
    faces: list[list[Face]] | None = None
    without_face: tuple[str, ...] = ()
    results = {}
    for name, pipeline in pipelines.items():
        # The first aligner's pass detects; the others reuse its faces.
        stream = pipeline.run(
            paths,
            select=_central if faces is None else "all",
            known=faces,
            max_pixels=max_pixels,
            truncated=truncated,
        )
        tracked = track(stream, f"Embedding ({name})", total=len(images), shown=progress)
        embedded = [_usable(image) for image in tracked]
        if faces is None:
            faces = [[image.faces[0].face] for image in embedded]
            without_face = tuple(
                image for image, found in zip(images, embedded, strict=True) if not found.found
            )
        embeddings = np.stack([image.faces[0].unit for image in embedded]).astype(np.float64)
        distances = np.linalg.norm(embeddings[first] - embeddings[second], axis=1)
        report = evaluate_verification(distances, same, folds)
        results[name] = LFWResult(report, distances, same, without_face)
    return results


def _pair(path: Path, number: int, line: str, *, fold: int, same: bool) -> Pair:
    fields = line.split("\t") if "\t" in line else line.split()
    try:
        if same:
            name, first, second = fields
            return Pair(fold, _image(name, first), _image(name, second), same=True)
        name, first, other, second = fields
        return Pair(fold, _image(name, first), _image(other, second), same=False)
    except ValueError as error:
        kind = "name, number, number" if same else "name, number, name, number"
        raise FileFormatError(f"{path}, line {number}: expected {kind}, got {line!r}") from error


def _image(name: str, number: str) -> str:
    if not name:
        raise ValueError("the name is empty")
    return f"{name}/{name}_{_positive(number):04d}.jpg"


def _positive(number: str) -> int:
    # int alone would also accept "-1", "0" and "1_0".
    if not number.strip().isdecimal() or int(number) < 1:
        raise ValueError(f"{number!r} is not a positive whole number")
    return int(number)


def _usable(image: EmbeddedImage) -> EmbeddedImage:
    if image.error is not None:
        raise image.error
    return image


def _central(faces: list[Face], size: tuple[int, int]) -> list[Face]:
    """Returns the face nearest to the center, or its expected place if none was found."""
    if faces:
        return [nearest_to_middle(faces, size)]
    height, width = size
    x, y, across, down = _CENTRAL_BOX
    return [face_in_box((x * width, y * height, across * width, down * height), 0.0)]
