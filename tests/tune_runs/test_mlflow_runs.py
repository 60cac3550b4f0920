"""The library is stood in for: what is logged is shown, and that a second time adds what is new alone."""

import json
import os
import sys
from types import SimpleNamespace

import pytest
from campaigns import FINGERPRINT, SMALL, small
from recorded import BEGIN, LOSSES, ROWS, attempt, jobs, planned_storage

from autoreid.attempts import Outcome
from autoreid.cli import main
from autoreid.errors import InputError, RunError
from tune_runs.manifest import save_manifest
from tune_runs.mlflow_runs import QUICK, write_mlflow
from tune_runs.planning import make_plan

DONE = Outcome("done", result={"evaluation": {"mAP": 0.25, "rank_1": 0.5, "protocol": "all"}})


@pytest.fixture
def storage(tmp_path):
    return planned_storage(tmp_path / "storage")


@pytest.fixture
def job():
    return jobs()[0]


class MlflowError(Exception):
    pass


class Page(list):
    token = None


class FakeMlflow:
    """A tracking server that keeps everything that it is given, twice if it is given twice."""

    def __init__(self):
        self.experiments, self.runs, self.logged, self.refusing = {}, [], 0, False
        self.entities = SimpleNamespace(
            Metric=lambda *given: given, Param=lambda *given: given, RunTag=lambda *given: given
        )
        self.exceptions = SimpleNamespace(MlflowException=MlflowError)
        self.tracking_uri = ""

    def MlflowClient(self, tracking_uri):  # noqa: N802 (the library's name)
        self.tracking_uri = tracking_uri or "sqlite:///mlflow.db"
        return self

    def get_experiment_by_name(self, name):
        return self.experiments.get(name)

    def create_experiment(self, name):
        self.experiments[name] = SimpleNamespace(experiment_id=str(len(self.experiments) + 1))
        return self.experiments[name].experiment_id

    def search_runs(self, experiments, max_results, page_token):
        there = [run for run in self.runs if run.experiment in experiments and not run.deleted]
        begin = page_token or 0
        page = Page(there[begin : begin + 1])  # one on each page
        page.token = begin + 1 if begin + 1 < len(there) else None
        return page

    def create_run(self, experiment, start_time, tags, run_name):
        run = SimpleNamespace(
            experiment=experiment,
            deleted=False,
            name=run_name,
            start=start_time,
            status="RUNNING",
            end=None,
            metrics=[],
            params={},
            data=SimpleNamespace(tags=dict(tags)),
            info=SimpleNamespace(run_id=len(self.runs)),
        )
        self.runs.append(run)
        return run

    def delete_run(self, identifier):
        self.runs[identifier].deleted = True

    def log_batch(self, identifier, metrics, params, tags):
        if self.refusing:
            raise MlflowError("no space at https://me:secret@host/.")
        self.logged += 1
        run = self.runs[identifier]
        run.metrics += metrics
        assert all(run.params.get(name, value) == value for name, value in params), "they cannot change"
        run.params |= dict(params)
        run.data.tags |= dict(tags)

    def set_tag(self, identifier, name, value):
        self.runs[identifier].data.tags[name] = value

    def set_terminated(self, identifier, status, end):
        self.runs[identifier].status, self.runs[identifier].end = status, end

    def update_run(self, identifier, status):
        self.runs[identifier].status = status


@pytest.fixture
def mlflow(monkeypatch):
    fake = FakeMlflow()
    for name in QUICK:  # what is set by the command is taken back after the test
        monkeypatch.setenv(name, "9")
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    return fake


def losses(run):
    return [(step, value) for name, value, _, step in run.metrics if name == "epoch/loss"]


def test_a_job_is_a_run_of_mlflow(storage, job, mlflow):
    attempt(storage, job, ROWS).finish(DONE)
    assert write_mlflow(storage, "http://host") == {
        "storage": str(storage.folder),
        "uri": "http://host",
        "runs": 1,
        "changed": 1,
    }
    (run,) = mlflow.runs
    assert (run.name, run.status) == ("a/search 1", "FINISHED")
    assert (run.start, run.end) == (1000 * BEGIN, 1000 * (BEGIN + 60))
    assert losses(run) == LOSSES
    assert [found for found in run.metrics if found[0].startswith("result/")] == [
        ("result/mAP", 0.25, 1000 * (BEGIN + 60), 3),
        ("result/rank_1", 0.5, 1000 * (BEGIN + 60), 3),
    ]
    assert run.params["job"] == job
    assert run.params["data_fingerprint"] == FINGERPRINT
    assert run.params["recipe.space"] == "cs-v1"
    assert run.params["seeds.search"] == run.params["seeds.split"] == "0"
    assert run.params["engine_revision"].isdigit()
    tags = {name: run.data.tags[f"autoreid.{name}"] for name in ("campaign", "arm", "kind", "status", "job")}
    assert tags == {"campaign": "small", "arm": "a", "kind": "search", "status": "done", "job": job}


def test_a_run_of_mlflow_grows_by_what_is_new(storage, job, mlflow):
    attempt(storage, job, ROWS[:2])
    assert write_mlflow(storage)["changed"] == 1
    assert mlflow.runs[0].status == "KILLED"
    assert write_mlflow(storage)["changed"] == 0
    assert mlflow.logged == 1
    second = attempt(storage, job, ROWS)
    assert write_mlflow(storage)["changed"] == 1
    assert losses(mlflow.runs[0]) == LOSSES
    second.finish(DONE)
    write_mlflow(storage)
    assert (len(mlflow.runs), mlflow.runs[0].status) == (1, "FINISHED")
    assert losses(mlflow.runs[0]) == LOSSES


def test_a_run_of_mlflow_with_other_numbers_gives_way(storage, job, mlflow):
    only = attempt(storage, job, ROWS)
    write_mlflow(storage)
    only.write_records([row | {"loss": 9.0} for row in ROWS[:2]])
    assert write_mlflow(storage)["changed"] == 1
    assert [run.deleted for run in mlflow.runs] == [True, False]
    assert losses(mlflow.runs[1]) == [(1, 9.0), (2, 9.0)]


@pytest.mark.parametrize("mark", ["", "3", "none", "4 0123 4567", "3 0123 4567"])
def test_a_run_of_mlflow_with_a_mark_that_does_not_fit_gives_way(storage, job, mlflow, mark):
    attempt(storage, job, ROWS)
    write_mlflow(storage)
    mlflow.runs[0].data.tags["autoreid.mark"] = mark
    assert write_mlflow(storage)["changed"] == 1
    assert [run.deleted for run in mlflow.runs] == [True, False]
    assert losses(mlflow.runs[1]) == LOSSES


def test_what_broke_off_is_logged_anew(storage, job, mlflow):
    attempt(storage, job, ROWS)
    mlflow.refusing = True
    with pytest.raises(RunError, match=r"MLflow: no space at https://host/\. Look at --uri") as caught:
        write_mlflow(storage)
    assert "secret" not in str(caught.value)
    mlflow.refusing = False
    assert write_mlflow(storage, "http://me:secret@host")["uri"] == "http://host"
    assert [run.deleted for run in mlflow.runs] == [True, False]
    assert losses(mlflow.runs[1]) == LOSSES


def test_failures_and_cancelled_jobs_are_told(storage, mlflow, tmp_path):
    first, second = jobs()[:2]
    attempt(storage, first, []).finish(Outcome("failed", error="epoch 1: the loss is nan", final=True))
    attempt(storage, second, ROWS[:1])
    storage.cancel("small", [second])
    assert write_mlflow(storage)["runs"] == 2
    by_job = {run.params["job"]: run for run in mlflow.runs}
    assert by_job[first].status == "FAILED"
    assert by_job[first].data.tags["autoreid.error"] == "epoch 1: the loss is nan"
    assert (by_job[second].status, by_job[second].data.tags["autoreid.status"]) == ("KILLED", "skipped")


def test_a_job_of_two_campaigns_is_a_run_of_each(storage, job, mlflow):
    text = SMALL.replace("name: small", "name: other")
    save_manifest(storage, make_plan(small("repeats=1", text=text), FINGERPRINT))
    attempt(storage, job, ROWS)
    assert write_mlflow(storage, campaigns=["other"])["runs"] == 1
    assert write_mlflow(storage) | {"storage": "", "uri": ""} == {
        "storage": "",
        "uri": "",
        "runs": 2,
        "changed": 1,
    }
    assert list(mlflow.experiments) == ["other", "small"]


def test_the_command(storage, job, mlflow, capsys):
    attempt(storage, job, ROWS)
    folder = str(storage.folder)
    assert main(["campaign", "mlflow", folder, "--uri", "http://host"]) == 0
    assert capsys.readouterr().out == "1 run, 1 of them new or longer. They are in http://host.\n"
    assert main(["campaign", "mlflow", folder, "--campaign", "small", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["changed"] == 0


def test_what_the_library_waits_and_prints_is_chosen_unless_somebody_has(storage, mlflow, monkeypatch):
    retries, silence = "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"
    monkeypatch.delenv(silence)
    write_mlflow(storage)
    assert (os.environ[retries], os.environ[silence]) == ("9", "true")


def test_a_library_that_is_not_there_is_named_with_its_extra(storage, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(InputError, match=r"cannot be loaded.*pip install 'autoreid\[mlflow\]'"):
        write_mlflow(storage, "mine")
