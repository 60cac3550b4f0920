"""A model file that is there but cannot be read, and what commands say of those that they take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from random_galleries import ON_CPU

from autoreid.cli import main
from autoreid.model_places import checkpoint_file

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def unreadable(tmp_path: Path) -> Path:
    """A file that is there for everybody, and whose bytes nobody gets."""
    path = tmp_path / "model.pt"
    path.symlink_to("/proc/self/mem")
    with pytest.raises(OSError, match="Input/output error"):
        path.read_bytes()
    return path


@pytest.mark.parametrize(
    "line",
    [
        ["embed", "MODEL", "IMAGES", "--out", "new.parquet", *ON_CPU],
        ["gallery", "build", "MODEL", "IMAGES", "--out", "new", *ON_CPU],
        ["gallery", "add", "GALLERY", "IMAGES", "--model", "MODEL", *ON_CPU],
        ["gallery", "search", "GALLERY", "IMAGES", "--model", "MODEL", *ON_CPU],
        ["gallery", "calibrate", "MODEL", "--data", "DATA", "--out", "new.json", *ON_CPU],
        ["evaluate", "MODEL", "--data", "DATA", *ON_CPU],
        ["pictures", "features", "MODEL", "--data", "DATA", "--out", "new.parquet", *ON_CPU],
        ["latency", "MODEL", *ON_CPU],
        ["export", "MODEL", "--onnx", "new.onnx"],
        ["model", "pack", "MODEL", "--out", "new.safetensors"],
        ["model", "from-torchreid", "MODEL", "--out", "new.safetensors"],
        ["model", "show", "MODEL"],
        ["model", "card", "MODEL"],
    ],
    ids=lambda line: " ".join(line[: 2 if line[1].islower() else 1]),
)
def test_every_command_names_a_model_file_that_cannot_be_read(
    run: Run,
    unreadable: Path,
    built: Path,
    people: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    line: Sequence[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"MODEL": unreadable, "GALLERY": built, "DATA": people, "IMAGES": people / "query"}
    code, said, complaints = run(*(places.get(part, part) for part in line))
    assert (code, said) == (2, "")
    assert f"{unreadable}: cannot be read: Input/output error. Make it readable, or give a" in complaints
    assert not list(tmp_path.glob("new*"))


def test_a_folder_that_may_not_be_entered(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_dir", refused)
    with pytest.raises(ValueError, match=r"^theirs/model\.pt: cannot be read: Permission denied. Make it"):
        checkpoint_file("theirs/model.pt")


@pytest.mark.parametrize("verb", [["embed"], ["gallery", "build"], ["gallery", "calibrate"]])
def test_help_tells_of_portable_files(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([*verb, "--help"])
    assert "its folder, or a portable file" in " ".join(capsys.readouterr().out.split())
