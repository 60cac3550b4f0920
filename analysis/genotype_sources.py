"""Genotypes by what a command line calls them: a published name, a file, or the first digits of a job."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd

from analysis import tables
from autoreid.storage import Storage
from search_spaces.errors import InputError, unknown
from search_spaces.genotype import Genotype
from search_spaces.places import check_built_in
from search_spaces.published import PUBLISHED

DIGITS = re.compile(r"[0-9a-f]{4,32}")


def find(name: str, storage: str | None = None) -> Genotype:
    """A published genotype, one of a JSON file, or, with a storage, that of the job that begins with `name`.

    The storage may be a folder with collected tables alone. InputError where there is none, or where a
    genotype of a built-in space does not fit it; of other spaces that cannot be said without their package.
    """
    if name in PUBLISHED:
        return PUBLISHED[name]
    if Path(name).is_file():
        return _of_file(name)
    if storage is None:
        raise InputError(
            f"{unknown('genotype', name, PUBLISHED)} Or give a genotype file, such as genotype.json, or the "
            "first digits of a job with --storage DIR."
        )
    return of_job(name, storage)


def _of_file(name: str) -> Genotype:
    try:
        text = Path(name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(
            f"{name}: not a text file. A genotype is JSON, as autoreid search writes it."
        ) from None
    genotype = Genotype.from_json(text, name)
    try:
        check_built_in(genotype)
    except InputError as error:
        raise InputError(*(f"{name}: {problem}" for problem in error.problems)) from None
    return genotype


def _collected(where: str, table: str) -> pd.DataFrame:
    """A table of all collected campaigns; empty where nothing is collected."""
    return tables.read(where, table) if tables.campaigns(where) else pd.DataFrame({"job": []})


def full_id(digits: str, known: set[str], where: str) -> str:
    """The one job among the known ones that begins with these digits."""
    if not DIGITS.fullmatch(digits):
        raise InputError(
            f"{unknown('genotype', digits, PUBLISHED)} It is no file, nor the beginning of a job's id, which "
            "has 4 or more digits of 0-9 and a-f."
        )
    found = sorted(job for job in known if job.startswith(digits))
    if len(found) == 1:
        return found[0]
    if not found:
        raise InputError(f"job {digits!r}: none of the {len(known)} jobs of {where} begins with it.")
    raise InputError(f"job {digits!r}: {len(found)} jobs of {where} begin with it. Give more digits.")


def of_job(digits: str, where: str) -> Genotype:
    """What a finished job found or trained: by its result, or by the collected table."""
    storage, rows = Storage(where), _collected(where, "genotypes")
    job = full_id(digits, {*storage.jobs(), *rows["job"]}, where)
    finished = storage.job(job).finished()
    if finished is not None and finished[1].result and "genotype" in finished[1].result:
        return Genotype.from_plain(finished[1].result["genotype"], f"job {job[:12]}")
    for row in rows[rows["job"] == job].to_dict("records"):
        return Genotype.of(str(row["space"]), json.loads(row["choices"]))
    raise InputError(f"job {job[:12]}: no genotype is known of it: it is not done, or no search or training.")


def alphas_of(digits: str, where: str) -> tuple[str, pd.DataFrame, Genotype]:
    """The id of a search, its rows of the collected table `alphas`, and its genotype."""
    rows = _collected(where, "alphas")
    known = set(rows["job"])
    if not known:
        raise InputError(f"{where}: no alphas are collected. Run autoreid tables collect {where} first.")
    job = full_id(digits, known, where)
    mine = rows[rows["job"] == job]
    # Arms that share a search have its rows each.
    first = mine[["campaign", "arm", "repeat"]].iloc[0]
    same = (mine[["campaign", "arm", "repeat"]] == first).all(axis=1)
    return job, mine[same], of_job(job, where)
