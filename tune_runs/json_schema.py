"""A JSON Schema of campaign files, for editors: completion, descriptions, and mistakes as they are typed.

It is made from `CampaignFile` and the recipes: what a file may hold is said in one place. Draft 7 is what
editors of YAML know. A field's description is what the docstring of its class says of it, and its value in
the recipes that papers print. What no single field shows is told by `autoreid campaign plan` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from pydantic import BaseModel

from autoreid.data.source import CLASS_SETS, RENDERED, ClassSource, DataSource, known_sets
from autoreid.evaluate_recipes import EvaluateRecipe
from autoreid.execution import Execution
from autoreid.latency_recipes import LatencyRecipe
from autoreid.pretrain_recipes import PRETRAIN_RECIPES
from autoreid.published import SEARCH_RECIPES, SELECT_RECIPES, TRAIN_RECIPES
from autoreid.recipes import RandomSearchRecipe
from autoreid.values import fields_of
from tune_runs.arms import LONGEST_NAME
from tune_runs.data_sets import NAME as SET_NAME
from tune_runs.domains import Range
from tune_runs.forms import Examples, Schema, about, group, leaf
from tune_runs.grid import KINDS, NAMED
from tune_runs.latencies import FIELDS as LATENCY_FIELDS
from tune_runs.protocol import Protocol, Seeds
from tune_runs.resources import DEVICES
from tune_runs.schema import ArmFile, CampaignFile, Placement
from tune_runs.sweeps import AIMS, Settings

DRAFT = "http://json-schema.org/draft-07/schema#"
RECIPES: dict[str, Examples] = {
    "search": SEARCH_RECIPES,
    "pretrain": PRETRAIN_RECIPES,
    "train": TRAIN_RECIPES,
}
# What the keys of a file say.
KEYS = {
    "name": "The campaign's folder in the storage: letters, digits, '.', '_', '-'.",
    "data": "The images: 'rendered', or a group: 'set' and its fields. A relative root starts at the file.",
    "data_sets": "Further images by name, for arms that are searched or trained on them.",
    "searched_on": "The data set that arms are searched on: a name of 'data_sets', or what 'data' names.",
    "trained_on": "The data set that arms are trained on; of a list, each set is an arm.",
    "repeats": "How often every arm is run. Repeat r adds r to the seeds.",
    "seed": "The seed of the first repeat, for the split, the search and the training.",
    "seeds": "One seed for each stage, in place of 'seed'.",
    "vary": "The stages whose seed grows with the repeat.",
    "select": "How the best search of every arm is selected, by validation; false: not at all.",
    "trained": "each: every search is followed by a training. best: only what was selected is trained.",
    "trainings": "With 'trained: best', how often the selected network is trained.",
    "search": "Defaults of every search: a recipe, and any of its fields.",
    "pretrain": "Defaults of every pretraining: a recipe, any of its fields, and the data of all of them.",
    "train": "Defaults of every training: a recipe, and any of its fields; false: nothing is trained.",
    "evaluation": "How every trained network is evaluated once more, such as with re-ranking.",
    "latency": "How the networks of all arms are timed, side by side in one job; true: as CDNet's Table 12.",
    "execution": "How the jobs are run. Nothing here changes a result.",
    "baseline": "The arm that differences are taken to in reports.",
    "teacher": "What guides the jobs that distil: an arm that trains a genotype, a model.pt or its folder.",
    "arms": "What is compared, by name.",
    "grid": "Lists of values for fields such as search.k; every product is an arm.",
    "sweep": "Which fields are chosen by a study, from what, how often, and for what aim.",
}
ARM_KEYS = {
    "search": "This arm is searched: its own fields over the defaults.",
    "pretrain": "Its networks are pretrained: its own fields over the defaults.",
    "train": "Its own fields of the training over the defaults; false: it is not trained.",
    "genotype": "This arm is a given network: a published one by name, or a JSON file beside the campaign.",
    "random": "This arm draws its networks from a space: its name, or a group.",
    "teacher": KEYS["teacher"],
    "searched_on": KEYS["searched_on"],
    "trained_on": KEYS["trained_on"],
    "sweep": "The domains of the sweep that this arm has; false: it is not swept.",
}

SET_KEYS: dict[str, Schema] = {
    "searched_on": {"type": "string"},
    "trained_on": {
        "anyOf": [
            {"type": "string"},
            {"type": "array", "minItems": 1, "uniqueItems": True, "items": {"type": "string"}},
        ]
    },
}


def campaign_schema() -> Schema:
    """The schema as JSON values. Spaces and data sets of installed packages are part of it."""
    definitions = {kind: _recipe(kind) for kind in KINDS}
    definitions["data"] = _data()
    definitions["select"] = _definition("select", SELECT_RECIPES)
    definitions["random"] = _random()
    definitions["domain"] = _domain()
    definitions["arm"] = _keys(ArmFile, _arm_forms(), ARM_KEYS)
    arms = {"additionalProperties": _ref("arm"), "propertyNames": {"maxLength": LONGEST_NAME}}
    forms = {
        "data": _data_form(),
        "data_sets": {
            "type": ["object", "null"],
            "additionalProperties": _data_form(),
            "propertyNames": {"pattern": f"^{SET_NAME.pattern}$"},
        },
        **SET_KEYS,
        "seeds": group(Seeds, {}, "#/properties/seeds"),
        **{name: _leaf_of(Protocol, name) for name in ("vary", "trained", "trainings")},
        "search": _ref("search"),
        "pretrain": _ref("pretrain"),
        "train": {"anyOf": [{"const": False}, _ref("train")]},
        "select": {"anyOf": [{"enum": [*SELECT_RECIPES, False]}, _ref("select")]},
        "evaluation": group(EvaluateRecipe, {}, "#/properties/evaluation"),
        "latency": {"anyOf": [{"type": "boolean"}, _latency()]},
        "execution": _execution(),
        "baseline": {"type": "string"},
        "teacher": {"type": "string"},
        "arms": {"type": "object", "minProperties": 1, **arms},
        "grid": _grid(definitions),
        "sweep": _sweep(definitions),
    }
    top = _keys(CampaignFile, forms, KEYS)
    # Where networks are pretrained alone, there is no data of people.
    top["anyOf"] = [{"required": ["data"]}, {"required": ["pretrain"]}]
    return {"$schema": DRAFT, "title": "A campaign of autoreid", **top, "definitions": definitions}


def _data_form() -> Schema:
    """A data set: the built-in one by its name alone, or a group."""
    return {"anyOf": [{"enum": [RENDERED]}, _ref("data")]}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/definitions/{name}"}


def _definition(name: str, examples: Examples) -> Schema:
    return group(type(next(iter(examples.values()))), examples, f"#/definitions/{name}")


def _leaf_of(kind: type[Any], name: str) -> Schema:
    inner, field = fields_of(kind)[name]
    return leaf(kind, name, field, inner, {})


def _keys(model: type[BaseModel], forms: Mapping[str, Schema], words: Mapping[str, str]) -> Schema:
    """The keys of a group of the file, in their order; those without a form have that of their type."""
    types = model.model_json_schema()["properties"]
    properties = {}
    for name in model.model_fields:
        form = forms.get(name) or {key: value for key, value in types[name].items() if key != "title"}
        # Draft 7 reads nothing beside a reference.
        form = {"allOf": [form]} if "$ref" in form else form
        properties[name] = {**form, "description": words[name]}
    required = [name for name, field in model.model_fields.items() if field.is_required()]
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _recipe(kind: str) -> Schema:
    """A search, a pretraining or a training: a recipe by name, and fields over it."""
    form = _definition(kind, RECIPES[kind])
    properties = form["properties"]
    properties["recipe"] = {"enum": sorted(RECIPES[kind]), "description": "The recipe that it begins with."}
    if "space" in properties:
        properties["space"] |= {"enum": _spaces()}
    if kind == "pretrain":
        classes = group(ClassSource, {}, f"#/definitions/{kind}/properties/data")
        classes["properties"]["set"]["enum"] = list(CLASS_SETS)
        properties["data"] = classes
    return form


def _data() -> Schema:
    form = group(DataSource, {}, "#/definitions/data")
    form["properties"]["set"]["enum"] = known_sets()
    form["type"] = "object"
    return form


def _random() -> Schema:
    """From where an arm draws its networks; the budget of a random search is that of the file's search."""
    form = group(RandomSearchRecipe, {}, "#/definitions/random")
    own = {name: value for name, value in form["properties"].items() if name.partition(".")[0] != "budget"}
    own["space"] |= {"enum": _spaces()}
    own["budget"] = {"enum": ["search"], "description": "A random search at the budget of 'search:'."}
    return {**form, "properties": own, "required": ["space"]}


def _spaces() -> list[str]:
    from search_spaces.registry import GROUP, SPACES  # deferred: loads torch

    return sorted({*SPACES, *(entry.name for entry in entry_points(group=GROUP))})


def _arm_forms() -> dict[str, Schema]:
    from search_spaces.published import PUBLISHED  # deferred: loads torch

    return {
        "search": _ref("search"),
        "pretrain": _ref("pretrain"),
        "train": {"anyOf": [{"const": False}, _ref("train")]},
        "genotype": {"type": "string", "examples": sorted(PUBLISHED)},
        "random": {"anyOf": [{"enum": _spaces()}, _ref("random")]},
        "teacher": {"type": "string"},
        **SET_KEYS,
        "sweep": {"anyOf": [{"const": False}, {"type": "array", "items": {"type": "string"}}]},
    }


def _execution() -> Schema:
    parts = [group(kind, {}, "#/properties/execution") for kind in (Execution, Placement)]
    form = parts[0] | {"properties": parts[0]["properties"] | parts[1]["properties"]}
    form["properties"]["device"]["enum"] = list(DEVICES)
    return form


def _latency() -> Schema:
    """How networks are timed; which ones is for the arms to say."""
    own = {name: _leaf_of(LatencyRecipe, name) for name in LATENCY_FIELDS}
    own["batch"] |= {"type": ["array", "integer"], "minimum": 1}
    words = about(LatencyRecipe)
    return {"type": "object", "description": words, "properties": own, "additionalProperties": False}


def _axes(definitions: Mapping[str, Schema]) -> dict[str, Schema]:
    """The fields of the recipes by what a grid and a sweep call them, each with its form."""
    fields = {
        f"{kind}.{name}": _ref(f"{kind}/properties/{name}")
        for kind in KINDS
        for name, form in definitions[kind]["properties"].items()
        if "properties" not in form and name.partition(".")[0] != "data"
    }
    return {name: fields[known[0]] for name, known in NAMED.items()} | fields


def _grid(definitions: Mapping[str, Schema]) -> Schema:
    """Lists of values for fields of the recipes; a key may name several fields, with commas."""
    lists: Schema = {"type": "array", "minItems": 1, "uniqueItems": True}
    axes = {name: lists | {"items": form} for name, form in _axes(definitions).items()}
    return {
        "type": ["object", "null"],
        "properties": axes | {kind: {"type": "object"} for kind in KINDS},
        "patternProperties": {",": lists},
        "additionalProperties": False,
    }


def _domain() -> Schema:
    """What a sweep chooses from: a list, a range, or nothing where a name has its own."""
    values: Schema = {"type": "array", "minItems": 1, "uniqueItems": True}
    when = {"type": "object", "description": "Only where the domains of these names took one of the values."}
    form = group(Range, {}, "#/definitions/domain")
    own = {name: form["properties"][name] for name in ("low", "high", "step", "log")}
    # No number stands for one that was not given.
    own |= {name: {key: own[name][key] for key in own[name] if key != "default"} for name in ("low", "high")}
    return {"anyOf": [values, form | {"properties": own | {"values": values, "when": when}}]}


def _sweep(definitions: Mapping[str, Schema]) -> Schema:
    form = group(Settings, {}, "#/properties/sweep")
    form["properties"]["aims"]["items"] = {"enum": list(AIMS)}
    axes = dict.fromkeys(_axes(definitions), _ref("domain"))
    domains = {
        "type": "object",
        "properties": axes,
        "patternProperties": {",": _ref("domain")},
        "additionalProperties": False,
    }
    names = {"type": "array", "minItems": 1, "items": {"type": "string"}}
    over = {
        "anyOf": [names, domains],
        "description": "The domains: names or fields, and what is chosen from.",
    }
    return form | {"properties": form["properties"] | {"over": over}, "required": ["over"]}
