import json
import subprocess
import sys

import pytest
from campaigns import SMALL

from autoreid.attempts import Outcome
from autoreid.cli import main
from autoreid.storage import Storage
from tune_runs import launch
from tune_runs.overview import KINDS

NONE = dict.fromkeys(KINDS, 0)


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("AUTOREID_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return str(path)


FITTING = ["--set", "search.batch.identities=4", "--set", "train.batch.identities=4"]


def planned(capsys, *arguments):
    assert main(["campaign", "plan", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_plan_counts_jobs_and_what_is_reused(file, tmp_path, capsys):
    plain = planned(capsys, file, "--jobs", *FITTING)
    assert plain["jobs"] == NONE | {"search": 4, "train": 4} and plain["done"] is None
    assert [arm["arm"] for arm in plain["arms"]] == ["a", "b"]
    assert plain["arms"][0]["search"] == "cs-v1, k=2, 256 x 128, batch 4 x 4, 2 epochs"
    storage = Storage(tmp_path / "storage")
    storage.job(plain["job_list"][0]["job"]).new_attempt().finish(Outcome("done"))
    again = planned(capsys, file, "--storage", str(tmp_path / "storage"), *FITTING)
    assert again["done"] == NONE | {"search": 1}
    assert main(["campaign", "plan", file, "--storage", str(tmp_path / "storage"), "--jobs", *FITTING]) == 0
    text = capsys.readouterr().out
    assert "What it shows." in text and "done already and reused: 1 search, 0 trainings" in text
    assert text.count("waiting") == 7


SELECTING = [*FITTING, "--set", "select=supernet", "--set", "trained=best", "--set", "trainings=3"]


def test_plan_says_what_is_selected_and_trained(file, capsys):
    plain = planned(capsys, file, "--jobs", *SELECTING)
    assert plain["jobs"] == NONE | {"search": 4, "select": 2, "train": 6}
    assert plain["protocol"]["trained"] == "best" and plain["protocol"]["trainings"] == 3
    assert [job["kind"] for job in plain["job_list"]][4:6] == ["select", "select"]
    assert main(["campaign", "plan", file, *SELECTING, "--set", "vary=[search]"]) == 0
    text = capsys.readouterr().out
    assert "the best search of an arm is selected by the mAP of each genotype in its supernet" in text
    assert "the selected genotype alone is trained: 3 times\nrepeats vary the seeds of: search\n" in text
    assert "jobs: 4 searches, 2 selections, 6 trainings" in text
    retrain = ["--set", "select={rule: retrain, fraction: 0.4, train: {batch.identities: 3}}"]
    assert planned(capsys, file, *FITTING, *retrain)["arms"][0]["select"] == (
        "by the mAP of a short training (fblneck, 256 x 128, batch 3 x 4, 1 epoch) without 40% of the "
        "training identities, on the images of these"
    )


def test_status_counts_selections_and_what_they_wait_for(file, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(launch, "run_plan", lambda plan, *_: launch.Summary("small", len(plan.jobs), 0, 0))
    folder = tmp_path / "storage"
    assert main(["campaign", "run", file, "--storage", str(folder), *SELECTING]) == 0
    storage = Storage(folder)
    entries = storage.read_manifest("small")["entries"]
    searches = {arm: [e["job"] for e in entries if (e["arm"], e["kind"]) == (arm, "search")] for arm in "ab"}
    for job in searches["a"]:
        storage.job(job).new_attempt().finish(Outcome("done", job=job, facts={"epochs": 2}))
    storage.job(searches["b"][1]).new_attempt().finish(Outcome("failed", error="the loss is nan"))
    select = next(e["job"] for e in entries if (e["arm"], e["kind"]) == ("a", "select"))
    storage.job(select).new_attempt().finish(Outcome("done", facts={"epochs": 2}))
    capsys.readouterr()
    assert main(["campaign", "status", str(folder), "--json"]) == 0
    (campaign,) = json.loads(capsys.readouterr().out)["campaigns"]
    arms = {(arm["arm"], arm["kind"]): arm for arm in campaign["arms"]}
    assert [(arms[arm, "select"]["epochs_done"], arms[arm, "select"]["epochs"]) for arm in "ab"] == [
        (2, 2),
        (0, 2),
    ]
    assert arms["a", "select"]["jobs"]["done"] == arms["b", "select"]["jobs"]["skipped"] == 1
    assert arms["a", "train"]["jobs"]["waiting"] == arms["b", "train"]["jobs"]["skipped"] == 3


def test_plan_works_before_the_data_is_there(tmp_path, capsys):
    plain = planned(capsys, "cdnet_table1", "--set", f"data.root={tmp_path / 'nowhere'}")
    assert plain["jobs"] == NONE | {"search": 40, "select": 10, "train": 40}
    assert "no such folder" in plain["data_problem"] and plain["data_fingerprint"] is None


def test_status_counts_jobs_by_state_for_each_arm(file, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(launch, "run_plan", lambda plan, *_: launch.Summary("small", len(plan.jobs), 0, 0))
    folder = tmp_path / "storage"
    assert main(["campaign", "run", file, "--storage", str(folder), *FITTING]) == 0
    storage = Storage(folder)
    entries = storage.read_manifest("small")["entries"]
    storage.job(entries[0]["job"]).new_attempt().finish(Outcome("done", facts={"epochs": 2}))
    storage.job(entries[2]["job"]).new_attempt().finish(Outcome("failed", error="the loss is nan"))
    storage.job(entries[4]["job"]).new_attempt().write_records([{"epoch": 1}])
    capsys.readouterr()
    assert main(["campaign", "status", str(folder), "--json"]) == 0
    (campaign,) = json.loads(capsys.readouterr().out)["campaigns"]
    counts = {"done": 1, "running": 0, "started": 1, "waiting": 4, "failed": 1, "skipped": 1}
    assert campaign["jobs"] == counts
    arms = {(arm["arm"], arm["kind"]): arm for arm in campaign["arms"]}
    assert arms["a", "search"]["jobs"]["started"] == 1
    assert (arms["a", "search"]["epochs_done"], arms["a", "search"]["epochs"]) == (3, 4)
    counts = {"done": 0, "running": 0, "started": 0, "waiting": 1, "failed": 0, "skipped": 1}
    assert arms["b", "train"]["jobs"] == counts
    assert [failure["status"] for failure in campaign["failures"]] == ["failed", "skipped"]
    assert main(["campaign", "status", str(folder)]) == 0
    assert "failed: the loss is nan" in capsys.readouterr().out


def test_a_damaged_manifest_hides_no_other_campaign(file, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(launch, "run_plan", lambda plan, *_: launch.Summary("small", len(plan.jobs), 0, 0))
    folder = tmp_path / "storage"
    assert main(["campaign", "run", file, "--storage", str(folder), *FITTING]) == 0
    storage = Storage(folder)
    for name, change in (("a", {"version": 9}), ("b", {"jobs": {}}), ("c", {"entries": [1]})):
        storage.write_manifest(name, storage.read_manifest("small") | change)
    job = storage.read_manifest("small")["entries"][0]["job"]
    storage.job(job).new_attempt().write("records.jsonl", b"{broken")
    capsys.readouterr()
    assert main(["campaign", "status", str(folder), "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert [campaign["campaign"] for campaign in plain["campaigns"]] == ["small"]
    assert plain["campaigns"][0]["jobs"]["started"] == 1
    named = [problem.split("/manifest.json")[0].rsplit("/", 1)[-1] for problem in plain["problems"]]
    assert named == ["a", "b", "c"]
    assert main(["campaign", "status", str(folder)]) == 0
    assert "version 9" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan", "{file}", "--set", "search.epochs=0"], "autoreid: --set search.epochs: 0 is too small."),
        (["plan", "dem"], "autoreid: dem: no such file, and no shipped campaign 'dem'."),
        (["plan", "{folder}"], "autoreid: {folder}: a folder. Give a campaign file in it"),
        (
            ["plan", "{file}", "--set", "search.batch.identities=9", "--set", "train.batch.identities=4"],
            "autoreid: --set search.batch.identities: 9, but the training set has 8. Use at most 8.",
        ),
        (
            [
                *("run", "{file}", "--storage", "{folder}/s", "--set", "execution.resources.cpus=9999"),
                *("--set", "data={{set: market1501, root: nowhere}}"),
            ],
            "nowhere: no such folder.",
        ),
        (["status", "{folder}/nowhere"], "autoreid: {folder}/nowhere: no campaign in this folder."),
        (["run", "{file}"], "autoreid campaign run: the following arguments are required: --storage"),
        (
            ["run", "{file}", "--storage", "{folder}/s", "--set", "execution.resources.cpus=9999"],
            "autoreid: execution.resources.cpus: 9999 CPUs a trial, but this machine has",
        ),
        (
            ["run", "{file}", "--storage", "{folder}/s", "--max-parallel", "0"],
            "autoreid: --set execution.max_parallel: 0 is too small.",
        ),
        (
            ["run", "cdnet_table1", "--storage", "{folder}/s", "--set", "data.root={folder}/nowhere"],
            "autoreid: {folder}/nowhere: no such folder.",
        ),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(file, tmp_path, capsys, arguments, message):
    names = {"file": file, "folder": str(tmp_path)}
    assert main(["campaign", *(argument.format(**names) for argument in arguments)]) == 2
    captured = capsys.readouterr()
    assert message.format(**names) in captured.err and "Traceback" not in captured.err
    assert captured.out == ""
    assert not (tmp_path / "s").exists()


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from autoreid.cli import main\n"
        "try: main(['campaign', 'run', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'ray', 'optuna', 'pydantic', 'yaml', 'pandas', 'pyarrow'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
