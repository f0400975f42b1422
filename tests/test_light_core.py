"""Recognition without the extras: what works, and what the rest says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXTRAS = ("av", "faiss", "h5py", "jax", "keras", "matplotlib", "tensorboard", "tensorflow", "torch")

WITHOUT = f"""
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRAS!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
"""


def run(script: str, *arguments: object, folder: Path) -> str:
    """Runs a script without the extras, and returns what it printed."""
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT + script, *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout.strip()


def test_a_recognizer_works(tmp_path: Path, known: Path, hopper: Path) -> None:
    script = """
from facekit import FaceRecognizer
recognizer = FaceRecognizer().fit(sys.argv[1], progress=False)
print(*(face.name for face in recognizer.recognize(sys.argv[2])))
"""
    assert run(script, known, hopper, folder=tmp_path) == "Grace"


def test_what_is_missing_is_one_sentence(tmp_path: Path) -> None:
    statements = {
        "from facekit.training import TripletTrainer": "train",
        "import facekit as f, facekit.embedding as e; e.build_network(f.Architecture())": "train",
        "import facekit as f, numpy as n; "
        "f.Embedder(engine='keras').embed(n.zeros((1, 112, 112, 3), 'u1'))": "train",
        "from facekit.utils.figures import axes_or_new; axes_or_new(None, 3, 3)": "plots",
        "from facekit.video import VideoFile; VideoFile(sys.argv[0])": "video",
        "from facekit.embedding.weights.published import read_keras_h5 as r; r('x.h5')": "convert",
    }
    script = f"""
from facekit.errors import FacekitError
for statement in {list(statements)!r}:
    try:
        exec(statement)
    except FacekitError as error:
        assert isinstance(error, ImportError) and "\\n" not in str(error)
        print(error)
"""
    sentences = run(script, folder=tmp_path).splitlines()
    for sentence, extra in zip(sentences, statements.values(), strict=True):
        assert sentence.endswith(f'install it with: pip install "facekit-recognition[{extra}]"')


def test_the_terminal_works(tmp_path: Path, known: Path, hopper: Path) -> None:
    script = """
from facekit.cli import main
known, photo = sys.argv[1:]
assert main(["enroll", "people.facekit", "--from", known]) == 0
assert main(["recognize", "people.facekit", photo, "--output", "named"]) == 0
assert main(["verify", photo, photo]) == 0
assert main(["detect", photo]) == 0
assert main(["train", "--data", known, "--folder", "run"]) == 2
"""
    run(script, known, hopper, folder=tmp_path)
    assert list((tmp_path / "named").iterdir())
