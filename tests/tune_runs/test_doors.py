"""Doors: what listens, and to whom; what a campaign file may name; where credentials may not get to."""

import argparse
import os
import socket

import pytest
from campaigns import FINGERPRINT, SMALL, fake_engine, small
from doors import beyond_loopback, holding, listening
from local_s3 import address

from autoreid.cli import main
from autoreid.errors import InputError
from autoreid.execution import Execution
from autoreid.folders import open_folder
from autoreid.storage import Storage
from tune_runs.campaign import read_campaign
from tune_runs.launch import run_plan
from tune_runs.planning import make_plan
from tune_runs.processes import descendants
from tune_runs.resources import Allotment
from tune_runs.scripting import SCRIPTS, add_scripts, cluster_script

SECRET = "marked-secret"
WITH_SECRETS = (
    f"s3://id:{SECRET}@bucket/prefix",
    f"s3://bucket/prefix?secret_key={SECRET}",
    f"s3://bucket/prefix?region=a&session_token={SECRET}",
    f"gs://{SECRET}@bucket/prefix",
)


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")])
def test_the_look_at_ports_sees_who_listens_to_the_network(family, host):
    here = os.getpid()
    before = listening([here])
    with socket.socket(family) as server:
        server.bind((host, 0))
        server.listen()
        assert listening([here]) - before == {host} == beyond_loopback([here]) - before
    with socket.create_server(("127.0.0.1", 0)):
        assert beyond_loopback([here]) == set()


@pytest.mark.ray
def test_a_launch_on_this_machine_listens_to_this_machine_alone(tmp_path, monkeypatch):
    # As where a program imports Ray before it launches.
    monkeypatch.delenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", raising=False)
    monkeypatch.setattr("ray._private.ray_constants.ENABLE_RAY_CLUSTER", True)
    plan, seen = make_plan(small("repeats=1", "arms={p: {genotype: cnet-top1}}"), FINGERPRINT), []

    def look(line):
        numbers = [os.getpid(), *descendants()]
        seen.append((line, listening(numbers), beyond_loopback(numbers)))

    allotment = Allotment(1, 0, 1, Execution(device="cpu", threads=1))
    assert run_plan(plan, Storage(tmp_path), allotment, fake_engine(), look).exit_code == 0
    while_it_runs = [(places, beyond) for line, places, beyond in seen if "done in" in line]
    assert while_it_runs == [({"127.0.0.1"}, set())]


@pytest.mark.parametrize("given", WITH_SECRETS)
def test_an_address_with_credentials_is_refused_and_never_said(given, tmp_path, capsys):
    (tmp_path / "own.yaml").write_text(SMALL)
    assert main(["campaign", "run", str(tmp_path / "own.yaml"), "--storage", given]) == 2
    said = capsys.readouterr()
    assert "s3://bucket/prefix" in said.err or "gs://bucket/prefix" in said.err
    assert SECRET not in said.err + said.out


@pytest.mark.parametrize("kind", SCRIPTS)
def test_no_script_holds_credentials(kind, tmp_path, monkeypatch):
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "RAY_AUTH_TOKEN"):
        monkeypatch.setenv(name, SECRET)
    (tmp_path / "own.yaml").write_text(SMALL)
    parser = argparse.ArgumentParser()
    add_scripts(parser.add_subparsers())

    def script(storage):
        given = ["script", kind, str(tmp_path / "own.yaml"), "--storage", storage]
        return cluster_script(parser.parse_args([*given, "--image", "registry/a:1", "--cpus", "8"]))

    assert SECRET not in script("s3://bucket/prefix?region=eu-west-1")
    for given in WITH_SECRETS:
        with pytest.raises(InputError) as caught:
            script(given)
        assert SECRET not in str(caught.value)


def test_what_a_store_says_of_credentials_holds_none(s3_port, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", SECRET)
    nowhere = address(s3_port, tmp_path.name).replace("results", "nowhere")
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()[1]
    for given in (nowhere, address(closed, "x").replace("results", "closed")):
        with pytest.raises(Exception) as caught:
            open_folder(given).write("a", b"1")
        shown, error = "", caught.value
        while error is not None:  # a traceback shows what it was raised from
            shown, error = shown + str(error) + repr(error), error.__cause__ or error.__context__
        assert "nowhere" in shown or "closed" in shown
        assert SECRET not in shown


def test_the_search_for_words_finds_them(tmp_path):
    folder = open_folder(tmp_path)
    folder.write("a/b.bin", b"\0" + SECRET.encode())
    folder.write(f"c/{SECRET}.txt", b"")
    folder.write("d", b"")
    assert holding(folder, [SECRET]) == ["a/b.bin", f"c/{SECRET}.txt"]


CODE = "__import__('os').mkdir('harm')"


@pytest.mark.parametrize(
    "text",
    [
        SMALL + "extra: !!python/object/apply:os.mkdir [harm]\n",
        SMALL + "extra: !!python/object/new:os.mkdir [harm]\n",
        SMALL + "extra: !!python/name:os.mkdir\n",
        SMALL + "extra: !!python/module:os\n",
        SMALL.replace("recipe: cdnet,", f'recipe: "{CODE}",'),
        SMALL.replace("cs-v1", f'"{CODE}"'),
        SMALL.replace("cs-v1", "os:mkdir"),
        SMALL.replace("{search: {space: cs-v1}}", f'{{genotype: "{CODE}"}}'),
        SMALL.replace("{search: {space: cs-v1}}", "{genotype: os.mkdir}"),
        SMALL.replace("epochs: 2", f'epochs: "{CODE}"'),
        SMALL.replace("epochs: 2", "epochs: 2, optimizer: {name: os.mkdir}"),
        SMALL.replace("set: rendered", "set: os.mkdir"),
        SMALL.replace("set: rendered", f'set: "{{{{ {CODE} }}}}"'),
    ],
)
def test_a_campaign_file_can_name_no_code(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        read_campaign(text, "own.yaml")
    assert list(tmp_path.iterdir()) == []
