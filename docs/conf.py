"""Sphinx's settings for facekit's documentation."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

# The documentation describes this source tree, whatever else is installed.
sys.path[:0] = [str(Path(__file__).resolve().parent.parent), str(Path(__file__).resolve().parent)]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from figures import substitutions
from notebooks import write_notebooks
from public_names import described_names
from sphinx.util.nodes import make_refnode
from sphinx_gallery import gen_rst
from sphinx_gallery.sorting import ExplicitOrder

import facekit

project = "facekit"
author = "The facekit developers"
copyright = "the facekit developers"
version = release = facekit.__version__

extensions = [
    "mathml",
    "myst_parser",
    "sphinx_design",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "tutorials/notebooks"]
templates_path = ["_templates"]
html_theme = "furo"
html_theme_options = {"light_logo": "logo-light.svg", "dark_logo": "logo-dark.svg"}
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_favicon = "_static/logo-light.svg"
html_math_renderer = "mathml"
html_title = f"facekit {release}"

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "substitution"]
myst_substitutions = substitutions()
myst_heading_anchors = 3

napoleon_google_docstring = True
napoleon_numpy_docstring = False

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_preserve_defaults = True
# Signatures show the names of type aliases, such as ImageSource, instead of the unions they name.
autodoc_type_aliases = {
    name: name
    for path in Path(facekit.__file__).parent.rglob("*.py")
    for name in re.findall(r"^(\w+): TypeAlias", path.read_text(encoding="utf-8"), re.MULTILINE)
}

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# The examples run in a copy of their folder, because what they write goes into the folder that they
# run in, and a build must leave the sources as they are.
_DOCS = Path(__file__).resolve().parent
_EXAMPLES = _DOCS / "_build" / "examples"
shutil.rmtree(_EXAMPLES, ignore_errors=True)
shutil.copytree(_DOCS.parent / "examples", _EXAMPLES)
if "FACEKIT_DATA" in os.environ:
    os.environ["FACEKIT_DATA"] = str(Path(os.environ["FACEKIT_DATA"]).resolve())

sphinx_gallery_conf = {
    "examples_dirs": str(_EXAMPLES),
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "within_subsection_order": ExplicitOrder(
        [
            "sample_photos.py",
            "detect_and_draw.py",
            "detect_faces.py",
            "verify.py",
            "name_people.py",
            "strangers.py",
            "cluster_album.py",
            "name_people_in_video.py",
            "train_triplet_head.py",
            "evaluate_lfw.py",
        ]
    ),
    "abort_on_example_error": True,
    "backreferences_dir": "gallery/backreferences",
    "doc_module": ("facekit",),
    "image_srcset": ["2x"],
    "capture_repr": (),
    # A page says nothing of the machine that built it, and offers the script and nothing else.
    "write_computation_times": False,
    "min_reported_time": float("inf"),
    "download_all_examples": False,
    "notebook_extensions": set(),
    "show_signature": False,
}
gen_rst.ZIP_DOWNLOAD = ""

nitpicky = True
# Napoleon writes the annotations of named tuples as explicit references.
nitpick_ignore_regex = [(r"py:class", r"(numpy|collections\.abc)\..*")]
nitpick_ignore = [("py:class", name) for name in autodoc_type_aliases]

# Links to other projects need the network, and every build fetches their inventories; without the
# variable the documentation builds the same anywhere.
if os.environ.get("FACEKIT_DOCS_INTERSPHINX"):
    intersphinx_mapping = {
        "matplotlib": ("https://matplotlib.org/stable/", None),
        "numpy": ("https://numpy.org/doc/stable/", None),
        "PIL": ("https://pillow.readthedocs.io/en/stable/", None),
        "python": ("https://docs.python.org/3/", None),
        "sklearn": ("https://scikit-learn.org/stable/", None),
    }
    intersphinx_timeout = 20


def _link_by_name(app: Any, env: Any, node: Any, content: Any) -> Any:
    """Links a Python name to the one documented object that ends in it, if there is one.

    A name in an annotation that leads nowhere stays plain text; only explicit references carry
    ``refexplicit``, and are reported.
    """
    if node.get("refdomain") != "py":
        return None
    domain = env.get_domain("py")
    ending = "." + node["reftarget"].rpartition(".")[2]
    found = [name for name in domain.objects if name.endswith(ending)]
    # A method that a protocol names, too, is described best where it is inherited from.
    if len(found) == 1 or (found and node["reftype"] == "meth"):
        entry = domain.objects[max(found)]
        page = node.get("refdoc", env.docname)
        return make_refnode(app.builder, page, entry.docname, entry.node_id, content, max(found))
    return None if "refexplicit" in node else content


def _write_reference() -> None:
    """Writes the reference's page: the public names of the package, its parts, and of results."""
    lines = [
        "# Reference",
        "",
        "Everything named here is public. The names under `facekit` are imported from the package",
        "itself, `from facekit import FaceRecognizer`, and loaded when they are first used. What",
        "the functions return and raise, and is seldom made or imported, comes at the end, by the",
        "module that it is imported from.",
    ]
    for part, names in described_names().items():
        importlib.import_module(part)
        title = (sys.modules[part].__doc__ or "").partition("\n")[0].partition(":")[0].rstrip(".")
        lines += ["", f"## {title} (`{part}`)", "", "```{eval-rst}", f".. currentmodule:: {part}"]
        lines += ["", ".. autosummary::", "   :toctree: generated", ""]
        lines += [f"   {name}" for name in names] + ["```"]
    page, text = _DOCS / "reference" / "index.md", "\n".join(lines) + "\n"
    page.parent.mkdir(exist_ok=True)
    if not page.exists() or page.read_text(encoding="utf-8") != text:
        page.write_text(text, encoding="utf-8")


def _skip(app: Any, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    # scikit-learn adds such methods to every estimator, with references into its own manual.
    if name.startswith("set_") and name.endswith("_request"):
        return True
    # A field of a named tuple is described in the docstring of its class.
    if (getattr(obj, "__doc__", None) or "").startswith("Alias for field number"):
        return True
    return None


_write_reference()
write_notebooks()


def setup(app: Any) -> None:
    app.connect("autodoc-skip-member", _skip)
    app.connect("missing-reference", _link_by_name)
