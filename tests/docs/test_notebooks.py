"""The notebooks of the tutorials hold the code of the pages, and what it prints."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.docs.test_documentation import PROJECT, examples

sys.path.insert(0, str(PROJECT / "docs"))
import notebooks

TUTORIALS = sorted(notebooks.TUTORIALS.glob("*.md"))


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_notebook_has_the_code_and_the_output_of_its_page(page: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    made = notebooks.notebook(page.read_text(encoding="utf-8"))
    nbformat.validate(made)
    code = [cell for cell in made["cells"] if cell["cell_type"] == "code"]
    assert "sample_photos.py" in "".join(code[0]["source"])
    expected = [(example.code, example.output) for example in examples(page)]
    assert [
        (
            "".join(cell["source"]),
            "".join(cell["outputs"][0]["text"]).rstrip("\n") if cell["outputs"] else None,
        )
        for cell in code[1:]
    ] == expected
    assert "](../" not in str(made)


@given(texts=st.lists(st.text("ab#`\n ", max_size=20).filter(lambda t: "```" not in t), max_size=5))
def test_no_text_of_a_page_is_lost(texts: list[str]) -> None:
    page = "# Title\n\n" + "\n".join(f"{text}\n\n```python\nx = {text!r}\n```\n" for text in texts)
    made = "".join(line for cell in notebooks.notebook(page)["cells"] for line in cell["source"])
    for text in texts:
        assert text.strip() in made
        assert f"x = {text!r}" in made


def test_a_notebook_is_run_beside_the_sample_images() -> None:
    pytest.importorskip("nbclient")
    page = "# Title\n\n```python\nimport os\n\nprint(sorted(os.listdir('photos')))\n```\n"
    made = notebooks.notebook(page)
    notebooks.run(made)
    assert made["cells"][-1]["outputs"][0]["text"] == ["['known', 'mirrored.jpg', 'party.jpg']\n"]


def test_an_error_in_a_notebook_is_raised() -> None:
    client = pytest.importorskip("nbclient")
    made = notebooks.notebook("# Title\n\n```python\nno_such_name\n```\n")
    with pytest.raises(client.exceptions.CellExecutionError, match="no_such_name"):
        notebooks.run(made)
