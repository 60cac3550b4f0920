"""`autoreid campaign tensorboard` and `gc`: what is made of a storage, and what is removed from it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from autoreid.cli import DONE, add_json_flag, answer


def add_upkeep(children: Any) -> None:
    """`campaign tensorboard` and `campaign gc`."""
    curves = children.add_parser(
        "tensorboard", help="epochs as TensorBoard shows them", description=_run_tensorboard.__doc__
    )
    curves.add_argument("storage", metavar="DIR", help="storage of the campaigns")
    curves.add_argument("--out", metavar="DIR", help="folder of the event files (default: DIR/tensorboard)")
    curves.add_argument(
        "--campaign", action="append", default=[], metavar="NAME", help="only this one; repeatable"
    )
    curves.set_defaults(verb_run=_run_tensorboard)
    tidy = children.add_parser("gc", help="remove old checkpoints", description=_run_gc.__doc__)
    tidy.add_argument("storage", metavar="DIR", help="storage of the campaigns")
    tidy.add_argument("--dry-run", action="store_true", help="say what would be removed, and remove nothing")
    tidy.add_argument(
        "--keep-campaign",
        action="append",
        default=[],
        metavar="NAME",
        help="a campaign that is to be continued; repeatable (default: all of the storage)",
    )
    tidy.set_defaults(verb_run=_run_gc)
    for child in (curves, tidy):
        add_json_flag(child)


def _run_tensorboard(options: argparse.Namespace) -> int:
    """Write the epochs of every job so far as event files; written again, they grow by what is new.

    Each repeat of an arm is a run of TensorBoard.
    """
    from autoreid.storage import Storage
    from tune_runs.curves import curves_text, write_curves

    out = None if options.out is None else Path(options.out).expanduser().absolute()
    plain = write_curves(Storage(options.storage), out, options.campaign)
    answer(plain, curves_text(plain), options.json)
    return DONE


def _run_gc(options: argparse.Namespace) -> int:
    """Remove checkpoints that no campaign of the storage needs, and what killed launches left.

    Results, records, genotypes, models and logs stay, and jobs that run are left alone.
    """
    from autoreid.storage import Storage
    from tune_runs.housekeeping import tidy, tidy_text

    plain = tidy(Storage(options.storage), dry_run=options.dry_run, keep=options.keep_campaign)
    answer(plain, tidy_text(plain), options.json)
    return DONE
