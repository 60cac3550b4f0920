"""Teachers of campaigns: what is planned, what is refused, and KDAS-ReID's Table 1 in small."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from campaigns import FINGERPRINT
from disturbed import wait_until
from test_selection_launch import autoreid

from analysis.tables import read
from autoreid.distilling import distils
from autoreid.errors import InputError
from autoreid.feed import PreparedData
from autoreid.model_files import pack_model
from autoreid.models.assembly import build_network
from autoreid.published import CDNET_TRAIN
from autoreid.storage import Storage
from search_spaces.published import PUBLISHED
from tune_runs.campaign import Campaign, load_campaign, read_campaign
from tune_runs.overview import plan_plain
from tune_runs.plan_words import plan_text
from tune_runs.planning import Plan, make_plan
from tune_runs.teachers import check_teachers, provide_teachers

SMALL = Path(__file__).with_name("kdas_small.yaml")
TEXT = """\
name: small
data: rendered
repeats: 2
search: {recipe: kdas}
train: {recipe: kdas}
teacher: T
arms:
  T: {genotype: resnet18, train: {recipe: kdas-teacher}}
  kdas: {search: {}}
  plain: {genotype: cnet-top1, train: {recipe: cdnet}}
"""


def read_text(text: str = TEXT, *settings: str, folder: Path | None = None) -> Campaign:
    return read_campaign(text, "small.yaml", folder, settings)


def planned(text: str = TEXT) -> Plan:
    return make_plan(read_text(text), FINGERPRINT)


def test_a_teacher_is_trained_once_and_before_those_that_it_guides() -> None:
    plan = planned()
    assert [(entry.arm, entry.repeat, entry.kind) for entry in plan.entries] == [
        ("T", 0, "train"),
        ("kdas", 0, "search"),
        ("kdas", 0, "train"),
        ("plain", 0, "train"),
        ("kdas", 1, "search"),
        ("kdas", 1, "train"),
        ("plain", 1, "train"),
    ]
    teacher, search, train, plain = (plan.jobs[entry.job] for entry in plan.entries[:4])
    assert (teacher.needs, search.needs, train.needs) == ((), (teacher.id,), (search.id, teacher.id))
    assert plain.teacher is None and plain.needs == ()
    assert "taught by T, which is trained once: kdas\n" in plan_text(plan_plain(plan, None, None))


def test_every_kind_of_job_that_distils_has_its_teacher() -> None:
    text = TEXT + (
        "  random: {random: {space: reid-v1, budget: search}}\n"
        "select: {rule: retrain, train: {objective.temperature.until: 19}}\ntrained: best\ntrainings: 2\n"
    )
    plan = planned(text)
    teacher = plan.entries[0].job
    kinds = {job.kind for job in plan.jobs.values() if job.teacher == teacher}
    assert kinds == {"search", "random-search", "select", "train"}
    assert all((job.teacher is None) != distils(job.recipe) for job in plan.jobs.values())
    assert sum(entry.arm == "T" for entry in plan.entries) == 1


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("teacher: T\n", ""), "8: arms.kdas.teacher: missing, and the objective distils. Name an arm"),
        (
            ("teacher: T\n", "teacher: Tt\n"),
            "6: teacher: 'Tt' is no arm, no file and no folder of a training. Arms: T, plain.",
        ),
        (
            ("teacher: T\n", "teacher: ''\n"),
            "6: teacher: '' is no arm, no file and no folder of a training. Arms: T, plain.",
        ),
        (("{search: {}}", "{search: {}, teacher: kdas}"), "9: arms.kdas.teacher: 'kdas' trains no genotype"),
        (("recipe: kdas-teacher", "recipe: kdas"), "6: teacher: 'T' learns from a teacher itself."),
        (
            ("{recipe: cdnet}}", "{recipe: cdnet}, teacher: T}"),
            "10: arms.plain.teacher: nothing is distilled.",
        ),
        (("  kdas: {search: {}}\n", ""), "6: teacher: no arm distils. Remove it."),
        (
            ("{search: {}}", "{search: {objective.temperature: {end: 3}}}"),
            "9: arms.kdas.search.objective.temperature.end: 3, but the temperature falls from 2.",
        ),
        (
            ("{search: {}}", "{search: {epochs: 100}}"),
            "9: arms.kdas.search.objective.temperature.until: 190, but the last of 100 epochs, counted",
        ),
        (
            ("repeats: 2", "repeats: 2\ngrid: {pretrain.epochs: [32, 64]}"),
            "4: grid.pretrain.epochs: no arm has a pretrain. Remove the axis.",
        ),
    ],
)
def test_mistakes_name_their_place_and_remedy(change: tuple[str, str], problem: str) -> None:
    with pytest.raises(InputError) as caught:
        read_text(TEXT.replace(*change))
    assert any(text.startswith(f"small.yaml:{problem}") for text in caught.value.problems), (
        caught.value.problems
    )


def test_the_grid_is_over_students() -> None:
    grid = "grid: {train.height: [256, 384]}\n"
    campaign = read_text(TEXT + grid)
    assert [(arm.name, arm.teacher) for arm in campaign.arms] == [
        ("T", None),
        *((f"kdas, height={height}", "T") for height in (256, 384)),
        *((f"plain, height={height}", None) for height in (256, 384)),
    ]
    assert campaign.arms[0].train is not None and campaign.arms[0].train.height == 384
    plan = make_plan(campaign, FINGERPRINT)
    assert plan.jobs[plan.entries[0].job].recipe == campaign.arms[0].train
    own = TEXT.replace("teacher: T\n", "").replace("{search: {}}", "{search: {}, teacher: T}") + grid
    assert [arm.name for arm in read_text(own).arms] == [arm.name for arm in campaign.arms]


def test_an_axis_that_teachers_alone_have_is_refused() -> None:
    text = TEXT.replace("train: {recipe: kdas}\n", "train: false\n").replace(
        "train: {recipe: cdnet}", "search: {}"
    )
    with pytest.raises(InputError, match=r"grid\.train\.height: no arm has a train\. Remove the axis\."):
        read_text(text.replace("{genotype: cnet-top1, ", "{") + "grid: {train.height: [256, 384]}\n")


def test_a_file_can_teach(tmp_path: Path, small_data: PreparedData) -> None:
    network = PUBLISHED["cnet-top1"]
    model = build_network(network, CDNET_TRAIN.neck, 8, CDNET_TRAIN.macro)
    content = pack_model(model, CDNET_TRAIN, network, small_data.identity_order, small_data.fingerprint)
    (tmp_path / "model.pt").write_bytes(content)
    campaign = read_text(TEXT.replace("teacher: T\n", "teacher: model.pt\n"), folder=tmp_path)
    by_folder = read_text(TEXT.replace("teacher: T\n", "teacher: .\n"), folder=tmp_path)
    assert (by_folder.arms, by_folder.weights) == (campaign.arms, campaign.weights)
    plan = make_plan(campaign, small_data.fingerprint)
    check_teachers(plan, {"rendered": small_data.index})
    assert f"\ntaught by {tmp_path / 'model.pt'}: kdas\n" in plan_text(plan_plain(plan, None, None))
    taught = [job for job in plan.jobs.values() if job.teacher]
    assert {job.teacher for job in taught} == set(campaign.weights) and taught[0].needs == ()
    storage = Storage(tmp_path / "storage")
    provide_teachers(plan, storage.folder)
    (name,) = storage.folder.sizes("weights/")
    assert storage.folder.read(name) == content
    with pytest.raises(InputError, match=r"model\.pt: the teacher was trained on other data"):
        check_teachers(make_plan(campaign, FINGERPRINT), {"rendered": small_data.index})
    (tmp_path / "model.pt").unlink()
    for check in (
        lambda: check_teachers(plan, {"rendered": small_data.index}),
        lambda: provide_teachers(plan, Storage(tmp_path / "other").folder),
    ):
        with pytest.raises(InputError, match=r"^teacher: .*model\.pt: cannot be read .* the model\.pt of a"):
            check()
    (tmp_path / "model.pt").write_bytes(b"another")
    for given in ("model.pt", "."):
        with pytest.raises(InputError, match=r"^small\.yaml:6: teacher: /.*model\.pt"):
            read_text(TEXT.replace("teacher: T\n", f"teacher: {given}\n"), folder=tmp_path)


def test_a_teacher_that_may_not_be_looked_at_is_named_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(path: Path) -> bool:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "is_dir", closed)
    with pytest.raises(InputError, match=r"^small\.yaml:6: teacher: /.*taught: cannot be read \(Permission"):
        read_text(TEXT.replace("teacher: T\n", "teacher: taught\n"), folder=tmp_path)


def test_a_file_that_cannot_teach_on_one_of_several_sets_is_named_with_it(
    tmp_path: Path, small_data: PreparedData
) -> None:
    network = PUBLISHED["cnet-top1"]
    model = build_network(network, CDNET_TRAIN.neck, 8, CDNET_TRAIN.macro)
    content = pack_model(model, CDNET_TRAIN, network, small_data.identity_order, small_data.fingerprint)
    (tmp_path / "model.pt").write_bytes(content)
    text = TEXT.replace("teacher: T\n", "teacher: model.pt\n")
    text = text.replace("arms:", "data_sets: {others: {set: rendered, seed: 5}}\narms:")
    text = text.replace("kdas: {search: {}}", "kdas: {search: {}, trained_on: [rendered, others]}")
    plan = make_plan(read_text(text, folder=tmp_path), small_data.fingerprint, others={"others": FINGERPRINT})
    with pytest.raises(
        InputError, match=r"^others: .*model\.pt: the teacher was trained on other data"
    ) as caught:
        check_teachers(plan, {"rendered": small_data.index, "others": small_data.index})
    assert len(caught.value.problems) == 1


def test_a_file_that_knows_fewer_identities_is_refused_when_it_is_planned(
    tmp_path: Path, small_data: PreparedData
) -> None:
    network, order = PUBLISHED["cnet-top1"], small_data.identity_order
    model = build_network(network, CDNET_TRAIN.neck, len(order) - 1, CDNET_TRAIN.macro)
    content = pack_model(model, CDNET_TRAIN, network, order[1:], small_data.fingerprint)
    (tmp_path / "model.pt").write_bytes(content)
    campaign = read_text(TEXT.replace("teacher: T\n", "teacher: model.pt\n"), folder=tmp_path)
    with pytest.raises(InputError, match=rf"does not know 1 of 8 identities \({order[0]}\)"):
        check_teachers(make_plan(campaign, small_data.fingerprint), {"rendered": small_data.index})


def test_the_campaign_in_the_documentation_is_valid() -> None:
    page = Path(__file__).parents[2] / "docs" / "teachers.md"
    (example,) = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    arms = {arm.name: arm for arm in read_text("name: small\ndata: rendered\n" + example).arms}
    assert {name: arm.teacher for name, arm in arms.items()} == {
        "Teacher": None,
        "ResNet-18": "Teacher",
        "KDAS": "Teacher",
        "CDNet under a teacher": "Teacher",
    }
    top_k = arms["CDNet under a teacher"].search
    assert top_k is not None and (top_k.space, top_k.k) == ("cds-v1", 2) and distils(top_k)


def test_the_shipped_campaigns() -> None:
    table, grid = (make_plan(load_campaign(name), FINGERPRINT) for name in ("kdas_table1", "kdas_t0"))
    counts = [[plan.count(kind) for kind in ("search", "random-search", "train")] for plan in (table, grid)]
    assert counts == [[16, 4, 73], [24, 0, 25]]
    for plan in (table, grid):
        assert len({job.teacher for job in plan.jobs.values() if job.teacher}) == 1
    arms = {arm.name: arm for arm in table.campaign.arms}
    given = [name for name, arm in arms.items() if arm.genotype and arm.teacher]
    assert len(given) == 5
    for name in given:
        own = arms[f"{name}, own"]
        assert (own.genotype, own.teacher) == (arms[name].genotype, None)
        assert own.train is not None and own.train.objective.cross_entropy == 1


@pytest.mark.ray
@pytest.mark.slow
def test_table_1_in_small_from_the_teacher_to_the_report(tmp_path: Path) -> None:
    run = ["campaign", "run", str(SMALL), "--storage", "storage", "--quiet"]
    summary = autoreid(tmp_path, *run, "--rehearse")
    assert (summary["ran"], summary["exit_code"]) == (12, 0)  # the ResNet-18 is the teacher's job
    autoreid(tmp_path, "report", "storage")
    epochs = read(tmp_path / "storage", "epochs")
    for arm, temperatures in {"Dynamic Temperature": [2, 0], "Distillation": [2, 2]}.items():
        assert (
            epochs[(epochs["arm"] == arm) & (epochs["kind"] == "search")]["temperature"].tolist()
            == temperatures
        )
    for name in ("temperature", "alpha_temperature"):
        assert epochs[epochs["arm"] == "Teacher"][name].isna().all()
    scores = read(tmp_path / "storage", "retrains").set_index("arm")["teacher"]
    assert scores["Dynamic Temperature"] == "Teacher" and scores[["Teacher", "Baseline"]].isna().all()
    report = (tmp_path / "storage/report/report.md").read_text()
    assert "| Teacher | 1 of 1 |" in report and "Top-2 under a teacher" in report
    assert "has seen the images that searches and selections held out" in report
    assert autoreid(tmp_path, *run)["reused"] == 12


@pytest.mark.ray
@pytest.mark.slow
def test_a_teacher_that_is_killed_fails_its_dependants_and_is_trained_once(tmp_path: Path) -> None:
    text = SMALL.read_text().replace("reuse_processes: true", "retries: 0, max_parallel: 1")
    for arm in (
        "Distillation",
        "Dynamic Temperature, literal",
        "Top-2 under a teacher",
        "Random, ReID space",
    ):
        text = without(text, arm)
    (tmp_path / "kdas.yaml").write_text(text)
    command = [str(Path(sys.executable).parent / "autoreid"), "campaign", "run", "kdas.yaml"]
    command += ["--storage", "storage", "--quiet", "--json"]
    storage = Storage(tmp_path / "storage")
    first = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    wait_until(lambda: storage.campaigns())
    entries = storage.read_manifest("kdas-small")["entries"]
    teacher = next(entry["job"] for entry in entries if entry["arm"] == "Teacher")
    wait_until(lambda: storage.job(teacher).holder())
    holder = storage.job(teacher).holder()
    assert holder is not None
    os.kill(holder.pid, signal.SIGKILL)
    answer = json.loads(first.communicate(timeout=240)[0])
    assert first.returncode == 1 and set(answer["failed"]) == {teacher}
    assert set(answer["skipped"].values()) >= {f"needs job {teacher}, which failed"}
    # The ResNet-18 is the teacher's network under its recipe: one job, which failed for both.
    assert (answer["ran"], len(answer["skipped"])) == (2, 2)
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=True)
    assert (json.loads(again.stdout)["ran"], json.loads(again.stdout)["reused"]) == (3, 2)
    assert len(storage.job(teacher).attempts()) == 2


def without(text: str, arm: str) -> str:
    """The campaign without an arm."""
    lines = text.splitlines(keepends=True)
    begin = next(place for place, line in enumerate(lines) if line.startswith(f"  {arm}:"))
    end = next((p for p in range(begin + 1, len(lines)) if not lines[p].startswith("   ")), len(lines))
    return "".join(lines[:begin] + lines[end:])
