"""The planned jobs of a campaign, beside what the storage holds of each."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any

from analysis.jobs import Seen, look, part
from analysis.rows import Choice, Entry, compact
from analysis.words import SHORT
from autoreid.folders import LocalFolder
from autoreid.many import each
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

AHEAD = 240  # entries


class Planned:
    """The planned jobs of one manifest, joined with what the storage holds of them."""

    def __init__(self, storage: Storage, name: str, warnings: list[str]) -> None:
        self.storage, self.name, self.warnings = storage, name, warnings
        # Of thousands of jobs only this much is kept: each is read when its rows are made.
        self.known: dict[str, Seen] = {}
        self._ahead: dict[str, tuple[Seen, list[str]]] = {}
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
        known = self._ahead.pop(job_id, None)
        seen, found = known or self._looked(job_id)
        self.warnings += found
        if job_id in self.given_up and not seen.done:
            seen = dataclasses.replace(seen, status="skipped", error="its point of the sweep was pruned")
        self.known[job_id] = seen.brief
        for source in self.needs(job_id):
            if seen.status == "waiting":
                seen = seen.after(source, self.see(source))
        self.known[job_id] = seen.brief
        return seen

    def _looked(self, job_id: str) -> tuple[Seen, list[str]]:
        return look(self.storage.job(job_id), f"job {job_id}")

    def _look_ahead(self, entries: Iterable[Any]) -> None:
        """Of an object store the jobs of the next entries are read at the same time."""
        if not isinstance(self.storage.folder, LocalFolder):
            given = (str(entry.get("job")) for entry in entries if isinstance(entry, Mapping))
            jobs = list(dict.fromkeys(given))
            self._ahead = dict(zip(jobs, each(self.storage.folder, self._looked, jobs), strict=True))

    def needs(self, job_id: str) -> list[str]:
        """The jobs that a job starts from."""
        inputs = part(self.describe(job_id), "inputs")
        several, timed = inputs.get("jobs"), inputs.get("networks")
        found = [
            *(several if isinstance(several, list) else ()),
            inputs.get("job"),
            inputs.get("pretraining"),
            inputs.get("teacher"),
            inputs.get("training"),
            *(timed if isinstance(timed, list) else ()),  # a genotype that is given is no text
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
        if kind == "latency":
            return None
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
        ahead: dict[str, Seen] = {}  # an evaluation's, whose entry follows that of its training
        for number, given in enumerate(self.planned):
            if number % AHEAD == 0:
                self._look_ahead(self.planned[number : number + AHEAD])
            try:
                keys = {name: given[name] for name in ("job", "kind", "arm", "repeat")}
                keys = {"campaign": self.name, **keys}
                job = self.describe(keys["job"])
                choice = choices.get(keys["arm"])
                source = self.source(job, choice)
                search = self.describe(source) if source else {}
                seen = ahead.pop(keys["job"], None) or self.look(keys["job"])
                keys["data_set"] = self.data_set(keys["kind"], job)
                found_on = self.data_set("search", search) if search else None
                teacher = self.teacher(job)
                again = evaluations.get(keys["job"])
                if again:
                    ahead = {again: self.look(again)}
                evaluated = part(ahead[again].result, "evaluation") if again else {}
                sampled = given.get("sampled")
                timed = tuple((repeat, number) for repeat, number in given.get("timed") or ())
                yield Entry(
                    keys, job, seen, search, source, choice, sampled, teacher, evaluated, found_on, timed
                )
            except (KeyError, TypeError, ValueError) as error:
                self.warnings.append(f"{self.name}: manifest.json: entry {number} is damaged ({error!r}).")

    def facts(self) -> str:
        names = [*CAMPAIGN_FACTS, *(name for name in SEVERAL_SETS if name in self.manifest)]
        return compact({name: self.manifest.get(name) for name in names})
