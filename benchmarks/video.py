"""Measures tracks and names in videos of real faces of which the truth is known.

    python benchmarks/video.py lfw --cache embeddings/
    python benchmarks/video.py lfw --cache embeddings/ --means
    python benchmarks/video.py lfw --cache embeddings/ --means --pool pool/
    python benchmarks/video.py lfw --speed
    python benchmarks/video.py lfw --memory 10000

cuts faces out of photos, several of each person, and moves them over drawn backgrounds: people who
cross, shots that cut, a bar that hides people, people who leave and return. Half of the people are
enrolled, with two other photos each. Printed are:

- IDF1, purity, tracks a person and identity switches, of the boxes alone, after tracks are cut
  where the face changes, and after their pieces are joined;
- how many faces of known people get their name, and of strangers a name, by track and by frame;

``--means`` counts instead how many means of m photos of strangers get a name, when one in a hundred
is asked for, beside single photos of the same people. With ``--pool`` the strangers are 300 people
of a pool of faces with ten photos each, the same for each m. ``--speed`` prints frames a second,
beside the detector alone (``detect_stream``), taking turns in one process, and ``--memory`` how the
memory grows over that many small frames.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import cv2
import numpy as np
import psutil
from embedding_cache import EmbeddedFaces, embed_folder
from results import add_record, record_if_asked
from scipy.optimize import linear_sum_assignment

from facekit import Detector, Embedder, Face, FaceRecognizer, IdentityClassifier, load_image
from facekit.detection.boxes import overlap
from facekit.embedding.weights.registry import DEFAULT_WEIGHTS
from facekit.faces import Identity
from facekit.gallery.enrolled import Enrolled
from facekit.identification.means import MeanIdentifier
from facekit.identification.strategies import Strategy
from facekit.training import FaceDataset
from facekit.utils.progress import track
from facekit.video import BoxTracker, VideoFrame, write_frames

SIZE = (480, 640)
RATE, FRAMES = 8.0, 48
KINDS = ("crossing", "shots", "bar", "return")
ENROLLED, LEAST, MOST = 2, 5, 8
GALLERY, MEANS, STRANGERS = 100, (1, 2, 3, 5, 10), 300
STAGES = ("boxes alone", "cut", "cut and joined")
# Each photo is shown for this many frames.
_HELD = 6


class Portrait(NamedTuple):
    """A photo of a person, with the face in it."""

    image: np.ndarray
    face: Face


class Place(NamedTuple):
    """Where a face is in a frame: its center and height."""

    x: float
    y: float
    height: float


class Seen(NamedTuple):
    """A face that was found: whose it is (-1 if it is none), and what it was taken for."""

    person: int
    stages: tuple[Any, ...]
    frame: Identity | None
    track: Identity | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lfw", type=Path)
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="keep the embeddings here")
    parser.add_argument("--scenes", type=int, default=12)
    parser.add_argument("--means", action="store_true")
    parser.add_argument("--pool", type=Path, help="take the strangers of --means from there")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--memory", type=int, metavar="FRAMES")
    parser.add_argument("--weights", default=DEFAULT_WEIGHTS, metavar="NAME")
    add_record(parser)
    options = parser.parse_args()
    people = [
        images[:MOST]
        for folder in sorted(options.lfw.iterdir())
        if len(images := sorted(folder.glob("*.jpg"))) >= LEAST
    ]
    np.random.default_rng(0).shuffle(people)
    recognizer = FaceRecognizer(options.weights)
    record = recognizer.embedder.record
    if options.memory:
        results = measure_memory(recognizer, people[0][0], options.memory)
        record_if_asked(options, "memory", results)
        return
    if options.means:
        cached = None if options.cache is None else options.cache / "lfw.npz"
        faces = embed_folder(options.lfw, recognizer.embedder, cached)
        strangers = None
        if options.pool is not None:
            strangers = pool_strangers(options.pool, recognizer.embedder)
        means = {name: measure_means(faces, record, name, strangers) for name in get_args(Strategy)}
        record_if_asked(options, f"means, {record.name}", means, record.identity)
        return
    if options.speed:
        results = measure_speed(recognizer, [_portraits(recognizer, p) for p in people[:3]])
        record_if_asked(options, "speed", results)
        return
    known = len(people) // 2
    recognizer.fit({str(n): images[:ENROLLED] for n, images in enumerate(people[:known])})
    portraits = [
        _portraits(recognizer, images[ENROLLED * (n < known) :]) for n, images in enumerate(people)
    ]
    print(f"{known} people enrolled, {len(people) - known} strangers", flush=True)
    recognizer.detector = Detector(min_face_size=40)
    results = measure_scenes(recognizer, portraits, known, options.scenes)
    record_if_asked(options, record.name, results, record.identity)


def _portraits(recognizer: FaceRecognizer, images: Sequence[Path]) -> list[Portrait]:
    """Finds the face nearest to the middle of each photo."""
    found = []
    for photo in images:
        image = load_image(photo)
        middle = np.array(image.shape[1::-1]) / 2
        faces = recognizer.detector.detect(image)
        if faces:
            away = [np.linalg.norm(np.array(face.center) - middle) for face in faces]
            found.append(Portrait(image, faces[int(np.argmin(away))]))
    return found


class Scene:
    """A video of three people, drawn frame by frame, with the truth about it."""

    def __init__(self, kind: str, cast: Sequence[Sequence[Portrait]], seed: int) -> None:
        self._kind, self._cast = kind, cast
        self._rng = np.random.default_rng(seed)
        self._background, self._shot = self._drawn_background(), 0
        self._heights = self._rng.uniform(75, 115, len(cast))
        self._rows = self._rng.uniform(180, 300, len(cast))
        self.truth: list[dict[int, tuple[float, float, float, float]]] = []

    def frames(self) -> Iterator[VideoFrame]:
        """Draws the frames; :attr:`truth` grows by the visible faces of each."""
        for number in range(FRAMES):
            if self._kind == "shots" and number * 3 // FRAMES != self._shot:
                self._shot = number * 3 // FRAMES
                self._background = self._drawn_background()
                self._heights = self._rng.permutation(self._heights)
            yield VideoFrame(number, number / RATE, self._draw(number))

    def _draw(self, number: int) -> np.ndarray:
        image = np.roll(self._background, number, axis=1).copy()
        owner = np.full(SIZE, -1)
        boxes = {}
        for person, place in self._places(number).items():
            portraits = self._cast[person]
            portrait = portraits[number // _HELD % len(portraits)]
            boxes[person] = self._paste(image, owner, person, portrait, place)
        if self._kind == "bar":
            image[:, 260:380], owner[:, 260:380] = (70, 60, 50), -1
        self.truth.append(
            {person: box for person, box in boxes.items() if _visible(owner, person, box)}
        )
        return image

    def _places(self, number: int) -> dict[int, Place]:
        """Says where people are; those who are last are before the others."""
        share, (a, b, c), height = number / (FRAMES - 1), self._rows, self._heights
        if self._kind == "shots":
            order = [(0, 1, 2), (2, 0, 1), (1, 2, 0)][self._shot]
            x = [110.0 + 210 * place + 40 * share for place in order]
            return {n: Place(x[n], self._rows[n], height[n]) for n in range(3)}
        still = Place(320.0 if self._kind == "crossing" else 90.0, min(c, 200), height[2])
        back = Place(600 - 560 * share, b, height[1])
        if self._kind == "return":
            # The first leaves to the right; the second comes from there; the first returns.
            x = 350 + 900 * share if share < 0.5 else -300 + 550 * share
            return {2: still, 1: Place(1150 - 900 * share, a, height[1]), 0: Place(x, a, height[0])}
        return {2: still, 1: back, 0: Place(40 + 560 * share, a, height[0])}

    def _paste(
        self, image: np.ndarray, owner: np.ndarray, person: int, portrait: Portrait, place: Place
    ) -> tuple[float, float, float, float]:
        _, _, width, height = portrait.face.box
        scale = place.height / height * self._rng.uniform(0.98, 1.02)
        center = portrait.face.center
        turn = cv2.getRotationMatrix2D(center, self._rng.uniform(-4, 4), scale)
        turn[:, 2] += np.array([place.x, place.y]) - center + self._rng.normal(0, 1, 2)
        mask = np.zeros(portrait.image.shape[:2], dtype=np.float32)
        axes = (round(0.75 * width), round(0.8 * height))
        cv2.ellipse(mask, [round(c) for c in center], axes, 0, 0, 360, 1.0, -1)
        mask = cv2.GaussianBlur(mask, (0, 0), 3)
        face, mask = (cv2.warpAffine(part, turn, SIZE[::-1]) for part in (portrait.image, mask))
        light = self._rng.uniform(0.9, 1.1)
        there = mask > 0.01
        share = mask[there][:, None]
        image[there] = np.clip(share * light * face[there] + (1 - share) * image[there], 0, 255)
        owner[mask > 0.5] = person
        width, height = scale * width, scale * height
        return (turn[0] @ [*center, 1] - width / 2, turn[1] @ [*center, 1] - height / 2,
                width, height)  # fmt: skip

    def _drawn_background(self) -> np.ndarray:
        coarse = self._rng.integers(40, 200, (6, 8, 3), dtype=np.uint8)
        return cv2.resize(coarse, SIZE[::-1], interpolation=cv2.INTER_CUBIC)


def _visible(owner: np.ndarray, person: int, box: Sequence[float]) -> bool:
    """Says whether more than half of a face is to be seen."""
    left, top, right, bottom = (
        round(v) for v in (box[0], box[1], box[0] + box[2], box[1] + box[3])
    )
    part = owner[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
    return (part == person).sum() > 0.5 * box[2] * box[3]


class Recording:
    """A tracker that remembers what the boxes alone say."""

    def __init__(self) -> None:
        self._tracker, self.ids = BoxTracker(), {}

    def update(self, boxes: np.ndarray, confidences: np.ndarray, time: float) -> np.ndarray:
        """Follows the boxes; see :class:`facekit.video.FaceTracker`."""
        numbers = self._tracker.update(boxes, confidences, time)
        for box, number in zip(_keys(boxes), numbers.tolist(), strict=True):
            self.ids[(round(time * RATE), *box)] = number
        return numbers


def _keys(boxes: np.ndarray) -> list[tuple[float, ...]]:
    return [tuple(box) for box in np.asarray(boxes, dtype=np.float32).tolist()]


def measure_scenes(
    recognizer: FaceRecognizer, portraits: list[list[Portrait]], known: int, scenes: int
) -> dict[str, Any]:
    """Draws the scenes, goes through each, and compares with the truth."""
    rng = np.random.default_rng(1)
    found: list[Seen] = []
    faces_there: Counter[str] = Counter()
    by_kind: dict[str, list[Seen]] = defaultdict(list)
    for number in range(scenes):
        kind = KINDS[number % len(KINDS)]
        # Known or not is drawn for each.
        cast = rng.choice(len(portraits), 3, replace=False)
        scene = Scene(kind, [portraits[person] for person in cast], seed=number)
        seen = _watched(recognizer, scene, number, [int(person) for person in cast])
        found += seen
        by_kind[kind] += seen
        faces_there[kind] += sum(map(len, scene.truth))
        print(f"scene {number + 1} of {scenes}: {kind}", end="\r", flush=True)
    total = sum(faces_there.values())
    matched = sum(seen.person >= 0 for seen in found)
    print(f"{scenes} scenes, {scenes * FRAMES:,} frames, {total:,} faces, {matched:,} found")
    print(f"{'':16} IDF1  purity  tracks a person  switches")
    stages = {name: _scores(found, stage, total) for stage, name in enumerate(STAGES)}
    for name, row in stages.items():
        print(f"{name:15} " + "  ".join(f"{value:.3f}" for value in row.values()))
    kinds = {
        kind: {"IDF1": _scores(seen, 2, faces_there[kind])["IDF1"]}
        for kind, seen in by_kind.items()
    }
    print("IDF1: " + ", ".join(f"{kind} {row['IDF1']:.3f}" for kind, row in kinds.items()))
    return {
        "scenes": scenes,
        "frames": scenes * FRAMES,
        "faces": total,
        "found": matched,
        "known": known,
        "strangers": len(portraits) - known,
        "tracks": stages,
        "kinds": kinds,
        "names": _names(found, known),
    }


def _watched(
    recognizer: FaceRecognizer, scene: Scene, number: int, cast: Sequence[int]
) -> list[Seen]:
    tracker = Recording()
    run = recognizer.video_recognition(scene.frames(), stride=1, tracker=tracker)
    searched = list(run)
    result = run.result()
    tracks = {
        (int(frame), *box): (track, int(piece))
        for track in (*result.tracks, *result.passing)
        for frame, box, piece in zip(track.frames, _keys(track.boxes), track.pieces, strict=True)
    }
    seen = []
    for frame in searched:
        truth = scene.truth[frame.index]
        boxes = np.array([face.found.face.box for face in frame.faces]).reshape(-1, 4)
        people = _matched(boxes, list(truth.values()), list(truth))
        for face, person, key in zip(frame.faces, people, _keys(boxes), strict=True):
            track, piece = tracks[(frame.index, *key)]
            good = face.found.embedding is not None
            single = recognizer.identify(face.found.unit[None])[0] if good else None
            ids = (tracker.ids[(frame.index, *key)], piece, track.id)
            seen.append(
                Seen(
                    -1 if person < 0 else 1000 * number + cast[person],
                    tuple((number, one) for one in ids),
                    None if face.found.problems else single,
                    track.identity,
                )
            )
    return seen


def _matched(boxes: np.ndarray, truth: list[Any], people: list[int]) -> list[int]:
    """Returns whose each box is, by the best assignment of overlaps."""
    found = [-1] * len(boxes)
    if len(boxes) and truth:
        shared = overlap(_corners(boxes), _corners(np.array(truth)))
        for row, column in zip(*linear_sum_assignment(-shared), strict=True):
            if shared[row, column] >= 0.4:
                found[row] = people[column]
    return found


def _corners(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def _scores(found: Sequence[Seen], stage: int, total: int) -> dict[str, float]:
    pairs = Counter((seen.person, seen.stages[stage]) for seen in found if seen.person >= 0)
    people = sorted({person for person, _ in pairs})
    ids = sorted({number for _, number in pairs})
    table = np.zeros((len(people), len(ids)))
    for (person, number), count in pairs.items():
        table[people.index(person), ids.index(number)] = count
    right = table[linear_sum_assignment(-table)].sum()
    last: dict[int, Any] = {}
    switches = 0
    for seen in found:
        if seen.person >= 0:
            switches += last.get(seen.person, seen.stages[stage]) != seen.stages[stage]
            last[seen.person] = seen.stages[stage]
    return {
        "IDF1": 2 * right / (total + len(found)),
        "purity": table.max(axis=0).sum() / table.sum(),
        "tracks a person": len(ids) / len(people),
        "switches": switches,
    }


def _names(found: Sequence[Seen], known: int) -> dict[str, dict[str, float]]:
    rows = {}
    print(f"{'names':9} rank-1   right   wrong   strangers named")
    for name in ("frame", "track"):
        counts: Counter[str] = Counter()
        for seen in found:
            if seen.person < 0:
                continue
            identity: Identity | None = getattr(seen, name)
            own, given, candidate = str(seen.person % 1000), None, None
            if identity is not None:
                given, candidate = identity.name, identity.candidate
            if int(own) >= known:
                counts.update({"strangers": 1, "strangers named": given is not None})
            else:
                wrong = given not in (None, own)
                counts.update({"known": 1, "rank-1": candidate == own, "right": given == own})
                counts["wrong"] += wrong
        row = {key: counts[key] / counts["known"] for key in ("rank-1", "right", "wrong")}
        row["strangers named"] = counts["strangers named"] / counts["strangers"]
        rows[f"by {name}"] = row
        print(f"by {name:6} " + "  ".join(f"{value:.3f}" for value in row.values()))
    return rows


def pool_strangers(pool: Path, embedder: Embedder) -> list[np.ndarray]:
    """Embeds as many photos of each of some people of a pool as the longest mean is of."""
    aligner, most = embedder.aligner(), max(MEANS)
    faces = FaceDataset.from_archives(pool, input_size=aligner.size, aligner=aligner)
    with_most = np.flatnonzero(np.bincount(faces.labels) >= most)
    chosen = np.random.default_rng(0).permutation(with_most)[:STRANGERS]
    return [
        embedder.embed(faces.images(np.flatnonzero(faces.labels == person)[:most]))
        for person in track(chosen, "Embedding strangers", total=len(chosen), shown=True)
    ]


def measure_means(
    faces: EmbeddedFaces,
    record: Any,
    strategy: Strategy = "centroid",
    strangers: list[np.ndarray] | None = None,
    rounds: int = 20,
    fpir: float = 0.01,
) -> dict[str, Any]:
    """Counts how many means of m photos get a name, of strangers and of known people.

    Those of whom there are many photos may resemble each other more than people do. So it is
    counted, too, how many single photos of the same strangers get a name. In nine of ten drawings
    of as many strangers the share lies between the two ends of its interval.
    """
    faces = faces.only(faces.central)
    people = [faces.embeddings[faces.people == person] for person in np.unique(faces.people)]
    with_more = [place for place, photos in enumerate(people) if len(photos) > ENROLLED]
    rng, counts = np.random.default_rng(2), defaultdict(Counter)
    by_person: dict[int, dict[Any, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for _ in range(rounds):
        known = rng.permutation(with_more)[:GALLERY].tolist()
        photos = {person: rng.permutation(people[person]) for person in known}
        labels = np.repeat(np.arange(len(known)), ENROLLED)
        held = Enrolled(
            np.concatenate([photos[person][:ENROLLED] for person in known]),
            labels,
            np.array([str(p) for p in known], dtype=object),
        )
        classifier = IdentityClassifier(strategy, fpir=fpir, distances=record.distances)
        classifier.fit_enrolled(held)
        probes = {str(person): photos[person][ENROLLED:] for person in known}
        others = dict(enumerate(strangers or people))
        if strangers is None:
            others = {n: own for n, own in others.items() if n not in photos}
        probes |= {n: rng.permutation(own) for n, own in others.items()}
        rows, means, worths = [], [], []
        for key, own in probes.items():
            single = classifier.identify(own).distance <= classifier.threshold_
            for images in (m for m in MEANS if m <= len(own)):
                total = own[:images].mean(axis=0)
                length = float(np.linalg.norm(total))
                rows.append((key, images, single.mean()))
                means.append(total / length)
                worths.append(record.distances.independent_images(images, length))
        answers = MeanIdentifier(classifier, held).identify(np.stack(means), worths)
        for (key, images, alone), answer in zip(rows, answers, strict=True):
            count = counts[images]
            if isinstance(key, str):
                count.update({"known": 1, "right": answer.name == key})
            else:
                count.update({"strangers": 1, "named": answer.name is not None})
                count["single"] += alone
                by_person[images][key].append(answer.name is not None)
    print(f"means of m photos, {GALLERY} people enrolled, FPIR asked for: {fpir:g} ({strategy})")
    table = {}
    for m, count in sorted(counts.items()):
        low, high = _interval(list(by_person[m].values()))
        table[str(m)] = {
            "people": len(by_person[m]),
            "FPIR": count["named"] / count["strangers"],
            "low": low,
            "high": high,
            "FPIR of single photos": count["single"] / count["strangers"],
            "DIR": count["right"] / max(1, count["known"]),
        }
        print(f"  m = {m}: " + ", ".join(f"{k} {v:.4g}" for k, v in table[str(m)].items()))
    return {"gallery": GALLERY, "rows": table}


def _interval(named: list[list[bool]]) -> tuple[float, float]:
    """Returns between what the share of names lies in nine of ten drawings of the people."""
    sums, sizes = (np.array([f(each) for each in named], dtype=float) for f in (sum, len))
    drawn = np.random.default_rng(0).integers(0, len(named), (1000, len(named)))
    shares = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.quantile(shares, [0.05, 0.95])
    return float(low), float(high)


def measure_speed(
    recognizer: FaceRecognizer, cast: Sequence[list[Portrait]], rounds: int = 3
) -> dict[str, Any]:
    """Compares the search of a video with the detector alone, in alternation."""
    drawn = [frame.image for frame in Scene("crossing", cast, seed=0).frames()][::4]
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, size in {"640 × 480": (640, 480), "1920 × 1080": (1920, 1080)}.items():
            path = Path(folder, f"{size[1]}.mp4")
            frames = (cv2.resize(image, size) for image in drawn for _ in range(3))
            write_frames(path, (VideoFrame(n, n / 24, f) for n, f in enumerate(frames)), rate=24)
            seconds = []
            for _ in range(rounds):
                start = time.perf_counter()
                result = recognizer.recognize_video(path)
                middle = time.perf_counter()
                for _ in recognizer.detector.detect_stream(path, every=3):
                    pass
                seconds.append((middle - start, time.perf_counter() - middle))
            video, detector = (statistics.median(each) for each in zip(*seconds, strict=True))
            rows[name] = {
                "frames a second": result.frames / video,
                "searches a second": result.searched / video,
                "to the detector": video / detector,
            }
            print(name, ", ".join(f"{k} {v:.2f}" for k, v in rows[name].items()), flush=True)
    return {"rows": rows}


def measure_memory(recognizer: FaceRecognizer, photo: Path, frames: int) -> dict[str, Any]:
    """Measures the memory of the process while it goes through many frames with a face."""
    image = cv2.resize(load_image(photo), (120, 120), interpolation=cv2.INTER_AREA)
    recognizer.detector = Detector(min_face_size=40)
    run = recognizer.video_recognition(
        (VideoFrame(n, n / 25, image) for n in range(frames)), stride=1
    )
    rows = {}
    for frame in run:
        if (frame.index + 1) % max(1, frames // 10) == 0:
            memory = psutil.Process().memory_info().rss / 2**20
            rows[f"{frame.index + 1:,}"] = {"MiB": memory}
            print(f"{frame.index + 1:8,} frames: {memory:.0f} MiB", flush=True)
    return {"rows": rows, "faces": sum(map(len, run.result().tracks))}


if __name__ == "__main__":
    main()
