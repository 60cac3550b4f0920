"""Searches and trainings as a whole, on a few rendered pedestrians."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from autoreid import losses
from autoreid.building import build_run
from autoreid.calls import search, train
from autoreid.data.source import DataSource
from autoreid.epoch_columns import EPOCH_COLUMNS
from autoreid.errors import DivergedError, InputError, RunError, StorageError
from autoreid.execution import Execution
from autoreid.feed import PreparedData
from autoreid.folders import LocalFolder
from autoreid.jobs import Job, search_job, train_job
from autoreid.model_files import unpack_model
from autoreid.published import CDNET_SEARCH, CDNET_TRAIN
from autoreid.recipes import SearchRecipe, TrainRecipe
from autoreid.records import measured
from autoreid.running import is_final, run_attempt, run_job
from autoreid.runs import Row
from autoreid.searching import SearchRun
from autoreid.snapshots import from_bytes, newest_checkpoint, to_bytes
from autoreid.storage import Storage
from autoreid.training import TrainRun
from autoreid.values import override
from search_spaces.published import PUBLISHED

SIZE = {"height": 64, "width": 32, "width_multiplier": 0.1, "batch.identities": 4, "batch.images": 2}
SEARCH = override(CDNET_SEARCH, SIZE | {"space": "cs-v1", "epochs": 3, "split.held_out": 2})
TRAIN = override(CDNET_TRAIN, SIZE | {"epochs": 3, "optimizer.learning_rate": 0.01})
CPU = Execution(device="cpu", threads=1)
CDNET = PUBLISHED["cdnet-top2"]
# Without a teacher there is no distillation.
OF_A_TEACHER = {"distillation", "temperature", "alpha_distillation", "alpha_temperature"}


def jobs_of(data: PreparedData) -> dict[str, Job]:
    return {
        "search": search_job(SEARCH, data.fingerprint, split_seed=0, search_seed=0),
        "train": train_job(TRAIN, data.fingerprint, CDNET, train_seed=0),
    }


def repeatable(rows: list[Row]) -> list[Row]:
    """Records without what a clock gave."""
    return [{key: row[key] for key in row if key not in measured("epochs")} for row in rows]


def final_weights(storage: Storage, job: Job) -> dict[str, Any]:
    finished = storage.job(job.id).finished()
    assert finished is not None
    name = "supernet.pt" if job.kind == "search" else "model.pt"
    return from_bytes(finished[0].read(name), name)


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


@pytest.mark.parametrize("kind", ["search", "train"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_interrupted_run_equals_an_undisturbed_one(
    kind: str, precision: str, tmp_path: Path, small_source: DataSource, small_data: PreparedData, cache: Path
) -> None:
    job = jobs_of(small_data)[kind]
    job = replace(job, recipe=override(job.recipe, {"precision": precision}))
    whole, broken = Storage(tmp_path / "whole"), Storage(tmp_path / "broken")
    list(run_job(job, whole, small_source, CPU, cache))

    run = run_job(job, broken, small_source, CPU, cache)
    next(run)
    next(run)
    run.close()  # the second epoch's records are written, the third never begins
    (interrupted,) = broken.job(job.id).attempts()
    assert interrupted.outcome() is None
    assert [row["epoch"] for row in run_job(job, broken, small_source, CPU, cache)] == [3]

    assert equal(final_weights(broken, job), final_weights(whole, job))
    first, second = (storage.job(job.id).finished() for storage in (whole, broken))
    assert first is not None
    assert second is not None
    assert repeatable(second[0].records()) == repeatable(first[0].records())
    # What the interrupted attempt took of the epochs is told: it is not the second one's.
    times = [row["wall_seconds"] for row in second[0].records()]
    assert first[1].facts["earlier_seconds"] == 0
    assert second[1].facts["earlier_seconds"] == pytest.approx(sum(times[:2]))
    assert second[1].facts["device_kind"] == "cpu"
    assert len(broken.job(job.id).attempts()) == 2
    assert list(run_job(job, broken, small_source, CPU, cache)) == []  # finished work never runs again


def test_what_goes_on_in_another_form_or_on_other_threads_says_so(
    tmp_path: Path, small_source: DataSource, small_data: PreparedData, cache: Path, capsys: Any
) -> None:
    job, storage = jobs_of(small_data)["train"], Storage(tmp_path)
    other = replace(CPU, memory_format="contiguous")
    for execution, epoch in ((CPU, 1), (other, 2), (other, 3)):
        run = run_job(job, storage, small_source, execution, cache)
        assert next(run)["epoch"] == epoch
        said = "its checkpoint was computed in the form default, this is memory_format=contiguous"
        attempt = storage.job(job.id).attempts()[-1]
        assert capsys.readouterr().err.count(said) == (epoch == 2)
        run.close()
        assert attempt.folder.read("log.txt").decode().count(said) == (epoch == 2)


def test_a_damaged_checkpoint_is_passed_over(
    tmp_path: Path, small_source: DataSource, small_data: PreparedData, cache: Path, capsys: Any
) -> None:
    job, storage = jobs_of(small_data)["train"], Storage(tmp_path)
    run = run_job(job, storage, small_source, CPU, cache)
    next(run)
    next(run)
    run.close()
    (attempt,) = storage.job(job.id).attempts()
    path = Path(str(attempt.folder)) / "checkpoints/0.pt"
    path.write_bytes(path.read_bytes()[:-100])
    found = newest_checkpoint([attempt])
    assert found is not None
    assert (found[1].part, found[1].epoch, found[1].step) == (1, 1, 0)
    assert "checkpoints/0.pt: this checkpoint is damaged" in capsys.readouterr().err
    assert [row["epoch"] for row in run_job(job, storage, small_source, CPU, cache)] == [2, 3]


@pytest.mark.parametrize("harm", [b"{broken", b'{"epoch":1}\n'])
def test_damaged_records_do_not_travel_on(
    tmp_path: Path, small_source: DataSource, small_data: PreparedData, cache: Path, harm: bytes
) -> None:
    """A checkpoint holds the records that go with it, under its digest."""
    job, storage = jobs_of(small_data)["train"], Storage(tmp_path)
    for _ in range(2):
        run = run_job(job, storage, small_source, CPU, cache)
        next(run)
        run.close()
    second = storage.job(job.id).attempts()[1]
    rows = second.records()
    assert [row["epoch"] for row in rows] == [1, 2]
    second.folder.write("records.jsonl", harm)
    assert [row["epoch"] for row in run_job(job, storage, small_source, CPU, cache)] == [3]
    finished = storage.job(job.id).finished()
    assert finished is not None
    assert finished[0].records()[:2] == rows


def test_a_checkpoint_that_does_not_fit_is_passed_over_with_a_word(
    tmp_path: Path,
    small_source: DataSource,
    small_data: PreparedData,
    cache: Path,
    capsys: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job, storage = jobs_of(small_data)["train"], Storage(tmp_path)
    run = run_job(job, storage, small_source, CPU, cache)
    next(run)
    run.close()
    monkeypatch.setattr(TrainRun, "load", lambda self, state: state["of another release"])
    assert [row["epoch"] for row in run_job(job, storage, small_source, CPU, cache)] == [1, 2, 3]
    assert "does not fit this run" in capsys.readouterr().err


def test_where_a_checkpoint_does_not_fit_the_next_one_is_continued(
    tmp_path: Path,
    small_source: DataSource,
    small_data: PreparedData,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else each interruption would lose what was done since, as long as what does not fit is farther on."""
    job, storage = jobs_of(small_data)["train"], Storage(tmp_path)
    intact, loaded = TrainRun.load, []

    def load(run: TrainRun, state: dict[str, Any]) -> None:
        loaded.append(state["position"]["epoch"])
        intact(run, state)  # what does not fit has been taken up in part
        if state["position"]["epoch"] == 2:
            raise KeyError("of another release")

    run = run_job(job, storage, small_source, CPU, cache)
    next(run)
    next(run)
    run.close()
    monkeypatch.setattr(TrainRun, "load", load)
    assert [row["epoch"] for row in run_job(job, storage, small_source, CPU, cache)] == [2, 3]
    assert loaded == [2, 1]
    monkeypatch.undo()
    whole = Storage(tmp_path / "whole")
    list(run_job(job, whole, small_source, CPU, cache))
    assert equal(final_weights(storage, job), final_weights(whole, job))


@pytest.mark.parametrize(
    ("error", "final"),
    [
        (DivergedError("NaN"), True),
        (InputError("device: torch sees 0 GPUs here."), False),
        (RunError("the cache is damaged"), False),
        (StorageError("the disk is full"), False),
        (ValueError("unforeseen"), False),
    ],
)
def test_only_what_would_come_again_is_final(error: Exception, final: bool) -> None:
    assert is_final(error) is final


def test_a_done_outcome_whose_answer_was_lost_is_not_called_failed(
    tmp_path: Path,
    small_source: DataSource,
    small_data: PreparedData,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job, storage = jobs_of(small_data)["search"], Storage(tmp_path)
    intact = LocalFolder.write

    def lose_the_answer(folder: LocalFolder, name: str, data: bytes) -> None:
        intact(folder, name, data)
        if name == "outcome.json":
            raise StorageError("the network is away")

    monkeypatch.setattr(LocalFolder, "write", lose_the_answer)
    with pytest.raises(StorageError, match="the network is away"):
        list(run_job(job, storage, small_source, CPU, cache))
    assert storage.job(job.id).finished() is not None


def test_rows_have_exactly_the_declared_columns(small_data: PreparedData) -> None:
    names = {column.name for column in EPOCH_COLUMNS}
    for job in jobs_of(small_data).values():
        row = build_run(job, CDNET, small_data, CPU).advance()
        of_alphas = {"alphas", "options"} if job.kind == "search" else set()
        assert row.keys() - names == of_alphas
        assert {column.name for column in EPOCH_COLUMNS if not column.nullable} <= row.keys()
        assert job.kind == "train" or row.keys() == names - OF_A_TEACHER | of_alphas


def test_the_record_of_an_epoch_holds_the_alphas(small_data: PreparedData) -> None:
    run = build_run(jobs_of(small_data)["search"], CDNET, small_data, CPU)
    assert isinstance(run, SearchRun)
    first, second = run.advance(), run.advance()
    assert "options" not in second  # they are named once, after the first epoch
    places = {place: list(options) for place, options in run.space.places.items()}
    assert first["options"] == places and first["alphas"].keys() == second["alphas"].keys() == places.keys()
    for place, values in second["alphas"].items():
        assert values == pytest.approx(run.alphas[place].tolist(), rel=5e-6, abs=0)
        assert [float(f"{value:.6g}") for value in values] == values
    assert second["alphas"] != first["alphas"]


def test_a_search_moves_weights_and_alphas(tmp_path: Path, small_source: DataSource, cache: Path) -> None:
    recipe = override(SEARCH, {"alpha_optimizer.learning_rate": 0.1, "epochs": 2})
    found = search(recipe, small_source, tmp_path / "a", cache=cache, execution=CPU)
    assert found.rows[1]["alpha_entropy"] < found.rows[0]["alpha_entropy"] < 1.7918  # ln 6
    assert found.rows[1]["validation_loss"] != found.rows[0]["validation_loss"]
    other = search(recipe, small_source, tmp_path / "b", cache=cache, execution=CPU, seed=1)
    assert other.result["alphas"] != found.result["alphas"]
    assert json.loads((tmp_path / "a/genotype.json").read_text()) == found.genotype.plain()


def test_only_the_split_seed_changes_the_split(small_data: PreparedData) -> None:
    def rows(split_seed: int, search_seed: int) -> list[list[int]]:
        job = search_job(SEARCH, small_data.fingerprint, split_seed=split_seed, search_seed=search_seed)
        run = build_run(job, None, small_data, CPU)
        return [run.train.rows.tolist(), run.held_out.rows.tolist()]  # type: ignore[attr-defined]

    assert rows(0, 0) == rows(0, 1) != rows(1, 0)
    train_rows, held_out = rows(0, 0)
    assert not set(train_rows) & set(held_out)
    assert sorted(train_rows + held_out) == small_data.train_rows.tolist()


def test_a_training_learns_what_it_sees(tmp_path: Path, small_source: DataSource, cache: Path) -> None:
    adam = {"optimizer.name": "adam", "optimizer.learning_rate": 0.002}
    recipe = override(TRAIN, adam | {"epochs": 10, "augmentation.erasing": 0, "augmentation.pad": 0})
    trained = train(recipe, CDNET, small_source, tmp_path / "t", cache=cache, execution=CPU)
    assert trained.rows[-1]["loss"] < 0.85 * trained.rows[0]["loss"]
    assert trained.result["evaluation"]["queries"] == trained.result["untrained"]["queries"] > 0


@pytest.mark.slow
def test_a_training_recognises_people_that_it_has_never_seen(tmp_path: Path, cache: Path) -> None:
    source = DataSource(set="rendered", identities=100, cameras=4, images=4)
    settings = {
        "height": 64,
        "width": 32,
        "width_multiplier": 0.25,
        "batch": {"identities": 8, "images": 4},
        "augmentation": {"pad": 3, "erasing": 0},
        "epochs": 15,
        "optimizer.schedule.name": "cosine",
    }
    recipe = override(CDNET_TRAIN, settings)
    trained = train(recipe, CDNET, source, tmp_path / "t", cache=cache, execution=CPU)
    assert trained.result["evaluation"]["mAP"] > 3 * trained.result["untrained"]["mAP"]


def test_a_model_file_gives_the_network_back(
    tmp_path: Path, small_source: DataSource, small_data: PreparedData, cache: Path
) -> None:
    train(override(TRAIN, {"epochs": 1}), CDNET, small_source, tmp_path / "t", cache=cache, execution=CPU)
    data = (tmp_path / "t/model.pt").read_bytes()
    model, recipe, genotype = unpack_model(data, "model.pt")
    assert (recipe.epochs, genotype) == (1, CDNET)
    images = torch.randn(2, 3, 64, 32)
    twin, _, _ = unpack_model(data, "model.pt")
    assert torch.equal(model.embed(images), twin.embed(images))
    with pytest.raises(InputError, match="not a file of autoreid, or damaged"):
        unpack_model(data[: len(data) // 2], "model.pt")


def test_a_loss_that_is_nan_stops_and_keeps_the_last_good_checkpoint(
    tmp_path: Path, small_data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = jobs_of(small_data)["train"]
    attempt = Storage(tmp_path).job(job.id).new_attempt()
    epochs = run_attempt(lambda: build_run(job, CDNET, small_data, CPU), attempt, [], CPU)
    next(epochs)
    intact = losses.compute
    monkeypatch.setattr(losses, "compute", lambda *given: _nan(intact(*given)))
    with pytest.raises(RunError, match=r"epoch 2: the loss became NaN.*after epoch 1 is kept"):
        next(epochs)
    outcome = attempt.outcome()
    assert outcome is not None
    assert outcome.status == "failed"
    assert "NaN" in str(outcome.error)
    assert outcome.final
    found = newest_checkpoint([attempt])
    assert found is not None
    assert found[1].epoch == 1
    assert all(tensor.isfinite().all() for tensor in found[2]["model"].values())


def _nan(found: losses.Losses) -> losses.Losses:
    return found._replace(total=found.total * torch.nan)


def test_a_model_file_that_does_not_fit_is_explained(
    tmp_path: Path, small_source: DataSource, cache: Path
) -> None:
    train(override(TRAIN, {"epochs": 1}), CDNET, small_source, tmp_path / "t", cache=cache, execution=CPU)
    content = from_bytes((tmp_path / "t/model.pt").read_bytes(), "model.pt")
    weights = dict(content["weights"])
    stem = weights.pop("backbone.trunk.stem.0.weight")
    with pytest.raises(InputError) as error:
        unpack_model(to_bytes(content | {"weights": weights | {"other": stem}}), "model.pt")
    assert error.value.problems == (
        "model.pt: no weight backbone.trunk.stem.0.weight.",
        "model.pt: unexpected weight other.",
    )
    with pytest.raises(InputError, match="version 9 of the model format; this release reads 1"):
        unpack_model(to_bytes(content | {"version": 9}), "model.pt")
    with pytest.raises(InputError, match="its recipe is damaged"):
        unpack_model(to_bytes(content | {"recipe": "{"}), "model.pt")


def test_a_mistake_does_not_claim_the_folder(tmp_path: Path, small_source: DataSource, cache: Path) -> None:
    out = tmp_path / "t"
    with pytest.raises(InputError, match="40 identities a batch"):
        train(override(TRAIN, {"batch.identities": 40}), CDNET, small_source, out, cache=cache, execution=CPU)
    assert not out.exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be used as a folder"):
        train(TRAIN, CDNET, small_source, tmp_path / "file/x", cache=cache, execution=CPU)


def test_another_folder_of_work_is_never_overwritten(
    tmp_path: Path, small_source: DataSource, cache: Path
) -> None:
    out = tmp_path / "t"
    one = override(TRAIN, {"epochs": 1})
    first = train(one, CDNET, small_source, out, cache=cache, execution=CPU)
    again = train(one, CDNET, small_source, out, cache=cache, execution=CPU)
    assert again.result == first.result
    with pytest.raises(InputError, match="which is not this one"):
        train(one, CDNET, small_source, out, cache=cache, execution=CPU, seed=1)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty, and no job of autoreid"):
        train(one, CDNET, small_source, tmp_path / "full", cache=cache, execution=CPU)


def test_weights_that_are_nan_after_the_last_step_are_never_kept(
    tmp_path: Path, small_data: PreparedData
) -> None:
    run = build_run(jobs_of(small_data)["train"], CDNET, small_data, CPU)
    attempt = Storage(tmp_path).job("j").new_attempt()
    epochs = run_attempt(lambda: run, attempt, [], CPU)
    next(epochs)
    intact = run.optimizer.step  # type: ignore[attr-defined]

    def poisoned() -> None:
        intact()
        with torch.no_grad():
            next(run.model.parameters()).fill_(torch.nan)  # type: ignore[attr-defined]

    run.position.steps = 1
    run.optimizer.step = poisoned  # type: ignore[attr-defined]
    with pytest.raises(RunError, match=r"epoch 2: the weights became NaN.*after epoch 1 is kept"):
        next(epochs)
    found = newest_checkpoint([attempt])
    assert found is not None
    assert all(tensor.isfinite().all() for tensor in found[2]["model"].values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"relaxation": "softmax", "k": 3}, "softmax weighs all of them"),
        ({"split.name": "by-identity"}, "never sees the identities"),
        ({"batch.identities": 40}, "40 identities a batch"),
        ({"k": 13}, "k: 13 branches, but cs-v1 has 6"),
        ({"space": "cds-v2"}, "no space 'cds-v2'. Did you mean 'cds-v1'"),
        ({"objective.cross_entropy": 0, "objective.triplet": 0}, "nothing would be learned"),
    ],
)
def test_a_search_that_cannot_work_is_refused_before_it_begins(
    change: dict[str, Any], message: str, small_data: PreparedData
) -> None:
    job = search_job(override(SEARCH, change), small_data.fingerprint, split_seed=0, search_seed=0)
    with pytest.raises(InputError, match=message):
        build_run(job, None, small_data, CPU)


def test_more_stripes_than_rows_are_refused_before_training(small_data: PreparedData) -> None:
    recipe = override(TRAIN, {"neck.stripes": 5})
    job = train_job(recipe, small_data.fingerprint, CDNET, train_seed=0)
    with pytest.raises(InputError, match="5 stripes of a map of at most 4 rows"):
        build_run(job, CDNET, small_data, CPU)


def test_other_data_than_planned_is_refused_and_the_job_may_be_tried_again(
    tmp_path: Path, small_source: DataSource, cache: Path
) -> None:
    job, storage = train_job(TRAIN, "f" * 64, CDNET, train_seed=0), Storage(tmp_path)
    with pytest.raises(StorageError, match="planned on ffffffffffff"):
        list(run_job(job, storage, small_source, CPU, cache))
    assert storage.job(job.id).failed_for_good() is None


def test_a_training_before_its_search_is_refused(
    tmp_path: Path, small_source: DataSource, small_data: PreparedData, cache: Path
) -> None:
    job = train_job(TRAIN, small_data.fingerprint, "0" * 32, train_seed=0)
    with pytest.raises(InputError, match="the search is not done"):
        list(run_job(job, Storage(tmp_path), small_source, CPU, cache))
    assert list(tmp_path.iterdir()) == []


def test_a_job_that_cannot_begin_leaves_a_failed_attempt_with_the_reason(
    tmp_path: Path, small_data: PreparedData, cache: Path
) -> None:
    job, storage = jobs_of(small_data)["train"], Storage(tmp_path)
    with pytest.raises(StorageError, match="no such folder"):
        list(run_job(job, storage, DataSource(root=str(tmp_path / "gone")), CPU, cache))
    (attempt,) = storage.job(job.id).attempts()
    outcome = attempt.outcome()
    assert outcome is not None
    assert outcome.status == "failed"
    assert "no such folder" in str(outcome.error)
    assert attempt.folder.sizes("started.json").keys() == {"started.json"}


def test_recipes_are_the_papers() -> None:
    assert isinstance(CDNET_SEARCH, SearchRecipe)
    assert isinstance(CDNET_TRAIN, TrainRecipe)
    search_, train_ = CDNET_SEARCH, CDNET_TRAIN
    assert (search_.batch.size, search_.epochs, search_.height, search_.width) == (64, 240, 256, 128)
    assert (search_.optimizer.learning_rate, search_.optimizer.schedule.end) == (0.025, 1e-4)
    assert (search_.alpha_optimizer.learning_rate, search_.alpha_optimizer.weight_decay) == (3e-4, 1e-3)
    assert search_.alpha_optimizer.schedule.milestones == (80, 160)
    assert (train_.optimizer.learning_rate, train_.epochs, train_.neck.stripes) == (0.065, 350, 2)
    assert train_.optimizer.schedule.milestones == (150, 225, 300)
