"""Laws of tracks: people are followed, told apart where boxes cross, joined again, named once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from colored_people import COLORS, clip, embedding_of, naming, pipeline
from hypothesis import given
from hypothesis import strategies as st

from facekit import InvalidArgumentError
from facekit.faces import Identity
from facekit.video import BoxTracker, FaceTracker, VideoFrame
from facekit.video.recognition import VideoRecognition
from facekit.video.result import VideoResult

Places = Callable[[int], dict[str, tuple[float, float]]]


def watched(places: Places, frames: int = 30, **options: object) -> VideoResult:
    run = VideoRecognition(clip(places, frames), pipeline(), stride=1, **options)  # type: ignore[arg-type]
    for _ in run:
        pass
    return run.result()


def crossing(n: int) -> dict[str, tuple[float, float]]:
    return {"Red": (4 + 4 * n, 20), "Green": (130 - 4 * n, 52)}


def test_two_people_who_pass_each_other_are_two_tracks() -> None:
    result = watched(crossing)
    assert [len(track) for track in result.tracks] == [30, 30]
    assert [track.appearances for track in result.tracks] == [((0.0, 2.9),), ((0.0, 2.9),)]


class Swapping:
    """A tracker that mixes two people up in the middle of the video, as trackers do."""

    def update(self, boxes: np.ndarray, confidences: np.ndarray, time: float) -> np.ndarray:
        order = np.argsort(np.argsort(boxes[:, 1]))
        return order if time < 1.45 else order[::-1].copy()


def test_a_track_is_cut_where_it_passes_to_another_person_and_joined_again() -> None:
    result = watched(crossing, tracker=Swapping(), identify=naming("Red", "Green"))
    assert [track.name for track in result.tracks] == ["Red", "Green"]
    assert [len(track) for track in result.tracks] == [30, 30]
    tops = [set(track.boxes[:, 1].round(-1).tolist()) for track in result.tracks]
    assert len(tops[0]) == len(tops[1]) == 1, "each track stays in its row"


def test_people_are_joined_across_a_gap_and_a_cut() -> None:
    def places(n: int) -> dict[str, tuple[float, float]]:
        if n < 10:
            return {"Red": (10, 10), "Green": (80, 40)}
        if n < 35:
            return {}
        return {"Green": (10, 10), "Red": (80, 40)}  # another shot, places changed

    result = watched(places, 50)
    assert [len(track.appearances) for track in result.tracks] == [2, 2]
    assert [len(track) for track in result.tracks] == [25, 25]


def test_people_who_are_seen_together_are_never_joined() -> None:
    # Two squares of one color are one face for the detector: two embeddings that are equal.
    from facekit.embedding.weights.registry import record_for
    from facekit.pipeline import EmbeddedFace, face_in_box
    from facekit.video.following import FaceFollower

    follower = FaceFollower(record_for("facekit-small"), identify=naming("Red"))
    for n in range(6):
        faces = [
            EmbeddedFace(f"{n}", face_in_box((x, 10.0, 20.0, 20.0)), None, embedding_of("Red"))
            for x in (10.0, 100.0)
        ]
        follower.add(n, n / 10, faces)
    tracks = follower.tracks()
    assert len(tracks) == 2
    assert [track.name for track in tracks] == ["Red", None], "a name is one person's at a time"


def test_a_name_is_given_once_and_does_not_flicker() -> None:
    told: list[tuple[str, bool]] = []
    result = watched(
        lambda n: {"Red": (10 + n, 10)} | ({"Blue": (100, 50)} if n > 5 else {}),
        identify=naming("Red"),
        on_track=lambda track: told.append((track.label, track.ended)),
    )
    assert told == [("Red", False), ("Red", True), ("unknown", True)]
    assert [track.label for track in result.tracks] == ["Red", "unknown"]


def test_a_few_frames_that_do_not_fit_do_not_cut_a_track() -> None:
    def places(n: int) -> dict[str, tuple[float, float]]:
        return {"Blue" if n in (10, 11) else "Red": (40, 40)}

    (track,) = watched(places, identify=naming("Red", "Blue")).tracks
    assert (track.name, len(track), track.images) == ("Red", 30, 28)


def test_blurred_faces_at_a_cut_belong_to_the_person_who_comes() -> None:
    def places(n: int) -> dict[str, tuple[float, float]]:
        if n < 15:
            return {"Red": (40, 40)}
        # Another person at the same place, in two frames not to be told; Red is elsewhere.
        return {"Yellow" if n < 17 else "Green": (40, 40), "Red": (120, 10)}

    red, green = watched(places, identify=naming("Red", "Green")).tracks
    assert [(red.name, len(red)), (green.name, len(green))] == [("Red", 30), ("Green", 15)]
    assert (red.images, green.images) == (30, 13)


def test_a_name_is_taken_back_only_by_evidence() -> None:
    distance = iter([0.40] * 3 + [0.52, 0.49, 0.53, 0.48, 0.54] + [0.7] * 30)
    told: list[str | None] = []

    def identify(means: np.ndarray, images: Sequence[float]) -> list[Identity]:
        found = next(distance)
        return [Identity("Red" if found <= 0.5 else None, "Red", found, 0.5, 0.5) for _ in means]

    watched(
        lambda n: {"Red": (10, 10)},
        16,
        identify=identify,
        on_track=lambda track: told.append(track.name),
    )
    assert told[:2] == ["Red", None]
    assert len(told) == 3


def test_a_short_track_is_listed_apart_and_not_named() -> None:
    result = watched(
        lambda n: {"Red": (10, 10)} | ({"Green": (90, 40)} if n in (4, 5) else {}),
        identify=naming("Red", "Green"),
    )
    assert [track.name for track in result.tracks] == ["Red"]
    (short,) = result.passing
    assert (len(short), short.identity) == (2, None)
    assert watched(
        lambda n: {"Green": (90, 40)} if n in (4, 5) else {}, identify=naming("Green"), min_faces=2
    ).people == ["Green"]


def test_any_object_with_the_method_is_a_tracker() -> None:
    class LeftOut:
        def update(self, boxes: np.ndarray, confidences: np.ndarray, time: float) -> np.ndarray:
            return np.full(len(boxes), -1)

    assert isinstance(LeftOut(), FaceTracker)
    assert isinstance(BoxTracker(), FaceTracker)
    result = watched(crossing, tracker=LeftOut())
    assert not result.tracks
    assert not result.passing


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(sorted(COLORS)),
            st.tuples(st.integers(0, 130), st.integers(0, 70)),
            max_size=3,
        ),
        min_size=1,
        max_size=12,
    )
)
def test_nothing_is_lost_and_nobody_is_twice_in_a_frame(
    scene: list[dict[str, tuple[float, float]]],
) -> None:
    result = watched(lambda n: scene[n], len(scene), min_faces=1)
    found = [(int(f), *box) for t in (*result.tracks, *result.passing)
             for f, box in zip(t.frames, t.boxes.tolist(), strict=True)]  # fmt: skip
    detector = pipeline().detector
    there = [
        (frame.index, *face.box)
        for frame in clip(lambda n: scene[n], len(scene))
        for face in detector.detect_batch([frame.image])[0]
    ]
    assert sorted(found) == sorted(there)
    for track in result.tracks:
        assert len(set(track.frames.tolist())) == len(track)
        assert (np.diff(track.times) > 0).all()
    assert result.frames == len(scene)


@given(st.permutations(range(4)))
def test_the_order_of_boxes_does_not_matter(order: list[int]) -> None:
    boxes = np.array([[10.0, 10, 20, 20], [60, 10, 20, 20], [10, 60, 30, 30], [90, 90, 20, 20]])
    tracker = BoxTracker()
    first = tracker.update(boxes, np.ones(4), 0.0)
    again = tracker.update(boxes[order] + [2.0, 1.0, 0.0, 0.0], np.ones(4), 0.1)
    assert again.tolist() == first[order].tolist()


def test_a_box_tracker_forgets_and_refuses_what_is_out_of_reach() -> None:
    tracker = BoxTracker(patience=1.0)
    box = np.array([[10.0, 10, 20, 20]])
    assert tracker.update(box, np.ones(1), 0.0).tolist() == [0]
    assert tracker.update(box, np.ones(1), 0.9).tolist() == [0]
    assert tracker.update(box, np.ones(1), 2.0).tolist() == [1]
    assert tracker.update(box + np.array([50.0, 0, 0, 0]), np.ones(1), 2.1).tolist() == [2]
    with pytest.raises(InvalidArgumentError, match="patience"):
        BoxTracker(patience=0)


def test_the_frames_between_are_passed_over() -> None:
    frames = clip(lambda n: {"Red": (10, 10)}, 20)
    run = VideoRecognition(frames, pipeline(), stride=5)
    assert [frame.index for frame in run] == [0, 5, 10, 15]
    with pytest.raises(InvalidArgumentError, match="once"):
        next(iter(run))
    # By default about eight a second, whatever the frame rate.
    fast = [VideoFrame(n, n / 80, frames[0].image) for n in range(160)]
    assert sum(1 for _ in VideoRecognition(fast, pipeline())) == 16
    slow = [VideoFrame(n, n / 2, frames[0].image) for n in range(10)]
    assert sum(1 for _ in VideoRecognition(slow, pipeline())) == 10


def test_a_run_that_is_left_early_knows_what_it_saw() -> None:
    run = VideoRecognition(clip(crossing, 30), pipeline(), identify=naming("Red"), stride=1)
    for frame in run:
        if frame.index == 9:
            break
    result = run.result()
    assert result.interrupted
    assert result.people == ["Red"]
    assert result.duration == pytest.approx(0.9)
    seconds = VideoRecognition(clip(crossing, 30), pipeline(), stride=1, seconds=1.0)
    assert [frame.index for frame in seconds][-1] == 10
    assert not seconds.result().interrupted


@pytest.mark.parametrize(
    ("options", "word"),
    [({"stride": 0}, "stride"), ({"min_faces": 0}, "min_faces"), ({"seconds": -1}, "seconds")],
)
def test_what_cannot_be_used_is_said(options: dict[str, int], word: str) -> None:
    with pytest.raises(InvalidArgumentError, match=word):
        VideoRecognition([], pipeline(), **options)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="path"):
        VideoRecognition(1.5, pipeline())  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="VideoFrame"):
        list(VideoRecognition([np.zeros((9, 9, 3), np.uint8)], pipeline()))  # type: ignore[list-item]
