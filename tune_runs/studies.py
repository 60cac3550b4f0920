"""What Optuna does for a sweep: the next point, which points are hopeless, and a file for optuna-dashboard.

A study of Optuna is built from the points whenever one is needed: they are the truth, and nothing of Optuna's
is kept beside them. Its sampler is seeded by the number of the point, so that it does not repeat itself.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoreid.values import digest
from tune_runs.domains import Choice, Domain
from tune_runs.points import Point, answered
from tune_runs.sweeps import AIMS, Study, Swept

if TYPE_CHECKING:
    import optuna

# The name of the choice among the arms of a study.
ARM = "arm"
# Points that are chosen at random before the sampler learns: a third of all, at least 3 and at most 10.
FEWEST_RANDOM, MOST_RANDOM = 3, 10
# Points of a generation of NSGA-II: a fourth of all, at least 4 and at most 50.
FEWEST_IN_A_GENERATION, MOST_IN_A_GENERATION = 4, 50


def next_point(study: Study, points: Sequence[Point], attempt: int = 0) -> Point:
    """The point that a study asks for after these of its own. It may be one that is known, or that runs:
    another `attempt` may give another one."""
    with _quiet():
        built = _built(study, points, attempt)
        trial = built.ask()
        swept = study.swept[0]
        if len(study.swept) > 1:
            name = trial.suggest_categorical(ARM, [swept.name for swept in study.swept])
            swept = next(swept for swept in study.swept if swept.name == name)
        values: dict[str, Any] = {}
        for domain in swept.domains:
            if domain.applies(values):
                values[domain.name] = _suggested(trial, domain, _name(study, swept, domain))
        attributes = built.trials[-1].system_attrs
    # The sampler's generation, without which NSGA-II would begin anew.
    notes = {key: value for key, value in attributes.items() if isinstance(value, int)}
    return Point(study.name, len(points), swept.name, values, notes=notes)


def is_hopeless(study: Study, points: Sequence[Point], point: Point) -> bool:
    """Whether a point is to be given up: from its curve, against those of the finished ones of its arm."""
    settings = study.settings
    if not settings.pruning or not point.curve:
        return False
    import optuna  # deferred: slow to load

    pruner = optuna.pruners.MedianPruner(
        n_startup_trials=settings.pruning_points, n_warmup_steps=settings.pruning_epoch
    )
    with _quiet():
        built = optuna.create_study(direction="maximize")
        others = [other for other in points if other.number != point.number and other.arm == point.arm]
        built.add_trials([_trial(study, _by_curve(other)) for other in [*others, point]])
        return bool(pruner.prune(built, built.trials[-1]))


def export_study(study: Study, points: Sequence[Point], file: Path, *, name: str) -> None:
    """Write a study as a journal file, which optuna-dashboard opens; one that is there gets another study."""
    import optuna  # deferred: slow to load
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    with _quiet():
        directions = [AIMS[aim] for aim in study.settings.aims]
        made = optuna.create_study(
            study_name=name,
            directions=directions,
            storage=JournalStorage(JournalFileBackend(str(file))),
        )
        made.set_metric_names(list(study.settings.aims))
        made.add_trials([_trial(study, point) for point in answered(points)])


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's log, and its warnings about arguments that may change."""
    import optuna  # deferred: slow to load

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


def _built(study: Study, points: Sequence[Point], attempt: int) -> optuna.Study:
    """Optuna's study of these points, in memory, with a sampler for the next one."""
    import optuna  # deferred: slow to load

    directions = [AIMS[aim] for aim in study.settings.aims]
    made = optuna.create_study(directions=directions, sampler=_sampler(study, len(points), attempt))
    made.add_trials([_trial(study, point) for point in answered(points)])
    return made


def _sampler(study: Study, asked: int, attempt: int) -> optuna.samplers.BaseSampler:
    from optuna import samplers  # deferred: slow to load

    settings = study.settings
    again = [attempt] if attempt else []
    seed = int(digest([settings.seed, study.name, asked, *again])[:8], 16)
    if study.sampler == "random":
        return samplers.RandomSampler(seed=seed)
    if study.sampler == "nsga2":
        size = min(max(settings.points // 4, FEWEST_IN_A_GENERATION), MOST_IN_A_GENERATION)
        return samplers.NSGAIISampler(population_size=size, seed=seed)
    random = min(max(settings.points // 3, FEWEST_RANDOM), MOST_RANDOM)
    # Domains of different arms are groups; points that still run count as bad ones, so that they stay single.
    return samplers.TPESampler(
        n_startup_trials=random, multivariate=True, group=True, constant_liar=True, seed=seed
    )


def _suggested(trial: optuna.Trial, domain: Domain, name: str) -> Any:
    values = domain.values
    if isinstance(values, Choice):
        label = trial.suggest_categorical(name, values.labels)
        return values.values[_place(values, label)]
    step = values.step or None
    if values.whole:
        return trial.suggest_int(name, int(values.low), int(values.high), step=int(step or 1), log=values.log)
    return values.rounded(trial.suggest_float(name, values.low, values.high, step=step, log=values.log))


def _place(choice: Choice, label: Any) -> int:
    """Where a label stands; 1 and true are two."""
    return next(
        place for place, other in enumerate(choice.labels) if (type(other), other) == (type(label), label)
    )


def _name(study: Study, swept: Swept, domain: Domain) -> str:
    """What Optuna calls a domain: in a study of several arms each has its own."""
    return f"{swept.name}: {domain.name}" if len(study.swept) > 1 else domain.name


def _trial(study: Study, point: Point) -> optuna.trial.FrozenTrial:
    """A point as Optuna holds it. What is settled without a figure is a failed trial to it."""
    import optuna  # deferred: slow to load

    states = optuna.trial.TrialState
    state = {"open": states.RUNNING, "pruned": states.PRUNED, "failed": states.FAIL}.get(
        point.state, states.COMPLETE if point.scores else states.FAIL
    )
    swept = study.arm(point.arm)
    assert swept is not None
    params: dict[str, Any] = {}
    distributions: dict[str, Any] = {}
    if len(study.swept) > 1:
        params[ARM] = swept.name
        names = [swept.name for swept in study.swept]
        distributions[ARM] = optuna.distributions.CategoricalDistribution(names)
    for domain in swept.domains:
        if domain.name in point.values:
            name = _name(study, swept, domain)
            params[name], distributions[name] = _held(domain, point.values[domain.name])
    return optuna.trial.create_trial(
        state=state,
        values=list(point.scores) if state == states.COMPLETE else None,
        params=params,
        distributions=distributions,
        system_attrs=dict(point.notes),
        user_attrs={"jobs": list(point.jobs)} | ({"reason": point.reason} if point.reason else {}),
        intermediate_values=dict(point.curve),
    )


def _held(domain: Domain, value: Any) -> tuple[Any, optuna.distributions.BaseDistribution]:
    """A value of a domain as Optuna takes it, and what it is chosen from."""
    from optuna import distributions  # deferred: slow to load

    values = domain.values
    if isinstance(values, Choice):
        place = [value == other and type(value) is type(other) for other in values.values].index(True)
        return values.labels[place], distributions.CategoricalDistribution(values.labels)
    step = values.step or None
    if values.whole:
        low, high = int(values.low), int(values.high)
        return value, distributions.IntDistribution(low, high, log=values.log, step=int(step or 1))
    return value, distributions.FloatDistribution(values.low, values.high, log=values.log, step=step)


def _by_curve(point: Point) -> Point:
    """The point as pruning sees it: what it was worth in the end has no part in it."""
    return replace(point, scores=(0.0,) if point.state == "done" else ())
