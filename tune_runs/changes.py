"""How a campaign differs from what it planned before: per group of arms, the fields that have changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from tune_runs.reasons import Difference, differences
from tune_runs.words import counted

Manifest = Mapping[str, Any]
# The jobs of an arm in one manifest, by kind and repeat.
Cells = dict[tuple[str, int], str]
# So many arms are named on a line.
SHOWN = 4


@dataclass(frozen=True, slots=True)
class ArmsChange:
    """What arms that changed alike have in common.

    Fields carry the kind of their jobs, such as `train.epochs`. Where a value differs from repeat to repeat,
    both values are lists. `new` and `gone` are jobs that the campaign did not, or does no longer plan. The
    training of a sweep's best point is put off while its study asks for more points.
    """

    arms: tuple[str, ...]
    what: Literal["changed", "added", "removed", "put off"]
    fields: tuple[Difference, ...] = ()
    more_repeats: tuple[int, ...] = ()
    fewer_repeats: tuple[int, ...] = ()
    new: int = 0
    gone: int = 0

    def plain(self) -> dict[str, Any]:
        return {
            "arms": list(self.arms),
            "what": self.what,
            "fields": [field.plain() for field in self.fields],
            "more_repeats": list(self.more_repeats),
            "fewer_repeats": list(self.fewer_repeats),
            "new": self.new,
            "gone": self.gone,
        }

    def __str__(self) -> str:
        several = len(self.arms) > 1
        more = f" and {len(self.arms) - SHOWN} more" if len(self.arms) > SHOWN else ""
        who = f"arm{'s' * several} {'; '.join(self.arms[:SHOWN])}{more}"
        whose = "their" if several else "its"
        if self.what == "removed":
            kept = f"{counted(self.gone, 'job')} no longer planned, results stay in the storage"
            jobs = kept if self.gone else f"{whose} jobs are planned by other arms"
            return f"{who}: no longer in the campaign; {jobs}"
        if self.what == "put off":
            study = f"{whose} stud{'ies have' if several else 'y has'} more points to ask for"
            return f"{who}: {study}; the best is trained when these are done"
        if self.what == "added":
            jobs = _are_new(self.new) if self.new else f"{whose} jobs were planned before"
            return f"{who} {'are' if several else 'is'} new; {jobs}"
        said = [str(field) for field in self.fields]
        said += [_repeats(self.more_repeats, "new")] if self.more_repeats else []
        said += [_repeats(self.fewer_repeats, "no longer planned")] if self.fewer_repeats else []
        return f"{who}: {', '.join(said) or 'starts from other jobs'}; {self._jobs()}"

    def _jobs(self) -> str:
        old = f"the {counted(self.gone, 'old one')} {'keep' if self.gone > 1 else 'keeps'} "
        old += f"{'their results' if self.gone > 1 else 'its result'} in the storage"
        parts = ([_are_new(self.new)] if self.new else []) + ([old] if self.gone else [])
        return ", ".join(parts) or "every job was planned before"


def _are_new(count: int) -> str:
    return f"{counted(count, 'job')} {'is' if count == 1 else 'are'} new"


def _repeats(repeats: tuple[int, ...], how: str) -> str:
    numbers = ", ".join(str(repeat + 1) for repeat in repeats)
    return f"repeat{'s' * (len(repeats) > 1)} {numbers} {'are' if len(repeats) > 1 else 'is'} {how}"


def changes(old: Manifest, new: Manifest) -> tuple[ArmsChange, ...]:
    """What differs between two manifests of one campaign; arms that changed alike come together."""
    before, now = _arms(old), _arms(new)
    planned_before, planned_now = _jobs(before, before), _jobs(now, now)
    # Arms whose trainings come and go with what their studies found.
    swept = set(new["sweep"]["arms"]) if "sweep" in new else set()
    swept |= {point["name"] for point in old.get("points", ()) if swept}
    groups: dict[str, tuple[ArmsChange, list[str]]] = {}
    for arm in dict.fromkeys([*now, *before]):
        change = _change(before.get(arm), now.get(arm), old, new)
        if change is not None and change.what == "removed" and arm in swept:
            change = replace(change, what="put off")
        if change is not None:
            fresh, left = _jobs(now, [arm]) - planned_before, _jobs(before, [arm]) - planned_now
            alike = repr((change, bool(fresh), bool(left)))
            groups.setdefault(alike, (change, []))[1].append(arm)
    return tuple(
        replace(
            change,
            arms=tuple(arms),
            new=len(_jobs(now, arms) - planned_before),
            gone=len(_jobs(before, arms) - planned_now),
        )
        for change, arms in groups.values()
    )


def _arms(manifest: Manifest) -> dict[str, Cells]:
    arms: dict[str, Cells] = {}
    for entry in manifest["entries"]:
        arms.setdefault(entry["arm"], {})[entry["kind"], entry["repeat"]] = entry["job"]
    return arms


def _jobs(cells: Mapping[str, Cells], arms: Iterable[str]) -> set[str]:
    return {job for arm in arms for job in cells.get(arm, {}).values()}


def _change(before: Cells | None, now: Cells | None, old: Manifest, new: Manifest) -> ArmsChange | None:
    """What happened to one arm; None where nothing did."""
    if before is None or now is None:
        return ArmsChange((), "removed" if now is None else "added")
    if before == now:
        return None
    kinds = [dict.fromkeys(kind for kind, _ in cells) for cells in (before, now)]
    repeats = [dict.fromkeys(repeat for _, repeat in cells) for cells in (before, now)]
    planned = [Difference(_key(kind), None, "planned") for kind in kinds[1] if kind not in kinds[0]]
    planned += [Difference(_key(kind), "planned", None) for kind in kinds[0] if kind not in kinds[1]]
    return ArmsChange(
        (),
        "changed",
        (*_fields(before, now, old["jobs"], new["jobs"]), *planned),
        tuple(repeat for repeat in repeats[1] if repeat not in repeats[0]),
        tuple(repeat for repeat in repeats[0] if repeat not in repeats[1]),
    )


def _fields(before: Cells, now: Cells, old: Manifest, new: Manifest) -> Iterator[Difference]:
    """The fields in which the jobs of an arm differ, once for all repeats in which both manifests have it."""
    found: dict[str, list[Difference]] = {}
    for (kind, repeat), job in now.items():
        other = before.get((kind, repeat), job)
        for difference in differences(old[other], new[job]) if other != job else ():
            for named in _named(kind, difference, old, new):
                found.setdefault(named.field, []).append(named)
    for name, members in found.items():
        olds, news = [item.old for item in members], [item.new for item in members]
        same = all((item.old, item.new) == (olds[0], news[0]) for item in members)
        yield Difference(name, olds[0], news[0]) if same else Difference(name, olds, news)


def _named(kind: str, difference: Difference, old: Manifest, new: Manifest) -> Iterator[Difference]:
    """A difference under the name that a campaign file gives to it.

    Jobs that others start from are named by their kinds: of jobs of one kind, their own fields tell more.
    """
    name = difference.field
    if name.startswith("inputs.job"):
        kinds = [_kinds(difference.old, old), _kinds(difference.new, new)]
        if kinds[0] != kinds[1]:
            yield Difference(f"{kind}.genotype", *kinds)
    elif name in ("inputs.training", "inputs.pretraining") and None not in (difference.old, difference.new):
        return
    elif name.startswith("inputs.genotype."):
        yield replace(difference, field=f"{kind}.{name.removeprefix('inputs.')}")
    elif name in ("data", "engine_revision"):
        yield difference
    else:
        yield replace(difference, field=f"{_key(kind)}.{name.removeprefix('recipe.')}")


def _key(kind: str) -> str:
    """What a campaign file calls the work of a kind."""
    return "evaluation" if kind == "evaluate" else kind


def _kinds(needed: Any, jobs: Manifest) -> str | None:
    """Of which kind the jobs are that a job starts from."""
    ids = needed if isinstance(needed, list) else [] if needed is None else [needed]
    return next((f"of a {jobs[job_id]['kind']}" for job_id in ids if job_id in jobs), None)
