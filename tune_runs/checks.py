"""What is wrong with the recipes of an arm: on their spaces, and on the data."""

from __future__ import annotations

import contextlib
from collections.abc import Container, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from autoreid.data.index import ImageIndex
from autoreid.data.splits import share
from autoreid.errors import InputError, Problems
from autoreid.pretrain_recipes import PretrainRecipe
from autoreid.recipes import RandomSearchRecipe, SearchRecipe, SelectRecipe, TrainRecipe
from search_spaces.genotype import Genotype

if TYPE_CHECKING:
    from autoreid.data.classes import Classes
    from tune_runs.arms import Arm
    from tune_runs.campaign import Campaign


def search_problems(recipe: SearchRecipe) -> Iterator[tuple[str, str]]:
    """Why a space cannot be searched like this, as (field, message)."""
    from autoreid.sizes import check_search  # deferred: loads torch

    try:
        check_search(recipe)
    except InputError as error:
        for problem in error.problems:
            field, _, message = problem.partition(": ")
            yield field, message


def network_problems(
    recipe: TrainRecipe | PretrainRecipe,
    space: object,
    genotype: Genotype | None,
    own: Container[str] = (),
) -> Iterator[tuple[str, str]]:
    """Why the networks of a space, or that of a genotype, cannot be trained like this, as (field, message).

    Sizes that such networks do not have are a mistake among an arm's `own` fields alone: defaults are shared
    with arms of other spaces. A space that is not known has been noted.
    """
    from autoreid.sizes import SCALES, size_problems  # deferred: they load torch
    from search_spaces.registry import find_space

    with contextlib.suppress(InputError):
        if space is not None:
            known = find_space(str(space))
            for name, message in size_problems(recipe, known, genotype):
                if name in own or name in known.scales or name not in SCALES:
                    yield name, message


def class_problems(campaign: Campaign, classes: Classes) -> list[str]:
    """Which batches of pretrainings have more images than there are."""
    problems, images = Problems(), len(classes.train.labels)
    for arm in campaign.arms:
        if arm.pretrain is not None and arm.pretrain.batch > images:
            message = f"{arm.pretrain.batch}, but there are {images} images. Use at most {images}."
            problems.add(arm.batch_places.get("pretrain", "pretrain.batch"), message)
    return problems.found


def check_data(campaign: Campaign, index: ImageIndex, data_set: str | None = None) -> None:
    """InputError where a batch has more identities or images than it is drawn from, where a selection can
    take no mAP, where a random search's budget is too small, or where images are re-ranked among fewer.

    `index` is that of a data set by its name, of the default one for None: what is searched or trained on
    another is not looked at.
    """
    name = data_set or next(iter(campaign.sets))
    rows = index.rows("train")
    known = len(np.unique(index.identities[rows]))
    problems = Problems()
    arms = [_on(arm, name) for arm in (*campaign.arms, *_ends(campaign))]
    for arm in arms:
        for kind, recipe in (("search", arm.search), ("train", arm.train)):
            if recipe is not None and recipe.batch.identities > known:
                place = arm.batch_places.get(kind, f"{kind}.batch.identities")
                whose = f" of {name}" if campaign.data_sets else ""
                message = f"{recipe.batch.identities}, but the training set{whose} has {known}. "
                problems.add(place, f"{message}Use at most {known}.")
        if arm.select is not None and arm.select.rule == "retrain":
            _check_short(arm, "select", arm.select, known, problems)
        if arm.random is not None and arm.random.search is not None:
            _check_short(arm, "random.train", arm.random.search, known, problems)
            _check_budget(campaign, arm, arm.random.search, index, problems)
    compared = {
        "select": any(arm.select for arm in arms),
        "sweep": any(arm.search for arm in arms[len(campaign.arms) :]),
        "budget: search": any(arm.random and arm.random.search for arm in arms),
    }
    if any(arm.train for arm in arms[: len(campaign.arms)]):
        _check_neighbours(campaign, index, f" of {name}" if campaign.data_sets else "", problems)
    if any(compared.values()) and not index.single_camera:
        seen = np.unique(np.stack([index.identities[rows], index.cameras[rows]], axis=1), axis=0)[:, 0]
        if len(seen) == known:
            named = " and ".join(f"'{key}'" for key, there in compared.items() if there)
            place = f"data_sets.{name}" if name in campaign.data_sets else "data"
            problems.add(place, f"no training identity was seen by two cameras: leave {named} out.")
    if problems.found:
        raise InputError(*dict.fromkeys(problems.found))


def _check_neighbours(campaign: Campaign, index: ImageIndex, whose: str, problems: Problems) -> None:
    """Whether there are as many test images as re-ranking takes neighbours."""
    images = len(index.rows("query")) + len(index.rows("gallery"))
    if campaign.evaluation is not None and campaign.evaluation.rerank and campaign.evaluation.k1 >= images:
        taken = f"{campaign.evaluation.k1} of {images} test images{whose}"
        problems.add("evaluation.k1", f"{taken}. Use 1 to {images - 1}; the paper has 20.")


def _ends(campaign: Campaign) -> Iterator[Arm]:
    """The arms at the ends of the domains of a sweep, on the data sets of the arms that are swept."""
    bases = {arm.name: arm for arm in campaign.arms}
    for swept in campaign.sweep.swept if campaign.sweep else ():
        yield from (end.on_sets_of(bases[swept.name]) for end in swept.ends)


def _on(arm: Arm, data_set: str) -> Arm:
    """An arm with what of its work is on a data set."""
    if arm.searched_on != data_set:
        random = arm.random and replace(arm.random, search=None)
        arm = replace(arm, search=None, select=None, random=random)
    return arm if arm.trained_on == data_set else replace(arm, train=None)


def _check_short(
    arm: Arm, kind: str, recipe: SelectRecipe | RandomSearchRecipe, known: int, problems: Problems
) -> None:
    """Whether the identities that short trainings keep fill a batch."""
    kept = known - share(known, recipe.fraction, "identities")
    wanted = recipe.train.batch.identities
    if wanted > kept:
        what = "selection" if kind == "select" else "random search"
        message = f"{wanted}, but a {what} trains on {kept} of {known}. Use at most {kept}."
        problems.add(arm.batch_places.get(kind, f"{kind}.batch.identities"), message)


def _check_budget(
    campaign: Campaign, arm: Arm, recipe: RandomSearchRecipe, index: ImageIndex, problems: Problems
) -> None:
    """Whether the budget of a random search gives every sample a batch in each of its epochs."""
    from autoreid.random_search import weight_images  # deferred: loads torch

    labels = np.unique(index.identities[index.rows("train")], return_inverse=True)[1]
    try:
        recipe.steps(weight_images(recipe, labels, campaign.protocol.seeds.split))
    except InputError as error:
        for problem in error.problems:
            problems.add(arm.batch_places.get("random", "samples"), problem.removeprefix("samples: "))
