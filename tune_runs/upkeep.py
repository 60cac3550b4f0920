"""`autoreid campaign gc`: what is removed from a storage."""

from __future__ import annotations

import argparse
from typing import Any

from autoreid.cli import DONE, add_json_flag, answer


def add_upkeep(children: Any) -> None:
    """`campaign gc`."""
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
    add_json_flag(tidy)


def _run_gc(options: argparse.Namespace) -> int:
    """Remove checkpoints that no campaign of the storage needs, and what killed launches left.

    Results, records, genotypes, models and logs stay, and jobs that run are left alone.
    """
    from autoreid.storage import Storage
    from tune_runs.housekeeping import tidy, tidy_text

    plain = tidy(Storage(options.storage), dry_run=options.dry_run, keep=options.keep_campaign)
    answer(plain, tidy_text(plain), options.json)
    return DONE
