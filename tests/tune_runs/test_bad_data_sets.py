"""What is wrong with the data sets of a campaign, in the file and on the disk, is said where it stands."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_data_sets import HEAD, TEXT, planned, read

from autoreid.errors import InputError, Problems
from tune_runs.opening import open_data, read_data
from tune_runs.overview import plan_without_running


def problems_of(text: str, *settings: str) -> tuple[str, ...]:
    with pytest.raises(InputError) as caught:
        read(text, *settings)
    return caught.value.problems


def test_without_the_data_a_plan_tells_the_sets_apart_and_says_what_is_missing(tmp_path: Path) -> None:
    away = f"{{set: market1501, root: {tmp_path}/away}}"
    text = TEXT.replace(
        "{set: rendered, identities: 12, cameras: 3, images: 2, seed: 5, height: 64, width: 32}", away
    )
    plan, missing = plan_without_running(read(text))
    assert missing is not None and missing.startswith(f"data_sets.others: {tmp_path}/away: no such folder")
    assert plan.count("train") == planned(read()).count("train")
    with pytest.raises(InputError, match=r"data_sets\.others: .*: no such folder"):
        read_data(read(text))


def test_each_arm_is_held_against_its_own_set() -> None:
    text = HEAD.replace(
        "batch: {identities: 4, images: 2}}\ntrain", "batch: {identities: 7, images: 2}}\ntrain"
    )
    arms = "arms:\n  a: {search: {space: cs-v1}, searched_on: SET, trained_on: third}\n"
    for name, fits in (("rendered", True), ("others", False)):
        campaign = read(text + arms.replace("SET", name))
        if fits:
            assert read_data(campaign)[0].fingerprints.keys() == {"rendered", "third"}
            continue
        with pytest.raises(InputError) as caught:
            read_data(campaign)
        assert caught.value.problems == (
            "c.yaml:7: search.batch.identities: 7, but the training set of others has 6. Use at most 6.",
        )


def test_re_ranking_among_too_few_images_is_of_the_sets_that_are_trained_on() -> None:
    text = HEAD + "evaluation: {rerank: true, k1: 40}\n"
    text += "arms: {a: {search: {space: cs-v1}, searched_on: others, trained_on: [rendered, third]}}\n"
    with pytest.raises(InputError) as caught:
        read_data(read(text))
    assert caught.value.problems == (
        "evaluation.k1: 40 of 38 test images of third. Use 1 to 37; the paper has 20.",
    )


def test_two_names_for_the_same_images_are_a_mistake(tmp_path: Path) -> None:
    problems = Problems()
    campaign = read(HEAD + "arms: {a: {genotype: cnet-top1}}\n")
    root = open_data(campaign, problems).indexes["rendered"].root
    text = HEAD.replace("third: {set: rendered, identities: 12, cameras: 3, images: 2, seed: 6", "third: {#")
    text = text.replace("third: {#, height: 64, width: 32}", f"third: {{set: market1501, root: {root}}}")
    text += "arms: {a: {genotype: cnet-top1, trained_on: [rendered, third]}}\n"
    with pytest.raises(InputError) as caught:
        read_data(read(text))
    assert caught.value.problems == (
        "data_sets.third: the same images as 'rendered', named twice. Name one of the two in its place.",
    )


def test_a_swept_arm_is_trained_on_one_set() -> None:
    text = HEAD + "sweep: {points: 2, repeats: 1, over: {k: [1, 2]}}\n"
    (problem,) = problems_of(text + "arms: {a: {search: {space: cs-v1}, trained_on: [rendered, third]}}\n")
    assert problem == (
        "c.yaml:10: arms.a.trained_on: an arm that is swept is trained on one set. Name it alone, or write "
        "'sweep: false'."
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "a: {genotype: cnet-top1, trained_on: other}",
            "c.yaml:10: arms.a.trained_on: no data set 'other'. Did you mean 'others'? Known: others, "
            "rendered, third. Others are named under 'data_sets:'.",
        ),
        (
            "a: {search: {space: cs-v1}, searched_on: market1501}",
            "c.yaml:10: arms.a.searched_on: no data set 'market1501'. Known: others, rendered, third. Others "
            "are named under 'data_sets:'.",
        ),
        (
            "a: {search: {space: cs-v1}, searched_on: [others, third]}",
            "c.yaml:10: arms.a.searched_on: ['others', 'third'] is not a text.",
        ),
        (
            "a: {genotype: cnet-top1, trained_on: [others, others]}",
            "c.yaml:10: arms.a.trained_on: 'others' is named twice. Remove one.",
        ),
        (
            "a: {genotype: cnet-top1, trained_on: []}",
            "c.yaml:10: arms.a.trained_on: an empty list. Name a data set, or leave it out.",
        ),
        (
            "a: {genotype: cnet-top1, trained_on: {set: others}}",
            "c.yaml:10: arms.a.trained_on: {'set': 'others'} is not a name. Name a data set, or give a list "
            "of names.",
        ),
        (
            "a: {genotype: cnet-top1, trained_on: [others, null]}",
            "c.yaml:10: arms.a.trained_on: None is not a name. Name a data set, or give a list of names.",
        ),
        (
            "a: {search: {space: cs-v1}, train: false, trained_on: others}",
            "c.yaml:10: arms.a.trained_on: nothing is trained. Leave it out.",
        ),
        (
            "a: {genotype: cnet-top1, searched_on: others}",
            "c.yaml:10: arms.a.searched_on: nothing is searched. Leave it out.",
        ),
        (
            "a: {random: cs-v1, searched_on: others}",
            "c.yaml:10: arms.a.searched_on: nothing is searched. Leave it out.",
        ),
        (
            "{a: {genotype: cnet-top1, trained_on: [others]}, 'a, others': {genotype: cnet-top2}}",
            "c.yaml:9: arms: two arms are named 'a, others'. Rename one.",
        ),
    ],
)
def test_what_is_wrong_with_the_sets_of_an_arm_is_said(line: str, message: str) -> None:
    assert problems_of(HEAD + f"arms:\n  {line}\n") == (message,)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "  rendered: {set: rendered, seed: 9}",
            "data_sets.rendered: the set under 'data' has this name already: 'rendered'. Its fields are "
            "given there, such as data.root; give another set another name.",
        ),
        (
            "  others: {set: rendered, seed: 9}",
            "data_sets.others: given twice; the first is on line 4. Remove one.",
        ),
        (
            "  again: {set: rendered, identities: 12, cameras: 3, images: 2, seed: 6, height: 64, width: 32}",
            "data_sets.again: the images of 'third' again. Remove it, and name 'third' in its place.",
        ),
        (
            "  a.b: rendered",
            "data_sets.a.b: 'a.b' is not a name. Give up to 40 letters, digits, '_' and '-'.",
        ),
        ("  a:", "data_sets.a: missing. Write for example {set: dukemtmc, root: DIR}."),
        ("  a: {set: market1501}", "data_sets.a.root: missing. Give the folder of market1501."),
        ("  a: {set: rendered, seeds: 3}", "data_sets.a.seeds: no field 'seeds'. Did you mean 'seed'?"),
        ("  a: 3", "data_sets.a: a data set is a name or a group of fields, not 3."),
    ],
)
def test_what_is_wrong_with_a_further_set_is_said_with_its_line(line: str, message: str) -> None:
    text = HEAD.replace("repeats: 2", f"{line}\nrepeats: 2") + "arms: {a: {genotype: cnet-top1}}\n"
    (problem,) = problems_of(text)
    assert problem.startswith(f"c.yaml:6: {message}")


def test_a_mistake_in_a_set_is_no_second_one_where_it_is_named() -> None:
    text = HEAD.replace("seed: 5", "seed: -5") + "arms: {a: {genotype: cnet-top1, trained_on: others}}\n"
    (problem,) = problems_of(text)
    assert problem == "c.yaml:4: data_sets.others.seed: -5 is too small. Use 0 or more."


def test_sets_at_the_top_that_serve_no_arm_are_a_mistake() -> None:
    text = (
        HEAD + "searched_on: others\ntrained_on: others\narms: {a: {search: {space: cs-v1}, train: false}}\n"
    )
    assert problems_of(text) == ("c.yaml:10: trained_on: nothing is trained. Leave it out.",)


def test_settings_reach_the_fields_of_a_set() -> None:
    campaign = read(TEXT, "data_sets.others.seed=7")
    assert campaign.sets["others"].seed == 7
    assert read(TEXT, "data_sets.third=rendered").sets["third"].identities == 40
    assert problems_of(TEXT, "data_sets.others.seed=x") == (
        "--set data_sets.others.seed: 'x' is not a whole number.",
    )
