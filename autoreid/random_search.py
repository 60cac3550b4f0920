"""Random architectures, and random search at the budget of a search: the baselines of every search."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch

from autoreid.complexity import measure
from autoreid.errors import InputError
from autoreid.execution import Execution
from autoreid.feed import split_positions
from autoreid.jobs import Job
from autoreid.optimisation import stream
from autoreid.recipes import Neck, RandomSearchRecipe, recipe_problems
from autoreid.selecting import SCORES, Sized, best
from autoreid.short_trainings import Scores, ShortTrainings
from autoreid.validation import divided
from autoreid.weights import WeightFile
from search_spaces.genotype import Genotype
from search_spaces.registry import find_space

# So many draws for each architecture that is wanted: a space that gives fewer different ones is too small.
DRAWS = 100


def sampled(space_id: str, seed: int) -> Genotype:
    """One architecture of a space, uniformly at random.

    >>> sampled("cs-v1", 0) == sampled("cs-v1", 0) != sampled("cs-v1", 1)
    True
    """
    generator = torch.Generator().manual_seed(stream(seed, "random sampling"))
    return find_space(space_id).sample(generator)


def candidates(space_id: str, count: int, seed: int) -> list[Genotype]:
    """Different architectures of a space, uniformly at random, in the order in which they were drawn.

    They are drawn apart from `sampled`, so that the two random arms of a campaign tell two things.
    """
    generator = torch.Generator().manual_seed(stream(seed, "random search"))
    space = find_space(space_id)
    found: dict[Genotype, None] = {}
    for _ in range(DRAWS * count):
        found[space.sample(generator)] = None
        if len(found) == count:
            return list(found)
    raise InputError(
        f"samples: {count}, but only {len(found)} different architectures of {space_id} were drawn in "
        f"{DRAWS * count} draws. Use at most {len(found)}."
    )


def weight_images(recipe: RandomSearchRecipe, labels: np.ndarray, split_seed: int) -> int:
    """How many images the search whose budget is taken has for its weights; `labels` are the identities of
    all training images."""
    return len(split_positions(recipe.budget.split, labels, stream(split_seed, "split"))[0])


def _result(
    recipe: RandomSearchRecipe,
    genotypes: list[Genotype],
    budget: int,
    seen: int,
    scores: Scores,
    seconds: float,
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What a random search leaves behind: every sample's score, the best one, and the budgets."""
    chosen = best([score["mAP"] for score in scores])
    genotype = genotypes[chosen]
    counts = measure(
        genotype, Neck(name="blneck"), identities=2, height=recipe.train.height, width=recipe.train.width
    )
    result = {
        "genotype": genotype.plain(),
        "genotype_digest": genotype.digest,
        "validation_mAP": scores[chosen]["mAP"],
        "scores": [
            {"genotype_digest": sample.digest} | {name: score[name] for name in SCORES}
            for sample, score in zip(genotypes, scores, strict=True)
        ],
        "samples": len(genotypes),
        "params_backbone": counts.params.backbone,
        "images_seen": seen,
        "budget_images": budget,
        "search_seconds": seconds,
        "milliseconds_per_image": 1000 * seconds / seen,
    }
    return result, {"genotype.json": genotype.to_json().encode()}


def build_random_search(
    job: Job,
    recipe: RandomSearchRecipe,
    sized: Sized,
    execution: Execution,
    teacher: WeightFile | None = None,
) -> ShortTrainings:
    """The run of a random-search job; InputError, with every mistake, where it cannot be run."""
    train, space = recipe.train, find_space(recipe.space)
    sizes = space.problems(train.macro, train.height)
    found = [*recipe_problems(recipe), *((f"train.{name}", message) for name, message in sizes)]
    if found:
        raise InputError(*(f"{name}: {message}" for name, message in found))
    seeds = dict(job.seeds)
    data = sized(train.height, train.width)
    trained = weight_images(recipe, data.labels, seeds["split"])
    steps = recipe.steps(trained)
    genotypes = candidates(recipe.space, recipe.samples, seeds["search"])
    seen = recipe.samples * train.epochs * steps * train.batch.size
    return ShortTrainings(
        train,
        genotypes,
        divided(data, recipe.fraction, seeds["split"]),
        train_seed=seeds["search"],
        execution=execution,
        conclude=partial(_result, recipe, genotypes, recipe.budget.images(trained), seen),
        steps=steps,
        teacher=teacher,
    )
