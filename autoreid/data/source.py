"""Where a data set comes from, and its index. Free of torch."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Literal

from autoreid import values
from autoreid.data import market1501
from autoreid.data.disk import default_cache, one_builder, sweep, writable_folder
from autoreid.data.index import ImageIndex
from autoreid.data.sets import DATASETS
from autoreid.data.surveys import Survey, index_of, one_camera, rows_of
from autoreid.errors import AutoreidError, InputError, Problems, RunError, unknown
from autoreid.folders import expanded
from autoreid.whole_files import temporary_beside

__all__ = [
    "DATASETS",
    "ClassSource",
    "DataSource",
    "default_cache",
    "known_sets",
    "open_index",
    "render_into",
]

Reader = Callable[[Path], ImageIndex]

RENDERED = "rendered"
GROUP = "autoreid.datasets"
# What readers of images for classification there are, in data/classes.py.
CLASS_SETS = ("imagefolder", "cifar100")
RENDER_FIELDS = ("identities", "cameras", "images", "seed", "height", "width")


@dataclass(frozen=True, slots=True)
class DataSource:
    """A data set by name, with its folder; or the built-in pedestrians, with what to render.

    `images` counts those of one identity in one camera; height and width are in pixels. `variant` is for
    cuhk03; `validation` says what becomes of MSMT17's validation list; `distractors` adds Market-1501's 500K;
    `single_camera` lets matches under the query's own camera count.

    >>> DataSource.from_plain("rendered", "demo.yaml: data").identities
    40
    >>> DataSource("market1501", "/datasets").plain()
    {'set': 'market1501', 'root': '/datasets'}
    """

    set: str = "market1501"
    root: str | None = None
    identities: int = values.bounded(40, 4, 9999)
    cameras: int = values.bounded(4, 2, 9)
    images: int = values.bounded(4, 2, 99)
    seed: int = values.bounded(0, 0)
    height: int = values.bounded(128, 32, 1024)
    width: int = values.bounded(64, 16, 1024)
    variant: Literal["labeled", "detected"] = "labeled"
    validation: Literal["training", "left-out"] = "training"
    distractors: bool = values.bounded(False, added=True)
    single_camera: bool = values.bounded(False, added=True)

    def plain(self) -> dict[str, Any]:
        """The fields that mean something for this set, as JSON values; later ones where they are not at
        their default, so that the form of older campaigns does not change."""
        known = values.canonical(self)
        return {name: known[name] for name in ("set", *_fields_of(self.set)) if name in known}

    @classmethod
    def from_plain(cls, given: object, place: str = "data") -> DataSource:
        """Read a mapping of fields, or the name of a set alone. InputError with every mistake at once;
        each message starts with `place`."""
        if isinstance(given, str):
            given = {"set": given}
        if not isinstance(given, Mapping):
            raise InputError(f"{place}: a data set is a name or a group of fields, not {given!r}.")
        problems = Problems()
        name = str(given.get("set", "market1501"))
        if name not in known_sets():
            problems.add(f"{place}.set", unknown("data set", name, known_sets()))
            fields = tuple(known.name for known in dataclasses.fields(cls))  # of whatever set was meant
        else:
            fields = _fields_of(name)
        result = cls(set=name)
        for field, value in given.items():
            if field == "set" or (field == "root" and value is None and "root" in fields):
                continue
            if field not in fields:
                problems.add(f"{place}.{field}", _misplaced(str(field), name, fields))
                continue
            result = values.override(result, {field: value}, f"{place}.", problems)
        if name in known_sets() and name != RENDERED and not given.get("root"):
            problems.add(f"{place}.root", f"missing. Give the folder of {name}.")
        problems.raise_if_any()
        return result


@dataclass(frozen=True, slots=True)
class ClassSource:
    """Images for classification, by the name of their layout, with their folder.

    >>> ClassSource.from_plain({"root": "/datasets/imagenet"})
    ClassSource(set='imagefolder', root='/datasets/imagenet')
    """

    set: str = "imagefolder"
    root: str = ""

    def plain(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {"set": self.set, "root": self.root}

    @classmethod
    def from_plain(cls, given: object, place: str = "pretrain.data") -> ClassSource:
        """Read a mapping of fields. InputError with every mistake at once; each message starts with
        `place`."""
        if not isinstance(given, Mapping):
            raise InputError(
                f"{place}: {given!r} is not a group of fields. Write for example "
                "{set: imagefolder, root: DIR}."
            )
        problems = Problems()
        source = cls()
        for field, value in given.items():
            source = values.override(source, {field: value}, f"{place}.", problems)
        if source.set not in CLASS_SETS:
            problems.add(f"{place}.set", unknown("data set", source.set, CLASS_SETS))
        if not source.root:
            problems.add(f"{place}.root", f"missing. Give the folder of {source.set}.")
        problems.raise_if_any()
        return source


def _fields_of(name: str) -> tuple[str, ...]:
    if name == RENDERED:
        return RENDER_FIELDS
    options = DATASETS[name].options if name in DATASETS else ()
    return ("root", *options, "single_camera")


def _misplaced(field: str, name: str, fields: tuple[str, ...]) -> str:
    if field in {known.name for known in dataclasses.fields(DataSource)}:
        return f"not a field of the set {name!r}. Remove it; known there: {', '.join(('set', *fields))}."
    return unknown("field", field, ("set", *fields))


def known_sets() -> list[str]:
    """Names of all data sets: built in, rendered, and those that installed packages offer."""
    return sorted({*DATASETS, RENDERED, *(entry.name for entry in entry_points(group=GROUP))})


def find_reader(name: str) -> Reader:
    """The reader of a data set that an installed package offers (entry points `autoreid.datasets`)."""
    for entry in entry_points(group=GROUP, name=name):
        try:
            reader: Reader = entry.load()
        except Exception as error:  # a plug-in may fail in any way
            raise InputError(
                f"data.set: {name!r} ({entry.value}) could not be loaded: {type(error).__name__}: {error}. "
                "Install a version of that package that fits."
            ) from error
        return reader
    raise InputError(f"data.set: {unknown('data set', name, known_sets())}")


def source_of(name: str, root: str | None, settings: Iterable[str] = ()) -> DataSource:
    """The data set that a command line names: its folder, and `FIELD=VALUE` settings of its other fields.

    InputError with every mistake at once, each under its flag.

    >>> source_of("cuhk03", "/datasets/cuhk03", ["variant=detected"]).variant
    'detected'
    """
    problems = Problems()
    given: dict[str, object] = {"set": name}
    if root is not None:
        given["root"] = root
    for setting in settings:
        field, equals, value = setting.partition("=")
        if not equals or field in ("", "set", "root"):
            remedy = "Write FIELD=VALUE, such as variant=detected; set and root are --data-set and --data."
            problems.add("--data-option", f"{setting!r} is no field of a set. {remedy}")
        else:
            given[field] = value
    flags = {"set": "--data-set", "root": "--data"}
    source = DataSource()
    try:
        source = DataSource.from_plain(given, "")
    except InputError as error:
        for problem in error.problems:
            field, _, text = problem.lstrip(".").partition(":")
            problems.add(flags.get(field, f"--data-option {field}"), text.strip())
    problems.raise_if_any()
    return source


def survey_source(source: DataSource, cache: Path | None = None) -> Survey:
    """What lies where a source points, troubles included. Pedestrians are rendered into `cache` first.

    Built-in names win over those of installed packages, whose readers raise what they refuse.
    """
    folder = default_cache() if cache is None else cache
    if source.set == RENDERED:
        return market1501.survey(_rendered(source, folder))
    if source.set not in DATASETS:
        return _foreign(source)
    known = DATASETS[source.set]
    options: dict[str, Any] = {name: getattr(source, name) for name in known.options}
    return known.survey(_root_of(source), **options, **({"cache": folder} if known.cached else {}))


def open_index(source: DataSource, cache: Path | None = None) -> ImageIndex:
    """The index of a data set; rendered pedestrians are rendered into `cache` where they are not there yet.

    InputError where the folder is missing, incomplete or holds names of another layout, and where all test
    images are of one camera without `single_camera`.
    """
    survey = survey_source(source, cache)
    index = dataclasses.replace(index_of(survey), single_camera=source.single_camera)
    problem = one_camera(index)
    if problem:
        raise InputError(problem)
    return index


def _root_of(source: DataSource) -> Path:
    if source.root is None:
        raise InputError(f"data.root: missing. Give the folder of {source.set}.")
    return expanded(source.root)


def _foreign(source: DataSource) -> Survey:
    reader = find_reader(source.set)
    index = reader(_root_of(source))
    if not isinstance(index, ImageIndex):
        raise InputError(
            f"data.set: the reader of {source.set!r} gave {type(index).__name__}. It must give an ImageIndex."
        )
    layout = str(index.facts.get("layout", source.set))
    return Survey(index.root, source.set, layout, rows_of(index), facts=index.facts)


def _rendered(source: DataSource, cache: Path) -> Path:
    from autoreid.data.pedestrians import RENDER_VERSION  # deferred: rendering is rarely needed

    plain = source.plain() | {"render_version": RENDER_VERSION}
    folder = writable_folder(cache / RENDERED)
    target = folder / values.digest(plain)[:16]
    if not target.is_dir():
        with one_builder(target):
            if not target.is_dir():
                sweep(folder)
                render_into(target, source)
    return target


def render_into(target: Path, source: DataSource) -> None:
    """Render into a new folder beside `target` and rename it: `target` is whole or not there.

    `target` may exist when it is empty. When another process made it meanwhile, its images are kept.
    """
    from autoreid.data.pedestrians import render

    parameters = {name: getattr(source, name) for name in RENDER_FIELDS}
    temporary = temporary_beside(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        render(temporary, **parameters)
        try:
            temporary.replace(target)
        except OSError:
            if not (target.is_dir() and any(target.iterdir())):
                raise
    except AutoreidError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise RunError(
            f"{target}: rendering failed ({reason}). Free space or choose another folder."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
