import json

import pytest
from campaigns import FINGERPRINT, SMALL, small

from autoreid.cli import main
from autoreid.evaluate_recipes import EvaluateRecipe
from autoreid.jobs import (
    RECIPES,
    evaluate_job,
    latency_job,
    pretrain_job,
    random_search_job,
    search_job,
    select_job,
    train_job,
)
from autoreid.latency_recipes import Build, LatencyRecipe
from autoreid.pretrain_recipes import PRETRAIN_RECIPES
from autoreid.published import CDNET_SEARCH, CDNET_TRAIN, SELECT_RECIPES
from autoreid.recipes import RandomSearchRecipe
from autoreid.storage import Storage
from autoreid.values import override
from search_spaces.published import PUBLISHED
from tune_runs.manifest import save_manifest
from tune_runs.planning import make_plan
from tune_runs.reasons import Difference, differences, id_of, question
from tune_runs.why import why_plain

SEARCH = search_job(CDNET_SEARCH, FINGERPRINT, split_seed=0, search_seed=0)
TRAIN = train_job(CDNET_TRAIN, FINGERPRINT, PUBLISHED["cdnet-top2"], train_seed=0)
SELECT = select_job(SELECT_RECIPES["retrain"], FINGERPRINT, ["a" * 32, "b" * 32])


PRETRAIN = pretrain_job(PRETRAIN_RECIPES["cifar100"], FINGERPRINT, PUBLISHED["cdnet-top2"], train_seed=0)
EVALUATE = evaluate_job(EvaluateRecipe(rerank=True), FINGERPRINT, TRAIN.id)
LATENCY = latency_job(LatencyRecipe(), [(TRAIN.genotype, Build()), (PUBLISHED["resnet18"], Build(128))])
RANDOM = random_search_job(RandomSearchRecipe(samples=3), FINGERPRINT, split_seed=0, search_seed=0)


@pytest.fixture
def storage(tmp_path):
    """A campaign of two arms and two repeats, all of its jobs described."""
    storage = Storage(tmp_path)
    plan = make_plan(small(), FINGERPRINT)
    save_manifest(storage, plan)
    for job_id, job in plan.jobs.items():
        storage.job(job_id).describe(job.plain())
    return storage


def jobs_of(storage, kind):
    return [entry["job"] for entry in storage.read_manifest("small")["entries"] if entry["kind"] == kind]


def why(storage, job, capsys):
    assert main(["campaign", "why", str(storage.folder), job[:12], "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert main(["campaign", "why", str(storage.folder), job]) == 0
    return plain, capsys.readouterr().out


@pytest.mark.parametrize("job", [SEARCH, RANDOM, SELECT, PRETRAIN, TRAIN, EVALUATE])
def test_the_question_of_a_description_gives_the_id_of_the_job(job):
    plain = json.loads(json.dumps(job.plain()))
    assert id_of(question(plain)) == job.id
    assert differences(plain, job.plain()) == []


def test_differences_are_named_with_both_values():
    changes = {"epochs": 3, "alpha_optimizer.schedule.milestones": [1, 2], "neck": {"name": "bnneck"}}
    other = search_job(override(CDNET_SEARCH, changes), "0" * 64, split_seed=0, search_seed=5)
    found = differences(SEARCH.plain(), other.plain())
    assert {(item.field, str(item.old), str(item.new)) for item in found} == {
        ("recipe.epochs", "240", "3"),
        ("recipe.alpha_optimizer.schedule.milestones", "[80, 160]", "[1, 2]"),
        ("recipe.neck.name", "blneck", "bnneck"),
        ("seeds.search", "0", "5"),
        ("data", FINGERPRINT, "0" * 64),
    }


def test_a_field_that_only_one_job_has_is_a_difference():
    other = train_job(CDNET_TRAIN, FINGERPRINT, SEARCH.id, train_seed=0)
    found = {item.field: item for item in differences(TRAIN.plain(), other.plain())}
    assert found["inputs.job"] == Difference("inputs.job", None, SEARCH.id)
    assert found["inputs.genotype.space"].new is None
    assert str(found["inputs.job"]) == f"inputs.job - -> {SEARCH.id[:12]}"


def test_why_names_everything_that_entered_the_id(storage, capsys):
    job = jobs_of(storage, "search")[0]
    plain, text = why(storage, job, capsys)
    assert plain["job"] == job and plain["problems"] == []
    fields = plain["fields"]
    assert (fields["kind"], fields["data"], fields["engine_revision"]) == ("search", FINGERPRINT, 1)
    assert (fields["recipe.space"], fields["recipe.optimizer.momentum"]) == ("cs-v1", 0.9)
    assert (fields["seeds.split"], fields["seeds.search"]) == (0, 0)
    assert plain["published"] == {
        "recipe": "cdnet",
        "differences": [
            {"field": "space", "old": "cds-v1", "new": "cs-v1"},
            {"field": "epochs", "old": 240, "new": 2},
        ],
    }
    assert plain["campaigns"] == [{"campaign": "small", "arm": "a", "repeats": [0]}]
    assert all(f"  {name} " in text for name in fields)
    assert "planned by small: a, repeat 1" in text and "in cdnet" in text and f" {FINGERPRINT}\n" in text


def test_the_nearest_job_is_of_the_same_kind_and_differs_in_the_fewest_fields(storage, capsys):
    first, other_arm, *_ = jobs_of(storage, "search")
    plain, text = why(storage, first, capsys)
    assert plain["nearest"] == {
        "job": other_arm,
        "kind": "search",
        "differences": [{"field": "recipe.space", "old": "cds-v1", "new": "cs-v1"}],
    }
    assert f"nearest job: search {other_arm}, 1 field differs:" in text
    storage.job(SEARCH.id).describe(SEARCH.plain())
    assert why_plain(storage, SEARCH.id)["nearest"]["job"] == other_arm
    storage.job(TRAIN.id).describe(TRAIN.plain())
    alone = Storage(storage.folder.child("alone"))
    alone.job(TRAIN.id).describe(TRAIN.plain())
    plain, text = why(alone, TRAIN.id, capsys)
    assert plain["nearest"] is None and "no other job is in this storage" in text
    assert "planned by no campaign" in text
    alone.job(SEARCH.id).describe(SEARCH.plain())
    nearest = why_plain(alone, TRAIN.id)["nearest"]
    assert (nearest["job"], nearest["kind"]) == (SEARCH.id, "search")


def test_a_planned_job_is_explained_before_it_has_a_folder(tmp_path):
    storage, plan = Storage(tmp_path), make_plan(small(), FINGERPRINT)
    save_manifest(storage, plan)
    plain = why_plain(storage, next(iter(plan.jobs)))
    assert plain["problems"] == [] and plain["campaigns"][0]["arm"] == "a" and plain["nearest"] is None


def test_a_job_is_planned_by_several_campaigns(storage):
    save_manifest(storage, make_plan(small(text=SMALL.replace("name: small", "name: other")), FINGERPRINT))
    campaigns = why_plain(storage, jobs_of(storage, "search")[0])["campaigns"]
    assert [entry["campaign"] for entry in campaigns] == ["other", "small"]


def test_jobs_of_every_kind_are_explained(tmp_path, capsys):
    storage = Storage(tmp_path)
    jobs = [SEARCH, RANDOM, SELECT, PRETRAIN, TRAIN, EVALUATE, LATENCY]
    assert {job.kind for job in jobs} == set(RECIPES)
    for job in jobs:
        storage.job(job.id).describe(job.plain())
    for job in jobs:
        plain, text = why(storage, job.id, capsys)
        assert plain["problems"] == [] and plain["fields"]["kind"] == job.kind
        assert (plain["published"] is None) is (job.kind in ("random-search", "evaluate", "latency"))
        assert plain["published"] is None or plain["published"]["differences"] == []
        assert text.startswith(f"{job.kind} {job.id}")


def altered(storage, job, **changes):
    place = storage.job(job).folder
    content = json.loads(place.read("job.json"))
    content["recipe"]["epochs"] = 9
    place.write("job.json", json.dumps(content | changes).encode())
    return id_of(question(content))


def test_an_altered_description_is_reported_with_both_ids(storage, capsys):
    job = jobs_of(storage, "search")[0]
    given = altered(storage, job)
    plain, text = why(storage, job, capsys)
    (problem,) = plain["problems"]
    assert f"job.json: altered: its content gives the id {given}, its folder has the id {job}." in problem
    assert plain["fields"]["recipe.epochs"] == 2, "the manifest knows what the job is"
    assert text.startswith(problem)
    storage.folder.remove("campaigns/small/manifest.json")
    plain = why_plain(storage, job)
    assert plain["problems"] == [problem] and plain["fields"]["recipe.epochs"] == 9


def test_a_description_that_names_another_job_is_reported(storage):
    job, other = jobs_of(storage, "search")[:2]
    content = json.loads(storage.job(job).folder.read("job.json"))
    storage.job(job).folder.write("job.json", json.dumps(content | {"id": other}).encode())
    (problem,) = why_plain(storage, job)["problems"]
    assert f"gives the id {job} and names the id {other}, its folder has the id {job}." in problem


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not JSON"),
        (b"[]", "not the description of a job"),
        (b'{"kind": "dance"}', "not the description"),
    ],
)
def test_a_damaged_description_is_named(storage, capsys, content, message):
    job, other = jobs_of(storage, "train")[:2]
    storage.job(job).folder.write("job.json", content)
    plain = why_plain(storage, job)
    assert message in plain["problems"][0] and plain["fields"]["kind"] == "train"
    storage.folder.remove("campaigns/small/manifest.json")
    assert why_plain(storage, other)["nearest"]["job"] != job
    assert main(["campaign", "why", str(storage.folder), job]) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.out == ""


def test_another_revision_is_said(storage, capsys):
    job = jobs_of(storage, "search")[0]
    older = {**question(json.loads(storage.job(job).folder.read("job.json"))), "engine_revision": 0}
    storage.job(id_of(older)).describe({**older, "id": id_of(older)})
    plain, text = why(storage, id_of(older), capsys)
    assert plain["problems"] == [] and plain["nearest"]["job"] == job
    assert [item["field"] for item in plain["nearest"]["differences"]] == ["engine_revision"]
    assert "this release computes revision 1" in text


def test_an_unknown_job_is_refused(storage, capsys):
    assert main(["campaign", "why", str(storage.folder), "0000"]) == 2
    assert "none of the 8 jobs" in capsys.readouterr().err
