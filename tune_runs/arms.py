"""The arms of a campaign: recipes with their overrides, published networks, and the products of the grid."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from autoreid.errors import Problems, unknown
from autoreid.pretrain_recipes import PRETRAIN_RECIPES, PretrainRecipe
from autoreid.published import SEARCH_RECIPES, TRAIN_RECIPES
from autoreid.recipes import SearchRecipe, SelectRecipe, TrainRecipe, recipe_problems
from autoreid.values import override
from search_spaces.genotype import Genotype
from tune_runs.checks import network_problems, search_problems
from tune_runs.genotypes import read_genotype
from tune_runs.grid import KINDS, Axis, read_axes
from tune_runs.protocol import read_select
from tune_runs.random_arms import RandomArm, read_random
from tune_runs.yaml_places import Document, Leaf

Recipe = TypeVar("Recipe", SearchRecipe, PretrainRecipe, TrainRecipe)
# What an arm's networks come from, in words.
SOURCES = {"search": "a search", "genotype": "a genotype", "random": "a random space"}
LONGEST_NAME = 80
# Where the images of all pretrainings are named, among the fields of their recipe.
CLASS_DATA = ("pretrain", "data")
# Fields of a pretraining that its network shares with the training: their values are the training's.
SIZES = ("width_multiplier", "channels", "layers")


@dataclass(frozen=True, slots=True)
class Arm:
    """One line of a comparison: a search or a given genotype, and the training of its network, if any.

    `pretrain` is how the network is pretrained, if it is. `select` says how the best of its searches is
    selected, if it is. `network` is what the file calls the genotype. `random` says from where architectures
    are drawn, if they are. `entry` is its key in the file. `teacher` guides it, if something does: the name
    of an arm, or "sha256:" and the digest of a file. `batch_places` says where the batch of a kind was given.
    """

    name: str
    search: SearchRecipe | None = None
    genotype: Genotype | None = None
    train: TrainRecipe | None = None
    select: SelectRecipe | None = None
    network: str | None = None
    random: RandomArm | None = None
    pretrain: PretrainRecipe | None = None
    entry: str = ""
    teacher: str | None = None
    batch_places: Mapping[str, str] = field(default_factory=dict, compare=False)


class Recipes(NamedTuple):
    """The recipes of an arm; None where it has no such work, or a mistake in it."""

    search: SearchRecipe | None = None
    train: TrainRecipe | None = None
    pretrain: PretrainRecipe | None = None


def read_arms(document: Document, folder: Path | None, problems: Problems) -> tuple[Arm, ...]:
    """All arms, grid included, in the order of the file; mistakes go into `problems`.

    `folder` is where paths of genotype files start; a campaign that is shipped has none.
    """
    names = document.at(("arms",))
    axes = read_axes(document, problems)
    arms: list[Arm] = []
    used: set[str] = set()
    for name in names if isinstance(names, Mapping) else ():
        if not name.strip() or not name.isprintable() or len(name) > LONGEST_NAME:
            message = f"{name!r} is not a name. Give one line of 1 to {LONGEST_NAME} printable characters."
            problems.add(document.place(("arms",)), message)
            continue
        if isinstance(document.at(("arms", name)), Mapping):
            arms += _arms_of(document, folder, str(name), axes, used, problems)
    for axis in axes:
        if axis.label not in used:
            problems.add(axis.place, f"no arm has a {' and a '.join(axis.kinds)}. Remove the axis.")
    for name in {arm.name for arm in arms if sum(other.name == arm.name for other in arms) > 1}:
        problems.add(document.place(("arms",)), f"two arms are named {name!r}. Rename one.")
    return tuple(arms)


def _arms_of(
    document: Document,
    folder: Path | None,
    name: str,
    axes: Sequence[Axis],
    used: set[str],
    problems: Problems,
) -> Iterator[Arm]:
    """The arms that one entry of the file stands for: one for each point of the axes that it has."""
    path = ("arms", name)
    kinds = _kinds(document, name, problems)
    _note_class_data(document, (*path, "pretrain"), problems)
    network = document.at((*path, "genotype"))
    genotype = read_genotype(document, (*path, "genotype"), folder, problems) if network is not None else None
    mine = [axis for axis in axes if set(axis.kinds) <= set(kinds)]
    used.update(axis.label for axis in mine)
    _note_fixed(document, path, mine, problems)
    noted = len(problems.found)
    seen: list[Recipes] = []
    for point in itertools.product(*(axis.values for axis in mine)):
        chosen = list(zip(mine, point, strict=True))
        recipes, places = _recipes(document, path, kinds, chosen, genotype, problems)
        if recipes in seen and len(problems.found) == noted:
            place = mine[-1].place
            problems.add(place, "two points of the grid are the same. Remove one of the values.")
            continue
        seen.append(recipes)
        label = ", ".join([name, *(axis.words(value, recipes._asdict()) for axis, value in chosen)])
        select = random = None
        if recipes.search is not None:
            select = read_select(document, recipes.train, problems)
            places["select"] = _batch_place(document, ("select",))
        if isinstance(document.at((*path, "random")), Mapping):
            random = _random(document, (*path, "random"), recipes.train, problems)
            places["random"] = document.place((*path, "random", "samples"))
            places["random.train"] = _batch_place(document, (*path, "random"))
        words = None if genotype is None else str(network)
        yield Arm(
            label,
            recipes.search,
            genotype,
            recipes.train,
            select,
            words,
            random,
            recipes.pretrain,
            entry=name,
            batch_places=places,
        )


def _note_class_data(document: Document, path: tuple[str, ...], problems: Problems) -> None:
    """Images for classification that an arm names."""
    for leaf in document.leaves(path).values():
        if leaf.name.split(".")[0] == "data":
            problems.add(leaf.place, "one data set serves all arms. Give it under 'pretrain:' at the top.")


def _note_fixed(document: Document, path: tuple[str, ...], axes: Sequence[Axis], problems: Problems) -> None:
    """Fields of an arm that an axis of the grid sets too."""
    for kind in KINDS:
        own = document.leaves((*path, kind), problems)
        for name in (name for axis in axes for name in axis.leaves(kind, None)):
            if name in own:
                problems.add(own[name].place, "is an axis of the grid too. Remove one of the two.")


def _recipes(
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
            recipes = Recipes(search=_recipe(SEARCH_RECIPES, leaves, place, problems, search_problems))
            continue
        given = document.at((*path, "random", "space"))
        space = genotype.space if genotype else recipes.search.space if recipes.search else given
        own = document.leaves((*path, kind))
        check = functools.partial(network_problems, space=space, genotype=genotype, own=own)
        if kind == "train":
            given = leaves.get("weights")
            recipes = recipes._replace(train=_recipe(TRAIN_RECIPES, leaves, place, problems, check))
            if "pretrain" in kinds and recipes.train is not None and recipes.train.weights:
                recipes = recipes._replace(train=replace(recipes.train, weights=""))
                if given is not None:
                    problems.add(given.place, "the network is pretrained too. Leave one of the two out.")
        else:
            known = _of_the_size(recipes.train)
            recipes = recipes._replace(pretrain=_recipe(known, leaves, place, problems, check))
            _check_pretraining(recipes, leaves, place, problems)
    return recipes, places


def _of_the_size(train: TrainRecipe | None) -> dict[str, PretrainRecipe]:
    """The recipes of pretraining, for networks of the size of a training's."""
    if train is None:
        return PRETRAIN_RECIPES
    sizes = {name: getattr(train, name) for name in SIZES}
    return {name: replace(recipe, **sizes) for name, recipe in PRETRAIN_RECIPES.items()}


def _check_pretraining(recipes: Recipes, leaves: Mapping[str, Leaf], place: str, problems: Problems) -> None:
    """Whether the weights of a pretraining fit the network that is trained."""
    train, pretrain = recipes.train, recipes.pretrain
    if train is None or pretrain is None:
        return
    for name in SIZES:
        ours, theirs = getattr(pretrain, name), getattr(train, name)
        if ours != theirs:
            ours, theirs = (list(size) if isinstance(size, tuple) else size for size in (ours, theirs))
            message = f"{ours}, but the network is trained with {theirs}. Leave it out: it is the training's."
            problems.add(leaves[name].place, message)


def _batch_place(document: Document, path: tuple[str, ...]) -> str:
    """Where the batch of short trainings was given, or would be."""
    batch = document.leaves(path).get("train.batch.identities")
    return batch.place if batch else f"{document.place(path)}.train.batch.identities"


def _random(
    document: Document, path: tuple[str, ...], train: TrainRecipe | None, problems: Problems
) -> RandomArm | None:
    """The random side of an arm; its budget is that of the search of the file's defaults."""
    budget = None
    if document.at((*path, "budget")) is not None:
        leaves = document.leaves(("search",))
        budget = _recipe(SEARCH_RECIPES, leaves, document.place(("search",)), problems)
    return read_random(document, path, train, budget, problems)


def _kinds(document: Document, name: str, problems: Problems) -> list[str]:
    """Which kinds of work an arm has."""
    path = ("arms", name)
    given = document.at(path)
    search = "search" in given
    sources = [key for key in SOURCES if (search if key == "search" else given.get(key) is not None)]
    if len(sources) > 1:
        which = " and ".join(SOURCES[key] for key in sources)
        problems.add(document.place(path), f"has {which}. Keep one of them.")
    if not sources:
        message = "has neither a search nor a genotype. Give one of them, or 'random: SPACE'."
        problems.add(document.place(path), message)
    train = given.get("train") if given.get("train") is not None else document.at(("train",))
    searches = search or document.at((*path, "random", "budget")) is not None
    pretrain = "pretrain" in given
    if train is False and not searches and not pretrain:
        problems.add(document.place(path), "has nothing to do: no search, and train is false.")
    wanted = {"search": search, "train": train is not False, "pretrain": pretrain}
    return [kind for kind in wanted if wanted[kind]]


def _merge(layers: Sequence[Mapping[str, Leaf]]) -> dict[str, Leaf]:
    """Later layers over earlier ones."""
    merged: dict[str, Leaf] = {}
    for layer in layers:
        for name, leaf in layer.items():
            merged.pop(name, None)
            merged[name] = leaf
    return merged


def _recipe(
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
