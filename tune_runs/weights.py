"""Weights that a campaign's trainings begin with: by path in the file, by content in its jobs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from autoreid.errors import InputError, Problems
from autoreid.folders import Folder
from autoreid.recipes import TrainRecipe
from search_spaces.genotype import Genotype
from tune_runs.arms import Arm
from tune_runs.checks import network_problems
from tune_runs.yaml_places import SETTING, Document

if TYPE_CHECKING:
    from tune_runs.planning import Plan

# The files of a campaign by what recipes call them.
Files = dict[str, Path]


def identify_weights(
    arms: tuple[Arm, ...], document: Document, folder: Path | None, problems: Problems
) -> tuple[tuple[Arm, ...], Files]:
    """The arms with the content of their weights in place of the path, and the paths.

    Relative paths start at `folder`, those of the command line where the command was given. Mistakes go into
    `problems`.
    """
    found: list[Arm] = []
    files: Files = {}
    for arm in arms:
        train = arm.train
        if train is not None and train.weights:
            path = _path(arm, document)
            try:
                base = None if document.prefix(path).startswith(SETTING) else folder
                weights = _identified(train, arm.genotype, base, files)
                arm = dataclasses.replace(arm, train=dataclasses.replace(train, weights=weights))
            except InputError as error:
                for problem in error.problems:
                    problems.add(document.place(path), problem.removeprefix("weights: "))
        found.append(arm)
    return tuple(found), files


def _identified(train: TrainRecipe, genotype: Genotype | None, folder: Path | None, files: Files) -> str:
    """What the recipe's weights are called in jobs; their path is noted in `files`.

    InputError where they are not there, or are those of another network.
    """
    from autoreid.weights import DIGEST, IMAGENET, check_imagenet, given  # deferred: loads torch

    if genotype is None:
        raise InputError(
            "weights: they are of one network, but this arm trains what is found or drawn. Leave it out, or "
            "give the arm a genotype."
        )
    if train.weights == IMAGENET:  # looked for at launch: a campaign is planned without
        check_imagenet(genotype)
    if train.weights == IMAGENET or train.weights.startswith(DIGEST):
        return train.weights
    # Sizes that no network has are noted already, and to be mended first.
    macro = None if any(network_problems(train, genotype.space, genotype)) else train.macro
    name, file = given(train.weights, genotype, folder, macro)
    if file is not None:
        files[name] = Path(file.place).absolute()
    return name


def _path(arm: Arm, document: Document) -> tuple[str, ...]:
    """Where the weights of an arm are given: at the arm, for all arms, or by the recipe or the grid."""
    named = [name for name in document.at(("arms",)) if arm.name.startswith(str(name))]
    own = ("arms", max(named, key=len), "train")
    for section in (own, ("train",)):
        if "weights" in document.leaves(section):
            return (*section, "weights")
    return (*own, "weights")


def provide_weights(plan: Plan, folder: Folder) -> None:
    """Put the weights of a plan's trainings into a storage, where every machine finds them.

    InputError with each that cannot be found.
    """
    wanted = {
        (job.recipe.weights, job.genotype): None
        for job in plan.jobs.values()
        if isinstance(job.recipe, TrainRecipe) and job.recipe.weights and isinstance(job.genotype, Genotype)
    }
    if not wanted:
        return
    from autoreid.weights import provide  # deferred: loads torch

    problems = Problems()
    for weights, genotype in wanted:
        try:
            provide(folder, weights, genotype, plan.campaign.weights.get(weights))
        except InputError as error:
            problems.extend(error.problems)
    problems.raise_if_any()
