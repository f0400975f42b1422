"""The classifier of a gallery, fitted on demand and refitted after changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from facekit.embedding.weights.distances import DistanceTable
from facekit.errors import InvalidArgumentError, NotFittedError
from facekit.gallery import Gallery
from facekit.gallery.decisions import Decisions
from facekit.gallery.enrolled import Enrolled
from facekit.identification.between import DistancesBetweenPeople
from facekit.identification.classifier import IdentityClassifier
from facekit.identification.strategies import measure_of
from facekit.utils.forking import ForkLock
from facekit.utils.validation import number, whole

# Up to this many images, every change of the gallery refines the calibration; beyond that, it is
# kept until calibrate or fit is called.
_CALIBRATED_AT_ONCE = 2000

_Shift: TypeAlias = tuple[float, int]  # as of a Calibration, with the number of probes


class Fitted(NamedTuple):
    """A classifier and the state of the gallery that it was fitted to."""

    classifier: IdentityClassifier
    enrolled: Enrolled  # as Gallery.searched; rows that corrections exclude count as erased
    decisions: Decisions


class GalleryFitting:
    """Fits a classifier to a gallery, and caches the result until either changes."""

    def __init__(self) -> None:
        self._shift: _Shift | None = None
        self._cohort: _Shift | None = None
        self._known: tuple[Fitted, Enrolled, dict[str, Any]] | None = None
        self._between = DistancesBetweenPeople()
        self._lock = ForkLock()

    def __getstate__(self) -> dict[str, Any]:  # a copy starts over
        return {**self.__dict__, "_known": None, "_between": DistancesBetweenPeople()}

    def to_dict(self) -> dict[str, Any]:
        """Returns the calibration as values for JSON."""
        return {"shift": self._shift, "cohort": self._cohort}

    def take(self, kept: Mapping[str, Any]) -> None:
        """Restores a calibration of :meth:`to_dict`; a known cohort is kept."""
        self._shift = _pair(kept.get("shift"))
        self._cohort = self._cohort or _pair(kept.get("cohort"))

    def forget(self) -> None:
        """Discards the calibration, so that the next use starts over."""
        with self._lock:
            self._known = self._shift = self._cohort = None

    def current(
        self, gallery: Gallery, classifier: IdentityClassifier, distances: DistanceTable | None
    ) -> Fitted:
        """Returns a copy of the classifier, fitted to the current gallery."""
        enrolled = gallery.searched()
        if len(enrolled) == 0:
            raise NotFittedError(
                "no one is enrolled; call fit with photos of people, enroll, or load a file"
            )
        decisions, parameters = gallery.decisions(), classifier.get_params()
        with self._lock:
            if self._known is not None:
                fitted, before, earlier = self._known
                same = before is enrolled and fitted.decisions is decisions
                if same and earlier == parameters:
                    return fitted
            usable = _usable(gallery, enrolled, decisions)
            fitted = Fitted(self._fit(usable, classifier, distances), usable, decisions)
            self._known = fitted, enrolled, parameters
        return fitted

    def calibrate(
        self,
        gallery: Gallery,
        classifier: IdentityClassifier,
        distances: DistanceTable | None,
        cohort: npt.NDArray[np.float32],
    ) -> None:
        """Refines the calibration by embeddings of people who are not enrolled."""
        enrolled = self.current(gallery, classifier, distances).enrolled
        fitted = _copy(classifier, distances).fit_enrolled(enrolled, cohort=cohort)
        found = fitted.calibration_
        if found is not None and fitted.distances is None:
            raise InvalidArgumentError(
                "the weights have no table of distances that a cohort could refine; give the "
                f"classifier a threshold: {found.threshold:.3f} is that of this cohort"
            )
        with self._lock:  # or a fit that has begun would be kept
            self._cohort = None if found is None else (found.shift, found.probes)
            self._known = self._shift = None

    def _fit(
        self, used: Enrolled, classifier: IdentityClassifier, distances: DistanceTable | None
    ) -> IdentityClassifier:
        if len(used) == 0:
            raise NotFittedError("corrections exclude every enrolled photo; enroll others")
        kept = self._cohort or (self._shift if len(used) > _CALIBRATED_AT_ONCE else None)
        copy, own = _copy(classifier, distances), None
        if kept is None and len(used) <= _CALIBRATED_AT_ONCE and copy.distances is not None:
            own = self._between.of(used, measure_of(copy.strategy))
        fitted = copy.fit_enrolled(used, shift=kept, own=own)
        found = fitted.calibration_
        self._shift = None if found is None else (found.shift, found.probes)
        return fitted


def _copy(classifier: IdentityClassifier, distances: DistanceTable | None) -> IdentityClassifier:
    """Returns a classifier with the same parameters, and a table of distances if there is one."""
    copy = type(classifier)(**classifier.get_params())
    return copy if copy.distances is not None else copy.set_params(distances=distances)


def _usable(gallery: Gallery, enrolled: Enrolled, decisions: Decisions) -> Enrolled:
    """Returns what is enrolled, without images that corrections exclude."""
    doubted = []
    for image in gallery.images_with_digests(decisions.images()) if decisions else ():
        said = decisions.of(image)
        other = said.person not in (None, image.person) or image.person in said.refused
        if (other or said.excluded) and image.id <= len(enrolled.labels):
            doubted.append(image.id - 1)
    return enrolled.without(doubted) if doubted else enrolled


def _pair(kept: Any) -> _Shift | None:
    if kept is None:
        return None
    if not isinstance(kept, list | tuple) or len(kept) != 2:
        raise InvalidArgumentError(f"a shift and its probes must be two numbers, got {kept!r:.80}")
    return number(kept[0], "shift"), whole(kept[1], "probes", least=0)
