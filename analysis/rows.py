"""The rows of the tables: one planned job beside what the storage holds of it, as plain values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from analysis.jobs import Seen, part
from autoreid.columns import Column
from autoreid.records import TABLES, fit

Row = dict[str, Any]

# Kinds of jobs that find a genotype among many.
SEARCHES = ("search", "random-search")

# What the protocols of older records leave out.
UNSAID = {"flip": False}

PYTHON_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "int64": int,
    "float64": (int, float),
    "bool": bool,
}


@dataclass(frozen=True, slots=True)
class Choice:
    """What the selection of an arm says: what each search scored, and the search that it chose, once done."""

    job: str
    scores: Mapping[str, Any]
    search: str | None

    @classmethod
    def read(cls, job: str, result: Mapping[str, Any]) -> Choice:
        """Of the result of a select job, which is empty before it is done."""
        scores = result.get("scores")
        known = [one for one in scores if isinstance(one, Mapping)] if isinstance(scores, list) else []
        search = result.get("search")
        return cls(
            job,
            {str(one.get("search")): one.get("mAP") for one in known},
            search if isinstance(search, str) else None,
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """One planned job of a campaign beside what the storage holds of it.

    `search` describes the search whose genotype a training takes, and `search_job` is its id; `choice` is the
    selection of the arm, if it has one; `sampled` is the seed from which the architecture of a training was
    drawn, if it was; `teacher` is what guides the job, in words; `evaluated` is what the evaluation of a
    training gave, if it has one of its own; `search_data_set` is the name of the data of `search`;
    `timed` are the arm's networks in a job that times them: their repeats, and their numbers there.
    """

    keys: Row
    job: Mapping[str, Any]
    seen: Seen
    search: Mapping[str, Any]
    search_job: str | None = None
    choice: Choice | None = None
    sampled: int | None = None
    teacher: str | None = None
    evaluated: Mapping[str, Any] = field(default_factory=dict)
    search_data_set: str | None = None
    timed: tuple[tuple[int, int], ...] = ()

    @property
    def found_by(self) -> str | None:
        """How the genotype of a search or training is found."""
        kind = self.keys["kind"]
        if kind != "train":
            return kind if kind in SEARCHES else None
        if not part(part(self.job, "inputs"), "genotype"):
            return "random-search" if self.search.get("kind") == "random-search" else "search"
        return "given" if self.sampled is None else "random-sampling"

    def selected(self, search: str | None) -> bool | None:
        """Whether a search is the one that was selected; None where nothing was, or not yet."""
        chosen = self.choice.search if self.choice else None
        return None if chosen is None else search == chosen

    @property
    def place(self) -> str:
        """The job in a warning; repeats are counted from 1 there, as people do."""
        campaign, arm, repeat, kind = (self.keys[name] for name in ("campaign", "arm", "repeat", "kind"))
        number = repeat + 1 if isinstance(repeat, int) else repeat
        return f"{campaign}: {arm}, repeat {number}, {kind}"


def _mistake(column: Column, value: Any) -> str | None:
    if value is None:
        return None if column.nullable else "is missing"
    wrong = isinstance(value, bool) and column.kind != "bool"
    if wrong or not isinstance(value, PYTHON_TYPES[column.kind]):
        return f"holds {value!r:.60}, which is not {column.kind}"
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "holds a number of more than 64 bits"
    return None


def checked(row: Row, table: str, place: str, warnings: list[str]) -> Row | None:
    """The row as the table's columns ask for it; None where a column that is never empty cannot be filled."""
    result = fit(row, TABLES[table])
    for column in TABLES[table]:
        value = result[column.name]
        mistake = _mistake(column, value)
        if mistake is None:
            if column.kind == "float64" and value is not None:
                result[column.name] = float(value)
            continue
        if not column.nullable:
            warnings.append(f"{place}: no row in {table}: {column.name} {mistake}.")
            return None
        warnings.append(f"{place}: {column.name} {mistake}; left empty in {table}.")
        result[column.name] = None
    return result


def compact(item: Any) -> str:
    """JSON with sorted keys and no spaces."""
    return json.dumps(item, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _seeds(job: Mapping[str, Any]) -> Row:
    return {f"seed_{name}": value for name, value in part(job, "seeds").items()}


def trial_rows(entry: Entry) -> list[Row]:
    """One row, whatever became of the job; what nothing describes is "" or 0, and was warned about."""
    seen, job = entry.seen, entry.job
    return [
        {
            **{name: value for name, value in seen.facts.items() if name != "wall_seconds"},
            **entry.keys,
            **_seeds(job),
            "status": seen.status,
            "recipe": job.get("recipe_digest") or "",
            "recipe_json": compact(recipe) if (recipe := part(job, "recipe")) else None,
            "data_fingerprint": job.get("data") or "",
            "engine_revision": job.get("engine_revision") or 0,
            "inputs": compact(part(job, "inputs")),
            "found_by": entry.found_by,
            "teacher": entry.teacher,
            "attempts": seen.attempts,
            "epochs": seen.epoch_count,
            "wall_seconds": seen.facts.get("wall_seconds") if seen.done else None,
            "started": seen.facts.get("started") if seen.done else None,
            "failed_seconds": seen.seconds("failed"),
            "interrupted_seconds": seen.seconds("interrupted"),
            "error": seen.error,
        }
    ]


def genotype_rows(entry: Entry) -> list[Row]:
    """One row for a finished search, and for a finished training of what no search found."""
    searched = entry.keys["kind"] in SEARCHES
    if not (entry.seen.done and (searched or entry.found_by in ("given", "random-sampling"))):
        return []
    result = entry.seen.result
    genotype = part(result, "genotype")
    found = {
        "genotype": result.get("genotype_digest"),
        "space": genotype.get("space"),
        "choices": compact(part(genotype, "choices")),
        "found_by": entry.found_by,
        "teacher": entry.teacher if searched else None,
    }
    if entry.keys["kind"] == "search":
        found["validation_mAP"] = entry.choice.scores.get(entry.keys["job"]) if entry.choice else None
        found["selected"] = entry.selected(entry.keys["job"])
    if not searched:
        return [{**entry.keys, "seed_search": entry.sampled, **found}]
    return [{**result, **entry.keys, **_seeds(entry.job), **found}]


def retrain_rows(entry: Entry) -> list[Row]:
    """One row for a finished training."""
    if not (entry.seen.done and entry.keys["kind"] == "train"):
        return []
    result = entry.seen.result
    evaluation, complexity, untrained = (part(result, n) for n in ("evaluation", "complexity", "untrained"))
    return [
        {
            **evaluation,
            **_of_network(entry),
            **{f"untrained_{name}": untrained.get(name) for name in ("mAP", "rank_1")},
            "protocol": protocol_of(evaluation) or "{}",
            **_reranked(part(entry.evaluated, "reranked")),
            "feature_dim": complexity.get("feature_dim"),
            "search_job": entry.search_job,
            "search_data_set": entry.search_data_set,
            "pretraining": part(entry.job, "inputs").get("pretraining"),
            "teacher": entry.teacher,
            "seed_search": part(entry.search, "seeds").get("search", entry.sampled),
            "selected": entry.selected(entry.search_job) if entry.search_job else None,
        }
    ]


def protocol_of(scores: Mapping[str, Any]) -> str | None:
    """The protocol of an evaluation as JSON; an older record says nothing of what there was no choice of."""
    protocol = part(scores, "protocol")
    return compact({**UNSAID, **protocol}) if protocol else None


def _reranked(scores: Mapping[str, Any]) -> Row:
    """What a training's own evaluation gave after re-ranking, if it did."""
    if not scores:
        return {}
    figures = {f"reranked_{name}": scores.get(name) for name in ("mAP", "rank_1", "rank_5", "rank_10")}
    return {**figures, "reranked_protocol": protocol_of(scores)}


def pretrain_rows(entry: Entry) -> list[Row]:
    """One row for a finished pretraining."""
    if not (entry.seen.done and entry.keys["kind"] == "pretrain"):
        return []
    result = entry.seen.result
    return [{**part(result, "evaluation"), **_of_network(entry), "classes": result.get("classes")}]


def _of_network(entry: Entry) -> Row:
    """What a training and a pretraining say of their network."""
    result, recipe = entry.seen.result, part(entry.job, "recipe")
    complexity = part(result, "complexity")
    row = {f"params_{name}": value for name, value in part(complexity, "params").items()}
    row |= {f"multiply_adds_{name}": value for name, value in part(complexity, "multiply_adds").items()}
    row |= {name: recipe.get(name) for name in ("height", "width", "width_multiplier")}
    row |= {name: result.get(name) for name in ("network", "train_seconds", "evaluation_seconds")}
    layers = recipe.get("layers")
    # Networks of other spaces have none of these, whatever their recipe says.
    if isinstance(layers, list) and any("." in place for place in part(part(result, "genotype"), "choices")):
        row |= {"channels": recipe.get("channels"), "layers": ",".join(map(str, layers))}
    return {
        **row,
        **entry.keys,
        **_seeds(entry.job),
        "genotype": result.get("genotype_digest"),
        "space": part(result, "genotype").get("space"),
    }


def point_rows(campaign: str, manifest: Mapping[str, Any], warnings: list[str]) -> list[Row]:
    """The points of a campaign's sweep, if it has one; what is damaged is named in the warnings."""
    aims = part(part(manifest, "sweep"), "settings").get("aims")
    points = manifest.get("points")
    found = []
    for number, point in enumerate(points if isinstance(points, list) else ()):
        place = f"{campaign}: manifest.json: point {number}"
        try:
            row = {name: point[name] for name in ("study", "number", "arm", "state", "best")}
            row |= {"campaign": campaign, "point": point["name"], "reason": point["reason"] or None}
            row |= {"values": compact(point["values"]), "jobs": compact(point["jobs"])}
            row |= dict(zip(aims or (), point["scores"], strict=False))
        except (KeyError, TypeError) as error:
            warnings.append(f"{place} is damaged ({error!r}).")
            continue
        kept = checked(row, "points", place, warnings)
        found += [] if kept is None else [kept]
    return found
