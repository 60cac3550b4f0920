"""The library is stood in for: what is logged is shown, and that a second time adds what is new alone."""

import json
import sys
from pathlib import Path

import pytest
from campaigns import FINGERPRINT, SMALL, small
from recorded import LOSSES, ROWS, attempt, jobs, planned_storage

from autoreid.attempts import Outcome
from autoreid.cli import main
from autoreid.errors import InputError, RunError
from tune_runs.manifest import save_manifest
from tune_runs.planning import make_plan
from tune_runs.wandb_runs import write_wandb

DONE = Outcome("done", result={"evaluation": {"mAP": 0.25, "rank_1": 0.5, "protocol": "all"}})


@pytest.fixture
def storage(tmp_path):
    return planned_storage(tmp_path / "storage")


@pytest.fixture
def job():
    return jobs()[0]


class WandbError(Exception):
    pass


class FakeWandb:
    """A server that keeps of a resumed run what it has, and of another what came last."""

    Error = WandbError

    def __init__(self):
        self.server, self.begun, self.breaking = {}, [], False
        self.Settings = dict

    def init(self, **given):
        self.begun.append(given)
        folder = self._folder(given) if given["mode"] == "offline" else None
        there = self.server.get(given["id"])
        history = there.history if given["resume"] == "allow" and there is not None else []
        config = dict(there.config) if history or given["resume"] else {}
        run = FakeRun(self, given, config | given["config"], history, folder)
        self.server[given["id"]] = run
        return run

    def _folder(self, given):
        name = f"offline-run-20260101_00000{len(self.begun)}-{given['id']}"
        folder = Path(given["dir"]) / "wandb" / name
        (folder / "files").mkdir(parents=True)
        return folder

    def Api(self):  # noqa: N802 (the library's name)
        return self

    def runs(self, project, filters, lazy):
        assert not lazy
        if not self.server:
            raise ValueError(f"Could not find project {project}")
        return [run for run in self.server.values() if run.config["campaign"] == filters["config.campaign"]]


class FakeRun:
    def __init__(self, fake, given, config, history, folder):
        self.fake, self.given, self.id, self.history = fake, given, given["id"], list(history)
        self.config = Config(config)
        self.summary, self.exit_code = {}, None
        self.starting_step = self.history[-1][0] + 1 if self.history else 0
        self.dir = str(folder / "files") if folder else ""

    def log(self, numbers, step):
        if self.fake.breaking and step == 2:
            raise WandbError("the network is down.")
        self.history.append((step, numbers["epoch/loss"]))

    def finish(self, exit_code):
        self.exit_code = exit_code


class Config(dict):
    def update(self, given, allow_val_change=False):
        assert allow_val_change, "a value of the run would change"
        super().update(given)


@pytest.fixture
def wandb(monkeypatch):
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    return fake


def test_a_job_is_a_run_of_wandb(storage, job, wandb):
    attempt(storage, job, ROWS).finish(DONE)
    plain = write_wandb(storage, "mine")
    assert (plain["runs"], plain["changed"], plain["out"]) == (1, 1, str(storage.folder.root / "wandb"))
    (run,) = wandb.server.values()
    said = {name: run.given[name] for name in ("project", "name", "group", "job_type", "mode", "tags")}
    assert said == {
        "project": "mine",
        "name": "a/search 1",
        "group": "small",
        "job_type": "search",
        "mode": "offline",
        "tags": ["small", "a", "done"],
    }
    assert run.history == LOSSES
    assert run.summary == {"result/mAP": 0.25, "result/rank_1": 0.5, "status": "done", "error": ""}
    assert (run.config["job"], run.config["recipe"]["space"], run.config["arm"]) == (job, "cs-v1", "a")
    assert (run.config["seeds"]["search"], run.config["data_fingerprint"]) == (0, FINGERPRINT)
    assert run.exit_code == 0


def test_offline_there_is_one_folder_for_a_run_and_it_is_whole(storage, job, wandb):
    attempt(storage, job, ROWS[:2])
    write_wandb(storage, "mine")
    assert write_wandb(storage, "mine")["changed"] == 0
    attempt(storage, job, ROWS)
    assert write_wandb(storage, "mine")["changed"] == 1
    (run,) = wandb.server.values()
    assert run.history == LOSSES
    (folder,) = (storage.folder.root / "wandb").iterdir()
    assert str(folder / "files") == run.dir
    (folder / "autoreid.json").unlink()  # killed before it was whole
    assert write_wandb(storage, "mine")["changed"] == 1
    assert len(list((storage.folder.root / "wandb").iterdir())) == 1
    write_wandb(storage, "other")
    assert len(list((storage.folder.root / "wandb").iterdir())) == 2


def test_online_a_run_is_resumed_and_grows(storage, job, wandb):
    attempt(storage, job, ROWS[:1])
    assert write_wandb(storage, "mine", "online")["changed"] == 1
    assert write_wandb(storage, "mine", "online")["changed"] == 0
    attempt(storage, job, ROWS).finish(DONE)
    assert write_wandb(storage, "mine", "online")["changed"] == 1
    assert [given["resume"] for given in wandb.begun] == [None, "allow"]
    (run,) = wandb.server.values()
    assert run.history == LOSSES
    assert write_wandb(storage, "mine", "online")["changed"] == 0


def test_online_what_broke_off_is_gone_on_with(storage, job, wandb):
    attempt(storage, job, ROWS)
    wandb.breaking = True
    with pytest.raises(RunError, match=r"the network is down\. For a server: 'wandb login'"):
        write_wandb(storage, "mine", "online")
    wandb.breaking = False
    assert write_wandb(storage, "mine", "online")["changed"] == 1
    (run,) = wandb.server.values()
    assert run.history == LOSSES


def test_online_other_numbers_replace_the_run(storage, job, wandb):
    only = attempt(storage, job, ROWS)
    write_wandb(storage, "mine", "online")
    only.write_records([row | {"loss": 9.0} for row in ROWS[:2]])
    write_wandb(storage, "mine", "online")
    (run,) = wandb.server.values()
    assert run.history == [(1, 9.0), (2, 9.0)]


def test_long_arms_and_failures_fit(storage, wandb):
    arm = "a" * 70
    save_manifest(
        storage, make_plan(small("repeats=1", text=SMALL.replace("  a:", f"  {arm}:")), FINGERPRINT)
    )
    first = jobs()[0]
    attempt(storage, first, []).finish(Outcome("failed", error="the loss is nan", final=True))
    write_wandb(storage, "mine")
    (run,) = wandb.server.values()
    assert (run.given["tags"], run.config["arm"]) == (["small", "a" * 64, "failed"], arm)
    assert (run.exit_code, run.summary["error"]) == (1, "the loss is nan")


def test_the_command(storage, job, wandb, capsys):
    attempt(storage, job, ROWS)
    folder = str(storage.folder)
    assert main(["campaign", "wandb", folder, "--campaign", "small"]) == 0
    text = f"1 run, 1 of them new or longer. Send them: wandb sync '{folder}/wandb'/offline-run-*\n"
    assert capsys.readouterr().out == text
    assert main(["campaign", "wandb", folder, "--project", "mine", "--mode", "online", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["changed"] == 1


def test_a_library_that_is_not_there_is_named_with_its_extra(storage, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match=r"cannot be loaded.*pip install 'autoreid\[wandb\]'"):
        write_wandb(storage, "mine")
