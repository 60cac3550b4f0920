"""`autoreid genotypes`: draw, compare, alphas. Nothing heavy is imported until one of them runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoreid.cli import DONE, Command, add_json_flag, answer
from autoreid.errors import InputError

if TYPE_CHECKING:
    from search_spaces.genotype import Genotype

GENOTYPE = "a published name, a genotype file, or the first digits of a job with --storage"


def _add_flags(parser: argparse.ArgumentParser, storage_needed: bool = False) -> None:
    parser.add_argument(
        "--storage", metavar="DIR", required=storage_needed, help="where jobs are: a storage or its tables"
    )
    parser.add_argument("--out", metavar="FILE.svg", help="write the drawing there")
    add_json_flag(parser)


def _configure(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, title="verbs")
    draw = verbs.add_parser("draw", help="draw a genotype as SVG")
    draw.add_argument("genotype", metavar="GENOTYPE", help=GENOTYPE)
    draw.add_argument("--title", metavar="TEXT", help="above the drawing (default: its name)")
    _add_flags(draw)
    draw.set_defaults(run_verb=_draw)

    compare = verbs.add_parser("compare", help="say and draw what two genotypes differ in")
    compare.add_argument("first", metavar="A", help=GENOTYPE)
    compare.add_argument("second", metavar="B", help="likewise")
    _add_flags(compare)
    compare.set_defaults(run_verb=_compare)

    alphas = verbs.add_parser("alphas", help="draw the alphas of a search over its epochs")
    alphas.add_argument("job", metavar="JOB", help="the first digits of a search's id")
    _add_flags(alphas, storage_needed=True)
    alphas.set_defaults(run_verb=_alphas)


def _run(options: argparse.Namespace) -> int:
    code: int = options.run_verb(options)
    return code


def _write(svg: str, out: str) -> str:
    """The drawing in a file, whose folder is made where it is missing; InputError where that cannot be."""
    path = Path(out)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(svg, encoding="utf-8")
    except OSError as error:
        raise InputError(f"--out {out}: {error.strerror}. Name a file that can be written.") from None
    return out


def _answer_drawing(plain: dict[str, Any], svg: str, options: argparse.Namespace) -> int:
    """The path of the drawing, or the drawing itself where no file was named."""
    if options.out is None:
        answer({**plain, "svg": svg}, svg.rstrip("\n"), options.json)
    else:
        answer({**plain, "drawing": _write(svg, options.out)}, options.out, options.json)
    return DONE


def _draw(options: argparse.Namespace) -> int:
    from analysis.drawings import draw
    from analysis.genotype_sources import find

    genotype = find(options.genotype, options.storage)
    title = options.title or _name(options.genotype)
    plain = {"genotype": genotype.plain(), "digest": genotype.digest}
    return _answer_drawing(plain, draw(genotype, title), options)


def _name(given: str) -> str:
    """What was given, without the folders of a file."""
    return Path(given).name or given


def _alphas(options: argparse.Namespace) -> int:
    from analysis.alpha_maps import draw_alphas
    from analysis.genotype_sources import alphas_of

    job, rows, genotype = alphas_of(options.job, options.storage)
    first = rows.iloc[0]
    title = f"{first['arm']}, repeat {first['repeat'] + 1}: softmax weights of the alphas"
    return _answer_drawing({"job": job}, draw_alphas(rows, genotype, title), options)


def _compare(options: argparse.Namespace) -> int:
    from analysis.drawings import draw_difference
    from analysis.genotype_sources import find

    names = _name(options.first), _name(options.second)
    first, second = (find(given, options.storage) for given in (options.first, options.second))
    plain, text = _comparison(first, second, names)
    if options.out is not None:
        svg = draw_difference(first, second, f"{names[0]} and {names[1]}", names)
        plain["drawing"] = _write(svg, options.out)
        text += f"\n\n{options.out}"
    answer(plain, text, options.json)
    return DONE


def _comparison(first: Genotype, second: Genotype, names: tuple[str, str]) -> tuple[dict[str, Any], str]:
    """What differs, as JSON values and as text; InputError for genotypes with other places."""
    from analysis import words
    from analysis.distances import distance, expected_agreement, known_places, parts

    try:
        far = distance(first, second)
    except ValueError as error:
        raise InputError(
            f"{error}. Compare genotypes of one space, or of spaces with the same places."
        ) from None
    found = parts(first, second)
    rows = [(place, option, second[place]) for place, option in first.choices if second[place] != option]
    places = known_places(first.space) if first.space == second.space else None
    random = None if places is None else 1 - expected_agreement(places)
    lines = [
        f"{letter}: {name} ({g.space})" for letter, name, g in zip("AB", names, (first, second), strict=True)
    ]
    lines.append(
        f"distance: {far:.3f}: {found.moved + found.exchanged} of {found.items} choices of A differ "
        f"({found.moved} at places that B has not, {found.exchanged} with another option)"
    )
    if random is not None:
        lines.append(f"two random genotypes of {first.space} have {random:.3f} on average")
    if rows:
        lines += ["", words.aligned(("place", "A", "B"), rows)]
    plain = {
        "distance": far,
        "random_distance": random,
        "choices": found.items,
        "moved": found.moved,
        "exchanged": found.exchanged,
        "differences": [{"place": place, "a": one, "b": two} for place, one, two in rows],
    }
    return plain, "\n".join(lines)


GENOTYPES = Command("genotypes", "draw and compare genotypes, draw alphas", _configure, _run)
