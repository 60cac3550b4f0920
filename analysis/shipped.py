"""The sample campaign that comes with the package: tables of a real campaign in small, and its file."""

from __future__ import annotations

from importlib import resources

from analysis.tables import Where, campaigns, file_of, output_folder
from autoreid.errors import InputError
from autoreid.records import TABLES
from autoreid.storage import Storage

NAME = "sample"


def unpack(where: Where) -> None:
    """Put the sample's tables into a folder; InputError where other campaigns lie there.

    What is made of them is real: two arms of four searches each on rendered pedestrians, and the trainings of
    the networks that they found.
    """
    folder = output_folder(where)
    others = sorted({*campaigns(folder), *Storage(folder).campaigns()} - {NAME})
    if others or any(True for _ in Storage(folder).jobs()):
        found = ", ".join(others) or "jobs"
        raise InputError(f"{folder}: not a place for the sample: {found} in it. Name an empty folder.")
    for table in TABLES:
        source = resources.files("analysis").joinpath("sample", *file_of(table, NAME).split("/"))
        folder.write(file_of(table, NAME), source.read_bytes())
