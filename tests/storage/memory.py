"""An engine of plain dicts: it answers the statements that decisions ask for, and decides nothing itself."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from typing import Any, TypeVar

from framework.storage.decisions import DECISIONS
from framework.storage.decisions.process import Process
from framework.storage.decisions.steps import Asked, Decision
from framework.storage.gathering import drive
from framework.storage.operations import Operation

T = TypeVar("T")
Record = dict[str, Any]


FIFO = ("id", "epoch", "owner", "item", "worker", "since", "paused", "policy", "idle_since")
_BOTH = (
    "fifo",
    "payload",
    "put_at",
    "request_id",
    "attempts",
    "crashes",
    "first_at",
    "last_at",
    "reason",
    "traceback",
)
ITEM = (*_BOTH, "key", "suspicion", "held", "not_before", "delay")
DEAD = (*_BOTH, "item", "died_at", "lived_at")
REQUEST = ("fingerprint", "process", "status", "headers", "body", "lived_at")


def _columns(record: Record, names: Sequence[str]) -> tuple[Any, ...]:
    return tuple(record[name] for name in names)


class Clock:
    """The steady clock of all processes, set by the test. The time lived is the same here."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Tables:
    """What is stored. A unit that fails leaves it as it was."""

    def __init__(self) -> None:
        self.fifos: dict[str, Record] = {}
        self.items: dict[int, Record] = {}
        self.dead: dict[int, Record] = {}
        self.keys: dict[tuple[int, str], Record] = {}
        self.drains: list[int] = []
        self.processes: dict[int, Record] = {}
        self.problems: dict[tuple[int, str], Any] = {}
        self.requests: dict[tuple[str, ...], Record] = {}
        self.least_epoch = 0
        self.last = dict.fromkeys(("item", "dead", "drain", "process"), 0)

    def number(self, kind: str) -> int:
        self.last[kind] += 1
        return self.last[kind]


class Memory:
    """One database, for all processes of a test."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.tables = Tables()
        self.living: set[int] = set()

    def run(self, process: Process, operations: Sequence[Operation]) -> list[Any]:
        """The answers of one unit."""
        return self.unit([DECISIONS[type(op)](op, process) for op in operations])

    def unit(self, decisions: Sequence[Decision[Any]]) -> list[Any]:
        before = copy.deepcopy(self.tables)
        try:
            return [drive(decision, self._answer) for decision in decisions]
        except BaseException:
            self.tables = before
            raise

    def _answer(self, asked: Asked) -> Any:
        step, parameters = asked
        return getattr(self, f"_{step.name.lower()}")(*parameters)

    def _by_id(self, fifo_id: int | None) -> Record:
        return next((fifo for fifo in self.tables.fifos.values() if fifo["id"] == fifo_id), {})

    def _of(self, records: dict[int, Record], fifo_id: int | None) -> list[int]:
        return sorted(number for number, record in records.items() if record["fifo"] == fifo_id)

    def _owned(self, process: int | None) -> list[Record]:
        found = [fifo for fifo in self.tables.fifos.values() if fifo["item"] and fifo["owner"] == process]
        return sorted(found, key=lambda fifo: int(fifo["id"]))

    def stored(self) -> dict[str, list[tuple[Any, ...]]]:
        """All that is stored, each table by its columns."""
        kept = self.tables
        counted = ((*key, *record.values()) for key, record in kept.keys.items())
        return {
            "fifo": [
                (name, len(self._of(kept.items, fifo["id"])), *_columns(fifo, FIFO))
                for name, fifo in sorted(kept.fifos.items())
            ],
            "item": [(number, *_columns(item, ITEM)) for number, item in kept.items.items()],
            "dead": [(number, *_columns(letter, DEAD)) for number, letter in kept.dead.items()],
            "key": sorted(counted),
            "drain": [(number,) for number in kept.drains],
            "process": [(number, one["stopping"]) for number, one in kept.processes.items()],
            "problem": sorted((*key, *problem) for key, problem in kept.problems.items()),
            "request": sorted((*key, *_columns(one, REQUEST)) for key, one in kept.requests.items()),
            "clock": [(kept.least_epoch,)],
        }

    # ---- of the engine itself ---------------------------------------------------------------

    def _alive(self, process: int) -> bool:
        return process in self.living

    def _steady(self) -> float:
        return self._clock.now

    _lived = _now = _steady

    def _look(self) -> tuple[float, float, float]:
        return self._clock.now, 0.0, self._clock.now

    # ---- FIFOs ------------------------------------------------------------------------------

    def _fifo(self, name: str) -> tuple[Any, ...] | None:
        fifo = self.tables.fifos.get(name)
        drain = max(self.tables.drains, default=None)
        return fifo and (*(fifo[column] for column in ("id", "epoch", "owner", "item", "paused")), drain)

    def _new_fifo(self, name: str) -> None:
        if name not in self.tables.fifos:
            new: Record = dict.fromkeys(("owner", "item", "worker", "since", "policy", "idle_since"))
            # A number may be used again: nothing is left of a FIFO that was forgotten.
            number = 1 + max((fifo["id"] for fifo in self.tables.fifos.values()), default=0)
            new |= {"id": number, "epoch": self.tables.least_epoch, "paused": False}
            self.tables.fifos[name] = new

    def _length(self, name: str) -> tuple[int] | None:
        fifo = self.tables.fifos.get(name)
        return fifo and (len(self._of(self.tables.items, fifo["id"])),)

    def _held(self, fifo_id: int) -> tuple[int, int]:
        return len(self._of(self.tables.items, fifo_id)), len(self._of(self.tables.dead, fifo_id))

    def _take(
        self, fifo_id: int, epoch: int, owner: int, item: int, worker: str | None, since: float
    ) -> None:
        self._by_id(fifo_id).update(epoch=epoch, owner=owner, item=item, worker=worker, since=since)

    def _claim(self, name: str, item: int, epoch: int) -> tuple[int] | None:
        fifo = self.tables.fifos.get(name, {})
        return (1,) if (fifo.get("item"), fifo.get("epoch")) == (item, epoch) else None

    def _let_go(self, name: str, item: int, epoch: int) -> int:
        if self._claim(name, item, epoch) is None:
            return 0
        self.tables.fifos[name]["item"] = None
        return 1

    def _let_go_fenced(self, name: str, item: int, epoch: int) -> int:
        found = self._let_go(name, item, epoch)
        if found:
            self.tables.fifos[name]["epoch"] += 1
        return found

    def _pause(self, name: str, paused: bool) -> None:
        self.tables.fifos[name].update(paused=paused, idle_since=None)

    def _policy(self, name: str, policy: str | None) -> None:
        if name in self.tables.fifos:
            self.tables.fifos[name].update(policy=policy, idle_since=None)

    def _drain(self, _at: float) -> None:
        self.tables.drains.append(self.tables.number("drain"))

    def _no_drain(self) -> int:
        before, self.tables.drains = len(self.tables.drains), []
        return before

    # ---- items ------------------------------------------------------------------------------

    def _add(self, fifo: Record, **values: Any) -> int:
        item: Record = dict.fromkeys(("key", "first_at", "last_at", "reason", "traceback"))
        item |= {"fifo": fifo["id"], "attempts": 0, "crashes": 0, "suspicion": 0}
        item |= {"held": False, "not_before": 0.0, "delay": 0.0}
        fifo["idle_since"] = None
        number = self.tables.number("item")
        self.tables.items[number] = item | values
        return number

    def _put(
        self, name: str, payload: str, key: str | None, put_at: float, request_id: str | None
    ) -> int | None:
        fifo = self.tables.fifos.get(name)
        if fifo is None:
            return None
        return self._add(fifo, payload=payload, key=key, put_at=put_at, request_id=request_id)

    def _head(self, fifo_id: int | None) -> tuple[Any, ...] | None:
        ids = self._of(self.tables.items, fifo_id)
        if not ids:
            return None
        item = self.tables.items[ids[0]]
        counted = (item["payload"], item["attempts"], item["crashes"], item["put_at"])
        held = (item["held"], item["not_before"], item["delay"])
        return (ids[0], *counted, *held, item["request_id"], item["suspicion"])

    def _count_attempt(self, item: int, now: float) -> None:
        record = self.tables.items[item]
        record["attempts"] += 1
        record["last_at"] = now
        record["first_at"] = now if record["first_at"] is None else record["first_at"]

    def _take_back(self, item: int) -> None:
        self.tables.items[item]["attempts"] -= 1

    def _crashes(self, item: int) -> tuple[int] | None:
        return (self.tables.items[item]["crashes"],) if item in self.tables.items else None

    def _count_crash(self, item: int, crashes: int) -> None:
        self._take_back(item)
        self.tables.items[item]["crashes"] = crashes

    def _suspect(self, item: int) -> None:
        self._take_back(item)
        self.tables.items[item]["suspicion"] += 1

    def _give_back(self, item: int, not_before: float, delay: float) -> None:
        self._take_back(item)
        self.tables.items[item].update(not_before=not_before, delay=delay)

    def _hold_back(
        self, item: int, held: bool, not_before: float, delay: float, reason: str, traceback: str | None
    ) -> None:
        self.tables.items[item].update(
            held=held, not_before=not_before, delay=delay, reason=reason, traceback=traceback, suspicion=0
        )

    def _hold(self, item: int, reason: str) -> None:
        self.tables.items[item].update(held=True, reason=reason)

    def _due(self, item: int) -> None:
        self.tables.items[item].update(held=False, not_before=0.0, delay=0.0)

    def _delete_item(self, item: int) -> None:
        self.tables.items.pop(item, None)

    def _drop(self, fifo_id: int | None, item: int) -> int:
        found = item in self._of(self.tables.items, fifo_id)
        if found:
            del self.tables.items[item]
        return int(found)

    def _purge(self, fifo_id: int | None, kept: int | None, upto: int, limit: int) -> int:
        ids = [item for item in self._of(self.tables.items, fifo_id) if item != kept and item <= upto]
        for item in ids[:limit]:
            del self.tables.items[item]
        return len(ids[:limit])

    def _known_key(self, name: str, key: str, since: float, _at: float, _window: float) -> Any:
        known = self.tables.keys.get((self.tables.fifos.get(name, {}).get("id", 0), key))
        return (known["item"],) if known and known["lived"] > since else None

    def _keep_key(self, name: str, key: str, item: int, _at: float, lived: float) -> None:
        self.tables.keys[self.tables.fifos[name]["id"], key] = {"item": item, "lived": lived}

    def _forget_keys(self, name: str, since: float) -> None:
        fifo_id, keys = self.tables.fifos[name]["id"], self.tables.keys
        self.tables.keys = {
            key: kept for key, kept in keys.items() if key[0] != fifo_id or kept["lived"] > since
        }

    # ---- dead letters -----------------------------------------------------------------------

    def _bury(self, item: int, reason: str, traceback: str | None, died_at: float, lived: float) -> None:
        if item not in self.tables.items:
            return
        record = self.tables.items[item]
        letter = record | {"item": item, "reason": reason, "died_at": died_at, "lived_at": lived}
        letter["traceback"] = record["traceback"] if traceback is None else traceback
        self.tables.dead[self.tables.number("dead")] = letter

    def _dead(self, fifo_id: int | None, dead_id: int | None, upto: int, limit: int) -> list[tuple[int]]:
        ids = self._of(self.tables.dead, fifo_id)
        return [(number,) for number in ids if dead_id in (None, number) and number <= upto][:limit]

    def _redrive(self, dead_id: int) -> int:
        letter = self.tables.dead[dead_id]
        kept = {name: letter[name] for name in ("payload", "put_at", "request_id", "first_at", "last_at")}
        return self._add(self._by_id(letter["fifo"]), **kept)

    def _delete_dead(self, dead_id: int) -> None:
        del self.tables.dead[dead_id]

    def _purge_dead(
        self,
        fifo_id: int | None,
        dead_id: int | None,
        before: float | None,
        lived_before: float | None,
        upto: int,
        limit: int,
    ) -> int:
        found = [number for (number,) in self._dead(fifo_id, dead_id, upto, 2**63)]
        for name, bound in (("died_at", before), ("lived_at", lived_before)):
            if bound is not None:
                found = [number for number in found if self.tables.dead[number][name] < bound]
        for number in found[:limit]:
            del self.tables.dead[number]
        return len(found[:limit])

    # ---- a FIFO that is of no use -----------------------------------------------------------

    def _mark_idle(self, lived: float) -> None:
        for fifo in self.tables.fifos.values():
            of_use = fifo["item"] or fifo["policy"] or fifo["paused"] or any(self._held(fifo["id"]))
            if not of_use and fifo["idle_since"] is None:
                fifo["idle_since"] = lived

    def _idle_fifos(self, since: float, limit: int) -> list[tuple[int]]:
        fifos = self.tables.fifos.values()
        idle = [fifo["id"] for fifo in fifos if fifo["idle_since"] is not None and fifo["idle_since"] < since]
        return [(number,) for number in idle if not any(self._held(number))][:limit]

    def _forget_some_keys(self, fifo_id: int, limit: int) -> int:
        some = list(itertools.islice((key for key in self.tables.keys if key[0] == fifo_id), limit))
        for key in some:
            del self.tables.keys[key]
        return len(some)

    def _keep_epoch(self, fifo_id: int) -> None:
        self.tables.least_epoch = max(self.tables.least_epoch, self._by_id(fifo_id)["epoch"])

    def _forget(self, fifo_id: int) -> None:
        fifos = self.tables.fifos
        self.tables.fifos = {name: fifo for name, fifo in fifos.items() if fifo["id"] != fifo_id}

    # ---- processes --------------------------------------------------------------------------

    def _register(self, host: str, pid: int, started_at: float) -> int:
        number = self.tables.number("process")
        self.tables.processes[number] = {"at": started_at, "host": host, "pid": pid, "stopping": False}
        return number

    def _idle_processes(self, started_before: float) -> list[tuple[int]]:
        old = [number for number, one in self.tables.processes.items() if one["at"] < started_before]
        return [(number,) for number in old if not self._owned(number)]

    def _forget_process(self, process: int) -> None:
        del self.tables.processes[process]

    def _forget_problems(self, process: int) -> None:
        problems = self.tables.problems
        self.tables.problems = {key: problem for key, problem in problems.items() if key[0] != process}

    def _begin_stop(self, process: int | None) -> None:
        if process is not None and self._owned(process):
            self.tables.processes[process]["stopping"] = True

    def _stopping(self, process: int) -> tuple[int] | None:
        return (1,) if self.tables.processes.get(process, {}).get("stopping") else None

    def _busy(self, process: int) -> tuple[int] | None:
        return (1,) if self._owned(process) else None

    def _in_work(self, name: str, process: int, item: int) -> tuple[int] | None:
        fifo = self.tables.fifos.get(name, {})
        return (1,) if (fifo.get("owner"), fifo.get("item")) == (process, item) else None

    def _orphans(self, process: int) -> list[tuple[int, int]]:
        return [(fifo["id"], fifo["item"]) for fifo in self._owned(process)]

    def _orphan(self, fifo_id: int) -> None:
        fifo = self._by_id(fifo_id)
        fifo.update(item=None, epoch=fifo["epoch"] + 1)

    def _problem(self, process: int, worker: str, problem: str, since: float) -> None:
        self.tables.problems[process, worker] = problem, since

    def _no_problem(self, process: int, worker: str) -> None:
        self.tables.problems.pop((process, worker), None)

    # ---- requests that may come twice -------------------------------------------------------

    def _request(self, account: str, method: str, path: str, key: str, since: float) -> Any:
        found = self.tables.requests.get((account, method, path, key))
        if found is None or found["lived_at"] < since:
            return None
        return tuple(found[name] for name in ("fingerprint", "process", "status", "headers", "body"))

    def _begin_request(
        self,
        account: str,
        method: str,
        path: str,
        key: str,
        fingerprint: bytes,
        process: int,
        _now: float,
        lived: float,
    ) -> None:
        new: Record = dict.fromkeys(("status", "headers", "body"))
        new |= {"fingerprint": fingerprint, "process": process, "lived_at": lived}
        self.tables.requests[account, method, path, key] = new

    def _answer_request(
        self,
        account: str,
        method: str,
        path: str,
        key: str,
        process: int,
        status: int,
        headers: str,
        body: bytes,
    ) -> int:
        found = self.tables.requests.get((account, method, path, key), {"process": None})
        if found["process"] != process:
            return 0
        found.update(process=None, status=status, headers=headers, body=body)
        return 1

    def _unmark_request(self, account: str, method: str, path: str, key: str, process: int) -> None:
        same = (account, method, path, key)
        if self.tables.requests.get(same, {"process": None})["process"] == process:
            del self.tables.requests[same]
