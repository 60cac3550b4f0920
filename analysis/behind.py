"""The sections of a page on what lies behind the figures of evaluations."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.evaluated import Evaluated, read_evaluated
from analysis.pages import Records, Section
from analysis.picture_sections import features, people
from analysis.query_sections import camera_pairs, hardest_queries
from autoreid.storage import Storage


@dataclass(frozen=True, slots=True)
class Behind:
    """The evaluations of one campaign; whether people are shown; how many campaigns share the report."""

    evaluated: tuple[Evaluated, ...]
    with_images: bool = False
    campaigns: int = 1

    @classmethod
    def read(cls, storage: Storage, records: Records, with_images: bool, campaigns: int) -> Behind:
        return cls(read_evaluated(storage, records), with_images, campaigns)


def behind(found: Behind, prefix: str) -> list[Section]:
    """Scores by cameras, hardest queries, maps of features, pictures of people: those that there are."""
    sections = [
        camera_pairs(found.evaluated, prefix),
        hardest_queries(found.evaluated),
        features(found.evaluated, prefix, found.campaigns),
        *people(found.evaluated, prefix, found.with_images, found.campaigns),
    ]
    return [section for section in sections if section is not None]
