"""`autoreid data render | check | prepare`. Imports nothing heavy."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from autoreid.cli import BAD_INPUT, DONE, Command, add_json_flag, answer
from autoreid.errors import InputError
from autoreid.folders import expanded
from autoreid.words import counted

SUMMARY = "render pedestrians, check a data set, decode it once"


def configure(parser: argparse.ArgumentParser) -> None:
    children = parser.add_subparsers(dest="data_name", metavar="ACTION", title="actions")
    _configure_render(children)
    _configure_check(children)
    _configure_prepare(children)


def _configure_render(children: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = children.add_parser(
        "render",
        help="write rendered pedestrians in the Market-1501 layout",
        description="Write rendered pedestrians as JPEGs in the Market-1501 layout. The same arguments give "
        "the same images.",
    )
    parser.add_argument("directory", metavar="DIR", help="a new or empty folder")
    for flag, default, words in (
        ("--identities", 40, "people"),
        ("--cameras", 4, "cameras"),
        ("--images", 4, "images of one person in one camera"),
        ("--seed", 0, "of everything that is drawn at random"),
        ("--height", 128, "of an image, in pixels"),
        ("--width", 64, "of an image, in pixels"),
    ):
        parser.add_argument(flag, type=int, default=default, metavar="N", help=f"{words} (default {default})")
    add_json_flag(parser)
    parser.set_defaults(data_command=render)


def _add_data_set(parser: argparse.ArgumentParser) -> None:
    """Where the data is, and which it is."""
    parser.add_argument("directory", metavar="DIR", help="folder of a data set, or an index file")
    parser.add_argument("--data-set", metavar="NAME", help="name of the set (default: found by looking)")
    parser.add_argument(
        "--data-option",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="a field of the set, such as variant=detected; repeatable",
    )
    parser.add_argument(
        "--cache",
        metavar="DIR",
        help="a folder on a local disk (default: $AUTOREID_CACHE, else ~/.cache/autoreid)",
    )


def _configure_check(children: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = children.add_parser(
        "check",
        help="counts next to the published ones, and every defect with its remedy",
        description="Find the data set and its layout, count identities, images and cameras of each split "
        "next to the published counts, decode every image, and report every defect with its remedy. Exit "
        "code 2 when the data cannot be used.",
    )
    _add_data_set(parser)
    add_json_flag(parser)
    parser.set_defaults(data_command=check)


def _configure_prepare(children: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = children.add_parser(
        "prepare",
        help="decode all images once, ahead of the runs on this machine",
        description="Decode all images into one array in the cache of this machine, as the first run would.",
    )
    _add_data_set(parser)
    parser.add_argument("--height", type=int, default=256, metavar="N", help="in pixels (default 256)")
    parser.add_argument("--width", type=int, default=128, metavar="N", help="in pixels (default 128)")
    add_json_flag(parser)
    parser.set_defaults(data_command=prepare)


def run(options: argparse.Namespace) -> int:
    if options.data_name is None:
        raise InputError(
            "autoreid data: no action. Use render, check or prepare; see 'autoreid data --help'."
        )
    code: int = options.data_command(options)
    return code


def render(options: argparse.Namespace) -> int:
    from autoreid.data.market1501 import read
    from autoreid.data.source import RENDER_FIELDS, DataSource, render_into

    directory = expanded(options.directory)
    given = {name: getattr(options, name) for name in RENDER_FIELDS}
    source = DataSource.from_plain({"set": "rendered", **given}, "render")
    if directory.exists() and not (directory.is_dir() and not any(directory.iterdir())):
        raise InputError(f"{directory}: is there and not empty. Give a new folder, or remove this one.")
    begin = time.monotonic()
    render_into(directory, source)
    seconds = time.monotonic() - begin
    index = read(directory)
    counts = {split: len(index.rows(split)) for split in ("train", "query", "gallery")}
    result = {"directory": str(directory), "images": len(index), "splits": counts, "wall_seconds": seconds}
    parts = ", ".join(f"{split} {count:,}" for split, count in counts.items())
    text = f"{directory}: {counted(len(index), 'image')} in {seconds:.1f} s ({parts})"
    answer(result, text, options.json)
    return DONE


def check(options: argparse.Namespace) -> int:
    from autoreid.data import doctor

    place = expanded(options.directory)
    report = doctor.check(place, options.data_set or "", options.data_option, _cache_of(options))
    answer(report.plain(), report.text(), options.json)
    return DONE if report.usable else BAD_INPUT


def _cache_of(options: argparse.Namespace) -> Path | None:
    return expanded(options.cache) if options.cache else None


def prepare(options: argparse.Namespace) -> int:
    from autoreid.data.arrays import array_path, decode
    from autoreid.data.disk import default_cache
    from autoreid.data.index import fingerprint
    from autoreid.data.sets import find_set
    from autoreid.data.source import open_index, source_of

    cache = _cache_of(options) or default_cache()
    place = expanded(options.directory)
    name = options.data_set or find_set(place)
    index = open_index(source_of(name, str(place), options.data_option), cache)
    begin = time.monotonic()
    content = fingerprint(index, cache)
    array = decode(index, options.height, options.width, cache, content)
    path = array_path(index, options.height, options.width, cache, content)
    seconds = time.monotonic() - begin
    result = {
        "data_set": name,
        "facts": dict(index.facts),
        "fingerprint": content,
        "array": str(path),
        "images": len(index),
        "bytes": array.nbytes,
        "wall_seconds": seconds,
    }
    text = (
        f"data set     {name}, {index.facts.get('layout', '')}\n"
        f"fingerprint  {content}\narray        {path}\n"
        f"             {counted(len(index), 'image')}, {array.nbytes / 1e6:,.0f} MB, {seconds:.1f} s"
    )
    answer(result, text, options.json)
    return DONE


DATA = Command("data", SUMMARY, configure, run)
