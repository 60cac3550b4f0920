"""Whether a recipe's sizes fit a space: told before any work starts."""

from __future__ import annotations

from collections.abc import Iterator

from autoreid.errors import InputError
from autoreid.pretrain_recipes import PretrainRecipe
from autoreid.recipes import SearchRecipe, TrainRecipe
from search_spaces.genotype import Genotype
from search_spaces.macro import Macro
from search_spaces.registry import find_space
from search_spaces.space import SearchSpace

SCALES = ("width_multiplier", "channels", "layers", "drop_path", "stem")


def size_problems(
    recipe: SearchRecipe | TrainRecipe | PretrainRecipe, space: SearchSpace, genotype: Genotype | None = None
) -> Iterator[tuple[str, str]]:
    """Why the networks of a space, or that of a genotype, cannot be built as a recipe says: (field, message).

    A size that the space's networks do not have may not be given another value than its default.
    """
    usual = type(recipe)()
    for name in SCALES:
        given = getattr(recipe, name, None)
        if name not in space.scales and given != getattr(usual, name, None):
            has = ", ".join(scale for scale in space.scales if hasattr(recipe, scale)) or "no sizes"
            given = list(given) if isinstance(given, tuple) else given
            yield name, f"{given}, but networks of {space.id} have none. Leave it out. They have: {has}."
    macro: Macro = recipe.macro
    yield from space.problems(macro, recipe.height, genotype)


def check_network(recipe: TrainRecipe | PretrainRecipe, genotype: Genotype, place: str = "") -> None:
    """InputError when the recipe asks for what the genotype's network does not have; `place` goes in front of
    the fields' names."""
    found = size_problems(recipe, find_space(genotype.space), genotype)
    problems = [f"{place}{field}: {message}" for field, message in found]
    if problems:
        raise InputError(*problems)


def check_search(recipe: SearchRecipe) -> None:
    """InputError when the recipe asks for what its space does not have."""
    space = find_space(recipe.space)
    problems = [f"{field}: {message}" for field, message in size_problems(recipe, space)]
    if problems:
        raise InputError(*problems)
    places = space.places
    fewest = min(len(options) for options in places.values())
    if recipe.relaxation == "top-k" and recipe.k != "all" and int(recipe.k) > fewest:
        raise InputError(
            f"k: {recipe.k} branches, but {recipe.space} has {fewest}. Use 1 to {fewest}, or all."
        )
