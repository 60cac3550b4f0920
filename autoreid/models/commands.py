"""Sub-commands about models that need no data. Nothing heavy is imported until one of them runs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from autoreid.cli import DONE, Command, add_json_flag, answer
from autoreid.errors import Problems
from autoreid.models.named import MODEL_HELP, add_size_flags, find_genotype, read_named

if TYPE_CHECKING:
    from autoreid.models.named import Named

# Classes where nothing says how many: the identities that Market-1501 trains on.
IDENTITIES = 751


def _configure_complexity(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", nargs="+", metavar="MODEL", help=MODEL_HELP)
    add_size_flags(parser)
    parser.add_argument("--stem", help="imagenet (default), or cifar for images of 32x32")
    parser.add_argument(
        "--identities",
        type=int,
        help=f"classes of the classifiers (default: a trained model's own, else {IDENTITIES})",
    )
    add_json_flag(parser)


def _run_complexity(options: argparse.Namespace) -> int:
    from autoreid.pretrain_recipes import PretrainRecipe
    from autoreid.recipes import Neck

    problems = Problems()
    if options.identities is not None and options.identities < 1:
        problems.add("--identities", f"{options.identities} is too small. Use 1 or more.")
    # Of all recipes, that of pretrainings alone has a stem.
    usual = PretrainRecipe(height=256, width=128, neck=Neck())
    rows = [_counted(network, options.identities) for network in read_named(options, usual, problems)]
    answer(rows[0] if len(rows) == 1 else rows, _complexity_text(rows), options.json)
    return DONE


def _counted(network: Named, identities: int | None) -> dict[str, Any]:
    """The figures of a network as JSON values, with what they are of."""
    from autoreid.complexity import measure
    from autoreid.size_words import described

    recipe = network.recipe
    height, width, macro = recipe.height, recipe.width, recipe.macro
    classes = identities or network.identities or IDENTITIES
    found = measure(
        network.genotype, recipe.neck, identities=classes, height=height, width=width, macro=macro
    )
    return {
        "model": network.name,
        **found.plain(),
        "identities": classes,
        **described(network.genotype, recipe.neck, height, width, macro),
    }


def _complexity_text(rows: Sequence[dict[str, Any]]) -> str:
    from autoreid.size_words import described_text, difference_text

    size = max(16, *(len(row["model"]) for row in rows))
    heads = f"{'backbone':>11} {'inference':>11} {'training':>11} {'multiply-adds':>15} {'dim':>5}"
    lines = [f"{'model':<{size}} {heads}"]
    for row in rows:
        params = row["params"]
        lines.append(
            f"{row['model']:<{size}} {params['backbone']:>11,} {params['inference']:>11,} "
            f"{params['training']:>11,} {row['multiply_adds']['inference']:>15,} {row['feature_dim']:>5}"
        )
    lines.append("built as:")
    for row in rows:
        lines += [f"{row['model']:<{size}} {described_text(row)}; {row['identities']:,} identities"]
    lines += filter(None, [difference_text(rows)])
    lines.append("backbone and one linear classifier, as Auto-ReID counts them:")
    for row in rows:
        params, adds = (row[what]["printed_convention"] for what in ("params", "multiply_adds"))
        lines.append(f"{row['model']:<{size}} {params:>11,} parameters {adds:>15,} multiply-adds")
    return "\n".join(lines)


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
