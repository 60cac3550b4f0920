"""The outer form of a campaign file: its keys and their types. What recipes hold is read in arms.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from autoreid.errors import Problems, unknown
from autoreid.values import bounded
from tune_runs.yaml_places import Document


def _group(value: Any) -> Any:
    if value is not None and not isinstance(value, Mapping):
        raise ValueError(f"{value!r} is not a group of fields.")
    return value


def _group_or_false(value: Any) -> Any:
    if value is not False:
        _group(value)
    return value


def _group_or_switch(value: Any) -> Any:
    if value is not None and not isinstance(value, (bool, Mapping)):
        raise ValueError(f"{value!r} is neither true nor false, nor a group of fields.")
    return value


def _text(value: Any) -> Any:
    if value is not None and not isinstance(value, (str, int, float)):
        raise ValueError(f"{value!r} is not a text.")
    return None if value is None else str(value)


def _rule(value: Any) -> Any:
    return value if isinstance(value, str) or value is False else _group(value)


Group = Annotated[Any, AfterValidator(_group)]
GroupOrFalse = Annotated[Any, AfterValidator(_group_or_false)]
GroupOrSwitch = Annotated[Any, AfterValidator(_group_or_switch)]
Text = Annotated[Any, AfterValidator(_text)]
Rule = Annotated[Any, AfterValidator(_rule)]

MOST_REPEATS = 1000
LARGEST_SEED = 2**63 - 1


class ArmFile(BaseModel):
    """One arm: what is searched, or which network is trained, or from where networks are drawn, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    search: Group = None
    pretrain: Group = None
    train: GroupOrFalse = None
    genotype: Text = None
    random: Group = None
    teacher: Text = None
    searched_on: Text = None
    trained_on: Any = None
    sweep: Any = None


class CampaignFile(BaseModel):
    """A campaign file. `search`, `pretrain` and `train` hold the defaults of every arm; `data` may be missing
    where networks are pretrained alone. protocol.py reads `seeds` to `trainings`, sweep_files.py `sweep`,
    data_sets.py `data` to `trained_on`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$",
        description="Give a name of letters, digits, '.', '_' and '-': it names a folder of the storage.",
    )
    data: Any = Field(None, description="Write 'data: rendered', or 'data: {set: market1501, root: DIR}'.")
    data_sets: Group = None
    searched_on: Text = None
    trained_on: Any = None
    repeats: int = Field(4, ge=1, le=MOST_REPEATS, strict=True)
    seed: int = Field(0, ge=0, le=LARGEST_SEED, strict=True)
    seeds: Group = None
    vary: Any = None
    select: Rule = None
    trained: Any = None
    trainings: Any = None
    search: Group = None
    pretrain: Group = None
    train: GroupOrFalse = None
    evaluation: Group = None
    latency: GroupOrSwitch = None
    execution: Group = None
    baseline: Text = None
    teacher: Text = None
    arms: dict[str, ArmFile] = Field(min_length=1, description="Write at least one arm under 'arms:'.")
    grid: Group = None
    sweep: Group = None


@dataclass(frozen=True, slots=True)
class Resources:
    """What one trial gets; `auto` is one GPU where there is one, else one CPU."""

    cpus: int | Literal["auto"] = bounded("auto", 1)
    gpus: float | Literal["auto"] = bounded("auto", 0)


@dataclass(frozen=True, slots=True)
class Placement:
    """How trials are placed on a machine; `auto` runs as many at once as fit.

    A job that ends without progress is tried again at most `retries` times in a row. `reuse_processes` lets
    one process run many jobs, one after another.
    """

    max_parallel: int | Literal["auto"] = bounded("auto", 1)
    resources: Resources = Resources()
    retries: int = bounded(3, 0, 100)
    reuse_processes: bool = False


_MODELS: dict[int, type[BaseModel]] = {1: CampaignFile, 3: ArmFile}
_TYPE_WORDS = {"int": "a whole number", "string": "a text", "dict": "a group of fields", "model": "a group"}


def read_form(document: Document, problems: Problems) -> CampaignFile | None:
    """The outer form of the file, or None where it has mistakes; every mistake goes into `problems`."""
    try:
        return CampaignFile.model_validate(document.values)
    except ValidationError as error:
        for place, message in _messages(document, error):
            problems.add(place, message)
        return None


def _messages(document: Document, error: ValidationError) -> Iterator[tuple[str, str]]:
    for found in error.errors(include_url=False):
        path = tuple(map(str, found["loc"]))
        kind, given, context = found["type"], found["input"], found.get("ctx", {})
        if kind == "extra_forbidden":
            message = unknown("field", path[-1], _MODELS[len(path)].model_fields)
        elif kind == "missing" or given is None:
            message = f"missing. {_remedy(path)}".strip()
        elif kind == "value_error":
            message = str(context["error"])
        elif kind == "greater_than_equal":
            message = f"{given} is too small. Use {context['ge']} or more."
        elif kind == "less_than_equal":
            message = f"{given} is too large. Use {context['le']} or less."
        elif kind == "string_pattern_mismatch":
            message = f"{given!r} is not a name. {_remedy(path)}"
        elif kind == "too_short":
            message = f"empty. {_remedy(path)}"
        else:
            word = next((word for start, word in _TYPE_WORDS.items() if kind.startswith(start)), None)
            message = f"{given!r} is not {word}." if word else f"{given!r}: {found['msg']}."
        yield document.place(path), message


def _remedy(path: tuple[str, ...]) -> str:
    if len(path) == 1:
        return CampaignFile.model_fields[path[0]].description or "Give a value, or remove the key."
    return "Write 'search: {...}', 'genotype: NAME' or 'random: SPACE' below it."
