"""What the distillation in a recipe asks for, and what of it has no effect. Free of torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

from autoreid.errors import InputError
from autoreid.objectives import Objective
from autoreid.pretrain_recipes import PretrainRecipe
from autoreid.recipes import AnyRecipe, RandomSearchRecipe, SelectRecipe, TrainRecipe

Recipe = TypeVar("Recipe", bound=AnyRecipe | PretrainRecipe)


def distils(recipe: object) -> bool:
    """Whether a recipe, or the short trainings in it, needs a teacher."""
    if isinstance(recipe, SelectRecipe) and recipe.rule == "supernet":
        return False
    if isinstance(recipe, (SelectRecipe, RandomSearchRecipe)):
        return distils(recipe.train)
    objectives = (getattr(recipe, name, None) for name in ("objective", "alpha_objective"))
    return any(found.distillation > 0 for found in objectives if isinstance(found, Objective))


def check_teacher(recipe: object, teacher: object) -> None:
    """InputError where a recipe that distils has no teacher (None), or one that does not has one."""
    if distils(recipe) and teacher is None:
        raise InputError(
            "objective.distillation: needs a teacher. Give its model or its folder: --teacher PATH (in a "
            "campaign, teacher: NAME), or set it to 0."
        )
    if teacher is not None and not distils(recipe):
        raise InputError("teacher: nothing is distilled. Set objective.distillation, or leave it out.")


def effective(recipe: Recipe) -> Recipe:
    """The recipe with the default in each field of a temperature that has no effect: equal work is one job.

    >>> unused = dataclasses.replace(Objective().temperature, start=8.0)
    >>> effective(TrainRecipe(objective=Objective(temperature=unused))) == TrainRecipe()
    True
    """
    return _changed(recipe, Objective.effective)


def at_first_temperature(recipe: Recipe) -> Recipe:
    """The recipe with its temperatures held where they begin: in few epochs none can fall."""
    return _changed(
        recipe,
        lambda found: dataclasses.replace(
            found, temperature=dataclasses.replace(found.temperature, name="constant")
        ),
    )


def _changed(recipe: Recipe, change: Callable[[Objective], Objective]) -> Recipe:
    """The recipe with other objectives, those of its short trainings included."""
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(recipe):
        value = getattr(recipe, field.name)
        if isinstance(value, Objective):
            changes[field.name] = change(value)
        elif isinstance(value, TrainRecipe):
            changes[field.name] = _changed(value, change)
    return dataclasses.replace(recipe, **changes)
