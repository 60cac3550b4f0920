"""Which of several searches found the best genotype, by validation: the test set is never looked at.

`SupernetSelection` takes the mAP of each genotype in its own supernet, among the images that its search held
out. `RetrainSelection` trains each of them for a short while without some identities, and takes the mAP among
the images of these.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from autoreid.attempts import Attempt, Outcome
from autoreid.epochs import Position
from autoreid.errors import InputError
from autoreid.execution import Execution
from autoreid.feed import PreparedData
from autoreid.folders import read_json
from autoreid.jobs import Job
from autoreid.optimisation import set_up
from autoreid.recipes import SearchRecipe, SelectRecipe, recipe_problems
from autoreid.short_trainings import Scores, ShortTrainings
from autoreid.snapshots import from_bytes
from autoreid.storage import Storage
from autoreid.validation import divided, score_in_supernet
from autoreid.weights import WeightFile
from search_spaces.genotype import Genotype

# The data decoded to a height and a width.
Sized = Callable[[int, int], PreparedData]
SCORES = ("mAP", "rank_1", "queries")


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A finished search: its job, its recipe, the genotype that it found, and the attempt that counts."""

    job: Job
    recipe: SearchRecipe
    genotype: Genotype
    attempt: Attempt
    outcome: Outcome

    def supernet(self) -> dict[str, Tensor]:
        """The weights of the supernet at the end of the search, their digest checked."""
        data = self.attempt.vouched("supernet.pt", self.outcome)
        weights: dict[str, Tensor] = from_bytes(data, f"{self.attempt.folder}/supernet.pt", ("model",))[
            "model"
        ]
        return weights


def read_candidates(job: Job, storage: Storage) -> list[Candidate]:
    """The searches that a selection chooses from, none for another kind of job; InputError with each that is
    not done, or does not fit."""
    found: list[Candidate] = []
    problems: list[str] = []
    for search_id in job.searches:
        folder = storage.job(search_id)
        finished, place = folder.finished(), str(folder.folder)
        if finished is None:
            problems.append(f"{place}: the search is not done. Run it first.")
            continue
        search = Job.from_plain(read_json(folder.folder, "job.json"), f"{place}/job.json")
        if not isinstance(search.recipe, SearchRecipe):
            problems.append(f"{place}: a {search.kind} job. Select from searches.")
        elif search.data != job.data:
            problems.append(f"{place}: a search on other data. Select from searches on the same images.")
        else:
            genotype = Genotype.from_plain(finished[1].result["genotype"], place)
            found.append(Candidate(search, search.recipe, genotype, *finished))
    if problems:
        raise InputError(*problems)
    return found


def best(scores: Sequence[float]) -> int:
    """The place of the highest score; of equal ones the first.

    >>> best([0.3, 0.5, 0.5])
    1
    """
    return scores.index(max(scores))


def selection(candidates: Sequence[Candidate], scores: Scores) -> dict[str, Any]:
    """The result of a selection: what every search scored, and the one that was chosen."""
    chosen = best([score["mAP"] for score in scores])
    genotype = candidates[chosen].genotype
    return {
        "genotype": genotype.plain(),
        "genotype_digest": genotype.digest,
        "search": candidates[chosen].job.id,
        "validation_mAP": scores[chosen]["mAP"],
        "scores": [
            {"search": candidate.job.id, "genotype_digest": candidate.genotype.digest}
            | {name: score[name] for name in SCORES}
            for candidate, score in zip(candidates, scores, strict=True)
        ],
    }


class SupernetSelection:
    """Scores one search after the other in its supernet; an epoch is one search."""

    def __init__(self, candidates: Sequence[Candidate], sized: Sized, execution: Execution) -> None:
        self.candidates, self.sized, self.execution = candidates, sized, execution
        self.device = set_up(execution, candidates[0].recipe.precision)
        self.position = Position(len(candidates), 1)
        self.scores: list[dict[str, Any]] = []

    def advance(self) -> dict[str, Any]:
        """Score the next search; its record."""
        begin = time.perf_counter()
        candidate = self.candidates[len(self.scores)]
        data = self.sized(candidate.recipe.height, candidate.recipe.width)
        found = score_in_supernet(
            candidate.recipe,
            candidate.genotype,
            candidate.supernet(),
            data,
            split_seed=dict(candidate.job.seeds)["split"],
            execution=self.execution,
            pulse=self.position.pulse,
        )
        self.scores.append(found.plain({}))
        self.position.epoch_seconds = time.perf_counter() - begin
        return {
            "epoch": self.position.epoch + 1,
            "search": candidate.job.id,
            "validation_mAP": found.mean_average_precision,
            "wall_seconds": self.position.next_epoch(),
        }

    def check(self) -> None:
        """Scores are finite: features that are not were refused."""

    def state(self) -> dict[str, Any]:
        """The scores so far."""
        return {"position": self.position.state(), "scores": json.dumps(self.scores)}

    def load(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken."""
        self.position.load(state["position"], self.device)
        self.scores = json.loads(state["scores"])

    def finish(self) -> tuple[dict[str, Any], dict[str, bytes]]:
        """The result, and the chosen genotype as a file."""
        return finished(self.candidates, self.scores, self.position.seconds)


def finished(
    candidates: Sequence[Candidate], scores: Scores, seconds: float
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What a selection leaves behind: the result, and the chosen genotype as a file."""
    result = selection(candidates, scores) | {"select_seconds": seconds}
    genotype = Genotype.from_plain(result["genotype"])
    return result, {"genotype.json": genotype.to_json().encode()}


Selection = SupernetSelection | ShortTrainings


def build_selection(
    job: Job,
    recipe: SelectRecipe,
    candidates: Sequence[Candidate],
    sized: Sized,
    execution: Execution,
    teacher: WeightFile | None = None,
) -> Selection:
    """The run of a select job among searches that are done."""
    problems = [f"{name}: {message}" for name, message in recipe_problems(recipe)]
    if problems:
        raise InputError(*problems)
    if recipe.rule == "supernet":
        return SupernetSelection(candidates, sized, execution)
    seeds = dict(job.seeds)
    # A genotype that several searches found is trained once.
    genotypes = list(dict.fromkeys(candidate.genotype for candidate in candidates))

    def conclude(scores: Scores, seconds: float) -> tuple[dict[str, Any], dict[str, bytes]]:
        by_genotype = dict(zip(genotypes, scores, strict=True))
        return finished(candidates, [by_genotype[found.genotype] for found in candidates], seconds)

    return ShortTrainings(
        recipe.train,
        genotypes,
        divided(sized(recipe.train.height, recipe.train.width), recipe.fraction, seeds["split"]),
        train_seed=seeds["train"],
        execution=execution,
        conclude=conclude,
        teacher=teacher,
    )
