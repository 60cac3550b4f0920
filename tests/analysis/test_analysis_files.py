"""The files beside a report: what they hold, how they are called, and that none lingers."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pandas as pd
import pytest
from fake_storage import ARMS, FakeCampaign
from report_pages import written

from analysis.collect import collect
from analysis.downloads import csv_text, data_uri
from analysis.latex import latex, latex_table
from analysis.layout import CARRIED, SHOWN, chapter
from analysis.pages import Grid, Page, Picture, Section
from analysis.report import render
from analysis.report_folder import replace_files
from autoreid.errors import StorageError
from autoreid.folders import LocalFolder

FIRST, SECOND = ARMS
EVIL = "\\input{x} $a_1$ & 50% #1 ~^ {b} \"q\" 'q' `q` <i> é 漢 | \n\x07 -- ]"


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def folder(example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the example's report; not to be written to."""
    return written(example, tmp_path_factory.mktemp("report") / "out")[0].parent


def test_every_table_is_a_csv_file_and_those_for_papers_are_latex_too(folder: Path) -> None:
    with (folder / "tables" / "two-arms--results--map.csv").open(newline="") as file:
        heading, first, second = csv.reader(file)
    assert heading[:4] == ["arm", "repeats", "mean ± sd", "95% interval"]
    assert first[:4] == [FIRST, "4 of 4", "38.0 ± 1.8", "35.1 to 40.9"] and second[0] == SECOND
    text = (folder / "tables" / "two-arms--results--map.tex").read_text()
    assert r"top-2 & 4 of 4 & 38.0 $\pm$ 1.8 & 35.1 to 40.9 &" in text
    assert not (folder / "tables" / "two-arms--status--jobs-by-status.tex").exists()


def test_the_data_of_a_figure_are_those_of_the_tables(example: Path, folder: Path) -> None:
    data = pd.read_csv(folder / "tables" / "two-arms--search-loss--data.csv")
    epochs = pd.read_parquet(example / "tables" / "epochs" / "two-arms.parquet")
    losses = epochs[epochs["kind"] == "search"]["loss"].tolist()
    assert data["loss"].tolist() == pytest.approx(losses, rel=1e-5)
    scores = pd.read_csv(folder / "tables" / "two-arms--map--data.csv").query(f"arm == '{FIRST}'")
    given = dict(zip(scores["what"], scores["mAP, %"], strict=True))
    assert [given[f"repeat {n}"] for n in range(1, 5)] == [36.0, 39.0, 37.0, 40.0] and given["mean"] == 38.0
    assert (given["interval, low end"], given["untrained"]) == (pytest.approx(35.0948, abs=1e-4), 8.0)


def test_the_list_of_a_report_names_its_files(folder: Path) -> None:
    assert set(json.loads((folder / "files.json").read_text())["files"]) == files(folder) - {"files.json"}


def test_files_of_a_former_report_are_removed_and_no_others(tmp_path: Path) -> None:
    names = ("report.html", "figures/a.svg", "tables/a.csv", "tables/a.tex")
    folder = LocalFolder(tmp_path)
    replace_files(folder, dict.fromkeys(names, "first"))
    for name in ("tables/mine.csv", "notes.txt"):
        folder.write(name, b"mine")
    replace_files(folder, {"report.html": "second", "tables/b.csv": "second"})
    assert files(tmp_path) == {"report.html", "tables/b.csv", "tables/mine.csv", "notes.txt", "files.json"}
    assert folder.read("report.html") == b"second"


def test_what_a_broken_write_left_is_removed_by_the_next(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path)
    replace_files(folder, {"tables/a.csv": "first"})
    (tmp_path / "tables" / "c.csv").mkdir()
    with pytest.raises(StorageError):
        replace_files(folder, {"tables/b.csv": "second", "tables/c.csv": "second"})
    (tmp_path / "tables" / "c.csv").rmdir()
    replace_files(folder, {"tables/d.csv": "third"})
    assert files(tmp_path) == {"tables/d.csv", "files.json"}


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"files": 3}', '{"files": ["../kept.csv", "report.py", "tables/../../kept.csv"]}']
)
def test_a_list_that_was_changed_removes_nothing_else(tmp_path: Path, text: str) -> None:
    folder = LocalFolder(tmp_path / "out")
    (tmp_path / "kept.csv").write_text("kept")
    folder.write("report.py", b"kept")
    folder.write("files.json", text.encode())
    replace_files(folder, {"report.html": "new"})
    assert files(tmp_path) == {"kept.csv", "out/report.py", "out/report.html", "out/files.json"}


def test_latex_escapes_everything() -> None:
    text = latex(EVIL)
    assert text.isascii() and text.startswith(r"\textbackslash{}input\{x\} \$a\_1\$ \& 50\% \#1 ")
    assert r"\'{e}" in text and "[U+6F22]" in text and "[U+0007]" in text and "-{}-" in text
    # What is left of commands is what the escapes themselves write, and every brace has its partner.
    assert set(re.findall(r"\\([A-Za-z]+)", text)) == {
        *("textbackslash", "textasciitilde", "textasciicircum", "textquotedblright", "textquotesingle"),
        *("textasciigrave", "textless", "textgreater", "textbar"),
    }
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}") and not re.search(r"(?<!\\)[#%&_]", text)


def test_latex_sets_signs_as_minus_and_keeps_hyphens() -> None:
    assert latex("-7.0 to +1.5") == "$-$7.0 to $+$1.5"
    assert latex("top-2, rank-1, 2026-01-02") == "top-2, rank-1, 2026-01-02"


def test_a_latex_table_has_the_rules_of_booktabs_and_a_cell_for_every_column() -> None:
    grid = Grid(f"T {EVIL}", ("arm", "[n]", "why"), "lrw", ((EVIL, "1", "[x]"), ("b", "2", "")), note=EVIL)
    lines = latex_table(grid, "p--t", "page").splitlines()
    rules = [r"\toprule", r"\midrule", r"\bottomrule"]
    places = [lines.index(rule) for rule in rules]
    rows = [*lines[places[0] + 1 : places[1]], *lines[places[1] + 1 : places[2]]]
    assert len(rows) == 3 and all(row.startswith("{}") and row.endswith(r" \\") for row in rows)
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {2}
    assert r"\label{tab:p--t}" in lines and r"\begin{tabular}{lrp{6cm}}" in lines
    begun, ended = (re.findall(rf"\\{word}{{(\w+)}}", "\n".join(lines)) for word in ("begin", "end"))
    assert begun == ["table", "tabular"] and ended == begun[::-1]


def test_csv_keeps_text_apart_and_no_spreadsheet_computes_it() -> None:
    rows = (("=1+1", "a,b", 'say "x"'), ("+cmd|x", "-7.0", "two\nlines"), ("@x", "-", "-18.4%"))
    found = list(csv.reader(csv_text(Grid("T", ("a", "b", "c"), "lll", rows)).splitlines(keepends=True)))
    assert found[1] == ["'=1+1", "a,b", 'say "x"'] and found[3] == ["'@x", "-", "-18.4%"]
    assert found[2] == ["'+cmd|x", "-7.0", "two\nlines"]


def test_text_that_no_encoding_holds_is_written_all_the_same() -> None:
    assert data_uri("text/csv", "a\ud800").endswith("YT8=")


def paged(*sections: Section) -> Page:
    return Page("page", (), (), sections)


def test_equal_titles_have_names_of_their_own_and_names_are_stable() -> None:
    grid = Grid("Same", ("a",), "l", (("x",),))
    picture = Picture("p--same", "c", lambda: "<svg></svg>", grid)
    found = chapter(
        paged(Section("Same", grids=(grid, grid), pictures=(picture,)), Section("Same"), Section("--")),
        *("p", "tables"),
    )
    assert [part.name for part in found.parts] == ["p--same-2", "p--same-3", "p--section"]
    assert [sheet.name for sheet in found.sheets] == [
        *("p--same--data", "p--same-2--same", "p--same-2--same-2"),
    ]


def test_a_large_table_is_cut_in_the_page_and_whole_in_its_file() -> None:
    rows = tuple((f"row {n}",) for n in range(CARRIED + 1))
    whole = Grid("Whole", ("a",), "l", rows[:SHOWN])
    large = Grid("Large", ("a",), "l", rows)
    found = chapter(paged(Section("S", grids=(whole, large))), "p", "tables/*/c.parquet")
    first, second = found.sheets
    assert (first.rest, len(first.rows)) == ("", SHOWN) and first.csv
    assert len(second.rows) == SHOWN and second.csv == ""
    assert f"The first {SHOWN} of {CARRIED + 1:,} rows. All are in tables/p--s--large.csv" in second.rest
    for template in ("report.html.j2", "report.md.j2"):
        text = render([found], template)
        assert "tables/*/c.parquet" in text.replace("\\*", "*") and f"row {SHOWN}" not in text
    assert csv_text(large).count("\n") == CARRIED + 2


def test_many_jobs_are_drawn_in_part_and_all_in_the_data(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, "many", {"a": 2, "b": 3}, repeats=62)
    for repeat in range(62):
        for arm in ("a", "b"):
            campaign.attempt(arm, repeat, "search", 1)
    campaign.write_manifest()
    collect(tmp_path)
    html, *_ = written(tmp_path)
    assert "Search: training loss; 120 jobs of 124, 1 epoch." in html.read_text()
    data = pd.read_csv(html.parent / "tables" / "many--search-loss--data.csv")
    assert len(data) == 124 and data["repeat"].max() == 62
