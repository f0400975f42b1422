"""Naming means of several images of one person, such as the frames of a track."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from facekit.errors import InvalidArgumentError
from facekit.faces import Identity
from facekit.gallery.enrolled import Enrolled
from facekit.identification.calibration import Calibration, calibrate
from facekit.identification.classifier import IdentityClassifier
from facekit.identification.strategies import measure_of
from facekit.utils.validation import reals

# Calibrations between these numbers differ little, so numbers are rounded up to the next one.
_STEPS = np.array([1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 32.0])


class MeanIdentifier:
    """Names means of embeddings, so that a share ``fpir`` of strangers' means gets a name."""

    # A stranger's mean is closer to other people than a single image is, and a person's mean is
    # closer still to that person, so that threshold and probability depend on the number of images.

    def __init__(self, classifier: IdentityClassifier, enrolled: Enrolled) -> None:
        assert classifier.calibration_ is not None  # it has a threshold
        self._classifier, self._enrolled = classifier, enrolled
        self._single = classifier.calibration_
        self._law = lru_cache(maxsize=None)(self._calibration)

    def identify(self, means: npt.ArrayLike, images: Sequence[float]) -> list[Identity]:
        """Identifies the means."""
        rows = np.asarray(means)
        numbers = reals(images, "images")
        if numbers.shape != rows.shape[:1] or not (numbers >= 1).all():
            raise InvalidArgumentError(
                f"images must be a number of at least 1 for each of the {len(rows)} means, got "
                f"{images!r}"
            )
        answers = []
        for candidate, distance, probability, number in zip(
            *self._classifier.identify(rows), numbers, strict=True
        ):
            law = self._law(float(_STEPS[np.searchsorted(_STEPS[:-1], number)]))
            if law.probabilistic:
                before, now = (each.known(distance) for each in (self._single, law))
                probability = probability * now / before if before > 0 else 0.0
            answers.append(
                Identity(
                    str(candidate) if distance <= law.threshold else None,
                    str(candidate),
                    float(distance),
                    law.threshold,
                    float(probability),
                )
            )
        return answers

    def _calibration(self, images: float) -> Calibration:
        single, table = self._single, self._classifier.distances
        if table is None or images == 1.0:
            return single
        return calibrate(
            self._enrolled,
            measure=measure_of(self._classifier.strategy),
            fpir=self._classifier.fpir,
            threshold=single.threshold if single.fpir is None else None,
            table=table.of_means(images),
            prior=self._classifier.prior,
            shift=(single.shift, single.probes),
        )
