"""The arms of a campaign: recipes with their overrides, published networks, and the products of the grid."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from autoreid.errors import Problems
from autoreid.pretrain_recipes import PretrainRecipe
from autoreid.published import SEARCH_RECIPES
from autoreid.recipes import SearchRecipe, SelectRecipe, TrainRecipe
from search_spaces.genotype import Genotype
from tune_runs.arm_recipes import Recipes, batch_place, read_recipe, read_recipes
from tune_runs.genotypes import read_genotype
from tune_runs.grid import KINDS, Axis, read_axes
from tune_runs.protocol import read_select, trains
from tune_runs.random_arms import RandomArm, read_random
from tune_runs.yaml_places import Document

# What an arm's networks come from, in words.
SOURCES = {"search": "a search", "genotype": "a genotype", "random": "a random space"}
LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class Arm:
    """One line of a comparison: a search or a given genotype, and the training of its network, if any.

    `pretrain` is how the network is pretrained, if it is. `select` says how the best of its searches is
    selected, if it is. `network` is what the file calls the genotype. `random` says from where architectures
    are drawn, if they are. `entry` is its key in the file. `teacher` guides it, if something does: the name
    of an arm, or "sha256:" and the digest of a file. `batch_places` says where the batch of a kind was given.

    `searched_on` and `trained_on` are the data sets of its work, by the names of the campaign. Arms that
    differ in nothing but what they are trained on have one `stem`.
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
    stem: str = ""
    searched_on: str | None = None
    trained_on: str | None = None

    def on_sets_of(self, other: Arm) -> Arm:
        """The arm on the data sets of another, as a point of a sweep is on those of the arm that is swept."""
        return replace(self, stem=other.stem, searched_on=other.searched_on, trained_on=other.trained_on)


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
    """The arms that one entry of the file stands for: one for each point of the axes that it has, and one
    alone where it is a teacher."""
    path = ("arms", name)
    kinds = kinds_of(document, name, problems)
    _note_class_data(document, (*path, "pretrain"), problems)
    network = document.at((*path, "genotype"))
    genotype = read_genotype(document, (*path, "genotype"), folder, problems) if network is not None else None
    crossed = [] if name in _guides(document) else axes
    mine = [axis for axis in crossed if set(axis.kinds) <= set(kinds)]
    used.update(axis.label for axis in mine)
    _note_fixed(document, path, mine, problems)
    noted = len(problems.found)
    seen: list[Recipes] = []
    for point in itertools.product(*(axis.values for axis in mine)):
        arm = arm_at(document, name, kinds, list(zip(mine, point, strict=True)), genotype, problems)
        recipes = Recipes(arm.search, arm.train, arm.pretrain)
        if recipes in seen and len(problems.found) == noted:
            place = mine[-1].place
            problems.add(place, "two points of the grid are the same. Remove one of the values.")
            continue
        seen.append(recipes)
        yield arm


def _guides(document: Document) -> set[str]:
    """What the file names as teachers: arms, which no axis splits, and files."""
    arms = document.at(("arms",))
    paths = [("teacher",), *(("arms", str(name), "teacher") for name in arms)]
    return {str(document.at(path)) for path in paths}


def arm_at(
    document: Document,
    name: str,
    kinds: Sequence[str],
    chosen: Sequence[tuple[Axis, Any]],
    genotype: Genotype | None,
    problems: Problems,
) -> Arm:
    """The arm of one entry of the file at one value of each axis; mistakes go into `problems`."""
    path = ("arms", name)
    recipes, places = read_recipes(document, path, kinds, chosen, genotype, problems)
    select = random = None
    if recipes.search is not None:
        select = read_select(document, recipes.train, problems)
        places["select"] = batch_place(document, ("select",))
    if isinstance(document.at((*path, "random")), Mapping):
        random = _random(document, (*path, "random"), recipes.train, problems)
        places["random"] = document.place((*path, "random", "samples"))
        places["random.train"] = batch_place(document, (*path, "random"))
    return Arm(
        ", ".join([name, *(axis.words(value, recipes._asdict()) for axis, value in chosen)]),
        recipes.search,
        genotype,
        recipes.train,
        select,
        None if genotype is None else str(document.at((*path, "genotype"))),
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


def _random(
    document: Document, path: tuple[str, ...], train: TrainRecipe | None, problems: Problems
) -> RandomArm | None:
    """The random side of an arm; its budget is that of the search of the file's defaults."""
    budget = None
    if document.at((*path, "budget")) is not None:
        leaves = document.leaves(("search",))
        budget = read_recipe(SEARCH_RECIPES, leaves, document.place(("search",)), problems)
    return read_random(document, path, train, budget, problems)


def kinds_of(document: Document, name: str, problems: Problems) -> list[str]:
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
    wanted = {"search": search, "train": trains(document, name), "pretrain": pretrain}
    return [kind for kind in wanted if wanted[kind]]
