"""`autoreid campaign tensorboard`, `mlflow` and `wandb`: the epochs of a storage for programs that show
them."""

from __future__ import annotations

import argparse
from typing import Any

from autoreid.cli import DONE, add_json_flag, answer
from autoreid.folders import expanded

MODES = ("offline", "online")
PROJECT = "autoreid"


def add_trackers(children: Any) -> None:
    """`campaign tensorboard`, `campaign mlflow` and `campaign wandb`."""
    curves = children.add_parser(
        "tensorboard", help="epochs as TensorBoard shows them", description=_run_tensorboard.__doc__
    )
    curves.add_argument("storage", metavar="DIR", help="storage of the campaigns")
    curves.add_argument("--out", metavar="DIR", help="folder of the event files (default: DIR/tensorboard)")
    curves.set_defaults(verb_run=_run_tensorboard)
    mlflow = children.add_parser("mlflow", help="jobs as runs of MLflow", description=_run_mlflow.__doc__)
    mlflow.add_argument("storage", metavar="DIR", help="storage of the campaigns")
    mlflow.add_argument(
        "--uri",
        metavar="URI",
        help="tracking server or store (default: MLFLOW_TRACKING_URI, else ./mlflow.db)",
    )
    mlflow.set_defaults(verb_run=_run_mlflow)
    wandb = children.add_parser(
        "wandb", help="jobs as runs of Weights & Biases", description=_run_wandb.__doc__
    )
    wandb.add_argument("storage", metavar="DIR", help="storage of the campaigns")
    wandb.add_argument("--project", default=PROJECT, metavar="NAME", help=f"project (default: {PROJECT})")
    wandb.add_argument(
        "--mode", choices=MODES, default=MODES[0], help="write files, or send (default: offline)"
    )
    wandb.set_defaults(verb_run=_run_wandb)
    for child in (curves, mlflow, wandb):
        child.add_argument(
            "--campaign", action="append", default=[], metavar="NAME", help="only this one; repeatable"
        )
        add_json_flag(child)


def _run_tensorboard(options: argparse.Namespace) -> int:
    """Write the epochs of every job so far as event files; written again, they grow by what is new.

    Each repeat of an arm is a run of TensorBoard.
    """
    from autoreid.storage import Storage
    from tune_runs.curves import curves_text, write_curves

    out = None if options.out is None else expanded(options.out).absolute()
    plain = write_curves(Storage(options.storage), out, options.campaign)
    answer(plain, curves_text(plain), options.json)
    return DONE


def _run_mlflow(options: argparse.Namespace) -> int:
    """Log every job so far as a run of MLflow; logged again, runs grow by what is new.

    Each campaign is an experiment. Needs MLflow: pip install 'autoreid[mlflow]'.
    """
    from autoreid.storage import Storage
    from tune_runs.mlflow_runs import mlflow_text, write_mlflow

    plain = write_mlflow(Storage(options.storage), options.uri, options.campaign)
    answer(plain, mlflow_text(plain), options.json)
    return DONE


def _run_wandb(options: argparse.Namespace) -> int:
    """Log every job so far as a run of Weights & Biases; logged again, runs grow by what is new.

    Each campaign is a group. Offline, files are written that 'wandb sync' sends. Needs wandb: pip install
    'autoreid[wandb]'.
    """
    from autoreid.storage import Storage
    from tune_runs.wandb_runs import wandb_text, write_wandb

    plain = write_wandb(Storage(options.storage), options.project, options.mode, options.campaign)
    answer(plain, wandb_text(plain), options.json)
    return DONE
