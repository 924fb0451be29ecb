"""The debug channel: to every listener, and never in the way of a script."""

from __future__ import annotations

import logging
import threading

import pytest

from framework import debug
from framework.debug import DebugChannel, Printer, rendered
from framework.mu import MU


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


@pytest.mark.parametrize(("texts", "characters"), [(3, 1000), (1000, 6)])
def test_a_printer_that_cannot_write_drops_the_oldest_and_tells_how_many(
    monkeypatch: pytest.MonkeyPatch, texts: int, characters: int
) -> None:
    monkeypatch.setattr(debug, "MOST_TEXTS", texts)
    monkeypatch.setattr(debug, "MOST_CHARACTERS", characters)
    written: list[str] = []
    begun, free = threading.Event(), threading.Event()

    def write(text: str) -> None:
        begun.set()
        free.wait(5)
        written.append(text)

    printer = Printer(write)
    printer("first")
    assert begun.wait(5)
    for number in range(10, 20):
        printer(str(number))
    assert not printer.flush(0.05)
    free.set()
    assert printer.flush(5)
    assert written == ["first", "<qprint: 7 texts were dropped: nobody read them>", "17", "18", "19"]
    printer("x" * 5000)  # a text is never too large by itself
    assert printer.flush(5)
    assert written[-1] == "x" * 5000


def test_a_printer_whose_output_is_gone_says_so_once_and_ends(caplog: pytest.LogCaptureFixture) -> None:
    def write(text: str) -> None:
        raise BrokenPipeError("gone")

    printer = Printer(write)
    for _ in range(3):
        printer("a")
        assert printer.flush(5)
    assert [record.getMessage() for record in caplog.records] == [
        "what scripts print cannot be written any more: gone"
    ]
