"""The servers that run on one database, and whether their definitions are compatible.

Each server records what its definitions rely on: the columns of its classes, its policies and its roles. A start
checks the records of the running ones. The one rule: **a start reports every change of something that a running
server relies on, and is refused if that server or this one would break.**
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Table, select

from framework import __version__
from framework.access.roles import recorded
from framework.definitions import Definitions, FifoPolicy
from framework.errors import CannotOpen
from framework.queue.policies import from_json, to_json
from framework.storage.content import content_of
from framework.storage.contract import Storage
from framework.storage.operations import Delete, Insert
from framework.storage.tables import SERVER

Columns = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Reliance:
    """What a server's definitions rely on in the database, as plain data.

    ``classes`` has the columns of each table with the rules of their values. ``policies`` has the text of each
    policy.
    """

    classes: dict[str, Columns] = field(default_factory=dict)
    policies: dict[str, str] = field(default_factory=dict)
    roles: dict[str, Any] = field(default_factory=dict)
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another server that runs on the database."""

    process: int
    host: str
    pid: int
    started_at: float
    folder: str | None
    reliance: Reliance

    def __str__(self) -> str:
        since = datetime.datetime.fromtimestamp(self.started_at, datetime.UTC).isoformat(timespec="seconds")
        where = f", serving {self.folder}" if self.folder else ""
        return f"process {self.pid} on {self.host} (since {since[:19]}Z{where})"


@dataclass(frozen=True, slots=True)
class Beside:
    """What a start finds: the running servers, what to report, and which of their policies and roles to keep."""

    neighbours: Sequence[Neighbour] = ()
    said: Sequence[str] = ()
    policies: Mapping[str, FifoPolicy] = field(default_factory=dict)
    roles: Mapping[str, Any] = field(default_factory=dict)


def reliance(definitions: Definitions, tables: Iterable[Table]) -> Reliance:
    """What these definitions rely on. ``digest`` identifies everything that they do."""
    classes = {table.name: _columns(table) for table in tables}
    policies = {policy.name: to_json(policy) for policy in definitions.fifos}
    roles = {role.name: recorded(role) for role in definitions.roles}
    texts = [worker.script.text for worker in definitions.workers]
    texts += [module.script.text for module in definitions.modules]
    for route in definitions.routes:
        scripts = (route.request_script, route.response_script)
        texts += [route.path, *(script.text for script in scripts if script is not None)]
    whole = json.dumps([classes, policies, roles, texts], sort_keys=True)
    return Reliance(
        classes, policies, roles, hashlib.sha256(whole.encode("utf-8", "replace")).hexdigest()[:12]
    )


def _columns(table: Table) -> Columns:
    unique = {
        column.name
        for index in table.indexes
        if index.unique and len(index.columns) == 1
        for column in index.columns
    }
    found: Columns = {}
    for column in table.columns:
        content = content_of(column)
        if content is not None:
            found[column.name] = {
                "rules": json.loads(content.rules),
                "required": not column.nullable and column.server_default is None,
                "unique": column.name in unique,
            }
    return found


async def running(storage: Storage) -> list[Neighbour]:
    """The other servers that run on the database."""
    own = await storage.register()
    rows = await storage.select(select(SERVER).order_by(SERVER.c.process))
    return [_neighbour(row) for row in rows if row["process"] != own and await storage.alive(row["process"])]


def compare(mine: Reliance, others: Sequence[Neighbour]) -> Beside:
    """What to report, and what to keep. Raises ``CannotOpen`` if the servers would break each other."""
    broken = [
        f"  {other}: {text}" for other in others for text in _broken(mine.classes, other.reliance.classes)
    ]
    if broken:
        listed = "\n".join(broken)
        raise CannotOpen(
            "servers with other definitions run on this database, and one of us would break the other:\n"
            f"{listed}\n"
            "Stop them first, then start this one (`framework migrate DIR` shows what becomes of the tables); or "
            "serve the definitions that they have"
        )
    policies: dict[str, FifoPolicy] = {}
    roles: dict[str, Any] = {}
    said: list[str] = []
    for other in others:
        if other.reliance.digest == mine.digest:
            said.append(f"{other} has the same definitions")
            continue
        said.append(f"{other} has other definitions")
        said += _told(mine, other.reliance)
        policies |= {
            fifo: from_json(fifo, text)
            for fifo, text in other.reliance.policies.items()
            if fifo not in mine.policies
        }
        roles |= {name: rights for name, rights in other.reliance.roles.items() if name not in mine.roles}
    return Beside(others, said, policies, roles)


async def enter(storage: Storage, mine: Reliance, folder: str | None) -> None:
    """Record this server until the process closes the database. Records of dead ones are removed."""
    own = await storage.register()
    gone = [
        Delete(SERVER, "process", row["process"])
        for row in await storage.select(select(SERVER.c.process))
        if row["process"] == own or not await storage.alive(row["process"])
    ]
    row = {
        "process": own,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started_at": time.time(),
        "folder": folder,
        "version": __version__,
        "digest": mine.digest,
        "relies_on": {"classes": mine.classes, "policies": mine.policies, "roles": mine.roles},
    }
    await storage.write([*gone, Insert(SERVER, row)])


def _neighbour(row: Any) -> Neighbour:
    relied = Reliance(**row["relies_on"], digest=row["digest"])
    return Neighbour(row["process"], row["host"], row["pid"], row["started_at"], row["folder"], relied)


# ---- what does not go together --------------------------------------------------------------


def _broken(mine: Mapping[str, Columns], theirs: Mapping[str, Columns]) -> Iterator[str]:
    for name in mine.keys() & theirs.keys():
        yield from _differences(name, mine[name], theirs[name])


def _differences(name: str, mine: Columns, theirs: Columns) -> Iterator[str]:
    for column in sorted(mine.keys() | theirs.keys()):
        here, there = mine.get(column), theirs.get(column)
        if here is None or there is None:
            known = here or there
            if known is not None and known["required"]:
                with_, without = ("this start", "it") if there is None else ("it", "this start")
                yield f"{name}.{column} is required by {with_}, and {without} does not have it"
            continue
        for what, text in (("required", "required"), ("unique", "unique")):
            if here[what] != there[what]:
                who = "this start" if here[what] else "it"
                yield f"{name}.{column} is {text} for {who} only"
        if not _goes_with(here["rules"], there["rules"]):
            yield (f"{name}.{column} takes {_shown(there['rules'])} there, and {_shown(here['rules'])} here")


def _goes_with(here: Mapping[str, Any], there: Mapping[str, Any]) -> bool:
    """Do the values of each side match the other's rules, or at least those of the older one the newer rules?"""
    if here == there:
        return True
    rest = [{key: value for key, value in rules.items() if key != "enum"} for rules in (here, there)]
    return rest[0] == rest[1] and _wider(here.get("enum"), there.get("enum"))


def _wider(here: Sequence[Any] | None, there: Sequence[Any] | None) -> bool:
    """Does the enum of this start accept everything that the other one accepts?"""
    return here is None or (there is not None and all(value in here for value in there))


def _shown(rules: Mapping[str, Any]) -> str:
    text = ", ".join(
        f"{key} {json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value}"
        for key, value in rules.items()
    )
    return text if len(text) <= 120 else f"{text[:119]}…"


# ---- what is said ---------------------------------------------------------------------------


def _told(mine: Reliance, theirs: Reliance) -> Iterator[str]:
    for name in sorted(mine.classes.keys() & theirs.classes.keys()):
        here, there = mine.classes[name], theirs.classes[name]
        for column in sorted(here.keys() & there.keys()):
            if here[column]["rules"] != there[column]["rules"]:
                yield f"{name}.{column} takes more values here than there: it may read what it would not write"
        for column in sorted(here.keys() - there.keys()):
            yield f"{name}.{column} is unknown there"
    for fifo in sorted(mine.policies.keys() | theirs.policies.keys()):
        here_, there_ = mine.policies.get(fifo), theirs.policies.get(fifo)
        if here_ is None:
            yield f"FIFO {fifo} has a policy there and none here: theirs stays in force, here too"
        elif there_ is None:
            yield f"FIFO {fifo} has a policy here and none there: it goes on without until it is restarted"
        elif here_ != there_:
            yield (
                f"FIFO {fifo} has another policy here ({_changes(there_, here_)}): "
                "it goes on with its own until it is restarted"
            )
    for name in sorted(theirs.roles.keys() - mine.roles.keys()):
        yield f"role {name} is not defined here; it stays known, for the gateway there"


def _changes(before: str, after: str) -> str:
    old, new = json.loads(before), json.loads(after)
    return ", ".join(f"{key} {old.get(key)} → {value}" for key, value in new.items() if old.get(key) != value)
