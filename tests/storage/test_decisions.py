"""Decisions need no database: they are driven here by an engine of plain dicts, with what must come of it.

That SQLite's texts say the same is tested by handing both the same operations, whatever they are.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from random import Random
from typing import Any

import pytest
from sqlalchemy.schema import CreateTable

from framework.errors import ClaimLost, FifoFull, InWork, NotEmpty, RequestInProgress, RequestMismatch
from framework.storage import tables
from framework.storage.decisions import DECISIONS, fifos, steps, suspects, upkeep
from framework.storage.decisions.process import Process
from framework.storage.decisions.steps import Decision
from framework.storage.operations import (
    Acknowledge,
    BeginRequest,
    BeginStop,
    Bury,
    Claim,
    Deliver,
    Delivery,
    Drain,
    Drop,
    EndRequest,
    Failure,
    Forget,
    Operation,
    Pause,
    Prune,
    Purge,
    PurgeDead,
    Put,
    RecordPolicy,
    RecordProblem,
    Redrive,
    Release,
    RequestKey,
    RetryNow,
    Skip,
    StoredResponse,
    Undelivered,
)
from framework.storage.sqlite.dialect import Dialect
from framework.storage.sqlite.operations import ANSWERS, drive
from framework.storage.sqlite.triggers import make_triggers

from .memory import DEAD, FIFO, ITEM, REQUEST, Clock, Memory

FAILURE = Failure("boom", "line 1", 20.0)


class Installation:
    """A database in memory, and the processes on it."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.memory = Memory(clock)

    def process(self) -> Node:
        [number] = self.memory.unit([upkeep.register("host", 1)])
        self.memory.living.add(number)
        return Node(self.memory, number)


class Node:
    """A process that can die."""

    def __init__(self, memory: Memory, number: int) -> None:
        self._memory = memory
        self.process = Process()
        self.process.number = number
        self.number = number

    def do(self, operation: Operation) -> Any:
        [answer] = self._memory.run(self.process, [operation])
        return answer

    def put(self, *payloads: str, fifo: str = "q") -> list[int]:
        return [self.do(Put(fifo, payload, 1.0)) for payload in payloads]

    def take(self, fifo: str = "q", **policy: Any) -> Delivery:
        delivery = self.do(Deliver(fifo, 10.0, "w", **policy))
        assert isinstance(delivery, Delivery), delivery
        return delivery

    def refused(self, fifo: str = "q", **policy: Any) -> Undelivered:
        refused = self.do(Deliver(fifo, 10.0, "w", **policy))
        assert isinstance(refused, Undelivered), refused
        return refused

    def die(self) -> None:
        self._memory.living.remove(self.number)

    def holds(self, claim: Claim) -> bool:
        try:
            self._memory.unit([fifos.hold(claim)])
        except ClaimLost:
            return False
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(suspects, "time", clock)
    return clock


@pytest.fixture
def installation(clock: Clock) -> Installation:
    return Installation(clock)


@pytest.fixture
def node(installation: Installation) -> Node:
    return installation.process()


# ---- the life of an item ----------------------------------------------------------------------


def test_items_are_delivered_in_order_and_one_at_a_time(installation: Installation, node: Node) -> None:
    assert node.put("a", "b") == [1, 2]
    first = node.take()
    assert first == Delivery(Claim("q", 1, first.claim.epoch), "a", 1, 0, 1.0, None)
    assert node.refused() == Undelivered("busy")
    assert installation.process().refused() == Undelivered("busy")
    node.do(Acknowledge(first.claim))
    assert node.take().payload == "b"
    assert node.refused("nobody filled it") == Undelivered("empty")


def test_a_claim_ends_with_its_item(node: Node) -> None:
    node.put("a", "b")
    claim = node.take().claim
    assert node.holds(claim)
    node.do(Acknowledge(claim))
    assert not node.holds(claim)
    for operation in (Acknowledge(claim), Release(claim, FAILURE), Bury(claim, FAILURE)):
        with pytest.raises(ClaimLost):
            node.do(operation)
    for operation in (Acknowledge(claim, settled=True), Release(claim, settled=True)):
        node.do(operation)
    assert node.take().payload == "b"


def test_a_failure_counts_and_holds_back_and_a_stop_does_not(node: Node, clock: Clock) -> None:
    node.put("a")
    node.do(Release(node.take().claim))
    again = node.take()
    assert again.attempt == 1
    node.do(Release(again.claim, FAILURE, 30.0))
    assert not node.holds(again.claim)
    clock.now += 10.0
    assert node.refused() == Undelivered("waiting", 20.0)
    clock.now += 19.5
    assert node.refused() == Undelivered("waiting", 0.5)
    clock.now += 0.5
    assert node.take().attempt == 2


def test_a_back_off_of_another_run_of_the_machine_is_over(node: Node, clock: Clock) -> None:
    node.put("a")
    node.do(Release(node.take().claim, FAILURE, 30.0))
    clock.now = 5.0  # the steady clock has begun anew
    assert node.take().attempt == 2


def test_a_head_that_is_held_waits_for_an_operator(node: Node) -> None:
    node.put("a", "b")
    node.do(Release(node.take().claim, FAILURE, hold=True))
    assert node.refused() == Undelivered("held")
    assert node.do(RetryNow("q")) is True
    assert node.do(RetryNow("q")) is False
    assert node.take().payload == "a"


def test_what_is_buried_can_be_redriven_and_begins_anew(installation: Installation, node: Node) -> None:
    node.put("a", "b")
    node.do(Bury(node.take().claim, FAILURE))
    [letter] = installation.memory.tables.dead.values()
    assert (letter["payload"], letter["reason"], letter["traceback"], letter["item"]) == (
        "a",
        "boom",
        "line 1",
        1,
    )
    assert node.do(Redrive("q")) == [3]
    assert node.do(Redrive("q")) == []
    node.do(Acknowledge(node.take().claim))
    again = node.take()
    assert (again.payload, again.attempt, again.put_at) == ("a", 1, 1.0)


def test_a_full_fifo_takes_nothing(node: Node) -> None:
    node.do(Put("q", "a", 1.0, max_length=1))
    with pytest.raises(FifoFull, match="holds 1 items"):
        node.do(Put("q", "b", 1.0, max_length=1))
    assert node.do(Purge("q")) == 1


def test_a_key_that_is_known_puts_nothing_for_a_while(node: Node, clock: Clock) -> None:
    first = node.do(Put("q", "a", 1.0, "k", 60.0))
    clock.now += 59.0
    assert node.do(Put("q", "b", 1.0, "k", 60.0)) == first
    clock.now += 1.0
    assert node.do(Put("q", "b", 1.0, "k", 60.0)) == first + 1


def test_a_put_with_a_key_forgets_what_is_older_and_nothing_else(
    installation: Installation, node: Node, clock: Clock
) -> None:
    node.do(Put("q", "a", 1.0, "old", 60.0))
    clock.now += 30.0
    node.do(Put("q", "a", 1.0, "young", 60.0))
    clock.now += 30.0
    node.do(Put("q", "a", 1.0, "new", 60.0))
    assert sorted(key for _, key in installation.memory.tables.keys) == ["new", "young"]


# ---- crashes ----------------------------------------------------------------------------------


def test_the_item_of_a_dead_process_is_charged_and_buried_in_the_end(
    installation: Installation, node: Node
) -> None:
    node.put("a", "b")
    for crashes in (0, 1):
        other = installation.process()
        assert other.take(max_crashes=2).crashes == crashes
        lost = Claim("q", 1, installation.memory.tables.fifos["q"]["epoch"])
        other.die()
    assert node.take(max_crashes=2).payload == "b"
    assert not node.holds(lost)
    [letter] = installation.memory.tables.dead.values()
    assert (letter["reason"], letter["crashes"]) == ("its process died 2 times while it was in work", 2)


def test_the_claim_of_a_dead_process_holds_no_more_once_its_item_is_taken_over(
    installation: Installation, node: Node
) -> None:
    node.put("a")
    other = installation.process()
    old = other.take().claim
    other.die()
    new = node.take().claim
    assert (new.item_id, new.epoch > old.epoch) == (old.item_id, True)
    assert (node.holds(old), node.holds(new)) == (False, True)


def test_the_item_of_a_dead_process_is_held_where_the_policy_says_so(
    installation: Installation, node: Node
) -> None:
    node.put("a")
    other = installation.process()
    other.take()
    other.die()
    assert node.refused(max_crashes=1, hold=True) == Undelivered("held")
    assert installation.memory.tables.items[1]["held"]


def test_of_several_none_is_charged_and_each_is_tried_alone(installation: Installation, node: Node) -> None:
    for fifo in "abc":
        node.put(fifo, fifo=fifo)
    other = installation.process()
    other.take("a")
    other.take("b")
    other.die()
    first = node.take("a")
    assert (first.crashes, first.suspicion, first.attempt) == (0, 1, 1)
    assert [node.refused(fifo).reason for fifo in "bc"] == ["suspect", "kept"]
    node.do(Acknowledge(first.claim))
    assert node.take("b").suspicion == 1
    installation.clock.now += suspects.SOLITUDE
    assert node.take("c").suspicion == 0


def test_a_process_that_was_stopping_leaves_no_charge(installation: Installation, node: Node) -> None:
    node.put("a")
    other = installation.process()
    other.take()
    other.do(BeginStop())
    other.die()
    again = node.take(max_crashes=1)
    assert (again.crashes, again.suspicion, again.attempt) == (0, 0, 1)


def test_a_dead_process_is_forgotten_once_it_has_nothing_in_work(
    installation: Installation, node: Node
) -> None:
    node.put("a")
    other = installation.process()
    other.take()
    other.die()
    installation.clock.now += 61.0
    installation.memory.unit([upkeep.register("host", 2)])
    assert other.number in installation.memory.tables.processes
    node.take()
    installation.memory.unit([upkeep.register("host", 2)])
    assert other.number not in installation.memory.tables.processes


# ---- operators --------------------------------------------------------------------------------


def test_a_pause_and_a_drain_end_deliveries(installation: Installation, node: Node) -> None:
    node.put("a")
    node.do(Pause("q", True))
    assert node.refused() == Undelivered("paused")
    node.do(Pause("q", False))
    assert node.do(Drain(True, 1.0)) is False
    assert node.refused() == Undelivered("paused")
    later = installation.process()
    later.process.drains_before = 1  # it was opened after the drain
    assert later.take().payload == "a"
    assert node.do(Drain(False, 1.0)) is True


def test_what_is_in_work_is_neither_skipped_nor_dropped_nor_purged(node: Node) -> None:
    node.put("a", "b", "c")
    claim = node.take().claim
    for operation in (Skip("q", 1.0), Drop("q", claim.item_id)):
        with pytest.raises(InWork):
            node.do(operation)
    assert node.do(Drop("q", 2)) is True
    assert node.do(Drop("q", 2)) is False
    assert node.do(Purge("q")) == 1
    with pytest.raises(NotEmpty):
        node.do(Forget("q", 10))
    node.do(Acknowledge(claim))
    assert node.do(Skip("q", 1.0)) is None
    assert node.do(Forget("q", 10)) is True


def test_what_is_skipped_is_a_dead_letter_and_what_a_dead_process_had_is_nobodys(
    installation: Installation, node: Node
) -> None:
    node.do(Pause("q", True))
    node.do(RecordPolicy("q", "{}"))
    assert installation.memory.tables.fifos["q"]["policy"] == "{}"
    node.put("a", "b")
    node.do(Pause("q", False))
    other = installation.process()
    old = other.take().claim
    other.die()
    assert node.do(Skip("q", 1.0)) == 1
    assert [letter["reason"] for letter in installation.memory.tables.dead.values()] == ["skipped"]
    assert not node.holds(old)
    assert installation.memory.tables.fifos["q"]["item"] is None
    assert node.take().payload == "b"


def test_the_claims_of_a_fifo_that_was_forgotten_hold_no_more(node: Node) -> None:
    node.put("a")
    old = node.take().claim
    node.do(Acknowledge(old))
    assert node.do(Forget("q", 10)) is True
    node.put("a")
    assert node.take().claim.epoch > old.epoch


def test_a_fifo_of_no_use_is_pruned_after_its_time(installation: Installation, node: Node) -> None:
    node.put("a")
    node.do(Acknowledge(node.take().claim))
    assert node.do(Prune("fifos", 60.0, 10)) == 0
    installation.clock.now += 61.0
    assert node.do(Prune("fifos", 60.0, 10)) == 1
    assert installation.memory.tables.fifos == {}


# ---- requests that may come twice -------------------------------------------------------------


def test_a_request_acts_once(installation: Installation, node: Node) -> None:
    key, other = RequestKey("me", "POST", "/", "k"), installation.process()
    begin = BeginRequest(key, b"1", 1.0, 60.0)
    assert node.do(begin) is None
    with pytest.raises(RequestInProgress):
        other.do(begin)
    with pytest.raises(RequestMismatch):
        other.do(BeginRequest(key, b"2", 1.0, 60.0))
    node.do(EndRequest(key, StoredResponse(202, "{}", b"")))
    assert other.do(begin) == StoredResponse(202, "{}", b"")


def test_the_mark_of_a_dead_process_is_void(installation: Installation, node: Node) -> None:
    key, other = RequestKey("me", "POST", "/", "k"), installation.process()
    begin, end = BeginRequest(key, b"1", 1.0, 60.0), EndRequest(key, StoredResponse(202, "{}", b""))
    other.do(begin)
    other.die()
    assert node.do(begin) is None
    with pytest.raises(ClaimLost):
        other.do(end)
    node.do(EndRequest(key, None))
    assert other.do(begin) is None


# ---- SQLite's texts say the same --------------------------------------------------------------


class Sqlite:
    """The statements of the SQLite engine, with the clock and the processes of the test."""

    def __init__(self, connection: sqlite3.Connection, clock: Clock, living: set[int]) -> None:
        self._connection = connection
        self._answers = {
            **ANSWERS,
            steps.ALIVE: (None, lambda _, process: process in living),
            steps.STEADY: (None, lambda _: clock.now),
            steps.NOW: (None, lambda _: clock.now),
            steps.LIVED: (None, lambda _: clock.now),
            steps.LOOK: (None, lambda _: (clock.now, 0.0, clock.now)),
        }
        for table in tables.metadata.sorted_tables:
            connection.execute(str(CreateTable(table).compile(dialect=Dialect())))
        make_triggers(connection)
        values = "1, 'boot', 0, 0, 0, 0, 0, 0, 0, 0"
        connection.execute(f"INSERT INTO _framework_clock VALUES ({values})")

    def stored(self) -> dict[str, list[tuple[Any, ...]]]:
        """All that is stored, as ``Memory.stored`` has it."""
        columns = {
            "fifo": ("name", "length", *FIFO),
            "item": ("id", *ITEM),
            "dead": ("id", *DEAD),
            "key": ("fifo", "key", "item", "lived_at"),
            "drain": ("id",),
            "process": ("id", "stopping"),
            "problem": ("process", "worker", "problem", "since"),
            "request": ("account", "method", "path", "key", *REQUEST),
            "clock": ("epoch",),
        }
        texts = {name: f"SELECT {', '.join(of)} FROM _framework_{name}" for name, of in columns.items()}
        rows = {name: self._connection.execute(text).fetchall() for name, text in texts.items()}
        return {name: sorted(found, key=lambda row: row[:4]) for name, found in rows.items()}

    def unit(self, decisions: list[Decision[Any]]) -> list[Any]:
        self._connection.execute("BEGIN")
        try:
            answers = [drive(self._connection, decision, self._answers) for decision in decisions]
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")
        return answers


class Both:
    """The same done in memory and in SQLite; what differs is a failure."""

    def __init__(self, connection: sqlite3.Connection, clock: Clock) -> None:
        self.clock = clock
        self.memory = Memory(clock)
        self.sqlite = Sqlite(connection, clock, self.memory.living)
        self.processes: list[tuple[Process, Process]] = []
        self.claims: list[Claim] = []
        for _ in range(2):
            self.begin(len(self.processes))

    def begin(self, place: int) -> None:
        """A process in the place of one that died, or of none."""
        number = self.same(lambda: upkeep.register("host", 1))
        self.memory.living.add(number)
        pair = (Process(), Process())
        for process in pair:
            process.number = number
            process.drains_before = max(self.memory.tables.drains, default=0)
        self.processes[place : place + 1] = [pair]

    def die(self, place: int) -> None:
        number = self.processes[place][0].number
        assert number is not None
        self.memory.living.remove(number)
        self.begin(place)

    def do(self, place: int, operation: Operation) -> None:
        decide = DECISIONS[type(operation)]
        ours, theirs = self.processes[place]
        answer = self.same(lambda: decide(operation, ours), lambda: decide(operation, theirs))
        if isinstance(answer, Delivery):
            self.claims.append(answer.claim)

    def same(
        self, decide: Callable[[], Decision[Any]], other: Callable[[], Decision[Any]] | None = None
    ) -> Any:
        outcomes = [
            self.outcome(self.memory, decide()),
            self.outcome(self.sqlite, (other or decide)()),
        ]
        assert outcomes[0] == outcomes[1]
        assert self.memory.stored() == self.sqlite.stored()
        return outcomes[0][1]

    def outcome(self, engine: Memory | Sqlite, decision: Decision[Any]) -> tuple[type | None, Any]:
        try:
            [answer] = engine.unit([decision])
        except Exception as error:
            return type(error), str(error)
        return None, answer


REQUESTS = [RequestKey("me", "POST", "/", key) for key in "kl"]
DONE = StoredResponse(202, "{}", b"done")
ALL = 2**40


def some(random: Random) -> int | None:
    return random.choice([None, None, None, random.randint(1, 40)])


def fifo(random: Random) -> str:
    return random.choice("qrs")


# What may be done, and how often.
OPERATIONS: list[tuple[int, Callable[[Random], Operation]]] = [
    (10, lambda r: Put(fifo(r), r.choice("abc"), 1.0)),
    (4, lambda r: Put(fifo(r), "d", 1.0, r.choice("xy"), 60.0, r.choice([None, 3]))),
    (20, lambda r: Deliver(fifo(r), 10.0, "w", r.randint(1, 2), r.random() < 0.5)),
    (2, lambda r: Pause(fifo(r), r.random() < 0.3)),
    (2, lambda r: Drain(r.random() < 0.3, 1.0)),
    (4, lambda r: RetryNow(fifo(r))),
    (2, lambda r: Skip(fifo(r), 12.0)),
    (2, lambda r: Drop(fifo(r), r.randint(1, 60))),
    (3, lambda r: Purge(fifo(r), some(r), r.choice([1, ALL, ALL]))),
    (2, lambda r: Redrive(fifo(r), some(r), some(r), r.choice([1, ALL]))),
    (
        3,
        lambda r: PurgeDead(fifo(r), some(r), r.choice([None, 15.0]), some(r), ALL, r.choice([None, 1500.0])),
    ),
    (2, lambda r: Forget(fifo(r), r.randint(1, 3))),
    (6, lambda r: Prune("fifos", 60.0, r.randint(1, 3))),
    (2, lambda r: RecordPolicy(fifo(r), r.choice([None, None, "{}"]))),
    (3, lambda _: BeginStop()),
    (2, lambda r: RecordProblem("w", r.choice(["broken", None]), 1.0)),
    (4, lambda r: BeginRequest(r.choice(REQUESTS), r.choice([b"1", b"1", b"2"]), 1.0, 60.0)),
    (4, lambda r: EndRequest(r.choice(REQUESTS), r.choice([None, DONE]))),
]

# How a delivery may end, whether its claim holds or not.
ENDINGS: list[Callable[[Random, Claim], Operation]] = [
    lambda r, claim: Acknowledge(claim, r.random() < 0.5),
    lambda r, claim: Release(claim, None, r.choice([0.0, 30.0]), settled=r.random() < 0.5),
    lambda r, claim: Release(claim, FAILURE, r.choice([0.0, 30.0]), r.random() < 0.3, r.random() < 0.5),
    lambda r, claim: Bury(claim, r.choice([FAILURE, Failure("no", None, 21.0)]), r.random() < 0.5),
]


@pytest.mark.parametrize("seed", range(12))
def test_sqlite_answers_as_plain_dicts_do(seed: int, clock: Clock) -> None:
    random = Random(seed)
    weights = [often for often, _ in OPERATIONS]
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        both = Both(connection, clock)
        for _ in range(400):
            place = random.randrange(2)
            match random.choices(["do", "end", "die", "wait"], [12, 4, 1, 1])[0]:
                case "do":
                    [(_, make)] = random.choices(OPERATIONS, weights)
                    both.do(place, make(random))
                case "end" if both.claims:
                    claim = random.choice(both.claims[-3:])
                    both.same(lambda claim=claim: fifos.hold(claim))
                    both.do(place, random.choice(ENDINGS)(random, claim))
                case "die":
                    both.die(place)
                case "wait":
                    clock.now += random.choice([0.5, 15.0, 61.0])
