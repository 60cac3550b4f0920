"""Job identity: everything that changes a result changes the id, and nothing else does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import is_dataclass, replace
from typing import Any

import pytest

import autoreid.jobs
from autoreid.errors import InputError
from autoreid.jobs import Job, search_job, train_job
from autoreid.recipes import CDNET_SEARCH, CDNET_TRAIN
from autoreid.values import fields_of, override, plain
from search_spaces.published import PUBLISHED

DATA = "0" * 64
SEARCH = search_job(CDNET_SEARCH, DATA, split_seed=0, search_seed=0)
TRAIN = train_job(CDNET_TRAIN, DATA, PUBLISHED["cdnet-top2"], train_seed=0)


def leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf field of a recipe as (dotted name, plain value)."""
    for name in fields_of(type(value)):
        item = getattr(value, name)
        if is_dataclass(item):
            yield from leaves(item, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", plain(item)


def another(name: str, value: object) -> object:
    words = {
        "cosine": "constant",
        "steps": "constant",
        "sgd": "adam",
        "adam": "sgd",
        "fblneck": "bnneck",
        "blneck": "bnneck",
        "per-identity": "by-image",
        "top-k": "softmax",
        "fp32": "bf16",
        "cds-v1": "cs-v1",
    }
    if isinstance(value, str):
        return words[value]
    if isinstance(value, list):
        return [7]
    if isinstance(value, int):
        return value + 1
    assert isinstance(value, float)
    return value / 2 if value else 0.125


@pytest.mark.parametrize("job", [SEARCH, TRAIN])
def test_every_field_of_a_recipe_enters_the_id(job: Job) -> None:
    ids = {job.id}
    fields = list(leaves(job.recipe))
    for name, value in fields:
        ids.add(replace(job, recipe=override(job.recipe, {name: another(name, value)})).id)
    assert len(ids) == 1 + len(fields)


def test_data_seeds_inputs_and_revision_enter_the_id(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = {
        SEARCH.id,
        replace(SEARCH, data="1" * 64).id,
        search_job(CDNET_SEARCH, DATA, split_seed=1, search_seed=0).id,
        search_job(CDNET_SEARCH, DATA, split_seed=0, search_seed=1).id,
        TRAIN.id,
        train_job(CDNET_TRAIN, DATA, PUBLISHED["cdnet-top1"], train_seed=0).id,
        train_job(CDNET_TRAIN, DATA, SEARCH.id, train_seed=0).id,
    }
    monkeypatch.setattr(autoreid.jobs, "ENGINE_REVISION", 10**6)
    ids.add(SEARCH.id)
    assert len(ids) == 8


# Ids of this engine revision. They may change only together with ENGINE_REVISION.
GOLDEN = {"search": "fd380d587aa09c0f961fdd9fa3b184f2", "train": "ef7d5bed76ea5f0eeb021df23b5adb89"}


def test_golden_ids() -> None:
    assert {"search": SEARCH.id, "train": TRAIN.id} == GOLDEN


@pytest.mark.parametrize("job", [SEARCH, TRAIN, train_job(CDNET_TRAIN, DATA, SEARCH.id, train_seed=3)])
def test_jobs_round_trip_through_json(job: Job) -> None:
    assert Job.from_plain(json.loads(json.dumps(job.plain()))) == job


def test_a_training_needs_its_search() -> None:
    assert train_job(CDNET_TRAIN, DATA, SEARCH.id, train_seed=0).needs == (SEARCH.id,)
    assert TRAIN.needs == SEARCH.needs == ()


def test_an_altered_job_is_refused() -> None:
    altered = SEARCH.plain()
    altered["recipe"]["epochs"] = 3
    with pytest.raises(InputError, match="It was altered"):
        Job.from_plain(altered, "manifest.json")


def test_something_else_is_no_job() -> None:
    with pytest.raises(InputError, match="not a job of this release"):
        Job.from_plain({"kind": "dance"}, "manifest.json")


def test_spellings_of_one_value_are_one_job() -> None:
    whole = replace(CDNET_TRAIN, width_multiplier=1)  # type: ignore[arg-type]
    job = train_job(whole, DATA, PUBLISHED["cdnet-top2"], train_seed=0)
    assert job.id == TRAIN.id
    assert Job.from_plain(job.plain()) == job


def test_a_recipe_out_of_bounds_is_refused_from_python_too() -> None:
    with pytest.raises(InputError, match=r"recipe\.epochs: -3 is too small"):
        search_job(replace(CDNET_SEARCH, epochs=-3), DATA, split_seed=0, search_seed=0)
