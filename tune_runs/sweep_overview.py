"""The points of a sweep as plain values, as text for people, and as a file for optuna-dashboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autoreid.errors import InputError
from autoreid.storage import Storage
from tune_runs.points import Point, answered, best_of, of_study
from tune_runs.studies import export_study
from tune_runs.sweeping import read_points
from tune_runs.sweeps import AIMS, Study, Sweep
from tune_runs.words import counted, table

Plain = dict[str, Any]


def sweeps_plain(storage: Storage, campaign: str | None = None) -> list[Plain]:
    """Every study of the sweeps of a storage, or of one campaign: its points, the best first.

    InputError where there is none, or its manifest is damaged.
    """
    return [
        _study_plain(name, study, points)
        for name, sweep, points in _read(storage, campaign)
        for study in sweep.studies
    ]


def export_sweeps(storage: Storage, campaign: str | None, file: Path) -> int:
    """Write the studies as one journal file of Optuna, and say how many; InputError where the file exists."""
    if file.exists():
        raise InputError(f"{file}: exists. Remove it, or name another file.")
    if not file.absolute().parent.is_dir():
        raise InputError(f"{file}: its folder does not exist. Make it, or name another file.")
    count = 0
    for name, sweep, points in _read(storage, campaign):
        for study in sweep.studies:
            export_study(study, of_study(study, points), file, name=f"{name}: {study.name}")
            count += 1
    return count


def _read(storage: Storage, campaign: str | None) -> list[tuple[str, Sweep, list[Point]]]:
    """The campaigns of a storage that sweep, with their points."""
    storage.check()
    names = storage.campaigns() if campaign is None else [campaign]
    found = []
    for name in names:
        manifest = storage.read_manifest(name)
        if "sweep" not in manifest:
            continue
        try:
            sweep = Sweep.from_plain(manifest["sweep"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            place = f"{storage.folder}/campaigns/{name}/manifest.json"
            raise InputError(
                f"{place}: damaged ({error!r}). Restore it, or launch the campaign again."
            ) from None
        points = read_points(manifest, storage)
        found.append((name, sweep, points))
    if not found:
        where = f"campaign {campaign!r}" if campaign else "no campaign of this storage"
        raise InputError(f"{storage.folder}: {where} {'has no sweep' if campaign else 'sweeps'}.")
    return found


def _study_plain(campaign: str, study: Study, points: Sequence[Point]) -> Plain:
    mine = answered(of_study(study, points))
    aims = study.settings.aims
    best = {point.number for point in best_of(study, mine)}
    sign = -1 if AIMS[aims[0]] == "maximize" else 1
    ordered = sorted(
        mine, key=lambda point: (not point.scores, sign * point.scores[0] if point.scores else 0)
    )
    return {
        "campaign": campaign,
        "study": study.name,
        "sampler": study.sampler,
        "aims": {aim: AIMS[aim] for aim in aims},
        "asked": sum(point.state != "known" for point in mine),
        "wanted": study.settings.points,
        "labels": {domain.name: domain.axis.label for swept in study.swept for domain in swept.domains},
        "domains": {swept.name: list(map(str, swept.domains)) for swept in study.swept},
        "points": [
            {
                "point": point.number + 1,
                "arm": point.arm,
                "values": dict(point.values),
                "state": point.state,
                "best": point.number in best,
                "scores": dict(zip(aims, point.scores, strict=True)) if point.scores else None,
                "reason": point.reason,
                "jobs": list(point.jobs),
            }
            for point in ordered
        ],
    }


def sweep_lines(sweep: Sweep, points: Sequence[Point]) -> list[str]:
    """What a sweep will ask for, in a plan for people."""
    lines = []
    for study in sweep.studies:
        settings = study.settings
        asked = sum(point.state != "known" for point in of_study(study, points))
        known = f", {asked} of them asked already" if asked else ""
        how = f"by {study.sampler}, for {' and '.join(settings.aims)}"
        head = f"sweep of {study.name}: {counted(settings.points, 'point')}{known}, {how}"
        searches = counted(settings.repeats, "search", "searches")
        front = "; the front is trained, which counts here as one point"
        best = "; the best is trained" if study.has_one_aim else front
        ends = best if settings.train == "best" else ""
        lines += [f"{head}; a point is {searches} and a selection{ends}"]
        for swept in study.swept:
            lines += [f"  {swept.name}: {'; '.join(map(str, swept.domains))}"]
    return lines


def sweeps_text(plain: Sequence[Plain]) -> str:
    """Studies for people."""
    lines: list[str] = []
    for study in plain:
        aims = ", ".join(f"{aim} ({how[:3]}.)" for aim, how in study["aims"].items())
        lines += [f"{study['campaign']}, study {study['study']}: {aims}, by {study['sampler']}"]
        for arm, domains in study["domains"].items():
            lines += [f"  {arm}: {'; '.join(domains)}"]
        states = [point["state"] for point in study["points"]]
        counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) or "none yet"
        lines += [f"  {counted(study['asked'], 'point')} asked of {study['wanted']}: {counts}"]
        lines += table(_headings(study), [_row(study, point) for point in study["points"]])
        lines += [""]
    return "\n".join(lines).rstrip()


def _names(study: Plain) -> list[str]:
    """The domains that any point has, in their order."""
    return list(dict.fromkeys(name for point in study["points"] for name in point["values"]))


def _headings(study: Plain) -> tuple[str, ...]:
    arm = ("arm",) if len(study["domains"]) > 1 else ()
    labels = (study["labels"].get(name, name) for name in _names(study))
    return ("point", *arm, *labels, *study["aims"], "")


def _row(study: Plain, point: Plain) -> tuple[str, ...]:
    arm = (point["arm"],) if len(study["domains"]) > 1 else ()
    values = (_word(point["values"].get(name)) for name in _names(study))
    scores: Mapping[str, float] = point["scores"] or {}
    note = (
        "best" if point["best"] else point["reason"] or ("" if point["state"] == "done" else point["state"])
    )
    return (
        str(point["point"]),
        *arm,
        *values,
        *(_figure(aim, scores.get(aim)) for aim in study["aims"]),
        note,
    )


def _word(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _figure(aim: str, value: float | None) -> str:
    """A figure in the unit of reports.

    >>> _figure("mAP", 0.4321), _figure("multiply_adds", 19.9e6), _figure("mAP", None)
    ('43.2 %', '19.9 M', '-')
    """
    if value is None:
        return "-"
    return (
        f"{value / 1e6:.3g} M"
        if aim in ("multiply_adds", "parameters")
        else f"{value:.1%}".replace("%", " %")
    )
