"""Time to plan a campaign of 10,000 jobs, phase by phase, on storages that hold nothing and everything of it.

python benchmarks/planning.py [--repeats 100] [--rounds 5] [--short] [--json] [--history DIR]

50 arms, each with `--repeats` searches and as many trainings. A finished job has the small files that the
engine writes: description, start, log, records of its epochs, genotype, outcome. Every round is a process of
its own, and the short form has one; figures are medians. The whole command, `autoreid campaign plan
--storage`, is timed beside them. Processor seconds tell more than wall seconds where other work runs on the
machine. Exit code 1 where a plan of 10,000 jobs takes more than 10 processor seconds.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from side_by_side import Measurement, Promise
from side_by_side import main as side_by_side

from autoreid.cli import say

CAMPAIGN = """\
# How long a plan takes.
name: planning
data: {{set: rendered, identities: 64, cameras: 3, images: 2, height: 64, width: 32}}
repeats: {repeats}
search: {{recipe: cdnet}}
train: {{recipe: cdnet}}
arms:
  cnet: {{search: {{space: cs-v1}}}}
  cdnet: {{search: {{space: cds-v1}}}}
grid:
  search.k: [1, 2, 3, 4, all]
  search.alpha_scale: [1e-4, 3e-4, 1e-3, 3e-3, 1e-2]
"""
EPOCHS = 10
FILE, FULL = "planning.yaml", "full"
COMMAND = "campaign plan --storage"
FINISHED = f"{COMMAND}, all finished"
MOST_SECONDS = 10.0  # of a processor, for 10,000 jobs
# The phases that the command consists of where all is finished.
PARTS = (
    *("import, torch included", "read the campaign", "jobs and their ids"),
    *("states, all finished", "compare with the manifest"),
)


def finish_jobs(storage: Path, plan: Any) -> None:
    """Write all jobs as the engine leaves them when they are done, without waiting for the disk."""
    from autoreid.folders import sha256, to_json
    from autoreid.version import STORAGE_VERSION

    rows = [{"epoch": epoch + 1, "loss": 2.5, "accuracy": 0.5, "steps": 100} for epoch in range(EPOCHS)]
    records = "".join(json.dumps(row) + "\n" for row in rows).encode()
    for job_id, job in plan.jobs.items():
        attempt = storage / f"jobs/{job_id}/attempts/1-0123abcd"
        attempt.mkdir(parents=True)
        vouched = {"records.jsonl": records, "genotype.json": b'{"space": "cds-v1"}'}
        for name, data in vouched.items():
            (attempt / name).write_bytes(data)
        files = {name: {"sha256": sha256(data), "bytes": len(data)} for name, data in vouched.items()}
        outcome = {
            "version": STORAGE_VERSION,
            "status": "done",
            "result": {"genotype_digest": "0" * 12},
            "facts": {"epochs": EPOCHS, "wall_seconds": 1.0},
            "error": None,
            "final": False,
            "job": job_id,
            "files": files,
        }
        (attempt / "started.json").write_bytes(b"{}")
        (attempt / "log.txt").write_bytes(b"begins\ndone\n")
        (attempt / "outcome.json").write_bytes(to_json(outcome))
        (storage / f"jobs/{job_id}/job.json").write_bytes(to_json(job.plain()))


Seconds = dict[str, tuple[float, float]]  # wall and processor


def measure(folder: Path) -> Seconds:
    """The seconds of every phase, in this process; the storage of finished jobs is made once."""
    seconds: Seconds = {}

    @contextmanager
    def phase(name: str) -> Iterator[None]:
        begin, busy = time.perf_counter(), time.process_time()
        yield
        seconds[name] = time.perf_counter() - begin, time.process_time() - busy

    with phase("import, torch included"):
        from autoreid import searching  # noqa: F401  # what a campaign with searches loads
        from autoreid.storage import Storage
        from tune_runs.campaign import load_campaign
        from tune_runs.manifest import change_of, save_manifest
        from tune_runs.opening import read_data
        from tune_runs.planning import make_plan
        from tune_runs.states import states_of
        from tune_runs.status import status_plain
    with phase("read the campaign"):
        campaign = load_campaign(str(folder / FILE))
    fingerprint = read_data(dataclasses.replace(campaign, arms=campaign.arms[:1]))[0].fingerprint
    with phase("jobs and their ids"):
        plan = make_plan(campaign, fingerprint)
    needs = {job_id: job.needs for job_id, job in plan.jobs.items()}
    empty, full = Storage(folder / f"empty-{os.getpid()}"), Storage(folder / FULL)
    with phase("states, nothing there"):
        assert {state.status for state in states_of(empty, needs).values()} == {"waiting"}
    with phase("write the manifest"):
        save_manifest(empty, plan)
    if not (folder / FULL).is_dir():
        finish_jobs(folder / FULL, plan)
        save_manifest(full, plan)
    with phase("states, all finished"):
        assert {state.status for state in states_of(full, needs).values()} == {"done"}
    with phase("compare with the manifest"):
        assert str(change_of(full, plan)) == ""
    with phase("status of the storage"):
        assert status_plain(full)["campaigns"][0]["jobs"]["done"] == len(plan.jobs)
    return seconds


def time_command(folder: Path, storage: Path) -> tuple[float, float]:
    """The seconds of `autoreid campaign plan` as a process of its own."""
    command = [sys.executable, "-m", "autoreid.cli", "campaign", "plan", str(folder / FILE)]
    begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*command, "--storage", str(storage)], check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def one_round(folder: Path) -> Seconds:
    """A round in processes of their own."""
    command = [sys.executable, __file__, "--phases", str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    seconds: Seconds = json.loads(done.stdout)
    for name, storage in (("nothing there", folder / "nothing"), ("all finished", folder / FULL)):
        seconds[f"{COMMAND}, {name}"] = time_command(folder, storage)
    return seconds


def measure_all(options: argparse.Namespace) -> list[Measurement]:
    """Medians over the rounds; shares are of the processor seconds of the command where all is finished."""
    options.rounds = 1 if options.short else options.rounds
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        os.environ["AUTOREID_CACHE"] = str(folder / "cache")
        (folder / FILE).write_text(CAMPAIGN.format(repeats=options.repeats))
        say("the first round writes the storage of finished jobs and is not counted")
        one_round(folder)
        rounds = [one_round(folder) for _ in range(options.rounds)]
    wall, busy = (
        {name: statistics.median(of[name][column] for of in rounds) for name in rounds[0]}
        for column in (0, 1)
    )
    whole = busy[FINISHED]
    extra = {name: {"percent_of_the_command": round(100 * busy[name] / whole)} for name in PARTS}
    extra[FINISHED] = {"jobs": 100 * options.repeats}
    return [
        Measurement("planning", name, wall[name], busy[name], extra=extra.get(name, {})) for name in rounds[0]
    ]


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repeats", type=int, default=100, help="of 50 arms with two jobs each")


def main() -> int:
    if sys.argv[1:2] == ["--phases"]:
        print(json.dumps(measure(Path(sys.argv[2]))))
        return 0
    promise = Promise(FINISHED, "processor_seconds", most=MOST_SECONDS)
    return side_by_side("planning", measure_all, configure, promises=[promise], summary=__doc__)


if __name__ == "__main__":
    sys.exit(main())
