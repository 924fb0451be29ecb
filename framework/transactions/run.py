"""A call of a worker's function: the FIFOs that it has read, and its errors that belong to items."""

from __future__ import annotations

from dataclasses import dataclass, field

from framework.transactions.polls import Polls


@dataclass(frozen=True, slots=True)
class Charge:
    """An error that left a FIFO block: it counts against the block's item, and against nothing else."""

    error: BaseException
    fate: str  # what becomes of the item
    request_id: str | None  # of the item


@dataclass(slots=True)
class Run:
    """One call of a worker's function, with the FIFOs that it has entered and the errors that count for items."""

    worker: str
    polls: Polls = field(default_factory=Polls)  # of all calls
    fifos: set[str] = field(default_factory=set)
    finished: bool = False  # a block with an item ended well
    charges: list[Charge] = field(default_factory=list)

    def charge(self, error: BaseException | None) -> Charge | None:
        """The charge behind an error: its own, its cause's, or those of all members of its group; else None."""
        if error is None:
            return None
        for charge in self.charges:
            if charge.error is error:
                return charge
        if isinstance(error, BaseExceptionGroup):
            inner = [self.charge(one) for one in error.exceptions]
            return inner[0] if all(inner) else None
        return self.charge(error.__cause__)
