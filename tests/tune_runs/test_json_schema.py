"""The JSON Schema of campaigns: what is right validates, what is wrong does not, and nothing is left out."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
import yaml
from campaigns import SMALL
from many_jobs import HUNDRED

from autoreid.cli import main
from autoreid.data.source import DataSource
from autoreid.execution import Execution
from autoreid.pretrain_recipes import PretrainRecipe
from autoreid.recipes import SearchRecipe, SelectRecipe, TrainRecipe
from autoreid.values import fields_of, plain
from search_spaces.registry import SPACES
from tune_runs.beginning import first_campaign
from tune_runs.campaign import shipped_campaigns
from tune_runs.json_schema import RECIPES, campaign_schema
from tune_runs.schema import ArmFile, CampaignFile, Placement


class EditorsLoader(yaml.SafeLoader):
    """YAML 1.2 as editors read it: 1e-3 is a number."""


EditorsLoader.yaml_implicit_resolvers = {
    start: [found for found in resolvers if not found[0].endswith(":float")]
    for start, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
EditorsLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?$"),
    list("-+.0123456789"),
)


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return campaign_schema()


@pytest.fixture(scope="module")
def mistakes(schema: dict[str, Any]) -> Any:
    """The places of what is wrong in a campaign's text."""
    jsonschema.Draft7Validator.check_schema(schema)
    validator = jsonschema.Draft7Validator(schema)

    def find(text: str) -> set[str]:
        # S506: the loader is a safe one.
        values = yaml.load(text, EditorsLoader)
        return {".".join(map(str, found.absolute_path)) for found in validator.iter_errors(values)}

    return find


@pytest.mark.parametrize("name", shipped_campaigns())
def test_shipped_campaigns_are_valid(mistakes: Any, name: str) -> None:
    text = (files("tune_runs") / "campaigns" / f"{name}.yaml").read_text(encoding="utf-8")
    assert mistakes(text) == set()


def test_other_campaigns_that_are_read_are_valid(mistakes: Any) -> None:
    for text in (SMALL, HUNDRED, first_campaign("first")):
        assert mistakes(text) == set()


SETS = """\
name: one
data: rendered
data_sets:
  others: {set: rendered, seed: 1}
  third: rendered
trained_on: [rendered, others]
arms:
  a: {genotype: cnet-top1, searched_on: others, trained_on: third}
"""


@pytest.mark.parametrize(
    ("old", "new", "places"),
    [
        ("third: rendered", "a.third: rendered", {"data_sets"}),
        ("third: rendered", "third: duke", {"data_sets.third"}),
        ("seed: 1", "sed: 1", {"data_sets.others"}),
        ("[rendered, others]", "[]", {"trained_on"}),
        ("[rendered, others]", "[others, others]", {"trained_on"}),
        ("searched_on: others", "searched_on: [others]", {"arms.a.searched_on"}),
        ("trained_on: third", "trained_on: 3", {"arms.a.trained_on"}),
    ],
)
def test_several_data_sets_have_a_form(mistakes: Any, old: str, new: str, places: set[str]) -> None:
    assert mistakes(SETS) == set()
    assert mistakes(SETS.replace(old, new)) == places


VALID = {
    "data: rendered": "data: {set: market1501, root: /datasets}",
    "k: 2": "k: all",
    "epochs: 3": "optimizer.schedule.milestones: [80, 160]",
    "repeats: 1": "select: {rule: retrain, train: {epochs: 2}}",
    "baseline: a": "execution: {max_parallel: auto, resources: {gpus: 0.5}, checkpoint_minutes: 0.5}",
    "seed: 1": "seeds: {split: 1}",
    "grid:": "grid: {search.k: [1, all], 'search.epochs, train.epochs': [1, 2], l: [[1, 1, 1, 1]]}",
    "grid:\n": "sweep: {over: [lambda, k], points: 8, aims: [mAP, multiply_adds]}\n",
    "random: reid-v1}}\ngrid:": """random: reid-v1, sweep: false}, d: {search: {}, sweep: [k]}}
sweep:
  over:
    k: {values: [1, 2]}
    T0:
    lambda: {low: 0, high: 1, step: 0.25, when: {k: [1]}}
    search.alpha_optimizer.learning_rate: {low: 1e-4, high: 1e-2, log: true}
    search.epochs, train.epochs: [10, 20]
  joint: true
""",
}
FORM = """\
name: one
data: rendered
repeats: 1
seed: 1
baseline: a
search: {recipe: cdnet, k: 2}
train: {recipe: cdnet, epochs: 3}
arms: {a: {search: {space: cs-v1}}, b: {genotype: cdnet-top2, train: false}, c: {random: reid-v1}}
grid:
"""


@pytest.mark.parametrize("old", VALID)
def test_other_spellings_are_valid(mistakes: Any, old: str) -> None:
    assert old in FORM and mistakes(FORM) == set()
    assert mistakes(FORM.replace(old, VALID[old])) == set()


INVALID = {
    "name: one": ("name: one two", "name"),
    "data: rendered": ("data: market1501", "data"),
    "repeats: 1": ("repeats: 0", "repeats"),
    "seed: 1": ("sed: 1", ""),
    "baseline: a": ("vary: [training]", "vary.0"),
    "recipe: cdnet, k: 2": ("recipe: cdent", "search.recipe"),
    "k: 2": ("k: 0", "search.k"),
    "epochs: 3": ("optimizer: {schedule: {milestone: [3]}}", "train"),
    "space: cs-v1": ("space: cs-v9", "arms.a.search.space"),
    "random: reid-v1": ("random: {samples: 4}", "arms.c.random"),
    "arms: {": ("arms: {d: {serach: {}}, ", "arms.d"),
    "grid:": ("grid: {search.k: 2}", "grid.search.k"),
    "grid:\n": ("sweep: {over: {search.kk: [1]}}\n", "sweep.over"),
    "false}, c: {random: reid-v1}}\ngrid:": ("false}}\nsweep: {over: [k], aims: [loss]}", "sweep.aims.0"),
}


@pytest.mark.parametrize("old", INVALID)
def test_mistakes_are_found_where_they_are(mistakes: Any, old: str) -> None:
    new, place = INVALID[old]
    assert old in FORM and place in mistakes(FORM.replace(old, new))


def leaves(value: object, before: str = "") -> Iterator[str]:
    for name in fields_of(type(value)):
        inner = getattr(value, name)
        yield f"{before}{name}"
        if dataclasses.is_dataclass(inner):
            yield from leaves(inner, f"{before}{name}.")


def test_every_key_and_every_field_is_there_and_described(schema: dict[str, Any]) -> None:
    definitions = schema["definitions"]
    assert set(schema["properties"]) == set(CampaignFile.model_fields)
    assert set(definitions["arm"]["properties"]) == set(ArmFile.model_fields)
    for group in (schema, definitions["arm"]):
        assert all(len(form["description"]) > 10 for form in group["properties"].values())
    for kind, recipe in (
        ("search", SearchRecipe()),
        ("train", TrainRecipe()),
        ("pretrain", PretrainRecipe()),
    ):
        assert set(leaves(recipe)) < set(definitions[kind]["properties"])
    assert set(leaves(SelectRecipe())) == set(definitions["select"]["properties"]) - {
        "train.objective.lambda"
    }
    execution = set(schema["properties"]["execution"]["properties"])
    assert execution == {*leaves(Execution()), *leaves(Placement())}
    assert set(definitions["data"]["properties"]) == set(leaves(DataSource()))
    assert set(SPACES) <= set(definitions["search"]["properties"]["space"]["enum"])


def test_published_values_are_valid_and_told(schema: dict[str, Any]) -> None:
    for kind, recipes in RECIPES.items():
        validator = jsonschema.Draft7Validator(
            {**schema["definitions"][kind], "definitions": schema["definitions"]}
        )
        for recipe in recipes.values():
            assert not list(validator.iter_errors(plain(recipe)))
    epochs = schema["definitions"]["search"]["properties"]["epochs"]["description"]
    assert epochs == "In cdnet: 240; in auto-reid, kdas: 200."


def test_the_command_prints_it(schema: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["campaign", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(schema))
