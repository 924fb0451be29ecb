"""An outbox: who puts something in never waits, and nothing is lost without being told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from framework.observing import outbox
from framework.observing.outbox import Outbox, Reader


def unexpected(error: Exception) -> None:
    raise AssertionError(error)


@pytest.fixture
def box() -> Outbox[int]:
    return Outbox()


Read = Callable[..., Reader[int]]


@pytest.fixture
def read(box: Outbox[int]) -> Iterator[Read]:
    """Begins to read; ended with the test."""
    readers: list[Reader[int]] = []
    hands: list[Hand] = []

    def read(
        write: Callable[[list[int], int], None], failed: Callable[[Exception], None] = unexpected
    ) -> Reader[int]:
        if isinstance(write, Hand):
            hands.append(write)
        readers.append(box.reader(write, name="reader of a test", failed=failed))
        return readers[-1]

    yield read
    for hand in hands:
        hand.free.set()  # no thread of a test waits on beside the next ones
    for reader in readers:
        reader.close()


class Hand:
    """Reads when it is told to, and keeps what it was given."""

    def __init__(self, *, free: bool = False) -> None:
        self.items: list[int] = []
        self.missed: list[tuple[int, int]] = []  # how many, and how many items were there before
        self.begun, self.free = threading.Event(), threading.Event()
        if free:
            self.free.set()

    def __call__(self, items: list[int], missed: int) -> None:
        self.begun.set()
        assert self.free.wait(30)
        if missed:
            self.missed.append((len(self.items), missed))
        self.items += items


def test_all_comes_out_in_order(box: Outbox[int], read: Read) -> None:
    hand = Hand()
    reader = read(hand)
    for number in range(5000):
        box.put(number, 10)
    assert not reader.flush(0.05)
    hand.free.set()
    assert reader.flush(10)
    assert (hand.items, hand.missed) == (list(range(5000)), [])


def test_each_reader_is_given_all_from_its_beginning_on(box: Outbox[int], read: Read) -> None:
    one, two = Hand(free=True), Hand(free=True)
    box.put(0, 1)
    first = read(one)
    box.put(1, 1)
    second = read(two)
    box.put(2, 1)
    assert first.flush(10)
    assert second.flush(10)
    assert (one.items, two.items) == ([1, 2], [2])


@pytest.mark.parametrize("characters", [1, 5000])
def test_what_came_out_and_what_was_missed_is_all_that_was_put_in(
    box: Outbox[int], read: Read, characters: int
) -> None:
    """``characters``: too many items, or too many characters."""
    hand = Hand()
    reader = read(hand)
    box.put(-1, 1)
    assert hand.begun.wait(10)
    for number in range(30_000):
        box.put(number, characters)
    hand.free.set()
    assert reader.flush(10)
    [(place, missed)] = hand.missed
    assert place == 1, "told in place: before the first that is left"
    assert hand.items == [-1, *range(missed, 30_000)]
    assert 0 < missed < 30_000


def test_who_reads_misses_nothing_because_another_does_not(box: Outbox[int], read: Read) -> None:
    stopped, well = Hand(), Hand(free=True)
    read(stopped)
    reader = read(well)
    for start in range(0, 50_000, 5_000):
        for number in range(start, start + 5_000):
            box.put(number, 1)
        assert reader.flush(10)
    assert (well.items, well.missed) == (list(range(50_000)), [])
    stopped.free.set()


def test_what_all_have_read_is_not_kept(box: Outbox[int], read: Read) -> None:
    reader = read(Hand(free=True))
    kept: list[int] = []
    for number in range(100):
        box.put(number, 1)
    assert reader.flush(10)
    kept.append(len(box._items))
    stopped = read(Hand())
    box.put(1, 1)
    box.put(2, 1)
    assert reader.flush(10)
    stopped.close()
    kept.append(len(box._items))
    reader.close()
    box.put(3, 1)
    kept.append(len(box._items))
    assert kept == [0, 0, 0]


def test_one_that_is_larger_than_the_box_comes_out_whole(
    box: Outbox[int], read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MOST_CHARACTERS", 10)
    hand = Hand(free=True)
    reader = read(hand)
    box.put(1, 10_000)
    assert reader.flush(10)
    assert hand.items == [1]


def test_a_reader_that_fails_is_over_and_is_told_once(box: Outbox[int], read: Read) -> None:
    failures: list[Exception] = []
    calls = 0

    def write(items: list[int], missed: int) -> None:
        nonlocal calls
        calls += 1
        raise OSError("gone")

    reader = read(write, failures.append)
    assert box.read
    for number in range(3):
        box.put(number, 1)
        assert reader.flush(10)
    assert reader.over
    assert not box.read
    assert (calls, [str(error) for error in failures]) == (1, ["gone"])


def test_a_closed_one_is_given_nothing_and_its_thread_ends(box: Outbox[int]) -> None:
    hand = Hand()
    reader = box.reader(hand, name="reader that is closed", failed=unexpected)
    box.put(1, 1)
    assert hand.begun.wait(10)
    box.put(2, 1)
    reader.close()
    reader.close()
    hand.free.set()
    assert reader.flush(10)
    for thread in threading.enumerate():
        if thread.name == "reader that is closed":
            thread.join(10)
            assert not thread.is_alive()
    assert hand.items == [1]


def test_who_prints_while_it_prints_does_not_wait_for_itself(box: Outbox[int], read: Read) -> None:
    """The garbage collector may run a script's code while an item is put in."""
    hand = Hand(free=True)
    reader = read(hand)

    class Printing(int):
        def __radd__(self, other: int) -> int:
            box.put(7, 1)
            return other + 1

    box.put(1, Printing())
    assert reader.flush(10)
    assert sorted(hand.items) == [1, 7]


def test_something_may_come_before_all(box: Outbox[int]) -> None:
    hand = Hand(free=True)
    reader = box.reader(hand, name="reader of a test", failed=unexpected, first=[1, 2])
    box.put(3, 1)
    assert reader.flush(10)
    reader.close()
    assert hand.items == [1, 2, 3]


def test_what_is_lazy_waits_for_the_next_for_a_nudge_or_for_a_flush(box: Outbox[int], read: Read) -> None:
    given: list[list[int]] = []
    come = threading.Semaphore(0)

    def write(items: list[int], missed: int) -> None:
        given.append(items)
        come.release()

    reader = read(write)
    box.put(1, 1)
    assert come.acquire(timeout=30)
    time.sleep(0.3)  # it waits again
    for number in (2, 3):
        box.put(number, 1, lazy=True)
    assert not come.acquire(timeout=0.2)
    box.put(4, 1)
    assert come.acquire(timeout=30)
    time.sleep(0.3)
    box.put(5, 1, lazy=True)
    box.nudge()
    assert come.acquire(timeout=30)
    reader.flush(30)
    box.put(6, 1, lazy=True)
    assert reader.flush(30)
    assert given == [[1], [2, 3, 4], [5], [6]]
