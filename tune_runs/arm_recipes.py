"""The recipes of one arm: the defaults of its campaign, its own fields over them, then the values of axes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from autoreid.errors import Problems, unknown
from autoreid.pretrain_recipes import PRETRAIN_RECIPES, PretrainRecipe
from autoreid.published import SEARCH_RECIPES, TRAIN_RECIPES
from autoreid.recipes import SearchRecipe, TrainRecipe, recipe_problems
from autoreid.values import override
from search_spaces.genotype import Genotype
from tune_runs.checks import network_problems, search_problems
from tune_runs.grid import Axis
from tune_runs.yaml_places import Document, Leaf

Recipe = TypeVar("Recipe", SearchRecipe, PretrainRecipe, TrainRecipe)
# Where the images of all pretrainings are named, among the fields of their recipe.
CLASS_DATA = ("pretrain", "data")
# Fields of a pretraining that its network shares with the training: their values are the training's.
SIZES = ("width_multiplier", "channels", "layers", "stem")


class Recipes(NamedTuple):
    """The recipes of an arm; None where it has no such work, or a mistake in it."""

    search: SearchRecipe | None = None
    train: TrainRecipe | None = None
    pretrain: PretrainRecipe | None = None


def read_recipes(
    document: Document,
    path: tuple[str, ...],
    kinds: Sequence[str],
    chosen: Sequence[tuple[Axis, Any]],
    genotype: Genotype | None,
    problems: Problems,
) -> tuple[Recipes, dict[str, str]]:
    """The recipes of an arm at one point of the grid, and where the batch of each kind was given."""
    recipes, places = Recipes(), {}
    for kind in kinds:
        layers = [document.leaves((kind,), problems), document.leaves((*path, kind), problems)]
        leaves = _merge([*layers, *(axis.leaves(kind, value) for axis, value in chosen)])
        leaves = {name: leaf for name, leaf in leaves.items() if (kind, name.split(".")[0]) != CLASS_DATA}
        place = document.place((*path, kind))
        name = "batch" if kind == "pretrain" else "batch.identities"
        places[kind] = leaves[name].place if name in leaves else f"{place}.{name}"
        if kind == "search":
            recipes = Recipes(search=read_recipe(SEARCH_RECIPES, leaves, place, problems, search_problems))
            continue
        given = document.at((*path, "random", "space"))
        space = genotype.space if genotype else recipes.search.space if recipes.search else given
        own = document.leaves((*path, kind))
        check = functools.partial(network_problems, space=space, genotype=genotype, own=own)
        if kind == "train":
            given = leaves.get("weights")
            recipes = recipes._replace(train=read_recipe(TRAIN_RECIPES, leaves, place, problems, check))
            if "pretrain" in kinds and recipes.train is not None and recipes.train.weights:
                recipes = recipes._replace(train=replace(recipes.train, weights=""))
                if given is not None:
                    problems.add(given.place, "the network is pretrained too. Leave one of the two out.")
        else:
            known = _of_the_size(recipes.train)
            recipes = recipes._replace(pretrain=read_recipe(known, leaves, place, problems, check))
            _check_pretraining(recipes, leaves, place, problems)
    return recipes, places


def _of_the_size(train: TrainRecipe | None) -> dict[str, PretrainRecipe]:
    """The recipes of pretraining, for networks of the size of a training's."""
    if train is None:
        return PRETRAIN_RECIPES
    sizes = {name: getattr(train.macro, name) for name in SIZES}
    return {name: replace(recipe, **sizes) for name, recipe in PRETRAIN_RECIPES.items()}


def _check_pretraining(recipes: Recipes, leaves: Mapping[str, Leaf], place: str, problems: Problems) -> None:
    """Whether the weights of a pretraining fit the network that is trained."""
    train, pretrain = recipes.train, recipes.pretrain
    if train is None or pretrain is None:
        return
    for name in SIZES:
        ours, theirs = getattr(pretrain, name), getattr(train.macro, name)
        if ours != theirs:
            ours, theirs = (list(size) if isinstance(size, tuple) else size for size in (ours, theirs))
            message = f"{ours}, but the network is trained with {theirs}. Leave it out: it is the training's."
            problems.add(leaves[name].place, message)


def batch_place(document: Document, path: tuple[str, ...]) -> str:
    """Where the batch of short trainings was given, or would be."""
    batch = document.leaves(path).get("train.batch.identities")
    return batch.place if batch else f"{document.place(path)}.train.batch.identities"


def _merge(layers: Sequence[Mapping[str, Leaf]]) -> dict[str, Leaf]:
    """Later layers over earlier ones."""
    merged: dict[str, Leaf] = {}
    for layer in layers:
        for name, leaf in layer.items():
            merged.pop(name, None)
            merged[name] = leaf
    return merged


def read_recipe(
    recipes: Mapping[str, Recipe],
    leaves: dict[str, Leaf],
    place: str,
    problems: Problems,
    check: Callable[[Recipe], Iterable[tuple[str, str]]] = lambda recipe: (),
) -> Recipe | None:
    """The recipe that `recipe` names with the other leaves over it.

    `check` gives mistakes as (field, message), beside those that the recipe alone shows.
    """
    named = leaves.pop("recipe", None)
    if named is None:
        problems.add(f"{place}.recipe", f"missing. Name a recipe. Known: {', '.join(sorted(recipes))}.")
    elif str(named.value) not in recipes:
        problems.add(named.place, unknown("recipe", named.value, recipes))
    is_known = named is not None and str(named.value) in recipes
    # The fields of a kind are the same in all its recipes: without one they are checked all the same.
    recipe: Recipe = recipes[str(named.value)] if named and is_known else next(iter(recipes.values()))
    for leaf in leaves.values():
        recipe = override(recipe, {leaf.name: leaf.value}, leaf.prefix, problems)
    if not is_known:
        return None
    for name, message in [*recipe_problems(recipe), *check(recipe)]:
        below = (leaf for leaf in leaves.values() if f"{leaf.name}.".startswith(f"{name}."))
        source = next(below, None)
        problems.add(source.place if source else f"{place}.{name}", message)
    return recipe
