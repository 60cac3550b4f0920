"""Campaigns on a standing Ray cluster of several nodes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from clusters import standing
from disturbed import AUTOREID, JOBS, PATIENCE_SECONDS, check, contents, start, wait_until, workers
from doors import holding, listening
from local_s3 import address

from autoreid.errors import InputError
from autoreid.storage import Storage
from tune_runs.joining import find_cluster
from tune_runs.processes import descendants

pytestmark = [pytest.mark.slow, pytest.mark.ray]


TOKEN = "0123456789abcdef"
# A node that does not answer for 10 seconds is gone; of itself Ray takes a minute.
IMPATIENT = {
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "10",
}


@pytest.fixture(autouse=True)
def shared_cache(cache_folder, monkeypatch):
    monkeypatch.setenv("AUTOREID_CACHE", str(cache_folder))


@pytest.fixture(autouse=True)
def token(monkeypatch):
    """All clusters of these tests want a token."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)


# Of themselves leases are renewed every 20 seconds and hold for 120, which a test would have to wait for.
SHORT_TERMS = """\
import autoreid.leases
autoreid.leases.RENEWAL_SECONDS, autoreid.leases.TERM_SECONDS = 4.0, 24.0
"""
# Words that nothing which is written or said may hold.
SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIAMARKED0KEY0ID000",
    "AWS_SECRET_ACCESS_KEY": "marked-secret-access-key",
    "AWS_SESSION_TOKEN": "marked-session-token",
    "RAY_AUTH_TOKEN": "marked-token-of-the-cluster",
}


@pytest.fixture
def short_terms(tmp_path, monkeypatch):
    """Leases of short terms, in every process that is started and in this one."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SHORT_TERMS)
    path = os.pathsep.join([str(tmp_path / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setattr("autoreid.leases.TERM_SECONDS", 24.0)


@pytest.fixture(params=["folder", "s3"])
def place(request, tmp_path, monkeypatch):
    """Where a campaign's storage is: a folder that all nodes share, or an address; its credentials are
    marked."""
    if request.param == "folder":
        return str(tmp_path / "storage")
    port = request.getfixturevalue("s3_port")
    for name, secret in SECRETS.items():
        monkeypatch.setenv(name, secret)
    return address(port, tmp_path.name)


def epoch(line):
    return "epoch" in line


def places(cluster, storage):
    """The nodes on which jobs are worked on at this moment."""
    busy = set(workers(storage))
    return {place for place in range(len(cluster.nodes)) if busy & set(cluster.below(place))}


def test_a_campaign_over_two_nodes_that_is_stopped_and_continued_equals_one_without_them(
    tmp_path, undisturbed
):
    storage = Storage(tmp_path / "storage")
    with standing({}) as cluster:
        run = start(tmp_path, "--address", cluster.address)
        wait_until(lambda: places(cluster, storage) == {0, 1})
        run.wait_for(epoch)
        run.process.terminate()
        assert run.end(75)["unfinished"]
        assert not any("force" in line or "attempt" in line for line in run.lines), run.lines
        for job in storage.jobs():
            for attempt in storage.job(job).attempts():
                assert attempt.outcome() is not None or "stopped after" in attempt.read_log()
        assert storage.folder.sizes("nodes-") == {}
        answer = start(tmp_path, "--address", cluster.address).end(0)
        assert answer["ran"] + answer["reused"] == JOBS
    check(tmp_path, undisturbed)


def test_a_node_that_dies_and_one_that_freezes_are_done_without(tmp_path, place, undisturbed, short_terms):
    storage = Storage(place)
    with standing({}, {}, {}, CPUS="0", **IMPATIENT) as cluster:
        run = start(tmp_path, "--address", cluster.address, storage=place)
        # An address is asked by dozens of requests.
        wait_until(lambda: len(places(cluster, storage)) == 2, every=1.0)
        run.wait_for(epoch)
        dies, freezes = places(cluster, storage)
        launch = [run.process.pid, *descendants(run.process.pid)]
        assert listening([*cluster.processes(), *launch]) == {"127.0.0.1"}
        cluster.freeze(freezes)
        cluster.end(dies)
        answer = run.end(0)
        assert (answer["ran"], answer["left_out"]) == (JOBS, {})
        assert sorted(len(storage.job(job).attempts()) for job in storage.jobs()) == [1, 2, 2]
        before = contents(storage)
        cluster.thaw(freezes)  # whoever works there still finds that another attempt is done
        wait_until(lambda: not set(workers(storage)) & set(cluster.below(freezes)), every=1.0)
    assert before == contents(storage) == undisturbed
    said = "\n".join(run.lines)
    if "://" in place:
        said += "".join(printed(*verb, place) for verb in (("campaign", "status"), ("tables", "collect")))
        said += printed("report", place)
    assert holding(storage.folder, SECRETS.values()) == []
    assert not [secret for secret in SECRETS.values() if secret in said]


def printed(*arguments):
    """What a command says."""
    done = subprocess.run([AUTOREID, *arguments], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout + done.stderr


@pytest.mark.parametrize("given", ["given-one", None])
def test_a_wrong_token_is_told_as_such(given, tmp_path, monkeypatch):
    with standing() as cluster:
        if given is None:
            monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
            monkeypatch.delenv("RAY_AUTH_TOKEN")
        else:
            monkeypatch.setenv("RAY_AUTH_TOKEN", given)
        with pytest.raises(
            InputError, match=r"does not take the token of this process.*RAY_AUTH_TOKEN"
        ) as caught:
            find_cluster(cluster.address, Storage(tmp_path), [], lambda line: None)
        assert TOKEN not in str(caught.value)
        assert "given-one" not in str(caught.value)


# Read by every Python process of a node: it ends where it imports what trials are made of.
SICK = """\
import os, signal, sys
class Sick:
    def find_spec(self, name, path=None, target=None):
        if name == "tune_runs.trainable":
            os.kill(os.getpid(), signal.SIGKILL)
sys.meta_path.insert(0, Sick())
"""
OTHER = """\
import tune_runs.packages
tune_runs.packages.PACKAGES = ("tune_runs",)
"""
# It has another folder under the path of the storage.
APART = """\
import os
from pathlib import Path
from autoreid import folders
def begin(self, root):
    self.root = Path(str(root).replace(os.environ["STORAGE"], os.environ["OTHER_STORAGE"]))
folders.LocalFolder.__init__ = begin
"""
DRIVER = """\
import json, sys
sys.path.insert(0, sys.argv[1])
from campaigns import FINGERPRINT, fake_engine, small
from autoreid.cli import say
from autoreid.errors import InputError
from autoreid.execution import Execution
from autoreid.storage import Storage
from tune_runs.joining import find_cluster
from tune_runs.launch import run_plan
from tune_runs.planning import make_plan
from tune_runs.resources import allot
plan, storage = make_plan(small("repeats=3"), FINGERPRINT), Storage(sys.argv[3])
try:
    find_cluster(sys.argv[2], storage, ["/no/data"], say)
except InputError as error:
    say(str(error))
cluster = find_cluster(sys.argv[2], storage, [], say)
try:
    allot(Execution(device="cuda"), plan.campaign.placement, cluster)
except InputError as error:
    say(str(error))
allotment = allot(plan.campaign.execution, plan.campaign.placement, cluster)
print(json.dumps(run_plan(plan, storage, allotment, fake_engine()).plain()))
"""


def test_nodes_that_are_sick_or_have_other_code_or_another_storage_are_left_out(tmp_path):
    storages = {"STORAGE": str(tmp_path / "st"), "OTHER_STORAGE": str(tmp_path / "another")}
    environments = []
    for name, content in (("sick", SICK), ("other", OTHER), ("apart", APART)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "sitecustomize.py").write_text(content)
        path = os.pathsep.join([str(tmp_path / name), *filter(None, [os.environ.get("PYTHONPATH")])])
        environments.append({"PYTHONPATH": path, **storages})
    with standing(*environments) as cluster:
        done = subprocess.run(
            [sys.executable, "-c", DRIVER, str(Path(__file__).parent), cluster.address, str(tmp_path / "st")],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answer, lines = json.loads(done.stdout), done.stderr.splitlines()
        assert (answer["ran"], answer["jobs"], answer["exit_code"]) == (12, 12, 0), lines
        *refused, sick = answer["left_out"].values()
        other, apart = sorted(refused, key=lambda reason: "the code in" not in reason)
        assert "the code in" in other and "4 attempts in a row failed there" in sick
        assert apart.startswith(f"it does not see the storage {tmp_path / 'st'}")
        assert "ended without an outcome" in sick
        (cuda,) = [line for line in lines if line.startswith("execution.resources.gpus: 1 GPU a trial, but")]
        assert "1 CPU and 0 GPUs" in cuda
        lacking = [line for line in lines if "can run no job: it does not have the data, /no/data" in line]
        assert len(lacking) == 3
        (told,) = [line for line in lines if "12 jobs to run" in line]
        assert told.endswith("1 CPU a trial, 2 at once")
        assert not any("attempt 3" in line for line in lines), lines
