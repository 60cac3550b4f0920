"""From the records on disk to the parquet tables: what became of every planned job.

The manifest's entries are the rows; results are joined onto them from the left. A failed, waiting or damaged
job is a row with a status, never a hole. Equal records give equal bytes: rows stand in the manifest's order,
and nothing of the present moment enters a file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from analysis.details import cost_rows, evaluation_rows
from analysis.files import Earlier, TableFile
from analysis.histories import histories, stamp_of
from analysis.jobs import Seen, look, part
from analysis.rows import (
    Choice,
    Entry,
    Row,
    checked,
    compact,
    genotype_rows,
    point_rows,
    pretrain_rows,
    retrain_rows,
    trial_rows,
)
from analysis.tables import Where, file_of, output_folder
from analysis.tables import campaigns as with_tables
from analysis.words import SHORT
from autoreid.errors import InputError
from autoreid.folders import Folder, LocalFolder
from autoreid.records import TABLES
from autoreid.storage import Storage

# What of a manifest the report needs; times of its writing stay out, so that equal records give equal bytes.
CAMPAIGN_FACTS = (
    "name",
    "claim",
    "baseline",
    "repeats",
    "file",
    "settings",
    "data",
    "data_fingerprint",
    "classes",
    "classes_fingerprint",
)
# What those of a campaign over several data sets say too.
SEVERAL_SETS = ("data_sets", "data_fingerprints", "baselines")


# Tables that hold few rows of each job.
ROWS: dict[str, Callable[[Entry], list[Row]]] = {
    "trials": trial_rows,
    "genotypes": genotype_rows,
    "retrains": retrain_rows,
    "pretrains": pretrain_rows,
    "evaluations": evaluation_rows,
}

# Tables that hold many rows of each job, and take over those that an earlier collection has read.
HISTORIES = ("epochs", "alphas")


@dataclass(frozen=True, slots=True)
class Collected:
    """The campaigns that were collected, the paths or addresses of their files, and what was found damaged or
    missing on the way."""

    campaigns: tuple[str, ...]
    files: tuple[str, ...]
    warnings: tuple[str, ...]


class Campaign:
    """The planned jobs of one manifest, joined with what the storage holds of them."""

    def __init__(self, storage: Storage, name: str, warnings: list[str]) -> None:
        self.storage, self.name, self.warnings = storage, name, warnings
        # Of thousands of jobs only this much is kept: each is read when its rows are made.
        self.known: dict[str, Seen] = {}
        self.manifest = storage.read_manifest(name)
        self.jobs = part(self.manifest, "jobs")
        entries = self.manifest.get("entries")
        self.planned = entries if isinstance(entries, list) else []
        points = self.manifest.get("points")
        given = (part({"point": point}, "point") for point in (points if isinstance(points, list) else ()))
        self.of_points = {str(job) for point in given for job in point.get("jobs") or ()}
        unwanted = self.manifest.get("given_up")
        self.given_up = frozenset(map(str, unwanted if isinstance(unwanted, list) else ()))

    def describe(self, job_id: str) -> Mapping[str, Any]:
        """The job's recipe, seeds and inputs: of the manifest, else of job.json."""
        plain = self.jobs.get(job_id)
        if isinstance(plain, Mapping):
            return plain
        try:
            plain = json.loads(self.storage.job(job_id).folder.read("job.json"))
        except (OSError, ValueError):
            plain = None
        if isinstance(plain, Mapping):
            return plain
        self.warnings.append(f"{self.name}: job {job_id}: neither the manifest nor job.json describes it.")
        return {}

    def see(self, job_id: str) -> Seen:
        """What other jobs ask of a job."""
        return self.known.get(job_id) or self.look(job_id).brief

    def look(self, job_id: str) -> Seen:
        """What became of the job; one whose input failed or was skipped, and that never began, is skipped."""
        seen, found = look(self.storage.job(job_id), f"job {job_id}")
        self.warnings += found
        if job_id in self.given_up and not seen.done:
            seen = dataclasses.replace(seen, status="skipped", error="its point of the sweep was pruned")
        self.known[job_id] = seen.brief
        for source in self.needs(job_id):
            if seen.status == "waiting":
                seen = seen.after(source, self.see(source))
        self.known[job_id] = seen.brief
        return seen

    def needs(self, job_id: str) -> list[str]:
        """The jobs that a job starts from."""
        inputs = part(self.describe(job_id), "inputs")
        several = inputs.get("jobs")
        found = [
            *(several if isinstance(several, list) else ()),
            inputs.get("job"),
            inputs.get("pretraining"),
            inputs.get("teacher"),
            inputs.get("training"),
        ]
        # A teacher may be a file, which no job made.
        return [source for source in found if isinstance(source, str) and ":" not in source]

    def choices(self) -> dict[str, Choice]:
        """What was selected, by arm."""
        found = {}
        for given in self.planned:
            if isinstance(given, Mapping) and given.get("kind") == "select":
                job_id = str(given.get("job"))
                choice = Choice.read(job_id, self.look(job_id).result)
                # Of a sweep's point it is the scores that count: nothing was selected.
                choice = dataclasses.replace(choice, search=None) if job_id in self.of_points else choice
                found[str(given.get("arm"))] = choice
        return found

    def teacher(self, job: Mapping[str, Any]) -> str | None:
        """What guides a job: the arm that trains it, the beginning of a file's digest, else a job's id."""
        given = part(job, "inputs").get("teacher")
        if not isinstance(given, str):
            return None
        if ":" in given:
            return given[: given.index(":") + 1 + SHORT]
        planned = (entry for entry in self.planned if isinstance(entry, Mapping))
        return str(next((entry.get("arm") for entry in planned if entry.get("job") == given), given))

    def data_set(self, kind: str, job: Mapping[str, Any]) -> Any:
        """The name of the data set of a job: of several the one whose fingerprint it has."""
        if kind == "pretrain":
            return part(self.manifest, "classes").get("set")
        several = part(self.manifest, "data_fingerprints")
        default = part(self.manifest, "data").get("set")
        return next((name for name, digest in several.items() if digest == job.get("data")), default)

    def evaluations(self) -> dict[str, str]:
        """The evaluation of every training that has one of its own, by ids."""
        given = (one.get("job") for one in self.planned if isinstance(one, Mapping))
        found = {part(part(self.jobs, str(job)), "inputs").get("training"): str(job) for job in given}
        return {training: job for training, job in found.items() if isinstance(training, str)}

    def source(self, job: Mapping[str, Any], choice: Choice | None) -> Any:
        """The job that found the genotype of a job, or of the training that it evaluates, if one did."""
        training = part(job, "inputs").get("training")
        found = part(self.describe(training) if training else job, "inputs").get("job")
        return choice.search if choice is not None and found == choice.job else found

    def entries(self) -> Iterable[Entry]:
        choices, evaluations = self.choices(), self.evaluations()
        for number, given in enumerate(self.planned):
            try:
                keys = {name: given[name] for name in ("job", "kind", "arm", "repeat")}
                keys = {"campaign": self.name, **keys}
                job = self.describe(keys["job"])
                choice = choices.get(keys["arm"])
                source = self.source(job, choice)
                search = self.describe(source) if source else {}
                seen = self.look(keys["job"])
                keys["data_set"] = self.data_set(keys["kind"], job)
                found_on = self.data_set("search", search) if search else None
                teacher = self.teacher(job)
                again = evaluations.get(keys["job"])
                evaluated = part(self.look(again).result, "evaluation") if again else {}
                sampled = given.get("sampled")
                yield Entry(keys, job, seen, search, source, choice, sampled, teacher, evaluated, found_on)
            except (KeyError, TypeError) as error:
                self.warnings.append(f"{self.name}: manifest.json: entry {number} is damaged ({error!r}).")

    def write(self, target: Folder) -> list[str]:
        """Replace the files of all tables; their names. Rows stand in the manifest's order."""
        with contextlib.ExitStack() as opened:
            earlier = {
                table: opened.enter_context(contextlib.closing(Earlier(target, table, self.name)))
                for table in HISTORIES
            }
            facts = {"trials": self.facts()}
            files = {
                table: opened.enter_context(contextlib.closing(TableFile(table, self.name, facts.get(table))))
                for table in TABLES
            }
            for entry in self.entries():
                found = self._histories(entry, earlier, files)
                for table, make in ROWS.items():
                    self._add(files, table, entry, make(entry))
                self._add(files, "costs", entry, cost_rows(entry, found["epochs"]))
            files["points"].add_rows(point_rows(self.name, self.manifest, self.warnings))
            for table, file in files.items():
                file.put(target, file_of(table, self.name))
        return [file_of(table, self.name) for table in files]

    def _histories(
        self, entry: Entry, earlier: Mapping[str, Earlier], files: Mapping[str, TableFile]
    ) -> dict[str, pa.Table]:
        """A job's epochs and alphas: taken over where they were made of the same, else read."""
        stamp, before = stamp_of(entry), len(self.warnings)
        taken = {table: held.take(stamp) for table, held in earlier.items()}
        found = {table: content for table, content in taken.items() if content is not None}
        if len(found) < len(earlier):
            found = histories(entry, self.warnings)
        for table, content in found.items():
            # What was damaged is to be said by the next collection, too.
            files[table].add_part(content, stamp if len(self.warnings) == before else "")
        return found

    def _add(self, files: Mapping[str, TableFile], table: str, entry: Entry, rows: list[Row]) -> None:
        found = (checked(row, table, entry.place, self.warnings) for row in rows)
        files[table].add_rows([row for row in found if row is not None])

    def facts(self) -> str:
        names = [*CAMPAIGN_FACTS, *(name for name in SEVERAL_SETS if name in self.manifest)]
        return compact({name: self.manifest.get(name) for name in names})


def _wanted(storage: Storage, campaigns: list[str] | None) -> list[str]:
    if isinstance(storage.folder, LocalFolder) and not storage.folder.root.is_dir():
        raise InputError(f"{storage.folder}: no such folder. Give the folder that the run's --storage named.")
    storage.check()
    known = storage.campaigns()
    if not known:
        raise InputError(
            f"{storage.folder}: no campaigns in this folder. Give the folder that --storage named when "
            "'autoreid campaign run' ran."
        )
    return known if campaigns is None else campaigns


def _stale(folder: Folder, known: list[str], collected: list[str]) -> list[str]:
    """A warning for every campaign whose tables in the storage were not written by this collection."""
    warnings = []
    for name in with_tables(folder):
        if name in collected:
            continue
        reason = "the campaign was left out" if name in known else "the storage does not hold this campaign"
        warnings.append(
            f"{folder}/{file_of('trials', name)}: tables of an earlier collection: {reason}. Remove the "
            f"files {name}.parquet below {folder}/tables if they are not wanted."
        )
    return warnings


def collect(
    storage: Storage | Where, output: Where | None = None, campaigns: list[str] | None = None
) -> Collected:
    """Write the tables of all campaigns, or of the named ones, to `<output or storage>/tables/`.

    Each file is replaced whole, so that a reader sees the old one or the new one. What is damaged or missing
    is said in the warnings and costs only its own rows; so are tables in the storage that an earlier
    collection left. A missing storage, one without campaigns or without one that can be read, and a named
    campaign that cannot be read are an InputError.
    """
    source = storage if isinstance(storage, Storage) else Storage(storage)
    names = _wanted(source, campaigns)
    target = output_folder(source.folder if output is None else output)
    warnings: list[str] = []
    files: list[str] = []
    collected: list[str] = []
    for name in names:
        try:
            campaign = Campaign(source, name, warnings)
        except InputError as error:
            if campaigns is not None or len(names) == 1:
                raise
            warnings += [f"campaign {name} is left out: {problem}" for problem in error.problems]
            continue
        files += [f"{target}/{file}" for file in campaign.write(target)]
        collected.append(name)
    if not collected:
        raise InputError(*warnings)
    if campaigns is None and output is None:
        warnings += _stale(target, names, collected)
    return Collected(tuple(collected), tuple(files), tuple(dict.fromkeys(warnings)))
