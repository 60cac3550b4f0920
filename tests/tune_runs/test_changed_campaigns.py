"""A changed campaign under its old name, from the command line: what changed is said, and nothing is lost."""

import json
import sys
import types

import pytest
from campaigns import FITTING, run_at_once

from autoreid.cli import main
from autoreid.storage import Storage


@pytest.fixture
def campaign(tmp_path, monkeypatch, capsys):
    """Runs `autoreid campaign VERB` on the file and a storage: exit code, answer and what was said."""
    monkeypatch.setenv("AUTOREID_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "tune_runs.tuning", types.SimpleNamespace(tune_jobs=run_at_once))
    file = tmp_path / "small.yaml"
    file.write_text(FITTING)

    def call(verb, *settings):
        arguments = [f"--set={setting}" for setting in settings]
        code = main(
            ["campaign", verb, str(file), "--storage", str(tmp_path / "storage"), "--json", *arguments]
        )
        captured = capsys.readouterr()
        return code, json.loads(captured.out or "null"), captured.err

    return call


def results(tmp_path):
    """The epochs of every finished training."""
    storage = Storage(tmp_path / "storage")
    jobs = [json.loads(storage.job(job_id).folder.read("job.json")) for job_id in storage.jobs()]
    trainings = [job["id"] for job in jobs if job["kind"] == "train"]
    return sorted(storage.job(job_id).finished()[1].facts["epochs"] for job_id in trainings)


def test_both_results_stay_and_the_old_recipe_reuses_the_old_ones(campaign, tmp_path):
    assert campaign("run")[1]["ran"] == 8
    code, plain, _ = campaign("plan", "train.epochs=4")
    line = "arms a; b: train.epochs 3 -> 4; 4 jobs are new, the 4 old ones keep their results in the storage"
    assert code == 0 and plain["change"]["lines"][1] == f"  {line}"
    assert (plain["done"]["search"], plain["done"]["train"]) == (4, 0)
    code, summary, said = campaign("run", "train.epochs=4")
    assert code == 0 and line in said
    assert (summary["ran"], summary["reused"]) == (4, 4)
    assert results(tmp_path) == [3] * 4 + [4] * 4
    code, summary, said = campaign("run")
    assert "arms a; b: train.epochs 4 -> 3; 4 jobs are new" in said
    assert (summary["ran"], summary["reused"]) == (0, 8)
    assert results(tmp_path) == [3] * 4 + [4] * 4
    assert campaign("plan")[1]["change"]["lines"] == []


def test_more_repeats_arms_and_grid_values_run_only_what_is_new(campaign, tmp_path):
    assert campaign("run", "arms.b=null", "repeats=1")[0] == 2
    assert campaign("run", "repeats=1")[1]["ran"] == 4
    code, summary, said = campaign("run", "repeats=2")
    assert (summary["ran"], summary["reused"]) == (4, 4)
    assert "arms a; b: repeat 2 is new; 4 jobs are new" in said
    (tmp_path / "small.yaml").write_text(
        FITTING + "  c: {genotype: cnet-top1}\ngrid: {train.epochs: [3, 5]}\n"
    )
    code, summary, said = campaign("run")
    assert (code, summary["ran"], summary["reused"]) == (0, 4 + 2 * 2, 8)
    lines = said.splitlines()
    first = lines.index("small: the campaign has changed since its last launch: 8 jobs are new")
    assert lines[first + 1 : first + 4] == [
        "  arms a, epochs=3; b, epochs=3 are new; their jobs were planned before",
        "  arms a, epochs=5; b, epochs=5; c, epochs=3; c, epochs=5 are new; 8 jobs are new",
        "  arms a; b: no longer in the campaign; their jobs are planned by other arms",
    ]


def test_a_first_plan_and_one_without_a_storage_say_nothing_of_a_change(campaign, tmp_path, capsys):
    assert campaign("plan")[1]["change"]["lines"] == []
    assert main(["campaign", "plan", str(tmp_path / "small.yaml"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["change"] is None
    assert not (tmp_path / "storage").exists()


def test_the_text_of_a_plan_shows_the_change(campaign, tmp_path, capsys):
    campaign("run")
    arguments = ["campaign", "plan", str(tmp_path / "small.yaml"), "--storage", str(tmp_path / "storage")]
    assert main([*arguments, "--set", "arms.b.search.k=1"]) == 0
    text = capsys.readouterr().out
    assert "the campaign has changed since its last launch: 4 jobs are new" in text
    assert "\n  arm b: search.k 2 -> 1; 4 jobs are new, the 4 old ones keep their results" in text
