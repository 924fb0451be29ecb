"""A FIFO as a verb names it: there, or refused with a hint."""

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
    """The FIFO as it stands; ``Refused`` with a hint when there is none of this name."""
    state = await storage.fifo_state(name)
    if state is None:
        raise Refused(f"there is no FIFO {name!r}{hint(name, await storage.fifo_names())}")
    return state


def hint(name: str, names: Iterable[str]) -> str:
    """What else may have been meant, to be added to a sentence."""
    there = list(names)
    listed = "; `framework fifo ls` lists those there are" if there else "; there are none yet"
    return similar(name, there) or listed


def similar(name: str, names: Iterable[str]) -> str:
    """``; did you mean ...?``, or nothing."""
    from framework.definitions import nearest

    close = nearest(name, names)
    return f"; did you mean {close}?" if close else ""
