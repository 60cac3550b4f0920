"""The command `gallery`: build, add, remove, search, calibrate. Nothing heavy is imported before it runs."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from autoreid.cli import DONE, Command, add_json_flag, answer
from autoreid.embed_commands import (
    CHECKPOINT_HELP,
    add_feature_flags,
    add_image_flags,
    add_machine_flags,
    loaded,
    say_left_out,
)
from autoreid.errors import Problems
from autoreid.folders import expanded
from autoreid.gallery import calibrate_commands, search_commands
from autoreid.interruption import begins_anew
from autoreid.words import counted

if TYPE_CHECKING:
    from autoreid.gallery.store import Gallery


def _configure(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, title="verbs")
    build = verbs.add_parser("build", help="a gallery of images, or of a file of features")
    build.add_argument("checkpoint", nargs="?", metavar="CHECKPOINT", help=CHECKPOINT_HELP)
    _add_flags(build)
    build.add_argument("--out", required=True, metavar="GALLERY", help="folder for the gallery")
    add_feature_flags(build)
    build.set_defaults(run_verb=_build)

    add = verbs.add_parser("add", help="add images, or a file of features, to a gallery")
    add.add_argument("gallery", metavar="GALLERY", help="folder of the gallery")
    _add_flags(add)
    add.add_argument("--model", dest="checkpoint", metavar="CHECKPOINT", help="the model that built it")
    add.set_defaults(run_verb=_add)

    remove = verbs.add_parser("remove", help="take images out of a gallery, and delete their features")
    remove.add_argument("gallery", metavar="GALLERY", help="folder of the gallery")
    remove.add_argument("names", nargs="+", metavar="NAME", help="names of images, as a search shows them")
    add_json_flag(remove)
    remove.set_defaults(run_verb=_remove)

    search_commands.configure(verbs.add_parser("search", help="the images that are nearest to others"))
    calibrate_commands.configure(
        verbs.add_parser("calibrate", help="the distance below which two images show one person")
    )


def _add_flags(parser: argparse.ArgumentParser) -> None:
    add_image_flags(parser, "images", nargs="*")
    parser.add_argument(
        "--features", metavar="FILE.parquet", help="in place of images: a file that 'autoreid embed' wrote"
    )
    add_machine_flags(parser)
    add_json_flag(parser)


@begins_anew()
def _run(options: argparse.Namespace) -> int:
    code: int = options.run_verb(options)
    return code


def _check_source(options: argparse.Namespace, model: str) -> None:
    """InputError unless there are either a model and images, or a file of features alone."""
    problems = Problems()
    if options.features is None:
        if options.checkpoint is None:
            problems.add(model, "missing. Give the model that embeds the images, or --features FILE.parquet.")
        if not options.images:
            problems.add("IMAGES", "none. Give images or folders of images, or --features FILE.parquet.")
    else:
        given = {
            model: options.checkpoint,
            "IMAGES": options.images,
            "--root": options.root,
            "--flip": getattr(options, "flip", None),
            "--precision": getattr(options, "precision", None),
            "--skip-unreadable": options.skip_unreadable,
        }
        for name in (name for name, value in given.items() if value):
            problems.add(name, "without effect beside --features. Leave one of them out.")
    problems.raise_if_any()


def _build(options: argparse.Namespace) -> int:
    _check_source(options, "CHECKPOINT")

    from autoreid.gallery.store import Gallery, new_gallery

    folder, unreadable = expanded(options.out).absolute(), []
    with new_gallery(folder) as place:
        if options.features is not None:
            _copy(options.features, place)
        else:
            unreadable = _embed(options, place)
    return _told(Gallery.open(folder), unreadable, options)


def _add(options: argparse.Namespace) -> int:
    _check_source(options, "--model")

    from autoreid.gallery.store import Gallery, addition

    folder, unreadable = expanded(options.gallery).absolute(), []
    gallery = Gallery.open(folder)
    with addition(gallery) as place:
        if options.features is not None:
            _copy(options.features, place)
        else:
            options.flip, options.precision = gallery.origin.flip, gallery.origin.precision
            unreadable = _embed(options, place, gallery)
    return _told(Gallery.open(folder), unreadable, options)


def _remove(options: argparse.Namespace) -> int:
    from autoreid.gallery.removal import remove
    from autoreid.gallery.store import Gallery

    names = sorted(set(options.names))
    left = remove(Gallery.open(expanded(options.gallery).absolute()), names)
    text = f"{left.folder}   ({counted(len(names), 'image')} removed, {left.count:,} left)"
    answer(left.says() | {"gallery": str(left.folder), "removed": names}, text, options.json)
    return DONE


def _copy(given: str, place: Path) -> None:
    from autoreid.gallery.feature_files import FeatureFile
    from autoreid.whole_files import output_file

    file = FeatureFile.open(expanded(given).absolute())
    for _ in file.blocks():
        pass  # features that were changed are named before they are copied
    with file.path.open("rb") as features, output_file(place) as copy:
        shutil.copyfileobj(features, copy)


def _embed(options: argparse.Namespace, place: Path, gallery: Gallery | None = None) -> list[str]:
    from autoreid.embed import embed_into

    embedder, images = loaded(options)
    if gallery is not None:
        gallery.check_origin(embedder.origin, options.checkpoint, "Give the model that built the gallery.")
    unreadable = embed_into(embedder, images, place, skip=options.skip_unreadable)
    say_left_out(unreadable)
    return unreadable


def _told(gallery: Gallery, unreadable: list[str], options: argparse.Namespace) -> int:
    said = gallery.says() | {"gallery": str(gallery.folder), "unreadable": unreadable}
    text = f"{gallery.folder}   ({counted(gallery.count, 'image')}, {gallery.dimension} numbers each)"
    answer(said, text, options.json)
    return DONE


GALLERY = Command("gallery", "Build a gallery of people, search it, calibrate a threshold.", _configure, _run)
