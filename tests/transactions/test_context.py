"""What a script runs in: entered and left, in whatever order and context."""

from __future__ import annotations

import contextvars
from typing import Any, cast

from framework.transactions.block import Block
from framework.transactions.context import current, enter_block, entered, leave_block

BLOCK = cast(Block, object())  # nothing of it is used here


def alone(test: Any) -> None:
    contextvars.copy_context().run(test)


def test_leaving_keeps_what_was_entered_inside_and_is_not_left_yet() -> None:
    def test() -> None:
        with entered(script="brew"):
            enter_block(BLOCK)
        assert (current().script, current().blocks) == ("", (BLOCK,))
        leave_block(BLOCK)
        assert current().blocks == ()

    alone(test)


def test_what_was_entered_first_may_be_left_first() -> None:
    def test() -> None:
        outer = entered(script="outer")
        outer.__enter__()
        inner = entered(script="inner")
        inner.__enter__()
        outer.__exit__()
        assert current().script == "inner", "it is not the outer one's to change"
        inner.__exit__()
        assert current().script == "outer", "as it was when the inner one was entered"

    alone(test)


def test_leaving_in_another_context_changes_nothing_there() -> None:
    """As an async generator does that the garbage collector closes."""

    def test() -> None:
        elsewhere = contextvars.copy_context()
        left = entered(script="brew")
        left.__enter__()
        elsewhere.run(left.__exit__)
        assert elsewhere.run(current).script == ""
        assert current().script == "brew"

    alone(test)
