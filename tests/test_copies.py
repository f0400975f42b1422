"""Whatever a user passes around pickles and copies, and the copy is like the original."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import pydoc
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_datasets import face_at, people_with
from small_networks import SMALL_V2

from facekit import (
    Detector,
    Embedder,
    FacePipeline,
    FaceRecognizer,
    Gallery,
    IdentityClassifier,
    ImageError,
    faces,
)
from facekit.archive import index_archive
from facekit.archive.indexing import ImageIndexer, IndexReport
from facekit.archive.table import ArchiveTable
from facekit.clustering.albums import ArchiveClustering, PersonGroup
from facekit.clustering.groups import Clustering, Group
from facekit.embedding import LocalCentering
from facekit.errors import BatchError
from facekit.evaluation import lfw, roc
from facekit.evaluation.verification import VerificationReport
from facekit.gallery.records import EnrolledImage, FaceSource, Match
from facekit.gallery.review import Duplicate, Outlier
from facekit.identification.answers import Explanation, Identification
from facekit.identification.calibration import Calibration
from facekit.io.decoding import DecodedImage
from facekit.io.folders import ImageListing, PassedOver
from facekit.io.people import PersonImage
from facekit.io.xmp import FaceRegion
from facekit.pipeline import EmbeddedFace, EmbeddedImage
from facekit.quality.measures import FaceQuality
from facekit.quality.pose import HeadPose
from facekit.report import ImageOutcome, ImageReport, RecognizedImage
from facekit.suggestions import Suggestion
from facekit.training import (
    BalancedBatches,
    Distiller,
    OnnxTeacher,
    ShuffledBatches,
    StoredTeacher,
    TripletTrainer,
)
from facekit.training.engine.history import History
from facekit.utils.openvino import ops, ov
from facekit.video import VideoFile, VideoFrame, write_frames
from facekit.video.following import FollowedFace
from facekit.video.recognition import SearchedFrame
from facekit.video.result import VideoResult
from facekit.video.tracks import Appearance, Sighting, Track
from facekit.visualization import Tile, save_image
from facekit.web import Access

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "docs"))
from public_names import described_names

ROWS = np.eye(4, dtype=np.float32)
PIXELS = np.full((40, 50, 3), 7, dtype=np.uint8)
FACE = face_at(10, 12, 80, 0.98)
RECOGNIZED = faces.RecognizedFace(FACE, "Ada", "Ada", 0.5, 0.9, 0.99, (), ("blurred",))
EMBEDDED = EmbeddedFace("a.jpg", FACE, None, ROWS[0])
IDENTITY = faces.Identity("Ada", "Ada", 0.5, 0.9, 0.99)
TRACK = Track(
    *(1, np.arange(2), np.arange(2.0), np.ones((2, 4)), np.ones(2), np.zeros(2)),
    *(2, ROWS[0], 1.5, EMBEDDED, IDENTITY),
)
GROUP = PersonGroup((EMBEDDED,), 0.1, "example@1")
REPORT = VerificationReport(1.0, 0.0, (1.0,), (0.9,), 1.0, 0.0, {0.001: 1.0}, 6000)
ERROR = ImageError("a.jpg: is damaged")
SOURCE = FaceSource("a.jpg", sha256="ab" * 32, box=(1.0, 2.0, 30.0, 40.0))
ENROLLED = EnrolledImage("a.jpg", id=1, person="Ada")


def table(folder: Path) -> ArchiveTable:
    save_image(folder / "a.png", PIXELS)
    index_archive([folder / "a.png"], folder / "a", embedder=embedder(folder), progress=False)
    return ArchiveTable(folder / "a")


def embedder(_: Path) -> Embedder:
    return small_embedder()


@cache
def small_embedder() -> Embedder:
    return Embedder(None, architecture=SMALL_V2)


def enrolled(_: Path) -> Gallery:
    gallery = Gallery("example@1", 4)
    gallery.enroll("Ada", ROWS[:1], ["ada.jpg"], metadata={"born": 1815})
    return gallery


def onnx(folder: Path) -> OnnxTeacher:
    given = ops.parameter([1, 3, 10, 10], np.float32)
    ov.save_model(ov.Model([ops.reshape(given, [1, -1], False)], [given]), folder / "flat.xml")
    return OnnxTeacher(folder / "flat.xml", mirrored=True)


def stored(_: Path) -> StoredTeacher:
    return StoredTeacher(["a", "b"], np.eye(2, 64))


def video(folder: Path) -> VideoFile:
    write_frames(folder / "a.mp4", [VideoFrame(0, 0.0, np.tile(PIXELS, (2, 2, 1)))])
    return VideoFile(folder / "a.mp4")


# By name: what makes one, where its class alone does not.
MADE: dict[str, Callable[[Path], Any]] = {
    "Appearance": lambda _: Appearance(0.0, 1.0),
    "ArchiveClustering": lambda _: ArchiveClustering((GROUP,), (), (), 1, (ERROR,), 0.9, "a@1"),
    "ArchiveTable": table,
    "BalancedBatches": lambda _: BalancedBatches(people_with([3, 3]), identities=2, images=2),
    "BatchError": lambda _: BatchError([None], {0: ERROR}),
    "Access": lambda _: Access(["localhost"]),
    "Calibration": lambda _: Calibration(0.001, 0.9, slope=10.0),
    "Clustering": lambda _: Clustering((Group((0, 1), 0.1),), (2,), 0.9),
    "DecodedImage": lambda _: DecodedImage(PIXELS, 100, 80),
    "DetectedImage": lambda _: faces.DetectedImage("a.jpg", 0, [FACE], PIXELS, ERROR),
    "Distiller": lambda folder: Distiller(SMALL_V2, teacher=stored(folder), folder=folder / "run"),
    "Duplicate": lambda _: Duplicate("Ada", "Eve", 0.5),
    "Embedder": embedder,
    "EmbeddedFace": lambda _: EMBEDDED,
    "EmbeddedImage": lambda _: EmbeddedImage("a.jpg", 0, (EMBEDDED,), 1, (40, 50), "0" * 64),
    "EnrolledImage": lambda _: ENROLLED,
    "Explanation": lambda _: Explanation("Ada", "Ada", 0.5, 0.9, 0.99, ()),
    "Face": lambda _: FACE,
    "FaceDataset": lambda _: people_with([2, 1]),
    "FacePipeline": lambda folder: FacePipeline(Detector(), embedder(folder)),
    "FaceQuality": lambda _: FaceQuality(*map(float, range(12)), problems=("blurred",)),
    "FaceRegion": lambda _: FaceRegion((1.0, 2.0, 30.0, 40.0), "Ada"),
    "FaceSource": lambda _: SOURCE,
    "FaceRecognizer": lambda _: FaceRecognizer("facekit-small"),
    "FollowedFace": lambda _: FollowedFace(EMBEDDED, 1, IDENTITY),
    "Gallery": enrolled,
    "Group": lambda _: Group((0, 1), 0.1),
    "HeadPose": lambda _: HeadPose(1.0, 2.0, 3.0),
    "History": lambda _: History([{"epoch": 1.0, "loss": 0.5}]),
    "Identification": lambda _: Identification(np.array(["Ada"]), np.ones(1), np.ones(1)),
    "Identity": lambda _: IDENTITY,
    "IdentityClassifier": lambda _: IdentityClassifier(threshold=0.9).fit(
        ROWS, ["a", "a", "b", "b"]
    ),
    "ImageListing": lambda folder: ImageListing(folder, (folder / "a.jpg",)),
    "ImageOutcome": lambda _: ImageOutcome("Ada", "a.jpg", "used"),
    "ImageIndexer": lambda folder: ImageIndexer(Detector(), embedder(folder)),
    "IndexReport": lambda folder: IndexReport(folder, *range(6)),
    "Keypoints": lambda _: FACE.keypoints,
    "LFWResult": lambda _: lfw.LFWResult(REPORT, np.ones(2), np.ones(2, bool), ("a.jpg",)),
    "LocalCentering": lambda _: LocalCentering(np.eye(2, 4), sharpness=3.0, share=0.5),
    "Match": lambda _: Match("Ada", 0.5, 1),
    "OnnxTeacher": onnx,
    "Outlier": lambda _: Outlier(ENROLLED, 1.2, "Eve"),
    "PassedOver": lambda folder: PassedOver(folder / "a.txt", "not an image"),
    "PersonImage": lambda _: PersonImage("Ada", "a.jpg", "album/a.jpg"),
    "Pair": lambda _: lfw.Pair(1, "a.jpg", "b.jpg", True),
    "PersonGroup": lambda _: GROUP,
    "ImageReport": lambda _: ImageReport(()),
    "RecognizedFace": lambda _: RECOGNIZED,
    "RecognizedImage": lambda _: RecognizedImage("a.jpg", 0, (RECOGNIZED,)),
    "RocCurve": lambda _: roc(np.array([0.5, 1.0]), np.array([True, False])),
    "SearchedFrame": lambda _: SearchedFrame(0, 0.0, (40, 50), (), PIXELS),
    "ShuffledBatches": lambda _: ShuffledBatches(people_with([3, 3]), batch_size=2),
    "Sighting": lambda _: Sighting(0, 0.0, FACE.box, 1.0),
    "StoredTeacher": stored,
    "Suggestion": lambda _: Suggestion(SOURCE, 0, "Ada", 1.0, 1.1),
    "Tile": lambda _: Tile(PIXELS, "Ada", True),
    "Track": lambda _: TRACK,
    "TripletTrainer": lambda folder: TripletTrainer(SMALL_V2, folder=folder / "run"),
    "VerificationReport": lambda _: REPORT,
    "Verification": lambda _: faces.Verification(True, 0.5, 0.9, (FACE, FACE)),
    "VideoFile": video,
    "VideoFrame": lambda _: VideoFrame(0, 0.0, PIXELS),
    "VideoResult": lambda _: VideoResult("a.mp4", (TRACK,)),
    "WeightsRecord": lambda folder: embedder(folder).record,
}
# What else must be equal.
ASKED: dict[str, tuple[Callable[[Any], Any], ...]] = {
    "BalancedBatches": (lambda one: one[1][0], lambda one: one[1][1]),
    "Detector": (lambda one: one.detect(PIXELS),),
    "IdentityClassifier": (lambda one: one.predict(ROWS),),
    "OnnxTeacher": (lambda one: one.identity, lambda one: one.embed(np.ones((2, 10, 10, 3)))),
    "ShuffledBatches": (lambda one: one[1][0],),
    "StoredTeacher": (lambda one: one.keys, lambda one: one.identity),
}
# Part of an open gallery, an open file, a search that runs, a connection to a server (see
# test_postgres.py).
ELSEWHERE = {"Review", "VideoRecognition", "VideoWriter", "PostgresStore"}


@cache
def classes() -> dict[str, type]:
    """Returns the classes of the reference that have instances, by name."""
    listed = [(part, name) for part, names in described_names().items() for name in names]
    found = {name: pydoc.locate(f"{part}.{name}") for part, name in listed}
    return {
        name: value
        for name, value in found.items()
        if inspect.isclass(value)
        and not (getattr(value, "_is_protocol", False) or inspect.isabstract(value))
        and name not in ELSEWHERE
    }


def shown(value: Any) -> Any:
    """Returns what can be compared of an object: plain values, arrays as lists."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Gallery):
        return shown((value.people, value.images(), value.embeddings, value.weights))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return shown(
            {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        )
    if isinstance(value, dict):
        return {key: shown(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [type(value).__name__, *map(shown, value)]
    if isinstance(value, BaseException):
        return [type(value).__name__, str(value), shown(vars(value))]
    plain = value is None or isinstance(value, str | int | float | Path)
    public = {key: one for key, one in getattr(value, "__dict__", {}).items() if key[0] != "_"}
    return value if plain else [type(value).__name__, shown(public)]


@pytest.mark.filterwarnings("ignore::facekit.errors.RandomWeightsWarning")
@pytest.mark.parametrize("name", sorted(classes()))
def test_a_copy_is_like_the_original(name: str, tmp_path: Path) -> None:
    found = classes()[name]
    error = issubclass(found, BaseException)
    make = MADE.get(name, lambda _: found("what was wrong") if error else found())
    original = make(tmp_path)
    for copied in (original, pickle.loads(pickle.dumps(original)), copy.deepcopy(original)):
        assert type(copied) is found
        assert shown(copied) == shown(original)
        for ask in ASKED.get(name, ()):
            np.testing.assert_array_equal(ask(copied), ask(original))
