"""The commands about weights: list, show, pull, verify and path."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from local_server import send, serving
from small_networks import SMALL_V2

from facekit import Embedder
from facekit.cli import main
from facekit.cli.common import DONE, FAILED, NEGATIVE
from facekit.embedding import build_network
from facekit.embedding.weights.registry import REGISTRY, WeightsFile, WeightsRecord

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a small embedder called "tiny", version and all."""
    path = tmp_path_factory.mktemp("content") / "tiny.safetensors"
    Embedder.from_network(build_network(SMALL_V2), SMALL_V2, name="tiny").save(path)
    return path.read_bytes()


@pytest.fixture
def record(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WeightsRecord:
    """The only record that is known, and an empty FACEKIT_HOME."""
    path = tmp_path / "own.safetensors"
    path.write_bytes(content)
    found = Embedder(path).record
    sha256 = hashlib.sha256(content).hexdigest()
    url = "https://weights.invalid/tiny.safetensors"
    record = WeightsRecord(
        name="tiny",
        version=found.version,
        architecture=SMALL_V2,
        alignment=found.alignment,
        files=(WeightsFile("tiny.safetensors", "facekit", sha256, url),),
        license="free",
    )
    monkeypatch.setattr("facekit.embedding.weights.registry.REGISTRY", {"tiny": record})
    monkeypatch.setenv("FACEKIT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("FACEKIT_DATA", raising=False)
    return record


@pytest.fixture
def there(record: WeightsRecord, content: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "home" / "weights" / "tiny" / "tiny.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def test_list_says_what_is_here(record: WeightsRecord, capsys: Captured) -> None:
    assert main(["weights", "list"]) == DONE
    assert capsys.readouterr().out == "tiny  80 px, 64-D, not on this machine\n"


def test_list_as_json_names_the_file(there: Path, capsys: Captured) -> None:
    assert main(["weights", "list", "--json"]) == DONE
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["name"], row["embedding_size"], row["path"]) == ("tiny", 64, str(there))


def test_list_names_all_of_the_registry(capsys: Captured) -> None:
    assert main(["weights", "list"]) == DONE
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()] == list(REGISTRY)
    assert out.count("the default") == 1


def test_no_weights_need_tensorflow_or_keras() -> None:
    program = (
        "import sys; from facekit.cli import main\n"
        "main(['weights', 'list'])\n"
        "print(sorted({'tensorflow', 'keras', 'openvino', 'cv2', 'sklearn'} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip().endswith("[]")


@pytest.mark.parametrize("name", REGISTRY)
def test_show_tells_what_is_known(name: str, capsys: Captured) -> None:
    assert main(["weights", "show", name]) == DONE
    text = capsys.readouterr().out
    assert main(["weights", "show", name, "--json"]) == DONE
    values = json.loads(capsys.readouterr().out)
    assert values["name"] == name
    for part in (values["license"], values["training_data"], values["files"][0]["name"]):
        assert part in text
    assert ("thresholds: none measured" in text) == (not values["thresholds"])
    assert ("SHA-256: none published" in text) == (values["files"][0]["sha256"] is None)


def test_path_prints_the_path(there: Path, capsys: Captured) -> None:
    assert main(["weights", "path", "tiny"]) == DONE
    assert capsys.readouterr().out == f"{there}\n"
    assert main(["weights", "path", "tiny", "--json"]) == DONE
    assert json.loads(capsys.readouterr().out) == {"name": "tiny", "path": str(there)}


def test_path_of_what_is_not_here(record: WeightsRecord, tmp_path: Path, capsys: Captured) -> None:
    assert main(["weights", "path", "tiny"]) == FAILED
    error = capsys.readouterr().err
    assert "facekit weights pull tiny" in error
    assert str(tmp_path / "home" / "weights" / "tiny") in error


def test_an_unknown_name_is_an_error(record: WeightsRecord, capsys: Captured) -> None:
    for command in ("show", "pull", "path", "verify"):
        assert main(["weights", command, "huge"]) == FAILED
        assert "known are tiny" in capsys.readouterr().err


def test_pull_downloads_and_mends(
    record: WeightsRecord,
    content: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
) -> None:
    monkeypatch.delenv("FACEKIT_OFFLINE")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "home" / "weights" / "tiny" / "tiny.safetensors"
    with serving(lambda handler, _: send(handler, content)) as (address, requested):
        file = WeightsFile(path.name, "facekit", record.files[0].sha256, f"{address}/{path.name}")
        object.__setattr__(record, "files", (file,))
        for _ in range(2):
            assert main(["weights", "pull", "tiny"]) == DONE
            assert capsys.readouterr().out == f"{path}\n"
        assert len(requested) == 1
        path.write_bytes(content[:100])
        assert main(["weights", "pull", "tiny"]) == DONE
    assert len(requested) == 2
    assert path.read_bytes() == content


def test_pull_takes_what_is_here(
    record: WeightsRecord,
    content: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
) -> None:
    monkeypatch.setenv("FACEKIT_DATA", str(tmp_path / "data"))
    path = tmp_path / "data" / "weights" / "tiny" / "tiny.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert main(["weights", "pull", "tiny"]) == DONE
    assert capsys.readouterr().out == f"{path}\n"
    path.write_bytes(content[:-1])
    assert main(["weights", "pull", "tiny"]) == FAILED
    assert "Delete it" in capsys.readouterr().err


def test_pull_offline_says_what_to_do(record: WeightsRecord, capsys: Captured) -> None:
    assert main(["weights", "pull", "tiny"]) == FAILED
    assert "download https://weights.invalid/tiny.safetensors yourself" in capsys.readouterr().err


def test_verify_finds_a_good_file(there: Path, capsys: Captured) -> None:
    for arguments in ([], ["tiny"], [str(there)]):
        assert main(["weights", "verify", *arguments]) == DONE
        assert capsys.readouterr().out.endswith(": unaltered\n")


def test_verify_of_nothing_says_so(record: WeightsRecord, capsys: Captured) -> None:
    assert main(["weights", "verify"]) == DONE
    assert capsys.readouterr().out == "No weights are on this machine.\n"


def test_verify_of_a_missing_file_is_an_error(record: WeightsRecord, capsys: Captured) -> None:
    assert main(["weights", "verify", "tiny"]) == FAILED
    assert main(["weights", "verify", "./missing.npz"]) == FAILED
    assert "missing.npz: no such file" in capsys.readouterr().err


@pytest.mark.parametrize("kept", [0, 100, -1])
def test_verify_finds_a_truncated_file(there: Path, kept: int, capsys: Captured) -> None:
    there.write_bytes(there.read_bytes()[:kept])
    for arguments in ([], ["tiny"], [str(there)]):
        assert main(["weights", "verify", *arguments]) == NEGATIVE
        assert str(there) in capsys.readouterr().err
    assert main(["weights", "verify", "--json"]) == NEGATIVE
    (result,) = json.loads(capsys.readouterr().out)
    assert result["weights"] == "tiny"
    assert str(there) in result["error"]


def test_a_command_is_needed(capsys: Captured) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["weights"])
    assert stopped.value.code == FAILED
