"""Each statement that a decision may ask for is one that the engine knows, with as many parameters."""

from __future__ import annotations

import inspect
import re
from typing import get_args

import pytest

from framework.storage import decisions
from framework.storage.decisions import fifos, requests, rows, steering, suspects, upkeep
from framework.storage.decisions.steps import STEPS, Answer, Step
from framework.storage.operations import Operation
from framework.storage.sqlite.sql import TEXTS

TEXT_STEPS = [step for step in STEPS if step.answer is not Answer.VALUE]


def test_each_operation_has_a_decision() -> None:
    assert set(decisions.DECISIONS) == set(get_args(Operation))


def test_an_engine_has_a_text_for_each_statement_and_no_other() -> None:
    assert set(TEXTS) == set(TEXT_STEPS)


@pytest.mark.parametrize("step", TEXT_STEPS, ids=lambda step: step.name)
def test_a_text_takes_the_parameters_of_its_step(step: Step) -> None:
    places = {int(number) for number in re.findall(r"\?(\d+)", TEXTS[step])}
    assert "?" not in re.sub(r"\?\d+", "", TEXTS[step])
    if step.name.startswith("PRUNE_"):  # what they have in common; the last one says how many there are
        assert max(places) == len(step.parameters)
    else:
        assert places == set(range(1, len(step.parameters) + 1))


def test_no_step_is_there_that_nobody_asks_for() -> None:
    modules = (fifos, requests, rows, steering, suspects, upkeep)
    asked = {
        name for module in modules for name in re.findall(r"steps\.([A-Z_]+)", inspect.getsource(module))
    }
    assert asked == {step.name for step in STEPS}


def test_a_step_is_known_by_its_own_name() -> None:
    from framework.storage.decisions import steps

    assert [step for step in STEPS if getattr(steps, step.name) is not step] == []
    assert repr(steps.PAUSE) == "PAUSE(fifo, paused)"
