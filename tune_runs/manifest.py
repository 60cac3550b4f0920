"""The manifest of a campaign: what its file plans, beside the results in the same storage."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

from autoreid.storage import Storage
from autoreid.version import STORAGE_VERSION
from tune_runs.planning import Plan
from tune_runs.resources import counted


@dataclass(frozen=True, slots=True)
class Change:
    """How a plan differs from the manifest that was there: numbers of jobs."""

    first: bool
    new: int
    gone: int

    def __str__(self) -> str:
        """One line for people; empty where there is nothing to say."""
        parts = []
        if not self.first and self.new:
            parts.append(f"{counted(self.new, 'job')} {'is' if self.new == 1 else 'are'} new")
        if self.gone:
            verb = "is" if self.gone == 1 else "are"
            parts.append(f"{self.gone} {verb} no longer planned (their results stay in the storage)")
        return f"the campaign has changed since its last launch: {', '.join(parts)}" if parts else ""


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
        "data": campaign.source.plain(),
        "data_fingerprint": plan.fingerprint,
        "created": created,
        "updated": updated,
        "entries": [entry.plain() for entry in plan.entries],
        "jobs": {job_id: job.plain() for job_id, job in plan.jobs.items()},
    }


def save_manifest(storage: Storage, plan: Plan) -> Change:
    """Write what the campaign plans now, and say how it differs from what it planned before.

    An unchanged plan leaves the file as it is. Jobs that are no longer planned leave the manifest; their
    folders stay, and come back into use when they are planned again.
    """
    name = plan.campaign.name
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    old = storage.read_manifest(name) if name in storage.campaigns() else None
    manifest = manifest_of(plan, old["created"] if old else now, now)
    planned = set(plan.jobs)
    before = set(old["jobs"]) if old else set()
    if old is None or any(old.get(key) != manifest[key] for key in manifest.keys() - {"updated"}):
        storage.write_manifest(name, manifest)
    return Change(old is None, len(planned - before), len(before - planned))
