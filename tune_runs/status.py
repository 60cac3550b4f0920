"""How far the campaigns of a storage are, as plain values, and as text for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from autoreid.errors import InputError
from autoreid.inputs import needs_of
from autoreid.storage import Storage
from tune_runs.descriptions import description_problems
from tune_runs.states import STATES, State, states_of
from tune_runs.words import counted, table

Plain = dict[str, Any]


def status_plain(storage: Storage) -> Plain:
    """Every campaign of a storage: jobs by state for each arm, epochs done, and failures.

    A campaign whose manifest is damaged is named under `problems`, and hides no other one; descriptions of
    jobs that are damaged are named under their campaign's `problems`.
    """
    storage.check()
    names = storage.campaigns()
    if not names:
        raise InputError(f"{storage.folder}: no campaign in this folder. Give the --storage of a launch.")
    campaigns: list[Plain] = []
    problems: list[str] = []
    for name in names:
        try:
            campaigns.append(_campaign_status(storage, name))
        except InputError as error:
            problems += error.problems
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            place = f"{storage.folder}/campaigns/{name}/manifest.json"
            problems.append(f"{place}: damaged ({error!r}). Restore it, or launch the campaign again.")
    return {"storage": str(storage.folder), "campaigns": campaigns, "problems": problems}


def _campaign_status(storage: Storage, name: str) -> Plain:
    manifest = storage.read_manifest(name)
    # In launch order, which the file's sorted keys have lost.
    order = dict.fromkeys(entry["job"] for entry in manifest["entries"])
    jobs: dict[str, Plain] = {job_id: manifest["jobs"][job_id] for job_id in order}
    needs = {job_id: needs_of(job["inputs"]) for job_id, job in jobs.items()}
    states = states_of(storage, needs, storage.cancelled(name))
    arms: dict[tuple[str, str], list[str]] = {}
    for entry in manifest["entries"]:
        arms.setdefault((entry["arm"], entry["kind"]), []).append(entry["job"])
    return {
        "campaign": name,
        "jobs": _counts(states[job_id] for job_id in jobs),
        "arms": [
            {
                "arm": arm,
                "kind": kind,
                "jobs": _counts(states[job_id] for job_id in members),
                "epochs_done": sum(states[job_id].epochs for job_id in members),
                "epochs": sum(_epochs(jobs[job_id], states[job_id]) for job_id in members),
            }
            for (arm, kind), members in arms.items()
        ],
        "running": [
            {"job": job_id, "kind": jobs[job_id]["kind"], "where": state.where}
            for job_id, state in states.items()
            if state.where
        ],
        "failures": [
            {"job": job_id, "kind": jobs[job_id]["kind"], "status": state.status, "error": state.error}
            for job_id, state in states.items()
            if state.error
        ],
        "problems": description_problems(storage, states),
    }


def _epochs(job: Plain, state: State) -> int:
    """How many epochs a job takes: fewer where a search stops early, or searches found the same."""
    if state.status == "done":
        return state.epochs
    recipe = job["recipe"]
    if job["kind"] == "random-search":
        return int(recipe["samples"]) * int(recipe["train"]["epochs"])
    if job["kind"] != "select":
        return int(recipe["epochs"])
    each = recipe["train"]["epochs"] if recipe["rule"] == "retrain" else 1
    return int(each) * len(job["inputs"]["jobs"])


def _counts(states: Iterable[State]) -> dict[str, int]:
    counts = Counter(state.status for state in states)
    return {status: counts[status] for status in STATES}


def status_text(plain: Plain) -> str:
    """The states of campaigns for people."""
    lines = [*plain["problems"], *([""] if plain["problems"] else [])]
    for campaign in plain["campaigns"]:
        counts = ", ".join(f"{count} {status}" for status, count in campaign["jobs"].items() if count)
        lines += [f"{campaign['campaign']}: {counted(sum(campaign['jobs'].values()), 'job')}: {counts}"]
        rows = [
            (
                arm["arm"],
                arm["kind"],
                *(str(arm["jobs"][status] or "-") for status in STATES),
                f"{arm['epochs_done']}/{arm['epochs']}",
            )
            for arm in campaign["arms"]
        ]
        lines += table(("arm", "kind", *STATES, "epochs"), rows)
        for running in campaign["running"]:
            lines += [f"  {running['kind']} {running['job']} runs on {running['where']}"]
        for failure in campaign["failures"]:
            lines += [f"  {failure['kind']} {failure['job']} {failure['status']}: {failure['error']}"]
        lines += [*(f"  {problem}" for problem in campaign["problems"]), ""]
    return "\n".join(lines).rstrip()
