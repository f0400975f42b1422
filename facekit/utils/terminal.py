"""Makes text from file names, people's names and other untrusted sources safe to print."""

from __future__ import annotations

import re

INVISIBLE = (
    "\xad\u034f\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    "\U000e0000-\U000e007f"
)
"""For a regular expression's brackets: invisible characters, and marks and overrides of the writing
direction, but not joiners, which change the appearance of letters."""

# Also C0 and C1 controls, line and paragraph separators, and the surrogates for bytes of file names
# that are not UTF-8.
_UNSAFE = re.compile(f"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff{INVISIBLE}]")


def printable(text: object, *, limit: int | None = None) -> str:
    r"""Returns text on one line that cannot control a terminal, with escapes such as ``\x1b``."""
    clean = _UNSAFE.sub(_escaped, str(text))
    if limit is not None and len(clean) > limit:
        half = (limit - 1) // 2
        clean = f"{clean[:half]}…{clean[-half:]}"
    return clean


def _escaped(match: re.Match[str]) -> str:
    character = match.group()
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
