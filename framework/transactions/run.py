"""One call of a worker's function: what it read, and which of its errors belong to items."""

from __future__ import annotations

from dataclasses import dataclass, field

from framework.transactions.looks import Looks


@dataclass(frozen=True, slots=True)
class Charge:
    """An error that left a FIFO block: it counts against the block's item, and against nothing else."""

    error: BaseException
    fate: str  # what becomes of the item
    request_id: str | None  # of the item


@dataclass(slots=True)
class Run:
    """One call of a worker's function: what it looked into, and which errors were charged to items."""

    worker: str
    looks: Looks = field(default_factory=Looks)  # of all calls
    fifos: set[str] = field(default_factory=set)
    finished: bool = False  # a block with an item ended well
    charges: list[Charge] = field(default_factory=list)

    def charge(self, error: BaseException | None) -> Charge | None:
        """The charge that an error is, is made of or was caused by; None if there is more to it."""
        if error is None:
            return None
        for charge in self.charges:
            if charge.error is error:
                return charge
        if isinstance(error, BaseExceptionGroup):
            inner = [self.charge(one) for one in error.exceptions]
            return inner[0] if all(inner) else None
        return self.charge(error.__cause__)
