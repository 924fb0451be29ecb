"""YAML text as the platform prints it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from framework.values import yamltext
from framework.values.mu import MU
from tests.values.test_mu import JSON

PRINTABLE = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)


def test_block_style_sorted_keys_and_unicode() -> None:
    value = {"b": {"z": [], "y": {}}, "a": ["任意の処理", {"k": 1}]}
    assert yamltext.dump(value) == "a:\n- 任意の処理\n- k: 1\nb:\n  y: {}\n  z: []\n"


def test_the_same_object_twice_is_written_twice() -> None:
    shared = {"x": 1}
    assert yamltext.dump({"a": shared, "b": shared}) == "a:\n  x: 1\nb:\n  x: 1\n"


@pytest.mark.parametrize(
    "word", ["on", "no", "012", "1e5", "null", "~", "", "12:30:45", "2026-01-01", "- a", "a: b"]
)
def test_words_that_yaml_would_misread_are_quoted(word: str) -> None:
    text = yamltext.dump({"a": word})
    assert yaml.safe_load(text) == {"a": word}


def test_a_long_line_is_not_broken() -> None:
    assert yamltext.dump({"a": "word " * 100 + "end"}).count("\n") == 1


def test_mu_is_a_mapping_whatever_its_keys() -> None:
    assert yamltext.dump(MU(items=MU(keys=1))) == "items:\n  keys: 1\n"


@given(st.dictionaries(PRINTABLE, JSON | PRINTABLE, max_size=5))
@example({"a": "line\nline\n\n  indented\n"})
@example({"a": "\x85\u2028\ufeff\x07\x00"})
@example({"?": ["#", "&x", "*x", "!x", "%x", "@x", "`x", "\ttab"]})
def test_what_is_written_reads_back_equal(value: dict[str, Any]) -> None:
    assert yaml.safe_load(yamltext.dump(value)) == value
