"""Frozen values: overriding, coercion, identity."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoreid.errors import InputError
from autoreid.published import CDNET_SEARCH, CDNET_TRAIN
from autoreid.recipes import SearchRecipe, TrainRecipe
from autoreid.values import (
    bounded,
    canonical,
    canonical_json,
    canonical_plain,
    digest,
    from_plain,
    override,
    plain,
)


def test_values_of_yaml_and_of_the_command_line_become_the_fields_types() -> None:
    changed = override(
        CDNET_SEARCH,
        {
            "epochs": "2",
            "optimizer.learning_rate": "1e-3",  # PyYAML reads 1e-3 as a text
            "k": "all",
            "batch": {"identities": 8.0},
            "alpha_optimizer.schedule.milestones": "[1, 2]",
        },
    )
    assert changed.epochs == 2
    assert changed.optimizer.learning_rate == 0.001
    assert changed.k == "all"
    assert changed.batch.identities == 8
    assert isinstance(changed.batch.identities, int)
    assert changed.batch.images == 4
    assert changed.alpha_optimizer.schedule.milestones == (1, 2)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("epoch", 2, "no field 'epoch'. Did you mean 'epochs'?"),
        ("objective.margn", 1, "no field 'margn'. Did you mean 'margin'?"),
        ("epochs", 0, "0 is too small. Use 1 or more."),
        ("epochs", 2.5, "2.5 is not a whole number."),
        ("epochs", True, "True is not a whole number."),
        ("augmentation.flip", 1.5, "1.5 is too large. Use 1 or less."),
        ("relaxation", "topk", "'topk' is not one of top-k, softmax."),
        ("k", "most", "'most' is not a whole number or one of all."),
        ("optimizer.learning_rate", "nan", "'nan' is not a number."),
        ("optimizer.schedule.milestones", "a,b", "'a,b' is not a list, each item a whole number."),
        ("batch", 4, "4 is not a group of fields."),
        ("epochs.x", 4, "epochs has no fields of its own."),
    ],
)
def test_a_mistake_names_place_value_and_remedy(name: str, value: object, message: str) -> None:
    with pytest.raises(InputError) as error:
        override(CDNET_SEARCH, {name: value}, "search.")
    assert str(error.value).startswith(f"search.{name}: ")
    assert message in str(error.value)


def test_all_mistakes_are_reported_together() -> None:
    with pytest.raises(InputError) as error:
        override(CDNET_SEARCH, {"epoch": 1, "k": 0, "height": "tall"})
    assert len(error.value.problems) == 3


@pytest.mark.parametrize("recipe", [CDNET_SEARCH, CDNET_TRAIN])
def test_recipes_round_trip(recipe: SearchRecipe | TrainRecipe) -> None:
    assert from_plain(type(recipe), plain(recipe)) == recipe
    assert override(type(recipe)(), plain(recipe)) == recipe


@dataclass(frozen=True, slots=True)
class Before:
    size: int = 3


@dataclass(frozen=True, slots=True)
class After:
    size: int = 3
    colour: str = bounded("grey", added=True)


def test_a_field_added_later_leaves_old_identities_alone() -> None:
    assert canonical(After()) == canonical(Before())
    assert canonical(After(colour="red")) == {"size": 3, "colour": "red"}
    assert plain(After()) == {"size": 3, "colour": "grey"}


@dataclass(frozen=True, slots=True)
class Outer:
    first: After = After()
    second: After = field(default=After(), metadata={"added": True})
    sizes: tuple[int, ...] = ()


@pytest.mark.parametrize(
    "value",
    [
        Outer(),
        Outer(first=After(colour="red")),
        Outer(second=After(size=4), sizes=(1, 2)),
        CDNET_SEARCH,
        CDNET_TRAIN,
    ],
)
def test_the_canonical_form_of_plain_values_is_that_of_the_value(value: object) -> None:
    assert canonical_plain(type(value), plain(value)) == canonical(value)


def test_the_canonical_form_of_plain_values_keeps_what_it_does_not_know() -> None:
    unknown = {"other": 1, "second": 7, "first": {"shape": "round", "size": -1}}
    assert canonical_plain(Outer, unknown) == unknown
    assert list(canonical_plain(Outer, unknown)) == ["first", "second", "other"]


@given(
    st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text())
)
def test_digests_do_not_depend_on_order(content: dict[str, object]) -> None:
    assert digest(content) == digest(dict(reversed(content.items())))


def test_nan_has_no_identity() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"a": float("nan")})
