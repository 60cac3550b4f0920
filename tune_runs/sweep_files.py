"""The sweep of a campaign file, held against the recipes of the arms that it sweeps."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from autoreid.errors import InputError, Problems, unknown
from autoreid.values import canonical_json, override
from tune_runs.arms import Arm, arm_at, kinds_of
from tune_runs.domains import Domain, Range, read_domains
from tune_runs.grid import KINDS
from tune_runs.protocol import Protocol
from tune_runs.sweeps import AIMS, MOST_POINTS, Settings, Sweep, Swept
from tune_runs.yaml_places import Document, Leaf

# Fields of which a supernet's scores depend by its size or its operations alone.
SIZES = frozenset(
    f"search.{name}" for name in ("space", "channels", "layers", "width_multiplier", "height", "width")
)
NOT_COMPARED = "have scores that cannot be compared. Write 'select: retrain' at the top."


def read_sweep(
    document: Document, arms: tuple[Arm, ...], protocol: Protocol, problems: Problems
) -> Sweep | None:
    """The sweep of a file, if it has one; mistakes go into `problems`."""
    mine = [arm for arm in arms if document.at(("arms", arm.entry, "sweep")) is not None]
    if document.at(("sweep",)) is None:
        for arm in mine:
            problems.add(
                document.place(("arms", arm.entry, "sweep")), "there is no 'sweep:' at the top. Remove it."
            )
        return None
    if document.at(("grid",)) is not None:
        problems.add(
            document.place(("grid",)),
            "and a sweep. Give the values of the grid to the sweep, or split the file.",
        )
        return None
    settings = _settings(document, protocol, problems)
    noted = len(problems.found)
    domains = read_domains(document, ("sweep", "over"), problems)
    if len(problems.found) > noted:
        return None
    swept = [
        found for arm in arms if (found := _swept(document, arm, settings, domains, problems)) is not None
    ]
    if not swept and len(problems.found) == noted:
        problems.add(document.place(("sweep",)), "no arm has a search and a field of the sweep. Remove it.")
    if settings.joint and len(swept) > 1 and not _trains(document):
        problems.add(document.place(("sweep", "joint")), f"supernets of several arms {NOT_COMPARED}")
    sweep = Sweep(settings, tuple(swept))
    if settings.sampler == "nsga2" and any(study.is_conditional for study in sweep.studies):
        message = "nsga2 mixes points of the same domains, and here some points lack a domain. Use tpe."
        problems.add(document.place(("sweep", "sampler")), message)
    for domain in domains:
        sizes = SIZES & set(domain.axis.fields)
        if sizes and not _trains(document):
            problems.add(domain.axis.place, f"supernets of several sizes or spaces {NOT_COMPARED}")
        if sizes and settings.pruning:
            message = f"accuracies of supernets cannot be compared over {domain.name}. Leave it out."
            problems.add(document.place(("sweep", "pruning")), message)
        if swept and not any(domain.name == own.name for found in swept for own in found.domains):
            problems.add(domain.axis.place, "no arm that is swept has it. Remove it.")
    return sweep


def _trains(document: Document) -> bool:
    """Whether genotypes are judged by short trainings, and not in their supernets."""
    return document.at(("select",)) == "retrain" or document.at(("select", "rule")) == "retrain"


def _settings(document: Document, protocol: Protocol, problems: Problems) -> Settings:
    """How the sweep goes about it; the repeats of a point are those of an arm unless it says otherwise."""
    settings = Settings(repeats=protocol.repeats)
    given = document.at(("sweep",))
    for name in given if isinstance(given, Mapping) else ():
        if name == "over":
            continue
        leaf = Leaf(name, given[name], f"{document.prefix(('sweep', name))}sweep.")
        settings = override(settings, {name: leaf.value}, leaf.prefix, problems)
    for name, message in _contradictions(settings):
        problems.add(document.place(("sweep", name)), message)
    return settings


def _contradictions(settings: Settings) -> Iterator[tuple[str, str]]:
    """Settings that do not go together, as (field, message)."""
    for aim in (aim for aim in settings.aims if aim not in AIMS):
        yield "aims", unknown("aim", aim, AIMS)
    if not settings.aims or len(set(settings.aims)) < len(settings.aims):
        yield "aims", "each aim is named once, and at least one. Write for example [mAP, multiply_adds]."
    if settings.pruning and any(AIMS.get(aim) == "minimize" for aim in settings.aims[:1]):
        yield "pruning", f"a curve of accuracies says nothing of {settings.aims[0]}. Leave it out."
    if settings.pruning and len(settings.aims) > 1:
        yield (
            "pruning",
            "a point that is worse in one aim may be better in another. Leave it out, or have one aim.",
        )
    if settings.pruning and settings.pruning_points >= settings.points:
        yield (
            "pruning_points",
            f"{settings.pruning_points}, of {settings.points} points: none is ever given up.",
        )
    if settings.sampler == "nsga2" and len(settings.aims) == 1:
        yield "sampler", "nsga2 trades several aims against each other, and there is one. Use tpe."


def _swept(
    document: Document, arm: Arm, settings: Settings, domains: tuple[Domain, ...], problems: Problems
) -> Swept | None:
    """How an arm is swept, if it is: by all domains whose fields it has, or by those that it names."""
    path = ("arms", arm.entry, "sweep")
    named = document.at(path)
    if named is False or (arm.search is None and named is None):
        return None
    if arm.search is None:
        problems.add(document.place(path), "has no search, by whose validation a point is judged. Remove it.")
        return None
    if named is not None and not (isinstance(named, list) and named):
        problems.add(document.place(path), f"{named!r} is no list of domains. Write names, or false.")
        return None
    if arm.train is None and {"multiply_adds", "parameters"} & set(settings.aims):
        problems.add(document.place(("sweep", "aims")), f"arm {arm.name} trains no network to be counted.")
    if settings.pruning and settings.pruning_epoch >= arm.search.epochs:
        message = f"{settings.pruning_epoch}, of {arm.search.epochs} epochs: no point is ever given up."
        problems.add(document.place(("sweep", "pruning_epoch")), message)
    kinds = kinds_of(document, arm.entry, Problems())
    known = {domain.name: domain for domain in domains}
    wanted = [str(name) for name in named] if named is not None else list(known)
    for name in (name for name in wanted if name not in known):
        problems.add(document.place(path), unknown("domain", name, known))
    chosen = [
        fitted(domain, kinds)
        for name, domain in known.items()
        if name in wanted and (named is not None or any(kind in kinds for kind in domain.axis.kinds))
    ]
    _note_useless(document, chosen, problems)
    fixed = {
        f"{kind}.{name}": leaf for kind in KINDS for name, leaf in document.leaves((*path[:-1], kind)).items()
    }
    for name in (name for domain in chosen for name in domain.axis.fields if name in fixed):
        problems.add(fixed[name].place, "is in the sweep too. Remove one of the two.")
    held = [_held_against(document, arm, kinds, domain, problems) for domain in chosen]
    own = tuple(domain for domain, _ in held)
    ends = tuple(end for _, found in held for end in found)
    return Swept(arm.name, own, _builder(document, arm, kinds, own), ends) if own else None


def _note_useless(document: Document, domains: Sequence[Domain], problems: Problems) -> None:
    """Domains that change nothing by which a point is judged, and conditions on what an arm does not have."""
    names = {domain.name for domain in domains}
    for domain in domains:
        kinds = domain.axis.kinds
        if "search" not in kinds and ("train" not in kinds or not _trains(document)):
            remedy = "Write 'select: retrain' at the top." if "train" in kinds else "Remove it."
            problems.add(domain.axis.place, f"has no part in what a point is judged by. {remedy}")
        if any(field.endswith(".weights") for field in domain.axis.fields):
            problems.add(domain.axis.place, "weights are of one network, and a point's are found. Remove it.")
        for name in (name for name, _ in domain.when if name not in names):
            problems.add(domain.axis.place, f"depends on {name}, which an arm that has it does not take.")


def fitted(domain: Domain, kinds: list[str]) -> Domain:
    """The domain with those of its fields that an arm with work of these kinds has."""
    fields = tuple(name for name in domain.axis.fields if name.partition(".")[0] in kinds)
    return replace(domain, axis=replace(domain.axis, fields=fields or domain.axis.fields))


def _held_against(
    document: Document, arm: Arm, kinds: list[str], domain: Domain, problems: Problems
) -> tuple[Domain, tuple[Arm, ...]]:
    """The domain with its numbers as whole ones where the field takes such, and the arms at its ends; values
    that the arm's recipes refuse are noted."""
    found = Problems()
    ends = tuple(
        arm_at(document, arm.entry, kinds, [(domain.axis, value)], arm.genotype, found)
        for value in domain.values.ends()
    )
    problems.extend(found.found)
    if not found.found and len({(end.search, end.train) for end in ends}) < len(ends):
        problems.add(domain.axis.place, "two of its values are the same. Remove one.")
    if not found.found and isinstance(domain.values, Range) and _is_whole(ends[0], domain):
        if domain.values.step % 1:
            problems.add(f"{domain.axis.place}.step", f"{domain.values.step:g} is not a whole number.")
            return domain, ends
        domain = replace(domain, values=replace(domain.values, whole=True, step=domain.values.step or 1))
    return domain, ends


def _is_whole(arm: Arm, domain: Domain) -> bool:
    """Whether the field of a domain holds whole numbers."""
    kind, _, name = domain.axis.fields[0].partition(".")
    value: Any = getattr(arm, kind)
    for part in name.split("."):
        value = getattr(value, part, None)
    return isinstance(value, int) and not isinstance(value, bool)


def _builder(
    document: Document, arm: Arm, kinds: list[str], domains: tuple[Domain, ...]
) -> Callable[[Mapping[str, Any]], Arm]:
    """What `Swept.at` is; an arm that was built once is remembered."""

    @functools.lru_cache(maxsize=MOST_POINTS)
    def built(text: str) -> Arm:
        values = json.loads(text)
        chosen = [(domain.axis, values[domain.name]) for domain in domains if domain.name in values]
        problems = Problems()
        found = arm_at(document, arm.entry, kinds, chosen, arm.genotype, problems)
        if problems.found:
            raise InputError(*dict.fromkeys(problems.found))
        return found

    return lambda values: built(canonical_json(dict(values)))
