import json
import platform
import socket

import pytest
from local_s3 import address

from autoreid.errors import InputError
from autoreid.storage import Storage
from tune_runs import joining
from tune_runs.joining import find_cluster

HERE = platform.node()
NODE = {"id": "a" * 56, "host": HERE, "cpus": 4, "gpus": 0, "problem": None, "sees": True}
OTHER = {**NODE, "id": "b" * 56, "host": "node2", "gpus": 1}


@pytest.fixture
def port():
    """A port of this machine at which somebody listens who says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def survey(monkeypatch, tmp_path, port):
    """A function that looks at a cluster whose nodes are given; the cluster and the lines that were said."""

    def look(*nodes, error=None):
        answer = {"nodes": list(nodes)} if error is None else {"error": error}
        monkeypatch.setattr(joining, "SURVEY", f"print({json.dumps(answer)!r})")
        lines = []
        return find_cluster(f"127.0.0.1:{port}", Storage(tmp_path), [], lines.append), lines

    return look


@pytest.mark.parametrize("address", ["nonsense", "head:", ":6379", "head:six", "head:0", "ray://head:10001"])
def test_what_is_no_address_is_said_at_once(tmp_path, address):
    with pytest.raises(InputError, match="is not HOST:PORT or auto") as caught:
        find_cluster(address, Storage(tmp_path), [], print)
    assert str(caught.value).startswith(f"--address {address}: ")


def test_an_address_at_which_nobody_listens_is_said_at_once(tmp_path, port):
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    with pytest.raises(InputError, match=f"nobody answers at 127.0.0.1:{free}"):
        find_cluster(f"127.0.0.1:{free}", Storage(tmp_path), [], print)


def test_who_listens_and_is_no_cluster_is_not_waited_for_long(tmp_path, port, monkeypatch):
    monkeypatch.setattr(joining, "SURVEY", "import time; time.sleep(60)")
    monkeypatch.setattr(joining, "SURVEY_SECONDS", 0.2)
    with pytest.raises(InputError, match="no Ray cluster answered"):
        find_cluster(f"127.0.0.1:{port}", Storage(tmp_path), [], lambda line: None)
    assert list(tmp_path.iterdir()) == []


def test_auto_is_the_cluster_that_was_started_here(tmp_path, port, monkeypatch, survey):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    with pytest.raises(InputError, match="--address auto: no Ray cluster was started on this machine"):
        find_cluster("auto", Storage(tmp_path), [], print)
    survey(NODE)
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text(f"127.0.0.1:{port}\n")
    assert find_cluster("auto", Storage(tmp_path), [], lambda line: None).address == f"127.0.0.1:{port}"
    monkeypatch.setenv("RAY_ADDRESS", "elsewhere")
    with pytest.raises(InputError, match="'elsewhere' is not HOST:PORT"):
        find_cluster("auto", Storage(tmp_path), [], print)


def test_nodes_that_can_run_nothing_are_named_and_refused(survey):
    third = {**OTHER, "id": "c" * 56, "problem": "the worker imports other code"}
    cluster, lines = survey(NODE, OTHER, third)
    assert [node.name for node in cluster.usable] == [HERE, "node2 (bbbbbbbb)"]
    assert lines[1:] == ["node2 (cccccccc) is left out: the worker imports other code"]
    assert cluster.usable[1].machine.gpus == 1


def test_a_storage_that_some_nodes_do_not_see_leaves_these_out(survey, tmp_path):
    third = {**OTHER, "id": "c" * 56, "host": "node3", "sees": False}
    _, lines = survey(NODE, OTHER, third)
    assert lines[1].startswith(f"node3 is left out: it does not see the storage {tmp_path}")


def test_a_storage_of_this_machine_alone_is_refused(survey, tmp_path):
    with pytest.raises(InputError) as caught:
        survey(NODE, {**OTHER, "sees": False}, {**OTHER, "id": "c" * 56, "sees": False})
    assert str(caught.value).startswith(f"{tmp_path}: 2 nodes of the cluster do not see this storage, among")
    assert "node2" in str(caught.value) and "s3://bucket/prefix" in str(caught.value)


def test_where_no_node_is_left_each_is_named_with_its_reason(survey):
    with pytest.raises(InputError) as caught:
        survey({**NODE, "problem": "other code"}, {**OTHER, "problem": "no autoreid"})
    lines = [f"{HERE} can run no job: other code", "node2 can run no job: no autoreid"]
    assert list(caught.value.problems) == lines


def test_what_ray_says_is_passed_on(survey, monkeypatch, tmp_path, port):
    with pytest.raises(InputError, match=r"--address 127.0.0.1:\d+: Version mismatch"):
        survey(error="Version mismatch: Ray 2.59.0. Use the same Ray and Python in both places.")
    monkeypatch.setattr(joining, "SURVEY", "raise SystemExit('ImportError: no ray')")
    with pytest.raises(InputError, match="ImportError: no ray"):
        find_cluster(f"127.0.0.1:{port}", Storage(tmp_path), [], lambda line: None)


def test_nodes_are_told_the_whole_address_of_a_storage(s3_port, tmp_path, port, monkeypatch):
    echo = "import json, sys; print(json.dumps({'error': json.load(sys.stdin)['storage']}))"
    monkeypatch.setattr(joining, "SURVEY", echo)
    given = address(s3_port, tmp_path.name)
    with pytest.raises(InputError) as caught:
        find_cluster(f"127.0.0.1:{port}", Storage(given), [], lambda line: None)
    (problem,) = caught.value.problems
    told = Storage(problem.partition(f"{port}: ")[2])
    assert told.folder == Storage(given).folder
    assert told.folder.sizes() == {}  # the file that nodes look for is removed
