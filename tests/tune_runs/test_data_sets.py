"""Campaigns over several data sets: which job is of which set, and what is wrong with a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from campaigns import FINGERPRINT

from autoreid.cli import main
from autoreid.jobs import RANDOM_PIXELS, Job
from autoreid.storage import Storage
from tune_runs.campaign import Campaign, read_campaign
from tune_runs.manifest import save_manifest
from tune_runs.overview import plan_plain
from tune_runs.plan_words import plan_text
from tune_runs.planning import Plan, make_plan

OTHER, THIRD = "e" * 64, "d" * 64
SIZE = "height: 64, width: 32, width_multiplier: 0.25, batch: {identities: 4, images: 2}"
HEAD = f"""\
name: sets
data: {{set: rendered, identities: 16, cameras: 3, images: 2, height: 64, width: 32}}
data_sets:
  others: {{set: rendered, identities: 12, cameras: 3, images: 2, seed: 5, height: 64, width: 32}}
  third: {{set: rendered, identities: 12, cameras: 3, images: 2, seed: 6, height: 64, width: 32}}
repeats: 2
search: {{recipe: cdnet, epochs: 2, {SIZE}}}
train: {{recipe: cdnet, epochs: 2, {SIZE}}}
"""
TEXT = (
    HEAD
    + """\
select: supernet
evaluation: {rerank: true}
baseline: given
arms:
  given: {genotype: cnet-top1, trained_on: [rendered, others]}
  found: {search: {space: cs-v1}, trained_on: [rendered, others]}
  elsewhere: {search: {space: cs-v1}, searched_on: others}
  drawn: {random: cs-v1, trained_on: third}
  searched at random:
    random: {space: cs-v1, budget: search, samples: 2}
    searched_on: others
    trained_on: third
"""
)
DISTIL = "objective: &o {distillation: 1, temperature.name: constant}"
TAUGHT = (
    HEAD.replace(
        "search: {recipe: cdnet, ", f"search: {{recipe: cdnet, {DISTIL}, alpha_objective: *o, "
    ).replace("train: {recipe: cdnet, ", "train: {recipe: cdnet, objective: *o, ")
    + """\
teacher: guide
arms:
  guide: {genotype: resnet18, train: {width_multiplier: 1, objective: {distillation: 0}}}
  found: {search: {space: cs-v1}, trained_on: [rendered, others]}
  elsewhere: {search: {space: cs-v1}, searched_on: third}
"""
)


def read(text: str = TEXT, *settings: str) -> Campaign:
    return read_campaign(text, "c.yaml", None, settings)


def planned(campaign: Campaign) -> Plan:
    return make_plan(campaign, FINGERPRINT, others={"others": OTHER, "third": THIRD})


def jobs_of(plan: Plan, arm: str, kind: str) -> list[Job]:
    return [plan.jobs[entry.job] for entry in plan.entries if (entry.arm, entry.kind) == (arm, kind)]


def test_a_list_of_sets_is_an_arm_each() -> None:
    on = {arm.name: (arm.stem, arm.searched_on, arm.trained_on) for arm in read().arms}
    assert on == {
        "given, rendered": ("given", None, "rendered"),
        "given, others": ("given", None, "others"),
        "found, rendered": ("found", "rendered", "rendered"),
        "found, others": ("found", "rendered", "others"),
        "elsewhere": ("elsewhere", "others", "rendered"),
        "drawn": ("drawn", None, "third"),
        "searched at random": ("searched at random", "others", "third"),
    }


def test_searches_and_their_selection_are_shared_and_trainings_are_of_their_own_set() -> None:
    plan = planned(read())
    for kind in ("search", "select"):
        here, there = (jobs_of(plan, f"found, {name}", kind) for name in ("rendered", "others"))
        assert here == there and {job.data for job in here} == {FINGERPRINT}
    mine, theirs = (jobs_of(plan, f"found, {name}", "train") for name in ("rendered", "others"))
    assert [job.genotype for job in mine] == [job.genotype for job in theirs]
    assert ({job.data for job in mine}, {job.data for job in theirs}) == ({FINGERPRINT}, {OTHER})
    assert {job.data for job in jobs_of(plan, "elsewhere", "search")} == {OTHER}
    assert {job.data for job in jobs_of(plan, "elsewhere", "select")} == {OTHER}
    assert {job.data for job in jobs_of(plan, "elsewhere", "train")} == {FINGERPRINT}
    assert {job.data for job in jobs_of(plan, "drawn", "train")} == {THIRD}
    assert {job.data for job in jobs_of(plan, "searched at random", "random-search")} == {OTHER}
    assert {job.data for job in jobs_of(plan, "searched at random", "train")} == {THIRD}
    for job in plan.jobs.values():
        if job.kind == "evaluate":
            assert job.training is not None and job.data == plan.jobs[job.training].data
    assert set(plan.sources) - {RANDOM_PIXELS} == {FINGERPRINT, OTHER, THIRD}
    assert plan.sources[OTHER].plain()["seed"] == 5


def test_of_what_validation_selects_each_set_trains_its_own() -> None:
    plan = planned(read(TEXT, "trained=best", "trainings=3"))
    (selected,) = jobs_of(plan, "found, others", "select")
    trained = jobs_of(plan, "found, others", "train")
    assert [job.genotype for job in trained] == [selected.id] * 3
    assert {job.data for job in trained} == {OTHER}


def test_the_ids_on_the_default_set_are_those_of_a_campaign_without_others() -> None:
    alone = TEXT.split("data_sets:")[0] + TEXT[TEXT.index("repeats:") :].split("arms:")[0]
    alone += "arms: {given: {genotype: cnet-top1}, found: {search: {space: cs-v1}}}\n"
    before = make_plan(read(alone), FINGERPRINT).jobs
    after = planned(read()).jobs
    assert before.items() <= after.items()
    assert {job.data for job_id, job in after.items() if job_id not in before} == {FINGERPRINT, OTHER, THIRD}


def test_a_teacher_is_trained_on_every_set_on_which_others_learn_from_it() -> None:
    plan = planned(read(TAUGHT))
    guides = {name: jobs_of(plan, f"guide, {name}", "train")[0] for name in ("rendered", "others", "third")}
    assert [guide.data for guide in guides.values()] == [FINGERPRINT, OTHER, THIRD]
    names = {FINGERPRINT: "rendered", OTHER: "others", THIRD: "third"}
    taught = [job for job in plan.jobs.values() if job not in guides.values()]
    assert taught and all(job.teacher == guides[names[job.data]].id for job in taught)
    text = plan_text(plan_plain(plan, None, None))
    assert "taught by guide, which is trained once on each data set: found, elsewhere" in text


def test_a_teacher_of_one_set_keeps_its_name_and_is_not_trained_where_nobody_learns() -> None:
    own = "{search: {space: cs-v1}, train: {objective: {distillation: 0}}, trained_on: [rendered, others]}"
    text = TAUGHT.replace("{search: {space: cs-v1}, trained_on: [rendered, others]}", own)
    campaign = read(text.replace("searched_on: third", "searched_on: rendered"))
    assert [arm.name for arm in campaign.teachers] == ["guide"]
    asked = read(text.replace("distillation: 0}}}", "distillation: 0}}, trained_on: [others]}", 1))
    assert [arm.trained_on for arm in asked.teachers] == ["rendered", "others", "third"]


def test_defaults_of_the_file_are_for_arms_that_name_no_set() -> None:
    text = HEAD + "trained_on: [others, third]\nsearched_on: third\narms:\n  a: {search: {space: cs-v1}}\n"
    text += "  b: {genotype: cnet-top1, trained_on: rendered}\n"
    on = {arm.name: (arm.searched_on, arm.trained_on) for arm in read(text).arms}
    assert on == {"a, others": ("third", "others"), "a, third": ("third", "third"), "b": (None, "rendered")}
    assert [arm.trained_on for arm in read(text, "trained_on=rendered").arms] == ["rendered", "rendered"]


def test_a_set_that_no_arm_names_is_not_part_of_the_campaign() -> None:
    campaign = read(HEAD + "arms: {a: {genotype: cnet-top1, trained_on: others}}\n")
    assert list(campaign.sets) == ["rendered", "others"]


def test_the_axes_of_a_grid_are_crossed_with_the_sets() -> None:
    text = HEAD + "baseline: a, k=2\ngrid: {search.k: [1, 2]}\ntrained_on: [rendered, others]\n"
    campaign = read(text + "arms: {a: {search: {space: cs-v1}}}\n")
    assert [arm.name for arm in campaign.arms] == [
        f"a, k={k}, {name}" for k in (1, 2) for name in ("rendered", "others")
    ]
    assert campaign.baselines == {"rendered": "a, k=2, rendered", "others": "a, k=2, others"}


def test_the_points_of_a_sweep_are_on_the_set_of_their_arm() -> None:
    text = HEAD + "sweep: {points: 2, repeats: 1, over: {k: [1, 2]}}\n"
    campaign = read(text + "arms: {a: {search: {space: cs-v1}, searched_on: others, trained_on: third}}\n")
    from tune_runs.foresight import foreseen

    plan = foreseen(planned(campaign))
    data = {(job.kind, job.data) for job in plan.jobs.values()}
    assert data == {("search", OTHER), ("select", OTHER), ("train", THIRD)}


def test_a_manifest_holds_every_set_and_the_baseline_on_each(tmp_path: Path) -> None:
    storage, plan = Storage(tmp_path), planned(read())
    save_manifest(storage, plan)
    manifest = storage.read_manifest("sets")
    assert manifest["data_fingerprint"] == FINGERPRINT
    assert manifest["data_fingerprints"] == {"rendered": FINGERPRINT, "others": OTHER, "third": THIRD}
    assert {name: given["seed"] for name, given in manifest["data_sets"].items()} == {
        "rendered": 0,
        "others": 5,
        "third": 6,
    }
    assert manifest["baselines"] == {"rendered": "given, rendered", "others": "given, others"}
    single = make_plan(read(HEAD + "arms: {a: {genotype: cnet-top1}}\n"), FINGERPRINT)
    save_manifest(Storage(tmp_path / "single"), single)
    assert (
        not {"data_sets", "data_fingerprints", "baselines"}
        & Storage(tmp_path / "single").read_manifest("sets").keys()
    )


def test_a_set_whose_images_have_changed_changes_its_own_jobs_alone() -> None:
    before, after = (
        planned(read()),
        make_plan(read(), FINGERPRINT, others={"others": "c" * 64, "third": THIRD}),
    )
    gone = [job for job_id, job in before.jobs.items() if job_id not in after.jobs]
    kept = [job for job_id, job in before.jobs.items() if job_id in after.jobs]
    assert {job.data for job in gone} >= {OTHER} and OTHER not in {job.data for job in kept}
    assert all(
        job.kind in ("train", "evaluate") for job in gone if job.data != OTHER
    )  # of what was found there


def test_a_plan_says_what_runs_on_which_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sets.yaml"
    path.write_text(TEXT)
    assert main(["campaign", "plan", str(path), "--jobs", "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert [given["name"] for given in plain["data_sets"]] == ["rendered", "others", "third"]
    assert len({given["fingerprint"] for given in plain["data_sets"]}) == 3
    on = {(job["arm"], job["kind"]): job["data_set"] for job in plain["job_list"]}
    assert on["found, others", "search"] == "rendered" and on["found, others", "train"] == "others"
    assert plain["comparison"]["arms"] == 3 and plain["comparison"]["baseline"] == "given"
    assert main(["campaign", "plan", str(path)]) == 0
    text = capsys.readouterr().out
    assert "  others: set=rendered identities=12 cameras=3 images=2 seed=5" in text
    assert "searched on" in text and "trained on" in text
