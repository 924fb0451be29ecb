"""The FIFO that a verb names: it exists, or it is refused with a hint."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from framework.cli import options
from framework.cli.verbs import Refused

if TYPE_CHECKING:
    from framework.storage import Storage
    from framework.storage.operations import FifoState

format_ = options.output_format("For people, or JSON with everything that there is.")


async def known(storage: Storage, name: str) -> FifoState:
    """The state of the FIFO. Raises ``Refused`` with a hint if there is none of this name."""
    state = await storage.fifo_state(name)
    if state is None:
        raise Refused(f"there is no FIFO {name!r}{hint(name, await storage.fifo_names())}")
    return state


def hint(name: str, names: Iterable[str]) -> str:
    """The names that may have been meant, to add to a sentence."""
    there = list(names)
    listed = "; `framework fifo ls` lists those there are" if there else "; there are none yet"
    return similar(name, there) or listed


def similar(name: str, names: Iterable[str]) -> str:
    """``; did you mean ...?``, or an empty string."""
    from framework.definitions import nearest

    close = nearest(name, names)
    return f"; did you mean {close}?" if close else ""
