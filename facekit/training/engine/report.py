"""What happened to each photo given to a data set."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal, TypeAlias

FaceStatus: TypeAlias = Literal[
    "used",
    "several faces",
    "no face",
    "poor quality",
    "unreadable",
    "not a photo",
    "duplicate",
    "uncertain",
    "unknown person",
]
"""What happened to a photo; :class:`facekit.training.FaceOutcome` says what each means."""

_MEANINGS: dict[FaceStatus, str] = {
    "no face": "no face was found",
    "poor quality": "the face is too poor",
    "unreadable": "cannot be read",
    "not a photo": "no photo of a person",
    "duplicate": "the same picture again",
    "uncertain": "the detector was not certain enough",
    "unknown person": "the person is not known",
    "several faces": "used, with the largest of several faces",
}


@dataclass(frozen=True)
class FaceOutcome:
    """What happened to one photo given to a data set.

    Args:
        person: Whose photo it is, empty where that is not known.
        source: What the photo is called.
        status: ``"used"``; ``"several faces"`` (used, with the largest face); ``"no face"``,
            ``"poor quality"``, ``"unreadable"``, ``"not a photo"``, ``"duplicate"`` (the same file
            was used before), ``"uncertain"`` (the detector's confidence is too low) or ``"unknown
            person"`` (left out).
        detail: One sentence more.

    Example:
        >>> from facekit.training import FaceOutcome
        >>> outcome = FaceOutcome("Ada", "ada.jpg", "no face")
        >>> outcome.used, outcome.line()
        (False, '  ada.jpg (Ada)')
    """

    person: str
    source: str
    status: FaceStatus
    detail: str = ""

    @property
    def used(self) -> bool:
        """Whether a face of the photo is in the data set."""
        return self.status in ("used", "several faces")

    def line(self) -> str:
        """Returns the outcome as an indented line of a report."""
        detail = f": {self.detail}" if self.detail else ""
        return f"  {self.source} ({self.person or 'unknown'}){detail}"


@dataclass(frozen=True)
class DatasetReport:
    """What happened to each photo given to a data set.

    Args:
        outcomes: One for each photo, in order.

    Example:
        >>> from facekit.training import DatasetReport, FaceOutcome
        >>> report = DatasetReport((
        ...     FaceOutcome("Ada", "ada.jpg", "used"), FaceOutcome("Ada", "sea.jpg", "no face")))
        >>> print(report.summary())
        1 of 2 faces used, people: 1
        1 no face was found:
          sea.jpg (Ada)
    """

    outcomes: tuple[FaceOutcome, ...]

    @property
    def left_out(self) -> tuple[FaceOutcome, ...]:
        """The photos that are not in the data set."""
        return tuple(outcome for outcome in self.outcomes if not outcome.used)

    @property
    def counts(self) -> dict[FaceStatus, int]:
        """How many photos have each status, without the statuses that none has."""
        return dict(Counter(outcome.status for outcome in self.outcomes))

    def summary(self, most: int = 10) -> str:
        """Returns the report as text: the totals, and some of the photos worth a look.

        Args:
            most: How many photos are named of each kind.
        """
        used = [outcome for outcome in self.outcomes if outcome.used]
        people = len({outcome.person for outcome in used if outcome.person})
        lines = [f"{len(used):,} of {len(self.outcomes):,} faces used, people: {people:,}"]
        for status, meaning in _MEANINGS.items():
            found = [outcome for outcome in self.outcomes if outcome.status == status]
            if found:
                lines.append(f"{len(found):,} {meaning}:")
                lines += [outcome.line() for outcome in found[:most]]
                if len(found) > most:
                    lines.append(f"  and {len(found) - most:,} more")
        return "\n".join(lines)
