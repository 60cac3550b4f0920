"""Rows of the tables `evaluations` and `costs`: what a job's evaluations gave, and what its phases took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from analysis.jobs import part
from analysis.rows import SEARCHES, Entry, Row, protocol_of


def evaluation_rows(entry: Entry) -> list[Row]:
    """One row for each evaluation that a finished job made on queries and a gallery."""
    kind, result = entry.keys["kind"], entry.seen.result
    if not entry.seen.done:
        return []
    if kind == "train":
        about = {"split": "test", "search_job": entry.search_job, "genotype": result.get("genotype_digest")}
        found = {"trained": part(result, "evaluation"), "untrained": part(result, "untrained")}
        return [
            {**_scored(entry, scores), **about, "stage": name} for name, scores in found.items() if scores
        ]
    if kind == "evaluate":
        about = {"split": "test", "search_job": entry.search_job, "genotype": result.get("genotype_digest")}
        plain = part(result, "evaluation")
        about |= {"feature": plain.get("feature")}
        return [
            {**_scored(entry, one), **about, "stage": "evaluated", "reranked": one is not plain}
            for one in (plain, part(plain, "reranked"))
            if one
        ]
    scores = result.get("scores") if kind in ("select", "random-search") else None
    candidates = [one for one in scores if isinstance(one, Mapping)] if isinstance(scores, list) else []
    return [
        {
            **_scored(entry, one),
            "stage": "selection",
            "split": "validation",
            "search_job": one.get("search"),
            "genotype": one.get("genotype_digest"),
        }
        for one in candidates
    ]


def _scored(entry: Entry, scores: Mapping[str, Any]) -> Row:
    return {**scores, **entry.keys, "protocol": protocol_of(scores)}


def cost_rows(entry: Entry, epochs: pa.Table) -> list[Row]:
    """What the phases of the attempt that counts took, and all attempts that do not; `epochs` are its epochs.

    Each phase has a row for each device; one that took no time has none.
    """
    taken: dict[tuple[Any, ...], float] = {}
    for phase, seconds, facts in _times(entry, epochs):
        device = (phase, *(facts.get(name) for name in ("device_kind", "device")), _devices(facts))
        taken[device] = taken.get(device, 0.0) + seconds
    return [
        {
            **entry.keys,
            "phase": phase,
            "seconds": seconds,
            "device_kind": kind,
            "device": name,
            "devices": devices,
            "device_seconds": None if devices is None else seconds * devices,
        }
        for (phase, kind, name, devices), seconds in taken.items()
        if seconds > 0
    ]


def _devices(facts: Mapping[str, Any]) -> int | None:
    """A job computes on one GPU, or on some threads of a CPU."""
    kind, threads = facts.get("device_kind"), facts.get("threads")
    if kind == "cpu":
        return threads if isinstance(threads, int) else None
    return None if kind is None else 1


def _times(entry: Entry, epochs: pa.Table) -> Iterator[tuple[str, float, Mapping[str, Any]]]:
    facts = entry.seen.facts
    if entry.seen.done:
        for phase, seconds in phases(entry, epochs).items():
            yield phase, seconds, facts
    for lost in entry.seen.lost:
        yield lost.phase, lost.seconds, lost.facts


def _number(given: Mapping[str, Any], name: str) -> float:
    value = given.get(name)
    return float(value) if isinstance(value, (int, float)) else 0.0


def phases(entry: Entry, epochs: pa.Table) -> dict[str, float]:
    """How the wall time of the attempt that counts divides. It adds up to it.

    Where an attempt continued another one, epochs and measurements of the earlier one are not counted again.
    """
    result, facts, kind = entry.seen.result, entry.seen.facts, entry.keys["kind"]
    left = wall = _number(facts, "wall_seconds")
    name = "search" if kind in (*SEARCHES, "select") else "latency" if kind == "latency" else "train"
    main = _number(result, {"select": "select_seconds"}.get(kind, f"{name}_seconds"))
    evaluation, health = _number(result, "evaluation_seconds"), _seconds(epochs, "health_seconds")
    # An older record does not tell what earlier attempts took: it is what does not fit.
    not_fitting = max(0.0, main + evaluation + health.sum() - wall)
    earlier = _number(facts, "earlier_seconds") if "earlier_seconds" in facts else not_fitting
    now = np.cumsum(_seconds(epochs, "wall_seconds")) >= earlier * (1 + 1e-9)
    found = {}
    of_phase = {
        "evaluation": evaluation,
        "health": float(health[now].sum()),
        name: max(0.0, main - earlier),
    }
    for phase, seconds in of_phase.items():
        found[phase] = min(seconds, left)
        left -= found[phase]
    return {name: found[name], **found, "other": left}


def _seconds(epochs: pa.Table, name: str) -> np.ndarray:
    """A column of times, 0 where there is none."""
    filled: np.ndarray = epochs[name].fill_null(0.0).to_numpy()
    return filled
