"""An outbox: who puts something in never waits, and nothing is lost without being told."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from framework import outbox
from framework.outbox import Outbox


def unexpected(error: Exception) -> None:
    raise AssertionError(error)


def box(
    write: Callable[[list[int], int], None], failed: Callable[[Exception], None] = unexpected
) -> Outbox[int]:
    return Outbox(write, name="outbox of a test", failed=failed)


class Reader:
    """Reads when it is told to, and keeps what it was given."""

    def __init__(self) -> None:
        self.items: list[int] = []
        self.missed: list[tuple[int, int]] = []  # how many, and how many items were there before
        self.begun, self.free = threading.Event(), threading.Event()

    def __call__(self, items: list[int], missed: int) -> None:
        self.begun.set()
        assert self.free.wait(30)
        if missed:
            self.missed.append((len(self.items), missed))
        self.items += items


def test_all_comes_out_in_order_and_together() -> None:
    reader = Reader()
    outbox = box(reader)
    for number in range(5000):
        outbox.put(number, 10)
    assert not outbox.flush(0.05)
    reader.free.set()
    assert outbox.flush(10)
    assert (reader.items, reader.missed) == (list(range(5000)), [])


@pytest.mark.parametrize("characters", [1, 5000])
def test_what_came_out_and_what_was_missed_is_all_that_was_put_in(characters: int) -> None:
    """``characters``: too many items, or too many characters."""
    reader = Reader()
    outbox = box(reader)
    outbox.put(-1, 1)
    assert reader.begun.wait(10)
    for number in range(30_000):
        outbox.put(number, characters)
    reader.free.set()
    assert outbox.flush(10)
    [(place, missed)] = reader.missed
    assert place == 1, "told in place: before the first that is left"
    assert reader.items == [-1, *range(missed, 30_000)]
    assert 0 < missed < 30_000


def test_one_that_is_larger_than_the_box_comes_out_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "MOST_CHARACTERS", 10)
    reader = Reader()
    reader.free.set()
    large = box(reader)
    large.put(1, 10_000)
    assert large.flush(10)
    assert reader.items == [1]


def test_a_reader_that_fails_ends_it_and_is_told_once() -> None:
    failures: list[Exception] = []
    calls = 0

    def write(items: list[int], missed: int) -> None:
        nonlocal calls
        calls += 1
        raise OSError("gone")

    outbox = box(write, failures.append)
    for number in range(3):
        outbox.put(number, 1)
        assert outbox.flush(10)
    assert outbox.over
    assert (calls, [str(error) for error in failures]) == (1, ["gone"])


def test_a_closed_one_forgets_what_is_left_and_its_thread_ends() -> None:
    reader = Reader()
    outbox = Outbox(reader, name="outbox that is closed", failed=unexpected)
    outbox.put(1, 1)
    assert reader.begun.wait(10)
    outbox.put(2, 1)
    outbox.close()
    outbox.close()
    reader.free.set()
    assert outbox.flush(10)
    for thread in threading.enumerate():
        if thread.name == "outbox that is closed":
            thread.join(10)
            assert not thread.is_alive()
    assert reader.items == [1]


def test_who_prints_while_it_prints_does_not_wait_for_itself() -> None:
    """The garbage collector may run a script's code while an item is put in."""
    reader = Reader()
    reader.free.set()
    outbox = box(reader)

    class Printing(int):
        def __radd__(self, other: int) -> int:
            outbox.put(7, 1)
            return other + 1

    outbox.put(1, Printing())
    assert outbox.flush(10)
    assert sorted(reader.items) == [1, 7]
