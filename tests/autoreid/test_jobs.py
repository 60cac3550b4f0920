"""Job identity: everything that changes a result changes the id, and nothing else does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import is_dataclass, replace
from typing import Any

import pytest

import autoreid.jobs
from autoreid.errors import InputError
from autoreid.jobs import Job, search_job, select_job, train_job
from autoreid.published import CDNET_SEARCH, CDNET_TRAIN, SELECT_RECIPES
from autoreid.recipes import recipe_problems
from autoreid.values import fields_of, override, plain
from search_spaces.published import PUBLISHED

DATA = "0" * 64
SEARCH = search_job(CDNET_SEARCH, DATA, split_seed=0, search_seed=0)
TRAIN = train_job(CDNET_TRAIN, DATA, PUBLISHED["cdnet-top2"], train_seed=0)
SELECT = select_job(SELECT_RECIPES["supernet"], DATA, ["a" * 32, "b" * 32])
RETRAIN = select_job(SELECT_RECIPES["retrain"], DATA, ["a" * 32, "b" * 32], split_seed=1, train_seed=2)


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
        "constant": "steps",
        "sgd": "adam",
        "adam": "sgd",
        "fblneck": "bnneck",
        "blneck": "bnneck",
        "per-identity": "by-image",
        "top-k": "softmax",
        "fp32": "bf16",
        "cds-v1": "cs-v1",
        "supernet": "retrain",
        "retrain": "supernet",
        "f": "g",
        "": "imagenet",
        "never": "eigenvalue",
        "linear": "constant",
        "relative": "squared",
    }
    if isinstance(value, str):
        return words[value]
    if isinstance(value, list):
        return [7]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    assert isinstance(value, float)
    return value / 2 if value else 0.125


@pytest.mark.parametrize("job", [SEARCH, TRAIN, SELECT, RETRAIN])
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


FROM_SEARCH = train_job(CDNET_TRAIN, DATA, SEARCH.id, train_seed=3)


@pytest.mark.parametrize("job", [SEARCH, TRAIN, FROM_SEARCH, SELECT, RETRAIN])
def test_jobs_round_trip_through_json(job: Job) -> None:
    assert Job.from_plain(json.loads(json.dumps(job.plain()))) == job


def test_a_training_needs_its_search() -> None:
    assert train_job(CDNET_TRAIN, DATA, SEARCH.id, train_seed=0).needs == (SEARCH.id,)
    assert TRAIN.needs == SEARCH.needs == ()


def test_a_selection_needs_its_searches_in_their_order() -> None:
    assert SELECT.needs == ("a" * 32, "b" * 32)
    assert select_job(SELECT_RECIPES["supernet"], DATA, SELECT.needs[::-1]).id != SELECT.id
    assert train_job(CDNET_TRAIN, DATA, SELECT.id, train_seed=0).needs == (SELECT.id,)
    for searches in ([], ["a", "a"]):
        with pytest.raises(InputError, match="Give each search once"):
            select_job(SELECT_RECIPES["supernet"], DATA, searches)


def test_seeds_enter_a_selection_only_where_it_trains() -> None:
    assert select_job(SELECT_RECIPES["supernet"], DATA, SELECT.needs, split_seed=7, train_seed=8) == SELECT
    assert RETRAIN.seeds == (("split", 1), ("train", 2))
    others = ({"split_seed": 1, "train_seed": 3}, {"split_seed": 3, "train_seed": 2})
    ids = {select_job(SELECT_RECIPES["retrain"], DATA, SELECT.needs, **seeds).id for seeds in others}
    assert len(ids | {RETRAIN.id}) == 3


def test_jobs_say_their_images_and_epochs() -> None:
    assert (SEARCH.size, SEARCH.epochs, TRAIN.epochs) == ((256, 128), 240, 350)
    assert (SELECT.size, SELECT.epochs) == (None, 2)
    assert (RETRAIN.size, RETRAIN.epochs) == ((256, 128), 2 * 35)


def test_what_a_selection_would_not_use_is_a_mistake() -> None:
    recipe = override(SELECT_RECIPES["supernet"], {"fraction": 0.2, "train.epochs": 3})
    assert [name for name, _ in recipe_problems(recipe)] == ["fraction", "train"]
    assert not list(recipe_problems(SELECT_RECIPES["supernet"]))
    silent = {"train.objective.cross_entropy": 0, "train.objective.triplet": 0}
    (problem,) = recipe_problems(override(SELECT_RECIPES["retrain"], silent))
    assert problem[0] == "train.objective"


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
