"""The pages of the guide are walked as a reader would: files, commands and Python, in the order of the page.

```sh runs in a folder of the page's own, ```python runs there too, a second word names the file that a block
is written to, and other blocks are left alone.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "guide"
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BINARIES = Path(sys.executable).parent
# What a reader does once for all pages is done here for one, without a network.
INSTALL = "pip install --quiet --no-deps --no-build-isolation --target installed ."
PATIENCE_SECONDS = 300
# What each page is to leave behind, or to say.
LEFT = {
    "first-campaign": ["results/report/report.html", "results/tables/retrains/first.parquet"],
    "own-data": ["people.csv", "trained/model.pt"],
    "own-space": ["found/genotype.json", "trained/model.pt"],
    "own-cluster": ["slurm.sh", "machines.sh"],
    "reading-tables": ["sample/report/report.html", "sample/tables/retrains/sample.parquet"],
}


class Block(NamedTuple):
    language: str
    file: str
    text: str


def blocks(page: str) -> Iterator[Block]:
    for found in BLOCK.finditer((GUIDE / f"{page}.md").read_text(encoding="utf-8")):
        yield Block(*(part or "" for part in found.groups()))


def walk(page: str, folder: Path) -> str:
    """Do what a page says, in a folder; all that its commands print."""
    environment = {
        **os.environ,
        "PATH": f"{BINARIES}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(
            filter(None, [str(folder / "installed"), os.environ.get("PYTHONPATH")])
        ),
        "OMP_NUM_THREADS": "1",
        "AUTOREID_CACHE": str(folder / "cache"),
    }
    said = ""
    for block in blocks(page):
        if block.file:
            (folder / block.file).write_text(block.text)
            continue
        if block.language not in ("sh", "python"):
            continue
        text = block.text.replace("pip install .", INSTALL)
        command = (
            ["bash", "-euo", "pipefail", "-c", text]
            if block.language == "sh"
            else [sys.executable, "-c", text]
        )
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{page}: {block.text}\n{done.stdout}\n{done.stderr}"
        said += done.stdout
    return said


def test_every_page_is_walked_and_listed() -> None:
    pages = {path.stem for path in GUIDE.glob("*.md")} - {"README"}
    assert pages == set(LEFT)
    listed = (GUIDE / "README.md").read_text()
    assert all(f"]({page}.md)" in listed for page in pages)


def test_links_lead_somewhere() -> None:
    for path in GUIDE.glob("*.md"):
        text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=pytest.mark.ray if page == "first-campaign" else []) for page in sorted(LEFT)],
)
def test_a_page_does_what_it_says(page: str, tmp_path: Path) -> None:
    said = walk(page, tmp_path)
    assert all((tmp_path / name).stat().st_size for name in LEFT[page])
    assert "Traceback" not in said
