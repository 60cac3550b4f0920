"""The first steps of a campaign: a file to begin with, and what tells an editor how one is written."""

from __future__ import annotations

import argparse
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

from autoreid.cli import DONE, add_json_flag, answer
from autoreid.errors import InputError, unknown

NAME = "my-campaign"
FILE = "campaign.yaml"


def add_verbs(children: Any) -> None:
    """`campaign init` and `campaign schema`."""
    init = children.add_parser("init", help="write a campaign to begin with", description=_run_init.__doc__)
    init.add_argument("file", metavar="FILE", nargs="?", help=f"what to write ({FILE}, or NAME.yaml)")
    init.add_argument(
        "--from", dest="shipped", metavar="NAME", help="begin with a copy of a shipped campaign"
    )
    init.set_defaults(verb_run=_run_init)
    add_json_flag(init)
    schema = children.add_parser(
        "schema", help="a JSON Schema of campaigns, for editors", description=_run_schema.__doc__
    )
    schema.set_defaults(verb_run=_run_schema)


def first_campaign(name: str, shipped: str | None = None) -> str:
    """The text of a commented campaign of this name, which runs as it is; or that of a shipped one.

    InputError where there is no such campaign.
    """
    import yaml  # deferred: `autoreid --help` needs none

    place = files("tune_runs") / "template.yaml"
    if shipped is not None:
        from tune_runs.campaign import shipped_campaigns  # deferred: heavy

        if shipped not in shipped_campaigns():
            raise InputError(f"--from: {unknown('shipped campaign', shipped, shipped_campaigns())}")
        place = files("tune_runs") / "campaigns" / f"{shipped}.yaml"
    # A name such as 2026 or true is none to YAML without quotes.
    word = name if yaml.safe_load(name) == name else json.dumps(name)
    return re.sub(
        "^name: .*$", f"name: {word}", place.read_text(encoding="utf-8"), count=1, flags=re.MULTILINE
    )


def write_campaign(path: Path, shipped: str | None = None) -> str:
    """Write a campaign to begin with, and give its name: the file's, as far as it makes one.

    InputError where the file is there already, or cannot be written, and as `first_campaign` does.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("._-")[:80] or NAME
    text = first_campaign(name, shipped)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InputError(f"{path}: there already, and stays as it is. Give another name.") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}.") from None
    return name


def _run_init(options: argparse.Namespace) -> int:
    """Write a commented campaign, which can be planned and run as it is, or a copy of a shipped one. A file
    that is there is kept."""
    path = Path(options.file or (f"{options.shipped}.yaml" if options.shipped else FILE))
    name = write_campaign(path, options.shipped)
    text = (
        f"{path}: written. Edit it; then 'autoreid campaign plan {path}' says what it would run, and "
        f"'autoreid campaign run {path} --storage DIR' runs it."
    )
    answer({"file": str(path), "campaign": name}, text, options.json)
    return DONE


def _run_schema(options: argparse.Namespace) -> int:
    """Print a JSON Schema of campaign files: editors complete and check keys and fields by it."""
    from tune_runs.json_schema import campaign_schema  # deferred: loads torch

    print(json.dumps(campaign_schema(), indent=1), flush=True)
    return DONE
