"""Commands that are stopped: by a signal in order, or killed; and what the next ones tidy."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from random_galleries import ON_CPU, random_features, write_features

from autoreid.embed import Embedder
from autoreid.gallery.store import Gallery, set_threshold

Run = Callable[..., tuple[int, str, str]]
Told = Callable[..., Any]

# Is killed once it has written half of something.
KILLED = """
import os, signal, sys
from autoreid.cli import main
place, name = sys.argv[1].split(":")
module = __import__(place, fromlist=[name])
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
setattr(module, name, die)
main(sys.argv[2:])
"""


def content(folder: Path) -> dict[str, bytes]:
    """All files below a folder but for locks."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(".lock")
    }


def killed(where: str, *line: object) -> None:
    arguments = [sys.executable, "-c", KILLED, where, *map(str, line)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.fixture
def files(told: Told, tmp_path: Path) -> Path:
    """A folder with the gallery g of a.parquet, and b.parquet to add."""
    for seed, name in enumerate("ab"):
        write_features(tmp_path / f"{name}.parquet", random_features(9, 8, seed), prefix=name)
    told("gallery", "build", "--features", tmp_path / "a.parquet", "--out", tmp_path / "g")
    return tmp_path


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
@pytest.mark.parametrize("verb", ["embed", "build", "add", "search", "calibrate"])
def test_a_signal_ends_a_command_in_order(
    verb: str,
    number: signal.Signals,
    run: Run,
    checkpoint: Path,
    people: Path,
    built: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = Embedder.features

    def signalled(self: Embedder, pixels: Any) -> Any:
        found = real(self, pixels)
        signal.raise_signal(number)
        return found

    monkeypatch.setattr(Embedder, "features", signalled)
    line = {
        "embed": ["embed", checkpoint, people / "query", "--out", tmp_path / "f.parquet"],
        "build": ["gallery", "build", checkpoint, people / "query", "--out", tmp_path / "h"],
        "add": ["gallery", "add", built, people / "query", "--model", checkpoint],
        "search": ["gallery", "search", built, people / "query", "--model", checkpoint, "--out"],
        "calibrate": ["gallery", "calibrate", checkpoint, "--data", people, "--out", tmp_path / "t.json"],
    }[verb]
    line += [tmp_path / "m.csv"] if verb == "search" else []
    before, handler = content(tmp_path), signal.getsignal(number)
    code, said, complaints = run(*line, *ON_CPU)
    assert (code, said) == (75, "")
    assert complaints == (
        "autoreid: interrupted, and what was begun is removed. The same command begins anew.\n"
    )
    assert content(tmp_path) == before and not list(tmp_path.rglob(".part-*"))
    assert signal.getsignal(number) is handler


def test_what_killed_commands_left_is_tidied_by_the_next_one(run: Run, files: Path) -> None:
    """Whether in the gallery, beside it or beside another file."""
    whole = content(files)
    add = ["gallery", "add", files / "g", "--features", files / "b.parquet"]
    build = ["gallery", "build", "--features", files / "b.parquet", "--out", files / "h"]
    search = ["gallery", "search", files / "g", files / "b.parquet", "--out", files / "m.csv"]
    for line in (add, build):
        killed("shutil:copyfileobj", *line)
    killed("autoreid.gallery.searching:TableWriter", *search)
    left = content(files)
    assert {name: left[name] for name in whole} == whole and len(left) > len(whole)
    for line in (build, search, add):
        code, _, complaints = run(*line)
        assert code == 0, complaints
    assert not list(files.rglob(".part-*"))
    assert Gallery.open(files / "g").count == 18 and Gallery.open(files / "h").count == 9


def test_an_addition_that_was_killed_at_its_end_is_tidied_by_any_command_that_writes(
    run: Run, told: Told, files: Path
) -> None:
    """Its file is in place, and gallery.json does not name it."""
    add = ["gallery", "add", files / "g", "--features", files / "b.parquet"]
    orphan = files / "g" / "features-1.parquet"
    for command in (
        lambda: set_threshold(Gallery.open(files / "g"), {"distance": 0.5}),
        lambda: told("gallery", "remove", files / "g", "a0000003.jpg"),
        lambda: told(*add),
    ):
        killed("autoreid.gallery.store:write_whole", *add)
        assert orphan.exists() and len(Gallery.open(files / "g").parts) == 1
        command()
        parts = {part.path for part in Gallery.open(files / "g").parts}
        assert set((files / "g").glob("*.parquet")) == parts
        assert not list((files / "g").glob(".part-*"))


def test_an_addition_that_is_stopped_at_its_end_leaves_nothing(
    run: Run, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(files)
    monkeypatch.setattr("autoreid.gallery.store.write_whole", lambda *_: signal.raise_signal(signal.SIGTERM))
    code, _, _ = run("gallery", "add", files / "g", "--features", files / "b.parquet")
    assert code == 75 and content(files) == before


def test_others_that_add_at_the_same_time_are_left_alone(run: Run, files: Path) -> None:
    """A removal that tidies while another process still copies what it adds."""
    waits = KILLED.replace("def die", "real = getattr(module, name)\ndef die")
    waits = waits.replace(
        "os.kill(os.getpid(), signal.SIGKILL)", "print(flush=True); sys.stdin.read(1); real(*_)"
    )
    line = ["gallery", "add", files / "g", "--features", files / "b.parquet"]
    arguments = [sys.executable, "-c", waits, "shutil:copyfileobj", *map(str, line)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        process.stdout.readline()
        assert run("gallery", "remove", files / "g", "a0000000.jpg")[0] == 0
        process.stdin.write("x")
        process.stdin.close()
        assert process.wait(timeout=60) == 0
    assert Gallery.open(files / "g").count == 17
    assert not list((files / "g").glob(".part-*"))
