"""`autoreid pretrain`. Nothing heavy is imported until it runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from autoreid.cli import DONE, Command, add_json_flag, answer
from autoreid.commands import progress
from autoreid.errors import read_together
from autoreid.interruption import stop_on_signals
from autoreid.run_flags import add_execution_flag, cache_of, execution_of, network_recipe
from autoreid.words import counted


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--genotype", required=True, help="published name, such as cdnet-top2, or JSON file")
    parser.add_argument("--recipe", default="imagenet", help="imagenet (default) or cifar100")
    parser.add_argument("--data", required=True, metavar="DIR", help="folder of the data set")
    parser.add_argument(
        "--data-set",
        default="imagefolder",
        help="imagefolder (train/CLASS/, val/CLASS/; default) or cifar100",
    )
    parser.add_argument("--download", action="store_true", help="fetch cifar100 where it is not there")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random (default: 0)")
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="folder for the results; continued if there"
    )
    parser.add_argument("--precision", help="fp32, tf32 or bf16; short for --set precision=...")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="override a recipe field; repeatable",
    )
    parser.add_argument("--cache", metavar="DIR", help="folder for the fingerprint of data that is read-only")
    parser.add_argument("--device", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all)")
    parser.add_argument("--workers", type=int, help="processes that read images (default: none)")
    add_execution_flag(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    add_json_flag(parser)


def _run(options: argparse.Namespace) -> int:
    from autoreid.calls import local_folder, pretrain
    from autoreid.data.classes import open_classes
    from autoreid.pretrain_recipes import PRETRAIN_RECIPES

    (recipe, genotype), execution, _ = read_together(
        lambda: network_recipe(PRETRAIN_RECIPES, options),
        lambda: execution_of(options),
        lambda: local_folder(options.out),
    )
    cache = cache_of(options)
    data = open_classes(options.data_set, Path(options.data), download=options.download, cache=cache)
    with stop_on_signals() as stop:
        done = pretrain(
            recipe,
            genotype,
            data,
            options.out,
            seed=options.seed,
            execution=execution,
            on_epoch=progress(options, recipe.epochs),
            stop=stop,
        )
    found = done.result["evaluation"]
    text = (
        f"top-1 {100 * found['top_1']:.1f}, top-5 {100 * found['top_5']:.1f} "
        f"({counted(found['images'], 'image')})\n"
        f"{options.out}/weights.pt"
    )
    answer(done.result | {"out": options.out}, text, options.json)
    return DONE


PRETRAIN = Command("pretrain", "Train one network as a classifier, for its weights.", _configure, _run)
