"""What starts a campaign on a cluster. The cluster's own commands are replaced by small ones."""

import argparse
import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from autoreid.errors import InputError
from tune_runs.campaign import read_campaign, shipped_campaigns
from tune_runs.scripting import SCRIPTS, add_scripts, cluster_script

CAMPAIGN = """\
name: Own_campaign
data: {set: market1501, root: /datasets}
repeats: 1
search: {recipe: cdnet}
train: {recipe: cdnet}
arms: {found: {search: {space: cds-v1}}}
"""
IMAGE = ("--image", "registry/autoreid:1", "--cpus", "8")


def script(*arguments: str, storage: str = "s3://bucket/prefix") -> str:
    parser = argparse.ArgumentParser()
    add_scripts(parser.add_subparsers())
    return cluster_script(parser.parse_args(["script", *arguments, "--storage", storage]))


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own campaign.yaml"
    path.write_text(CAMPAIGN)
    return str(path)


def launch_words(kind: str, text: str) -> list[str]:
    """The words after `autoreid` of the launch that a script holds."""
    if kind == "kuberay":
        words = shlex.split(list(yaml.safe_load_all(text))[1]["spec"]["entrypoint"])
        assert words[0] == "autoreid"
        return words[1:]
    (line,) = (line for line in text.splitlines() if "campaign run" in line and not line.startswith("#"))
    words = shlex.split(line.removesuffix(" &"))
    return words[words.index("campaign") :]


@pytest.mark.parametrize("kind", SCRIPTS)
@pytest.mark.parametrize("campaign", ["own", *shipped_campaigns()])
def test_every_script_launches_the_campaign_that_was_asked_for(kind, campaign, own):
    extra = () if campaign in ("own", "demo") else ("--set", "execution.device=cpu")
    text = script(kind, own if campaign == "own" else campaign, *IMAGE, *extra)
    words = launch_words(kind, text)
    assert words[:2] == ["campaign", "run"]
    assert words[3 : 7 + len(extra)] == ["--storage", "s3://bucket/prefix", "--address", "auto", *extra]
    rest = words[7 + len(extra) :]
    assert rest[::2] == ["--set"] * (len(rest) // 2) and all(".root=/" in word for word in rest[1::2])
    assert not rest or kind in ("kuberay", "ray-job")
    if kind == "kuberay":
        config, _ = yaml.safe_load_all(text)
        (name,) = config["data"]
        assert words[2] == f"/campaign/{name}"
        assert read_campaign(config["data"][name]).arms
    elif kind != "ray-job":
        assert words[2] == (own if campaign == "own" else campaign)
    if kind != "kuberay":
        subprocess.run(["bash", "-n"], input=text, text=True, check=True)


def stand_in(folder: Path, name: str, text: str) -> None:
    """A command of this name in a folder of commands."""
    (folder / name).write_text(f"#!/bin/bash\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Commands of Slurm and of Ray that do nothing but run what they are given, here."""
    folder = tmp_path / "bin"
    folder.mkdir()
    stand_in(folder, "scontrol", f'echo "$@" >> {tmp_path}/scontrol; [ "$1" = show ] && echo node1; true')
    # Another session: on a cluster no signal to the script reaches what srun has started.
    stand_in(folder, "srun", 'while [ "$1" != -- ]; do shift; done; shift; exec setsid --wait "$@"')
    stand_in(folder, "ray", f'echo "ray $@" >> {tmp_path}/ray')
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "41")
    monkeypatch.setenv("SLURM_NNODES", "2")
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "8")
    monkeypatch.setenv("SLURM_JOB_NODELIST", "node[1-2]")
    return tmp_path


def said(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@pytest.mark.parametrize(("code", "again"), [(0, False), (1, False), (75, True)])
def test_a_slurm_job_is_queued_again_where_its_launch_was_interrupted(code, again, cluster, own):
    stand_in(cluster / "bin", "autoreid", f'printf "%s\\n" "$@" > {cluster}/launch; exit {code}')
    (cluster / "job.sh").write_text(script("slurm", own, "--nodes", "2"))
    done = subprocess.run(["bash", str(cluster / "job.sh")], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (code, "")
    assert said(cluster / "launch").splitlines()[2] == own  # a name with a space
    assert ("requeue 41" in said(cluster / "scontrol")) == again


def test_a_slurm_job_whose_time_is_nearly_over_asks_its_launch_to_stop(cluster, own):
    waits = f"trap 'exit 75' TERM; touch {cluster}/started; while :; do sleep 0.05; done"
    stand_in(cluster / "bin", "autoreid", waits)
    (cluster / "job.sh").write_text(script("slurm", own))
    job = subprocess.Popen(["bash", str(cluster / "job.sh")])
    deadline = time.monotonic() + 60
    while not (cluster / "started").exists():
        assert job.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    job.send_signal(signal.SIGTERM)
    assert job.wait(60) == 75
    assert "requeue 41" in said(cluster / "scontrol")


@pytest.mark.parametrize(("argument", "code"), [("first", 75), ("10.0.0.5:6379", 0), ("second", 2)])
def test_plain_machines_start_ray_and_the_first_one_launches(argument, code, cluster, own):
    stand_in(cluster / "bin", "autoreid", "exit 75")
    (cluster / "start.sh").write_text(script("machines", own, "--gpus", "2"))
    done = subprocess.run(["sh", str(cluster / "start.sh"), argument], capture_output=True, timeout=60)
    assert done.returncode == code
    calls = said(cluster / "ray").splitlines()
    if argument == "first":
        assert calls[0].startswith("ray start --head") and calls[0].endswith("--num-gpus=2")
        assert calls[1:] == ["ray stop"]
    elif code == 0:
        assert calls == ["ray start --address 10.0.0.5:6379 --block --num-gpus=2"]
    else:
        assert not calls


def test_a_ray_job_brings_its_campaign_and_no_line_of_it_is_a_command(cluster, tmp_path):
    hostile = tmp_path / "hostile.yaml"
    lines = ["END_", "END_OF_FILE", "EOF", "$(touch harm)", "`touch harm`"]
    hostile.write_text(CAMPAIGN + "".join(f"# {line}\n# \n" for line in lines))
    stand_in(
        cluster / "bin", "ray", f'while [ "$1" != --working-dir ]; do shift; done; cp -r "$2" {cluster}/dir'
    )
    (cluster / "job.sh").write_text(script("ray-job", str(hostile)))
    subprocess.run(["sh", str(cluster / "job.sh")], cwd=tmp_path, check=True, timeout=60)
    assert said(cluster / "dir" / "campaign.yaml") == hostile.read_text()
    assert not (tmp_path / "harm").exists()
    # The line that ends it is known by nobody who writes the campaign.
    end = next(line for line in script("ray-job", str(hostile)).splitlines() if line.startswith("cat >"))
    assert len(end.partition("<< 'END_")[2]) == 65


def test_all_mistakes_are_told_at_once(own):
    with pytest.raises(InputError) as caught:
        script("slurm", own, "--nodes", "0", "--gpus", "-1", "--time", "soon", storage="results")
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "--nodes",
        "--gpus",
        "--time",
        "--storage",
    ]
    with pytest.raises(InputError) as caught:
        script("kuberay", own, storage="/shared")
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "--storage",
        "--image",
        "--cpus",
    ]


def test_a_campaign_that_travels_knows_its_folders(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(CAMPAIGN.replace("/datasets", "sets/market"))
    text = script("kuberay", str(path), *IMAGE)
    assert f"data.root={tmp_path}/sets/market" in launch_words("kuberay", text)
    assert f'mountPath: "{tmp_path}/sets/market"' in text
    there = CAMPAIGN.replace("cds-v1}}", "cds-v1}, trained_on: duke}")
    path.write_text(there + "data_sets: {duke: {set: dukemtmc, root: /other}}\n")
    with pytest.raises(InputError, match="no folder in common"):
        script("kuberay", str(path), *IMAGE)
