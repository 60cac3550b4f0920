"""The ids of a dozen and more jobs are written down: work that is done keeps its id, or is said to be new."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from golden_jobs import ALL_OF_SEARCH, ALL_OF_TRAIN, DATA, REMEDY, golden_ids, golden_jobs, id_problems

import autoreid.jobs
from autoreid.evaluate_recipes import EvaluateRecipe
from autoreid.jobs import Job
from autoreid.latency_recipes import LatencyRecipe
from autoreid.pretrain_recipes import CDNET_PRETRAIN
from autoreid.published import CDNET_SEARCH, CDNET_TRAIN, SELECT_RECIPES, TRAIN_RECIPES
from autoreid.recipes import RandomSearchRecipe
from autoreid.values import bounded, fields_of, override, plain
from search_spaces.published import PUBLISHED

WRITTEN = json.loads((Path(__file__).parent / "job_ids.json").read_text())


def test_ids_are_those_that_are_written_down() -> None:
    problems = id_problems(WRITTEN, golden_ids())
    assert not problems, "\n".join(problems)


def test_they_cover_every_kind_recipe_field_and_input() -> None:
    jobs = dict(golden_jobs())
    assert {job.kind for job in jobs.values()} == set(autoreid.jobs.RECIPES)
    networks = {("genotype",), ("job",)}
    pretrained = {(*network, "pretraining") for network in networks}
    taught = {("teacher",), ("jobs", "teacher"), ("genotype", "teacher")}
    others = {(), ("jobs",), ("training",), ("networks",)}
    assert {tuple(job.inputs) for job in jobs.values()} == {*others, *networks, *pretrained, *taught}
    assert len({job.id for job in jobs.values()}) == len(jobs) >= 12
    for name, published in (
        ("search", CDNET_SEARCH),
        ("train", CDNET_TRAIN),
        ("pretrain", CDNET_PRETRAIN),
        ("select", SELECT_RECIPES["retrain"]),
        ("random-search", RandomSearchRecipe(train=TRAIN_RECIPES["cdnet"])),
        ("evaluate", EvaluateRecipe()),
        ("latency", LatencyRecipe()),
    ):
        several = [
            jobs[given].recipe for given in (f"{name}, every field", f"{name}, falling") if given in jobs
        ]
        before, *changed = (flat(plain(recipe)) for recipe in (published, *several))
        same = {field for field in before if all(one[field] == before[field] for one in changed)}
        assert same <= {"rule"}, "give these another value in golden_jobs.py"


def flat(group: Any, prefix: str = "") -> dict[str, Any]:
    found = {}
    for name, item in group.items():
        found |= flat(item, f"{prefix}{name}.") if isinstance(item, dict) else {f"{prefix}{name}": item}
    return found


def test_a_raised_revision_is_noticed_for_every_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autoreid.jobs, "ENGINE_REVISION", 10**6)
    problems = id_problems(WRITTEN, golden_ids())
    assert len(problems) == len(WRITTEN["ids"]) + 1 and problems[-1] == REMEDY


def test_a_changed_recipe_is_noticed_for_its_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRAIN_RECIPES, "cdnet", override(CDNET_TRAIN, {"optimizer.momentum": 0.8}))
    problem, remedy = id_problems(WRITTEN, golden_ids())
    assert problem.startswith(f"train cdnet: {WRITTEN['ids']['train cdnet']} is now ") and remedy == REMEDY


def test_a_new_recipe_is_to_be_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRAIN_RECIPES, "other", override(CDNET_TRAIN, {"epochs": 3}))
    assert id_problems(WRITTEN, golden_ids())[0].startswith("train other: not written down is now ")


@pytest.mark.parametrize("added", [True, False])
def test_a_new_field_is_noticed_unless_it_is_marked(added: bool) -> None:
    field = bounded(3, added=added)
    grown: Any = dataclasses.make_dataclass(
        "Grown", [("depth", int, field)], bases=(type(CDNET_TRAIN),), frozen=True
    )
    recipe = grown(**{name: getattr(CDNET_TRAIN, name) for name in fields_of(type(CDNET_TRAIN))})
    job = Job("train", recipe, DATA, (("train", 0),), PUBLISHED["cdnet-top2"])
    assert (job.id == WRITTEN["ids"]["train cdnet"]) is added
    deeper = dataclasses.replace(recipe, depth=4)
    assert dataclasses.replace(job, recipe=deeper).id != WRITTEN["ids"]["train cdnet"]


def test_the_changed_fields_are_valid() -> None:
    assert override(CDNET_SEARCH, ALL_OF_SEARCH).k == "all"
    assert override(CDNET_TRAIN, ALL_OF_TRAIN).optimizer.schedule.milestones == (3, 5)
