"""MU: a dict whose keys are attributes as well."""

from __future__ import annotations

import base64
import copy
import json
import pickle
from collections import OrderedDict
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from framework.values import jsontext
from framework.values.mu import MU, wrap

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


def test_keys_are_attributes_and_items() -> None:
    mu = MU({"a": 1}, b=2)
    assert (mu.a, mu["a"], mu.b) == (1, 1, 2)
    mu.c = 3
    mu["d"] = 4
    assert dict(mu) == {"a": 1, "b": 2, "c": 3, "d": 4}
    del mu.c
    del mu["d"]
    assert "c" not in mu
    assert (len(mu), list(mu)) == (2, ["a", "b"])


def test_what_is_not_there_is_an_attribute_error_or_a_key_error() -> None:
    mu = MU()
    with pytest.raises(AttributeError):
        _ = mu.missing
    with pytest.raises(AttributeError):
        del mu.missing
    with pytest.raises(KeyError):
        _ = mu["missing"]


@pytest.mark.parametrize("name", [name for name in dir(dict) if not name.startswith("_")])
def test_a_key_wins_over_a_method(name: str) -> None:
    mu = MU({name: [1], "other": 2})
    assert getattr(mu, name) == [1]
    assert mu.dictionary == {name: [1], "other": 2}
    assert json.loads(mu.json_format) == {name: [1], "other": 2}
    assert yaml.safe_load(mu.yaml_format) == {name: [1], "other": 2}
    assert mu + {"x": 1} == {name: [1], "other": 2, "x": 1}
    assert MU(mu) == mu == copy.deepcopy(mu) == pickle.loads(pickle.dumps(mu))
    assert wrap({"in": mu, "list": [mu]}) == {"in": mu, "list": [mu]}


@pytest.mark.parametrize("name", ["dictionary", "yaml_format", "json_format", "b64"])
def test_the_four_own_names_are_reached_by_brackets(name: str) -> None:
    mu = MU({name: "mine"})
    assert mu[name] == "mine"
    assert getattr(mu, name) != "mine"
    with pytest.raises(AttributeError, match=name):
        setattr(mu, name, 1)


@pytest.mark.parametrize(
    "mu",
    [
        MU(a={"b": [{"c": 1}]}),
        MU({"a": {"b": [{"c": 1}]}}),
        MU([("a", {"b": [{"c": 1}]})]),
        MU() + {"a": {"b": [{"c": 1}]}},
        MU() | {"a": {"b": [{"c": 1}]}},
        copy.deepcopy(MU(a={"b": [{"c": 1}]})),
        pickle.loads(pickle.dumps(MU(a={"b": [{"c": 1}]}))),
        MU(a={"b": [{"c": 1}]}).copy(),
    ],
)
def test_nested_mappings_come_as_mu(mu: Any) -> None:
    assert type(mu) is MU
    assert mu.a.b[0].c == 1


def test_a_nested_mapping_is_mu_however_it_was_set() -> None:
    mu = MU()
    mu.a = {"x": 1}
    mu["b"] = [{"x": 2}]
    mu.update({"c": {"x": 3}}, d={"x": 4})
    mu |= {"e": {"x": 5}}
    mu += {"f": {"x": 6}}
    mu.setdefault("g", {"x": 7})
    assert [mu.a.x, mu.b[0].x, mu.c.x, mu.d.x, mu.e.x, mu.f.x, mu.g.x] == [1, 2, 3, 4, 5, 6, 7]


def test_a_nested_mapping_of_another_class_is_mu_too() -> None:
    assert MU(a=OrderedDict(x=1)).a.x == 1


def test_adding_leaves_the_left_side_and_adding_in_place_changes_it() -> None:
    left = MU(a=1)
    assert left + {"a": 2, "b": 3} == {"a": 2, "b": 3}
    assert left == {"a": 1}
    same = left
    left += {"b": 2}
    assert same is left
    assert same == {"a": 1, "b": 2}


@given(st.dictionaries(TEXT, JSON))
def test_an_mu_equals_a_dict_of_the_same_content(value: dict[str, Any]) -> None:
    mu = MU(value)
    assert mu == value
    assert value == mu
    assert mu == MU(value)
    assert (mu != value) is False
    assert mu.dictionary == value
    assert jsontext.decode(mu.json_format) == value


def test_dictionary_is_plain_all_the_way_down_and_a_copy() -> None:
    mu = MU(a={"b": [{"c": 1}]})
    plain = mu.dictionary
    assert type(plain["a"]) is dict
    assert type(plain["a"]["b"][0]) is dict
    plain["a"]["b"].append(2)
    assert mu.a.b == [{"c": 1}]


def test_the_formats() -> None:
    mu = MU(b=[1, {"z": None, "a": "ü"}], a="on")
    assert mu.yaml_format == "a: 'on'\nb:\n- 1\n- a: ü\n  z: null\n"
    assert mu.json_format == '{"b":[1,{"z":null,"a":"ü"}],"a":"on"}'
    assert base64.b64decode(mu.b64).decode() == mu.yaml_format


def test_a_deep_copy_shares_nothing_and_a_shallow_one_the_nested() -> None:
    mu = MU(a={"b": 1})
    deep, shallow = copy.deepcopy(mu), copy.copy(mu)
    mu.a.b = 2
    assert (deep.a.b, shallow.a.b) == (1, 2)
