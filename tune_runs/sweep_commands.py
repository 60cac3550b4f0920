"""`autoreid campaign sweep`. Nothing heavy is imported before it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from autoreid.cli import DONE, add_json_flag, answer


def add_sweep(children: Any) -> None:
    """`campaign sweep`."""
    sweep = children.add_parser("sweep", help="the points of a sweep", description=_run_sweep.__doc__)
    sweep.add_argument("storage", metavar="DIR", help="storage of the campaigns")
    sweep.add_argument("--campaign", metavar="NAME", help="the campaign that is meant")
    sweep.add_argument("--export", metavar="FILE", help="write a journal file for optuna-dashboard")
    sweep.set_defaults(verb_run=_run_sweep)
    add_json_flag(sweep)


def _run_sweep(options: argparse.Namespace) -> int:
    """Show the points of every sweep in a storage, the best first; or write them as a file of Optuna."""
    from autoreid.storage import Storage
    from tune_runs.sweep_overview import export_sweeps, sweeps_plain, sweeps_text

    storage = Storage(options.storage)
    if options.export is not None:
        count = export_sweeps(storage, options.campaign, Path(options.export))
        text = f"{options.export}: {count} written. Open it by 'optuna-dashboard {options.export}'."
        answer({"file": options.export, "studies": count}, text, options.json)
        return DONE
    found = sweeps_plain(storage, options.campaign)
    answer(found, sweeps_text(found), options.json)
    return DONE
