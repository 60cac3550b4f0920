import pytest
from campaigns import FINGERPRINT, SMALL, small

from autoreid.storage import Storage
from tune_runs.changes import changes
from tune_runs.manifest import change_of, manifest_of, save_manifest
from tune_runs.planning import make_plan
from tune_runs.reasons import Difference

BESIDE = SMALL + "  p: {genotype: cnet-top1}\n"


def lines(old, new, data=FINGERPRINT):
    """What is said of a campaign that was planned as `old` and is now planned as `new`."""
    manifests = [
        manifest_of(make_plan(campaign, name), "then", "now")
        for campaign, name in ((old, FINGERPRINT), (new, data))
    ]
    return [str(change) for change in changes(*manifests)]


def test_nothing_is_said_where_nothing_changed():
    assert lines(small(), small("execution.threads=3", "baseline=a")) == []


def test_four_repeats_are_one_line_that_names_the_field_and_both_values():
    before, now = (small("repeats=4", f"arms.b.train.epochs={epochs}") for epochs in (20, 30))
    assert lines(before, now) == [
        "arm b: train.epochs 20 -> 30; 4 jobs are new, the 4 old ones keep their results in the storage"
    ]


def test_trainings_that_follow_a_changed_search_are_counted_with_it():
    assert lines(small(), small("arms.a.search.k=1")) == [
        "arm a: search.k 2 -> 1; 4 jobs are new, the 4 old ones keep their results in the storage"
    ]


def test_arms_that_changed_alike_are_one_line():
    said = lines(small(text=BESIDE), small("train.epochs=4", "arms.b.search.epochs=9", text=BESIDE))
    assert said == [
        "arms a; p: train.epochs 3 -> 4; 4 jobs are new, the 4 old ones keep their results in the storage",
        "arm b: search.epochs 2 -> 9, train.epochs 3 -> 4; 4 jobs are new, the 4 old ones keep their results "
        "in the storage",
    ]


def test_evaluations_that_follow_a_changed_training_are_counted_with_it():
    again = "evaluation={rerank: true}"
    assert lines(small(again), small(again, "train.epochs=4")) == [
        "arms a; b: train.epochs 3 -> 4; 8 jobs are new, the 8 old ones keep their results in the storage"
    ]


def test_evaluations_are_called_as_in_the_file():
    wanted = [small(), small("evaluation={flip: true}"), small("evaluation={rerank: true}")]
    assert lines(*wanted[:2]) == ["arms a; b: evaluation - -> planned; 4 jobs are new"]
    assert lines(*wanted[1:]) == [
        "arms a; b: evaluation.flip true -> false, evaluation.rerank false -> true; 4 jobs are new, "
        "the 4 old ones keep their results in the storage"
    ]


def test_more_and_fewer_repeats_are_named():
    assert lines(small(), small("repeats=4")) == ["arms a; b: repeats 3, 4 are new; 8 jobs are new"]
    assert lines(small(), small("repeats=1")) == [
        "arms a; b: repeat 2 is no longer planned; the 4 old ones keep their results in the storage"
    ]
    assert lines(small(), small("repeats=3", "train.epochs=4")) == [
        "arms a; b: train.epochs 3 -> 4, repeat 3 is new; 8 jobs are new, the 4 old ones keep their results "
        "in the storage"
    ]


def test_added_and_removed_arms_are_named():
    with_c = small(text=SMALL + "  c: {search: {k: 1}}\n")
    assert lines(small(), with_c) == ["arm c is new; 4 jobs are new"]
    assert lines(with_c, small()) == [
        "arm c: no longer in the campaign; 4 jobs no longer planned, results stay in the storage"
    ]
    renamed = small(text=SMALL.replace("  b:", "  other:"))
    assert lines(small(), renamed) == [
        "arm other is new; its jobs were planned before",
        "arm b: no longer in the campaign; its jobs are planned by other arms",
    ]


def test_a_study_that_asks_for_more_points_puts_its_training_off():
    before, now = (
        manifest_of(make_plan(campaign, FINGERPRINT), "then", "now") for campaign in (small(), small())
    )
    now["sweep"] = {"arms": {"b": []}}
    now["entries"] = [entry for entry in now["entries"] if entry["arm"] != "b"]
    assert [str(change) for change in changes(before, now)] == [
        "arm b: its study has more points to ask for; the best is trained when these are done"
    ]


def test_jobs_that_two_arms_share_are_counted_once():
    shared = SMALL.replace("search: {space: cds-v1}", "search: {space: cs-v1}, train: {epochs: 9}")
    assert lines(small(text=shared), small("search.k=1", text=shared)) == [
        "arms a; b: search.k 2 -> 1; 6 jobs are new, the 6 old ones keep their results in the storage"
    ]


def test_of_many_arms_the_first_ones_are_named():
    grid = SMALL + "grid: {train.batch.images: [2, 3, 4, 5, 6]}\n"
    (line,) = lines(small(text=grid), small("train.epochs=4", text=grid))
    named = "arms a, images=2; a, images=3; a, images=4; a, images=5 and 6 more"
    assert line.startswith(f"{named}: train.epochs 3 -> 4; 20 jobs are new")


def test_seeds_are_listed_over_the_repeats():
    (line,) = lines(small(), small("seed=10", "arms.b.train=false", "arms.a.train=false"))
    assert "search.seeds.search [0, 1] -> [10, 11]" in line and "train planned -> -" in line


def test_data_and_networks_are_named():
    assert lines(small(), small(), data="0" * 64) == [
        "arms a; b: data ffffffffffff -> 000000000000; 8 jobs are new, the 8 old ones keep their results "
        "in the storage"
    ]
    other = BESIDE.replace("cnet-top1", "cnet-top2")
    (line,) = lines(small(text=BESIDE), small(text=other))
    assert line.startswith("arm p: train.genotype.choices.mblock")
    searched = BESIDE.replace("genotype: cnet-top1", "search: {space: cs-v1}")
    (line,) = lines(small(text=BESIDE), small(text=searched))
    assert "train.genotype - -> of a search" in line and "search - -> planned" in line


def test_a_selection_that_comes_in_between_is_named():
    said = lines(small(), small("select.rule=supernet", "trained=best", "trainings=2"))
    assert len(said) == 1 and "train.genotype of a search -> of a select" in said[0]
    assert "select - -> planned" in said[0]
    best = ("select.rule=supernet", "trained=best", "trainings=2")
    assert lines(small(*best), small(*best, "repeats=3")) == [
        "arms a; b: repeat 3 is new; 8 jobs are new, the 6 old ones keep their results in the storage"
    ]


def test_values_for_programs():
    old, new = (
        manifest_of(make_plan(small(*settings), FINGERPRINT), "", "")
        for settings in ((), ("train.epochs=4",))
    )
    (change,) = changes(old, new)
    assert change.fields == (Difference("train.epochs", 3, 4),)
    assert change.plain() == {
        "arms": ["a", "b"],
        "what": "changed",
        "fields": [{"field": "train.epochs", "old": 3, "new": 4}],
        "more_repeats": [],
        "fewer_repeats": [],
        "new": 4,
        "gone": 4,
    }


@pytest.mark.parametrize("write", [False, True])
def test_a_plan_says_the_same_before_anything_is_written(tmp_path, write):
    storage, changed = Storage(tmp_path), make_plan(small("train.epochs=4"), FINGERPRINT)
    assert str(change_of(storage, changed)) == "" and storage.campaigns() == []
    save_manifest(storage, make_plan(small(), FINGERPRINT))
    before = storage.folder.read("campaigns/small/manifest.json")
    said = str(save_manifest(storage, changed) if write else change_of(storage, changed))
    assert said.splitlines() == [
        "the campaign has changed since its last launch: 4 jobs are new, 4 are no longer planned (their "
        "results stay in the storage)",
        "  arms a; b: train.epochs 3 -> 4; 4 jobs are new, the 4 old ones keep their results in the storage",
    ]
    assert (storage.folder.read("campaigns/small/manifest.json") != before) is write
