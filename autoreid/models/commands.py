"""Sub-commands about models that need no data. Nothing heavy is imported until one of them runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from autoreid.cli import DONE, Command, add_json_flag, answer
from autoreid.errors import InputError, Problems, unknown

if TYPE_CHECKING:
    from search_spaces.genotype import Genotype


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


def _configure_complexity(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", nargs="+", metavar="MODEL", help="published names or genotype files")
    parser.add_argument("--height", type=int, default=256, help="image height in pixels (default: 256)")
    parser.add_argument("--width", type=int, default=128, help="image width in pixels (default: 128)")
    parser.add_argument("--width-multiplier", type=float, default=1.0, help="of CDNet's body (default: 1)")
    parser.add_argument("--channels", type=int, default=64, help="of a cell network's nodes (default: 64)")
    parser.add_argument("--layers", default="2,2,2,2", help="cells of its four blocks (default: 2,2,2,2)")
    parser.add_argument(
        "--identities", type=int, default=751, help="classes of the classifiers (default: 751)"
    )
    parser.add_argument("--neck", default="fblneck", help="bnneck, blneck, fblneck (default) or embedding")
    parser.add_argument("--stripes", type=int, default=2, help="stripes of fblneck (default: 2)")
    add_json_flag(parser)


def _run_complexity(options: argparse.Namespace) -> int:
    from autoreid.complexity import measure
    from autoreid.recipes import Neck, TrainRecipe
    from autoreid.sizes import check_network
    from autoreid.values import override

    problems = Problems()
    given = ("height", "width", "width_multiplier", "channels", "layers")
    recipe = override(TrainRecipe(), {name: getattr(options, name) for name in given}, "--", problems)
    neck = override(Neck(), {"name": options.neck, "stripes": options.stripes}, "--neck ", problems)
    if options.identities < 1:
        problems.add("--identities", f"{options.identities} is too small. Use 1 or more.")
    genotypes = []
    for name in options.models:
        try:
            genotypes.append(find_genotype(name))
            check_network(recipe, genotypes[-1], "--")
        except InputError as error:
            problems.extend(error.problems)
    # Networks of one space share their mistakes.
    problems.found = [
        problem.replace("--width_multiplier", "--width-multiplier")
        for problem in dict.fromkeys(problems.found)
    ]
    problems.raise_if_any()
    results = [
        measure(
            genotype,
            neck,
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
