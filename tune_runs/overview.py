"""Plans as plain values, and as text for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from autoreid.errors import InputError, Problems
from autoreid.jobs import JobKind
from autoreid.pretrain_recipes import PretrainRecipe
from autoreid.recipes import SearchRecipe, SelectRecipe, TrainRecipe
from autoreid.storage import Storage
from autoreid.values import plain as plain_value
from tune_runs.arms import Arm
from tune_runs.campaign import Campaign
from tune_runs.costs import costs_plain
from tune_runs.descriptions import description_problems
from tune_runs.estimates import Probe, devices_of, left_of, recorded
from tune_runs.foresight import foreseen
from tune_runs.manifest import change_of
from tune_runs.memory import gpu_memory, memory_plain
from tune_runs.opening import check_all, open_data, plan_on
from tune_runs.planning import NO_DATA, Plan, make_plan
from tune_runs.power import comparison_plain
from tune_runs.random_arms import RandomArm
from tune_runs.resources import Allotment, Machine, allot, this_machine
from tune_runs.states import State, states_of
from tune_runs.sweep_overview import sweep_lines
from tune_runs.words import counted

Plain = dict[str, Any]
# Kinds of jobs in the order of the work, with the words for one and for several.
KINDS: dict[JobKind, tuple[str, str]] = {
    "search": ("search", "searches"),
    "random-search": ("random search", "random searches"),
    "select": ("selection", "selections"),
    "pretrain": ("pretraining", "pretrainings"),
    "train": ("training", "trainings"),
    "evaluate": ("evaluation", "evaluations"),
    "latency": ("timing", "timings"),
}


def plan_without_running(campaign: Campaign) -> tuple[Plan, str | None]:
    """The plan, and why the data could not be read, if it could not: then no job has an id yet.

    InputError where the data is there and cannot fill a batch, as in a run.
    """
    problems = Problems()
    opened = open_data(campaign, problems)
    if not problems.found:
        return plan_on(campaign, opened), None
    check_all(campaign, opened)
    return make_plan(campaign, NO_DATA), "\n".join(problems.found)


def plan_plain(
    plan: Plan,
    storage: Storage | None,
    missing: str | None,
    *,
    with_jobs: bool = False,
    machine: Machine | None = None,
    probe: Probe | None = None,
    memory: int | None = None,
) -> Plain:
    """What a plan says, as JSON values: on `machine`, by default this one; `probe` measures what jobs cost of
    which nothing is recorded; `memory` are the bytes of a GPU, by default of those here."""
    campaign, whole = plan.campaign, foreseen(plan)
    change, states = (None, {}) if storage is None or missing else _held_against(storage, plan)
    done = [plan.jobs[job_id].kind for job_id, state in states.items() if state.status == "done"]
    allotment = impossible = None
    try:
        allotment = allot(campaign.execution, campaign.placement, machine or this_machine())
    except InputError as error:
        impossible = str(error)
    plain: Plain = {
        "campaign": campaign.name,
        "claim": campaign.claim,
        **_data(plan, missing),
        "repeats": campaign.repeats,
        "protocol": plain_value(campaign.protocol),
        "evaluation": None if campaign.evaluation is None else plain_value(campaign.evaluation),
        "latency": None if campaign.latency is None else plain_value(campaign.latency),
        "baseline": campaign.baseline,
        "sweep": sweep_lines(campaign.sweep, plan.points) if campaign.sweep else [],
        "arms": [_arm(arm, campaign) for arm in campaign.arms],
        "entries": len(whole.entries),
        "shared": _shared(whole),
        "jobs": {kind: whole.count(kind) for kind in KINDS},
        "done": {kind: done.count(kind) for kind in KINDS} if states else None,
        "change": change,
        "resources": None if allotment is None else str(allotment),
        "resources_problem": impossible,
        "costs": None if missing or allotment is None else _costs(whole, storage, states, allotment, probe),
        "memory": None if missing or allotment is None else _memory(whole, allotment, memory),
        "comparison": _comparison(plan, storage, states),
    }
    return plain | ({"job_list": _job_list(plan, states, missing)} if with_jobs else {})


def _data(plan: Plan, missing: str | None) -> Plain:
    """What a campaign reads, and why it cannot be read here."""
    source, classes = plan.campaign.source, plan.campaign.classes
    return {
        "data": source.plain() if source else None,
        "data_fingerprint": plan.fingerprint or None,
        "classes": classes.plain() if classes else None,
        "classes_fingerprint": plan.classes or None,
        "data_sets": [
            {"name": name, **source.plain(), "fingerprint": None if missing else plan.fingerprints[name]}
            for name, source in plan.campaign.sets.items()
        ],
        "data_problem": missing,
    }


def _shared(plan: Plan) -> int:
    """How many jobs more there would be if arms shared none; the one that times all networks is nobody's."""
    asked = sum(not entry.timed for entry in plan.entries)
    return asked - sum(job.kind != "latency" for job in plan.jobs.values())


def _job_list(plan: Plan, states: Mapping[str, State], missing: str | None) -> list[Plain]:
    return [
        entry.plain()
        | {
            "data_set": plan.data_set(entry.job),
            "job": None if missing else entry.job,
            "status": states[entry.job].status if entry.job in states else None,
        }
        for entry in plan.entries
    ]


def _costs(
    plan: Plan,
    storage: Storage | None,
    states: Mapping[str, State],
    allotment: Allotment,
    probe: Probe | None,
) -> Plain:
    cancelled = frozenset() if storage is None else storage.cancelled(plan.campaign.name)
    left = left_of(plan, states, cancelled)
    estimates = {}
    if storage is not None:
        estimates = recorded(plan, left, storage, states, *devices_of(allotment, this_machine()))
    unknown = [job_id for job_id in left if job_id not in estimates or not estimates[job_id].here]
    if probe is not None and unknown:
        estimates |= probe(unknown)
    return costs_plain(left, estimates, allotment)


def _memory(plan: Plan, allotment: Allotment, memory: int | None) -> Plain | None:
    """What steps hold on a GPU; None where the memory of the GPUs is not known."""
    has = gpu_memory(allotment) if memory is None else memory
    return None if has is None else memory_plain(plan, allotment.execution, has)


def _comparison(plan: Plan, storage: Storage | None, states: Mapping[str, State]) -> Plain | None:
    """What the comparison with the baseline needs, by the test mAP of the trainings that are done; on every
    data set with the baseline that is trained on it."""
    teachers = {arm.name for arm in plan.campaign.teachers}  # trained once, and not compared
    trained = [entry for entry in plan.entries if entry.kind == "train" and entry.arm not in teachers]
    repeats = Counter(entry.arm for entry in trained)
    on = {entry.arm: plan.data_set(entry.job) for entry in trained}
    known = {name: arm for name, arm in plan.campaign.baselines.items() if arm in repeats}
    baselines = {arm: known[name] for arm in repeats if (name := on[arm]) in known and arm != known[name]}
    if not known:
        return None
    baseline = plan.campaign.baseline if len(known) > 1 else next(iter(known.values()))
    scores: dict[str, list[float]] = {arm: [] for arm in repeats}
    for entry in trained:
        if storage is not None and entry.job in states and states[entry.job].status == "done":
            finished = storage.job(entry.job).finished()
            score = finished and finished[1].result.get("evaluation", {}).get("mAP")
            scores[entry.arm] += [score] if score is not None else []
    return comparison_plain(scores, str(baseline), len(baselines), min(repeats.values()), baselines)


def _held_against(storage: Storage, plan: Plan) -> tuple[Plain, dict[str, State]]:
    """How a plan differs from the last launch, and the states of its jobs; InputError where a run would be
    refused."""
    change = change_of(storage, plan).plain()
    states = states_of(storage, {job_id: job.needs for job_id, job in plan.jobs.items()})
    problems = description_problems(storage, states)
    if problems:
        raise InputError(*problems)
    return change, states


def _arm(arm: Arm, campaign: Campaign) -> Plain:
    file = campaign.weights.get(arm.teacher) if arm.teacher else None
    return {
        "arm": arm.name,
        "search": None if arm.search is None else _search_words(arm.search),
        "genotype": arm.network,
        "random": None if arm.random is None else _random_words(arm.random),
        "select": None if arm.select is None else _select_words(arm.select),
        "pretrain": None if arm.pretrain is None else _pretrain_words(arm.pretrain),
        "train": None if arm.train is None else _train_words(arm.train),
        "stem": arm.stem,
        "searched_on": arm.searched_on,
        "trained_on": arm.trained_on,
        "teacher": str(file) if file else arm.teacher,
    }


def _search_words(recipe: SearchRecipe) -> str:
    how = f"k={recipe.k}" if recipe.relaxation == "top-k" else recipe.relaxation
    return f"{recipe.space}, {how}, {_shared_words(recipe)}"


def _random_words(random: RandomArm) -> str:
    if random.search is None:
        return f"{random.space}, one random architecture a repeat"
    return (
        f"{random.space}, random search: best of {random.search.samples} at the search's budget, "
        f"{_shared_words(random.search.train)} each"
    )


def _train_words(recipe: TrainRecipe) -> str:
    return f"{recipe.neck.name}, {_shared_words(recipe)}"


def _pretrain_words(recipe: PretrainRecipe) -> str:
    return (
        f"{recipe.height} x {recipe.width}, {_width_words(recipe)}batch {recipe.batch}, "
        f"{counted(recipe.epochs, 'epoch')}"
    )


def _select_words(recipe: SelectRecipe) -> str:
    if recipe.rule == "supernet":
        return "by the mAP of each genotype in its supernet, on the images that its search held out"
    return (
        f"by the mAP of a short training ({_train_words(recipe.train)}) without {recipe.fraction:.0%} of the "
        "training identities, on the images of these"
    )


def _shared_words(recipe: SearchRecipe | TrainRecipe) -> str:
    batch = f"{recipe.batch.identities} x {recipe.batch.images}"
    return (
        f"{recipe.height} x {recipe.width}, {_width_words(recipe)}batch {batch}, "
        f"{counted(recipe.epochs, 'epoch')}"
    )


def _width_words(recipe: SearchRecipe | PretrainRecipe | TrainRecipe) -> str:
    return f"width {recipe.width_multiplier:g}, " if recipe.width_multiplier != 1 else ""
