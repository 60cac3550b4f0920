import json
import struct

import pytest
from campaigns import FINGERPRINT, SMALL, small
from local_s3 import address
from recorded import BEGIN, ROWS, attempt, jobs, planned_storage

from autoreid.attempts import Outcome
from autoreid.cli import main
from autoreid.errors import InputError, RunError
from autoreid.storage import Storage
from tune_runs.curves import FILE, curves_text, write_curves
from tune_runs.event_files import Step, crc32c, event_bytes
from tune_runs.manifest import save_manifest
from tune_runs.planning import make_plan


def events_in(data):
    """The events of a file, its checksums tested, by the messages of the package that comes with Ray."""
    from tensorboardX.crc32c import crc32c as other
    from tensorboardX.proto import event_pb2

    def masked(part):
        crc = other(part)
        return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF

    while data:
        head, (length,) = data[:8], struct.unpack("<Q", data[:8])
        event = data[12 : 12 + length]
        assert struct.unpack("<I", data[8:12]) == (masked(head),)
        assert struct.unpack("<I", data[12 + length : 16 + length]) == (masked(event),)
        yield event_pb2.Event.FromString(event)
        data = data[16 + length :]


def scalars(path):
    """Step, time and value of every number in a file, by name."""
    found = {}
    for event in list(events_in(path.read_bytes()))[1:]:
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, event.wall_time, value.simple_value))
    return found


def test_the_bytes_are_those_that_others_read():
    steps = [Step(1, 5.5, {"epoch/loss": 2.5}), Step(300, 7.0, {"epoch/loss": -1e39, "größe": 1})]
    head, *others = events_in(event_bytes(steps, 4.25))
    assert (head.wall_time, head.file_version) == (4.25, "brain.Event:2")
    assert [(event.step, event.wall_time) for event in others] == [(1, 5.5), (300, 7.0)]
    assert [(value.tag, value.simple_value) for value in others[0].summary.value] == [("epoch/loss", 2.5)]
    assert [value.tag for value in others[1].summary.value] == ["epoch/loss", "größe"]
    assert others[1].summary.value[0].simple_value == pytest.approx(-3.4e38)
    assert event_bytes(steps, 4.25) == event_bytes(steps, 4.25)
    assert crc32c(b"") == 0


@pytest.fixture
def storage(tmp_path):
    return planned_storage(tmp_path / "storage")


@pytest.fixture
def job():
    return jobs()[0]


def path_of(storage, run="small/a/search 1"):
    return storage.folder.root / "tensorboard" / run / FILE


def test_a_run_has_the_numbers_of_every_epoch(storage, job):
    attempt(storage, job, ROWS)
    assert write_curves(storage) == {
        "storage": str(storage.folder),
        "out": str(storage.folder.root / "tensorboard"),
        "runs": 1,
        "changed": 1,
    }
    found = scalars(path_of(storage))
    assert found["epoch/loss"] == [(1, BEGIN + 10, 2.5), (2, BEGIN + 40, 1.25), (3, BEGIN + 60, 0.5)]
    assert [(step, value) for step, _, value in found["epoch/accuracy"]] == [(2, 0.5), (3, 0.75)]
    assert set(found) == {"epoch/loss", "epoch/accuracy", "epoch/images", "machine/wall_seconds"}


def test_what_was_interrupted_and_continued_has_every_epoch_once(storage, job):
    first = attempt(storage, job, ROWS[:2])
    write_curves(storage)
    before = path_of(storage).read_bytes()
    assert write_curves(storage)["changed"] == 0
    second = attempt(storage, job, ROWS[:1])  # it continues from the checkpoint before
    assert write_curves(storage)["changed"] == 0
    second.write_records(ROWS)
    assert write_curves(storage)["changed"] == 1
    after = path_of(storage).read_bytes()
    assert after.startswith(before)
    assert [step for step, _, _ in scalars(path_of(storage))["epoch/loss"]] == [1, 2, 3]
    path_of(storage).write_bytes(after[:-5])  # cut by a full disk
    write_curves(storage)
    assert path_of(storage).read_bytes() == after
    first.write_records([row | {"loss": 9.0} for row in ROWS])
    scores = {"mAP": 0.25, "protocol": "all", "ok": True, "reranked": {"mAP": 0.5, "protocol": {"k1": 20}}}
    second.finish(Outcome("done", result={"evaluation": scores}))
    write_curves(storage)
    found = scalars(path_of(storage))
    assert [value for _, _, value in found["epoch/loss"]] == [2.5, 1.25, 0.5]
    assert [(step, value) for step, _, value in found["result/mAP"]] == [(3, 0.25)]
    assert [(step, value) for step, _, value in found["result/reranked_mAP"]] == [(3, 0.5)]
    assert {tag for tag in found if tag.startswith("result/")} == {"result/mAP", "result/reranked_mAP"}


def test_other_numbers_replace_the_file(storage, job):
    only = attempt(storage, job, ROWS)
    write_curves(storage)
    only.write_records([row | {"loss": 9.0} for row in ROWS[:2]])
    assert write_curves(storage)["changed"] == 1
    assert [value for _, _, value in scalars(path_of(storage))["epoch/loss"]] == [9.0, 9.0]


def test_what_has_no_epochs_yet_has_no_run(storage, job):
    attempt(storage, job, [])
    damaged = attempt(storage, job, ROWS)
    damaged.folder.write("records.jsonl", b"{broken")
    assert write_curves(storage)["runs"] == 0
    assert not (storage.folder.root / "tensorboard").exists()
    assert curves_text(write_curves(storage)).startswith("0 runs, 0 of them new or longer.")


def test_a_shared_job_is_a_run_of_each_arm_and_campaign(storage, job):
    text = SMALL.replace("name: small", "name: other").replace("  a:", "  a/b:")
    save_manifest(storage, make_plan(small("repeats=1", text=text), FINGERPRINT))
    attempt(storage, job, ROWS)
    assert write_curves(storage)["runs"] == 2
    other = path_of(storage, "other/a_b c14cddc0/search 1")
    assert other.read_bytes() == path_of(storage).read_bytes()
    assert write_curves(storage, campaigns=["other"])["runs"] == 1


def test_object_stores_are_read_and_folders_are_written(s3_port, tmp_path):
    storage = Storage(address(s3_port, tmp_path.name))
    save_manifest(storage, make_plan(small("repeats=1"), FINGERPRINT))
    attempt(storage, jobs()[0], ROWS)
    with pytest.raises(InputError, match="TensorBoard reads folders"):
        write_curves(storage)
    assert write_curves(storage, tmp_path / "logs")["runs"] == 1
    assert (tmp_path / "logs/small/a/search 1" / FILE).is_file()


def test_what_keeps_it_from_being_written_is_named(storage, job, tmp_path):
    with pytest.raises(InputError, match="no campaign in this folder"):
        write_curves(Storage(tmp_path / "empty"))
    with pytest.raises(InputError, match="no campaign 'smal'"):
        write_curves(storage, campaigns=["smal"])
    attempt(storage, job, ROWS)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot be written: Not a directory.*--out"):
        write_curves(storage, tmp_path / "file")


def test_the_command_takes_a_finished_campaign(storage, capsys):
    plan = make_plan(small("repeats=1"), FINGERPRINT)
    for planned in plan.jobs:
        attempt(storage, planned, ROWS).finish(Outcome("done"))
    assert main(["campaign", "tensorboard", str(storage.folder), "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["runs"] == plain["changed"] == len(plan.entries)
    assert main(["campaign", "tensorboard", str(storage.folder), "--campaign", "small"]) == 0
    assert "4 runs, 0 of them new or longer. Look at them: tensorboard --logdir" in capsys.readouterr().out
