"""The random arms of a campaign: architectures sampled from a space, and random search at a search's budget.

How much of a result is owed to a search, and how much to its space and the training alone, is told by them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from autoreid.errors import InputError, Problems
from autoreid.published import SELECT_RECIPES, shortened
from autoreid.recipes import Budget, RandomSearchRecipe, SearchRecipe, TrainRecipe, recipe_problems
from autoreid.values import override
from tune_runs.yaml_places import Document, Path


@dataclass(frozen=True, slots=True)
class RandomArm:
    """Where an arm's architectures are drawn from: each repeat trains one, or, with `search`, the best of
    several that it finds."""

    space: str
    search: RandomSearchRecipe | None = None


def read_random(
    document: Document,
    path: Path,
    train: TrainRecipe | None,
    budget: SearchRecipe | None,
    problems: Problems,
) -> RandomArm | None:
    """What an arm's `random` says; mistakes go into `problems`.

    `budget` is the search of the file's defaults. The short trainings are the arm's own in a tenth of its
    epochs, with the fields of `random.train` over it.
    """
    leaves = document.leaves(path, problems)
    space, wanted = leaves.pop("space", None), leaves.pop("budget", None)
    if space is None:
        problems.add(f"{document.place(path)}.space", "missing. Name a space, such as random: reid-v1.")
    elif not _known(str(space.value), space.place, problems):
        space = None
    if wanted is None:
        for leaf in leaves.values():
            problems.add(leaf.place, "nothing is searched. Write 'budget: search' too, or leave it out.")
        return None if space is None else RandomArm(str(space.value))
    if wanted.value != "search":
        problems.add(wanted.place, f"{wanted.value!r} is not a budget. Write 'search': that of 'search:'.")
    short = SELECT_RECIPES["retrain"].train if train is None else shortened(train)
    recipe = RandomSearchRecipe(train=short)
    for leaf in leaves.values():
        if leaf.name.startswith("budget."):
            problems.add(leaf.place, "is no field of its own. Write 'budget: search': that of 'search:'.")
        else:
            recipe = override(recipe, {leaf.name: leaf.value}, leaf.prefix, problems)
    for name, message in recipe_problems(recipe):
        problems.add(f"{document.place(path)}.{name}", message)
    if space is None or budget is None:
        return None
    return RandomArm(str(space.value), replace(recipe, space=str(space.value), budget=Budget.of(budget)))


def _known(space: str, place: str, problems: Problems) -> bool:
    from search_spaces.registry import find_space  # deferred: loads torch

    try:
        find_space(space, place)
    except InputError as error:
        problems.extend(error.problems)
        return False
    return True
