"""How campaigns stand: progress, pace, time left and cost, by the files of a storage alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from campaigns import FINGERPRINT, small
from many_jobs import EPOCH_SECONDS, HUNDRED, begin, fail, finish, hundred_jobs
from sweeps import Bench, sweeping

from autoreid.attempts import INTERRUPTED, Outcome
from autoreid.cli import main
from autoreid.folders import LocalFolder, to_json
from autoreid.leases import FILE as LEASE
from autoreid.leases import Lease
from autoreid.storage import Storage
from tune_runs.manifest import save_manifest
from tune_runs.planning import Plan, make_plan
from tune_runs.standings import Memory, standing_of
from tune_runs.status import is_open, progress_text, status_plain, status_text


@pytest.fixture(scope="module")
def hundred(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    return hundred_jobs(tmp_path_factory.mktemp("hundred"))


@pytest.fixture
def plan() -> Plan:
    """Two arms of one search (2 epochs) and one training (3 epochs): search a, train a, search b, train b."""
    return make_plan(small("repeats=1"), FINGERPRINT)


@pytest.fixture
def storage(tmp_path: Path, plan: Plan) -> Storage:
    storage = Storage(tmp_path)
    save_manifest(storage, plan)
    return storage


def test_a_hundred_jobs_are_counted_with_their_epochs_time_left_and_cost(hundred: Storage) -> None:
    (campaign,) = status_plain(hundred)["campaigns"]
    counts = {"done": 46, "running": 8, "started": 2, "waiting": 40, "failed": 4, "skipped": 0}
    assert campaign["jobs"] == counts
    plan = make_plan(small(text=HUNDRED), FINGERPRINT)
    assert campaign["epochs"] == sum(job.epochs for job in plan.jobs.values()) == 48 * 20 + 52 * 30
    rows = [*campaign["arms"]]
    assert sum(row["epochs_done"] for row in rows) == campaign["epochs_done"]
    # Every epoch takes 12 s, and eight jobs run at once; what failed is not waited for.
    failed = sum(job.epochs for job in list(plan.jobs.values())[56:60])
    left = campaign["epochs"] - campaign["epochs_done"] - failed + 4  # of the failed ones one epoch is done
    assert campaign["left"]["seconds"] == pytest.approx(left * EPOCH_SECONDS)
    assert campaign["left"] == {
        "seconds": campaign["left"]["seconds"],
        "unknown_jobs": 0,
        "at_once": 8,
        "wall_seconds": pytest.approx(left * EPOCH_SECONDS / 8),
    }
    assert campaign["epochs_per_hour"] == pytest.approx(8 * 3600 / EPOCH_SECONDS)
    assert campaign["cost"]["failed_device_hours"] == pytest.approx(4 * 60 / 3600)
    assert campaign["cost"]["devices"] == ["NVIDIA H100"]


def test_failed_and_interrupted_attempts_are_part_of_the_cost(storage: Storage, plan: Plan) -> None:
    job = next(iter(plan.jobs))
    fail(storage, job, "the disk is full")  # 60 s
    stopped = begin(storage, job, 1)
    stopped.folder.write(INTERRUPTED, to_json({"wall_seconds": 7.0}))
    finish(storage, job, 2)  # 24 s
    standing = standing_of(storage.job(job))
    assert (standing.state.status, standing.seconds, standing.failed_seconds) == ("done", 91.0, 60.0)
    # An epoch of a finished job is paid for with all its attempts.
    assert standing.epoch_seconds == 91.0 / 2


def test_the_time_of_an_attempt_that_runs_is_known_by_its_lease(storage: Storage, plan: Plan) -> None:
    job = next(iter(plan.jobs))
    attempt = begin(storage, job, 1)
    Lease.of_this_process().write(attempt.folder)
    assert standing_of(storage.job(job)).seconds == pytest.approx(EPOCH_SECONDS, abs=1.5)
    (campaign,) = status_plain(storage)["campaigns"]
    (running,) = campaign["running"]
    assert (running["arm"], running["repeat"], running["epoch"], running["epochs"]) == ("a", 0, 1, 2)
    assert (running["seconds_left"], running["loss"]) == (EPOCH_SECONDS, 4.0)


def test_the_last_lines_of_a_failed_log_are_shown(storage: Storage, plan: Plan) -> None:
    job = next(iter(plan.jobs))
    attempt = begin(storage, job, 1)
    for line in range(9):
        attempt.log(f"line {line}")
    attempt.finish(Outcome("failed", error="the loss is nan"))
    (campaign,) = status_plain(storage)["campaigns"]
    failure = campaign["failures"][0]
    assert (failure["arm"], failure["repeat"], failure["attempts"], failure["final"]) == ("a", 0, 1, False)
    assert [line.split(" ", 1)[1] for line in failure["log"]] == [f"line {line}" for line in range(4, 9)]
    text = status_text(status_plain(storage))
    assert f"search {job} (a, repeat 1) failed: the loss is nan\n    | " in text
    assert "line 8" in text and "line 3" not in text


def test_of_many_failures_the_first_few_are_shown(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    plan = make_plan(small("repeats=7"), FINGERPRINT)
    save_manifest(storage, plan)
    for job in (job_id for job_id, job in plan.jobs.items() if job.kind == "search"):
        fail(storage, job, "the loss is nan")
    text = status_text(status_plain(storage))
    assert text.count(" failed: the loss is nan") == 5
    assert "and 9 more jobs failed" in text and "and 9 more jobs skipped" in text


def test_time_left_is_no_less_than_the_longest_chain(storage: Storage, plan: Plan) -> None:
    search_a, train_a, search_b, _ = plan.jobs
    finish(storage, search_a, 2)
    for job in (train_a, search_b):
        Lease.of_this_process().write(begin(storage, job, 1).folder)
    (campaign,) = status_plain(storage)["campaigns"]
    # Left: two epochs of train a; one of search b, and then three of train b. Two run at once.
    assert campaign["left"]["seconds"] == (2 + 1 + 3) * EPOCH_SECONDS
    assert campaign["left"]["wall_seconds"] == (1 + 3) * EPOCH_SECONDS
    assert "about 48 s left with 2 jobs at once" in progress_text(campaign)
    storage.job(search_b).attempts()[0].folder.remove(LEASE)
    fail(storage, search_b, "the loss is nan")
    (campaign,) = status_plain(storage)["campaigns"]
    assert campaign["left"]["seconds"] == 2 * EPOCH_SECONDS  # what has lost its input is not waited for


def test_time_left_says_what_it_cannot_know(storage: Storage, plan: Plan) -> None:
    search_a, train_a, *_ = plan.jobs
    (campaign,) = status_plain(storage)["campaigns"]
    assert "time left is known after a first epoch" in progress_text(campaign)
    begin(storage, search_a, 1)
    (campaign,) = status_plain(storage)["campaigns"]
    # The other search goes by this one's pace; of trainings nothing is known.
    left = {"seconds": 3 * EPOCH_SECONDS, "unknown_jobs": 2, "at_once": 0, "wall_seconds": None}
    assert campaign["left"] == left
    assert "more than 36 s of computing left, and nothing runs" in progress_text(campaign)
    for job, count in ((search_a, 2), (train_a, 3)):
        finish(storage, job, count)
    assert status_plain(storage)["campaigns"][0]["left"]["unknown_jobs"] == 0


def test_between_two_jobs_a_place_is_not_given_up(storage: Storage, plan: Plan) -> None:
    """A job that has ended and one whose process starts: for a moment fewer run."""
    now = [0.0]
    memory = Memory(storage, lambda: now[0])
    searches = [job_id for job_id, job in plan.jobs.items() if job.kind == "search"]
    for job in searches:
        Lease.of_this_process().write(begin(storage, job, 1).folder)
    assert status_plain(storage, memory)["campaigns"][0]["left"]["at_once"] == 2
    storage.job(searches[0]).attempts()[0].folder.remove(LEASE)
    finish(storage, searches[0], 2)
    now[0] = 59.0
    assert status_plain(storage, memory)["campaigns"][0]["left"]["at_once"] == 2
    now[0] = 61.0
    assert status_plain(storage, memory)["campaigns"][0]["left"]["at_once"] == 1


class Counting(LocalFolder):
    """A folder that notes what is read."""

    def __init__(self, root: Path, read: list[str] | None = None) -> None:
        super().__init__(root)
        self.names: list[str] = [] if read is None else read

    def read(self, name: str) -> bytes:
        self.names.append(f"{self.root}/{name}")
        return super().read(name)

    def sizes(self, prefix: str = "") -> dict[str, int]:
        self.names.append(f"{self.root}/{prefix}")
        return super().sizes(prefix)

    def child(self, name: str) -> Counting:
        return Counting(self.root / name, self.names)


def test_finished_jobs_are_not_read_again(hundred: Storage) -> None:
    folder = Counting(Path(str(hundred.folder)))
    memory = Memory(Storage(folder))
    first = status_plain(memory.storage, memory)
    done = {job for job in hundred.jobs() if hundred.job(job).finished() is not None}
    assert len(done) == 46 and any(job in name for job in done for name in folder.names)
    folder.names.clear()
    assert status_plain(memory.storage, memory)["campaigns"][0]["jobs"] == first["campaigns"][0]["jobs"]
    assert folder.names and not any(job in name for job in done for name in folder.names)


def test_what_changes_between_two_looks_is_seen(storage: Storage, plan: Plan) -> None:
    memory = Memory(storage)
    search_a, train_a, *_ = plan.jobs
    begin(storage, search_a, 1)
    assert status_plain(storage, memory)["campaigns"][0]["jobs"]["started"] == 1
    finish(storage, search_a, 2)
    assert status_plain(storage, memory)["campaigns"][0]["jobs"]["done"] == 1
    save_manifest(storage, make_plan(small("repeats=3"), FINGERPRINT))
    assert sum(status_plain(storage, memory)["campaigns"][0]["jobs"].values()) == 12
    storage.cancel("small", [train_a])
    assert status_plain(storage, memory)["campaigns"][0]["jobs"]["skipped"] == 1
    storage.folder.write("campaigns/small/manifest.json", b"{}")
    assert "manifest.json" in status_plain(storage, memory)["problems"][0]


def test_a_sweep_is_open_until_its_points_are_settled(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    # Two trainings of the other arm, then the two searches and the selection of the first point.
    Bench(storage).launch(sweeping(), stops_after=5)
    (campaign,) = status_plain(storage)["campaigns"]
    assert campaign["jobs"]["done"] == 5 and is_open(campaign)
    assert campaign["points"]["wanted"] == 6 and not campaign["points"]["over"]
    Bench(storage).launch(sweeping())
    (campaign,) = status_plain(storage)["campaigns"]
    assert campaign["points"] == {"settled": 6, "asked": 6, "wanted": 6, "over": True}
    assert campaign["jobs"]["done"] == sum(campaign["jobs"].values()) and not is_open(campaign)
    assert "6/6 points settled" in status_text(status_plain(storage))


def test_damaged_points_are_said(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    Bench(storage).launch(sweeping(), stops_after=1)
    storage.write_manifest("small", storage.read_manifest("small") | {"points": [{}]})
    assert "manifest.json: damaged" in status_plain(storage)["problems"][0]


@pytest.mark.parametrize("records", [b"{broken", b"[]\n", b'{"wall_seconds": "x"}\n'])
def test_damaged_records_hide_nothing_else(storage: Storage, plan: Plan, records: bytes) -> None:
    begin(storage, next(iter(plan.jobs)), 1).folder.write("records.jsonl", records)
    (campaign,) = status_plain(storage)["campaigns"]
    assert campaign["jobs"]["started"] == 1 and campaign["left"]["unknown_jobs"] == 4


def test_status_without_watch_prints_the_text(storage: Storage, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["campaign", "status", str(storage.folder)]) == 0
    assert capsys.readouterr().out.rstrip() == status_text(status_plain(storage))
