"""A correction updates only the groups it concerns, and the result equals grouping all faces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facekit import Gallery, cluster
from facekit.gallery.corrections import Correction
from facekit.gallery.records import FaceSource
from facekit.web.unknown import UnknownGroups

COUNT, THRESHOLD = 16, 0.6
#: Two faces in an image, so that some cannot be one person.
PHOTOS = [
    FaceSource(f"{place // 2}.jpg", f"{place // 2:064x}", (100.0 * place, 20.0, 60.0, 80.0))
    for place in range(COUNT)
]
IMAGES = np.arange(COUNT) // 2

PLACES = st.integers(0, COUNT - 1)
FACES = PLACES.map(PHOTOS.__getitem__)
STEPS = st.lists(
    st.one_of(
        st.builds(lambda place, name: (place, name), PLACES, st.sampled_from(("Ada", "Grace"))),
        st.builds(
            lambda kind, one, other: Correction(kind, one, other=other),
            st.sampled_from(("same", "different")),
            FACES,
            FACES,
        ).filter(lambda said: said.face != said.other),
        st.builds(Correction, st.sampled_from(("is", "is_not")), FACES, st.just("Mary")),
        st.builds(Correction, st.sampled_from(("not_a_face", "ignore")), FACES),
        st.just("undo"),
    ),
    max_size=8,
)


def all_anew(vectors: np.ndarray, gallery: Gallery) -> list[list[int]]:
    """Groups every face again, with all that was said."""
    decisions = gallery.decisions()
    same, different = decisions.pairs(PHOTOS)
    found = cluster(
        vectors, threshold=THRESHOLD, min_faces=1, images=IMAGES, same=same, different=different
    )
    named = {image.box for image in gallery.images()}
    groups = []
    for group in found.groups:
        there = [
            place
            for place in sorted(group.members)
            if (said := decisions.of(PHOTOS[place])).person is None and not said.excluded
            if PHOTOS[place].box not in named
        ]
        if there:
            rows = vectors[there].astype(float)
            alike = (rows @ rows.mean(axis=0)).round(6)
            groups.append([there[at] for at in np.argsort(-alike, kind="stable")])
    return sorted(groups, key=lambda group: (-len(group), min(group)))


@pytest.mark.filterwarnings("ignore::facekit.errors.EnrollmentWarning")  # a face with two names
@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), STEPS)
def test_the_groups_that_are_touched_are_made_as_if_all_were(seed: int, steps: list) -> None:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(5, 4))[random.integers(0, 5, COUNT)]
    vectors += 0.3 * random.normal(size=vectors.shape)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    found = cluster(vectors, threshold=THRESHOLD, min_faces=1, images=IMAGES)
    unknown = UnknownGroups(PHOTOS, vectors, found)
    gallery = Gallery("example@1", embedding_size=4)
    gallery.enroll("Mary", vectors[:1], ["elsewhere.jpg"])
    for step in [None, *steps]:
        if isinstance(step, tuple):
            place, name = step
            gallery.enroll(name, vectors[place : place + 1], [PHOTOS[place]])
        elif isinstance(step, Correction):
            gallery.review.add([step])
        elif step == "undo" and len(gallery.review):
            gallery.review.undo()
        named = gallery.images_with_digests(unknown.images)
        assert unknown.after(named, gallery.decisions()) == all_anew(vectors, gallery)
