"""`autoreid campaign` and its verbs. Nothing heavy is imported before one of them runs."""

from __future__ import annotations

import argparse
import functools
import math
from typing import TYPE_CHECKING, Any

from autoreid.cli import DONE, Command, add_json_flag, answer, say
from autoreid.errors import InputError
from tune_runs.beginning import add_verbs
from tune_runs.scripting import add_scripts
from tune_runs.sweep_commands import add_sweep
from tune_runs.trackers import add_trackers
from tune_runs.upkeep import add_upkeep

if TYPE_CHECKING:
    from autoreid.storage import Storage

# More would not fit the clock that ends a launch.
MOST_HOURS = 1e5
WATCH_SECONDS = 5.0
EPILOG = """\
examples:
  autoreid campaign init FILE                               a commented campaign to begin with
  autoreid campaign plan cdnet_table1 --storage DIR         what it would run, and what is done already
  autoreid campaign plan FILE --storage DIR --probe         what it will cost, by timing a few steps
  autoreid campaign run FILE --storage DIR                  run it; run the same line again to continue
  autoreid campaign run demo --storage DIR --set repeats=1  a value of the file, changed
  autoreid campaign run FILE --storage DIR --address auto   on the Ray cluster that stands here
  autoreid campaign rehearse FILE --storage DIR             every arm in small, and what it will cost
  autoreid campaign status DIR --watch                      how far every campaign of a storage is
  autoreid campaign logs DIR 3f2a                           every attempt at job 3f2a...
  autoreid campaign retry DIR                               what failed or was cancelled is run again
  autoreid campaign cancel DIR 3f2a                         job 3f2a... is not to be run
  autoreid campaign why DIR 3f2a                            what entered the id of job 3f2a...
  autoreid campaign tensorboard DIR                         every epoch so far, for TensorBoard
  autoreid campaign mlflow DIR                              every job so far, as runs of MLflow
  autoreid campaign wandb DIR                               the same for Weights & Biases
  autoreid campaign script slurm FILE --storage DIR         a file for sbatch; or kuberay, ray-job, machines
  autoreid campaign gc DIR --dry-run                        which old checkpoints could be removed
"""


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    children = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    add_verbs(children)
    _add_launches(children)
    _add_storage_verbs(children)
    add_sweep(children)
    add_trackers(children)
    add_upkeep(children)
    add_scripts(children)


def _add_launches(children: Any) -> None:
    plan = children.add_parser("plan", help="what a campaign would run", description=_run_plan.__doc__)
    _add_file(plan)
    plan.add_argument("--storage", metavar="DIR", help="look there for what is done already")
    plan.add_argument("--jobs", action="store_true", help="list every job")
    plan.add_argument("--gpus", type=int, metavar="N", help="plan for a machine with N GPUs")
    plan.add_argument("--gpu-memory", metavar="SIZE", help="what a GPU has, such as 24GiB: what fits there")
    plan.add_argument("--probe", action="store_true", help="time a few steps of what was never run")
    plan.set_defaults(verb_run=_run_plan)
    run = children.add_parser("run", help="run or continue a campaign", description=_run_run.__doc__)
    _add_file(run)
    run.add_argument("--storage", metavar="DIR", required=True, help="folder of all results")
    run.add_argument("--max-parallel", type=int, metavar="N", help="at most N jobs at once")
    run.add_argument("--max-hours", type=float, metavar="H", help="checkpoint and stop after H hours")
    run.add_argument(
        "--max-gpu-hours",
        type=float,
        metavar="H",
        help="the same after H hours of all GPUs together (of CPUs, where jobs get no GPU)",
    )
    run.add_argument("--address", metavar="HOST:PORT", help="on this Ray cluster; auto: this machine's")
    run.add_argument("--rehearse", action="store_true", help="rehearse every arm before anything is run")
    run.set_defaults(verb_run=_run_run)
    rehearse = children.add_parser(
        "rehearse", help="every arm in small, and what it will cost", description=_run_rehearse.__doc__
    )
    _add_file(rehearse)
    rehearse.add_argument("--storage", metavar="DIR", required=True, help="folder of all results")
    rehearse.set_defaults(verb_run=_run_rehearse)
    for child in (run, rehearse):
        child.add_argument("--quiet", action="store_true", help="no progress on stderr")
    for child in (plan, run, rehearse):
        add_json_flag(child)


def _add_storage_verbs(children: Any) -> None:
    status = children.add_parser("status", help="how far campaigns are", description=_run_status.__doc__)
    status.add_argument("storage", metavar="DIR", help="storage of the campaigns")
    status.add_argument(
        "--watch",
        metavar="SECONDS",
        nargs="?",
        type=_interval,
        const=WATCH_SECONDS,
        help=f"look again every so many seconds ({WATCH_SECONDS:g}) until nothing is left to run",
    )
    status.set_defaults(verb_run=_run_status)
    logs = children.add_parser("logs", help="every attempt at a job", description=_run_logs.__doc__)
    logs.add_argument("storage", metavar="DIR", help="storage of the campaigns")
    logs.add_argument("job", metavar="JOB", help="the job's id, or its first digits, 4 or more")
    logs.set_defaults(verb_run=_run_logs)
    retry = children.add_parser("retry", help="try failed jobs again", description=_run_retry.__doc__)
    retry.set_defaults(verb_run=_run_retry)
    cancel = children.add_parser("cancel", help="jobs are not to be run", description=_run_cancel.__doc__)
    cancel.set_defaults(verb_run=_run_cancel)
    for child in (retry, cancel):
        _add_jobs(child)
    why = children.add_parser("why", help="what entered a job's id", description=_run_why.__doc__)
    why.add_argument("storage", metavar="DIR", help="storage of the campaigns")
    why.add_argument("job", metavar="JOB", help="the job's id, or its first digits, 4 or more")
    why.set_defaults(verb_run=_run_why)
    for child in (status, logs, retry, cancel, why):
        add_json_flag(child)


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a campaign file, or the name of a shipped campaign")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="change a value of the file, such as search.epochs=2 or data.root=DIR; repeatable",
    )


def _add_jobs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("storage", metavar="DIR", help="storage of the campaigns")
    parser.add_argument("jobs", metavar="JOB", nargs="*", help="ids of jobs, or first digits, 4 or more")
    parser.add_argument("--campaign", metavar="NAME", help="the campaign that is meant")


def _interval(given: str) -> float:
    """Seconds between two looks."""
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0.1 <= seconds <= 86400:
        message = f"{given!r} is not a number of seconds from 0.1 to 86400. Give DIR before --watch"
        raise argparse.ArgumentTypeError(message)
    return seconds


def _run(options: argparse.Namespace) -> int:
    code: int = options.verb_run(options)
    return code


def _run_plan(options: argparse.Namespace) -> int:
    """Show what a campaign would run, what is done already, and what is known of its cost.

    Nothing is started, unless --probe, and nothing stays in the storage.
    """
    from autoreid.byte_sizes import byte_count
    from tune_runs.campaign import load_campaign
    from tune_runs.foresight import foreseen
    from tune_runs.overview import plan_plain, plan_without_running
    from tune_runs.plan_words import plan_text
    from tune_runs.probing import probe
    from tune_runs.resources import this_machine, with_gpus
    from tune_runs.sweeping import continued

    memory = None if options.gpu_memory is None else byte_count(options.gpu_memory)
    campaign = load_campaign(options.file, tuple(options.set))
    plan, missing = plan_without_running(campaign)
    storage = None if options.storage is None else _storage(options.storage)
    if storage is not None and not missing:
        plan = continued(plan, storage)
    machine = None if options.gpus is None else with_gpus(this_machine(), campaign.placement, options.gpus)
    found = None
    if options.probe:
        found = functools.partial(probe, foreseen(plan), storage=storage, machine=machine)
    given: dict[str, Any] = {"with_jobs": options.jobs, "machine": machine, "probe": found, "memory": memory}
    plain = plan_plain(plan, storage, missing, **given)
    answer(plain, plan_text(plain), options.json)
    return DONE


def _run_run(options: argparse.Namespace) -> int:
    """Run a campaign's unfinished jobs on this machine, or on a Ray cluster. Run the same command again to
    continue."""
    from tune_runs.campaign import load_campaign
    from tune_runs.launch import launch
    from tune_runs.rehearsing import rehearsed

    settings = list(options.set)
    if options.max_parallel is not None:
        settings.append(f"execution.max_parallel={options.max_parallel}")
    campaign = load_campaign(options.file, tuple(settings))
    limits = {"--max-hours": options.max_hours, "--max-gpu-hours": options.max_gpu_hours}
    problems = [
        f"{name}: {hours:g} is not a time. Give a number of hours above 0."
        for name, hours in limits.items()
        if hours is not None and not 0 < hours < MOST_HOURS
    ]
    if problems:
        raise InputError(*problems)
    storage = _storage(options.storage)
    before = rehearsed if options.rehearse else None
    summary = launch(
        campaign,
        storage,
        quiet=options.quiet,
        max_hours=options.max_hours,
        max_device_hours=options.max_gpu_hours,
        before=before,
        address=options.address,
    )
    if options.quiet:  # else the progress has said it
        for job, error in (summary.failed | summary.skipped).items():
            say(f"job {job}: {error}")
        for node, reason in summary.left_out.items():
            say(f"{node} is left out: {reason}")
    answer(summary.plain(), summary.text(), options.json)
    return summary.exit_code


def _run_rehearse(options: argparse.Namespace) -> int:
    """Take every arm through two steps, a checkpoint, a resume and an evaluation; say what it will cost."""
    from tune_runs.campaign import load_campaign
    from tune_runs.rehearsing import forecast_text, rehearse_campaign

    campaign = load_campaign(options.file, tuple(options.set))
    forecasts, allotment = rehearse_campaign(campaign, _storage(options.storage), quiet=options.quiet)
    answer([found.plain() for found in forecasts], forecast_text(forecasts, allotment), options.json)
    return DONE


def _run_status(options: argparse.Namespace) -> int:
    """Show how far every campaign of a storage is: jobs by state and arm, progress, time left, cost, and
    what failed."""
    if options.watch is not None:
        from tune_runs.watching import watch_storage

        watch_storage(_storage(options.storage), options.watch, as_json=options.json)
        return DONE
    from tune_runs.status import status_plain, status_text

    plain = status_plain(_storage(options.storage))
    answer(plain, status_text(plain), options.json)
    return DONE


def _run_logs(options: argparse.Namespace) -> int:
    """Show every attempt at a job: when and where it began, how it ended, its log and its last epochs."""
    from tune_runs.logs import logs_plain, logs_text

    plain = logs_plain(_storage(options.storage), options.job)
    answer(plain, logs_text(plain), options.json)
    return DONE


def _run_retry(options: argparse.Namespace) -> int:
    """Let the next launch try failed jobs again and take up cancelled ones: all of them, or those given."""
    from tune_runs.steering import retry, retry_text

    plain = retry(_storage(options.storage), options.jobs, options.campaign)
    answer(plain, retry_text(plain), options.json)
    return DONE


def _run_cancel(options: argparse.Namespace) -> int:
    """Keep jobs from being run: all of a campaign that are not done, or those given.

    Jobs that run write a checkpoint and end within seconds, also where another process runs them.
    """
    from tune_runs.steering import cancel, cancel_text

    plain = cancel(_storage(options.storage), options.jobs, options.campaign)
    answer(plain, cancel_text(plain), options.json)
    return DONE


def _run_why(options: argparse.Namespace) -> int:
    """Show what entered a job's id, who plans it, and how the job that comes nearest differs."""
    from tune_runs.why import why_plain, why_text

    plain = why_plain(_storage(options.storage), options.job)
    answer(plain, why_text(plain), options.json)
    return DONE


def _storage(folder: str) -> Storage:
    from autoreid.storage import Storage

    return Storage(folder)


CAMPAIGN = Command(
    "campaign", "Plan, run and watch campaigns: many searches and trainings.", _configure, _run
)
