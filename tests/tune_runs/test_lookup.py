import pytest
from campaigns import FINGERPRINT, small

from autoreid.errors import InputError
from autoreid.storage import Storage
from tune_runs.lookup import find_job, readable_manifests
from tune_runs.manifest import save_manifest
from tune_runs.planning import make_plan


@pytest.fixture
def storage(tmp_path):
    storage = Storage(tmp_path)
    for job in ("abcd1", "abcd2", "abce" + "0" * 28):
        storage.job(job).folder.write("job.json", b"{}")
    return storage


@pytest.mark.parametrize("given", ["abce", " ABCE0 ", "abce" + "0" * 28])
def test_a_job_is_found_by_its_first_digits(storage, given):
    assert find_job(storage, given) == "abce" + "0" * 28


def test_a_planned_job_is_found_before_it_has_a_folder(storage):
    plan = make_plan(small(), FINGERPRINT)
    save_manifest(storage, plan)
    assert [find_job(storage, job_id[:12]) for job_id in plan.jobs] == list(plan.jobs)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("abcd", "job 'abcd': 2 jobs begin with it: abcd1, abcd2. Give more digits."),
        ("1234", "job '1234': none of the 3 jobs of {folder} begins with it."),
        ("abc", "job 'abc': not the beginning of a job's id. Give 4 to 32 digits of 0-9 and a-f."),
        ("search", "job 'search': not the beginning"),
        ("a" * 33, "not the beginning"),
    ],
)
def test_other_prefixes_are_refused_with_a_remedy(storage, given, message):
    with pytest.raises(InputError) as caught:
        find_job(storage, given)
    assert message.format(folder=storage.folder) in str(caught.value)


def test_a_damaged_manifest_is_named_only_where_nothing_is_found(storage):
    save_manifest(storage, make_plan(small(), FINGERPRINT))
    storage.folder.write("campaigns/small/manifest.json", b"{")
    manifests, problems = readable_manifests(storage)
    assert manifests == {} and "not JSON" in problems[0]
    assert find_job(storage, "abce") == "abce" + "0" * 28
    with pytest.raises(InputError, match="not JSON"):
        find_job(storage, "1234")


def test_a_storage_of_a_newer_release_is_refused(storage):
    storage.folder.write("storage.json", b'{"version": 99}')
    with pytest.raises(InputError, match="version 99"):
        find_job(storage, "abce")
