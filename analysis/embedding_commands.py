"""`autoreid embedding`. Nothing heavy is imported until it runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from autoreid.cli import DONE, Command, add_json_flag, answer
from autoreid.errors import InputError
from autoreid.folders import open_folder

SVG, CSV = "embedding.svg", "embedding.csv"


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE.npz", help="of 'autoreid pictures features'")
    parser.add_argument("--out", required=True, metavar="DIR", help=f"folder for {SVG} and {CSV}")
    parser.add_argument("--title", metavar="TEXT", help="above the drawing (default: the file's name)")
    add_json_flag(parser)


def _run(options: argparse.Namespace) -> int:
    folder = open_folder(options.out)
    there = [name for name in (SVG, CSV) if name in folder.children()]
    if there:
        raise InputError(
            *(
                f"--out: {folder}/{name} is there already. Remove it, or name another folder."
                for name in there
            )
        )
    if not options.file.is_file():
        raise InputError(f"{options.file}: no such file. Write one with 'autoreid pictures features'.")

    from analysis.embedding_drawings import draw_embedding, points_csv
    from analysis.embeddings import embed, read_people

    found = embed(read_people(options.file.read_bytes(), str(options.file)))
    title = options.title or options.file.stem
    folder.write(SVG, draw_embedding(found, title).encode(errors="replace"))
    folder.write(CSV, points_csv(found).encode())
    paths = [f"{folder}/{SVG}", f"{folder}/{CSV}"]
    plain = {"drawing": paths[0], "points": paths[1], "perplexity": found.perplexity}
    answer(plain, "\n".join(paths), options.json)
    return DONE


EMBEDDING = Command("embedding", "draw the features of some people by t-SNE", _configure, _run)
