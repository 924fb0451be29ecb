"""What a script runs in: its name, the call of its worker, the FIFO blocks around it, and its transaction.

It is one value in one context variable. A task begins with the value of the task that started it. Later changes
in either of them do not affect the other.

The one rule: **leaving restores what was entered, and nothing else, wherever it happens.** An async generator may
be closed in another context than the one it was entered in. So leaving compares values instead of using a token.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, NamedTuple

from framework.storage.operations import Claim
from framework.transactions.block import Block
from framework.transactions.run import Run
from framework.transactions.transaction import Begun, Collected


class ScriptContext(NamedTuple):
    """What a script runs in. A named tuple, since each request makes one."""

    script: str = ""  # a worker's name, a route's path, a module's name; empty for none of them
    run: Run | None = None  # the call of the worker's function
    blocks: tuple[Block, ...] = ()  # the innermost is the last
    transaction: Collected | Begun | None = None  # a task may outlive the one that it was started in

    @property
    def claims(self) -> tuple[Claim, ...]:
        """The claims that fence the writes: those of the blocks, until their items are acknowledged."""
        return tuple(block.claim for block in self.blocks if not block.acknowledged) if self.blocks else ()

    @property
    def joined(self) -> Collected | None:
        """The transaction that reads and writes without ``conn=`` belong to."""
        return self.transaction if isinstance(self.transaction, Collected) else None

    @property
    def begun(self) -> Begun | None:
        """The explicit transaction that the script is in."""
        transaction = self.transaction
        return transaction if isinstance(transaction, Begun) and not transaction.ended else None

    @property
    def outlived(self) -> bool:
        """Whether the explicit transaction has ended in which this task was started."""
        return isinstance(self.transaction, Begun) and self.transaction.ended

    @property
    def holding(self) -> bool:
        """Whether a write outside of the transaction would wait for it."""
        return self.begun is not None or (self.joined is not None and self.joined.holding)


_NOTHING = ScriptContext()
_CURRENT: ContextVar[ScriptContext] = ContextVar("script_context", default=_NOTHING)

current = _CURRENT.get


def claims() -> tuple[Claim, ...]:
    """The claims that fence a write of the caller."""
    return current().claims


SAME: Any = object()  # a field that is not changed


class entered:
    """Code in a ``with`` block of this runs in a context with these fields changed.

    It is a class, since each request enters one. It may be entered once, in the context in which it was made.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(
        self, *, script: str = SAME, run: Run = SAME, transaction: Collected | Begun | None = SAME
    ) -> None:
        self._outer = outer = current()
        self._inner = ScriptContext(
            outer.script if script is SAME else script,
            outer.run if run is SAME else run,
            outer.blocks,
            outer.transaction if transaction is SAME else transaction,
        )

    def __enter__(self) -> None:
        _CURRENT.set(self._inner)

    def __exit__(self, *_: object) -> None:
        outer, inner, now = self._outer, self._inner, current()
        if now is inner:
            _CURRENT.set(outer)
        else:
            own = [
                name
                for name in ScriptContext._fields
                if getattr(inner, name) is not getattr(outer, name)
                and getattr(now, name) is getattr(inner, name)
            ]
            _CURRENT.set(now._replace(**{name: getattr(outer, name) for name in own}))


def enter_block(block: Block) -> None:
    """Add a block to the caller's context."""
    now = current()
    _CURRENT.set(now._replace(blocks=(*now.blocks, block)))


def leave_block(block: Block) -> None:
    """Remove a block from the caller's context."""
    now = current()
    _CURRENT.set(now._replace(blocks=tuple(one for one in now.blocks if one is not block)))


def forget() -> None:
    """Empty the caller's context."""
    _CURRENT.set(_NOTHING)
