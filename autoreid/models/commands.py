"""Sub-commands about models that need no data. Nothing heavy is imported until one of them runs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoreid.cli import DONE, Command, add_json_flag, answer
from autoreid.errors import InputError, Problems, unknown

if TYPE_CHECKING:
    from autoreid.recipes import TrainRecipe
    from search_spaces.genotype import Genotype

# Flags that are named as the fields that they set, and what other fields are called on the command line.
SIZE_FLAGS = ("height", "width", "width_multiplier", "channels", "layers")
FLAG_OF = {"width_multiplier": "width-multiplier", "neck.name": "neck", "neck.stripes": "stripes"}


def find_genotype(name: str) -> Genotype:
    """A published genotype by name, or one from a JSON file."""
    from search_spaces.genotype import Genotype
    from search_spaces.published import PUBLISHED
    from search_spaces.registry import find_space

    path = Path(name)
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
    """What the flags of `add_size_flags` say, by the field of a training's recipe that they set."""
    fields = {name: name for name in SIZE_FLAGS} | {"neck": "neck.name", "stripes": "neck.stripes"}
    given = {field: getattr(options, flag) for flag, field in fields.items()}
    return {field: value for field, value in given.items() if value is not None}


def read_networks(
    options: argparse.Namespace, names: Sequence[str], problems: Problems
) -> tuple[TrainRecipe, list[Genotype]]:
    """The sizes that the flags of `add_size_flags` give, and the genotypes whose networks have them; mistakes
    go into `problems`."""
    from autoreid.recipes import TrainRecipe, recipe_problems
    from autoreid.sizes import check_network
    from autoreid.values import override

    found = Problems()
    recipe = override(TrainRecipe(), sizes_given(options), "--", found)
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


def _configure_complexity(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", nargs="+", metavar="MODEL", help="published names or genotype files")
    add_size_flags(parser)
    parser.add_argument(
        "--identities", type=int, default=751, help="classes of the classifiers (default: 751)"
    )
    add_json_flag(parser)


def _run_complexity(options: argparse.Namespace) -> int:
    from autoreid.complexity import measure

    problems = Problems()
    recipe, genotypes = read_networks(options, options.models, problems)
    if options.identities < 1:
        problems.add("--identities", f"{options.identities} is too small. Use 1 or more.")
    problems.raise_if_any()
    results = [
        measure(
            genotype,
            recipe.neck,
            identities=options.identities,
            height=recipe.height,
            width=recipe.width,
            macro=recipe.macro,
        )
        for genotype in genotypes
    ]
    named = [{"model": m} | r.plain() for m, r in zip(options.models, results, strict=True)]
    lines = [
        f"{'model':<16} {'backbone':>11} {'inference':>11} {'training':>11} {'multiply-adds':>15} {'dim':>5}"
    ]
    for row in named:
        params = row["params"]
        lines.append(
            f"{row['model']:<16} {params['backbone']:>11,} {params['inference']:>11,} "
            f"{params['training']:>11,} {row['multiply_adds']['inference']:>15,} {row['feature_dim']:>5}"
        )
    lines.append("backbone and one linear classifier, as Auto-ReID counts them:")
    for row in named:
        params, adds = (row[what]["printed_convention"] for what in ("params", "multiply_adds"))
        lines.append(f"{row['model']:<16} {params:>11,} parameters {adds:>15,} multiply-adds")
    answer(named[0] if len(named) == 1 else named, "\n".join(lines), options.json)
    return DONE


def _configure_genotype(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser("show", help="print genotypes, one line each", description="Print genotypes.")
    show.add_argument(
        "genotypes", nargs="*", metavar="GENOTYPE", help="published names or files (default: all)"
    )
    add_json_flag(show)


def _run_genotype(options: argparse.Namespace) -> int:
    from search_spaces.published import PUBLISHED

    found = {name: find_genotype(name) for name in options.genotypes or PUBLISHED}
    text = "\n".join(f"{name}: {genotype} [{genotype.digest}]" for name, genotype in found.items())
    answer({name: genotype.plain() for name, genotype in found.items()}, text, options.json)
    return DONE


COMPLEXITY = Command(
    "complexity", "Parameters and multiply-adds of models.", _configure_complexity, _run_complexity
)
GENOTYPE = Command("genotype", "Show genotypes.", _configure_genotype, _run_genotype)
