"""`autoreid gallery search`. Nothing heavy is imported before it runs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoreid.cli import DONE, add_json_flag, answer, say
from autoreid.commands import execution_of
from autoreid.embed_commands import add_image_flags, add_machine_flags, new_file, say_left_out
from autoreid.errors import InputError, Problems
from autoreid.evaluate_commands import checkpoint_file, read_checkpoint

if TYPE_CHECKING:
    from autoreid.gallery.searching import Found, Queries, Search
    from autoreid.gallery.store import Gallery

TABLES = (".parquet", ".csv")
# Of a picture: more is nothing that anyone looks at.
MOST_QUERIES, MOST_IMAGES = 64, 50


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("gallery", metavar="GALLERY", help="folder of the gallery")
    add_image_flags(parser, "query", more=", or one file of features")
    parser.add_argument("--model", metavar="CHECKPOINT", help="the model that built it, to embed images")
    parser.add_argument("--top", type=int, default=10, metavar="N", help="images for each query (10)")
    parser.add_argument(
        "--threshold",
        metavar="T",
        help="the same person below this distance: a number, a file of calibrate, or calibrated (default: "
        "that of the gallery, if it has one)",
    )
    parser.add_argument(
        "--other-cameras",
        action="store_true",
        help="leave out images under the query's own camera, as evaluations and calibrations do",
    )
    parser.add_argument("--index", choices=("exact", "faiss"), default="exact", help="how (default: exact)")
    parser.add_argument("--out", metavar="FILE", help="a table, .parquet or .csv, in place of lines")
    parser.add_argument("--picture", metavar="FILE.png", help="also the ranked lists as a picture")
    parser.add_argument(
        "--gallery-images", metavar="DIR", help="with --picture: where the gallery's images lie now"
    )
    add_machine_flags(parser)
    add_json_flag(parser)
    parser.set_defaults(run_verb=_run)


def _run(options: argparse.Namespace) -> int:
    _check(options)
    out = None if options.out is None else new_file(options.out, ending=Path(options.out).suffix)
    picture = None if options.picture is None else new_file(options.picture, "--picture", ".png")

    from autoreid.gallery import thresholds
    from autoreid.gallery.searching import Found, draw_found
    from autoreid.gallery.store import Gallery

    gallery = Gallery.open(Path(options.gallery).expanduser().absolute())
    threshold, calibration = thresholds.chosen(options.threshold, gallery)
    unreadable: list[str] = []
    labels, top = gallery.labels(), min(options.top, gallery.count)
    queries, search = _queries(options, gallery, unreadable), _search(options, gallery, labels)
    found = (Found(some, search(some, top), labels, threshold) for some in queries)
    result: dict[str, Any] = {
        "gallery": str(gallery.folder),
        "count": gallery.count,
        "top": top,
        "threshold": threshold,
        "calibration": None if calibration is None else dict(calibration),
        "caution": thresholds.caution(calibration, other_cameras=options.other_cameras),
    }
    if out is not None and picture is None:
        result |= _write(found, out) | {"unreadable": unreadable}
    else:
        parts = _all_in_one(found, options)
        if picture is not None:
            shape = gallery.origin.height, gallery.origin.width
            drawn = draw_found(parts, shape, options.gallery_images)
            _put(picture, drawn)
            result |= {"picture": options.picture}
        result |= _write(iter([parts]), out) if out is not None else {"queries": parts.plain()}
        result |= {"unreadable": unreadable}
    say_left_out(unreadable)
    if result["caution"]:
        say(f"threshold: {result['caution']}")
    answer(result, _text(result), options.json)
    return DONE


def _check(options: argparse.Namespace) -> None:
    """InputError, all problems together, for what the flags cannot mean."""
    problems = Problems()
    if options.top < 1 or (options.picture is not None and options.top > MOST_IMAGES):
        most = f"1 to {MOST_IMAGES} with --picture" if options.picture is not None else "1 or more"
        problems.add("--top", f"{options.top} is out of range. Use {most}.")
    if options.out is not None and not options.out.endswith(TABLES):
        problems.add("--out", f"{options.out} does not end with {' or '.join(TABLES)}. Name it so.")
    if options.other_cameras and options.index == "faiss":
        problems.add("--other-cameras", "not with --index faiss. Leave one of them out.")
    if options.gallery_images is not None and options.picture is None:
        problems.add("--gallery-images", "without effect. Add --picture, or leave it out.")
    problems.raise_if_any()


def _queries(options: argparse.Namespace, gallery: Gallery, unreadable: list[str]) -> Iterator[Queries]:
    """What is looked for, some images at a time: of a file of features, or embedded by the model."""
    from autoreid.gallery.feature_files import FeatureFile, is_feature_file
    from autoreid.gallery.searching import queries_of_file

    files = [path for path in options.images if is_feature_file(Path(path).expanduser())]
    if not files:
        return _embedded(options, gallery, unreadable)
    if len(options.images) > 1:
        raise InputError(f"{files[0]}: a file of features beside other queries. Search for it alone.")
    if options.model is not None:
        raise InputError("--model: without effect on a file of features. Leave it out.")
    file = FeatureFile.open(Path(files[0]).expanduser())
    gallery.check_features(file, files[0], "Embed the queries with the gallery's model and flags.")
    return queries_of_file(file)


def _embedded(options: argparse.Namespace, gallery: Gallery, unreadable: list[str]) -> Iterator[Queries]:
    if options.model is None:
        raise InputError(
            "--model: missing. Give the model that built the gallery, whose digest begins with "
            f"{gallery.origin.model[:12]}, to embed the queries."
        )
    path, execution = checkpoint_file(options.model), execution_of(options)

    from autoreid.embed import Embedder, check_readable, embed_batches
    from autoreid.gallery.images import find_images
    from autoreid.gallery.searching import queries_of_images

    images, origin = find_images(options.images, options.root), gallery.origin
    data = read_checkpoint(path)
    embedder = Embedder.load(data, str(path), execution, precision=origin.precision, flip=origin.flip)
    gallery.check_origin(embedder.origin, options.model, "Give the model that built the gallery.")
    skip = options.skip_unreadable
    yield from queries_of_images(embed_batches(embedder, images, unreadable, skip=skip))
    check_readable(images, unreadable, skip=skip)


def _search(options: argparse.Namespace, gallery: Gallery, labels: Any) -> Search:
    """The way to search: both give the same."""
    from autoreid.gallery.nearest import Views, faiss_index, nearest, nearest_by_faiss

    if options.index == "faiss":
        index = faiss_index(gallery.blocks(), gallery.dimension)
        return lambda queries, top: nearest_by_faiss(index, queries.features, top)
    if not options.other_cameras:
        return lambda queries, top: nearest(queries.features, gallery.blocks(), top)
    cameras = labels["camera"].fill_null(-1).to_numpy()
    return lambda queries, top: nearest(
        queries.features, gallery.blocks(), top, Views(queries.cameras, cameras)
    )


def _all_in_one(found: Iterator[Found], options: argparse.Namespace) -> Found:
    """All that was found together, for lines and pictures."""
    from autoreid.gallery.searching import together

    whole = together(list(found))
    count = len(whole.queries.images)
    if options.picture is not None and count > MOST_QUERIES:
        raise InputError(f"--picture: {count:,} queries. One picture takes up to {MOST_QUERIES}.")
    return whole


def _write(found: Iterator[Found], path: Path) -> dict[str, Any]:
    from autoreid.gallery.searching import table_file

    count = 0
    with table_file(path) as file:
        for part in found:
            file.add(part.table())
            count += len(part.queries.images)
    return {"out": str(path), "query_count": count}


def _put(path: Path, data: bytes) -> None:
    from autoreid.gallery.feature_files import whole_file

    with whole_file(path) as file:
        file.write(data)


def _text(result: Mapping[str, Any]) -> str:
    lines = []
    if "out" in result:
        lines.append(f"{result['out']}   ({result['query_count']:,} queries)")
    for query in result.get("queries", ()):
        lines += [_title(query), *(_line(match) for match in query["matches"])]
    if result["threshold"] is not None:
        lines.append(f"same: a distance below {result['threshold']:.4f}")
    lines += [result["picture"]] if "picture" in result else []
    return "\n".join(lines)


def _title(query: Mapping[str, Any]) -> str:
    known = [f"{name} {query[name]}" for name in ("identity", "camera") if query[name] is not None]
    return f"{query['name']}{'   ' if known else ''}{', '.join(known)}"


def _line(match: Mapping[str, Any]) -> str:
    """One image found, in a line.

    >>> match = {"rank": 1, "name": "a.jpg", "identity": 7, "camera": None, "distance": 0.25, "same": True}
    >>> _line(match)
    '   1  0.2500  same  identity 7               a.jpg'
    """
    same = "" if match["same"] is None else "same  " if match["same"] else "      "
    known = [f"{name} {match[name]}" for name in ("identity", "camera") if match[name] is not None]
    return f"{match['rank']:>4}  {match['distance']:.4f}  {same}{', '.join(known):<24} {match['name']}"
