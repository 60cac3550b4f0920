"""Evaluations of their own, read from a storage: what lies behind their figures, and the files they left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analysis.pages import Records
from autoreid.attempts import Attempt, Outcome
from autoreid.errors import StorageError
from autoreid.storage import Storage

Row = Mapping[str, Any]
# The fields that a row must have, and of what type: a number may be a whole one.
NUMBER = (int, float)
PAIR = {"query_camera": int, "gallery_camera": int, "queries": int, "mAP": NUMBER, "rank_1": NUMBER}
QUERY = {"name": str, "identity": int, "camera": int, "average_precision": NUMBER, "first_rank": int}


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A finished evaluation: the arm and repeat that it is of, its scores by pairs of cameras, and its
    hardest queries."""

    arm: str
    repeat: int
    job: str
    camera_pairs: tuple[Row, ...]
    hardest: tuple[Row, ...]
    attempt: Attempt
    outcome: Outcome

    def size(self, name: str) -> int:
        """Bytes of a file that it left; 0 where it left none."""
        size = self.outcome.files.get(name, {}).get("bytes", 0)
        return size if isinstance(size, int) else 0

    def read(self, name: str) -> bytes:
        """A file that it left, its digest checked; StorageError where it is missing or damaged."""
        try:
            return self.attempt.vouched(name, self.outcome)
        except FileNotFoundError:
            raise StorageError(
                f"{self.attempt.folder}/{name}: missing. Run the campaign again, which does its job anew."
            ) from None


def read_evaluated(storage: Storage, records: Records) -> tuple[Evaluated, ...]:
    """The finished evaluations of a campaign, by arm and repeat, without those whose files no longer fit."""
    trials = records.trials
    mine = trials[(trials["kind"] == "evaluate") & (trials["status"] == "done")]
    found = []
    for row in records.by_arm(mine).drop_duplicates(["arm", "job"]).to_dict("records"):
        finished = storage.job(str(row["job"])).finished()
        if finished is not None:
            attempt, outcome = finished
            pairs, queries = _rows(outcome, "camera_pairs", PAIR), _rows(outcome, "hardest", QUERY)
            place = str(row["arm"]), int(row["repeat"]), str(row["job"])
            found.append(Evaluated(*place, pairs, queries, attempt, outcome))
    return tuple(found)


def _rows(outcome: Outcome, name: str, fields: Mapping[str, Any]) -> tuple[Row, ...]:
    """The rows of a list in a result that have all fields; none where there is no list."""
    given = outcome.result.get(name)
    rows = [row for row in given if isinstance(row, Mapping)] if isinstance(given, list) else []
    return tuple(row for row in rows if all(isinstance(row.get(key), kind) for key, kind in fields.items()))


def first_with(evaluated: tuple[Evaluated, ...], name: str) -> list[Evaluated]:
    """Of each arm the first evaluation that left a file of this name."""
    found: dict[str, Evaluated] = {}
    for one in evaluated:
        if one.size(name):
            found.setdefault(one.arm, one)
    return list(found.values())
