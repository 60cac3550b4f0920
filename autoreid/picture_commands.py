"""The command `pictures`: ranked lists, activation maps, features for t-SNE. Nothing heavy is imported before
it runs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from autoreid.cli import DONE, Command, add_json_flag, answer
from autoreid.errors import InputError, Problems
from autoreid.evaluate_commands import (
    add_evaluation_flags,
    bounded_execution,
    evaluation_recipe,
    memory_of_the_flag,
)
from autoreid.folders import Folder, open_folder
from autoreid.interruption import begins_anew
from autoreid.model_places import checkpoint_file, read_checkpoint
from autoreid.picture_files import ACTIVATIONS, FEATURES, RANKED
from autoreid.run_flags import add_data_flags, cache_of, data_source, execution_of

if TYPE_CHECKING:
    import torch

    from autoreid.data.index import ImageIndex
    from autoreid.evaluation.ranked_lists import RankedList
    from autoreid.execution import Execution
    from autoreid.feed import PreparedData
    from autoreid.models.assembly import ReIDModel

COUNT = 8
# Of a picture: more is nothing that anyone looks at.
MOST_QUERIES, MOST_IMAGES, MOST_PEOPLE = 64, 50, 40


def _configure(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, title="verbs")
    ranked = verbs.add_parser("ranked", help="queries with the gallery images that rank first")
    _add_flags(ranked, "queries: the hardest half, others at random")
    ranked.add_argument(
        "--top", type=int, default=10, metavar="N", help="gallery images of each (default: 10)"
    )
    _add_query_flag(ranked)
    add_evaluation_flags(ranked)
    ranked.set_defaults(run_verb=_ranked)

    activations = verbs.add_parser("activations", help="where in an image the stages of the network respond")
    _add_flags(activations, "query images, drawn at random")
    _add_query_flag(activations)
    activations.add_argument(
        "--stage",
        type=int,
        action="append",
        default=[],
        metavar="N",
        help="only this stage, from 1; repeatable",
    )
    activations.set_defaults(run_verb=_activations)

    features = verbs.add_parser("features", help="features of some people, for 'autoreid embedding'")
    _add_flags(features, "people: those with the most images")
    features.add_argument(
        "--identity", type=int, action="append", default=[], metavar="ID", help="this person; repeatable"
    )
    features.set_defaults(run_verb=_features)


def _add_flags(parser: argparse.ArgumentParser, counted: str) -> None:
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="model.pt of a training, its folder, or a portable file"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the file")
    parser.add_argument("--count", type=int, metavar="N", help=f"so many {counted} (default: {COUNT})")
    add_data_flags(parser)
    add_json_flag(parser)


def _add_query_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--query", action="append", default=[], metavar="NAME", help="this query image; repeatable"
    )


@begins_anew()
def _run(options: argparse.Namespace) -> int:
    code: int = options.run_verb(options)
    return code


def _check(options: argparse.Namespace, named: str, given: list[Any], most: int) -> int:
    """The count; InputError, all problems together, for what the flags cannot mean."""
    problems = Problems()
    if options.count is not None and given:
        problems.add("--count", f"without effect beside {named}. Leave one of them out.")
    for flag, value, largest in (
        ("--count", options.count, most),
        ("--top", getattr(options, "top", None), MOST_IMAGES),
    ):
        if value is not None and not 1 <= value <= largest:
            problems.add(flag, f"{value} is out of range. Use 1 to {largest}.")
    if len(given) > most:
        problems.add(named, f"given {len(given)} times. One picture takes up to {most}.")
    problems.raise_if_any()
    return COUNT if options.count is None else int(options.count)


def _target(options: argparse.Namespace, name: str) -> Folder:
    """The folder for a file that is not there yet."""
    folder = open_folder(options.out)
    if name in folder.children():
        raise InputError(f"--out: {folder}/{name} is there already. Remove it, or name another folder.")
    return folder


def _loaded(
    options: argparse.Namespace, execution: Execution
) -> tuple[ReIDModel, PreparedData, torch.device, str]:
    """The model on its device, the data at the size of its images, and the precision of its training."""
    from autoreid.feed import prepare
    from autoreid.forms import place
    from autoreid.model_files import unpack_model
    from autoreid.optimisation import set_up

    path, source = checkpoint_file(options.checkpoint), data_source(options)
    model, trained, _ = unpack_model(read_checkpoint(path), str(path))
    device = set_up(execution, trained.precision)
    data = prepare(source, trained.height, trained.width, cache_of(options))
    return place(model, device, execution), data, device, trained.precision


def _ranked(options: argparse.Namespace) -> int:
    recipe, folder = evaluation_recipe(options), _target(options, RANKED)
    count = _check(options, "--query", options.query, MOST_QUERIES)
    execution = bounded_execution(options)
    model, data, device, precision = _loaded(options, execution)

    from autoreid.evaluating import evaluate, protocol_of
    from autoreid.evaluation.ranked_lists import choose_queries, find_queries, ranked_lists
    from autoreid.evaluation.ranked_pictures import draw_ranked

    index = data.index
    named = find_queries(index, options.query) if options.query else None
    with memory_of_the_flag():
        found = evaluate(
            model, data, device=device, precision=precision, execution=execution, protocol=protocol_of(recipe)
        )
    scores, protocol = found.ranked, found.protocol
    queries = choose_queries(scores, count) if named is None else named
    lists = ranked_lists(
        found.found, index, protocol, scores, queries, top=options.top, device=device, memory=found.memory
    )
    folder.write(RANKED, draw_ranked(lists, data.images, index, protocol))
    picture = f"{folder}/{RANKED}"
    rows = [_plain(ranked, index) for ranked in lists]
    answer({"picture": picture, "queries": rows}, picture, options.json)
    return DONE


def _plain(found: RankedList, index: ImageIndex) -> dict[str, Any]:
    images = zip(found.gallery.tolist(), found.distances.tolist(), found.right.tolist(), strict=True)
    return {
        "name": index.names[found.query],
        "identity": int(index.identities[found.query]),
        "camera": int(index.cameras[found.query]),
        "average_precision": found.average_precision,
        "first_rank": found.first_rank,
        "gallery": [
            {
                "name": index.names[row],
                "identity": int(index.identities[row]),
                "camera": int(index.cameras[row]),
                "distance": distance,
                "right": right,
            }
            for row, distance, right in images
        ],
    }


def _activations(options: argparse.Namespace) -> int:
    count, folder = _check(options, "--query", options.query, MOST_QUERIES), _target(options, ACTIVATIONS)
    model, data, device, _ = _loaded(options, execution_of(options))

    from autoreid.evaluation.activations import draw_activations
    from autoreid.evaluation.ranked_lists import drawn, find_queries

    rows = data.index.rows("query")
    if not len(rows):
        raise InputError(f"{data.index.root}: no query images to draw.")
    chosen = find_queries(data.index, options.query) if options.query else drawn(len(rows), count)
    picture = draw_activations(
        model, data.images, data.index, rows[chosen], device=device, stages=options.stage
    )
    folder.write(ACTIVATIONS, picture)
    names = [data.index.names[row] for row in rows[chosen].tolist()]
    answer({"picture": f"{folder}/{ACTIVATIONS}", "images": names}, f"{folder}/{ACTIVATIONS}", options.json)
    return DONE


def _features(options: argparse.Namespace) -> int:
    count, folder = _check(options, "--identity", options.identity, MOST_PEOPLE), _target(options, FEATURES)
    model, data, device, _ = _loaded(options, execution_of(options))

    from autoreid.evaluation.loss_features import feature_file, most_seen

    people = list(dict.fromkeys(options.identity)) or most_seen(data.index, count)
    folder.write(FEATURES, feature_file(model, data.images, data.index, people, device=device))
    answer({"features": f"{folder}/{FEATURES}", "identities": people}, f"{folder}/{FEATURES}", options.json)
    return DONE


PICTURES = Command("pictures", "Ranked lists, activation maps, features of some people.", _configure, _run)
