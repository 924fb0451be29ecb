"""The debug channel: to every listener, and never in the way of a script."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import time

import pytest

from framework.observing import outbox
from framework.script.debug import DebugChannel, Message, Missed, follow, printable, rendered
from framework.storage import Storage
from framework.transactions.context import entered
from framework.values.mu import MU


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_every_listener_hears_each_text_in_order() -> None:
    channel = DebugChannel()
    one: list[str] = []
    two: list[str] = []
    channel.qprint("before")
    channel.listen(one.append)
    channel.qprint("a")
    channel.listen(two.append)
    channel.qprint("b")
    assert (one, two) == (["a", "b"], ["b"])


def test_ending_a_listener_ends_that_one_only_and_may_be_done_twice() -> None:
    channel = DebugChannel()
    one: list[str] = []
    two: list[str] = []
    end = channel.listen(one.append)
    channel.listen(two.append)
    channel.qprint("a")
    end()
    end()
    channel.qprint("b")
    assert (one, two) == (["a"], ["a", "b"])


def test_a_listener_that_fails_is_dropped_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    channel = DebugChannel()
    heard: list[str] = []
    calls = 0

    def failing(text: str) -> None:
        nonlocal calls
        calls += 1
        raise ConnectionError("gone")

    end = channel.listen(failing)
    channel.listen(heard.append)
    with caplog.at_level(logging.ERROR):
        channel.qprint("a")
        channel.qprint("b")
    assert (heard, calls) == (["a", "b"], 1)
    assert len(caplog.records) == 1
    end()  # whoever listened does not know that it was dropped


def test_a_listener_may_end_itself_while_it_hears() -> None:
    channel = DebugChannel()
    heard: list[str] = []

    def once(text: str) -> None:
        heard.append(text)
        end()
        raise ConnectionError("gone")

    end = channel.listen(once)
    channel.listen(heard.append)
    channel.qprint("a")
    channel.qprint("b")
    assert heard == ["a", "a", "b"]


def test_what_cannot_be_shown_does_not_break_a_script() -> None:
    channel = DebugChannel()
    heard: list[str] = []
    channel.qprint(Unprintable())
    channel.listen(heard.append)
    channel.qprint(Unprintable())
    assert heard == ["<qprint: a Unprintable that cannot be shown: no>"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("text", "text"),
        ("text\n", "text"),
        ("text\n\n", "text\n"),
        ("", ""),
        (MU(b=1, a={"x": [1]}), "a:\n  x:\n  - 1\nb: 1"),
        ({"b": 1, "a": "x"}, "{'a': 'x', 'b': 1}"),
        (None, "None"),
        (b"x", "b'x'"),
        (1.5, "1.5"),
    ],
)
def test_how_values_are_shown(value: object, text: str) -> None:
    assert rendered(value) == text


def test_what_contains_itself_is_shown_up_to_there() -> None:
    around: list[object] = [1]
    around.append(around)
    assert rendered(around).startswith("[1, <Recursion on list")
    mapping = MU(a=1)
    dict.__setitem__(mapping, "b", mapping)
    assert rendered(mapping).startswith("{'a': 1")


def test_an_mu_that_has_no_yaml_is_shown_all_the_same() -> None:
    assert rendered(MU(a={1, 2}, b=Unlisted())) == "{'a': {1, 2}, 'b': <unlisted>}"


class Unlisted:
    def __repr__(self) -> str:
        return "<unlisted>"


class Worse(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text either")


class Worst:
    def __repr__(self) -> str:
        raise Worse


def test_an_error_without_a_text_is_named() -> None:
    assert (
        rendered(Worst()) == "<qprint: a Worst that cannot be shown: <its text cannot be made: RuntimeError>>"
    )


@pytest.mark.parametrize("text", ["x" * 10_000_000, "\ud800", "\x1b[2J\x00", "é\r\n注"])
def test_text_is_handed_on_as_it_is(text: str) -> None:
    assert rendered(text) == text.removesuffix("\n")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two\nlines\tand é注", "two\nlines\tand é注"),
        ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        ("\x1b[2Jcleared", "\\x1b[2Jcleared"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("over\rwritten\x08", "over\\rwritten\\x08"),
        ("\x9b2J\x7f\x00", "\\x9b2J\\x7f\\x00"),
        ("\x1b", "\\x1b"),
    ],
)
def test_a_terminal_is_not_steered_by_what_is_printed(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.anyio
async def test_who_follows_hears_what_is_printed_with_when_where_and_by_whom(storage: Storage) -> None:
    channel = DebugChannel()
    channel.connect(storage.broadcast)
    channel.qprint("before")
    began = time.time()
    async with follow(storage) as messages:
        channel.qprint({"a": 1})
        with entered(script="Dispatcher"):
            channel.qprint("two\nlines\x1b\ud800")
        async with asyncio.timeout(20):
            first, second = await anext(messages), await anext(messages)
    assert isinstance(first, Message)
    assert isinstance(second, Message)
    assert [(m.worker, m.text) for m in (first, second)] == [
        ("", "{'a': 1}"),
        ("Dispatcher", "two\nlines\x1b\ud800"),
    ]
    assert first.node == second.node == f"{socket.gethostname()}:{os.getpid()}"
    assert began <= first.time <= second.time <= time.time()


@pytest.mark.anyio
async def test_who_does_not_read_is_told_in_place_how_many_were_dropped(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MOST_ITEMS", 100)
    channel = DebugChannel()
    channel.connect(storage.broadcast)
    async with follow(storage) as messages:
        for number in range(20_000):
            channel.qprint(f"{number:0100}")
        got: list[Message | Missed] = []
        async with asyncio.timeout(20):
            while not got or got[-1].text != f"{19_999:0100}":
                got.append(await anext(messages))
    expected = 0
    for one in got:
        if isinstance(one, Missed):
            assert one.text == f"<qprint: {one.count} texts of {one.node} were dropped: nobody read them>"
            expected += one.count
        else:
            assert int(one.text) == expected
            expected += 1
    assert expected == 20_000
    assert len(got) < 20_000


@pytest.mark.anyio
async def test_nothing_is_rendered_when_nobody_listens(storage: Storage) -> None:
    class Costly:
        def __repr__(self) -> str:
            raise AssertionError("rendered")

    channel = DebugChannel()
    channel.qprint(Costly())
    channel.connect(storage.broadcast)
    channel.qprint(Costly())
    async with follow(storage):
        pass
    channel.qprint(Costly())


@pytest.mark.parametrize(("items", "characters"), [(3, 10_000), (1000, 350)])
def test_a_printer_that_cannot_write_drops_the_oldest_and_tells_how_many(
    monkeypatch: pytest.MonkeyPatch, items: int, characters: int
) -> None:
    monkeypatch.setattr(outbox, "MOST_ITEMS", items)
    monkeypatch.setattr(outbox, "MOST_CHARACTERS", characters)
    written: list[str] = []
    begun, free = threading.Event(), threading.Event()

    def write(text: str) -> None:
        begun.set()
        free.wait(5)
        written.append(text)

    channel = DebugChannel()
    printer = channel.printer(write, first="first")
    assert begun.wait(5)
    for number in range(10, 20):
        channel.qprint(number)
    assert not printer.flush(0.05)
    free.set()
    assert printer.flush(5)
    assert written == ["first", "<qprint: 7 texts were dropped: nobody read them>\n17\n18\n19"]
    channel.qprint("x" * 50_000)  # a text is never too large by itself
    assert printer.flush(5)
    assert written[-1] == "x" * 50_000
    printer.close()


def test_a_printer_whose_output_is_gone_says_so_once_and_ends(caplog: pytest.LogCaptureFixture) -> None:
    def write(text: str) -> None:
        raise BrokenPipeError("gone")

    channel = DebugChannel()
    printer = channel.printer(write)
    for _ in range(3):
        channel.qprint("a")
        assert printer.flush(5)
    assert [record.getMessage() for record in caplog.records] == [
        "what scripts print cannot be written any more: gone"
    ]
