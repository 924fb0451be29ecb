"""Chaos: two servers on one file, killed and stopped at random, while clients go on posting orders.

Every order that was answered 202 is worked off; none overtakes one that was answered before it was posted;
no two are in work at once; a kill costs at most one delivery more.

The kills do not come by a clock alone: two of three wait until their server has answered an order, so that a
busy machine makes the run longer, not emptier.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.acceptance.server import Server, until

from .app import PATIENCE, Note, app, notes, until_ended
from .conftest import Serve

CLIENTS = 3


@dataclass
class Posted:
    """An order as its client knows it: ``order_id`` once it was answered 202, else nobody knows."""

    number: int
    sent: float
    answered: float | None = None
    order_id: str | None = None


class Slot:
    """One of the two places for a server; ``at_work`` is set once its present process answered an order."""

    def __init__(self, serve: Serve, definitions: Path) -> None:
        self._serve = serve
        self._definitions = definitions
        self.server: Server = self._start()

    def _start(self) -> Server:
        self.at_work = threading.Event()
        return self._serve(self._definitions, wait=False)

    def address(self) -> tuple[str, int] | None:
        """Where it listens; None while it starts."""
        try:
            return self.server.address
        except AssertionError:
            try:
                return self.server.address if self.server._serves() else None
            except (AssertionError, OSError):
                return None

    def kill(self) -> tuple[int, float]:
        """Kill it and start it anew; its process and when it was still alive."""
        pid, at = self.server.process.pid, time.monotonic()
        assert self.server.process.poll() is None, self.server.err
        self.server.kill()
        self.server = self._start()
        return pid, at


class Client(threading.Thread):
    """Posts one order after another, to whichever server answers."""

    def __init__(self, slots: list[Slot], numbers: itertools.count[int], source: random.Random) -> None:
        super().__init__()
        self._slots = slots
        self._numbers = numbers
        self._source = source
        self.posted: list[Posted] = []
        self.refused: list[tuple[int, bytes]] = []
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(self._source.uniform(0.0, 0.04)):
            slot = self._source.choice(self._slots)
            at_work, address = slot.at_work, slot.address()
            if address is not None:
                self._post(address, at_work)

    def _post(self, address: tuple[str, int], at_work: threading.Event) -> None:
        order = Posted(next(self._numbers), time.monotonic())
        self.posted.append(order)
        connection = http.client.HTTPConnection(*address, timeout=15)
        try:
            connection.request("POST", "/v1/orders/", json.dumps({"number": order.number}))
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            return
        finally:
            connection.close()
        if response.status == 202:
            order.order_id = json.loads(body)["orderId"]
            order.answered = time.monotonic()
            at_work.set()
        else:
            self.refused.append((response.status, body))


@dataclass
class Faults:
    """What was done to the servers."""

    killed: dict[int, float] = field(default_factory=dict)  # by process: when it was still alive
    stops: int = 0
    at_work: int = 0  # kills of a server that had answered an order


def make_trouble(slots: list[Slot], count: int, source: random.Random) -> Faults:
    """Kill ``count`` times, now one server, now the other, now a stopped one, now one that only starts."""
    faults = Faults()
    began = time.monotonic()
    for number in range(1, count + 1):
        time.sleep(source.choice([source.uniform(0, 0.2), source.uniform(0.2, 1.0)]))
        slot = source.choice(slots)
        if number % 3:
            assert slot.at_work.wait(PATIENCE), f"it answers no order\n{slot.server.err}"
            time.sleep(source.uniform(0, 0.3))
        kind = source.random()
        if kind < 0.35:
            slot.server.send(signal.SIGSTOP)
            faults.stops += 1
            time.sleep(source.uniform(0.01, 0.7))
            if kind < 0.25:
                slot.server.send(signal.SIGCONT)
                time.sleep(source.uniform(0.0, 0.1))
        faults.at_work += slot.at_work.is_set()
        pid, at = slot.kill()
        faults.killed[pid] = at
        if source.random() < 0.1:  # both at once
            pid, at = next(other for other in slots if other is not slot).kill()
            faults.killed[pid] = at
        if number % 25 == 0:
            print(f"{number} kills, {time.monotonic() - began:.0f} s", flush=True)
    return faults


def assert_one_at_a_time(log: list[Note], killed: dict[int, float]) -> None:
    """A start follows the end of the one before, or its process was killed: then it is the same order."""
    before: Note | None = None
    for note in log:
        if note.what == "end":
            assert before is not None, note
            assert before.what == "start", (before, note)
            assert (before.pid, before.item, before.epoch) == (note.pid, note.item, note.epoch), (
                before,
                note,
            )
        elif before is not None:
            if before.what == "start" or before.item == note.item:
                assert before.item == note.item, (before, note)
                assert before.pid != note.pid, (before, note)
                assert killed[before.pid] <= note.at, (before, note)
                assert note.epoch > before.epoch, (before, note)
            assert note.item >= before.item, (before, note)
            assert note.epoch >= before.epoch, (before, note)
        before = note


def assert_first_come_first_served(log: list[Note], posted: list[Posted]) -> None:
    """No order was begun before another one that had been answered before it was sent."""
    orders = {order.number: order for order in posted}
    latest_sent = 0.0
    for number in dict.fromkeys(note.number for note in log if note.what == "start"):
        order = orders[number]
        if order.answered is not None:
            assert order.answered > latest_sent, f"{order} was overtaken"
        latest_sent = max(latest_sent, order.sent)


@pytest.mark.parametrize(
    "kills",
    [15, pytest.param(int(os.environ.get("FAULTS_KILLS", "300")), marks=pytest.mark.long, id="long")],
)
@pytest.mark.timeout(3600)
def test_nothing_is_lost_and_nothing_overtakes_whatever_happens_to_the_servers(
    serve: Serve, tmp_path: Path, source: random.Random, kills: int
) -> None:
    mode = source.choice(["multi", "single"])
    print(f"{kills} kills of servers with a worker of mode {mode}")
    definitions = app(tmp_path, work="await asyncio.sleep(0.1 if name % 10 == 0 else 0.004)", mode=mode)
    slots = [Slot(serve, definitions) for _ in range(2)]
    until(lambda: all(slot.address() for slot in slots), PATIENCE)
    counter = itertools.count()
    clients = [Client(slots, counter, random.Random(source.random())) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        faults = make_trouble(slots, kills, source)
    finally:
        for client in clients:
            client.over.set()
        for client in clients:
            client.join()
    posted = [order for client in clients for order in client.posted]
    answered = {order.number: order.order_id for order in posted if order.order_id is not None}
    refused = Counter(refusal for client in clients for refusal in client.refused)

    until_ended(tmp_path, answered.keys())
    for slot in slots:
        until(slot.address, PATIENCE)
        assert slot.server.stop(timeout=PATIENCE) == 0

    log = notes(tmp_path)
    starts = [note for note in log if note.what == "start"]
    begun = {note.item for note in starts}
    print(
        f"{len(faults.killed)} kills, {faults.at_work} at work, {faults.stops} stops; {len(posted)} posted, "
        f"{len(answered)} answered 202, {sum(refused.values())} refused {dict(refused)}, "
        f"{len(begun)} worked off, {len(starts) - len(begun)} deliveries repeated"
    )
    assert_one_at_a_time(log, faults.killed)
    assert_first_come_first_served(log, posted)
    statuses, left, dead, sound = stored(tmp_path / "test.db")
    assert sound == "ok"
    assert (left, dead) == (0, 0)
    assert {statuses[order_id] for order_id in answered.values()} <= {"done"}
    assert set(statuses.values()) <= {"done"}  # an order and its item are stored together, or neither
    assert len(statuses) == len(begun)
    assert len(starts) - len(begun) <= len(faults.killed)
    assert {note.attempt for note in starts} == {1}  # crashes are counted apart
    assert {code for code, _ in refused} <= {503}
    assert sum(refused.values()) <= len(answered) / 20  # a kill holds up nobody for long
    assert kills - kills // 3 <= faults.at_work <= len(answered)
    assert kills < 100 or len(starts) > len(begun)  # some hit an order in work


def stored(path: Path) -> tuple[dict[str, str], int, int, str]:
    """The status of each order, how many items and dead letters there are, and whether the file is sound."""
    connection = sqlite3.connect(path)
    try:
        statuses = dict(connection.execute('SELECT "orderId", status FROM "OrderEntry"').fetchall())
        [left] = connection.execute("SELECT count(*) FROM _framework_item").fetchone()
        [dead] = connection.execute("SELECT count(*) FROM _framework_dead").fetchone()
        [sound] = connection.execute("PRAGMA integrity_check").fetchone()
        return statuses, left, dead, sound
    finally:
        connection.close()
