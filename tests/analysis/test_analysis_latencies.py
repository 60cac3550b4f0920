"""Times of networks: their rows in the tables, their section of a report, and beside the printed ones."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import pytest
from fake_storage import FINGERPRINT, FakeCampaign, facts, genotype
from report_pages import made, section

from analysis import tables
from analysis.cautions import cautions
from analysis.collect import collect
from analysis.costing import arm_costs
from analysis.latencies import latencies
from analysis.pages import Records
from analysis.paper_report import paper
from analysis.paper_tables import table
from analysis.tradeoffs import prices
from autoreid.attempts import Outcome
from autoreid.jobs import latency_job
from autoreid.latency_recipes import Build, LatencyRecipe

FIRST, SECOND = "top-2", "softmax, k=all"
RECIPE = LatencyRecipe(batch=(1, 128))


def row(number: int, batch: int, passes: list[float], **changes: Any) -> dict[str, Any]:
    return {
        "network": number,
        "model": genotype(number).digest,
        "genotype_digest": genotype(number).digest,
        "height": 256,
        "width": 128,
        "neck": "fblneck",
        "batch": batch,
        "batch_milliseconds": 10.0 * batch,
        "batch_milliseconds_iqr": 0.5,
        "image_milliseconds": 10.0,
        "image_milliseconds_iqr": 0.5 / batch,
        "images_per_second": 100.0,
        "pass_images": 19_281,
        "pass_seconds": statistics.fmean(passes),
        "passes_seconds": passes,
        "times_as_fast": 1.0,
        "parameters": 1_796_600,
        "multiply_adds": 955_063_296,
        "feature_dim": 768,
        "peak_memory_bytes": 50 * 2**20,
        "peak_memory_source": "counted",
        "device_kind": "cpu",
        "device": "x86_64",
        "threads": 16,
        "forms": "default",
        "code_version": "0.1.0",
        "torch_version": "2.11.0",
        "precision": "fp32",
        **changes,
    }


class TimedCampaign(FakeCampaign):
    """Two arms of two repeats, trained; what times them stands in the manifest, and may be done."""

    def __init__(self, root: Path, name: str = "two-arms", arms: dict[str, Any] | None = None) -> None:
        super().__init__(root, name, arms, repeats=2)
        self.root = root
        for arm in self.arms:
            for repeat in range(2):
                self.finish(arm, repeat, "search")
                self.finish(arm, repeat, "train")
        networks = [(genotype(number), Build()) for number in range(3)]
        self.timing = latency_job(RECIPE, networks)
        self.first, *others = self.arms
        self.jobs[self.first, 0, "latency"] = self.timing
        for arm in others:
            self.jobs[arm, 0, "latency"] = self.timing
        self.write_manifest()
        # The first arm found two networks, the other one the same one twice.
        timed = {self.first: [[0, 0], [1, 2]]} | {arm: [[0, 1]] for arm in others}
        manifest = self.storage.read_manifest(name)
        for entry in manifest["entries"]:
            if entry["kind"] == "latency":
                entry["timed"] = timed[entry["arm"]]
        self.storage.write_manifest(name, manifest)

    def time(self, rows: list[dict[str, Any]]) -> None:
        folder = self.storage.job(self.timing.id)
        folder.describe(self.timing.plain())
        attempt = folder.new_attempt()
        attempt.write_records([{"epoch": 1, "wall_seconds": 90.0}])
        result = {"latency": rows, "latency_seconds": 90.0}
        attempt.finish(Outcome("done", result=result, facts=facts(95.0, 1, threads=16)))


ROWS = [
    *(row(number, 1, [4.0 * (number + 1), 5.0 * (number + 1)]) for number in range(3)),
    row(0, 128, [10.0, 12.0, 40.0]),
    row(1, 128, [2.0, 4.0, 5.0], image_milliseconds=2.0),
    row(2, 128, [10.0, 12.0, 40.0]),
]


@pytest.fixture
def campaign(tmp_path: Path) -> TimedCampaign:
    return TimedCampaign(tmp_path)


def records(campaign: TimedCampaign) -> Records:
    collect(campaign.storage)
    return Records.read(campaign.storage.folder, campaign.name)


def test_each_network_and_batch_has_a_row_under_its_arm(campaign: TimedCampaign) -> None:
    campaign.time(ROWS)
    assert not collect(campaign.storage).warnings
    found = tables.read(campaign.storage.folder, "latencies")
    keys = found[["arm", "repeat", "batch", "genotype"]].itertuples(index=False, name=None)
    assert list(keys) == [
        (FIRST, 0, 1, genotype(0).digest),
        (FIRST, 0, 128, genotype(0).digest),
        (FIRST, 1, 1, genotype(2).digest),
        (FIRST, 1, 128, genotype(2).digest),
        (SECOND, 0, 1, genotype(1).digest),
        (SECOND, 0, 128, genotype(1).digest),
    ]
    assert list(found["passes"]) == [2, 3] * 3
    assert set(found["job"]) == {campaign.timing.id}
    assert found["passes_seconds"].iloc[-1] == "[2.0,4.0,5.0]"


def test_what_was_not_timed_yet_has_no_rows_and_no_section(campaign: TimedCampaign) -> None:
    found = records(campaign)
    assert found.latencies.empty and latencies(found) is None
    waiting = found.trials[found.trials["kind"] == "latency"]
    assert list(waiting["status"]) == ["waiting"] * 2
    assert set(waiting["data_fingerprint"]) == {"random-pixels"} and waiting["data_set"].isna().all()


def test_the_report_has_a_table_with_ratios_taken_pass_by_pass(campaign: TimedCampaign) -> None:
    campaign.time(ROWS)
    page = made(campaign.root)
    assert dict(page.facts)["Data"].endswith(f"fingerprint {FINGERPRINT[:12]}")
    found = section(page, "Time at inference")
    (one,) = found.grids
    assert one.title == "x86_64, 16 threads, fp32: 2 passes of 19,281 images"
    cells = [dict(zip(one.headings, line, strict=True)) for line in one.rows]
    ratio = "times as fast as " + FIRST
    # Ten through two, twelve through four, forty through five: the median of the ratios, not their means'.
    assert [line[ratio] for line in cells if line["batch"] == "128"] == ["1.00", "1.00", "5.00"]
    assert [line[ratio] for line in cells if line["batch"] == "1"] == ["1.00", "0.333", "0.500"]
    assert cells[0]["ms a batch (spread)"] == "10.00 (0.50)"
    assert "sizes of the tensors" in one.note


def test_times_of_other_machines_stand_in_tables_of_their_own(campaign: TimedCampaign) -> None:
    campaign.time([*ROWS[:4], *(one | {"device": "another"} for one in ROWS[4:])])
    found = records(campaign)
    made_of = latencies(found)
    assert made_of is not None and len(made_of.grids) == 2
    assert all(price.name != "time" for price in prices(found))


def test_accuracy_stands_over_time_where_one_machine_timed_all(campaign: TimedCampaign) -> None:
    campaign.time(ROWS)
    (price,) = [price for price in prices(records(campaign)) if price.name == "time"]
    assert price.of == {FIRST: 10.0, SECOND: 2.0}
    assert price.label == "ms an image at inference, batches of 128, x86_64"


def test_no_arm_pays_for_the_timing_and_no_data_is_mixed_by_it(campaign: TimedCampaign) -> None:
    before = arm_costs(records(campaign))
    campaign.time(ROWS)
    after = records(campaign)
    assert arm_costs(after) == before
    said = " ".join(cautions(after).points)
    assert "fingerprint" not in said and "thread" not in said
    phases = after.costs[after.costs["kind"] == "latency"].drop_duplicates(["job", "phase"])
    assert dict(zip(phases["phase"], phases["seconds"], strict=True)) == {"latency": 90.0, "other": 5.0}


def test_a_damaged_answer_costs_its_own_rows(campaign: TimedCampaign) -> None:
    campaign.time([*ROWS[:-1], ROWS[-1] | {"pass_seconds": "soon"}, "nothing"])
    warnings = collect(campaign.storage).warnings
    assert any("pass_seconds holds 'soon'" in warning for warning in warnings)
    assert len(tables.read(campaign.storage.folder, "latencies")) == 5


@pytest.mark.parametrize(("images", "ours"), [(19_281, "20.7"), (256, "-")])
def test_the_printed_time_stands_beside_ours_and_is_never_subtracted(
    tmp_path: Path, images: int, ours: str
) -> None:
    campaign = TimedCampaign(tmp_path, "table12", {"CDNet": 2, "GDAS": "all"})
    campaign.time([one | {"pass_images": images} for one in ROWS])
    found = paper(records(campaign), table("cdnet/table12"))
    (times,) = [one for one in found.grids if one.title == "time of inference beside CDNet, Table 12, s"]
    lines = {
        line["arm"]: line for line in (dict(zip(times.headings, cells, strict=True)) for cells in times.rows)
    }
    assert lines["CDNet"]["printed"] == "142.4"
    assert lines["CDNet"]["ours, mean ± sd"].startswith(ours)
    assert lines["CDNet"]["difference"] == ("another machine" if images == 19_281 else "nothing recorded")
    if images == 19_281:
        assert "one RTX 2080" in times.note and "x86_64" in times.note
