"""The command `embed`. Nothing heavy is imported before it runs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from autoreid.cli import DONE, Command, add_json_flag, answer, say
from autoreid.interruption import begins_anew
from autoreid.model_places import checkpoint_file, read_checkpoint
from autoreid.outputs import new_file
from autoreid.run_flags import add_execution_flag, execution_of
from autoreid.words import counted

if TYPE_CHECKING:
    from autoreid.embed import Embedder
    from autoreid.gallery.images import ImageFile

CHECKPOINT_HELP = "model.pt of a training, its folder, or a portable file"


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help=CHECKPOINT_HELP)
    add_image_flags(parser, "images")
    parser.add_argument("--out", required=True, metavar="FILE.parquet", help="file for the features")
    add_feature_flags(parser)
    add_machine_flags(parser)
    add_json_flag(parser)


def add_image_flags(parser: argparse.ArgumentParser, named: str, nargs: str = "+", *, more: str = "") -> None:
    """Which images, and what they are called. more: what else may be given."""
    words = f"image files, folders of images, index files{more}"
    parser.add_argument("images", nargs=nargs, metavar=named.upper(), help=words)
    parser.add_argument("--root", metavar="DIR", help="folder that names start at (default: that of all)")
    parser.add_argument(
        "--skip-unreadable", action="store_true", help="leave out images that cannot be read, and list them"
    )


def add_feature_flags(parser: argparse.ArgumentParser) -> None:
    """What a feature of an image is."""
    parser.add_argument("--flip", action="store_true", help="mean features of image and mirror image")
    parser.add_argument("--precision", help="fp32, tf32 or bf16 (default: that of the training)")


def add_machine_flags(parser: argparse.ArgumentParser) -> None:
    """On what to compute."""
    parser.add_argument("--device", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all)")
    add_execution_flag(parser)


def loaded(options: argparse.Namespace) -> tuple[Embedder, list[ImageFile]]:
    """The network that the flags name, and the images."""
    path, execution = checkpoint_file(options.checkpoint), execution_of(options)

    from autoreid.embed import Embedder
    from autoreid.gallery.images import find_images

    images = find_images(options.images, options.root)
    data, flip = read_checkpoint(path), options.flip
    return Embedder.load(data, str(path), execution, precision=options.precision, flip=flip), images


def say_left_out(unreadable: list[str]) -> None:
    for line in unreadable:
        say(f"left out: {line}")


@begins_anew()
def _run(options: argparse.Namespace) -> int:
    path = new_file(options.out, "--out", ".parquet")
    embedder, images = loaded(options)

    from autoreid.embed import embed_into

    unreadable = embed_into(embedder, images, path, skip=options.skip_unreadable)
    say_left_out(unreadable)
    count, dimension = len(images) - len(unreadable), embedder.dimension
    result = {
        "features": options.out,
        "count": count,
        "dimension": dimension,
        "model": embedder.origin.model,
        "unreadable": unreadable,
    }
    answer(result, f"{options.out}   ({counted(count, 'image')}, {dimension} numbers each)", options.json)
    return DONE


EMBED = Command("embed", "Features of images in a parquet file.", _configure, _run)
