"""Renders formulas as MathML, which browsers draw themselves: no script, no font, no network."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.util.math import get_node_equation_number

_SPACE = re.compile(r"\\q?quad\b")
_MARK = re.compile(
    rf"(?P<open>\\begin\b|\\left\b|(?<!\\)\{{)|{_SPACE.pattern}|\\(?:end|right)\b|(?<!\\)\}}"
)


def parts(formula: str) -> list[str]:
    """Splits a formula at its wide spaces, where a narrow page may break the line."""
    depth, start, found = 0, 0, []
    for mark in _MARK.finditer(formula):
        if not _SPACE.match(mark[0]):
            depth += 1 if mark["open"] else -1
        elif depth == 0:
            found.append(formula[start : mark.start()])
            start = mark.end()
    return [part for part in [*found, formula[start:]] if part.strip()]


def converted(formula: str) -> str:
    """Returns a formula on lines of its own; the converter calls ``aligned`` ``align*``."""
    return convert(formula.replace("{aligned}", "{align*}"), display="block")


def _inline(writer: Any, node: nodes.math) -> None:
    writer.body.append(convert(node.astext()))
    raise nodes.SkipNode


def _display(writer: Any, node: nodes.math_block) -> None:
    writer.body.append(writer.starttag(node, "div", CLASS="math"))
    writer.body.extend(converted(part) for part in parts(node.astext()))
    if node["number"]:
        writer.body.append(f'<span class="eqno">({get_node_equation_number(writer, node)})')
        writer.add_permalink_ref(node, "Link to this equation")
        writer.body.append("</span>")
    writer.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
