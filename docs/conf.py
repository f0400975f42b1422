"""Sphinx's settings for facekit's documentation."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

# The documentation describes this source tree, whatever else is installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from sphinx_gallery import gen_rst
from sphinx_gallery.sorting import ExplicitOrder

import facekit

project = "facekit"
author = "The facekit developers"
copyright = "the facekit developers"
version = release = facekit.__version__

extensions = [
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
exclude_patterns = ["_build"]
templates_path = ["_templates"]
html_theme = "furo"
html_title = f"facekit {release}"

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

napoleon_google_docstring = True
napoleon_numpy_docstring = False

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_preserve_defaults = True

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
# Objects of other packages, which only intersphinx could resolve: each by its name, so that a
# misspelt reference to one of facekit's own is still reported.
nitpick_ignore_regex = [
    (r"py:class", r"collections\.abc\.(Callable|Iterable|Iterator|Mapping|Sequence)"),
    (r"py:class", r"keras\.(KerasTensor|losses\.Loss|src\.losses\.loss\.Loss|utils\.PyDataset)"),
    (r"py:class", r"matplotlib\.(axes\.Axes|figure\.Figure)"),
    (r"py:class", r"numpy\.(bool|bool_|dtype|float32|float64|int32|int64|integer|ndarray|uint8)"),
    (r"py:class", r"numpy\.typing\.(ArrayLike|NDArray)"),
    (r"py:class", r"os\.PathLike"),
    (r"py:class", r"pathlib\.Path"),
    (r"py:class", r"PIL\.(Image\.Image|ImageFont\.FreeTypeFont)"),
    # Up to Sphinx 8.1 an annotation does not find these, which are data.
    (r"py:class", r"facekit\.alignment\.AlignmentMode"),
    (r"py:class", r"(facekit\.identification\.index\.)?(Index|Neighbors)"),
    (r"py:class", r"facekit\.detection\.detector\.BoxFormat"),
    (r"py:class", r"facekit\.detection\.stream\.StreamSource"),
    (r"py:class", r"facekit\.detection\.view\.Region"),
    (r"py:class", r"facekit\.archive\.PhotoArchive"),
    (r"py:class", r"facekit\.enrollment\.EnrollmentSource"),
    (r"py:class", r"facekit\.training\.(batches\.Batch|report\.FaceStatus)"),
    (r"py:class", r"facekit\.imaging\.(ImageSource|RGBImage)"),
    (r"py:class", r"facekit\.training\.distances\.DistanceMetric"),
]

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

# What the names in annotations stand for, so that they become links.
_QUALIFIED = {
    **{name: f"facekit.{name}" for name in facekit.__all__},
    "AlignmentMode": "facekit.alignment.AlignmentMode",
    "BoxFormat": "facekit.detection.detector.BoxFormat",
    "Region": "facekit.detection.view.Region",
    "StreamSource": "facekit.detection.stream.StreamSource",
    "ArchiveClustering": "facekit.clustering.albums.ArchiveClustering",
    "Axes": "matplotlib.axes.Axes",
    "Callable": "collections.abc.Callable",
    "Clustering": "facekit.clustering.groups.Clustering",
    "DistanceMetric": "facekit.training.losses.distances.DistanceMetric",
    "Figure": "matplotlib.figure.Figure",
    "EnrollmentSource": "facekit.enrollment.EnrollmentSource",
    "FoundFace": "facekit.clustering.albums.FoundFace",
    "Group": "facekit.clustering.groups.Group",
    "HeadPose": "facekit.quality.HeadPose",
    "Identification": "facekit.identification.classifier.Identification",
    "ImageSource": "facekit.io.images.ImageSource",
    "Iterable": "collections.abc.Iterable",
    "LFWResult": "facekit.evaluation.LFWResult",
    "Mapping": "collections.abc.Mapping",
    "Pair": "facekit.evaluation.Pair",
    "Path": "pathlib.Path",
    "PersonGroup": "facekit.clustering.albums.PersonGroup",
    "PhotoArchive": "facekit.clustering.albums.PhotoArchive",
    "PhotoOutcome": "facekit.enrollment.PhotoOutcome",
    "RGBImage": "facekit.io.images.RGBImage",
    "RocCurve": "facekit.evaluation.verification.RocCurve",
    "Sequence": "collections.abc.Sequence",
    "Tensor": "keras.KerasTensor",
    "Tile": "facekit.visualization.Tile",
    "VerificationReport": "facekit.evaluation.VerificationReport",
    "WeightsFile": "facekit.embedding.weights.registry.WeightsFile",
    "WeightsRecord": "facekit.embedding.WeightsRecord",
}
_MODULES = {"npt.": "numpy.typing.", "np.": "numpy.", "ImageFont.": "PIL.ImageFont."}
_SPELT_OUT = {
    "Backbone": 'Literal["inception_resnet_v1", "inception_resnet_v2"]',
    "Engine": 'Literal["openvino", "keras"]',
    "FileLayout": 'Literal["facekit", "facenet_folded_npz", "keras_facenet_h5", "deepface_h5"]',
    "FloatArray": "~numpy.typing.NDArray[~numpy.float64]",
    "OutcomeStatus": (
        'Literal["enrolled", "several faces", "no face", "poor quality", "unreadable", '
        '"not a photo"]'
    ),
    "Point": "tuple[float, float]",
    "Strategy": 'Literal["svm", "nearest", "centroid"]',
    "Measure": 'Literal["nearest", "centroid"]',
    "Threshold": 'float | Literal["auto"] | None',
    "IntArray": "~numpy.typing.NDArray[~numpy.int64]",
    "_Matrix": "~numpy.typing.NDArray[~numpy.float64]",
}


def _linked(annotation: object) -> str:
    """Returns an annotation as it stands in the source, with each name written out in full."""
    text = getattr(annotation, "__forward_arg__", annotation)
    if not isinstance(text, str):
        text = inspect.formatannotation(annotation)

    def write_out(match: re.Match[str]) -> str:
        module, name = match["module"] or "", match["name"]
        if module:
            return f"~{_MODULES.get(module, module)}{name}"
        if name in _QUALIFIED:
            return f"~{_QUALIFIED[name]}"
        return _SPELT_OUT.get(name, name)

    pattern = r"""(?<!["'\w.])(?P<module>(?:\w+\.)*)(?P<name>[A-Za-z_]\w*)(?!["'\w])"""
    return re.sub(pattern, write_out, text)


def _signature_of_source(
    app: Any, what: str, name: str, obj: Any, options: Any, signature: str | None, returns: Any
) -> tuple[str, str] | None:
    """Shows annotations as the source has them: ``ImageSource``, not the union that it names."""
    constructor = obj.__init__ if what == "class" and "__init__" in vars(obj) else obj
    if signature is None or what not in ("class", "function", "method"):
        return None
    found = inspect.signature(constructor)
    parameters = [
        parameter.replace(
            annotation=parameter.annotation
            if parameter.annotation is parameter.empty
            else _Text(_linked(parameter.annotation)),
            default=_Text("...") if repr(parameter.default) == "<factory>" else parameter.default,
        )
        for parameter in found.parameters.values()
        if parameter.name not in ("self", "cls")
    ]
    shown = found.replace(parameters=parameters, return_annotation=found.empty)
    has_return = what != "class" and found.return_annotation is not found.empty
    return str(shown), _linked(found.return_annotation) if has_return else ""


class _Text:
    """A value whose representation is a text without quotation marks."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _skip(app: Any, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    # scikit-learn adds such methods to every estimator, with references into its own manual.
    if name.startswith("set_") and name.endswith("_request"):
        return True
    # A field of a named tuple is described in the docstring of its class.
    if (getattr(obj, "__doc__", None) or "").startswith("Alias for field number"):
        return True
    return None


def setup(app: Any) -> None:
    app.connect("autodoc-process-signature", _signature_of_source)
    app.connect("autodoc-skip-member", _skip)
