"""Epochs and alphas of jobs, and that a collection after another one gives the same bytes."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from fake_storage import FakeCampaign, partial_campaign

import analysis.collect
import analysis.files
from analysis.collect import collect
from analysis.files import PARTS_KEY
from analysis.tables import file_of, read
from autoreid.attempts import Outcome
from autoreid.published import AUTO_REID_SEARCH
from search_spaces.places import PLACES

PLACE, OPTIONS = "mblock1", PLACES["cds-v1"]["mblock1"]
FILES = ("epochs", "alphas")


def alphas_at(epoch: int, places: dict[str, Any]) -> dict[str, list[float]]:
    return {
        place: [round(0.01 * epoch * (number + 1) - 0.1 * number, 6) for number in range(len(options))]
        for place, options in places.items()
    }


def searched(
    campaign: FakeCampaign,
    arm: str,
    repeat: int,
    epochs: int = 6,
    *,
    space: str = "cds-v1",
    named: bool = True,
    anew: bool = True,
) -> None:
    """A finished search with alphas in its records, and another digit of the last ones in its result. What
    was there of it is removed where it is done anew."""
    if anew:
        job = campaign.storage.job(campaign.jobs[arm, repeat, "search"].id)
        for attempt in job.attempts():
            job.withdraw(attempt)
    places = {place: list(options) for place, options in PLACES[space].items()}
    attempt = campaign.finish(arm, repeat, "search")
    outcome = attempt.outcome()
    assert outcome is not None
    rows = [
        {"epoch": epoch, "loss": 1.0 / epoch, "steps": 10, "images": 640, "alphas": alphas_at(epoch, places)}
        for epoch in range(1, epochs + 1)
    ]
    rows[0] |= {"options": places} if named else {}
    attempt.write_records(rows)
    final = {place: [value + 1e-7 for value in of] for place, of in rows[-1]["alphas"].items()}
    attempt.finish(dataclasses.replace(outcome, result={**outcome.result, "alphas": final}))


@pytest.fixture
def campaign(tmp_path: Path) -> FakeCampaign:
    campaign = FakeCampaign(tmp_path / "storage", "alphas", {"top-2": 2}, repeats=2)
    for repeat, epochs in enumerate((3, 200)):
        searched(campaign, "top-2", repeat, epochs)
        campaign.finish("top-2", repeat, "train")
    campaign.write_manifest()
    return campaign


@pytest.fixture
def storage(tmp_path: Path, campaign: FakeCampaign) -> Path:
    return tmp_path / "storage"


def bytes_of(root: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in root.glob("tables/*/*.parquet")}


def fresh(storage: Path, place: Path) -> dict[str, bytes]:
    """The files of a collection from scratch."""
    shutil.rmtree(place, ignore_errors=True)
    collect(storage, place)
    return bytes_of(place)


class TestAlphas:
    def test_every_alpha_is_a_row_with_its_weight(self, storage: Path) -> None:
        assert collect(storage).warnings == ()
        frame = read(storage, "alphas")
        first = frame[(frame["repeat"] == 0) & (frame["place"] == PLACE)]
        assert first["epoch"].unique().tolist() == [1, 2, 3]
        assert first[first["epoch"] == 1]["option"].tolist() == list(OPTIONS)
        values = alphas_at(2, PLACES["cds-v1"])[PLACE]
        second = first[first["epoch"] == 2]
        assert second["alpha"].tolist() == values
        total = math.fsum(map(math.exp, values))
        assert second["weight"].tolist() == pytest.approx([math.exp(value) / total for value in values])
        assert len(frame[frame["repeat"] == 0]) == 3 * sum(map(len, PLACES["cds-v1"].values()))
        assert set(frame["kind"]) == {"search"}

    def test_the_last_epoch_is_as_in_the_result(self, storage: Path) -> None:
        collect(storage)
        frame = read(storage, "alphas").query("repeat == 0 and epoch == 3 and place == @PLACE")
        assert frame["alpha"].tolist() == [value + 1e-7 for value in alphas_at(3, PLACES["cds-v1"])[PLACE]]

    def test_of_many_epochs_some_are_kept_evenly(self, storage: Path) -> None:
        collect(storage)
        epochs = read(storage, "alphas").query("repeat == 1")["epoch"].unique()
        assert (len(epochs), epochs[0], epochs[-1]) == (60, 1, 200)
        assert set(np.diff(epochs)) == {3, 4}
        assert len(read(storage, "epochs").query("repeat == 1 and kind == 'search'")) == 200

    def test_where_options_are_not_recorded_they_are_those_of_the_space(
        self, campaign: FakeCampaign, storage: Path
    ) -> None:
        searched(campaign, "top-2", 0, named=False)
        collect(storage)
        frame = read(storage, "alphas").query("repeat == 0 and epoch == 1 and place == @PLACE")
        assert frame["option"].tolist() == list(OPTIONS)

    def test_a_result_of_an_older_release_gives_the_last_epoch(self, tmp_path: Path) -> None:
        campaign = FakeCampaign(tmp_path, "old", {"top-2": 2}, repeats=1)
        campaign.finish("top-2", 0, "search", alphas=alphas_at(9, PLACES["cds-v1"]))
        campaign.write_manifest()
        assert collect(tmp_path).warnings == ()
        assert read(tmp_path, "alphas")["epoch"].unique().tolist() == [6]

    @pytest.mark.parametrize(
        "harm",
        [{PLACE: "none"}, {PLACE: [1.0]}, {PLACE: [None] * 12}, {}, {PLACE: [float("inf")] * 12}, [1.0]],
        ids=["words", "too few", "empty", "without a place", "infinite", "no places"],
    )
    def test_damaged_alphas_cost_themselves_alone(
        self, campaign: FakeCampaign, storage: Path, harm: Any
    ) -> None:
        (path,) = storage.glob(f"jobs/{campaign.jobs['top-2', 0, 'search'].id}/attempts/*/outcome.json")
        outcome = json.loads(path.read_text())
        whole = outcome["result"]["alphas"]
        if isinstance(harm, dict):
            outcome["result"]["alphas"] = {**whole, **harm} if harm else {"mblock2": whole["mblock2"]}
        if isinstance(harm, list):
            records = path.with_name("records.jsonl")
            rows = [{**json.loads(line), "alphas": harm} for line in records.read_text().splitlines()]
            outcome["files"].pop("records.jsonl")
            outcome["result"].pop("alphas")
            records.write_text("".join(json.dumps(row) + "\n" for row in rows))
        path.write_text(json.dumps(outcome))
        for _ in range(2):  # said again, when nothing is new
            (warning,) = collect(storage).warnings
            assert warning.startswith("alphas: top-2, repeat 1, search: its alphas are damaged (")
            assert set(read(storage, "alphas")["repeat"]) == {1}
            assert len(read(storage, "epochs").query("repeat == 0 and kind == 'search'")) == 3

    def test_alphas_of_an_unknown_space_are_named(self, campaign: FakeCampaign, storage: Path) -> None:
        searched(campaign, "top-2", 0, named=False)
        manifest = campaign.manifest()
        manifest["jobs"][campaign.jobs["top-2", 0, "search"].id]["recipe"]["space"] = "mine-v1"
        campaign.storage.write_manifest(campaign.name, manifest)
        (warning,) = collect(storage).warnings
        assert "the options of its places are not recorded" in warning


class TestAgain:
    """A collection after another one gives the files of one from scratch."""

    @pytest.fixture(autouse=True)
    def small_groups(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(analysis.files, "BATCH_ROWS", 64)

    @pytest.fixture
    def read_again(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, str]]:
        """The jobs whose records are read."""
        found: list[tuple[str, int, str]] = []
        histories = analysis.collect.histories

        def noted(entry: Any, warnings: list[str]) -> Any:
            found.append((entry.keys["arm"], entry.keys["repeat"], entry.keys["kind"]))
            return histories(entry, warnings)

        monkeypatch.setattr(analysis.collect, "histories", noted)
        return found

    @pytest.fixture
    def large(self, tmp_path: Path) -> FakeCampaign:
        """The partial campaign, alphas in some of its searches."""
        large = partial_campaign(tmp_path / "large")
        for repeat in range(3):
            searched(large, "top-2", repeat)
        collect(tmp_path / "large")
        return large

    def test_only_what_is_new_is_read(
        self, large: FakeCampaign, tmp_path: Path, read_again: list[tuple[str, int, str]]
    ) -> None:
        root = tmp_path / "large"
        before = bytes_of(root)
        collect(root)
        assert bytes_of(root) == before
        unfinished = {
            ("softmax, k=all", repeat, kind)
            for repeat, kind in ((1, "train"), (2, "search"), (2, "train"), (3, "search"), (3, "train"))
        }
        assert set(read_again) == unfinished
        read_again.clear()
        searched(large, "softmax, k=all", 3)
        collect(root)
        assert len(read_again) == 5
        read_again.clear()
        collect(root)
        assert ("softmax, k=all", 3, "search") not in read_again
        assert bytes_of(root) == fresh(root, tmp_path / "fresh")
        assert bytes_of(root)["alphas"] != before["alphas"]

    def test_other_orders_arms_and_attempts_give_the_files_of_a_new_collection(
        self, large: FakeCampaign, tmp_path: Path, read_again: list[tuple[str, int, str]]
    ) -> None:
        root, manifest = tmp_path / "large", large.manifest()
        entries = manifest["entries"]
        shared = [{**entries[0], "arm": "again"}, {**entries[1], "repeat": 7}]
        for changed in (entries[::-1], [*shared, *entries], entries[3:], [entries[0]] * 2, []):
            large.storage.write_manifest(large.name, {**manifest, "entries": changed})
            collect(root)
            assert bytes_of(root) == fresh(root, tmp_path / "fresh"), changed
        large.storage.write_manifest(large.name, manifest)
        collect(root)
        searched(large, "top-2", 0, epochs=2, anew=False)
        (first,) = root.glob(f"jobs/{large.jobs['top-2', 0, 'search'].id}/attempts/1-*/genotype.json")
        first.write_text("{}")  # the first attempt no longer counts: the second one does
        read_again.clear()
        collect(root)
        assert ("top-2", 0, "search") in read_again
        assert read(root, "alphas").query("arm == 'top-2' and repeat == 0")["epoch"].max() == 2
        assert bytes_of(root) == fresh(root, tmp_path / "fresh")

    def test_a_finished_job_whose_records_changed_is_read_again(
        self, large: FakeCampaign, tmp_path: Path
    ) -> None:
        root = tmp_path / "large"
        searched(large, "top-2", 1, epochs=4)
        collect(root)
        assert bytes_of(root) == fresh(root, tmp_path / "fresh")
        assert read(root, "alphas").query("arm == 'top-2' and repeat == 1")["epoch"].max() == 4

    @pytest.mark.parametrize("table", FILES)
    @pytest.mark.parametrize("harm", ["cut", "empty", "flipped", "rewritten", "other parts"])
    def test_a_damaged_or_alien_file_is_not_taken_over(
        self, large: FakeCampaign, tmp_path: Path, table: str, harm: str
    ) -> None:
        root = tmp_path / "large"
        path, whole = root / file_of(table, large.name), bytes_of(root)
        data = bytearray(whole[table])
        if harm == "rewritten":  # by another program, with other numbers
            content = pq.read_table(path)
            column = content.column_names.index("epoch")
            changed = content.set_column(
                column, content.schema.field("epoch"), content["epoch"].take([0] * len(content))
            )
            pq.write_table(changed, path)
        elif harm == "other parts":
            keep = data.index(PARTS_KEY.encode()) + len(PARTS_KEY)
            place = data.index(b":", keep)
            data[place + 1 : place + 2] = b"9"
            path.write_bytes(data)
        else:
            if harm == "flipped":
                data[200] ^= 0xFF
            path.write_bytes({"cut": data[: len(data) // 2], "empty": b"", "flipped": data}[harm])
        assert path.read_bytes() != whole[table]
        assert collect(root).warnings == ()
        assert bytes_of(root) == whole

    @pytest.mark.parametrize("name", ["__version__", "SCHEMA_VERSION"])
    def test_files_of_another_release_are_not_taken_over(
        self,
        large: FakeCampaign,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        read_again: list[tuple[str, int, str]],
        name: str,
    ) -> None:
        monkeypatch.setattr(analysis.files, name, "other")
        collect(tmp_path / "large")
        assert len(read_again) == len(large.jobs)


def test_a_wrong_value_empties_its_cell_and_costs_no_other(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, "wrong", {"top-2": 2}, repeats=1)
    attempt = campaign.attempt("top-2", 0, "search", 0)
    attempt.write_records(
        [
            {"epoch": 1, "loss": 2, "steps": 3, "images": 4, "triplet": "low"},
            {"epoch": 2, "loss": None, "steps": 3, "images": 4},
            {"epoch": 3, "loss": 0.5, "steps": 3, "images": 4, "accuracy": 2**60, "genotype_changes": 2**70},
        ]
    )
    attempt.finish(Outcome("done"))
    campaign.write_manifest()
    warnings = "\n".join(collect(tmp_path).warnings)
    frame = read(tmp_path, "epochs")
    assert frame["epoch"].tolist() == [1, 3] and frame["loss"].tolist() == [2.0, 0.5]
    assert frame["triplet"].isna().all() and frame["genotype_changes"].isna().all()
    assert frame["accuracy"].tolist()[1] == 2.0**60
    assert "triplet holds 'low', which is not float64; left empty in epochs." in warnings
    assert "no row in epochs: loss is missing." in warnings and "more than 64 bits" in warnings


def test_the_recipes_of_cells_have_their_places(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, "cells", {"top-2": 2}, repeats=1)
    searched(campaign, "top-2", 0, space=AUTO_REID_SEARCH.space)
    campaign.write_manifest()
    collect(tmp_path)
    frame = read(tmp_path, "alphas")
    assert len(frame) == 6 * sum(map(len, PLACES[AUTO_REID_SEARCH.space].values()))
    assert frame.groupby(["epoch", "place"])["weight"].sum().to_numpy() == pytest.approx(1.0)
