"""What the mutation runs name is there: a module that has moved would be left out without a word."""

from __future__ import annotations

import pytest

from mutation.parts import PARTS, ROOT, Part


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_a_part_names_modules_and_tests_that_exist(part: Part) -> None:
    assert part.files
    named = [*part.tests, *part.without]
    assert [test for test in named if not (ROOT / test.split("::")[0]).exists()] == []


def test_a_module_that_is_gone_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"queue: there is no framework/gone\.py"):
        _ = Part("queue", ("framework/gone.py",), ()).files
