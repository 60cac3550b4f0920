"""`autoreid campaign script`: what starts a campaign on a cluster, in one file for the cluster's command."""

from __future__ import annotations

import argparse
import os
import re
import shlex
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoreid.cli import DONE
from autoreid.errors import InputError, Problems
from autoreid.folders import open_folder

if TYPE_CHECKING:
    from tune_runs.campaign import Campaign

SCRIPTS = {
    "slurm": "slurm.sh",
    "kuberay": "kuberay.yaml",
    "ray-job": "ray-job.sh",
    "machines": "machines.sh",
}
# Where the campaign lies that travels within a script.
WITHIN = {"kuberay": "/campaign/campaign.yaml", "ray-job": "campaign.yaml"}
TIME = re.compile(r"(\d+-)?\d{1,2}(:\d{2}){0,2}|\d+")


def add_scripts(children: Any) -> None:
    """`campaign script`."""
    script = children.add_parser(
        "script", help="what starts it on Slurm, Kubernetes, ...", description=_run.__doc__
    )
    script.add_argument("kind", metavar="KIND", choices=SCRIPTS, help=", ".join(SCRIPTS))
    script.add_argument("file", metavar="FILE", help="a campaign file, or the name of a shipped campaign")
    script.add_argument(
        "--storage",
        metavar="DIR",
        required=True,
        help="folder or address of all results, the same on all nodes",
    )
    script.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="as of campaign run"
    )
    script.add_argument("--nodes", type=int, default=1, metavar="N", help="how many (default: 1)")
    script.add_argument("--gpus", type=int, default=0, metavar="N", help="GPUs of a node (default: none)")
    script.add_argument("--cpus", type=int, default=0, metavar="N", help="CPUs of a node (default: all)")
    script.add_argument("--time", default="24:00:00", help="slurm: of one launch (default: 24:00:00)")
    script.add_argument("--memory", default="64Gi", help="kuberay: of a node (default: 64Gi)")
    script.add_argument("--image", help="kuberay: a container image that has autoreid and Ray")
    script.set_defaults(verb_run=_run)


def cluster_script(options: argparse.Namespace) -> str:
    """The text of the script; InputError with every mistake, those of the campaign among them."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # deferred: slow to load

    from tune_runs.campaign import load_campaign

    campaign = load_campaign(options.file, tuple(options.set))
    _check(options, campaign)
    path = Path(options.file)
    place = str(path.absolute()) if path.is_file() else options.file
    place = WITHIN.get(options.kind, place)
    words = ["campaign", "run", place, "--storage", options.storage, "--address", "auto"]
    words += [word for setting in _settings(options, campaign) for word in ("--set", setting)]
    roots = _roots(campaign).values()
    loader = PackageLoader("tune_runs", "scripts")
    environment = Environment(loader=loader, undefined=StrictUndefined, keep_trailing_newline=True)
    fields = {name: getattr(options, name) for name in ("nodes", "gpus", "cpus", "time", "memory", "image")}
    return environment.get_template(SCRIPTS[options.kind]).render(
        name=slug(campaign.name),
        launch=shlex.join(words),
        campaign=campaign.text,
        # Ends the campaign within a shell script: no line of the campaign itself is that.
        digest=sha256(campaign.text.encode()).hexdigest(),
        data=os.path.commonpath(roots) if roots else None,
        ray=version("ray"),
        **fields,
    )


def slug(name: str) -> str:
    """A campaign's name as schedulers take it.

    >>> slug("Auto_ReID, Table 1")
    'auto-reid-table-1'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-") or "campaign"


def _roots(campaign: Campaign) -> dict[str, str]:
    """The folders of the data sets, by the fields that name them."""
    sets = {
        "data": campaign.source,
        **{f"data_sets.{name}": source for name, source in campaign.data_sets.items()},
        "pretrain.data": campaign.classes,
    }
    roots = {f"{field}.root": source.root for field, source in sets.items() if source is not None}
    return {field: root for field, root in roots.items() if root is not None}


def _settings(options: argparse.Namespace, campaign: Campaign) -> list[str]:
    """What the launch lays over the file: where the campaign travels, its folders are written out, for those
    that it names begin at its own."""
    given = list(options.set)
    if options.kind in WITHIN:
        named = {setting.partition("=")[0] for setting in given}
        given += [f"{field}={root}" for field, root in _roots(campaign).items() if field not in named]
    return given


def _check(options: argparse.Namespace, campaign: Campaign) -> None:
    problems = Problems()
    if options.kind in WITHIN and campaign.weights:
        name = next(iter(campaign.weights.values())).name
        problems.add("weights", f"{name} does not travel with such a script. Use slurm or machines.")
    if options.kind == "kuberay" and os.path.commonpath(_roots(campaign).values() or ["/x"]) == "/":
        problems.add(
            "data_sets", "the sets have no folder in common that could be mounted. Move them into one."
        )
    for name, least in (("nodes", 1), ("gpus", 0), ("cpus", 0)):
        if getattr(options, name) < least:
            problems.add(f"--{name}", f"{getattr(options, name)} is too small. Use {least} or more.")
    if options.kind == "slurm" and not TIME.fullmatch(options.time):
        problems.add(
            "--time", f"{options.time!r} is no time of Slurm. Write for example 24:00:00 or 2-00:00:00."
        )
    if "://" in options.storage:
        try:
            open_folder(options.storage)
        except InputError as error:  # credentials in it, among others: they would stand in the script
            problems.extend(error.problems)
    if options.kind == "kuberay" and "://" not in options.storage:
        remedy = "Give the address of an object store, such as s3://bucket/prefix."
        problems.add("--storage", f"{options.storage!r} is a folder, and pods have none in common. {remedy}")
    elif "://" not in options.storage and not Path(options.storage).is_absolute():
        remedy = "Give the address of an object store, or the whole path of a folder that all nodes share."
        problems.add("--storage", f"{options.storage!r} depends on the working folder. {remedy}")
    if options.kind == "kuberay":
        if not options.image:
            problems.add("--image", "missing. Name a container image that has autoreid and Ray.")
        if not options.cpus:
            problems.add("--cpus", "missing. Say how many CPUs a node has.")
    problems.raise_if_any()


def _run(options: argparse.Namespace) -> int:
    """Print what starts the campaign on a cluster: one file for sbatch, kubectl, ray job or a shell. Nothing
    is started."""
    print(cluster_script(options), end="")
    return DONE
