"""What jobs take by the records of a storage: of jobs that differ in their seeds alone, or of like sizes."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from autoreid.attempts import INTERRUPTED, Attempt
from autoreid.distilling import distils
from autoreid.errors import InputError
from autoreid.folders import read_json
from autoreid.jobs import Job
from autoreid.recipes import SelectRecipe
from autoreid.storage import JobFolder, Storage
from autoreid.values import canonical, digest
from search_spaces.genotype import Genotype
from tune_runs.costs import Estimate
from tune_runs.words import counted

# Fields of a recipe that say nothing of what a step costs; epochs are counted apart.
FREE = frozenset(
    {"epochs", "optimizer", "alpha_optimizer", "objective", "alpha_objective", "alpha_scale", "augmentation"}
)
# So many records of one question are enough.
MOST_RECORDS = 20
# How far a job may lie beside the mean of few records: at least so far, and of a single one so far.
LEAST_MARGIN, SINGLE_MARGIN = 0.1, 0.25

# The device that computed a job, and its threads.
Device = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Past:
    """What a job of the storage took: seconds beside its epochs, and those of its epochs together.

    Of one that is not finished the former are not known, and 0.
    """

    finished: bool
    other_seconds: float
    epochs_seconds: float
    epochs: int
    device: Device | None
    peak_memory_bytes: int | None
    kept_bytes: int | None
    checkpoint_bytes: int | None

    def seconds(self, epochs: int | None) -> float:
        """What it would take with so many epochs; with its own for None."""
        share = 1.0 if epochs is None or not self.epochs else epochs / self.epochs
        return self.other_seconds + share * self.epochs_seconds


def past_of(folder: JobFolder) -> Past | None:
    """What a job took; None where nothing is recorded."""
    attempts = folder.attempts()
    finished = folder.finished(attempts)
    if finished is None:
        return _begun(attempts)
    attempt, outcome = finished
    seconds = outcome.facts.get("wall_seconds")
    if not isinstance(seconds, (int, float)):
        return None
    times = _times(attempt)
    # An interrupted attempt was continued, so it is a part of the job; a failed one is not.
    seconds += sum(other.interrupted_seconds() for other in attempts if other.outcome() is None)
    epochs = min(sum(times), seconds)
    kept = sum(vouched["bytes"] for vouched in outcome.files.values())
    peak = outcome.facts.get("peak_memory_bytes")
    return Past(True, seconds - epochs, epochs, len(times), _device(outcome.facts), peak, kept, None)


def _begun(attempts: Sequence[Attempt]) -> Past | None:
    """What is known of a job that is not finished, by the attempt with the most epochs."""
    times, attempt = max(((_times(attempt), attempt) for attempt in attempts), key=_count, default=([], None))
    if attempt is None or not times:
        return None
    try:
        facts = json.loads(attempt.folder.read(INTERRUPTED))
    except (FileNotFoundError, ValueError):
        facts = {}
    sizes = attempt.sizes or {}
    saved = sum(size for name, size in sizes.items() if name.startswith("checkpoints/"))
    peak = facts.get("peak_memory_bytes")
    return Past(False, 0.0, sum(times), len(times), _device(facts), peak, None, saved or None)


def _count(found: tuple[list[float], Attempt]) -> int:
    return len(found[0])


def _times(attempt: Attempt) -> list[float]:
    """The seconds of every epoch that is recorded; none where the records are damaged."""
    try:
        rows = attempt.records()
        return [row["wall_seconds"] + (row.get("health_seconds") or 0.0) for row in rows]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _device(facts: Mapping[str, Any]) -> Device | None:
    return (str(facts["device"]), int(facts["threads"])) if {"device", "threads"} <= facts.keys() else None


class Questions:
    """What jobs ask beside their seeds, as digests: in full, and as far as it makes a job's size."""

    def __init__(self, jobs: Mapping[str, Job]) -> None:
        self.jobs = jobs
        self._full: dict[str, str] = {}

    def full(self, job_id: str) -> str:
        """Equal for jobs that differ in their seeds alone, and in those of the jobs that they need."""
        if job_id not in self._full:
            job = self.jobs.get(job_id)
            # Of a job that is not described here nothing is known: it equals itself alone.
            self._full[job_id] = job_id if job is None else digest(self._asked(job))
        return self._full[job_id]

    def _asked(self, job: Job) -> list[Any]:
        network = job.genotype and self._network(job.genotype)
        searches = sorted(self.full(search) for search in job.searches)
        asked = [job.kind, _recipe(job.recipe), job.data, network, searches, bool(job.pretraining)]
        asked += [[self._network(one) for one in job.networks]] if job.networks else []
        return asked if job.training is None else [*asked, self.full(job.training)]

    def _network(self, given: Genotype | str) -> str:
        return given.digest if isinstance(given, Genotype) else self.full(given)

    def sized(self, job_id: str) -> str:
        """Equal for jobs whose steps are alike: the same kind, data and sizes, and networks of one space."""
        job = self.jobs[job_id]
        if job.kind in ("random-search", "latency"):
            return self.full(job_id)
        if isinstance(job.recipe, SelectRecipe):
            return self._judged(job, job.recipe)
        if job.training is not None:
            trained = self.sized(job.training) if job.training in self.jobs else job.training
            return digest([job.kind, _recipe(job.recipe), job.data, trained])
        given = job.genotype
        network = given.digest if isinstance(given, Genotype) else given and self._space(given)
        return digest([job.kind, _sizes(job.recipe), job.data, network, distils(job.recipe)])

    def _judged(self, job: Job, recipe: SelectRecipe) -> str:
        """Equal for selections with the same rule, of as many searches of the same sizes."""
        searches = sorted(self.sized(search) if search in self.jobs else search for search in job.searches)
        training = [_sizes(recipe.train), recipe.train.epochs, distils(recipe)]
        return digest([job.kind, recipe.rule, recipe.fraction, training, job.data, searches])

    def _space(self, job_id: str) -> str:
        """The space of the network that a job finds."""
        job = self.jobs.get(job_id)
        if job is None:
            return job_id
        space = getattr(job.recipe, "space", None)
        return str(space) if space else self._space(job.searches[0])


@functools.lru_cache(maxsize=256)
def _recipe(recipe: object) -> str:
    return digest(canonical(recipe))


@functools.lru_cache(maxsize=256)
def _sizes(recipe: object) -> str:
    return digest({name: value for name, value in canonical(recipe).items() if name not in FREE})


def estimated(seconds: Sequence[float], source: str, like: Sequence[Past] = ()) -> Estimate:
    """What one more job takes that is like others: Student's prediction interval, in shares of their mean.

    >>> estimated([90.0, 100.0, 110.0], "three jobs").expected
    100.0
    >>> [round(estimated(given, "").high, 1) for given in ([100.0], [100.0, 100.0], [90.0, 100.0, 110.0])]
    [125.0, 110.0, 149.7]
    """
    mean = fmean(seconds)
    margin = SINGLE_MARGIN
    if len(seconds) > 1:
        from scipy import special  # deferred: heavy

        reach = float(special.stdtrit(len(seconds) - 1, 0.975)) * math.sqrt(1 + 1 / len(seconds))
        margin = max(LEAST_MARGIN, reach * stdev(seconds) / mean)
    found = [[getattr(past, name) for past in like] for name in ("peak_memory_bytes", "kept_bytes")]
    peak, kept = (max((value for value in values if value is not None), default=None) for values in found)
    saved = max((past.checkpoint_bytes for past in like if past.checkpoint_bytes), default=None)
    return Estimate(mean / (1 + margin), mean, mean * (1 + margin), source, peak, kept, saved)


class Records:
    """The records of a storage, of which as few are read as are needed."""

    def __init__(self, storage: Storage, jobs: Mapping[str, Job], begun: Iterable[str]) -> None:
        """`jobs` are those of a plan, of which those `begun` have records."""
        self.storage = storage
        self.questions = Questions(jobs)
        self._pasts: dict[str, Past | None] = {}
        self._found: dict[str, Estimate | None] = {}
        self._of: dict[str, list[str]] = {}
        self._complete = False
        self._note(begun)

    def _note(self, jobs: Iterable[str]) -> None:
        for job_id in jobs:
            full, sized = self.questions.full(job_id), self.questions.sized(job_id)
            for question in dict.fromkeys((full, sized)):
                self._of.setdefault(question, []).append(job_id)

    def _read_others(self) -> None:
        """Take up what the storage holds beside the plan."""
        self._complete = True
        others: dict[str, Job] = {}
        for job_id in self.storage.jobs():
            if job_id not in self.questions.jobs:
                try:
                    folder = self.storage.job(job_id).folder
                    others[job_id] = Job.from_plain(read_json(folder, "job.json"))
                except (InputError, FileNotFoundError):
                    continue  # of another release, or damaged: it says nothing
        self.questions = Questions({**others, **self.questions.jobs})
        self._note(others)

    def _past(self, job_id: str) -> Past | None:
        if job_id not in self._pasts:
            self._pasts[job_id] = past_of(self.storage.job(job_id))
        return self._pasts[job_id]

    def _like(self, question: str) -> list[Past]:
        found = (self._past(job_id) for job_id in self._of.get(question, ())[:MOST_RECORDS])
        return [past for past in found if past is not None]

    def estimate(self, job_id: str, device: Device | None) -> Estimate | None:
        """What a job takes by the records: by those of this device, else by those of another one, which is
        then named."""
        question = self.questions.full(job_id)
        if question not in self._found:
            found = self._estimate(job_id, device)
            if found is None and not self._complete:
                self._read_others()
                found = self._estimate(job_id, device)
            self._found[question] = found
        return self._found[question]

    def _estimate(self, job_id: str, device: Device | None) -> Estimate | None:
        epochs = getattr(self.questions.jobs[job_id].recipe, "epochs", None)
        same, alike = (self._like(ask(job_id)) for ask in (self.questions.full, self.questions.sized))
        begun = [past for past in [*same, *alike] if not past.finished]
        for here in (True, False):
            for pasts, count, words in (
                # As they were: a search may stop early.
                ([past for past in same if past.finished], None, "jobs with other seeds"),
                ([past for past in alike if past.finished], epochs, "jobs of the same sizes"),
                (begun, epochs, "epochs of jobs that have begun"),
            ):
                chosen = [past for past in pasts if here == (past.device in (None, device))]
                if chosen:
                    return _of_records(chosen, count, words, here=here)
        return None


def _of_records(pasts: Sequence[Past], epochs: int | None, words: str, *, here: bool) -> Estimate:
    others = {past.device for past in pasts if past.device and not here}
    where = [f" on {name} with {counted(threads, 'thread')}" for name, threads in sorted(others)]
    found = estimated([past.seconds(epochs) for past in pasts], f"{words}{' and'.join(where)}", pasts)
    return dataclasses.replace(found, here=here)
