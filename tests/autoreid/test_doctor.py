"""`autoreid doctor`: what is well, what is broken, and what the page does not tell."""

from __future__ import annotations

import dataclasses
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from local_s3 import address

from autoreid import diagnosis, probes
from autoreid.cli import main
from autoreid.data.source import DataSource, render_into
from autoreid.diagnosis import Finding, findings, page_plain, page_text, shortened
from autoreid.folders import File, LocalFolder
from autoreid.storage import Storage


def states(found: Iterator[Finding] | list[Finding]) -> list[str]:
    return [finding.state for finding in found]


def only(found: Iterator[Finding]) -> Finding:
    (finding,) = found
    return finding


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Rendered pedestrians in the layout of Market-1501."""
    root = tmp_path / "images"
    render_into(root, DataSource(set="rendered", identities=4, cameras=2, images=2, height=64, width=32))
    return root


def test_a_healthy_installation_is_one_page(
    tmp_path: Path, images: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOREID_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-for-others")
    line = ["doctor", "--storage", str(tmp_path / "new/storage"), "--data", f"market1501:{images}"]
    assert main(line) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert len(lines) < 40
    assert max(len(line.replace(str(tmp_path), "")) for line in lines) <= 100
    assert f"torch {torch.__version__.partition('+')[0]}" in text
    assert "new/storage (will be made): writes, replaces, lists and removes files" in " ".join(text.split())
    assert not (tmp_path / "new").exists()
    assert "not-for-others" not in text
    assert main([*line, "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["healthy"]
    topics = {finding["topic"] for finding in plain["findings"]}
    assert topics == {
        *(
            "python",
            "autoreid",
            "packages",
            "extras",
            "commands",
            "processor",
            "memory",
            "gpus",
            "disk",
            "loopback",
        ),
        *("storage", "data"),
    }


def test_what_is_broken_is_told_with_its_remedy_and_the_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["doctor", "--storage", str(tmp_path / "file/x"), "--data", str(tmp_path / "none")]) == 1
    text = " ".join(capsys.readouterr().out.split())
    assert text.startswith("autoreid doctor: 2 broken")
    assert "BROKEN storage" in text
    assert "/file: a file. Give a folder" in text
    assert "-> 'autoreid data check DIR' lists every defect." in text


def test_it_runs_without_what_campaigns_and_reports_need() -> None:
    code = (
        "import sys\n"
        "class Nothing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in {'ray', 'optuna', 'pydantic', 'pandas', 'pyarrow', 'scipy',\n"
        "                                      'matplotlib', 'yaml', 'rich', 'packaging'}:\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Nothing())\n"
        "from autoreid.cli import main\n"
        "sys.exit(main(['doctor', '--json']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["healthy"]


def test_missing_and_unfit_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"numpy": "2.4.6+local", "optuna": "4.0.0"}
    monkeypatch.setattr(diagnosis, "installed", versions.get)
    wanted = [("torch", ">=2.11"), ("numpy", ">=2"), ("ray", "<2.61,>=2.60"), ("optuna", "<6,>=5")]
    monkeypatch.setattr(diagnosis, "requirements", lambda: wanted)
    found = [finding for finding in diagnosis.check_versions() if finding.topic == "packages"]
    assert [(finding.state, finding.words) for finding in found] == [
        ("ok", "numpy 2.4.6+local, optuna 4.0.0"),
        ("broken", "torch is missing"),
        ("note", "ray is missing: searches and trainings run, campaigns or reports may not"),
        ("broken", "optuna 4.0.0, but <6,>=5 is required"),
    ]
    assert found[2].remedy == "Run: pip install 'ray<2.61,>=2.60'"


def test_extras_are_listed_and_none_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"onnx": "1.23.2", "onnxruntime": "1.30.0", "h5py": "3.14.0"}
    monkeypatch.setattr(diagnosis, "installed", versions.get)
    wanted = {
        "onnx": [("onnx", "<2,>=1.23"), ("onnxruntime", "<2,>=1.31")],
        "faiss": [("faiss-cpu", "<2,>=1.12")],
        "cuhk03": [("h5py", ">=3.14"), ("scipy", ">=1.15")],
    }
    monkeypatch.setattr(diagnosis, "extras", lambda: wanted)
    found = list(diagnosis.check_extras())
    unfit = "onnxruntime 1.30.0, but <2,>=1.31 is required"
    assert [(finding.state, finding.words) for finding in found] == [
        ("note", f"onnx, for autoreid export: onnx 1.23.2, onnxruntime 1.30.0; {unfit}"),
        (
            "ok",
            "faiss, for galleries searched by faiss: not there: faiss-cpu (pip install 'autoreid[faiss]')",
        ),
        (
            "ok",
            "cuhk03, for the images of cuhk-03.mat: h5py 3.14.0; not there: scipy (pip install "
            "'autoreid[cuhk03]')",
        ),
    ]
    assert [finding.remedy for finding in found] == ["Run: pip install 'autoreid[onnx]'", "", ""]


def test_every_extra_of_the_installation_is_said_to_be_for_something() -> None:
    assert diagnosis.extras().keys() == diagnosis.EXTRAS.keys()
    assert ("faiss-cpu", "<2,>=1.12") in diagnosis.extras()["faiss"]


def test_what_is_required_is_read_from_the_installation() -> None:
    names = dict(diagnosis.requirements())
    assert {"torch", "ray", "optuna", "pyarrow"} <= names.keys()
    assert names["ray"] == "<2.61,>=2.60"
    assert "pytest" not in names


def test_a_torch_that_does_not_load_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert only(probes.check_gpus()).words.startswith("torch cannot be loaded: ModuleNotFoundError")
    assert "broken" not in states(probes.check_processor())


def _fake_gpu(monkeypatch: pytest.MonkeyPatch, name: str, value: Any) -> Finding:
    """What is found of one GPU, of which something is replaced."""
    properties = SimpleNamespace(name="NVIDIA L4", major=8, minor=9)
    known = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "mem_get_info": lambda device: (20 << 30, 24 << 30),
        "get_device_properties": lambda device: properties,
    }
    for key, replaced in (known | {name: value}).items():
        monkeypatch.setattr(torch.cuda, key, replaced)
    monkeypatch.setattr(torch, "device", lambda *given: "cpu")
    return only(probes.check_gpus())


def test_a_gpu_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    found = _fake_gpu(monkeypatch, "device_count", lambda: 1)
    assert (found.state, found.words[:62]) == (
        "ok",
        "0: NVIDIA L4, compute 8.9, 20.0 GiB free of 24.0 GiB, torch for"[:62],
    )


def test_a_gpu_that_does_not_compute_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(device: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    found = _fake_gpu(monkeypatch, "mem_get_info", full)
    assert found.state == "broken"
    assert "OutOfMemoryError: CUDA out of memory" in found.words
    assert "nvidia-smi" in found.remedy


def test_hidden_gpus_are_mentioned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "CUDA_VISIBLE_DEVICES is set and may hide them" in only(probes.check_gpus()).words
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(Path, "exists", lambda path: str(path) == "/dev/nvidia0")
    found = only(probes.check_gpus())
    assert found.state == "broken"
    assert "does not see it" in found.words


@pytest.mark.parametrize(
    ("text", "quota"), [("200000 100000\n", 2.0), ("max 100000\n", None), ("", None), ("50000 100000", 0.5)]
)
def test_the_cpus_of_a_container(text: str, quota: float | None, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert probes.cpu_quota(tmp_path / "cpu.max") == quota
    assert probes.cpu_quota(tmp_path / "absent") is None


def test_a_container_with_less_than_it_sees_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "cpu_quota", lambda: 0.5)
    _, found = probes.check_processor()
    assert found.state == "note"
    assert "--max-parallel 1," in found.remedy


@pytest.mark.parametrize(("free", "state"), [(1 << 40, "ok"), (2 << 30, "note"), (1 << 20, "broken")])
def test_space_of_a_disk(free: int, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes.shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    assert probes.disk("here", tmp_path / "to/be/made", "Go elsewhere.").state == state


def test_a_folder_that_cannot_be_made_is_broken(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = probes.disk("decoded images", tmp_path / "file/cache", "Set AUTOREID_CACHE.")
    assert (found.state, found.words) == ("broken", "decoded images: cannot be written")


def test_a_closed_loopback_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*given: object) -> None:
        raise PermissionError(13, "Permission denied")

    assert set(states(probes.check_loopback())) <= {"ok", "note"}
    monkeypatch.setattr(socket, "create_server", refused)
    first = next(probes.check_loopback())
    assert (first.state, first.words) == ("broken", "127.0.0.1 cannot be used: Permission denied")


def test_few_files_are_mentioned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes.resource, "getrlimit", lambda what: (256, 4096))
    assert "may open 256 files" in list(probes.check_loopback())[1].words


def test_object_stores_are_tried_as_well(s3_port: int, tmp_path: Path) -> None:
    where = address(s3_port, f"{tmp_path.name}-storage")
    found = only(probes.check_storage(where))
    assert found.state == "ok"
    assert found.words.endswith("writes, replaces, lists and removes files")
    assert Storage(where).folder.sizes() == {}


def test_a_storage_in_use_is_left_as_it_was(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    storage.write_manifest("a", {"version": 1})
    before = storage.folder.files()
    assert states(probes.check_storage(str(tmp_path)))[0] == "ok"
    assert storage.folder.files() == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("doctor")] == []


def test_a_storage_of_a_newer_release_is_broken(tmp_path: Path) -> None:
    (tmp_path / "storage.json").write_text('{"version": 99}')
    found = only(probes.check_storage(str(tmp_path)))
    assert found.state == "broken"
    assert "version 99; this release reads 1" in found.words


def _in_place(folder: LocalFolder, name: str, data: bytes) -> None:
    path = folder.root / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)


def _cut(folder: LocalFolder, name: str, data: bytes, intact: Any = LocalFolder.write) -> None:
    intact(folder, name, data[:5000])


@pytest.mark.parametrize(
    ("method", "faulty", "words"),
    [
        ("write", _in_place, "changes under who reads it"),
        ("write", _cut, "gives other bytes than were written"),
        ("sizes", lambda folder, prefix="": {}, "not listed as it is"),
        (
            "files",
            lambda folder, below="": {f"{below}/probe": File(15_000, 1e12)},
            "a file that was removed is still listed",
        ),
    ],
)
def test_a_file_system_that_does_not_keep_its_word_is_broken(
    method: str, faulty: Any, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalFolder, method, faulty)
    first = next(probes.check_storage(str(tmp_path)))
    assert first.state == "broken"
    assert words in first.words
    assert list(tmp_path.iterdir()) == []


def test_a_storage_with_another_clock_is_mentioned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    intact = LocalFolder.files

    def later(folder: LocalFolder, below: str = "") -> dict[str, File]:
        found = intact(folder, below)
        return {name: dataclasses.replace(file, changed=file.changed + 100) for name, file in found.items()}

    monkeypatch.setattr(LocalFolder, "files", later)
    found = list(probes.check_storage(str(tmp_path)))[1]
    assert found.state == "note"
    assert found.words.startswith("its clock is +100 s from")


def test_data_is_opened_and_read(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = only(probes.check_data(str(images)))
    assert (found.state, "8 train" in found.words) == ("ok", True)
    query = sorted((images / "query").glob("*.jpg"))[0]
    query.write_bytes(query.read_bytes()[:200])
    found = only(probes.check_data(f"market1501:{images}"))
    assert found.state == "broken"
    assert query.name in found.words
    assert only(probes.check_data("nowhere:/none")).state == "broken"


def test_a_check_that_fails_is_a_finding() -> None:
    def harmed() -> Iterator[Finding]:
        yield Finding("disk", "first")
        raise ZeroDivisionError("by zero")

    found = findings([("disk", harmed), ("memory", lambda: iter([Finding("memory", "well")]))])
    assert [finding.words for finding in found][-1] == "well"
    assert "the check failed: ZeroDivisionError: by zero" in [finding.words for finding in found]
    assert not page_plain(found)["healthy"]


def test_the_home_folder_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert shortened("/home/ada/x: gone, /home/ada and /home/adam/x") == "~/x: gone, ~ and /home/adam/x"
    page = page_plain([Finding("data", "/home/ada/data: no such folder", "broken", "Look in /home/ada.")])
    assert "ada" not in json.dumps(page).replace("data", "")
    assert "~/data: no such folder" in page_text(page)
    monkeypatch.setenv("HOME", "/")
    assert shortened("/tmp/x") == "/tmp/x"
