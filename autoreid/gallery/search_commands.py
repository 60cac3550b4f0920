"""`autoreid gallery search`. Nothing heavy is imported before it runs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoreid.cli import DONE, add_json_flag, answer, say
from autoreid.embed_commands import add_image_flags, add_machine_flags, say_left_out
from autoreid.errors import InputError, Problems
from autoreid.folders import expanded
from autoreid.outputs import new_file
from autoreid.words import counted

if TYPE_CHECKING:
    from autoreid.gallery.search_queries import Asked
    from autoreid.gallery.searching import Found, Search
    from autoreid.gallery.store import Gallery

TABLES, PICTURES = (".parquet", ".csv"), (".png",)
# Of a picture: more is nothing that anyone looks at.
MOST_QUERIES, MOST_IMAGES = 64, 50
INDEX_HELP = "how to search: both find the same, faiss holds all of the gallery in memory (default: exact)"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("gallery", metavar="GALLERY", help="folder of the gallery")
    add_image_flags(parser, "query", more=", or one file of features")
    parser.add_argument("--model", metavar="CHECKPOINT", help="the model that built it, to embed images")
    parser.add_argument(
        "--top", type=int, default=10, metavar="N", help="images for each query (default: 10)"
    )
    parser.add_argument(
        "--threshold",
        metavar="T",
        help="the same person below this distance: a number, a FILE.json of calibrate, or the word "
        "calibrated for that of the gallery (default: the latter, if it has one)",
    )
    parser.add_argument(
        "--other-cameras",
        action="store_true",
        help="leave out images under the query's own camera, as evaluations and calibrations do",
    )
    parser.add_argument("--index", choices=("exact", "faiss"), default="exact", help=INDEX_HELP)
    parser.add_argument("--out", metavar="FILE", help="a table, .parquet or .csv, in place of lines")
    parser.add_argument("--picture", metavar="FILE.png", help="also the ranked lists as a picture")
    parser.add_argument(
        "--gallery-images", metavar="DIR", help="with --picture: where the gallery's images lie now"
    )
    add_machine_flags(parser)
    add_json_flag(parser)
    parser.set_defaults(run_verb=_run)


def _run(options: argparse.Namespace) -> int:
    out, picture = _check(options)

    from autoreid.gallery import thresholds
    from autoreid.gallery.search_queries import asked
    from autoreid.gallery.searching import Found, together
    from autoreid.gallery.store import Gallery

    gallery = Gallery.open(expanded(options.gallery).absolute())
    threshold, calibration = thresholds.chosen(options.threshold, gallery)
    notes = thresholds.cautions(calibration, other_cameras=options.other_cameras)
    labels, top = gallery.labels(), min(options.top, gallery.count)
    wanted = asked(options, gallery)
    unknown = _check_asked(options, wanted, labels)
    unreadable: list[str] = []
    queries, search = wanted.embed(unreadable), _search(options, gallery, labels)
    found: Iterator[Found] = (Found(some, search(some, top), labels, threshold) for some in queries)
    result: dict[str, Any] = {
        "gallery": str(gallery.folder),
        "count": gallery.count,
        "top": top,
        "threshold": threshold,
        "calibration": None if calibration is None else dict(calibration),
        "caution": "; ".join(notes),
        "cameras_unknown": unknown,
    }
    if picture is not None:
        found = iter([_drawn(found, picture, gallery, options.gallery_images)])
        result |= {"picture": options.picture}
    if out is None:
        result |= {"queries": together(list(found)).plain()}
    else:
        result |= {"out": options.out, "query_count": _write(found, out)}
    result |= {"unreadable": unreadable}
    say_left_out(unreadable)
    for note in notes:
        say(f"threshold: {note}")
    answer(result, _text(result), options.json)
    return DONE


def _check(options: argparse.Namespace) -> tuple[Path | None, Path | None]:
    """The files for the table and the picture, if any; InputError, all problems together, for what the flags
    cannot mean."""
    problems, files = Problems(), {}
    if options.top < 1 or (options.picture is not None and options.top > MOST_IMAGES):
        most = f"1 to {MOST_IMAGES} with --picture" if options.picture is not None else "1 or more"
        problems.add("--top", f"{options.top} is out of range. Use {most}.")
    if options.other_cameras and options.index == "faiss":
        problems.add("--other-cameras", "not with --index faiss. Leave one of them out.")
    if options.gallery_images is not None and options.picture is None:
        problems.add("--gallery-images", "without effect. Add --picture, or leave it out.")
    for flag, given, endings in (("--out", options.out, TABLES), ("--picture", options.picture, PICTURES)):
        if given is not None:
            try:
                files[flag] = new_file(given, flag, *endings)
            except InputError as error:
                problems.extend(error.problems)
    problems.raise_if_any()
    return files.get("--out"), files.get("--picture")


def _check_asked(options: argparse.Namespace, wanted: Asked, labels: Any) -> dict[str, int] | None:
    """With --other-cameras, of how many queries and gallery images no camera is known; InputError for queries
    that cannot be answered so."""
    count = len(wanted.cameras)
    if options.picture is not None and count > MOST_QUERIES:
        raise InputError(
            f"--picture: {count:,} queries. One picture takes up to {MOST_QUERIES}: give fewer, or write a "
            "table of all (--out) in place of it."
        )
    if not options.other_cameras:
        return None

    from autoreid.gallery.search_queries import unknown_cameras

    unknown = unknown_cameras(wanted.cameras, labels["camera"].to_pylist())
    if any(unknown.values()):
        say(
            f"--other-cameras: nothing tells the camera of {unknown['queries']:,} of "
            f"{counted(count, 'query', 'queries')} and of {unknown['gallery']:,} of "
            f"{counted(len(labels), 'gallery image')}: of their pairs none is left out"
        )
    return unknown


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


def _write(found: Iterator[Found], path: Path) -> int:
    """Write a table; for how many queries."""
    from autoreid.gallery.searching import table_file

    count = 0
    with table_file(path) as file:
        for part in found:
            file.add(part.table())
            count += len(part.queries.images)
    return count


def _drawn(found: Iterator[Found], path: Path, gallery: Gallery, folder: str | None) -> Found:
    """All that was found together, of which a picture is written."""
    from autoreid.gallery.searching import draw_found, together
    from autoreid.whole_files import output_file

    whole = together(list(found))
    drawn = draw_found(whole, (gallery.origin.height, gallery.origin.width), folder)
    with output_file(path) as file:
        file.write(drawn)
    return whole


def _text(result: Mapping[str, Any]) -> str:
    lines = []
    if "out" in result:
        lines.append(f"{result['out']}   ({counted(result['query_count'], 'query', 'queries')})")
    for query in result.get("queries", ()):
        lines += [_title(query), *(_line(match) for match in query["matches"])]
        lines += [] if query["matches"] else ["   no image under another camera"]
    if result["threshold"] is not None:
        lines.append(f"same: a distance below {result['threshold']:.4f}{_share_below(result)}")
    lines += [result["picture"]] if "picture" in result else []
    return "\n".join(lines)


def _share_below(result: Mapping[str, Any]) -> str:
    """How many of the images that are shown are below the threshold."""
    same = [match["same"] for query in result.get("queries", ()) for match in query["matches"]]
    return f", as are {sum(same):,} of {counted(len(same), 'image')}" if same else ""


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
