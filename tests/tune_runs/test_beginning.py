"""`campaign init`: a file that plans and runs as it is, and whose comments are options that work."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from autoreid.cli import main
from tune_runs.beginning import first_campaign
from tune_runs.campaign import load_campaign, read_campaign


def test_the_file_is_planned_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOREID_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    assert main(["campaign", "init"]) == 0
    assert "autoreid campaign plan campaign.yaml" in capsys.readouterr().out
    assert main(["campaign", "plan", "campaign.yaml", "--set", "data.identities=16", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["campaign"], plan["data_problem"]) == ("campaign", None)
    assert (plan["jobs"]["search"], plan["jobs"]["train"]) == (4, 12)
    assert plan["claim"].startswith("What this campaign shows")


def test_a_file_that_is_there_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("name: mine\n")
    assert main(["campaign", "init", str(file)]) == 2
    assert f"{file}: there already, and stays as it is." in capsys.readouterr().err
    assert file.read_text() == "name: mine\n"
    assert main(["campaign", "init", str(tmp_path / "no" / "where.yaml")]) == 2
    assert "cannot be written: No such file or directory." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "name"),
    [("k and l.yaml", "k-and-l"), ("2026.yaml", "2026"), ("true.yml", "true"), ("---.yaml", "my-campaign")],
)
def test_the_campaign_has_the_name_of_its_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, name: str
) -> None:
    assert main(["campaign", "init", str(tmp_path / file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": str(tmp_path / file), "campaign": name}
    assert load_campaign(str(tmp_path / file)).name == name


def test_a_shipped_campaign_is_copied_under_the_name_of_its_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["campaign", "init", "fewer sets.yaml", "--from", "auto_reid_sota"]) == 0
    copied, shipped = load_campaign("fewer sets.yaml"), load_campaign("auto_reid_sota")
    assert (copied.name, copied.arms) == ("fewer-sets", shipped.arms)
    assert main(["campaign", "init", "--from", "demo"]) == 0
    assert load_campaign("demo.yaml").name == "demo"
    capsys.readouterr()
    assert main(["campaign", "init", "--from", "auto_reid_sotta"]) == 2
    assert "--from: no shipped campaign 'auto_reid_sotta'. Did you mean" in capsys.readouterr().err
    assert not (tmp_path / "auto_reid_sotta.yaml").exists()


def test_every_option_that_is_commented_out_works() -> None:
    text = first_campaign("all")
    shown = re.sub(r"^( *)# (?!autoreid)([\w ]+: [\w{\[].*)$", r"\1\2", text, flags=re.MULTILINE)
    lines = [line for line in shown.splitlines() if line not in text.splitlines()]
    options = [line for line in lines if not re.match(r"Cost|The figures|data:", line.strip())]
    assert len(options) == 7
    kept = [line for line in shown.splitlines() if line in text.splitlines() or line in options]
    campaign = read_campaign("\n".join(kept))
    names = {arm.entry for arm in campaign.arms}
    assert names == {"CDNet", "Random", "Published", "Longer", "Random search"}
    assert len(campaign.arms) == 2 * (3 + 3 + 3)  # two arms with a search, at three values of k; on two sets
    assert all(arm.select for arm in campaign.arms if arm.search)
    # The set that stands beside the rendered one is known too.
    (data,) = [line for line in lines if line.startswith("data:")]
    assert read_campaign(re.sub(r"^data: .*$", data, text, flags=re.MULTILINE)).source.set == "market1501"
