"""What scripts see: exactly the names that check knows, bound to what they say."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy

from framework import errors
from framework.definitions import Definitions
from framework.definitions.names import BUILT_IN_OBJECTS, COMMON_NAMES, LATE_NAMES, METHODS, MODULES
from framework.queue.fifo import Fifos
from framework.script.callout import Callout
from framework.script.debug import DebugChannel
from framework.script.settings import Settings
from framework.serving.snapshot import Snapshot, bind
from framework.transactions.session import Session
from framework.values.mu import MU

ENVIRON = {"FRAMEWORK_SETTING_KEY": "geheim"}


def bound(definitions: Definitions, session: Session | None = None) -> Snapshot:
    session = session or Session()
    return bind(
        definitions,
        session=session,
        fifos=Fifos(session),
        debug=DebugChannel(),
        callout=Callout(),
        settings=Settings(ENVIRON),
    )


@pytest.fixture
def names(define: Callable[..., Definitions]) -> dict[str, Any]:
    return bound(define()).scope


def test_the_names_are_those_that_check_lets_pass(names: dict[str, Any]) -> None:
    assert set(names) == set(COMMON_NAMES)
    assert {*BUILT_IN_OBJECTS, *METHODS, *MODULES, *LATE_NAMES} == set(COMMON_NAMES)


def test_each_is_what_its_name_says(names: dict[str, Any]) -> None:
    for name in MODULES:
        assert names[name].__name__ == name
    for name in METHODS:
        assert names[name] == name
    for name in ("and_", "or_", "not_", "join", "select"):
        assert names[name] is getattr(sqlalchemy, name)
    for name in (
        "HTTPError",
        "Error",
        "ValidationError",
        "Duplicate",
        "Gone",
        "StillReferred",
        "Reject",
        "Retry",
    ):
        assert names[name] is getattr(errors, name)
    assert names["MU"] is MU
    assert names["sqlalchemy"] is sqlalchemy
    assert names["urllib"].parse.quote("ü") == "%C3%BC"
    assert isinstance(names["logger"], logging.Logger)
    assert all(names[method] == method for method in METHODS)


@pytest.mark.parametrize(
    "name", ["FIFO", "Runtime", "context", "callout", "qprint", "atom", "model", "Cache"]
)
def test_the_built_in_objects_can_be_shown(names: dict[str, Any], name: str) -> None:
    assert repr(names[name])


def test_each_bound_scope_is_its_own(define: Callable[..., Definitions]) -> None:
    one, two = bound(define()).scope, bound(define()).scope
    assert one["Cache"] is not two["Cache"]
    one["x"] = 1
    assert "x" not in two


# ---- context --------------------------------------------------------------------------------

ONE = """\
name: one
code: |
  qprint("one runs")
  VALUE = 7
  def twice(x):
      return 2 * x
  def other():
      return context.two.VALUE
"""
TWO = """\
name: two
code: |
  import math
  VALUE = context.one.VALUE + 1
  def late():
      return context.one.twice(VALUE)
"""


@pytest.fixture
def context(define: Callable[..., Definitions]) -> Any:
    return bound(define(ONE, TWO)).scope["context"]


def test_modules_are_seen_by_their_names_and_see_each_other(context: Any) -> None:
    assert context.two.VALUE == 8
    assert context.one.twice(4) == 8
    assert context.two.late() == 16
    assert context.one.other() == 8
    assert context.one is context.one
    assert context.two.__name__ == "two"


def test_a_module_runs_once_and_at_the_start_at_the_latest(define: Callable[..., Definitions]) -> None:
    session, debug, heard = Session(), DebugChannel(), list[str]()
    debug.listen(heard.append)
    snapshot = bind(
        define(ONE, TWO),
        session=session,
        fifos=Fifos(session),
        debug=debug,
        callout=Callout(),
        settings=Settings({}),
    )
    assert heard == [], "binding runs nothing of the definitions"
    snapshot.scope["context"].run_modules()
    snapshot.scope["context"].run_modules()
    assert snapshot.scope["context"].one.VALUE == 7
    assert heard == ["one runs"]


def test_a_module_that_fails_runs_again_at_its_next_use(define: Callable[..., Definitions]) -> None:
    context = bound(define("name: bad\ncode: |\n  raise KeyError('top level')\n")).scope["context"]
    for _ in range(2):
        with pytest.raises(KeyError, match="top level"):
            _ = context.bad
    with pytest.raises(KeyError):
        context.run_modules()


def test_a_module_does_not_reach_into_the_scope_of_the_others(context: Any) -> None:
    assert context.two.math.pi > 3
    with pytest.raises(AttributeError):
        _ = context.one.math


def test_what_context_does_not_have_says_what_was_meant(context: Any) -> None:
    with pytest.raises(AttributeError, match="no module 'onne'; did you mean 'one'"):
        _ = context.onne
    with pytest.raises(AttributeError, match="did you mean 'settings'"):
        _ = context.setting


def test_settings_are_there_and_masked(context: Any) -> None:
    assert context.settings.KEY == "geheim"
    assert "geheim" not in repr(context)
    assert dir(context) == ["one", "settings", "two"]


# ---- Runtime --------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_runtime_says_whether_to_go_on(define: Callable[..., Definitions], session: Session) -> None:
    runtime = bound(define(), session).scope["Runtime"]
    assert runtime.running() is True
    session.stop()
    assert runtime.running() is False
