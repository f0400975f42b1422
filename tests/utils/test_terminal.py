"""Laws of foreign text on a terminal: one line, no steering, and the rest as it is."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit.utils.terminal import printable

any_text = st.text(st.characters(codec=None), max_size=40)


@given(any_text)
def test_no_control_and_no_surrogate_is_left(text: str) -> None:
    shown = printable(text)
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert not {unicodedata.bidirectional(c) for c in shown} & {
        "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI",
    }  # fmt: skip
    shown.encode("utf-8")


@given(any_text)
def test_printing_twice_is_printing_once(text: str) -> None:
    assert printable(printable(text)) == printable(text)


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"])))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


@given(any_text, st.integers(3, 30))
def test_the_limit_holds(text: str, limit: int) -> None:
    assert len(printable(text, limit=limit)) <= limit


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb.jpg: 2 faces", r"a\nb.jpg: 2 faces"),
        ("\x1b[2J", r"\x1b[2J"),
        (b"caf\xe9".decode("utf-8", "surrogateescape"), r"caf\xe9"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("A\u200bda\xad\u2060", r"A\u200bda\xad\u2060"),
        ("Zoë 林 🙂 مه\u200cدخت", "Zoë 林 🙂 مه\u200cدخت"),
    ],
)
def test_examples(text: str, shown: str) -> None:
    assert printable(text) == shown
