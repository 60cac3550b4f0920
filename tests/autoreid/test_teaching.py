"""Searches and trainings under a teacher."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from killed_runs import EXECUTION, SEARCH, TRAIN
from states import equal, same_job
from test_interruption import stop_at

import autoreid.teaching
from autoreid import losses
from autoreid.building import build_run, remarks
from autoreid.calls import search, train
from autoreid.data.source import DataSource
from autoreid.distilling import distils
from autoreid.errors import InputError, InterruptionError
from autoreid.feed import Batches, PreparedData, prepare
from autoreid.jobs import RECIPES, Job, random_search_job, search_job, select_job, train_job
from autoreid.objectives import IDENTITY_AND_TRIPLET, Objective, Temperature
from autoreid.published import KDAS_SEARCH, KDAS_TRAIN, SELECT_RECIPES
from autoreid.random_search import build_random_search
from autoreid.recipes import (
    AnyRecipe,
    Augmentation,
    Budget,
    RandomSearchRecipe,
    SearchRecipe,
    SelectRecipe,
    TrainRecipe,
    recipe_problems,
)
from autoreid.rehearsal import in_small
from autoreid.running import run_job
from autoreid.searching import SearchRun
from autoreid.snapshots import from_bytes, to_bytes
from autoreid.storage import Storage
from autoreid.teaching import Teacher
from autoreid.training import TrainRun
from autoreid.values import override
from autoreid.weights import RESNETS, WeightFile
from search_spaces.published import PUBLISHED
from search_spaces.registry import SPACES

CPU = replace(EXECUTION, checkpoint_minutes=0)
PLAIN = Augmentation(flip=0, pad=0, erasing=0)
CNET = PUBLISHED["cnet-top1"]
KDAS = Objective.distilled(Temperature(start=2, until=2))
STUDENT: TrainRecipe = replace(TRAIN, objective=KDAS, epochs=4)
SEARCHED: SearchRecipe = replace(SEARCH, objective=KDAS, alpha_objective=KDAS, epochs=3)


@pytest.fixture(scope="module")
def taught(
    tmp_path_factory: pytest.TempPathFactory, small_source: DataSource, small_data: PreparedData, cache: Path
) -> tuple[Storage, Job]:
    """A storage with a finished training, the teacher."""
    storage = Storage(tmp_path_factory.mktemp("taught"))
    job = train_job(TRAIN, small_data.fingerprint, CNET, train_seed=9)
    list(run_job(job, storage, small_source, CPU, cache))
    return storage, job


@pytest.fixture(scope="module")
def file(taught: tuple[Storage, Job]) -> WeightFile:
    storage, job = taught
    finished = storage.job(job.id).finished()
    assert finished is not None
    return WeightFile("model.pt", finished[0].vouched("model.pt", finished[1]))


def teacher_of(file: WeightFile, data: PreparedData) -> Teacher:
    return Teacher(file, data, device=torch.device("cpu"), precision="fp32")


def changed(file: WeightFile, **changes: object) -> WeightFile:
    return WeightFile("model.pt", to_bytes(from_bytes(file.content, "model.pt") | changes))


def jobs_under(teacher: Job, data: PreparedData) -> tuple[Job, Job]:
    found = search_job(SEARCHED, data.fingerprint, split_seed=0, search_seed=0, teacher=teacher.id)
    trained = train_job(STUDENT, data.fingerprint, found.id, train_seed=0, teacher=teacher.id)
    return found, trained


def copied(taught: tuple[Storage, Job], folder: Path) -> Storage:
    """A new storage with the teacher in it."""
    storage, job = taught
    new = Storage(folder)
    source, target = storage.job(job.id).folder, new.job(job.id).folder
    for name in source.sizes():
        target.write(name, source.read(name))
    return new


def test_the_temperature_falls_in_the_records_and_a_stop_within_changes_nothing(
    taught: tuple[Storage, Job],
    tmp_path: Path,
    small_source: DataSource,
    small_data: PreparedData,
    cache: Path,
) -> None:
    whole, broken = (copied(taught, tmp_path / name) for name in ("whole", "broken"))
    for job in jobs_under(taught[1], small_data):
        assert taught[1].id in job.needs
        rows = list(run_job(job, whole, small_source, CPU, cache))
        assert [row["temperature"] for row in rows] == [2.0, 1.0, 0.0, 0.0][: len(rows)]
        assert all(row["distillation"] > 0 and row["cross_entropy"] == 0 for row in rows)
        stops = 0
        while not broken.job(job.id).finished():
            try:
                list(run_job(job, broken, small_source, CPU, cache, stop_at(7)))
            except InterruptionError:
                stops += 1
        assert stops > 1
        same_job(broken, whole, job)
        finished = whole.job(job.id).finished()
        assert finished is not None
        held_out = {"saw_held_out_images": True} if job.kind == "search" else {}
        assert finished[1].result["teacher"] == {"network": str(CNET), "height": 64, "width": 32} | held_out
    assert len(broken.job(taught[1].id).attempts()) == 1


@pytest.mark.parametrize("weights", [IDENTITY_AND_TRIPLET, Objective.distilled(Temperature("constant", 4))])
def test_the_alphas_temperature_and_distillation_are_recorded_apart(
    weights: Objective, file: WeightFile, small_data: PreparedData
) -> None:
    recipe = replace(SEARCHED, objective=weights, alpha_objective=replace(KDAS, triplet=0.0))
    run = SearchRun(recipe, small_data, split_seed=0, search_seed=0, execution=CPU, teacher=file)
    rows = [run.advance() for _ in range(3)]
    assert [row["alpha_temperature"] for row in rows] == [2.0, 1.0, 0.0]
    for row, factor in zip(rows, (1, 0.5, 1), strict=True):
        assert row["validation_loss"] == pytest.approx(factor * row["alpha_distillation"])
        assert row.get("temperature") == (4 if weights.distillation else None)
        assert ("distillation" in row) == bool(weights.distillation)


def test_a_teacher_stays_as_it_is(file: WeightFile, small_data: PreparedData) -> None:
    run = TrainRun(STUDENT, CNET, small_data, train_seed=0, execution=CPU, teacher=file)
    assert run.teacher is not None
    before = {name: value.clone() for name, value in run.teacher.network.state_dict().items()}
    run.advance()
    assert not run.teacher.network.training
    assert equal(run.teacher.network.state_dict(), before)
    assert all(p.grad is None and not p.requires_grad for p in run.teacher.network.parameters())
    assert not any(name.startswith("teacher") for name in run.state()["model"])


def test_what_a_step_learns_from_is_the_teacher_on_the_same_images(
    file: WeightFile, small_data: PreparedData
) -> None:
    run = SearchRun(SEARCHED, small_data, split_seed=0, search_seed=0, execution=CPU, teacher=file)
    images, labels = run.held_out.batch(2)
    with torch.no_grad():
        (branch,) = run.model(images, run.relax(run.alphas))
        wanted = teacher_of(file, small_data).logits(images)
    log = (branch.logits / 2).log_softmax(1)
    expected = -((wanted / 2).softmax(1) * log).sum(1).mean()
    triplet = Objective(cross_entropy=0.0, triplet=1.0)
    expected = expected + losses.compute(triplet, (branch,), labels).total
    found = run._alpha_step(2, run.relax(run.alphas))[0]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_the_order_of_the_identities_is_the_files(file: WeightFile, small_data: PreparedData) -> None:
    content = from_bytes(file.content, "model.pt")
    assert content["order"] == small_data.identity_order and content["data"] == small_data.fingerprint
    turned = torch.arange(small_data.identities).roll(3)
    last = {name for name, value in content["weights"].items() if value.shape[:1] == turned.shape}
    assert last and all(name.startswith("neck.") for name in last)
    weights = {name: value[turned] if name in last else value for name, value in content["weights"].items()}
    other = changed(file, weights=weights, order=[content["order"][place] for place in turned])
    images = torch.randn(4, 3, 64, 32)
    expected = teacher_of(file, small_data).logits(images)
    torch.testing.assert_close(teacher_of(other, small_data).logits(images), expected)
    wrong = changed(file, weights=weights)
    assert not torch.allclose(teacher_of(wrong, small_data).logits(images), expected)


def test_images_that_stay_as_they_are_are_looked_at_once(
    file: WeightFile, small_data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autoreid.teaching, "AT_ONCE", 5)
    for augmentation, looks in ((PLAIN, -(-len(small_data.train_rows) // 5)), (TRAIN.augmentation, 3)):
        pulses = itertools.count()
        teacher = teacher_of(file, small_data)
        batches = Batches(
            small_data,
            torch.arange(len(small_data.train_rows)).numpy(),
            batch=TRAIN.batch,
            augmentation=augmentation,
            seed=0,
            device=torch.device("cpu"),
        )
        intact, count = teacher.logits, itertools.count()
        monkeypatch.setattr(teacher, "logits", lambda images, i=intact, c=count: (next(c), i(images))[1])
        for _ in range(2):
            teacher.look_ahead(batches, lambda p=pulses: next(p))
        assert next(pulses) == (looks if augmentation == PLAIN else 0)
        for step in range(3):
            images, _ = batches.batch(step)
            torch.testing.assert_close(
                teacher.of_batch(batches, step, images), intact(images), rtol=1e-4, atol=1e-5
            )
        assert next(count) == looks


def test_how_a_machine_evaluates_changes_nothing_that_is_learned(
    file: WeightFile, small_data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    intact = Teacher.logits
    monkeypatch.setattr(
        Teacher, "logits", lambda self, images: (sizes.append(len(images)), intact(self, images))[1]
    )
    recipe = replace(SEARCHED, augmentation=PLAIN)
    found = []
    for evaluation_batch, eigenvalue_epochs in ((3, 0), (128, 1)):
        execution = replace(CPU, evaluation_batch=evaluation_batch, eigenvalue_epochs=eigenvalue_epochs)
        run = SearchRun(recipe, small_data, split_seed=0, search_seed=0, execution=execution, teacher=file)
        sizes.clear()
        run.advance()
        found.append((sizes[:], run.state()["model"]))
    halves = [len(run.train.rows), len(run.held_out.rows)]
    assert [seen for seen, _ in found] == [halves, [*halves, recipe.batch.size]]
    assert equal(found[0][1], found[1][1])


def test_a_stop_while_a_teacher_looks_ahead_is_between_two_steps(
    file: WeightFile, small_data: PreparedData
) -> None:
    recipe = replace(SEARCHED, augmentation=PLAIN)
    whole, broken, resumed = (
        SearchRun(recipe, small_data, split_seed=0, search_seed=0, execution=CPU, teacher=file)
        for _ in range(3)
    )
    whole.advance()
    pulses = itertools.count()

    def stop() -> None:
        if next(pulses) == 1:  # before the second half is looked at
            raise InterruptionError("stopped")

    broken.position.pulse = stop
    with pytest.raises(InterruptionError):
        broken.advance()
    assert broken.position.step == 0
    resumed.load(from_bytes(to_bytes(broken.state()), "state"))
    resumed.advance()
    assert equal(whole.state()["model"], resumed.state()["model"])


def test_images_of_another_size_are_told(
    file: WeightFile, small_data: PreparedData, small_source: DataSource, cache: Path
) -> None:
    assert teacher_of(file, small_data).remark is None
    taller = prepare(small_source, 96, 32, cache)
    job = train_job(replace(STUDENT, height=96), small_data.fingerprint, CNET, train_seed=0, teacher="t" * 32)
    (said,) = remarks(build_run(job, CNET, taller, CPU, teacher=file))
    assert "images of 64 x 32" in said and "of 96 x 32" in said


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": "e" * 64}, "model.pt: the teacher was trained on other data"),
        ({"data": None}, "model.pt: does not say whom it knows"),
        ({"order": [1, 2, 3]}, r"model.pt: the teacher does not know \d of 8 identities"),
    ],
)
def test_a_teacher_of_others_is_refused(
    changes: dict[str, object], message: str, file: WeightFile, small_data: PreparedData
) -> None:
    with pytest.raises(InputError, match=message):
        TrainRun(STUDENT, CNET, small_data, train_seed=0, execution=CPU, teacher=changed(file, **changes))


def test_a_teacher_is_where_it_is_needed_and_nowhere_else(
    file: WeightFile, small_data: PreparedData, small_source: DataSource, tmp_path: Path, cache: Path
) -> None:
    with pytest.raises(InputError, match=r"objective.distillation: needs a teacher. Give its model"):
        TrainRun(STUDENT, CNET, small_data, train_seed=0, execution=CPU)
    with pytest.raises(InputError, match="teacher: nothing is distilled"):
        TrainRun(TRAIN, CNET, small_data, train_seed=0, execution=CPU, teacher=file)
    data = small_data.fingerprint
    short = replace(SELECT_RECIPES["retrain"], train=STUDENT)
    for make in (
        lambda teacher: search_job(SEARCHED, data, split_seed=0, search_seed=0, teacher=teacher),
        lambda teacher: train_job(STUDENT, data, CNET, train_seed=0, teacher=teacher),
        lambda teacher: select_job(short, data, ["a" * 32], teacher=teacher),
    ):
        with pytest.raises(InputError, match=r"objective.distillation: needs a teacher. Give its model"):
            make(None)
        job = make("sha256:" + "0" * 64)
        assert job.needs == job.searches and Job.from_plain(job.plain()) == job
    with pytest.raises(InputError, match="teacher: nothing is distilled"):
        train_job(TRAIN, data, CNET, train_seed=0, teacher="t" * 32)
    with pytest.raises(InputError, match=r"teacher: .*gone.pt: cannot be read"):
        search(SEARCHED, small_source, tmp_path / "out", teacher=tmp_path / "gone.pt", cache=cache)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("space", sorted(SPACES.keys() - {*RESNETS, "osnet-v1"}))
def test_every_space_can_be_searched_under_a_teacher(
    space: str, file: WeightFile, small_data: PreparedData, small_source: DataSource, cache: Path
) -> None:

    data = prepare(small_source, 128, 32, cache)
    sizes = {"height": 128, "space": space}
    sizes |= (
        {"channels": 4, "layers": [1, 1, 1, 1], "width_multiplier": 1}
        if space[:2] not in ("cs", "cd")
        else {}
    )
    recipe = override(SEARCHED, sizes | {"neck": {"name": "embedding"}})
    if space[:2] not in ("cs", "cd"):
        recipe = replace(recipe, relaxation="softmax")
    run = SearchRun(recipe, data, split_seed=0, search_seed=0, execution=CPU, teacher=file)
    row = run._step(0)
    assert row.isfinite().all() and row[3] > 0  # the distillation


def test_a_single_run_with_a_file(
    file: WeightFile, small_source: DataSource, tmp_path: Path, cache: Path
) -> None:
    (tmp_path / "model.pt").write_bytes(file.content)
    taller = replace(STUDENT, epochs=3, height=96)
    done = train(
        taller,
        CNET,
        small_source,
        tmp_path / "out",
        teacher=tmp_path / "model.pt",
        execution=CPU,
        cache=cache,
    )
    assert [row["temperature"] for row in done.rows] == [2.0, 1.0, 0.0]
    assert "learned from images of 64 x 32" in (tmp_path / "out" / "log.txt").read_text()
    assert done.result["teacher"]["network"] == str(CNET)


def test_a_random_search_under_a_teacher(
    taught: tuple[Storage, Job], file: WeightFile, small_data: PreparedData
) -> None:
    short = override(STUDENT, {"epochs": 1, "objective.temperature.name": "constant", "batch.identities": 4})
    budget = Budget(epochs=4, batch=SEARCH.batch, split=SEARCH.split)
    recipe = RandomSearchRecipe("cs-v1", samples=2, fraction=0.25, budget=budget, train=short)
    job = random_search_job(recipe, small_data.fingerprint, split_seed=0, search_seed=0, teacher=taught[1].id)
    run = build_random_search(job, recipe, lambda height, width: small_data, CPU, file)
    assert run.run is not None and run.run.teacher is not None
    # The classifier of the short training lacks the identities that were left out.
    assert len(run.run.teacher.columns) == run.run.data.identities < small_data.identities
    assert run.advance()["distillation"] > 0
    run.scores.append(run.scores[0])
    result, _ = run.finish()
    assert result["teacher"]["saw_held_out_images"]


@pytest.mark.parametrize("recipe", [KDAS_SEARCH, KDAS_TRAIN, SELECT_RECIPES["retrain"], RandomSearchRecipe()])
def test_a_rehearsal_of_few_epochs_is_under_the_first_temperature(recipe: AnyRecipe) -> None:
    if isinstance(recipe, (SelectRecipe, RandomSearchRecipe)):
        recipe = replace(recipe, train=replace(recipe.train, objective=KDAS))
    kind = next(kind for kind, known in RECIPES.items() if known is type(recipe))
    job = Job(kind, recipe, "d" * 64, (), searches=("a" * 32,), teacher="t" * 32)  # type: ignore[arg-type]
    small = in_small(job).recipe
    assert not list(recipe_problems(small)) and distils(small)


def test_a_run_is_built_with_its_teacher(file: WeightFile, small_data: PreparedData) -> None:
    job = train_job(STUDENT, small_data.fingerprint, CNET, train_seed=0, teacher="t" * 32)
    run = build_run(job, CNET, small_data, CPU, teacher=file)
    assert isinstance(run, TrainRun) and run.teacher is not None
