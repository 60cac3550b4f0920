"""The jobs of a storage as runs of MLflow: a campaign is an experiment, each repeat of an arm a run in it.

Numbers that MLflow has stay there; what is new is added. The tag `autoreid.key` finds a run again, and
`autoreid.mark`, written last, tells how much of it is there.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoreid.errors import RunError
from autoreid.storage import Storage
from tune_runs.tracked import TrackedRun, library, runs_text, tracked_runs

KEY, MARK = "autoreid.key", "autoreid.mark"
# `started` is a job that was interrupted, and `skipped` one that was cancelled.
STATUS = {"done": "FINISHED", "failed": "FAILED", "started": "KILLED", "skipped": "KILLED"}
LOGIN = re.compile(r"(?<=://)[^/@]*@")
PAGE = 1000
# Where nobody has chosen otherwise: no line for every run among what the command prints, and half a minute
# for a server that does not answer, not four.
QUICK = {"MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4"}


@dataclass(frozen=True, slots=True)
class Tracker:
    """The library and its client."""

    library: Any
    client: Any


def write_mlflow(storage: Storage, uri: str | None = None, campaigns: Sequence[str] = ()) -> dict[str, Any]:
    """Log campaigns, all unless named, or bring up to date what was logged of them.

    `uri` is that of a tracking server or store; without one MLflow takes its own default. InputError where a
    manifest cannot be read or MLflow is not installed; RunError where it refuses something.
    """
    mlflow = library("mlflow", "MLflow")
    for name, value in QUICK.items():
        os.environ.setdefault(name, value)
    experiments: dict[str, tuple[str, dict[str, Any]]] = {}
    runs = changed = 0
    try:
        tracker = Tracker(mlflow, mlflow.MlflowClient(tracking_uri=uri))
        shown = LOGIN.sub("", str(tracker.client.tracking_uri))
        for run in tracked_runs(storage, campaigns):
            if run.campaign not in experiments:
                experiment = _experiment(tracker.client, run.campaign)
                experiments[run.campaign] = experiment, _runs(tracker.client, experiment)
            experiment, there = experiments[run.campaign]
            runs += 1
            changed += _bring_up_to_date(tracker, experiment, there.get(run.key), run)
    except mlflow.exceptions.MlflowException as error:
        place = LOGIN.sub("", uri or "MLflow")
        remedy = "Look at --uri and at the server, then give the command again: it adds what is missing."
        raise RunError(f"{place}: {LOGIN.sub('', str(error)).rstrip('.')}. {remedy}") from error
    return {"storage": str(storage.folder), "uri": shown, "runs": runs, "changed": changed}


def mlflow_text(plain: Mapping[str, Any]) -> str:
    """What was logged, for people."""
    return f"{runs_text(plain)} They are in {plain['uri']}."


def _experiment(client: Any, name: str) -> str:
    found = client.get_experiment_by_name(name)
    return str(client.create_experiment(name) if found is None else found.experiment_id)


def _runs(client: Any, experiment: str) -> dict[str, Any]:
    """The runs of an experiment that were logged here, by their keys."""
    found: dict[str, Any] = {}
    token = None
    while True:
        page = client.search_runs([experiment], max_results=PAGE, page_token=token)
        found |= {run.data.tags[KEY]: run for run in page if KEY in run.data.tags}
        token = page.token
        if not token:
            return found


def _bring_up_to_date(tracker: Tracker, experiment: str, there: Any, run: TrackedRun) -> bool:
    """Whether something of a run was logged."""
    client, known = tracker.client, None
    if there is not None:
        mark = there.data.tags.get(MARK, "0 -")
        if mark == run.mark:
            return False
        known = run.known(mark)
        if known is None:  # numbers cannot be replaced; what was deleted can be restored
            client.delete_run(there.info.run_id)
    if there is None or known is None:
        there = client.create_run(
            experiment, start_time=_milliseconds(run.curve.began), tags={KEY: run.key}, run_name=run.name
        )
    identifier = there.info.run_id
    _log(tracker, identifier, run, known or 0)
    if run.status in STATUS:
        client.set_terminated(identifier, STATUS[run.status], _milliseconds(run.curve.last.wall))
    else:
        client.update_run(identifier, status="RUNNING")
    client.set_tag(identifier, MARK, run.mark)
    return True


def _log(tracker: Tracker, identifier: str, run: TrackedRun, known: int) -> None:
    """Log the epochs after those that are known, and what is said of the run as a whole."""
    entities = tracker.library.entities
    metrics = [
        entities.Metric(name, value, _milliseconds(step.wall), step.step)
        for step in (*run.curve.steps[known:], run.curve.last)
        for name, value in step.scalars.items()
    ]
    params = [entities.Param(name, value) for name, value in _flat(run.settings)]
    said = {
        "campaign": run.campaign,
        "arm": run.arm,
        "kind": run.kind,
        "repeat": str(run.repeat),
        "job": str(run.settings["job"]),
        "status": run.status,
        "error": run.error,
    }
    tags = [entities.RunTag(f"autoreid.{name}", value) for name, value in said.items()]
    tracker.client.log_batch(identifier, metrics, params, tags)


def _flat(given: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Values under dotted names, as text.

    >>> list(_flat({"recipe": {"k": 3, "space": "cs-v1", "layers": [2, 2]}}))
    [('recipe.k', '3'), ('recipe.space', 'cs-v1'), ('recipe.layers', '[2, 2]')]
    """
    for name, value in given.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value if isinstance(value, str) else json.dumps(value)


def _milliseconds(seconds: float) -> int:
    return int(1000 * seconds)
