"""The manifest of a campaign: what its file plans, beside the results in the same storage."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

from autoreid.storage import Storage
from autoreid.version import STORAGE_VERSION
from tune_runs.changes import ArmsChange, changes
from tune_runs.planning import Plan
from tune_runs.point_arms import arm_of, given_up
from tune_runs.points import answered, best_of, of_study
from tune_runs.words import counted


@dataclass(frozen=True, slots=True)
class Change:
    """How a plan differs from the manifest that was there: in numbers of jobs, and arm by arm."""

    first: bool
    new: int = 0
    gone: int = 0
    arms: tuple[ArmsChange, ...] = ()

    def __str__(self) -> str:
        """A line for people, and one for each group of arms; empty where there is nothing to say."""
        if not self.arms:
            return ""
        parts = [f"{counted(self.new, 'job')} {'is' if self.new == 1 else 'are'} new"]
        if self.gone:
            verb = "is" if self.gone == 1 else "are"
            parts.append(f"{self.gone} {verb} no longer planned (their results stay in the storage)")
        head = f"the campaign has changed since its last launch: {', '.join(parts)}"
        return "\n".join([head, *(f"  {arms}" for arms in self.arms)])

    def plain(self) -> dict[str, Any]:
        """The change as JSON values; `lines` are what people read."""
        return {
            "first": self.first,
            "lines": str(self).splitlines(),
            "new": self.new,
            "gone": self.gone,
            "arms": [arms.plain() for arms in self.arms],
        }


def manifest_of(plan: Plan, created: str, updated: str) -> dict[str, Any]:
    """The manifest as JSON values."""
    campaign = plan.campaign
    return {
        "version": STORAGE_VERSION,
        "name": campaign.name,
        "claim": campaign.claim,
        "baseline": campaign.baseline,
        "repeats": campaign.repeats,
        "file": campaign.text,
        "settings": list(campaign.settings),
        "data": campaign.source.plain() if campaign.source else None,
        "data_fingerprint": plan.fingerprint or None,
        "classes": campaign.classes.plain() if campaign.classes else None,
        "classes_fingerprint": plan.classes or None,
        "created": created,
        "updated": updated,
        "entries": [entry.plain() for entry in plan.entries],
        "jobs": {job_id: job.plain() for job_id, job in plan.jobs.items()},
        **_of_sets(plan),
        **_of_sweep(plan),
    }


def _of_sets(plan: Plan) -> dict[str, Any]:
    """What a manifest holds of several data sets: sources and fingerprints by name; and of arms that are
    trained on several: the baseline on each set. Nothing where there is one set."""
    campaign = plan.campaign
    if not campaign.data_sets and all(arm.name == arm.stem for arm in campaign.arms):
        return {}
    return {
        "data_sets": {name: source.plain() for name, source in campaign.sets.items()},
        "data_fingerprints": plan.fingerprints,
        "baselines": campaign.baselines,
    }


def _of_sweep(plan: Plan) -> dict[str, Any]:
    """What a manifest holds of a sweep; without one nothing. `given_up` are jobs that pruned points alone
    need."""
    if plan.campaign.sweep is None:
        return {}
    sweep = plan.campaign.sweep.plain()
    return {"sweep": sweep, "points": points_of(plan), "given_up": sorted(given_up(plan))}


def points_of(plan: Plan) -> list[dict[str, Any]]:
    """The points of a plan's sweep as JSON values, each with the name of its arm, and whether it is a best
    one."""
    sweep = plan.campaign.sweep
    names = {point.key: arm_of(plan.campaign, point).name for point in plan.points if point.is_planned}
    studies = () if sweep is None else sweep.studies
    best = {point.key for study in studies for point in best_of(study, of_study(study, plan.points))}
    shown = [point for study in studies for point in answered(of_study(study, plan.points))]
    return [
        point.plain() | {"name": names.get(point.key, point.arm), "best": point.key in best}
        for point in shown
    ]


def change_of(storage: Storage, plan: Plan) -> Change:
    """How a plan differs from what the campaign of its name planned before; nothing is written."""
    old = _read(storage, plan)
    if old is not None and old["entries"] == [entry.plain() for entry in plan.entries]:
        return Change(first=False)  # the same jobs: what they hold need not be compared
    return _compared(old, manifest_of(plan, "", ""))


def save_manifest(storage: Storage, plan: Plan) -> Change:
    """Write what the campaign plans now, and say how it differs from what it planned before.

    An unchanged plan leaves the file as it is. Jobs that are no longer planned leave the manifest; their
    folders stay, and come back into use when they are planned again.
    """
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    old = _read(storage, plan)
    manifest = manifest_of(plan, old["created"] if old else now, now)
    if old is None or any(old.get(key) != manifest[key] for key in manifest.keys() - {"updated"}):
        storage.write_manifest(plan.campaign.name, manifest)
    return _compared(old, manifest)


def _read(storage: Storage, plan: Plan) -> dict[str, Any] | None:
    """What the campaign of a plan's name planned at its last launch."""
    storage.check()
    name = plan.campaign.name
    return storage.read_manifest(name) if name in storage.campaigns() else None


def _compared(old: dict[str, Any] | None, manifest: dict[str, Any]) -> Change:
    if old is None:
        return Change(first=True, new=len(manifest["jobs"]))
    new, gone = manifest["jobs"].keys() - old["jobs"].keys(), old["jobs"].keys() - manifest["jobs"].keys()
    return Change(False, len(new), len(gone), changes(old, manifest))
