"""The commands train and distill."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from facekit import Embedder
from facekit.cli import main
from facekit.cli.common import DONE, FAILED
from facekit.errors import RandomWeightsWarning
from tests.small_networks import SMALL_V2, random_pictures


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pool of cuts: no detector is needed."""
    import zipfile

    folder = tmp_path_factory.mktemp("pool")
    points = ",".join(str(x) for x in (45, 50, 83, 50, 64, 73, 48, 90, 80, 90))
    lines = [
        "archive,name,label,box_x1,box_y1,box_x2,box_y2,left_eye_x,left_eye_y,right_eye_x,"
        "right_eye_y,nose_x,nose_y,mouth_left_x,mouth_left_y,mouth_right_x,mouth_right_y,score"
    ]
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        for index, picture in enumerate(random_pictures(12, side=130)):
            with archive.open(f"{index}.webp", "w") as stream:
                Image.fromarray(np.ascontiguousarray(picture[:128, :128])).save(stream, "WEBP")
            lines.append(f"a.zip,{index}.webp,set/p{index % 4},21,10,106,118,{points},0.999")
    (folder / "index.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RandomWeightsWarning)
        embedder = Embedder(weights=None, architecture=SMALL_V2)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    embedder.save(path)
    return str(path)


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEKIT_HOME", str(tmp_path_factory.getbasetemp() / "home"))


CONFIG = """
data = "{pool}"
weights = "{weights}"
validation = 0
augmentation = false
identities = 3
images = 2
embedding_size = 8
miner = {{ 0 = "batch-all", 1 = "semihard" }}
[trainable]
0 = "head"
"""


def test_train_runs_a_file_to_its_end_and_goes_on(
    tmp_path: Path, pool: Path, weights: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "head.toml"
    config.write_text(CONFIG.format(pool=pool, weights=weights))
    folder = str(tmp_path / "run")
    assert main(["train", str(config), "--folder", folder, "--epochs", "1"]) == DONE
    printed = capsys.readouterr()
    assert "Epoch 1: loss" in printed.out
    assert "12 faces of 4 people" in printed.err
    arguments = ["train", str(config), "--folder", folder, "--epochs", "2"]
    assert main(arguments) == FAILED
    assert "--resume" in capsys.readouterr().err
    assert main([*arguments, "--resume", "--json"]) == DONE
    (row,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert row["epoch"] == 2
    assert Embedder(Path(folder) / "embedder.safetensors").embedding_size == 8


def test_distill(
    tmp_path: Path, pool: Path, weights: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "distill", "--data", str(pool), "--folder", str(tmp_path / "run"), "--teacher", weights,
        "--weights", weights, "--trainable", "head", "--no-augmentation", "--validation", "0",
        "--batch-size", "6", "--epochs", "1", "--learning-rate", "0:0.01",
    ]  # fmt: skip
    assert main(arguments) == DONE
    assert "cosine similarity" in capsys.readouterr().out


@pytest.mark.check
def test_distill_from_several_teachers(
    tmp_path: Path, pool: Path, weights: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"a.zip/{index}.webp" for index in range(12)]
    vectors = np.random.default_rng(0).normal(size=(12, 5))
    np.savez(tmp_path / "stored.npz", names=names, embeddings=vectors)
    config = tmp_path / "config.toml"

    def run(teachers: str) -> int:
        config.write_text(
            f'data = "{pool}"\nfolder = "{tmp_path / "run"}"\nweights = "{weights}"\n'
            'trainable = "head"\naugmentation = false\nvalidation = 0\nbatch_size = 6\n'
            f"neighbors = 2\nimpostor_weight = 1.0\nepochs = 1\n{teachers}"
        )
        return main(["distill", str(config)])

    stored = f'[[teachers]]\nstored = "{tmp_path / "stored.npz"}"\nweight = 0.5\n'
    assert run(f'{stored}[[teachers]]\nweights = "{weights}"\n') == DONE
    assert "cosine similarity" in capsys.readouterr().out
    for wrong, message in (
        ("[[teachers]]\nweight = 1.0\n", "names one of weights, onnx and stored"),
        ("teachers = 3\n", "names one of weights, onnx and stored"),
        ('[[teachers]]\nonnx = "no.onnx"\n', "no.onnx: no such file"),
        (f"{stored}size = 3\n", "[[teachers]] cannot be used"),
    ):
        assert run(wrong) == FAILED
        assert message in capsys.readouterr().err


@pytest.mark.check
def test_a_training_starts_with_the_network_of_another(
    tmp_path: Path, pool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = [
        "train", "--data", str(pool), "--width", "0.1", "--blocks", "0.1", "--identities", "3",
        "--embedding-size", "8", "--images", "2", "--no-augmentation", "--validation", "0",
        "--trainable", "head", "--epochs", "1", "--json",
    ]  # fmt: skip
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    assert main([*common, "--input-size", "75", "--trainable", "all", "--folder", first]) == DONE
    checkpoint = str(Path(first) / "checkpoint.safetensors")
    assert (
        main([*common, "--input-size", "80", "--folder", second, "--network", checkpoint]) == DONE
    )
    ended, began = (load_file(Path(f) / "embedder.safetensors") for f in (first, second))
    name = "Conv2d_1a_3x3/kernel"  # the head alone was trained on
    np.testing.assert_array_equal(ended[name], began[name])
    capsys.readouterr()
    assert main([*common, "--folder", str(tmp_path / "third"), "--network", "nowhere"]) == FAILED
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--folder", "run"], "--data is missing"),
        (["--data", "{pool}"], "--folder is missing"),
        (["missing.toml"], "missing.toml: cannot be read (No such file or directory)"),
        (["{bad}"], "unknown setting 'marign'"),
        (["{numbers}"], "data must be a string, got 3"),
        (["{numbers}", "--data", "{pool}"], "folder must be a string, got ['o']"),
        (["{numbers}", "--data", "{pool}", "--folder", "r"], "network must be a string, got 4"),
        (["--data", "nowhere", "--folder", "run"], "nowhere"),
        (["--data", "{empty}", "--folder", "run"], "{empty}"),
        (["--data", "{pool}", "--folder", "r", "--miner", "x"], "miner must be one of"),
        (["--data", "{pool}", "--folder", "r", "--miner", "a:b"], "values by epoch"),
        (
            ["--data", "{pool}", "--folder", "r", "--weights", "{weights}", "--width", "1"],
            "--width",
        ),
        (
            ["--data", "{pool}", "--folder", "r", "--weights", "{weights}", "--network", "x"],
            "give either --network or --weights, not both",
        ),
    ],
)
def test_mistakes_end_in_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    pool: Path,
    weights: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    bad = tmp_path / "bad.toml"
    bad.write_text("marign = 0.2")
    numbers = tmp_path / "numbers.toml"
    numbers.write_text('data = 3\nfolder = ["o"]\nnetwork = 4\n')
    places = {"pool": pool, "weights": weights, "bad": bad, "numbers": numbers, "empty": "empty"}
    assert main(["train", *(argument.format(**places) for argument in arguments)]) == FAILED
    printed = capsys.readouterr().err
    assert message.format(**places) in printed
    assert printed.startswith("facekit: error: ")
    assert "Traceback" not in printed
