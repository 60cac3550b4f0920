from __future__ import annotations

import base64
import hashlib
import re
import shutil
from pathlib import Path

import pytest
from fake_storage import ARMS, MAP, FakeCampaign, genotype, partial_campaign
from report_pages import Checker, figures, grid, made, section, written

from analysis.collect import collect
from analysis.layout import slugs
from analysis.pages import Page
from analysis.report import fence, markdown, report
from analysis.summary import summary_plain, summary_table
from autoreid.errors import InputError
from search_spaces.published import PUBLISHED

FIRST, SECOND = ARMS
EVIL = "<script>alert('x')</script> | $a$ **b** `c`"
# What leads nowhere else: a place of the page, or what the page carries in itself.
WITHIN = ("#", "data:text/csv;", "data:image/svg+xml;")


def test_scores_of_every_arm_with_all_repeats_beside_the_untrained_network(example_page: Page) -> None:
    """0.36, 0.39, 0.37, 0.40: mean 0.38, sd sqrt(10/3) / 100, t(0.975, 3) = 3.182."""
    first, second = grid(example_page, "Results", "mAP").rows
    assert first == (FIRST, "4 of 4", "38.0 ± 1.8", "35.1 to 40.9", "36.0 · 39.0 · 37.0 · 40.0", "8.0")
    assert second == (SECOND, "1 of 4", "31.0", "needs 2 repeats", "31.0", "8.0")
    assert grid(example_page, "Results", "rank-1").rows[0][2] == "58.0 ± 1.8"
    assert grid(example_page, "Results", "Further").rows[1] == (SECOND, "71.0", "81.0", "11.0")


def test_the_difference_to_the_baseline_has_both_ns(example_page: Page) -> None:
    (row,) = grid(example_page, "Comparison", f"Difference to the baseline, {FIRST}: mAP").rows
    assert row[:5] == (SECOND, "1, 4", "-7.0", "needs 2 repeats", "-18.4%")
    assert row[6:] == ("0.2 (0.2)", "0.2")
    (verdict,) = grid(example_page, "Verdict", "Verdicts").rows
    assert verdict[0] == SECOND and "not told apart (-7.0 points, p = 0.2)" in verdict[1]


def test_every_job_that_is_not_done_is_named_with_its_error(example_page: Page) -> None:
    rows = grid(example_page, "Status", "Jobs that are not done").rows
    assert [(row[0], row[1], row[2], row[3]) for row in rows] == [
        (SECOND, "2", "train", "failed"),
        (SECOND, "3", "search", "failed"),
        (SECOND, "3", "train", "skipped"),
        (SECOND, "4", "search", "started"),
        (SECOND, "4", "train", "waiting"),
    ]
    assert rows[0][4].startswith("loss: nan at epoch 3") and "No space left" in rows[2][4]
    assert grid(example_page, "Status", "Jobs by status").rows[1] == ("trainings", "5", "1", "1", "0", "1")


def test_cost_counts_failed_attempts(example_page: Page) -> None:
    """Trainings: five of 70 s, failed attempts of 7, 7 and 9 s. Searches: six of 40 s, one failed of 7 s."""
    searches, trainings, together = grid(example_page, "Cost", "Wall time").rows
    assert trainings == ("trainings", "8", "8", "5.8 min", "0.0 s", "23.0 s", "6.2 min", "700 MiB")
    assert searches[3:7] == ("4.0 min", "0.0 s", "7.0 s", "4.1 min") and together[6] == "10.3 min"


def test_searches_networks_and_seeds(example_page: Page) -> None:
    """Milliseconds 3.2, 3.3, 3.4, 3.5: mean 3.35, sd 0.129."""
    assert grid(example_page, "Search", "Searches").rows[0] == (
        *(FIRST, "4 of 4", "15,360", "3.35 ± 0.13", "31.5 s", "2.10", "4"),
    )
    found = grid(example_page, "Genotypes", "Genotypes found").rows
    assert [row[0] for row in found] == [FIRST] * 4 + [SECOND] * 2
    assert found[0][5].startswith("mblock1 (3,5,1) · mblock2 ")
    size = grid(example_page, "Networks", "Size").rows[0]
    assert size[3:] == ("128x64, x1", "1.747 M", "1.797 M", "2.900 M", "948.77 M", "955.06 M", "768")
    assert grid(example_page, "How to reproduce", "Seeds").rows[2][:5] == (FIRST, "3", "2", "12", "22")


def test_a_published_network_goes_by_its_name(tmp_path: Path) -> None:
    published = PUBLISHED["cdnet-top1"]
    campaign = FakeCampaign(tmp_path, "names", {"a": 2}, repeats=2)
    known = {"genotype": published.plain(), "genotype_digest": published.digest, "network": str(published)}
    campaign.finish("a", 0, "train", **known)
    campaign.finish("a", 1, "train")
    campaign.write_manifest()
    rows = grid(made(tmp_path), "Networks", "Size").rows
    assert [row[2] for row in rows] == ["cdnet-top1", f"genotype {genotype(1).digest}"]


def test_a_claim_keeps_its_paragraphs_and_loses_its_line_ends(tmp_path: Path) -> None:
    claim = "A claim,\nin two lines.\n\nautoreid demo    (or less)\n\nCost: two\nminutes.\nShows: it: all.\n"
    expected = ("A claim, in two lines.", "autoreid demo (or less)", "Cost: two minutes.", "Shows: it: all.")
    FakeCampaign(tmp_path, "claims").write_manifest(claim=claim)
    assert made(tmp_path).claim == expected
    html, text, *_ = written(tmp_path)
    assert all(f'<p class="claim">{line}</p>' in html.read_text() for line in expected)
    assert "\n\n".join(expected) in text.read_text()


def test_the_commands_repeat_the_overrides(example_page: Page) -> None:
    commands, file = section(example_page, "How to reproduce").codes
    assert commands.text.splitlines() == [
        "autoreid campaign run two-arms.yaml --storage DIR --set train.epochs=8 "
        "--set 'search.batch={identities: 8}'",
        "autoreid report DIR",
    ]
    assert (file.title, file.text.splitlines()[1]) == ("two-arms.yaml", "name: two-arms")


def test_the_html_is_whole_and_asks_for_nothing(collected: Path) -> None:
    paths = written(collected)
    text = paths[0].read_text()
    checker = Checker(text)
    assert "http://" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "") and "https://" not in text
    icon, *references = checker.references
    assert icon == "data:," and all(reference.startswith(WITHIN) for reference in references)
    assert {found[1:] for found in references if found.startswith("#")} <= set(checker.ids)
    assert len(set(checker.ids)) == len(checker.ids)
    assert not {"iframe", "img", "object"} & checker.tags
    assert "url(" not in re.sub(r"url\(#", "", text) and "@import" not in text
    assert "default-src 'none'" in text and "prefers-color-scheme: dark" in text
    assert [FIRST, "4 of 4", "38.0 ± 1.8", "35.1 to 40.9", "36.0 · 39.0 · 37.0 · 40.0", "8.0"] in checker.rows
    assert text.count("<svg") == len(figures(paths)) >= 8


def test_the_one_script_is_allowed_by_its_digest(collected: Path) -> None:
    text = written(collected)[0].read_text()
    (script,) = Checker(text).scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', text)
    assert f"script-src 'sha256-{digest}';" in policy and policy.count("script-src") == 1
    assert "'unsafe-inline'" not in policy.split("style-src")[0] and "unsafe-eval" not in policy


def test_markdown_has_the_same_tables_and_its_figures_are_there(collected: Path) -> None:
    html, text, *rest = written(collected)
    lines = text.read_text().splitlines()
    assert "| top-2 | 4 of 4 | 38.0 ± 1.8 | 35.1 to 40.9 | 36.0 · 39.0 · 37.0 · 40.0 | 8.0 |" in lines
    widths = {line.count("|") for line in lines if line.startswith("| top-2 | 4 of 4 | 38.0")}
    assert widths == {7}
    named = re.findall(r"\]\((figures/[^)]+)\)", "\n".join(lines))
    assert named == [path.relative_to(html.parent).as_posix() for path in figures(rest)]
    assert all(path.is_file() for path in rest)
    linked = re.findall(r"\]\((tables/[^)]+\.csv)\)", "\n".join(lines))
    assert len(set(linked)) == len(linked) >= 8 and all((html.parent / name).is_file() for name in linked)


def test_equal_tables_give_equal_files(collected: Path, tmp_path: Path) -> None:
    first = [path.read_bytes() for path in written(collected)]
    assert [path.read_bytes() for path in written(collected, tmp_path / "again")] == first


def test_the_tables_alone_are_enough(collected: Path, tmp_path: Path) -> None:
    before = written(collected)[0].read_bytes()
    shutil.copytree(collected / "tables", tmp_path / "alone" / "tables")
    assert written(tmp_path / "alone")[0].read_bytes() == before


def test_names_errors_and_claims_are_escaped_everywhere(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, "evil", {EVIL: 2, "plain": 3}, repeats=2)
    for repeat in range(2):
        campaign.finish(EVIL, repeat, "search")
        campaign.finish(EVIL, repeat, "train")
    campaign.fail("plain", 0, "search", f"first line\n{EVIL}")
    campaign.write_manifest(claim=EVIL, file=f"# ```\n{EVIL}\n", data={"set": EVIL})
    collect(tmp_path)
    html, text, *_ = written(tmp_path)
    checker = Checker(html.read_text())
    assert len(checker.scripts) == 1 == html.read_text().count("<script")
    assert any(row and row[0] == EVIL for row in checker.rows)
    page_text = text.read_text()
    outside = re.sub(r"^````\n.*?^````$", "", page_text, flags=re.DOTALL | re.MULTILINE)
    assert "<script" in page_text and "<script" not in outside and "**b**" not in outside
    rows = [line for line in outside.splitlines() if line.startswith("| &lt;script")]
    assert rows and all(" \\| $a$" in row for row in rows)


def test_two_campaigns_share_one_report_or_have_one_each(tmp_path: Path) -> None:
    partial_campaign(tmp_path, "One")
    partial_campaign(tmp_path, "one")
    collect(tmp_path)
    both = written(tmp_path)
    checker = Checker(both[0].read_text())
    assert [checker.references.count(f"#{name}") for name in ("campaigns", "one", "one-2")] == [1, 1, 1]
    single = written(tmp_path, tmp_path / "x", ["one"])
    assert len(set(both)) == len(both) and len(figures(both)) == 2 * len(figures(single))
    assert 'aria-label="Campaigns"' not in single[0].read_text()


@pytest.mark.parametrize("names", [["demo", "demo-1"], ["a.b", "a-b", "a-b-2"]])
def test_names_that_look_alike_share_neither_anchors_nor_figures(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        campaign = FakeCampaign(tmp_path, name, {"a.b": 2, "a-b": 3, "a-b-2": 4}, repeats=1)
        for arm in campaign.arms:
            campaign.finish(arm, 0, "search")
            campaign.finish(arm, 0, "train")
        campaign.write_manifest()
    collect(tmp_path)
    html, *rest = written(tmp_path)
    ids = Checker(html.read_text()).ids
    assert len(set(ids)) == len(ids) and len(set(rest)) == len(rest)
    assert (
        len({len([p for p in figures(rest) if p.name.startswith(f"{n}--")]) for n in slugs(sorted(names))})
        == 1
    )


def test_a_planned_campaign_and_a_campaign_of_searches_have_pages(tmp_path: Path) -> None:
    planned = FakeCampaign(tmp_path / "planned", "planned")
    planned.write_manifest(claim=None, data=None, file=None)
    found = made(tmp_path / "planned")
    assert section(found, "Results").intro == "No training is finished yet, so there are no scores."
    assert section(found, "Search").intro == "No search is finished yet."
    assert "0 of 16 jobs are done; 16 waiting." in dict(found.facts)["Jobs"]
    assert "Learning curves" not in [part.title for part in found.sections]
    report(tmp_path / "planned")

    searches = FakeCampaign(tmp_path / "searches", "searches", {"a": 2}, repeats=1)
    searches.finish("a", 0, "search")
    manifest = searches.manifest()
    manifest["entries"] = [entry for entry in manifest["entries"] if entry["kind"] == "search"]
    searches.storage.write_manifest("searches", manifest)
    found = made(tmp_path / "searches")
    assert section(found, "Results").intro == "This campaign trains no network."
    assert dict(found.facts)["Jobs"] == "The one job is done."
    report(tmp_path / "searches")


def test_one_repeat_and_no_baseline(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, "single", {"top-2": 2}, repeats=1)
    campaign.finish("top-2", 0, "search")
    campaign.finish("top-2", 0, "train", untrained=None)
    campaign.write_manifest(baseline=None)
    found = made(tmp_path)
    assert grid(found, "Results", "mAP").rows == (
        ("top-2", "1 of 1", "36.0", "needs 2 repeats", "36.0", "-"),
    )
    assert not {"Verdict", "Comparison"} & {part.title for part in found.sections}
    assert "An arm with one repeat has no interval: its spread is unknown." in (
        section(found, "Read with care").points
    )
    report(tmp_path)


def test_folders_without_tables_and_unknown_campaigns_are_refused(collected: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Run 'autoreid tables collect"):
        report(tmp_path / "void")
    with pytest.raises(InputError, match="no campaign 'two-harms'"):
        report(collected, campaigns=["two-harms"])


def test_the_summary_names_every_arm_and_repeat(example: Path) -> None:
    lines = summary_table(example, "two-arms").splitlines()
    assert lines[3].split("  ")[0] == FIRST and "38.0 ± 1.8  36.0  39.0  37.0  40.0" in lines[3]
    assert "1 of 4" in lines[4] and "31.0" in lines[4]
    first, second = summary_plain(example, "two-arms")
    assert first["mAP"]["repeats"] == list(MAP[FIRST]) and first["planned"] == 4
    assert second["mAP"]["interval"] is None


def test_the_summary_before_the_first_result(tmp_path: Path) -> None:
    FakeCampaign(tmp_path, "planned").write_manifest()
    collect(tmp_path)
    assert "0 of 4" in summary_table(tmp_path, "planned")
    assert summary_plain(tmp_path, "planned")[0]["mAP"] is None


def test_escapes() -> None:
    assert markdown("a_b _c_ [x](y) ~z~\nnext & <i>") == (
        "a_b \\_c\\_ \\[x\\](y) \\~z\\~ next &amp; &lt;i&gt;"
    )
    assert fence("no ticks") == "```" and fence("```` four") == "`````"
