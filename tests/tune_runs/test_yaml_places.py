import pytest

from autoreid.errors import InputError, Problems
from tune_runs.yaml_places import read_document, with_settings


def test_every_value_has_its_line():
    document = read_document("name: a\n\nsearch:\n  optimizer:\n    momentum: 0.5\n", "c.yaml")
    assert document.values == {"name": "a", "search": {"optimizer": {"momentum": 0.5}}}
    assert document.place(("search", "optimizer", "momentum")) == "c.yaml:5: search.optimizer.momentum"
    assert document.place(("search", "missing")) == "c.yaml:3: search.missing"
    assert document.place(("missing",)) == "c.yaml: missing"


def test_duplicate_keys_are_all_reported_with_both_lines():
    text = "name: a\nname: b\nsearch:\n  k: 1\n  epochs: 2\n  k: 3\n"
    with pytest.raises(InputError) as caught:
        read_document(text, "c.yaml")
    assert caught.value.problems == (
        "c.yaml:2: name: given twice; the first is on line 1. Remove one.",
        "c.yaml:6: search.k: given twice; the first is on line 4. Remove one.",
    )


def test_a_field_spelt_in_two_ways_is_a_duplicate():
    document = read_document("search:\n  batch: {images: 2}\n  batch.images: 3\n", "c.yaml")
    problems = Problems()
    leaves = document.leaves(("search",), problems)
    assert leaves["batch.images"].value == 2
    assert problems.found == [
        "c.yaml:3: search.batch.images: given twice; the first is c.yaml:2: search.batch.images. Remove one."
    ]


def test_anchors_and_merge_keys():
    text = "a: &base {k: 1, epochs: 5}\nb: {<<: *base, k: 2}\nc: *base\n"
    assert read_document(text, "c.yaml").values == {
        "a": {"k": 1, "epochs": 5},
        "b": {"k": 2, "epochs": 5},
        "c": {"k": 1, "epochs": 5},
    }


def test_keys_are_texts_and_dates_stay_texts():
    values = read_document("1: 2024-01-01\nyes: 1e-3\n", "c.yaml").values
    assert values == {"1": "2024-01-01", "yes": "1e-3"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1\nb: 2\n", "c.yaml:2: not YAML"),
        ("- a\n", "c.yaml:1: expected a mapping"),
        ("", "c.yaml:1: expected a mapping"),
        ("x: 1\na: !!python/object:os.system {}\n", "c.yaml:2: a: the tag"),
        ("a: !!python/name:os.system ''\n", "c.yaml:1: a: "),
        ("a: &x {b: *x}\n", "c.yaml:1: a.b: an alias of something that contains it."),
        ("{[1]: 2}\n", "c.yaml:1: a key must be a text."),
    ],
)
def test_what_is_not_plain_yaml_is_refused(text, message):
    with pytest.raises(InputError) as caught:
        read_document(text, "c.yaml")
    assert str(caught.value).startswith(message)


def test_settings_lie_over_the_file_and_name_themselves():
    document = read_document("data: {root: a}\narms:\n  x.y: {search: {k: 1}}\n  z: {}\n", "c.yaml")
    changed = with_settings(document, ("data.root=/b=c", "arms.x.y.search.k=[1, 2]", "new.field=1e-3"))
    assert changed.values == {
        "data": {"root": "/b=c"},
        "arms": {"x.y": {"search": {"k": [1, 2]}}, "z": {}},
        "new": {"field": "1e-3"},
    }
    assert list(changed.values["arms"]) == ["x.y", "z"]
    assert changed.place(("arms", "x.y", "search", "k")) == "--set arms.x.y.search.k"
    assert changed.place(("arms", "z")) == "c.yaml:4: arms.z"
    assert document.values["data"] == {"root": "a"}


def test_a_setting_wins_over_another_spelling_in_the_file():
    for text in ("search: {batch.images: 3}", "search: {batch: {images: 3}}"):
        document = with_settings(read_document(text, "c.yaml"), ("search.batch.images=5",))
        problems = Problems()
        assert document.leaves(("search",), problems)["batch.images"].value == 5
        assert problems.found == []


def test_malformed_settings_are_reported_together():
    with pytest.raises(InputError) as caught:
        with_settings(read_document("a: 1", "c.yaml"), ("x", "=1", "a..b=1", "a=2"))
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "--set x",
        "--set =1",
        "--set a..b=1",
    ]
