"""What becomes of an item that fails, hangs, or comes twice; and steering a FIFO from a script."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Column, MetaData, Table, Text

from framework.definitions import Backoff, FifoPolicy, Location
from framework.errors import ClaimLost, FifoFull, ItemRefused, NotInBlock, Reject, Retry
from framework.queue.fifo import Fifos
from framework.queue.policies import Policies
from framework.storage import Storage
from framework.storage.operations import DeadLetter, Insert
from framework.storage.tables import RowNumber
from framework.transactions.session import Session
from framework.values.mu import MU
from tests.contract.processes import Child

pytestmark = pytest.mark.anyio

ROW = Table("Row", MetaData(), Column("seq", RowNumber, primary_key=True), Column("key", Text))
DEFAULT = FifoPolicy("q", Location("q.yaml", 1, 1), backoff=Backoff(0.0, 1.0, 0.0))

Policy = Callable[..., Fifos]


@pytest.fixture(autouse=True)
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("framework.queue.fifo.FIFO_WAIT", 0.05)


@pytest.fixture
def policy(session: Session) -> Policy:
    """FIFO under a policy for ``q``; without a back-off where nothing else is said."""

    def policy(**values: Any) -> Fifos:
        return Fifos(session, Policies([replace(DEFAULT, **values)]))

    return policy


async def fail(fifos: Fifos, error: BaseException | type[BaseException] = KeyError) -> Any:
    """One attempt that ends by an error; the item, or None when there was none."""
    item = None

    async def attempt() -> None:
        nonlocal item
        async with fifos("q") as item:
            if item is not None:
                raise error

    with contextlib.suppress(error if isinstance(error, type) else type(error)):
        await attempt()
    await fifos.settlements.settle()
    return item


async def dead(storage: Storage) -> list[DeadLetter]:
    return await storage.dead_letters("q", 100)


# ---- failures -------------------------------------------------------------------------------


async def test_after_max_attempts_an_item_is_dead_and_the_next_is_served(
    policy: Policy, storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    fifos = policy(max_attempts=3)
    before = time.time()
    first, _ = await fifos("q").put_many(["bad", "good"])
    for n in range(3):
        assert await dead(storage) == [], n
        assert await fail(fifos, KeyError("my reason")) == "bad"
    [letter] = await dead(storage)
    assert (letter.item_id, letter.payload, letter.attempts) == (first, '"bad"', 3)
    assert letter.reason == "KeyError: 'my reason'"
    assert letter.traceback is not None
    assert "KeyError: 'my reason'" in letter.traceback
    assert letter.first_at is not None
    assert letter.last_at is not None
    assert before <= letter.put_at <= letter.first_at <= letter.last_at <= letter.died_at <= time.time()
    async with fifos("q") as item:
        assert item == "good"
    assert any(getattr(record, "action", None) == "dead_letter" for record in caplog.records)


async def test_the_default_is_five_attempts(policy: Policy, storage: Storage) -> None:
    fifos = policy()
    await fifos("q").put("bad")
    attempts = 0
    while await fail(fifos) is not None:
        attempts += 1
    assert (attempts, len(await dead(storage))) == (5, 1)


async def test_an_exhausted_item_may_be_held_instead(policy: Policy, storage: Storage) -> None:
    fifos = policy(max_attempts=2, on_exhausted="hold")
    await fifos("q").put_many(["bad", "good"])
    assert [await fail(fifos), await fail(fifos), await fail(fifos)] == ["bad", "bad", None]
    state = await storage.fifo_state("q")
    assert state is not None
    assert (state.length, state.dead) == (2, 0)
    assert state.head is not None
    assert (state.head.held, state.head.attempts) == (True, 2)


@pytest.mark.parametrize("on_exhausted", ["dead_letter", "hold"])
async def test_a_rejected_item_is_dead_at_once(policy: Policy, storage: Storage, on_exhausted: str) -> None:
    fifos = policy(on_exhausted=on_exhausted)
    await fifos("q").put_many(["bad", "good"])
    assert await fail(fifos, Reject("no such customer")) == "bad"
    [letter] = await dead(storage)
    assert (letter.attempts, letter.reason) == (1, "no such customer")
    assert await fail(fifos, Reject()) == "good"
    assert (await dead(storage))[1].reason == "rejected"


async def test_the_back_off_grows_and_has_an_end(policy: Policy, storage: Storage) -> None:
    fifos = policy(max_attempts=10, backoff=Backoff(0.04, 2.0, 0.12))
    await fifos("q").put("bad")
    for expected in (0.04, 0.08, 0.12, 0.12):
        while await fail(fifos) is None:
            pass
        state = await storage.fifo_state("q")
        assert state is not None
        assert state.head is not None
        assert expected - 0.035 < state.head.retry_in <= expected


async def test_retry_sets_the_next_back_off(policy: Policy, storage: Storage) -> None:
    fifos = policy(backoff=Backoff(30.0, 2.0, 60.0))
    await fifos("q").put("later")
    assert await fail(fifos, Retry(after=0)) == "later"
    assert await fail(fifos, Retry("again", after=-5)) == "later"
    assert await fail(fifos, Retry(after=45.5)) == "later"
    state = await storage.fifo_state("q")
    assert state is not None
    assert state.head is not None
    assert 40 < state.head.retry_in <= 45.5
    assert state.head.attempts == 3, "a retry is an attempt"


async def test_retry_without_a_time_is_any_failure(policy: Policy, storage: Storage) -> None:
    fifos = policy(max_attempts=2)
    await fifos("q").put("bad")
    assert [await fail(fifos, Retry()), await fail(fifos, Retry(after=99))] == ["bad", "bad"]
    assert len(await dead(storage)) == 1


# Takes the head of each FIFO that it is told of, and keeps it.
TAKE = """
    for name in sys.argv[2:]:
        [answer] = await db.write([Deliver(name, time.time())])
        say(answer.payload)
    await hear()
"""


@pytest.mark.parametrize(
    ("on_exhausted", "following", "rest"), [("dead_letter", "good", (1, 1)), ("hold", None, (2, 0))]
)
async def test_an_item_that_kills_its_process_comes_no_more_after_max_crashes(
    policy: Policy,
    storage: Storage,
    url: str,
    on_exhausted: str,
    following: str | None,
    rest: tuple[int, int],
) -> None:
    fifos = policy(max_crashes=2, on_exhausted=on_exhausted)
    await fifos("q").put_many(["deadly", "good"])
    for expected in ("deadly", following):
        child = await Child.start(TAKE, url, "q")
        assert await child.line() == '"deadly"'
        await child.kill()
        assert await fail(fifos, Retry(after=0)) == expected
    state = await storage.fifo_state("q")
    assert state is not None
    assert (state.length, state.dead) == rest


async def test_an_item_that_may_have_killed_its_process_is_named_in_the_log(
    policy: Policy, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    fifos = policy()
    item_id = await fifos("q").put("x")
    await fifos("other").put("y")
    child = await Child.start(TAKE, url, "q", "other")
    assert [await child.line(), await child.line()] == ['"x"', '"y"']
    await child.kill()
    async with fifos("q") as item:
        assert item == "x"
    [told] = [record for record in caplog.records if getattr(record, "action", None) == "suspect"]
    assert f"item {item_id}" in told.getMessage()


# ---- time-outs ------------------------------------------------------------------------------


async def test_a_block_that_takes_too_long_is_cancelled_and_counted(policy: Policy, storage: Storage) -> None:
    fifos = policy(timeout=0.05, max_attempts=2)
    await fifos("q").put("slow")

    async def work() -> None:
        async with fifos("q") as item:
            assert item == "slow"
            await asyncio.sleep(30)

    for _ in range(2):
        started = time.monotonic()
        with pytest.raises(TimeoutError, match=r"0\.05 s"):
            await work()
        assert time.monotonic() - started < 2
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0, "the task itself is to go on"
        await asyncio.sleep(0)
        await fifos.settlements.settle()
    [letter] = await dead(storage)
    assert (letter.payload, letter.attempts) == ('"slow"', 2)
    assert "TimeoutError" in letter.reason


async def test_a_block_within_its_time_is_left_alone(policy: Policy) -> None:
    fifos = policy(timeout=0.05)
    await fifos("q").put("quick")
    async with fifos("q") as item:
        assert item == "quick"
    await asyncio.sleep(0.08)  # its time-out must not cancel what comes after it
    assert await fifos("q").length() == 0


async def test_a_cancellation_from_outside_is_not_taken_for_the_time_out(policy: Policy) -> None:
    fifos = policy(timeout=30)
    await fifos("q").put("x")
    entered = asyncio.Event()

    async def work() -> None:
        async with fifos("q"):
            entered.set()
            await asyncio.sleep(30)

    task = asyncio.create_task(work())
    await entered.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_a_slow_block_is_named_in_the_log(policy: Policy, caplog: pytest.LogCaptureFixture) -> None:
    fifos = policy(slow_after=0.03)
    item_id = await fifos("q").put("slow")
    with caplog.at_level(logging.WARNING, "framework.fifo"):
        async with fifos("q"):
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.05)
    slow = [record for record in caplog.records if getattr(record, "action", None) == "slow"]
    assert len(slow) == 1
    assert f"item {item_id}" in slow[0].getMessage()


async def test_the_line_that_a_slow_block_waits_at_is_named(
    policy: Policy, caplog: pytest.LogCaptureFixture
) -> None:
    """A script of a definition, as far as the log can tell: code of a YAML file."""
    source = "async def wait(fifo, seconds):\n    async with fifo:\n        await asyncio.sleep(seconds)\n"
    names: dict[str, Any] = {"asyncio": asyncio}
    exec(compile(source, "orders.yaml", "exec"), names)
    fifos = policy(slow_after=0.03)
    await fifos("q").put("slow")
    await names["wait"](fifos("q"), 0.05)
    [slow] = [record for record in caplog.records if getattr(record, "action", None) == "slow"]
    assert "orders.yaml:3 in wait" in slow.getMessage()


# ---- filling --------------------------------------------------------------------------------


async def test_a_full_fifo_refuses_and_takes_again(policy: Policy) -> None:
    fifos = policy(max_length=2)
    await fifos("q").put(1)
    await fifos("q").put(2)
    with pytest.raises(FifoFull):
        await fifos("q").put(3)
    with pytest.raises(FifoFull):
        await fifos("q").put_many([3])
    async with fifos("q"):
        pass
    await fifos.settlements.settle()
    with pytest.raises(FifoFull):
        await fifos("q").put_many([3, 4])
    assert await fifos("q").peek(5) == [2], "all of them, or none"
    await fifos("q").put(3)


async def test_a_key_queues_once(policy: Policy) -> None:
    fifos = policy()
    first = await fifos("q").put({"n": 1}, key="order-1")
    assert await fifos("q").put({"n": 2}, key="order-1") == first
    assert await fifos("q").put({"n": 3}, key="order-2") != first
    async with fifos("q") as item:
        assert item == {"n": 1}
    await fifos.settlements.settle()
    assert await fifos("q").put({"n": 4}, key="order-1") == first, "also after its item is done"
    assert await fifos("q").peek(9) == [{"n": 3}]


async def test_a_key_is_forgotten_after_its_window(policy: Policy) -> None:
    fifos = policy(key_window=0.05)
    first = await fifos("q").put(1, key="k")
    await asyncio.sleep(0.06)
    assert await fifos("q").put(2, key="k") != first


@pytest.mark.parametrize("key", ["", "x" * 1001, 7, b"k", "\ud800"])
async def test_a_bad_key_is_refused(policy: Policy, key: Any) -> None:
    with pytest.raises(ItemRefused) as raised:
        await policy()("q").put(1, key=key)
    assert raised.value.refused == key, "by it the gateway finds whether the client has sent it"
    assert await policy()("q").length() == 0


@pytest.mark.parametrize("key", ["k", "x" * 1000, "ü"])
async def test_the_shortest_and_the_longest_key_are_keys(policy: Policy, key: str) -> None:
    fifo = policy()("q")
    assert await fifo.put(1, key=key) == await fifo.put(2, key=key)


async def test_an_item_may_be_as_large_as_the_policy_says(policy: Policy) -> None:
    fifos = policy(max_item_bytes=10)
    await fifos("q").put("x" * 8)
    with pytest.raises(ItemRefused, match="10 are allowed"):
        await fifos("q").put("x" * 9)
    await fifos("other").put("x" * 9)


async def test_put_many_keeps_the_order_and_is_all_or_nothing(policy: Policy) -> None:
    fifos = policy()
    ids = await fifos("q").put_many({"n": n} for n in range(50))
    assert ids == sorted(set(ids))
    with pytest.raises(ItemRefused):
        await fifos("q").put_many([1, float("nan")])
    assert await fifos("q").put_many([]) == []
    assert [item.n for item in await fifos("q").peek(100)] == list(range(50))


# ---- looking and steering -------------------------------------------------------------------


async def test_a_put_with_a_connection_belongs_to_its_transaction(policy: Policy, session: Session) -> None:
    fifo = policy()("q")
    conn = session.connection()
    with pytest.raises(ZeroDivisionError):
        async with conn.begin():
            await fifo.put(1, conn=conn)
            await fifo.put_many([2, 3], conn=conn)
            raise ZeroDivisionError
    assert await fifo.length() == 0
    async with conn.begin():
        assert await fifo.put(1, conn=conn) == 1
        assert await fifo.put_many([2, 3], conn=conn) == [2, 3]
        assert await fifo.put_many([]) == [], "who puts nothing asks nobody"
    async with session.collected():
        assert await fifo.put(4) is None, "its id is not known before the end"
    assert await fifo.peek(9) == [1, 2, 3, 4]


async def test_a_fifo_shows_itself_as_it_is_written(policy: Policy) -> None:
    assert (repr(policy()), repr(policy()("q"))) == ("FIFO", "FIFO('q')")


async def test_peek_shows_the_first_items_as_they_would_be_delivered(policy: Policy) -> None:
    fifos = policy()
    assert await fifos("q").peek() == []
    await fifos("q").put_many([{"a": {"b": 1}}, 2, 3])
    [first] = await fifos("q").peek()
    assert type(first) is MU
    assert first.a.b == 1
    assert await fifos("q").peek(2) == [{"a": {"b": 1}}, 2]
    assert await fifos("q").peek(-1) == []
    assert await fifos("q").length() == 3


async def test_a_paused_fifo_gives_nothing_until_it_is_resumed(policy: Policy) -> None:
    fifos = policy()
    await fifos("q").put(1)
    async with fifos("q") as item:
        await fifos("q").pause()  # what is in work ends normally
        assert item == 1
    await fifos("q").put(2)
    async with fifos("q") as item:
        assert item is None
    await fifos("q").resume()
    async with fifos("q") as item:
        assert item == 2


# ---- ack ------------------------------------------------------------------------------------


@pytest.fixture
async def rows(storage: Storage) -> Table:
    await storage.ensure_tables([ROW])
    return ROW


async def test_ack_in_a_transaction_is_stored_with_its_rows(
    policy: Policy, session: Session, rows: Table, storage: Storage
) -> None:
    fifos = policy()
    await fifos("q").put_many([1, 2])
    fifo = fifos("q")

    async def work() -> None:
        async with fifo:
            conn = session.connection()
            async with conn.begin():
                await session.write([Insert(rows, {"key": "a"})], conn)
                await fifo.ack(conn=conn)
            raise KeyError("after the transaction")

    with pytest.raises(KeyError):
        await work()
    await fifos.settlements.settle()
    assert await session.load(rows, "key", "a") is not None
    async with fifo as item:
        assert (item, fifo.attempt) == (2, 1), "what was acknowledged is done, whatever happened after it"


async def test_ack_in_a_transaction_that_fails_is_none(policy: Policy, session: Session, rows: Table) -> None:
    fifos = policy()
    await fifos("q").put(1)
    fifo = fifos("q")

    async def work() -> None:
        async with fifo:
            conn = session.connection()
            async with conn.begin():
                await session.write([Insert(rows, {"key": "a"})], conn)
                await fifo.ack(conn=conn)
                raise KeyError("inside")

    with pytest.raises(KeyError):
        await work()
    await fifos.settlements.settle()
    assert await session.load(rows, "key", "a") is None
    async with fifo as item:
        assert (item, fifo.attempt) == (1, 2)


async def test_ack_by_itself_is_written_at_once_and_counts_once(policy: Policy) -> None:
    fifos = policy()
    await fifos("q").put_many([1, 2])
    fifo = fifos("q")
    async with fifo:
        await fifo.ack()
        assert await fifos("q").peek(9) == [2]
        with pytest.raises(ClaimLost):
            await fifo.ack()
        await fifos("other").put("written after it")
    async with fifo as item:
        assert item == 2
    with pytest.raises(NotInBlock):
        await fifo.ack()
