"""The key `latency` of campaigns: one job that times the networks of all arms, alone on its machine."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from campaigns import FINGERPRINT, SMALL, small
from launches import Jobs
from test_selection_launch import CAMPAIGN, autoreid

from analysis.tables import read
from autoreid.errors import InputError
from autoreid.execution import Execution
from autoreid.jobs import RANDOM_PIXELS, Job, latency_job, train_job
from autoreid.latency_recipes import Build, LatencyRecipe
from autoreid.published import CDNET_TRAIN
from autoreid.storage import Storage
from search_spaces.published import PUBLISHED
from tune_runs.campaign import load_campaign
from tune_runs.cluster import request
from tune_runs.costs import Estimate, Left, costs_plain
from tune_runs.dispatch import Dispatch
from tune_runs.estimates import left_of
from tune_runs.manifest import save_manifest
from tune_runs.overview import plan_plain
from tune_runs.plan_words import plan_text
from tune_runs.planning import Plan, make_plan
from tune_runs.progress import Progress
from tune_runs.releases import Releases
from tune_runs.resources import Allotment, Cluster, Machine, Node, allot
from tune_runs.schema import Placement
from tune_runs.standings import planned_of

TIMED = "latency={batch: [1, 4], images: 8, passes: 2}"
NETWORKS = SMALL.replace(
    "  a: {search: {space: cs-v1}}\n  b: {search: {space: cds-v1}}\n",
    "  c: {genotype: cdnet-top2}\n  d: {genotype: resnet18, train: {neck.name: bnneck}}\n"
    "  same: {genotype: cdnet-top2, train: {epochs: 9}}\n  r: {random: cds-v1}\n",
).replace("search: {recipe: cdnet, epochs: 2}\n", "")


def timing(plan: Plan) -> Job:
    (job,) = [job for job in plan.jobs.values() if job.kind == "latency"]
    return job


def test_one_job_times_what_every_search_finds_after_all_searches() -> None:
    plan = make_plan(small(TIMED), FINGERPRINT)
    job = timing(plan)
    searches = {job_id for job_id, one in plan.jobs.items() if one.kind == "search"}
    assert set(job.needs) == searches and len(job.needs) == 4
    assert list(plan.jobs)[-1] == job.id
    assert (job.data, job.seeds, job.epochs, job.size, job.alone) == (RANDOM_PIXELS, (), 1, None, True)
    recipe = job.recipe
    assert isinstance(recipe, LatencyRecipe)
    assert (recipe.batch, recipe.images, recipe.passes, recipe.precision) == ((1, 4), 8, 2, "fp32")
    entries = {entry.arm: entry for entry in plan.entries if entry.kind == "latency"}
    for arm, entry in entries.items():
        trained = {
            one.repeat: plan.jobs[one.job] for one in plan.entries if (one.arm, one.kind) == (arm, "train")
        }
        assert {repeat: job.networks[number] for repeat, number in entry.timed} == {
            repeat: one.genotype for repeat, one in trained.items()
        }


def test_networks_that_inference_cannot_tell_apart_are_one() -> None:
    plan = make_plan(small(TIMED, text=NETWORKS), FINGERPRINT)
    job = timing(plan)
    # Two that are given, and one that is drawn in each of two repeats; `same` differs in its training alone.
    assert len(job.networks) == 4
    timed = {entry.arm: entry.timed for entry in plan.entries if entry.kind == "latency"}
    assert timed["c"] == timed["same"] and [repeat for repeat, _ in timed["c"]] == [0]
    assert [repeat for repeat, _ in timed["r"]] == [0, 1]
    assert job.networks[timed["d"][0][1]] == PUBLISHED["resnet18"]
    assert isinstance(job.recipe, LatencyRecipe)
    assert job.recipe.networks[timed["d"][0][1]].neck.name == "bnneck"


def test_neither_order_nor_repetition_of_networks_makes_another_job() -> None:
    a, b = ((PUBLISHED[name], Build()) for name in ("cdnet-top1", "cdnet-top2"))
    one = latency_job(LatencyRecipe(), [a, b])
    assert one == latency_job(LatencyRecipe(), [b, a, b])
    assert one.id != latency_job(LatencyRecipe(), [a]).id
    assert one.id != latency_job(LatencyRecipe(precision="bf16"), [a, b]).id
    assert one.id != latency_job(LatencyRecipe(), [a, (b[0], Build(height=128))]).id
    with pytest.raises(InputError, match="none to time"):
        latency_job(LatencyRecipe(), [])


def test_a_job_is_read_as_it_was_written() -> None:
    train = train_job(CDNET_TRAIN, FINGERPRINT, "a" * 32, train_seed=0)
    job = latency_job(LatencyRecipe(), [("a" * 32, Build.of(CDNET_TRAIN)), (PUBLISHED["resnet18"], Build())])
    assert train.genotype in job.needs
    written = json.loads(json.dumps(job.plain()))
    assert Job.from_plain(written) == job
    written["recipe"]["networks"][0]["height"] = 128
    with pytest.raises(InputError, match="its content gives the id"):
        Job.from_plain(written)


def test_the_other_jobs_are_those_of_a_campaign_without_it(tmp_path: Path) -> None:
    before, after = make_plan(small(), FINGERPRINT), make_plan(small("latency=true"), FINGERPRINT)
    assert {after.jobs[job].kind for job in after.jobs.keys() - before.jobs.keys()} == {"latency"}
    assert before.jobs.keys() < after.jobs.keys()
    recipe = timing(after).recipe
    assert replace(recipe, networks=()) == LatencyRecipe()
    storage = Storage(tmp_path)
    save_manifest(storage, before)
    change = save_manifest(storage, after)
    assert (change.new, change.gone) == (1, 0)
    planned = planned_of(storage.read_manifest("small"))
    assert [task.epochs for task in planned.tasks.values() if task.kind == "latency"] == [1]


@pytest.mark.parametrize(("given", "timed"), [("true", True), ("{}", True), ("false", False)])
def test_the_key_alone_asks_for_table_12(given: str, timed: bool) -> None:
    assert small(f"latency={given}").latency == (LatencyRecipe() if timed else None)


def test_a_batch_alone_is_a_list_of_one() -> None:
    found = small("latency={batch: 32}").latency
    assert found is not None and found.batch == (32,)


def test_a_plan_says_what_is_timed() -> None:
    plan = make_plan(small(TIMED), FINGERPRINT)
    plain = plan_plain(plan, None, None, with_jobs=True)
    assert plain["jobs"]["latency"] == 1
    text = plan_text(plain)
    assert "all networks are timed side by side: batches of 1 and 4, 2 passes of 8 images, fp32" in text
    assert plain["shared"] == 0 and "1 timing\n" in text
    assert plain["job_list"][-1]["data_set"] is None


def test_a_state_names_the_timing_once(tmp_path: Path) -> None:
    plan = make_plan(small(TIMED), FINGERPRINT)
    storage = Storage(tmp_path)
    save_manifest(storage, plan)
    arms = planned_of(storage.read_manifest(plan.campaign.name)).arms
    assert [key for key in arms if key[1] == "latency"] == [("all arms", "latency")]
    assert arms["all arms", "latency"] == [timing(plan).id]


def test_mistakes_are_reported_together() -> None:
    with pytest.raises(InputError) as error:
        small("latency={batch: [0], passes: few, image: 5, networks: []}")
    found = "\n".join(error.value.problems)
    for words in (
        "latency.batch: 0 is too small. Use 1 or more.",
        "latency.passes: 'few' is not a whole number.",
        "latency.image: no field 'image'. Did you mean 'images'?",
        "latency.networks: no field 'networks'.",
    ):
        assert words in found


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (("latency={batch: 64, images: 32}",), r"latency\.images: 32 images are no batch of 64"),
        (("latency={batch: [2, 2]}",), r"latency\.batch: 2 is given twice"),
        (("latency=often",), r"latency: 'often' is neither true nor false, nor a group of fields"),
        (("latency=[8]",), r"latency: \[8\] is neither true nor false, nor a group of fields"),
        *(
            (
                (f"latency={{batch: {given}}}",),
                rf"latency\.batch: {re.escape(said)} is no whole number of images",
            )
            for given, said in {"0.5": "0.5", "[1, 0.5]": "[1, 0.5]", "true": "True", "few": "'few'"}.items()
        ),
    ],
)
def test_what_cannot_be_timed_is_refused(settings: tuple[str, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        small(*settings)


def test_a_timing_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match=r"latency: no arm is trained, and so none has a network"):
        small(TIMED, "train=false", text=SMALL.replace("train: {recipe: cdnet, epochs: 3}\n", ""))


def test_the_points_of_a_sweep_are_not_timed() -> None:
    sweep = "sweep={points: 2, over: {search.k: [1, 2]}}"
    with pytest.raises(InputError, match="latency: the points of a sweep are asked while others run"):
        small(TIMED, sweep, "select=supernet")


class AloneLaunch:
    """A dispatch of a campaign with a timing, under a clock that is set by hand."""

    def __init__(self, *settings: str, text: str = SMALL) -> None:
        plan = make_plan(small(TIMED, "repeats=1", *settings, text=text), FINGERPRINT)
        self.site, self.now = Jobs(), 0.0
        self.needs = {job_id: job.needs for job_id, job in plan.jobs.items()}
        self.timing = timing(plan).id
        self.dispatch = Dispatch(
            Releases(self.needs),
            self.site,
            Progress(plan, write=lambda line: None, clock=lambda: self.now),
            slots=3,
            retries=3,
            clock=lambda: self.now,
            alone=[self.timing],
        )

    def finish(self, job: str) -> None:
        self.site.does(job)
        self.dispatch.ended(job, None, None)


def test_a_timing_begins_when_nothing_runs_and_nothing_begins_beside_it() -> None:
    launch = AloneLaunch()
    search_a, train_a, search_b, train_b = list(launch.needs)[:4]
    assert [launch.dispatch.next() for _ in range(3)] == [search_a, search_b, None]
    launch.finish(search_a)
    launch.finish(search_b)
    # Trainings come first; then it waits for them, although there is a slot.
    assert [launch.dispatch.next() for _ in range(3)] == [train_a, train_b, None]
    launch.now += 60
    assert launch.dispatch.next() is None
    launch.finish(train_a)
    launch.now += 60
    assert launch.dispatch.next() is None and not launch.dispatch.over
    launch.finish(train_b)
    launch.now += 60
    assert launch.dispatch.next() == launch.timing
    launch.finish(launch.timing)
    assert launch.dispatch.next() is None and launch.dispatch.over


def test_a_job_that_is_tried_again_waits_for_the_timing() -> None:
    launch = AloneLaunch(text=NETWORKS)
    trainings = [launch.dispatch.next() for _ in range(3)]
    fourth, *_ = [job for job in launch.needs if job not in trainings]
    launch.site.fails(trainings[0])
    launch.dispatch.ended(trainings[0], "failed", "no")
    assert launch.dispatch.next() == fourth
    for job in (*trainings[1:], fourth):
        launch.finish(str(job))
    assert launch.dispatch.next() == launch.timing
    launch.now += 600
    assert launch.dispatch.next() is None
    launch.finish(launch.timing)
    assert launch.dispatch.next() == trainings[0]


def test_it_gets_all_of_a_machine() -> None:
    here = allot(Execution(), Placement(), Machine(8, 0))
    assert (here.cpus, here.node_cpus, here.alone.threads, here.execution.threads) == (1, 8, 8, 1)
    given = allot(Execution(threads=2), Placement(), Machine(8, 0))
    assert given.alone.threads == 2
    gpu = allot(Execution(), Placement(), Machine(16, 2))
    (bundle,) = request(gpu.cpus, 0.5, {"alone": True}, node_cpus=gpu.node_cpus).bundles
    assert bundle == {"CPU": 16, "GPU": 1}
    (bundle,) = request(gpu.cpus, gpu.gpus, {}, node_cpus=gpu.node_cpus).bundles
    assert bundle == {"CPU": 4, "GPU": 1}
    # Any node of a cluster has as much.
    nodes = {str(cpus): Node(str(cpus), str(cpus), Machine(cpus, 0)) for cpus in (4, 16, 1)}
    two = Placement(resources=replace(Placement().resources, cpus=2))
    assert allot(Execution(), two, Cluster("a", nodes)).node_cpus == 4


def test_its_hours_are_those_of_the_whole_machine_and_come_after_the_others() -> None:
    allotment = Allotment(2, 0, 4, Execution(), node_cpus=8)
    jobs = {"a": Left("train", ()), "t": Left("latency", (), alone=True)}
    estimates = dict.fromkeys(jobs, Estimate(3600, 3600, 3600, "records"))
    found = costs_plain(jobs, estimates, allotment)
    assert {kind["kind"]: kind["hours"]["expected"] for kind in found["kinds"]} == {"train": 2, "latency": 8}
    assert found["wall_seconds"]["expected"] == 7200
    plan = make_plan(small(TIMED), FINGERPRINT)
    assert [left.kind for left in left_of(plan, {}).values() if left.alone] == ["latency"]


def test_table_12_times_its_four_networks_with_their_own_necks() -> None:
    plan = make_plan(load_campaign("cdnet_table12"), FINGERPRINT)
    job = timing(plan)
    assert not job.needs and isinstance(job.recipe, LatencyRecipe)
    assert replace(job.recipe, networks=()) == LatencyRecipe()
    necks = {
        entry.arm: job.recipe.networks[number].neck.name
        for entry in plan.entries
        if entry.kind == "latency"
        for _, number in entry.timed
    }
    assert necks == {"BagOfTricks": "bnneck", "OSNet": "fc", "GDAS": "embedding", "CDNet": "fblneck"}


@pytest.mark.ray
@pytest.mark.slow
def test_a_campaign_in_small_is_rehearsed_timed_tabled_and_reported(tmp_path: Path) -> None:
    arms = "arms: {a: {search: {}}, b: {genotype: cdnet-top2}}\n"
    timed = "latency: {batch: [1, 2], images: 4, passes: 3}\n"
    (tmp_path / "a.yaml").write_text(CAMPAIGN.replace("arms: {a: {search: {}}}\n", arms + timed))
    run = ("campaign", "run", "a.yaml", "--storage", "storage", "--quiet", "--set", "repeats=1")
    found = autoreid(tmp_path, *run, "--rehearse")
    assert (found["ran"], found["exit_code"]) == (4, 0)
    assert autoreid(tmp_path, *run)["reused"] == 4
    autoreid(tmp_path, "report", "storage")
    rows: list[dict[str, Any]] = read(tmp_path / "storage", "latencies").to_dict("records")  # type: ignore[assignment]
    assert [(row["arm"], row["batch"]) for row in rows] == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]
    same = {"passes": 3, "pass_images": 4, "device_kind": "cpu", "precision": "fp32"}
    for row in rows:
        assert {name: row[name] for name in same} == same
        assert len(json.loads(row["passes_seconds"])) == 3
        assert row["batch_milliseconds"] > 0 and row["peak_memory_bytes"] > 4 * row["parameters"]
    trial = read(tmp_path / "storage", "trials")
    (own,) = trial[trial["kind"] == "latency"].drop_duplicates("job").to_dict("records")
    assert own["status"] == "done" and own["attempts"] == 1
    text = (tmp_path / "storage/report/report.md").read_text()
    assert "Time at inference" in text and "3 passes of 4 images" in text
