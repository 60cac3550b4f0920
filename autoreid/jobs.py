"""Jobs: what is computed, under an id that is the content of the question. Free of torch."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from autoreid.distilling import Recipe, check_teacher, effective
from autoreid.errors import InputError
from autoreid.evaluate_recipes import EvaluateRecipe
from autoreid.inputs import needs_of
from autoreid.latency_recipes import Build, LatencyRecipe
from autoreid.pretrain_recipes import PretrainRecipe
from autoreid.recipes import (
    AnyRecipe,
    RandomSearchRecipe,
    SearchRecipe,
    SelectRecipe,
    TrainRecipe,
)
from autoreid.values import canonical, canonical_json, digest, from_plain, plain
from autoreid.version import ENGINE_REVISION, STORAGE_VERSION
from search_spaces.genotype import Genotype

JobKind = Literal["search", "random-search", "select", "pretrain", "train", "evaluate", "latency"]
JobRecipe = AnyRecipe | PretrainRecipe | EvaluateRecipe | LatencyRecipe
RECIPES: dict[str, type[JobRecipe]] = {
    "search": SearchRecipe,
    "random-search": RandomSearchRecipe,
    "select": SelectRecipe,
    "pretrain": PretrainRecipe,
    "train": TrainRecipe,
    "evaluate": EvaluateRecipe,
    "latency": LatencyRecipe,
}
# What stands for the fingerprint of a data set where the images of a job are random.
RANDOM_PIXELS = "random-pixels"

# The seeds that each kind of job depends on; a selection that trains nothing has none of its own, and neither
# has an evaluation or what is timed.
SEEDS: dict[str, tuple[str, ...]] = {
    "search": ("split", "search"),
    "random-search": ("split", "search"),
    "select": ("split", "train"),
    "pretrain": ("train",),
    "train": ("train",),
    "evaluate": (),
    "latency": (),
}


@dataclass(frozen=True, slots=True)
class Job:
    """One search, one random search, one selection, one pretraining, one training, one evaluation, or the
    timing of several networks.

    `data` is the content fingerprint of the data set. `teacher` is what guides a recipe that distils: the id
    of a training, or "sha256:" and the digest of a model file. `genotype` is what is trained or pretrained: a
    genotype, or the id of the search, random search or selection that finds it. `pretraining` is the id of
    the pretraining whose weights a training begins with. `searches` are the ids of the searches that a
    selection chooses from, in the order in which ties are settled. `training` is the id of the training whose
    network is evaluated. `networks` are those that are timed, one for each of the recipe's, as `genotype`.
    `seeds` holds exactly the seeds that the job depends on (`SEEDS`).
    """

    kind: JobKind
    recipe: JobRecipe
    data: str
    seeds: tuple[tuple[str, int], ...]
    genotype: Genotype | str | None = None
    searches: tuple[str, ...] = ()
    pretraining: str | None = None
    teacher: str | None = None
    training: str | None = None
    networks: tuple[Genotype | str, ...] = ()

    @property
    def inputs(self) -> dict[str, Any]:
        """What the job starts from, as plain values."""
        given: dict[str, Any] = {"jobs": list(self.searches)} if self.searches else {}
        if isinstance(self.genotype, Genotype):
            given["genotype"] = self.genotype.plain()
        elif self.genotype is not None:
            given["job"] = self.genotype
        for name in ("pretraining", "teacher", "training"):
            if getattr(self, name) is not None:
                given[name] = getattr(self, name)
        if self.networks:
            given["networks"] = [_plain_network(network) for network in self.networks]
        return given

    @property
    def needs(self) -> tuple[str, ...]:
        """Ids of the jobs that must be done first."""
        return needs_of(self.inputs)

    @property
    def alone(self) -> bool:
        """Whether nothing else of a campaign may run beside it, which would make what it times slower."""
        return self.kind == "latency"

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width to which images are decoded beforehand; None where those of other jobs are taken,
        or where images are read as they are asked for."""
        if isinstance(self.recipe, (PretrainRecipe, EvaluateRecipe, LatencyRecipe)):
            return None
        if isinstance(self.recipe, SelectRecipe):
            train = self.recipe.train
            return (train.height, train.width) if self.recipe.rule == "retrain" else None
        recipe = self.recipe.train if isinstance(self.recipe, RandomSearchRecipe) else self.recipe
        return recipe.height, recipe.width

    @property
    def epochs(self) -> int:
        """How many epochs the job takes; a selection takes one for each candidate or, where it trains them,
        for each of their epochs. Fewer where searches found the same genotype. Evaluations and timings take
        one."""
        if isinstance(self.recipe, SelectRecipe):
            each = self.recipe.train.epochs if self.recipe.rule == "retrain" else 1
            return each * len(self.searches)
        if isinstance(self.recipe, RandomSearchRecipe):
            return self.recipe.samples * self.recipe.train.epochs
        if isinstance(self.recipe, (EvaluateRecipe, LatencyRecipe)):
            return 1
        return self.recipe.epochs

    def _id(self, recipe: Any) -> str:
        """The id, given the recipe in canonical form."""
        return digest(
            {
                "kind": self.kind,
                "recipe": recipe,
                "inputs": self.inputs,
                "seeds": dict(self.seeds),
                "data": self.data,
                "engine_revision": ENGINE_REVISION,
            }
        )[:32]

    @property
    def id(self) -> str:
        """32 hexadecimal digits of the SHA-256 over everything that changes the result."""
        return self._id(canonical(self.recipe))

    @property
    def recipe_digest(self) -> str:
        """12 hexadecimal digits that name the recipe."""
        return digest(canonical(self.recipe))[:12]

    def plain(self) -> dict[str, Any]:
        """The job as JSON values: what job.json and manifests hold."""
        recipe = canonical(self.recipe)
        return {
            "version": STORAGE_VERSION,
            "id": self._id(recipe),
            "kind": self.kind,
            "recipe": plain(self.recipe),
            "recipe_digest": digest(recipe)[:12],
            "inputs": self.inputs,
            "seeds": dict(self.seeds),
            "data": self.data,
            "engine_revision": ENGINE_REVISION,
        }

    @classmethod
    def from_plain(cls, given: Mapping[str, Any], place: str = "job") -> Job:
        """Read what `plain` wrote; an id that does not fit the content is an InputError."""
        try:
            kind: JobKind = given["kind"]
            recipe = from_plain(RECIPES[kind], given["recipe"], f"{place}.recipe")
            inputs = given["inputs"]
            genotype = Genotype.from_plain(inputs["genotype"]) if "genotype" in inputs else inputs.get("job")
            seeds = tuple(sorted(given["seeds"].items()))
            others = {name: inputs.get(name) for name in ("pretraining", "teacher", "training")}
            searches = tuple(inputs.get("jobs", ()))
            networks = tuple(map(_network, inputs.get("networks", ())))
            job = cls(kind, recipe, given["data"], seeds, genotype, searches, **others, networks=networks)
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{place}: not a job of this release ({error!r}).") from None
        if given.get("id") != job.id:
            raise InputError(
                f"{place}: its content gives the id {job.id}, but {given.get('id')} is written. It was "
                f"altered, or is of another engine revision than {ENGINE_REVISION}: plan the campaign again."
            )
        return job


def _plain_network(network: Genotype | str) -> Any:
    return network if isinstance(network, str) else network.plain()


def _network(given: Any) -> Genotype | str:
    return given if isinstance(given, str) else Genotype.from_plain(given)


@functools.lru_cache(maxsize=256)
def _coerced(recipe: Recipe) -> Recipe:
    """The recipe with every field of its declared type and within its bounds, and nothing that has no
    effect: `1` and `1.0` are one id."""
    return effective(from_plain(type(recipe), plain(recipe), "recipe"))


def search_job(
    recipe: SearchRecipe, data: str, *, split_seed: int, search_seed: int, teacher: str | None = None
) -> Job:
    """The teacher is that of a recipe that distils, in every job."""
    check_teacher(recipe, teacher)
    seeds = (("search", search_seed), ("split", split_seed))
    return Job("search", _coerced(recipe), data, seeds, teacher=teacher)


def random_search_job(
    recipe: RandomSearchRecipe, data: str, *, split_seed: int, search_seed: int, teacher: str | None = None
) -> Job:
    """The seeds are those of the division of the training set; and of the samples and their trainings."""
    check_teacher(recipe, teacher)
    seeds = (("search", search_seed), ("split", split_seed))
    return Job("random-search", _coerced(recipe), data, seeds, teacher=teacher)


def train_job(
    recipe: TrainRecipe,
    data: str,
    genotype: Genotype | str,
    *,
    train_seed: int,
    pretraining: str | None = None,
    teacher: str | None = None,
) -> Job:
    """`genotype` is a genotype or the id of the search, random-search or select job that finds it;
    `pretraining` the id of the pretraining of the same network whose weights it begins with.

    InputError where the recipe names weights too.
    """
    if pretraining and recipe.weights:
        raise InputError(f"weights: {recipe.weights}, and a pretraining is given too. Leave one of them out.")
    check_teacher(recipe, teacher)
    seeds = (("train", train_seed),)
    return Job("train", _coerced(recipe), data, seeds, genotype, pretraining=pretraining, teacher=teacher)


def pretrain_job(recipe: PretrainRecipe, data: str, genotype: Genotype | str, *, train_seed: int) -> Job:
    """`data` is the fingerprint of what is classified; `genotype` as in `train_job`."""
    return Job("pretrain", _coerced(recipe), data, (("train", train_seed),), genotype)


def select_job(
    recipe: SelectRecipe,
    data: str,
    searches: Sequence[str],
    *,
    split_seed: int = 0,
    train_seed: int = 0,
    teacher: str | None = None,
) -> Job:
    """The best of several searches, given by their ids; the first of equally good ones is chosen.

    The seeds are those of a selection that trains: which identities it leaves out, and its trainings.
    InputError where there is no search, or one is given twice.
    """
    if not searches or len(set(searches)) < len(searches):
        raise InputError(
            f"searches: {len(searches)} ids, {len(set(searches))} different. Give each search once."
        )
    seeds = (("split", split_seed), ("train", train_seed)) if recipe.rule == "retrain" else ()
    check_teacher(recipe, teacher)
    return Job("select", _coerced(recipe), data, seeds, searches=tuple(searches), teacher=teacher)


def evaluate_job(recipe: EvaluateRecipe, data: str, training: str) -> Job:
    """`training` is the id of the training whose network is evaluated, `data` the set whose queries and
    gallery it ranks."""
    recipe = from_plain(EvaluateRecipe, plain(recipe), "recipe").effective()
    return Job("evaluate", recipe, data, (), training=training)


def latency_job(recipe: LatencyRecipe, networks: Iterable[tuple[Genotype | str, Build]]) -> Job:
    """`networks` are timed side by side: each a genotype, or the id of the job that finds it, and what builds
    it. Neither their order nor how often one is given makes another job. The images are random.

    InputError where there is none.
    """
    ordered = {
        canonical_json([_plain_network(network), canonical(build)]): (network, build)
        for network, build in networks
    }
    if not ordered:
        raise InputError("networks: none to time. Give at least one.")
    chosen = [ordered[key] for key in sorted(ordered)]
    recipe = replace(recipe, networks=tuple(build for _, build in chosen))
    recipe = from_plain(LatencyRecipe, plain(recipe), "recipe")
    return Job("latency", recipe, RANDOM_PIXELS, (), networks=tuple(network for network, _ in chosen))
