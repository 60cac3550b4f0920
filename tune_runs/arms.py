"""The arms of a campaign: recipes with their overrides, published networks, and the products of the grid."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from autoreid.errors import InputError, Problems, unknown
from autoreid.published import SEARCH_RECIPES, TRAIN_RECIPES
from autoreid.recipes import SearchRecipe, SelectRecipe, TrainRecipe, recipe_problems
from autoreid.values import override
from search_spaces.genotype import Genotype
from tune_runs.protocol import read_select
from tune_runs.yaml_places import Document, Leaf

Recipe = TypeVar("Recipe", SearchRecipe, TrainRecipe)
KINDS = ("search", "train")
LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class Arm:
    """One line of a comparison: a search or a given genotype, and the training of its network, if any.

    `select` says how the best of its searches is selected, if it is. `network` is what the file calls the
    genotype; `batch_places` says where the batch of a kind was given.
    """

    name: str
    search: SearchRecipe | None = None
    genotype: Genotype | None = None
    train: TrainRecipe | None = None
    select: SelectRecipe | None = None
    network: str | None = None
    batch_places: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of the grid: the kind of recipe, the values of one of its fields, and its label in names."""

    kind: str
    label: str
    leaves: tuple[Leaf, ...]


def read_arms(document: Document, folder: Path | None, problems: Problems) -> tuple[Arm, ...]:
    """All arms, grid included, in the order of the file; mistakes go into `problems`.

    `folder` is where paths of genotype files start; a campaign that is shipped has none.
    """
    names = document.at(("arms",))
    axes = _axes(document, problems)
    arms: list[Arm] = []
    used: set[Axis] = set()
    for name in names if isinstance(names, Mapping) else ():
        if not name.strip() or not name.isprintable() or len(name) > LONGEST_NAME:
            message = f"{name!r} is not a name. Give one line of 1 to {LONGEST_NAME} printable characters."
            problems.add(document.place(("arms",)), message)
            continue
        if isinstance(document.at(("arms", name)), Mapping):
            arms += _arms_of(document, folder, str(name), axes, used, problems)
    for axis in axes:
        if axis not in used:
            problems.add(axis.leaves[0].place, f"no arm has a {axis.kind}. Remove the axis.")
    for name in {arm.name for arm in arms if sum(other.name == arm.name for other in arms) > 1}:
        problems.add(document.place(("arms",)), f"two arms are named {name!r}. Rename one.")
    return tuple(arms)


def _axes(document: Document, problems: Problems) -> list[Axis]:
    leaves = document.leaves(("grid",), problems)
    fields = [name.rsplit(".", 1)[-1] for name in leaves]
    axes: list[Axis] = []
    for name, leaf in leaves.items():
        kind, _, field = name.partition(".")
        if kind not in KINDS or not field:
            problems.add(leaf.place, "an axis is a field of search or of train, such as search.k.")
        elif not isinstance(leaf.value, list) or not leaf.value:
            problems.add(leaf.place, f"{leaf.value!r} is not a list of values. Write for example [1, 2].")
        elif _repeated(leaf.value):
            problems.add(leaf.place, "a value is listed twice. Remove one.")
        else:
            short = name.rsplit(".", 1)[-1]
            label = short if fields.count(short) == 1 else name
            prefix = f"{leaf.prefix}{kind}."
            axes.append(Axis(kind, label, tuple(Leaf(field, value, prefix) for value in leaf.value)))
    return axes


def _repeated(values: list[Any]) -> bool:
    """Whether a value is listed twice; 1 and true are two values."""
    typed = [(type(value), value) for value in values]
    return any(typed.count(value) > 1 for value in typed)


def _arms_of(
    document: Document,
    folder: Path | None,
    name: str,
    axes: Sequence[Axis],
    used: set[Axis],
    problems: Problems,
) -> Iterator[Arm]:
    """The arms that one entry of the file stands for: one for each point of the axes that it has."""
    path = ("arms", name)
    kinds = _kinds(document, name, problems)
    given = document.at((*path, "genotype"))
    genotype = (
        None if given is None else _genotype(str(given), document, (*path, "genotype"), folder, problems)
    )
    defaults = {kind: document.leaves((kind,), problems) for kind in kinds}
    own = {kind: document.leaves((*path, kind), problems) for kind in kinds}
    mine = [axis for axis in axes if axis.kind in kinds]
    used.update(mine)
    for axis in mine:
        fixed = own[axis.kind].get(axis.leaves[0].name)
        if fixed is not None:
            problems.add(fixed.place, "is an axis of the grid too. Remove one of the two.")
    noted = len(problems.found)
    seen: list[tuple[SearchRecipe | None, TrainRecipe | None]] = []
    for point in itertools.product(*(axis.leaves for axis in mine)):
        chosen = list(zip(mine, point, strict=True))
        search = train = None
        places: dict[str, str] = {}
        for kind in kinds:
            axes_of_kind = {leaf.name: leaf for axis, leaf in chosen if axis.kind == kind}
            leaves = _merge([defaults[kind], own[kind], axes_of_kind])
            place = document.place((*path, kind))
            batch = leaves.get("batch.identities")
            places[kind] = batch.place if batch else f"{place}.batch.identities"
            if kind == "search":
                search = _recipe(SEARCH_RECIPES, leaves, place, problems)
            else:
                train = _recipe(TRAIN_RECIPES, leaves, place, problems)
        if (search, train) in seen and len(problems.found) == noted:
            problems.add(point[-1].place, "two points of the grid are the same. Remove one of the values.")
            continue
        seen.append((search, train))
        recipes = {"search": search, "train": train}
        label = [name, *(f"{axis.label}={_words(leaf, recipes[axis.kind])}" for axis, leaf in chosen)]
        network = None if genotype is None else str(given)
        select = None
        if search is not None:
            select = read_select(document, train, problems)
            batch = document.leaves(("select",)).get("train.batch.identities")
            places["select"] = (
                batch.place if batch else f"{document.place(('select',))}.train.batch.identities"
            )
        yield Arm(", ".join(label), search, genotype, train, select, network, places)


def _kinds(document: Document, name: str, problems: Problems) -> list[str]:
    """Which kinds of work an arm has."""
    path = ("arms", name)
    given = document.at(path)
    search = "search" in given
    if search and given.get("genotype") is not None:
        problems.add(document.place(path), "has a search and a genotype. Keep one of them.")
    if not search and given.get("genotype") is None:
        problems.add(document.place(path), "has neither a search nor a genotype. Give one of them.")
    train = given.get("train") if given.get("train") is not None else document.at(("train",))
    if train is False and not search:
        problems.add(document.place(path), "has nothing to do: no search, and train is false.")
    return [kind for kind, wanted in (("search", search), ("train", train is not False)) if wanted]


def _words(leaf: Leaf, recipe: SearchRecipe | TrainRecipe | None) -> str:
    """The value of a leaf as the recipe holds it: `1e-3` and `0.001` read alike."""
    value = leaf.value
    if recipe is not None:
        with contextlib.suppress(AttributeError):  # a field that is not there has been noted
            value = functools.reduce(getattr, leaf.name.split("."), recipe)
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else str(value)
    if isinstance(value, tuple):
        return str(list(value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _merge(layers: Sequence[Mapping[str, Leaf]]) -> dict[str, Leaf]:
    """Later layers over earlier ones."""
    merged: dict[str, Leaf] = {}
    for layer in layers:
        for name, leaf in layer.items():
            merged.pop(name, None)
            merged[name] = leaf
    return merged


def _recipe(
    recipes: Mapping[str, Recipe], leaves: dict[str, Leaf], place: str, problems: Problems
) -> Recipe | None:
    """The recipe that `recipe` names with the other leaves over it."""
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
    mistakes = [*recipe_problems(recipe), *_space_problems(recipe)]
    for name, message in mistakes:
        below = (leaf for leaf in leaves.values() if f"{leaf.name}.".startswith(f"{name}."))
        source = next(below, None)
        problems.add(source.place if source else f"{place}.{name}", message)
    return recipe


def _space_problems(recipe: SearchRecipe | TrainRecipe) -> Iterator[tuple[str, str]]:
    from autoreid.searching import check_search  # deferred: loads torch

    if isinstance(recipe, SearchRecipe):
        try:
            check_search(recipe)
        except InputError as error:
            for problem in error.problems:
                field, _, message = problem.partition(": ")
                yield field, message


def _genotype(
    given: str, document: Document, path: tuple[str, ...], folder: Path | None, problems: Problems
) -> Genotype | None:
    from search_spaces.published import PUBLISHED
    from search_spaces.registry import find_space  # deferred: loads torch

    place = document.place(path)
    if given in PUBLISHED:
        return PUBLISHED[given]
    file = Path(given).expanduser() if folder is None else folder / Path(given).expanduser()
    if not file.is_file():
        message = unknown("genotype", given, PUBLISHED)
        problems.add(place, f"{message} Or give a genotype file, such as genotype.json.")
        return None
    try:
        genotype = Genotype.from_json(file.read_text(encoding="utf-8"), f"{place}: {given}")
        find_space(genotype.space, f"{place}: {given}: space").check(genotype)
    except InputError as error:
        problems.extend(text if text.startswith(place) else f"{place}: {text}" for text in error.problems)
        return None
    except (OSError, UnicodeDecodeError) as error:
        problems.add(place, f"{given} cannot be read ({error}). A genotype is JSON text.")
        return None
    return genotype
