"""Reports in a browser: they ask for nothing, complain of nothing, and their tables sort and filter."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Tab, open_browser
from fake_storage import FakeCampaign, partial_campaign

from analysis.collect import collect
from analysis.layout import SHOWN, chapter
from analysis.pages import Grid, Page, Section
from analysis.report import render, report

pytestmark = [pytest.mark.slow, pytest.mark.ray]

DESKTOP, PHONE = (1280, 900), (390, 844)
KINDS = ("one", "several", "real")
# The training of the second arm fails: no number is left of its loss.
MINIATURE = """\
# A miniature with failures in it.
name: miniature
baseline: a & b
data: {set: rendered, identities: 16, cameras: 3, images: 2, height: 64, width: 32}
repeats: 1
search: {recipe: cdnet, height: 64, width: 32, batch: {identities: 4, images: 2}, epochs: 2}
train: {recipe: cdnet, height: 64, width: 32, batch: {identities: 4, images: 2}, epochs: 2}
execution: {retries: 0}
arms:
  a & b: {search: {space: cs-v1}}
  <i>fails</i>: {search: {space: cds-v1}, train: {optimizer: {learning_rate: 1000}}}
"""
CELLS = ("9.5 ± 1.0", "10.0 ± 2.0", "-", "-3.0 to 2.0", "needs 2 repeats", "1,200", "", "<0.001", "1e-05")
ORDER = ("-3.0 to 2.0", "1e-05", "<0.001", "9.5 ± 1.0", "10.0 ± 2.0", "1,200", "needs 2 repeats", "-", "")
TIMES = ("2.0 h", "90.0 s", "3.0 min", "-", "1.5 days", "500 ms", "1.0 s", "2.0 s", "4.0 s")
IN_TIME = ("500 ms", "1.0 s", "2.0 s", "4.0 s", "90.0 s", "3.0 min", "2.0 h", "1.5 days", "-")


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with open_browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


def real_campaign(root: Path) -> Path:
    """The storage of a campaign that was run, in a process of its own."""
    (root / "miniature.yaml").write_text(MINIATURE)
    script = str(Path(sys.executable).parent / "autoreid")
    command = [script, "campaign", "run", "miniature.yaml", "--storage", "real"]
    environment = {**os.environ, "AUTOREID_CACHE": str(root / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=500)
    said = done.stdout + done.stderr
    assert "1 failed" in said and "the loss became NaN" in said, said
    return root / "real"


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """report.html of a campaign written by hand, of two of different data, and of one that was run."""
    root = tmp_path_factory.mktemp("reports")
    partial_campaign(root / "one")
    partial_campaign(root / "several")
    other = FakeCampaign(root / "several", "other", {"top-2": 2}, repeats=2)
    for repeat in range(2):
        other.finish("top-2", repeat, "search")
        other.finish("top-2", repeat, "train", torch_version="2.12.0")
    other.write_manifest()
    real_campaign(root)
    for kind in KINDS:
        assert collect(root / kind).warnings == ()
    return {kind: Path(report(root / kind)[0]) for kind in KINDS}


@pytest.fixture(scope="module")
def crafted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with a table of difficult cells, and one of more rows than a page shows."""
    rows = tuple((f"arm {n}", cell, time) for n, (cell, time) in enumerate(zip(CELLS, TIMES, strict=True)))
    hard = Grid("Hard", ("arm", "score", "time"), "lrr", rows)
    large = Grid("Large", ("arm", "n"), "lr", tuple((f"row {n}", str(n)) for n in range(2 * SHOWN)))
    page = Page("crafted", (), (), (Section("Tables", grids=(hard, large)),))
    path = tmp_path_factory.mktemp("crafted") / "report.html"
    path.write_text(render([chapter(page, "crafted", "tables/*/crafted.parquet")], "report.html.j2"))
    return path


def loaded(tab: Tab, path: Path, size: tuple[int, int] = DESKTOP, scheme: str = "light") -> None:
    tab.browser.events.clear()
    tab.view(*size, scheme)
    tab.open(path)


def complaints(tab: Tab) -> list[Any]:
    """Everything that the console would show, and every issue that the browser found."""
    methods = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Audits.issueAdded")
    return [said for method in methods for said in tab.said(method)]


def requests(tab: Tab) -> set[str]:
    urls = {said["request"]["url"] for said in tab.said("Network.requestWillBeSent")}
    return {url for url in urls if not url.startswith("data:")}


def column(tab: Tab, table: str, number: int) -> list[str]:
    """The texts of a column as they stand, of the rows that are not hidden."""
    rows = f"[...document.querySelectorAll('[data-table=\"{table}\"] tbody tr')]"
    found = tab.value(f"{rows}.filter(r => !r.hidden).map(r => r.cells[{number}].textContent.trim())")
    assert isinstance(found, list)
    return found


def head(table: str, number: int) -> str:
    return f"document.querySelectorAll('[data-table=\"{table}\"] thead th')[{number}]"


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_report_complains_of_nothing_and_asks_for_nothing(
    tab: Tab, reports: dict[str, Path], kind: str, size: tuple[int, int]
) -> None:
    for scheme in ("light", "dark"):
        loaded(tab, reports[kind], size, scheme)
        assert tab.value("document.querySelectorAll('th button').length") > 20
        assert tab.value("document.documentElement.scrollWidth") <= size[0]
        assert complaints(tab) == [] and requests(tab) == {reports[kind].as_uri()}
    tab.value("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert tab.value("document.documentElement.scrollWidth") <= size[0]


def test_what_is_not_the_reports_own_is_neither_run_nor_fetched_and_is_noticed(
    tab: Tab, reports: dict[str, Path], tmp_path: Path
) -> None:
    text = reports["one"].read_text()
    for added in ("<script>document.title = 'foreign'</script>", '<img src="https://example.invalid/x.png">'):
        (tmp_path / "foreign.html").write_text(text.replace("</body>", f"{added}</body>"))
        loaded(tab, tmp_path / "foreign.html")
        assert tab.value("document.title") == "two-arms"
        assert "Content Security Policy" in str(complaints(tab))


@pytest.mark.parametrize("kind", KINDS)
def test_every_link_figure_and_download_is_there(tab: Tab, reports: dict[str, Path], kind: str) -> None:
    loaded(tab, reports[kind])
    links = tab.value("[...document.querySelectorAll('a[href^=\"#\"]')].map(a => a.hash.slice(1))")
    assert len(links) > 8 and tab.value(f"{links}.filter(id => !document.getElementById(id))") == []
    sizes = tab.value(
        "[...document.querySelectorAll('figure svg')].map(s => s.getBoundingClientRect().height)"
    )
    assert len(sizes) == len(list(reports[kind].parent.glob("figures/*.svg"))) and min(sizes) > 20
    downloads = tab.value("[...document.querySelectorAll('a[download]')].map(a => [a.download, a.href])")
    assert len(dict(downloads)) == len(downloads) > len(sizes)
    for name, address in downloads:
        kind_of_file, _, content = address.partition(";charset=utf-8;base64,")
        folder = {"data:text/csv": "tables", "data:image/svg+xml": "figures"}[kind_of_file]
        assert base64.b64decode(content) == (reports[kind].parent / folder / name).read_bytes()


def test_a_click_saves_the_data_of_a_figure(tab: Tab, reports: dict[str, Path], tmp_path: Path) -> None:
    loaded(tab, reports["one"])
    behaviour = {"behavior": "allow", "downloadPath": str(tmp_path), "eventsEnabled": True}
    tab.browser.call("Browser.setDownloadBehavior", **behaviour)
    for name in ("two-arms--map--data.csv", "two-arms--map.svg"):
        since = len(tab.browser.events)
        tab.click(f"document.querySelector('a[download=\"{name}\"]')")
        tab.browser.wait(
            lambda event: (
                event.get("method") == "Browser.downloadProgress" and event["params"]["state"] == "completed"
            ),
            since,
        )
        assert len((tmp_path / name).read_text().splitlines()) > 5
    assert complaints(tab) == []


@pytest.mark.parametrize(("number", "cells", "order"), [(1, CELLS, ORDER), (2, TIMES, IN_TIME)])
def test_a_click_sorts_by_value_up_and_down_and_back(
    tab: Tab, crafted: Path, number: int, cells: tuple[str, ...], order: tuple[str, ...]
) -> None:
    """What is no number comes after the numbers, and what is empty last, in either direction."""
    loaded(tab, crafted)
    empty = [text for text in order if text in ("", "-")]
    texts = [text for text in order if text[:1].isalpha()]
    numbers = [text for text in order if text not in empty + texts]
    for sort, expected in (
        ("ascending", order),
        ("descending", numbers[::-1] + texts + [cell for cell in cells if cell in empty]),
        ("none", cells),
    ):
        tab.click(f"{head('Hard', number)}.querySelector('button')")
        assert tab.value(f"{head('Hard', number)}.getAttribute('aria-sort')") == sort
        assert column(tab, "Hard", number) == list(expected)


def test_the_keyboard_sorts_too_and_one_column_at_a_time(tab: Tab, crafted: Path) -> None:
    loaded(tab, crafted)
    for number in (1, 2):
        tab.value(f"{head('Hard', number)}.querySelector('button').focus()")
        tab.press("Enter", 13, "\r")
    sorts = tab.value(
        "[...document.querySelectorAll('[data-table=Hard] th')].map(h => h.getAttribute('aria-sort'))"
    )
    assert sorts == ["none", "none", "ascending"] and column(tab, "Hard", 2) == list(IN_TIME)
    assert tab.value("document.activeElement.textContent") == "time"


def test_a_filter_hides_rows_counts_them_and_prints_all(tab: Tab, crafted: Path) -> None:
    loaded(tab, crafted)
    tab.click("document.querySelector('[data-table=Hard] input')")
    tab.write("ARM min")
    shown = "document.querySelector('[data-table=Hard] output').textContent"
    assert column(tab, "Hard", 2) == ["3.0 min"] and tab.value(shown) == "1 of 9 rows"
    rows = "[...document.querySelectorAll('[data-table=Hard] tbody tr')]"
    seen = f"{rows}.filter(r => getComputedStyle(r).display !== 'none').length"
    assert tab.value(seen) == 1
    tab.call("Emulation.setEmulatedMedia", media="print")
    assert tab.value(seen) == 9
    tab.call("Emulation.setEmulatedMedia", media="")
    tab.value("document.querySelector('[data-table=Hard] input').select()")
    tab.press("Backspace", 8)
    assert len(column(tab, "Hard", 2)) == 9 and tab.value(shown) == "9 rows"


def test_a_large_table_is_cut_and_says_so(tab: Tab, crafted: Path) -> None:
    loaded(tab, crafted)
    assert len(column(tab, "Large", 1)) == SHOWN
    text = tab.value("document.querySelector('[data-table=Large]').textContent")
    assert f"The first {SHOWN} of {2 * SHOWN} rows." in text and "tables/*/crafted.parquet" in text


def test_without_scripts_everything_is_shown(tab: Tab, reports: dict[str, Path]) -> None:
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        loaded(tab, reports["one"])
        assert tab.value("document.querySelectorAll('th button, input').length") == 0
        assert tab.value("document.querySelectorAll('tr[hidden]').length") == 0
        tab.click("document.querySelector('figure summary')")
        box = "document.querySelector('figure details table').getBoundingClientRect().height"
        assert tab.value(box) > 100
    finally:
        tab.call("Emulation.setScriptExecutionDisabled", value=False)


def test_a_link_to_what_is_folded_opens_it(tab: Tab, reports: dict[str, Path]) -> None:
    loaded(tab, reports["one"])
    name = "two-arms--how-to-reproduce--seeds-and-jobs"
    folded = f"document.getElementById('{name}').closest('details')"
    assert tab.value(f"{folded}.open") is False
    changed = "new Promise(done => addEventListener('hashchange', () => done(0)))"
    tab.value(f"(() => {{ const changed = {changed}; location.hash = '{name}'; return changed; }})()")
    place = tab.value(f"document.getElementById('{name}').getBoundingClientRect().top")
    assert tab.value(f"{folded}.open") is True and 0 <= place < DESKTOP[1]


def test_light_dark_and_paper(tab: Tab, reports: dict[str, Path]) -> None:
    grounds = {}
    for scheme in ("light", "dark"):
        loaded(tab, reports["several"], DESKTOP, scheme)
        grounds[scheme] = tab.value("getComputedStyle(document.body).backgroundColor")
    assert grounds == {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 25, 31)"}
    paper = tab.paper()
    assert paper.startswith(b"%PDF") and b"/MediaBox [0 0 59" in paper
    assert tab.value("document.querySelectorAll('details[open]').length") == 0


def test_names_of_a_campaign_are_text(tab: Tab, reports: dict[str, Path]) -> None:
    loaded(tab, reports["real"])
    assert tab.value("document.querySelectorAll('i').length") == 0
    assert "<i>fails</i>" in column(tab, "mAP, %", 0)
    failed = column(tab, "Jobs that are not done", 4)
    assert len(failed) == 1 and "NaN or infinite" in failed[0]
