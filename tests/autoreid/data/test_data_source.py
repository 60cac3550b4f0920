"""Data sources: fields, built-in and foreign data sets, rendering on demand."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from replicas import write_cuhk03_folders

from autoreid.data import source as source_module
from autoreid.data.index import ImageIndex, fingerprint
from autoreid.data.market1501 import read
from autoreid.data.source import DataSource, open_index, source_of
from autoreid.errors import InputError, RunError
from autoreid.run_flags import add_data_flags, data_source

RENDERED = DataSource(set="rendered", identities=6, seed=3)


class FakeRenderer:
    """Stands for autoreid.data.pedestrians; remembers its calls and can do something in the middle."""

    def __init__(self, write_layout: Callable[[Path], Path]) -> None:
        self.write_layout = write_layout
        self.calls: list[dict[str, Any]] = []
        self.meanwhile: Callable[[], None] = lambda: None

    def render(self, directory: Path, **parameters: Any) -> None:
        self.calls.append(parameters)
        (directory / "query").mkdir(parents=True)
        self.meanwhile()
        self.write_layout(directory)


@pytest.fixture
def renderer(monkeypatch: pytest.MonkeyPatch, write_layout: Callable[[Path], Path]) -> FakeRenderer:
    fake = FakeRenderer(write_layout)
    module = ModuleType("autoreid.data.pedestrians")
    module.RENDER_VERSION = 1  # type: ignore[attr-defined]
    module.render = fake.render  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "autoreid.data.pedestrians", module)
    return fake


@pytest.mark.parametrize(
    "source", [RENDERED, DataSource("market1501", "/data"), DataSource("rendered", height=256, width=128)]
)
def test_plain_and_back(source: DataSource) -> None:
    assert DataSource.from_plain(source.plain()) == source


def test_plain_leaves_out_what_means_nothing_for_the_set() -> None:
    assert DataSource("market1501", "/data", seed=9).plain() == {"set": "market1501", "root": "/data"}
    assert sorted(RENDERED.plain()) == ["cameras", "height", "identities", "images", "seed", "set", "width"]


def test_values_are_coerced_and_a_name_alone_is_enough() -> None:
    assert DataSource.from_plain({"set": "rendered", "identities": "12", "seed": 1.0}).identities == 12
    assert DataSource.from_plain("rendered") == DataSource(set="rendered")


def test_every_mistake_is_reported_at_once() -> None:
    given = {"set": "rendered", "sed": 1, "cameras": 0, "identities": "many", "root": "/data"}
    with pytest.raises(InputError) as caught:
        DataSource.from_plain(given, "a.yaml: data")
    assert sorted(caught.value.problems) == [
        "a.yaml: data.cameras: 0 is too small. Use 2 or more.",
        "a.yaml: data.identities: 'many' is not a whole number.",
        "a.yaml: data.root: not a field of the set 'rendered'. Remove it; known there: "
        "set, identities, cameras, images, seed, height, width.",
        "a.yaml: data.sed: no field 'sed'. Did you mean 'seed'? Known: "
        "cameras, height, identities, images, seed, set, width.",
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"set": "market1502", "root": "/d"}, r"d.set: no data set 'market1502'. Did you mean 'market1501'"),
        ({"set": "market1501"}, r"d.root: missing. Give the folder of market1501"),
        ({"set": "market1501", "root": None}, r"d.root: missing"),
        ({"root": "/d", "seed": 1}, r"d.seed: not a field of the set 'market1501'"),
        ("market1501", r"d.root: missing"),
        (3, r"d: a data set is a name or a group of fields, not 3"),
    ],
)
def test_mistakes_name_place_value_and_remedy(given: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        DataSource.from_plain(given, "d")


def test_fields_belong_to_their_set_and_later_ones_are_left_out_at_their_default() -> None:
    assert DataSource.from_plain({"set": "cuhk03", "root": "/d"}).plain() == {
        "set": "cuhk03",
        "root": "/d",
        "variant": "labeled",
    }
    market = DataSource.from_plain({"set": "market1501", "root": "/d", "distractors": "yes"})
    assert market.plain() == {"set": "market1501", "root": "/d", "distractors": True}
    own = DataSource.from_plain({"set": "index", "root": "/d.csv", "single_camera": True})
    assert DataSource.from_plain(own.plain()) == own
    with pytest.raises(InputError) as caught:
        DataSource.from_plain(
            {"set": "msmt17", "root": "/d", "variant": "labeled", "validation": "half"}, "d"
        )
    assert sorted(caught.value.problems) == [
        "d.validation: 'half' is not one of training, left-out.",
        "d.variant: not a field of the set 'msmt17'. Remove it; known there: set, root, validation, "
        "single_camera.",
    ]


def test_a_command_line_names_a_source_with_its_fields() -> None:
    source = source_of("msmt17", "/d", ["validation=left-out", "single_camera=yes"])
    assert source == DataSource("msmt17", "/d", validation="left-out", single_camera=True)
    assert source_of("rendered", None, ["identities=9", "identities=7"]).identities == 7
    with pytest.raises(InputError) as caught:
        source_of("msmt18", "/d", ["validation", "root=x", "=3", "variant=labelled"])
    assert [problem.partition(": ")[0] for problem in caught.value.problems] == [
        *["--data-option"] * 3,
        "--data-set",
        "--data-option variant",
    ]
    assert "'validation' is no field of a set. Write FIELD=VALUE" in str(caught.value)


def test_a_command_finds_the_set_of_a_folder_by_looking(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    add_data_flags(parser)
    root = write_cuhk03_folders(tmp_path)
    found = data_source(parser.parse_args(["--data", str(root), "--data-option", "variant=detected"]))
    assert (found.set, found.variant) == ("cuhk03", "detected")
    named = data_source(parser.parse_args(["--data", str(root), "--data-set", "msmt17"]))
    assert named.set == "msmt17"
    assert data_source(parser.parse_args(["--data", "rendered"])).set == "rendered"


def test_one_camera_is_refused_until_it_is_chosen(make_market: Callable[..., Path], cache: Path) -> None:
    root = make_market(
        query=["0001_c4s1_000151_01.jpg"], gallery=["0001_c4s1_000201_01.jpg", "0003_c4s1_000201_01.jpg"]
    )
    with pytest.raises(InputError, match=r"come from one camera \(4\).*--data-option single_camera=true"):
        open_index(DataSource("market1501", str(root)))
    chosen = open_index(DataSource("market1501", str(root), single_camera=True))
    assert chosen.single_camera
    assert fingerprint(chosen) != fingerprint(read(root))


def test_several_cameras_need_no_choice_and_keep_their_fingerprint(market: Path, cache: Path) -> None:
    index = open_index(DataSource("market1501", str(market)))
    assert not index.single_camera
    assert fingerprint(index) == fingerprint(read(market))


def test_a_market_folder_opens(market: Path, cache: Path) -> None:
    assert open_index(DataSource("market1501", str(market))).names == read(market).names
    with pytest.raises(InputError, match=r"data.root: missing"):
        open_index(DataSource("market1501"))
    with pytest.raises(InputError, match="no data set 'viper'"):
        open_index(DataSource("viper", str(market)))


def test_pedestrians_are_rendered_once(renderer: FakeRenderer, cache: Path) -> None:
    first = open_index(RENDERED)
    assert open_index(RENDERED).names == first.names
    assert renderer.calls == [
        {"identities": 6, "cameras": 4, "images": 4, "seed": 3, "height": 128, "width": 64}
    ]
    assert first.root.parent == cache / "rendered"
    assert open_index(DataSource(set="rendered", identities=6, seed=4)).root != first.root


def test_a_new_version_of_the_renderer_renders_anew(renderer: FakeRenderer, cache: Path) -> None:
    first = open_index(RENDERED)
    sys.modules["autoreid.data.pedestrians"].RENDER_VERSION = 2  # type: ignore[attr-defined]
    assert open_index(RENDERED).root != first.root


def test_rendering_twice_at_once_keeps_the_first(renderer: FakeRenderer, cache: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    mark = target / "query" / "first"

    def another_process_finishes() -> None:
        mark.parent.mkdir(parents=True)
        mark.write_text("")

    renderer.meanwhile = another_process_finishes
    source_module.render_into(target, RENDERED)
    assert mark.exists()
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("error", "raised"), [(OSError(28, "No space left"), RunError), (KeyError(1), KeyError)]
)
def test_a_failed_rendering_leaves_nothing(
    renderer: FakeRenderer, cache: Path, error: Exception, raised: type[Exception]
) -> None:
    def fail() -> None:
        raise error

    renderer.meanwhile = fail
    with pytest.raises(raised):
        open_index(RENDERED)
    assert not [path for path in (cache / "rendered").iterdir() if path.suffix != ".lock"]
    renderer.meanwhile = lambda: None
    assert len(open_index(RENDERED)) == 19


def test_the_real_pedestrians_open(cache: Path) -> None:
    index = open_index(DataSource("rendered", identities=4, cameras=2, images=2, height=32, width=16))
    assert len(index.rows("train")) == 8
    assert len(index.rows("query")) == 4


def fake_entry_points(monkeypatch: pytest.MonkeyPatch, **entries: str) -> None:
    found = [EntryPoint(name, value, "autoreid.datasets") for name, value in entries.items()]

    def entry_points(group: str, name: str | None = None) -> list[EntryPoint]:
        return [entry for entry in found if group == entry.group and name in (None, entry.name)]

    monkeypatch.setattr(source_module, "entry_points", entry_points)


def read_foreign(root: Path) -> ImageIndex:
    return read(root / "inside")


def read_nothing(root: Path) -> None:
    return None


def test_installed_packages_may_bring_data_sets(
    make_market: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_market("outer/inside").parent
    here = __name__
    fake_entry_points(
        monkeypatch,
        foreign=f"{here}:read_foreign",
        market1501=f"{here}:read_nothing",
        empty=f"{here}:read_nothing",
        broken="no_such_module:read",
    )
    source = DataSource.from_plain({"set": "foreign", "root": str(root)})
    assert len(open_index(source)) == 19
    assert len(open_index(DataSource("market1501", str(root / "inside")))) == 19
    with pytest.raises(InputError, match=r"'empty' gave NoneType. It must give an ImageIndex"):
        open_index(DataSource("empty", str(root)))
    with pytest.raises(InputError, match=r"'broken' \(no_such_module:read\) could not be loaded"):
        open_index(DataSource("broken", str(root)))
