"""Text from file names, people's names and other foreign sources, made safe to print."""

from __future__ import annotations

import re

# C0 and C1 controls, line and paragraph separators, marks and overrides of the writing direction,
# and the surrogates that stand for the bytes of a file name that is not UTF-8.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def printable(text: object, *, limit: int | None = None) -> str:
    r"""Returns a text on one line that cannot steer a terminal.

    Control characters (escape sequences begin with one), line breaks, and characters that change
    the writing direction are replaced by their escapes, such as ``\x1b``; a byte of a file name
    that is not UTF-8 becomes ``\xe9``.

    Args:
        text: The text, or an object whose ``str`` is taken.
        limit: The most characters; the middle of a longer text is left out. No limit by default.

    Returns:
        The text without such characters.

    Example:
        >>> from facekit.utils.terminal import printable
        >>> print(printable("Ada\n\x1b[32m2 faces"))
        Ada\n\x1b[32m2 faces
        >>> printable("x" * 1000, limit=9)
        'xxxx…xxxx'
    """
    clean = _UNSAFE.sub(_escaped, str(text))
    if limit is not None and len(clean) > limit:
        half = (limit - 1) // 2
        clean = f"{clean[:half]}…{clean[-half:]}"
    return clean


def _escaped(match: re.Match[str]) -> str:
    character = match.group()
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")
