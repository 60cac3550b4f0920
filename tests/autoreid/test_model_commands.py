"""`autoreid model`: what it writes, what it says, and that other commands take its files."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest
from trained_small import leave_training, small_recipe

from autoreid.cli import main
from autoreid.feed import PreparedData
from autoreid.portable import read
from autoreid.storage import Storage
from autoreid.values import plain


@pytest.fixture(scope="module")
def trained(small_data: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training."""
    return leave_training(tmp_path_factory.mktemp("trained"), small_data)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["model", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_training_is_packed_and_shown(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], small_data: PreparedData
) -> None:
    out = tmp_path / "net.safetensors"
    (tmp_path / "words.md").write_text("## Notes\n\nOf a yard.\n")
    flags = ["--out", out, "--licence", "CC-BY-NC-4.0", "--card", tmp_path / "words.md"]
    assert run(capsys, "pack", trained, *flags, "--json")[:2] == (
        0,
        json.dumps({"file": str(out), "bytes": out.stat().st_size}) + "\n",
    )
    metrics = json.loads((trained / "outcome.json").read_text())["result"]["evaluation"]
    code, text, _ = run(capsys, "show", out, "--json")
    shown = json.loads(text)
    assert code == 0
    assert shown["metrics"] == metrics
    assert shown["recipe"] == plain(small_recipe())
    assert shown["data"] == {"set": None, "fingerprint": small_data.fingerprint}
    assert shown["versions"]["trained"] == {"autoreid": "0.1.0", "torch": "2.15.0", "python": "3.11.9"}
    _, text, _ = run(capsys, "show", out)
    for words in ("64 x 32, RGB", "classifier left out", f"mAP {100 * metrics['mAP']:.1f}", "CC-BY-NC-4.0"):
        assert words in text
    assert "\nsizes       width multiplier 0.25\nneck        fblneck, 2 stripes\n" in text
    _, card, _ = run(capsys, "card", out)
    assert card == read(out.read_bytes(), "")[0].card
    assert card.endswith("## Notes\n\nOf a yard.\n")
    _, card, _ = run(capsys, "card", trained)
    assert "Not stated" in card


def test_how_a_training_went_is_told_without_its_outcome(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(trained / "model.pt", tmp_path)
    epochs = small_recipe().epochs
    assert f"training    {epochs} epochs" in run(capsys, "show", tmp_path / "model.pt")[1]
    assert f"| epochs | {epochs}, from scratch |" in run(capsys, "card", tmp_path / "model.pt")[1]


def test_other_commands_take_a_portable_file_for_a_checkpoint(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], small_data: PreparedData, cache: Path
) -> None:
    out = tmp_path / "net.safetensors"
    assert run(capsys, "pack", trained, "--out", out)[0] == 0
    data = ["--data", str(small_data.index.root), "--cache", str(cache), "--device", "cpu", "--threads", "1"]
    answers = []
    for checkpoint in (trained, out):
        assert main(["evaluate", str(checkpoint), *data, "--json"]) == 0
        answers.append(capsys.readouterr().out)
    assert answers[0] == answers[1]
    assert main(["pictures", "ranked", str(out), "--out", str(tmp_path / "p"), "--count", "2", *data]) == 0
    assert main(["pictures", "features", str(out), "--out", str(tmp_path / "p"), *data]) == 2
    assert "net.safetensors: holds what inference needs, not the neck's balance" in capsys.readouterr().err


def test_the_storage_tells_the_data_set(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], small_data: PreparedData
) -> None:
    storage, job = Storage(tmp_path), "0" * 32
    manifest = {"version": 1, "entries": [], "jobs": {}, "data": {"set": "rendered"}}
    storage.write_manifest("one", manifest | {"data_fingerprint": small_data.fingerprint})
    storage.write_manifest("two", manifest | {"data": {"set": "msmt17"}, "data_fingerprint": "0" * 64})
    attempt = tmp_path / f"jobs/{job}/attempts/1-abcdef01"
    shutil.copytree(trained, attempt)
    (tmp_path / f"jobs/{job}/job.json").write_text(json.dumps({"data": small_data.fingerprint}))
    _, text, _ = run(capsys, "show", attempt, "--json")
    assert json.loads(text)["data"]["set"] == "rendered"
    out = tmp_path / "net.safetensors"
    assert run(capsys, "pack", attempt, "--out", out, "--data-set", "a yard")[0] == 0
    assert read(out.read_bytes(), "")[0].data_set == "a yard"


def test_mistakes_are_explained(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "net.safetensors"
    code, _, err = run(capsys, "pack", trained, "--out", out, "--licence", "for research only")
    assert (code, "--licence: no licence 'for research only'. Give a well-known identifier" in err) == (
        2,
        True,
    )
    assert run(capsys, "pack", tmp_path / "absent", "--out", out)[0] == 2
    assert run(capsys, "pack", trained, "--out", out, "--card", tmp_path / "absent.md")[0] == 2
    assert not list(tmp_path.iterdir())
    assert (
        run(capsys, "pack", trained, "--out", out, "--licence", "MIT OR (Apache-2.0 AND BSD-3-Clause)")[0]
        == 0
    )
    code, _, err = run(capsys, "pack", trained, "--out", out)
    assert (code, "is there already" in err) == (2, True)
    code, _, err = run(capsys, "pack", out, "--out", tmp_path / "b.safetensors", "--with-classifier")
    assert (code, "holds no classifier" in err) == (2, True)
    (tmp_path / "text").write_text("a text")
    code, _, err = run(capsys, "show", tmp_path / "text")
    assert (code, "not a file of autoreid, or damaged" in err) == (2, True)


def test_places_that_cannot_be_are_told_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.pt").write_text("never read")
    for line in (["pack", "model.pt"], ["from-torchreid", "model.pt"]):
        for out, words in {
            "net.pt": "autoreid: --out: net.pt does not end with .safetensors. Name it so.",
            "new/net.safetensors": f"there is no folder {tmp_path}/new. Make it: mkdir -p {tmp_path}/new",
            "model.pt/net.safetensors": f"{tmp_path}/model.pt is a file, not a folder.",
        }.items():
            code, _, err = run(capsys, *line, "--out", out)
            assert (code, words in err) == (2, True), err
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_figures_of_other_weights_are_never_packed(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(trained, folder)
    outcome = json.loads((folder / "outcome.json").read_text())
    outcome["files"]["model.pt"]["sha256"] = "0" * 64
    (folder / "outcome.json").write_text(json.dumps(outcome))
    code, _, err = run(capsys, "pack", folder, "--out", tmp_path / "net.safetensors")
    assert (code, "not the file that" in err) == (2, True)
    # Nor used, whatever is done with them.
    for command in (
        ["evaluate", folder, "--data", "rendered"],
        ["latency", folder],
        ["export", folder, "--onnx", tmp_path / "a.onnx"],
    ):
        assert main([str(part) for part in command]) == 2
        assert "not the file that" in capsys.readouterr().err
    (folder / "outcome.json").write_text("{")
    code, _, err = run(capsys, "pack", folder, "--out", tmp_path / "net.safetensors")
    assert (code, "outcome.json: damaged" in err) == (2, True)
    (folder / "outcome.json").unlink()
    assert run(capsys, "pack", folder, "--out", tmp_path / "net.safetensors")[0] == 0
    assert read((tmp_path / "net.safetensors").read_bytes(), "")[0].metrics is None


def test_a_full_disk_leaves_nothing_half_written(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        code, _, err = run(capsys, "pack", trained, "--out", tmp_path / "net.safetensors")
    assert (code, "No space left on device. Free space, or choose another place." in err) == (1, True)
    assert not list(tmp_path.iterdir())
