"""The descriptions of jobs, as they lie in a storage: read, and compared with the ids of their folders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autoreid.errors import InputError
from autoreid.folders import read_json
from autoreid.storage import Storage
from tune_runs.reasons import id_of, question
from tune_runs.states import State


def read_description(storage: Storage, job_id: str) -> tuple[dict[str, Any] | None, str | None]:
    """What the job.json of a job asks, and what is wrong with the file; nothing of both where there is none.

    What an altered file asks is given too.
    """
    folder = storage.job(job_id).folder
    place = f"{folder}/job.json"
    try:
        content = read_json(folder, "job.json")
        asked = question(content, place)
    except FileNotFoundError:
        return None, None
    except InputError as error:
        return None, str(error)
    found, named = id_of(asked), content.get("id")
    if found == named == job_id:
        return asked, None
    naming = "" if named == job_id else f" and names the id {named}"
    return asked, (
        f"{place}: altered: its content gives the id {found}{naming}, its folder has the id {job_id}. "
        "Remove the file: the job is described anew when it is run, and its results stay."
    )


def description_problems(storage: Storage, states: Mapping[str, State]) -> list[str]:
    """What is wrong with the descriptions of jobs that are to be run, given the states of all.

    One that is missing is written when its job is run; a finished job is known by its outcome.
    """
    there = set(storage.jobs())
    wanted = [job_id for job_id, state in states.items() if state.status != "done" and job_id in there]
    return [problem for job_id in wanted if (problem := read_description(storage, job_id)[1]) is not None]
