"""Networks by the names that commands are given: published, of a genotype file, or trained. Nothing heavy is
imported until one is read."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoreid.errors import InputError, Problems, unknown
from autoreid.folders import expanded
from autoreid.model_places import checkpoint_file, read_checkpoint

if TYPE_CHECKING:
    from autoreid.models.assembly import ReIDModel
    from autoreid.pretrain_recipes import PretrainRecipe
    from autoreid.recipes import TrainRecipe
    from search_spaces.genotype import Genotype

MODEL_HELP = "published names, genotype files, or trained models: model.pt, its folder, a portable file"
# Flags that are named as the fields that they set, and what other fields are called on the command line.
SIZE_FLAGS = ("height", "width", "width_multiplier", "channels", "layers", "stem")
FLAG_OF = {"width_multiplier": "width-multiplier", "neck.name": "neck", "neck.stripes": "stripes"}


@dataclass(frozen=True, slots=True)
class Named:
    """A network and what a command calls it. Its recipe says its images, its sizes and its neck.

    `model` is that of a trained one alone, `identities` how many people it learned from, if that is known.
    """

    name: str
    genotype: Genotype
    recipe: TrainRecipe | PretrainRecipe
    model: ReIDModel | None = None
    identities: int | None = None


def find_genotype(name: str) -> Genotype:
    """A published genotype by name, or one from a JSON file."""
    from search_spaces.genotype import Genotype
    from search_spaces.published import PUBLISHED
    from search_spaces.registry import find_space

    path = expanded(name)
    if name in PUBLISHED:
        return PUBLISHED[name]
    if not path.is_file():
        raise InputError(
            f"{unknown('model', name, PUBLISHED)} Or give a genotype file, such as genotype.json."
        )
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(
            f"{name}: not a text file. A genotype is JSON, as autoreid search writes it."
        ) from None
    genotype = Genotype.from_json(text, name)
    try:
        find_space(genotype.space, "space").check(genotype)
    except InputError as error:
        raise InputError(*(f"{name}: {problem}" for problem in error.problems)) from None
    return genotype


def add_size_flags(parser: argparse.ArgumentParser) -> None:
    """Sizes of images and networks, and the neck: what a name or a genotype does not say."""
    parser.add_argument("--height", type=int, help="image height in pixels (default: 256)")
    parser.add_argument("--width", type=int, help="image width in pixels (default: 128)")
    parser.add_argument("--width-multiplier", type=float, help="of CDNet's body and OSNet (default: 1)")
    parser.add_argument("--channels", type=int, help="of a cell network's nodes (default: 64)")
    parser.add_argument("--layers", help="cells of its four blocks (default: 2,2,2,2)")
    parser.add_argument("--neck", help="bnneck, blneck, fblneck (default), fc or embedding")
    parser.add_argument("--stripes", type=int, help="stripes of fblneck (default: 2)")


def sizes_given(options: argparse.Namespace) -> dict[str, Any]:
    """What the flags of `add_size_flags` say, by the field of a recipe that they set."""
    fields = {name: name for name in SIZE_FLAGS} | {"neck": "neck.name", "stripes": "neck.stripes"}
    given = {field: getattr(options, flag, None) for flag, field in fields.items()}  # few have a stem
    return {field: value for field, value in given.items() if value is not None}


def read_named(
    options: argparse.Namespace, base: TrainRecipe | PretrainRecipe, problems: Problems
) -> list[Named]:
    """The networks of the command's `models`, in their order; InputError with `problems` and all mistakes.

    Trained ones bring their sizes, which the others have from `base` and from the flags.
    """
    from search_spaces.published import PUBLISHED

    found: dict[str, Named] = {}
    architectures = []
    for name in dict.fromkeys(options.models):
        path = expanded(name)
        if name in PUBLISHED or (path.is_file() and _is_json(path)):
            architectures.append(name)
        elif path.exists():
            _read_trained(name, found, problems)
        else:
            remedy = "Or give a genotype file, such as genotype.json, or the model.pt of a training."
            problems.add("MODEL", f"{unknown('model', name, PUBLISHED)} {remedy}")
    if found and not architectures:
        for field in sizes_given(options):
            flag = FLAG_OF.get(field, field)
            problems.add(f"--{flag}", "trained models have sizes of their own. Leave it out.")
    recipe, genotypes = _sized(options, base, architectures, problems)
    problems.raise_if_any()
    for name, genotype in zip(architectures, genotypes, strict=True):
        found[name] = Named(name, genotype, recipe)
    return [found[name] for name in options.models]


def _is_json(path: Path) -> bool:
    """Whether a file is JSON; trained models are not, though one may begin with a brace."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError:
        return False  # named where it is read as a model
    return head.lstrip()[:1] == b"{" and b"\0" not in head


def _read_trained(name: str, found: dict[str, Named], problems: Problems) -> None:
    from autoreid.portable_packing import opened

    try:
        file = checkpoint_file(name)
        model, facts = opened(read_checkpoint(file), file)
    except InputError as error:
        problems.extend(error.problems)
    else:
        found[name] = Named(name, facts.genotype, facts.recipe, model, facts.identities or None)


def _sized(
    options: argparse.Namespace,
    base: TrainRecipe | PretrainRecipe,
    names: Sequence[str],
    problems: Problems,
) -> tuple[TrainRecipe | PretrainRecipe, list[Genotype]]:
    """The recipe with the sizes that the flags give, and the genotypes whose networks have them; mistakes go
    into `problems`."""
    from autoreid.recipes import recipe_problems
    from autoreid.sizes import check_network
    from autoreid.values import override

    found = Problems()
    recipe = override(base, sizes_given(options), "--", found)
    found.extend(f"--{name}: {message}" for name, message in recipe_problems(recipe))
    genotypes = []
    for name in names:
        try:
            genotypes.append(find_genotype(name))
            check_network(recipe, genotypes[-1], "--")
        except InputError as error:
            found.extend(error.problems)
    # Networks of one space share their mistakes.
    for problem in dict.fromkeys(found.found):
        for field, flag in FLAG_OF.items():
            problem = problem.replace(f"--{field}", f"--{flag}")
        problems.extend([problem])
    return recipe, genotypes
