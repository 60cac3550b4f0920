"""Why a job is the job that it is: what entered its id, who plans it, and the job that comes nearest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from autoreid.errors import InputError
from autoreid.pretrain_recipes import PRETRAIN_RECIPES
from autoreid.published import SEARCH_RECIPES, SELECT_RECIPES, TRAIN_RECIPES
from autoreid.storage import Storage
from autoreid.values import canonical
from autoreid.version import ENGINE_REVISION
from tune_runs.descriptions import read_description
from tune_runs.lookup import readable_manifests, resolve
from tune_runs.reasons import Difference, field_differences, in_words, named_fields, question
from tune_runs.words import counted, table

Plain = dict[str, Any]
PUBLISHED: dict[str, Mapping[str, Any]] = {
    "search": SEARCH_RECIPES,
    "select": SELECT_RECIPES,
    "pretrain": PRETRAIN_RECIPES,
    "train": TRAIN_RECIPES,
}


def why_plain(storage: Storage, prefix: str) -> Plain:
    """What is known of a job's id, as JSON values; `prefix` are the first digits of it."""
    manifests, problems = readable_manifests(storage)
    planned = {job_id: job for manifest in manifests.values() for job_id, job in manifest["jobs"].items()}
    folders = list(storage.jobs())
    job_id = resolve(prefix, {*folders, *planned}, str(storage.folder), problems)
    asked, found = _described(storage, job_id, planned)
    fields = named_fields(asked)
    return {
        "job": job_id,
        "problems": [*found, *problems],
        "fields": fields,
        "published": _published(asked),
        "engine_revision": ENGINE_REVISION,
        "campaigns": _campaigns(manifests, job_id),
        "nearest": _nearest(storage, job_id, fields, folders, planned),
    }


def _described(storage: Storage, job_id: str, planned: Mapping[str, Plain]) -> tuple[Plain, list[str]]:
    """What a job asks, and what is wrong with its description.

    Where the description is damaged or altered, what a manifest says of the job counts.
    """
    asked, problem = read_description(storage, job_id)
    problems = [] if problem is None else [problem]
    if problem is None and asked is not None:
        return asked, []
    if job_id in planned:
        return question(planned[job_id]), problems
    if asked is None:
        place = f"{storage.job(job_id).folder}/job.json"
        raise InputError(
            problem or f"{place}: missing, and no campaign plans the job: it cannot be explained."
        )
    return asked, problems


def _published(asked: Plain) -> Plain | None:
    """The published recipe that is nearest to a job's, and where the job's differs from it."""
    own = named_fields(asked["recipe"])
    found = {
        name: field_differences(named_fields(canonical(recipe)), own)
        for name, recipe in PUBLISHED.get(asked["kind"], {}).items()
    }
    if not found:
        return None
    name = min(found, key=lambda name: len(found[name]))
    return {"recipe": name, "differences": [item.plain() for item in found[name]]}


def _campaigns(manifests: Mapping[str, Plain], job_id: str) -> list[Plain]:
    """The arms that plan a job, with the repeats that it answers."""
    found: dict[tuple[str, str], list[int]] = {}
    for name, manifest in manifests.items():
        for entry in manifest["entries"]:
            if entry["job"] == job_id:
                found.setdefault((name, entry["arm"]), []).append(entry["repeat"])
    return [{"campaign": name, "arm": arm, "repeats": repeats} for (name, arm), repeats in found.items()]


def _nearest(
    storage: Storage, job_id: str, fields: Plain, folders: Iterable[str], planned: Mapping[str, Plain]
) -> Plain | None:
    """The other job of the storage that differs in the fewest fields; one of the same kind comes first."""
    best: tuple[bool, int, str] | None = None
    nearest: list[Difference] = []
    for other in folders:
        asked = question(planned[other]) if other in planned else read_description(storage, other)[0]
        if asked is None:
            continue  # damaged: it is nobody's nearest
        there = named_fields(asked)
        differing = field_differences(there, fields)
        rank = (there["kind"] != fields["kind"], len(differing), other)
        if other != job_id and (best is None or rank < best):
            best, nearest = rank, differing
    if best is None:
        return None
    kind = next((item.old for item in nearest if item.field == "kind"), fields["kind"])
    return {"job": best[2], "kind": kind, "differences": [item.plain() for item in nearest]}


def why_text(plain: Plain) -> str:
    """The same for people."""
    fields, published = plain["fields"], plain["published"]
    lines = [*plain["problems"], *([""] if plain["problems"] else [])]
    lines += [f"{fields['kind']} {plain['job']}"]
    for entry in plain["campaigns"]:
        repeats = ", ".join(str(repeat + 1) for repeat in entry["repeats"])
        lines += [f"  planned by {entry['campaign']}: {entry['arm']}, repeat {repeats}"]
    if not plain["campaigns"]:
        lines += ["  planned by no campaign of this storage"]
    if fields["engine_revision"] != plain["engine_revision"]:
        revision = plain["engine_revision"]
        lines += [f"  of another engine revision: this release computes revision {revision}, as other jobs"]
    head = ["field", "value"] if published is None else ["field", "value", f"in {published['recipe']}"]
    own = {} if published is None else {f"recipe.{item['field']}": item for item in published["differences"]}
    rows = [
        [
            name,
            value if isinstance(value, str) else in_words(value),
            *([in_words(own[name]["old"]) if name in own else ""] if published else []),
        ]
        for name, value in fields.items()
    ]
    lines += ["", "what entered the id:", *table(head, rows)]
    nearest = plain["nearest"]
    if nearest is None:
        return "\n".join([*lines, "", "no other job is in this storage"])
    rows = [[item["field"], in_words(item["old"]), in_words(item["new"])] for item in nearest["differences"]]
    count = counted(len(rows), "field")
    lines += ["", f"nearest job: {nearest['kind']} {nearest['job']}, {count} differ{'s' * (len(rows) == 1)}:"]
    return "\n".join([*lines, *table(("field", "there", "here"), rows)])
