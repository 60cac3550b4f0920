import re
from pathlib import Path

import pytest

from autoreid.errors import InputError
from autoreid.published import CDNET_SEARCH, CDNET_TRAIN, SELECT_RECIPES
from search_spaces.published import PUBLISHED
from tune_runs.campaign import load_campaign, read_campaign, shipped_campaigns
from tune_runs.protocol import Protocol, Seeds

HEAD = """\
# What it shows.
#
# Cost: little.
name: small
data: rendered
search: {recipe: cdnet, epochs: 3}
train: {recipe: cdnet}
"""
ARM = "\narms: {a: {search: {}}}"


def problems_of(text, settings=(), folder=None):
    with pytest.raises(InputError) as caught:
        read_campaign(text, "c.yaml", folder, settings)
    return caught.value.problems


def test_defaults_and_arms_become_recipes():
    text = HEAD + (
        "arms:\n"
        "  a: {search: {space: cs-v1, optimizer: {learning_rate: 1e-3}, optimizer.momentum: 0.5}}\n"
        "  b: {genotype: cdnet-top2, train: {epochs: 7}}\n"
        "  c: {search: {}, train: false}\n"
    )
    campaign = read_campaign(text, "c.yaml")
    a, b, c = campaign.arms
    assert campaign.claim == "What it shows.\n\nCost: little."
    assert (campaign.name, campaign.protocol) == ("small", Protocol())
    assert campaign.text == text
    assert a.search is not None and a.search.space == "cs-v1" and a.search.epochs == 3
    assert (a.search.optimizer.learning_rate, a.search.optimizer.momentum) == (1e-3, 0.5)
    assert a.search.optimizer.schedule == CDNET_SEARCH.optimizer.schedule
    assert a.train == CDNET_TRAIN
    assert b.search is None and b.genotype == PUBLISHED["cdnet-top2"]
    assert b.train is not None and b.train.epochs == 7
    assert c.search is not None and c.train is None


def test_three_mistakes_are_reported_together_with_their_lines():
    text = HEAD + ("repeats: 0\narms:\n  cds:\n    search:\n      space: cds-v2\n      epohcs: 5\n")
    assert [problem.split(". ")[0] for problem in problems_of(text)] == [
        "c.yaml:8: repeats: 0 is too small",
        "c.yaml:12: arms.cds.search.space: no space 'cds-v2'",
        "c.yaml:13: arms.cds.search.epohcs: no field 'epohcs'",
    ]
    assert "Did you mean 'cds-v1'? Known: base-v1, cds-std-v1, cds-v1, cs-v1" in problems_of(text)[1]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("baselin: a" + ARM, "8: baselin: no field 'baselin'. Did you mean 'baseline'?"),
        ("baseline: b" + ARM, "8: baseline: no arm 'b'."),
        ("arms: {}", "8: arms: empty. Write at least one arm"),
        ("arms: {a: {}}", "8: arms.a: has neither a search nor a genotype."),
        ("arms: {a: 5}", "8: arms.a: 5 is not a group"),
        ("arms: {a: }", "8: arms.a: missing. Write 'search: {...}'"),
        ("arms: {a: {search: {}, genotype: cnet-top1}}", "8: arms.a: has a search and a genotype."),
        ("arms: {a: {genotype: cnet-top1, train: false}}", "8: arms.a: has nothing to do"),
        ("arms: {a: {genotype: cnet-top9}}", "8: arms.a.genotype: no genotype 'cnet-top9'. Did you mean"),
        ("arms: {a: {search: {k: 7, space: cs-v1}}}", "8: arms.a.search.k: 7 branches, but cs-v1 has 6."),
        ("arms: {a: {search: {recipe: cdnett}}}", "8: arms.a.search.recipe: no recipe 'cdnett'."),
        ("arms: {a: {search: {optimizer: sgd}}}", "8: arms.a.search.optimizer: 'sgd' is not a group"),
        ("arms: {a: {search: 5}}", "8: arms.a.search: 5 is not a group of fields."),
        (
            "arms: {a: {genotype: resnet18, train: {channels: 16}}}",
            "8: arms.a.train.channels: 16, but networks of resnet-v1 have none.",
        ),
        (
            "arms: {a: {genotype: darts-v2-net, train: {width_multiplier: 0.5}}}",
            "8: arms.a.train.width_multiplier: 0.5, but networks of darts8-v1 have none.",
        ),
        (
            "arms: {a: {search: {objective: {distillation: 1, temperature.name: constant}}}}",
            "8: arms.a.teacher: missing, and the objective distils.",
        ),
        (
            "arms: {a: {search: {objective: {triplet: 0, cross_entropy: 0}}}}",
            "8: arms.a.search.objective.triplet: every weight is 0",
        ),
        ("execution: {devise: cpu}" + ARM, "8: execution.devise: no field 'devise'."),
        ("execution: {max_parallel: 0}" + ARM, "8: execution.max_parallel: 0 is too"),
        ("repeats: true" + ARM, "8: repeats: True is not a whole number."),
        ("repeats: 1001" + ARM, "8: repeats: 1001 is too large. Use 1000 or less."),
        (f"seed: {2**63}" + ARM, f"8: seed: {2**63} is too large. Use {2**63 - 1} or less."),
        ("seed: -1" + ARM, "8: seed: -1 is too small."),
        ("execution: {device: gpu}" + ARM, "8: execution.device: no device 'gpu'. "),
        ("arms: {'': {search: {}}}", "8: arms: '' is not a name."),
        ("arms: {\"a\\nb\": {search: {}}}", "8: arms: 'a\\nb' is not a name."),
        (f"arms: {{{'a' * 81}: {{search: {{}}}}}}", f"8: arms: '{'a' * 81}' is not a name."),
        (
            "grid: {search.optimizer.learning_rate: [1e-3, 0.001]}" + ARM,
            "8: grid.search.optimizer.learning_rate: two points of the grid are the same.",
        ),
        ("grid: {q: [1]}" + ARM, "8: grid.q: an axis is a field of search, pretrain or train"),
        ("grid: {search.k: 1}" + ARM, "8: grid.search.k: 1 is not a list of values."),
        ("grid: {search.k: [1, 1]}" + ARM, "8: grid.search.k: a value is listed twice."),
        ("grid: {search.q: [1]}" + ARM, "8: grid.search.q: no field 'q'."),
        ("grid: {search.k: [99]}" + ARM, "8: grid.search.k: 99 branches"),
        ("grid: {search.k: [1]}\narms: {a: {genotype: cnet-top1}}", "8: grid.search.k: no arm has a search."),
        (
            "grid: {search.k: [1]}\narms: {a: {search: {k: 2}}}",
            "9: arms.a.search.k: is an axis of the grid too.",
        ),
        (
            "grid: {search.k: [1]}\narms: {a: {search: {}}, 'a, k=1': {genotype: cnet-top1}}",
            "9: arms: two arms are named 'a, k=1'.",
        ),
    ],
)  # fmt: skip
def test_a_mistake_names_its_place_and_remedy(text, problem):
    found = problems_of(HEAD + text)
    assert len(found) == 1
    assert found[0].startswith(f"c.yaml:{problem}")


def test_a_misspelt_recipe_hides_no_other_mistake():
    found = problems_of(HEAD + "arms:\n  a:\n    search:\n      recipe: cdnett\n      epohcs: 5\n")
    assert [problem.split("'")[0] for problem in found] == [
        "c.yaml:11: arms.a.search.recipe: no recipe ",
        "c.yaml:12: arms.a.search.epohcs: no field ",
    ]


def test_axes_are_named_by_the_values_that_recipes_hold():
    text = HEAD + "grid: {train.optimizer.learning_rate: [1e-3, '0.5']}\narms: {a: {genotype: cnet-top1}}"
    arms = read_campaign(text).arms
    assert [arm.name for arm in arms] == ["a, learning_rate=0.001", "a, learning_rate=0.5"]
    assert [arm.network for arm in arms] == ["cnet-top1"] * 2


def test_what_must_be_there_is_asked_for():
    assert [problem.split(".")[1].split(":", 1)[1] for problem in problems_of("arms: {a: {search: {}}}")] == [
        "1: arms",
        "1: arms",
        " name: missing",
        " data: missing",
    ]


def test_mistakes_in_data_have_lines():
    text = (
        HEAD.replace("rendered", "\n  set: rendered\n  identities: 1\n  root: x") + "arms: {a: {search: {}}}"
    )
    assert [problem.split(" ")[0:2] for problem in problems_of(text)] == [
        ["c.yaml:7:", "data.identities:"],
        ["c.yaml:8:", "data.root:"],
    ]


def test_grid_crosses_the_arms_that_have_the_field():
    text = HEAD + (
        "baseline: a, k=2, epochs=9\n"
        "grid:\n  search.k: [2, all]\n  train.epochs: [8, 9]\n"
        "arms:\n  a: {search: {}}\n  b: {genotype: cnet-top1}\n  c: {search: {}, train: false}\n"
    )
    arms = {arm.name: arm for arm in read_campaign(text, "c.yaml").arms}
    assert list(arms) == [
        "a, k=2, epochs=8",
        "a, k=2, epochs=9",
        "a, k=all, epochs=8",
        "a, k=all, epochs=9",
        "b, epochs=8",
        "b, epochs=9",
        "c, k=2",
        "c, k=all",
    ]
    chosen = arms["a, k=all, epochs=9"]
    assert chosen.search is not None and chosen.train is not None
    assert (chosen.search.k, chosen.search.epochs, chosen.train.epochs) == ("all", 3, 9)


def test_axes_with_one_last_name_are_told_apart_by_their_whole_names():
    text = HEAD + "grid: {search: {epochs: [1]}, train: {epochs: [2]}}\narms: {a: {search: {}}}"
    assert [arm.name for arm in read_campaign(text).arms] == ["a, search.epochs=1, train.epochs=2"]


def test_settings_change_the_file_and_are_checked_like_it(tmp_path):
    text = HEAD + "arms: {a: {search: {}}}"
    campaign = read_campaign(text, settings=("search.epochs=2", "repeats=1", "data.identities=8"))
    assert campaign.arms[0].search is not None
    assert (campaign.arms[0].search.epochs, campaign.repeats) == (2, 1)
    assert (campaign.source.set, campaign.source.identities) == ("rendered", 8)
    assert campaign.settings == ("search.epochs=2", "repeats=1", "data.identities=8")
    assert problems_of(text, ("search.epochs=x", "search.eposh=1")) == (
        "--set search.epochs: 'x' is not a whole number.",
        problems_of(text, ("search.eposh=1",))[0],
    )


def test_paths_start_at_the_file_and_settings_at_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "campaigns"
    folder.mkdir()
    (folder / "mine.json").write_text(PUBLISHED["cnet-top3"].to_json())
    path = folder / "c.yaml"
    path.write_text(
        HEAD.replace("rendered", "{set: market1501, root: images}") + "arms: {a: {genotype: mine.json}}"
    )
    campaign = load_campaign("campaigns/c.yaml")
    assert campaign.source.root == str(folder / "images")
    assert campaign.arms[0].genotype == PUBLISHED["cnet-top3"]
    assert load_campaign(str(path), ("data.root=images",)).source.root == str(tmp_path / "images")


def test_the_home_of_nobody_is_a_place_like_any_other(tmp_path):
    folder = tmp_path / "~no-such-name"
    folder.mkdir()
    (folder / "mine.json").write_text(PUBLISHED["cnet-top3"].to_json())
    path = tmp_path / "c.yaml"
    text = HEAD.replace("rendered", "{set: market1501, root: ~no-such-name/images}")
    path.write_text(f"{text}arms: {{a: {{genotype: ~no-such-name/mine.json}}}}")
    campaign = load_campaign(str(path))
    assert campaign.source.root == str(folder / "images")
    assert campaign.arms[0].genotype == PUBLISHED["cnet-top3"]


def test_a_genotype_of_another_space_is_refused(tmp_path):
    wrong = PUBLISHED["cnet-top1"].to_json().replace("cs-v1", "cds-v1")
    (tmp_path / "wrong.json").write_text(wrong)
    (tmp_path / "broken.json").write_text("{")
    text = HEAD + "arms:\n  a: {genotype: wrong.json}\n  b: {genotype: broken.json}\n"
    found = problems_of(text, folder=tmp_path)
    assert len(found) == 7
    assert found[0].startswith("c.yaml:9: arms.a.genotype: genotype.choices.mblock1: no option '(3,5)'.")
    assert found[-1].startswith("c.yaml:10: arms.b.genotype: broken.json:1: not JSON")


def test_shipped_campaigns_are_found_by_name_and_are_valid(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    auto_reid = [f"auto_reid_{name}" for name in ("lambda", "rendered", "sota", "table1", "table2")]
    cdnet = [f"cdnet_table{number}" for number in (1, 10, 11, 12, 3, 4, 5, 6, 7, 9)]
    kdas = [f"kdas_{name}" for name in ("rendered", "sota", "t0", "table1")]
    sweeps = [f"sweep_{name}" for name in ("channels_layers", "joint", "lambda", "t0", "topk")]
    assert shipped_campaigns() == [*auto_reid, *cdnet, "demo", *kdas, *sweeps]
    demo, table = (load_campaign(name) for name in ("demo", "cdnet_table1"))
    assert (len(demo.arms), demo.repeats, demo.source.set) == (1, 4, "rendered")
    assert [arm.search.k for arm in table.arms if arm.search] == [1, 2, 3, 4, "all"] * 2
    assert {arm.search.space for arm in table.arms if arm.search} == {"cs-v1", "cds-v1"}
    assert all(arm.train == CDNET_TRAIN for arm in table.arms)
    assert {arm.select for arm in table.arms} == {SELECT_RECIPES["supernet"]}
    assert demo.arms[0].select is None and table.protocol.trained == "each"
    assert "Table 1" in table.claim


def test_a_campaign_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(
        InputError, match=r"dem: no such file, and no shipped campaign 'dem'\. Did you mean 'demo'\?"
    ):
        load_campaign("dem")


def test_the_protocol_in_the_documentation_is_valid():
    page = Path(__file__).parents[2] / "docs" / "campaigns.md"
    (example,) = re.findall(r"```yml\n(.*?)```", page.read_text(), re.DOTALL)
    protocol = read_campaign(HEAD + example + "arms: {a: {search: {}}}").protocol
    assert protocol == Protocol(4, Seeds(0, 100, 200), ("search", "train"), "best", 3)


def test_the_campaign_in_the_documentation_is_valid():
    page = Path(__file__).parents[2] / "docs" / "campaigns.md"
    examples = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    example, pretrained, classifiers, evaluation, latency, several = examples
    assert read_campaign(classifiers).source is None
    timed = read_campaign(HEAD + latency + "arms: {a: {genotype: cdnet-top2}}\n").latency
    assert timed == read_campaign(HEAD + "latency: true\narms: {a: {genotype: cdnet-top2}}\n").latency
    assert read_campaign(HEAD + evaluation + "arms: {a: {genotype: cdnet-top2}}\n").evaluation is not None
    on = {arm.name: (arm.searched_on, arm.trained_on) for arm in read_campaign("name: c\n" + several).arms}
    assert list(on)[:3] == ["given, market1501", "given, dukemtmc", "found, market1501"]
    assert on["found, detected"] == ("market1501", "detected")
    assert on["found elsewhere"] == ("dukemtmc", "market1501")
    arms = read_campaign(HEAD.split("search:")[0] + "search: {recipe: cdnet}\n" + pretrained).arms
    assert [arm.pretrain is not None for arm in arms] == [False, True, True, True]
    campaign = read_campaign(example)
    assert [arm.name for arm in campaign.arms if arm.genotype is None][-1] == "cdnet, k=all"
    assert len(campaign.arms) == 7
    assert campaign.baseline == "cdnet, k=2"


def test_shared_sizes_are_no_mistake_of_arms_that_have_none():
    text = HEAD.replace("train: {recipe: cdnet}", "train: {recipe: auto-reid, channels: 16}")
    campaign = read_campaign(text + "arms: {a: {genotype: resnet18}, b: {genotype: darts-v2-net}}")
    assert [arm.train.channels for arm in campaign.arms] == [16, 16]


def test_more_stripes_than_rows_are_told_before_anything_is_built():
    text = HEAD + "arms: {a: {genotype: cnet-top1, train: {height: 64, neck.stripes: 5}}}"
    assert problems_of(text) == (
        "c.yaml:8: arms.a.train.neck.stripes: 5 stripes of a map of at most 4 rows. Use at most 4, or images "
        "of 80 rows.",
    )
    fitting = read_campaign(text.replace("height: 64", "height: 80"))
    assert fitting.arms[0].train.neck.stripes == 5
