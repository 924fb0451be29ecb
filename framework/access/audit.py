"""What operators did: every verb that changes something stores a line in the transaction of the change.

    await storage.write([Pause("orders", True), audit.entry("fifo pause", "orders")])

The one rule: **a line says who, when and what, and contains no secret and no payload.**
"""

from __future__ import annotations

import logging
import os
import pwd
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from framework.errors import StorageError
from framework.storage.contract import Storage
from framework.storage.operations import Audit
from framework.storage.signals import AUDITED
from framework.storage.tables import AUDIT
from framework.transactions.session import Session
from framework.values import jsontext

logger = logging.getLogger("framework.audit")

_LOOK_AGAIN = 60.0  # seconds: a wake-up of another process may be lost
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the record. ``at`` in seconds since 1970."""

    id: int
    at: float
    user: str
    host: str
    pid: int
    action: str
    target: str | None
    arguments: dict[str, Any]
    affected: int | None


def entry(action: str, target: str | None = None, *, affected: int | None = None, **arguments: Any) -> Audit:
    """A line about this process's user, to be written with the change itself.

    ``action`` is the verb as it is typed, ``target`` its object, and ``affected`` the number of changes.
    Arguments that are None are left out.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    return Audit(
        action,
        target,
        jsontext.encode(given),
        affected,
        user(),
        socket.gethostname(),
        os.getpid(),
        time.time(),
    )


def user() -> str:
    """The system's name of this process's user, with the user who became root through ``sudo``."""
    number = os.geteuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:
        name = str(number)
    before = os.environ.get("SUDO_USER") if number == 0 else None
    return f"{name} (sudo by {before})" if before else name


async def note(storage: Storage, action: str, target: str | None = None, **arguments: Any) -> None:
    """Store a line about an action that does not change the database itself."""
    await storage.write([entry(action, target, **arguments)])


async def listed(
    storage: Storage, *, limit: int | None = None, since: float | None = None, after: int = 0
) -> list[Entry]:
    """The newest ``limit`` lines, oldest first, since a time or after a number."""
    query = select(AUDIT).where(AUDIT.c.id > after)
    if since is not None:
        query = query.where(AUDIT.c.at >= since)
    query = query.order_by(AUDIT.c.id.desc())
    rows = await storage.select(query if limit is None else query.limit(limit))
    return [_entry(row) for row in reversed(rows)]


def line(one: Entry) -> str:
    """The action as text: the verb, its target, its arguments, and the number of changes."""
    words = [one.action, *([one.target] if one.target is not None else [])]
    words += [f"{name}={_shown(value)}" for name, value in one.arguments.items()]
    return " ".join(words) + (f" ({one.affected:,})" if one.affected is not None else "")


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


async def follow(session: Session) -> None:
    """Log each line of any process from now on, until the session stops."""
    storage = session.storage
    with storage.watch([AUDITED]) as signal:
        last: int | None = None
        while session.running:
            try:
                if last is None:
                    last = max((one.id for one in await listed(storage, limit=1)), default=0)
                last = _log(await _newer(storage, last), last)
            except StorageError as error:
                logger.warning("what operators do cannot be read: %s", error)
            if session.running:
                await signal.changed(_LOOK_AGAIN)


async def _newer(storage: Storage, last: int) -> Sequence[Entry]:
    query = select(AUDIT).where(AUDIT.c.id > last).order_by(AUDIT.c.id).limit(_PAGE)
    return [_entry(row) for row in await storage.select(query)]


def _log(entries: Sequence[Entry], last: int) -> int:
    for one in entries:
        extra = {
            "action": "audit",
            "user": one.user,
            "host": one.host,
            "verb": one.action,
            "target": one.target,
            "arguments": one.arguments,
        }
        logger.info("%s on %s: %s", one.user, one.host, line(one), extra=extra)
        last = one.id
    return last


def _entry(row: Any) -> Entry:
    names = ("id", "at", "user", "host", "pid", "action", "target", "arguments", "affected")
    return Entry(*(row[name] for name in names))
