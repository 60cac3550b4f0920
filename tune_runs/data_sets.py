"""The data sets of a campaign by name, and on which of them its arms are searched and trained."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autoreid.data.source import DataSource
from autoreid.distilling import distils
from autoreid.errors import Problems, unknown
from tune_runs.arms import Arm, kinds_of
from tune_runs.sources import read_source
from tune_runs.yaml_places import Document

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
# Data sets by what the file calls them, the default first.
Sets = dict[str, DataSource]
USELESS = {"searched_on": "nothing is searched", "trained_on": "nothing is trained"}


@dataclass(frozen=True, slots=True)
class Place:
    """The sets that an arm is searched and trained on; `listed` says that its name tells the latter apart."""

    searched: str | None
    trained: tuple[str, ...]
    listed: bool = False


def read_sets(document: Document, folder: Path | None, problems: Problems) -> Sets:
    """The set under `data`, by the name of its kind, and those under `data_sets`; mistakes go into
    `problems`."""
    default = read_source(DataSource, document, folder, ("data",), problems)
    sets: Sets = {} if default is None else {default.set: default}
    given = document.at(("data_sets",))
    for name, value in given.items() if isinstance(given, Mapping) else ():
        path = ("data_sets", name)
        if not NAME.fullmatch(name):
            message = f"{name!r} is not a name. Give up to 40 letters, digits, '_' and '-'."
        elif name in sets:
            message = (
                f"the set under 'data' has this name already: {name!r}. Its fields are given there, such as "
                "data.root; give another set another name."
            )
        elif value is None:
            message = "missing. Write for example {set: dukemtmc, root: DIR}."
        elif (source := read_source(DataSource, document, folder, path, problems)) is None:
            continue  # its mistakes have been noted
        elif same := [other for other, known in sets.items() if known == source]:
            message = f"the images of {same[0]!r} again. Remove it, and name {same[0]!r} in its place."
        else:
            sets[name] = source
            continue
        problems.add(document.place(path), message)
    return sets


def place_arms(arms: Sequence[Arm], document: Document, problems: Problems) -> tuple[Arm, ...]:
    """The arms with the sets that they are searched and trained on: one arm for each of a list of these.

    A teacher is trained on the sets on which others learn from it, and on those that it names itself.
    Mistakes go into `problems`.
    """
    names = _Names(document, problems)
    places = {arm.name: names.place(arm) for arm in arms}
    names.note_useless(arms)
    teachers = {arm.teacher for arm in arms}
    for arm in arms:
        if arm.name in teachers:
            students = [(other, places[other.name]) for other in arms if other.teacher == arm.name]
            places[arm.name] = names.of_teacher(arm, students)
    placed = tuple(found for arm in arms for found in _placed(arm, places[arm.name]))
    before = Counter(arm.name for arm in arms)
    for name, count in Counter(arm.name for arm in placed).items():
        if count > 1 and before[name] < 2:
            problems.add(document.place(("arms",)), f"two arms are named {name!r}. Rename one.")
    return placed


def _placed(arm: Arm, place: Place) -> Iterator[Arm]:
    """The arms that one arm is on its sets."""
    if not place.trained:
        yield replace(arm, stem=arm.name, searched_on=place.searched)
    for name in place.trained:
        words = f"{arm.name}, {name}" if place.listed else arm.name
        yield replace(arm, name=words, stem=arm.name, searched_on=place.searched, trained_on=name)


class _Names:
    """Reads which sets arms name; also of those in which there are mistakes."""

    def __init__(self, document: Document, problems: Problems) -> None:
        self.document, self.problems = document, problems
        self.default = str(document.at(("data", "set")) or DataSource().set)
        further = document.at(("data_sets",))
        self.known = dict.fromkeys([self.default, *(further if isinstance(further, Mapping) else ())])

    def place(self, arm: Arm) -> Place:
        """The sets of an arm, by itself, else by the defaults of the file, else the default set."""
        searches, trains = self._work(arm.entry)
        searched = self._path(arm.entry, "searched_on") if searches else None
        found = None
        if searched is not None:
            found = self._known(searched, self.document.at(searched), self.problems) or self.default
        if not trains:
            return Place(found, ())
        path = self._path(arm.entry, "trained_on")
        given = self.document.at(path)
        trained = self._trained(path, given)
        if isinstance(given, list) and searches and self._is_swept(arm.entry):
            message = "an arm that is swept is trained on one set. Name it alone, or write 'sweep: false'."
            self.problems.add(self.document.place(path), message)
        return Place(found, trained, isinstance(given, list))

    def of_teacher(self, arm: Arm, students: Sequence[tuple[Arm, Place]]) -> Place:
        """The sets of a teacher: those that it names itself, and those that its students need."""
        own = self.document.at(("arms", arm.entry, "trained_on"))
        named = () if own is None else self._trained(("arms", arm.entry, "trained_on"), own, noted=True)
        needed = (name for student, place in students for name in self._needed(student, place))
        trained = tuple(dict.fromkeys((*named, *needed)))
        in_order = tuple(name for name in self.known if name in trained) or (self.default,)
        return Place(None, in_order, isinstance(own, list) or len(in_order) > 1)

    def _needed(self, student: Arm, place: Place) -> Iterator[str]:
        """Where an arm learns from its teacher; the points of a sweep may do so in both."""
        swept = self._is_swept(student.entry)
        random = student.random.search if student.random else None
        if place.searched and (swept or any(map(distils, (student.search, student.select, random)))):
            yield place.searched
        if swept or distils(student.train):
            yield from place.trained

    def note_useless(self, arms: Sequence[Arm]) -> None:
        """Sets that are named where nothing is searched or trained on them."""
        work = {arm.entry: self._work(arm.entry) for arm in arms}
        for number, (key, words) in enumerate(USELESS.items()):
            for entry in work:
                if self.document.at(("arms", entry, key)) is not None and not work[entry][number]:
                    self.problems.add(self.document.place(("arms", entry, key)), f"{words}. Leave it out.")
            if self.document.at((key,)) is not None and work and not any(w[number] for w in work.values()):
                self.problems.add(self.document.place((key,)), f"{words}. Leave it out.")

    def _work(self, entry: str) -> tuple[bool, bool]:
        """Whether an arm searches, and whether it trains."""
        kinds = kinds_of(self.document, entry, Problems())
        budget = self.document.at(("arms", entry, "random", "budget"))
        return "search" in kinds or budget is not None, "train" in kinds

    def _is_swept(self, entry: str) -> bool:
        path = ("arms", entry, "sweep")
        return self.document.at(("sweep",)) is not None and self.document.at(path) is not False

    def _path(self, entry: str, key: str) -> tuple[str, ...]:
        own = ("arms", entry, key)
        return own if self.document.at(own) is not None else (key,)

    def _trained(self, path: tuple[str, ...], given: object, *, noted: bool = False) -> tuple[str, ...]:
        problems = Problems() if noted else self.problems
        values = given if isinstance(given, list) else [given]
        if not values:
            problems.add(self.document.place(path), "an empty list. Name a data set, or leave it out.")
        wrong = [v for v in values if isinstance(v, (list, Mapping)) or (v is None and given is not None)]
        for value in wrong:
            message = f"{value!r} is not a name. Name a data set, or give a list of names."
            problems.add(self.document.place(path), message)
        names = (self._known(path, value, problems) for value in values if value not in wrong)
        found = [name for name in names if name is not None]
        for name in sorted({name for name in found if found.count(name) > 1}):
            problems.add(self.document.place(path), f"{name!r} is named twice. Remove one.")
        return tuple(dict.fromkeys(found)) or (self.default,)

    def _known(self, path: tuple[str, ...], value: object, problems: Problems) -> str | None:
        """A data set that is named; the default one where none is, None and a noted mistake for another."""
        if value is None or isinstance(value, (list, Mapping)):  # a form that has been noted
            return self.default
        if str(value) in self.known:
            return str(value)
        message = f"{unknown('data set', value, self.known)} Others are named under 'data_sets:'."
        problems.add(self.document.place(path), message)
        return None
