from __future__ import annotations

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
from alpha_rows import alpha_rows
from fake_storage import ARMS, FakeCampaign, genotype

import analysis.genotype_sources as sources
from analysis.distances import distance
from analysis.drawings import draw
from analysis.tables import read
from autoreid.cli import main
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.published import PUBLISHED

FIRST, SECOND = ARMS


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["genotypes", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_published_genotype_is_drawn_to_a_file_or_to_stdout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "a.svg"
    assert run(capsys, "draw", "cdnet-top1", "--out", out) == (0, f"{out}\n", "")
    expected = draw(PUBLISHED["cdnet-top1"], "cdnet-top1")
    assert out.read_text() == expected == run(capsys, "draw", "cdnet-top1")[1]
    plain = json.loads(run(capsys, "draw", "cdnet-top1", "--title", "<b>", "--json")[1])
    assert plain["genotype"] == PUBLISHED["cdnet-top1"].plain()
    assert ElementTree.fromstring(plain["svg"]).get("aria-label") == "<b>"


def test_a_file_and_a_job_are_drawn(
    campaign: FakeCampaign, storage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "genotype.json"
    file.write_text(genotype(2).to_json())
    assert json.loads(run(capsys, "draw", file, "--json")[1])["digest"] == genotype(2).digest
    for kind in ("search", "train"):
        job = campaign.jobs[FIRST, 2, kind].id
        found = json.loads(run(capsys, "draw", job[:12], "--storage", storage, "--json")[1])
        assert found["digest"] == genotype(2).digest


def test_a_job_is_found_in_tables_alone(
    campaign: FakeCampaign, collected: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("jobs", "campaigns"):
        shutil.rmtree(collected / name)
    job = campaign.jobs[FIRST, 3, "search"].id
    found = json.loads(run(capsys, "draw", job[:8], "--storage", collected, "--json")[1])
    assert found["digest"] == genotype(3).digest


def test_two_genotypes_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "two.svg"
    code, text, _ = run(capsys, "compare", "darts-v1-net", "darts-v2-net", "--out", out)
    assert code == 0 and "distance: 0.312: 5 of 16 choices of A differ" in text
    assert "two random genotypes of darts8-v1 have 0.908 on average" in text
    assert text.splitlines()[-1] == str(out) and ElementTree.parse(out)
    plain = json.loads(run(capsys, "compare", "darts-v1-net", "darts-v2-net", "--json")[1])
    first, second = PUBLISHED["darts-v1-net"], PUBLISHED["darts-v2-net"]
    assert plain["distance"] == distance(first, second) and "drawing" not in plain
    assert {(d["place"], d["a"], d["b"]) for d in plain["differences"]} == {
        (place, option, second[place]) for place, option in first.choices if option != second[place]
    }
    assert (plain["moved"], plain["exchanged"], plain["choices"]) == (2, 3, 16)
    equal = run(capsys, "compare", "cnet-top1", "cnet-top1")[1]
    assert "distance: 0.000" in equal and "place" not in equal.splitlines()[-1]


def test_the_alphas_of_a_search_are_drawn_from_the_tables(
    campaign: FakeCampaign,
    collected: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    job = campaign.jobs[SECOND, 1, "search"].id
    monkeypatch.setattr(
        sources,
        "_collected",
        lambda where, table: (
            alpha_rows(genotype(1), job, SECOND, 1) if table == "alphas" else read(where, table)
        ),
    )
    out = tmp_path / "alphas.svg"
    assert run(capsys, "alphas", job[:6], "--storage", collected, "--out", out)[0] == 0
    assert ElementTree.parse(out).getroot().get("aria-label") == (
        f"{SECOND}, repeat 2: softmax weights of the alphas"
    )


def test_a_search_of_two_arms_has_its_alphas_once(
    collected: Path, campaign: FakeCampaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pandas as pd

    job = campaign.jobs[FIRST, 0, "search"].id
    rows = pd.concat([alpha_rows(genotype(0), job, arm, 0, epochs=2) for arm in ("a", "b")])
    monkeypatch.setattr(sources, "_collected", lambda where, table: rows)
    found, mine, _ = sources.alphas_of(job[:8], str(collected))
    assert found == job and len(mine) == len(rows) / 2 and set(mine["arm"]) == {"a"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("draw", "cdnet-top9"), "no genotype 'cdnet-top9'. Did you mean 'cdnet-top4'?"),
        (("draw", "cdnet-top9", "--storage", "{storage}"), "nor the beginning of a job's id"),
        (("draw", "0123456789ab", "--storage", "{storage}"), "begins with it."),
        (("draw", "{bad}"), "bad.json: genotype.choices.mblock1: missing."),
        (("draw", "{text}"), "text.json:1: not JSON"),
        (("draw", "{binary}"), "binary.json: not a text file"),
        (("draw", "resnet18", "--out", "{folder}"), "Is a directory. Name a file that can be written."),
        (("compare", "resnet18", "cnet-top1"), "have not the same places. Compare genotypes of one space"),
        (("alphas", "0123", "--storage", "{empty}"), "no alphas are collected. Run autoreid tables collect"),
    ],
    ids=["name", "no digits", "no job", "choices", "not json", "binary", "folder", "places", "no alphas"],
)
def test_mistakes_are_said_with_their_remedy(
    arguments: tuple[str, ...],
    said: str,
    example: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = {name: tmp_path / f"{name}.json" for name in ("bad", "text", "binary")}
    places["bad"].write_text(Genotype.of("cs-v1", {"mblock9": "(3,5)"}).to_json())
    places["text"].write_text("{")
    places["binary"].write_bytes(b"\xff\xfe\x00")
    given = [
        argument.format(storage=example, folder=tmp_path, empty=tmp_path, **places) for argument in arguments
    ]
    code, out, err = run(capsys, *given)
    assert (code, out) == (2, "") and said in err


def test_digits_of_two_jobs_are_refused(example: Path) -> None:
    with pytest.raises(InputError, match=r"2 jobs of DIR begin with it\. Give more digits"):
        sources.full_id("abcd", {"abcd0", "abcd1", "ef"}, "DIR")


def test_a_job_without_a_genotype_is_said(campaign: FakeCampaign, example: Path) -> None:
    job = campaign.jobs[SECOND, 2, "search"].id
    with pytest.raises(InputError, match="no genotype is known of it"):
        sources.of_job(job[:10], str(example))


def test_genotypes_of_other_packages_spaces_are_taken_as_they_are(tmp_path: Path) -> None:
    other = Genotype.of("mine-v1", {"p": "x"})
    file = tmp_path / "other.json"
    file.write_text(other.to_json())
    assert sources.find(str(file)) == other


def test_a_cell_with_three_edges_in_a_block_is_refused(tmp_path: Path) -> None:
    cells = PUBLISHED["darts-v2-net"]
    choices = dict(cells.choices) | {"normal.b2.i2": "skip_connect"}
    file = tmp_path / "cells.json"
    file.write_text(Genotype.of(cells.space, choices).to_json())
    with pytest.raises(InputError, match=r"cells\.json: genotype\.choices\.normal\.b2: 3 edges"):
        sources.find(str(file))
