"""What is printed while a prompt waits appears above it, whole, in order, and none of it is lost."""

from __future__ import annotations

import io
from collections.abc import Callable

from framework.repl.screen import MOST_WAITING, Screen, ScreenStream


class Prompt:
    """One that writes when it is told to, as an editor on a loop of its own does."""

    def __init__(self, out: io.StringIO) -> None:
        self._out = out
        self.asked: list[Callable[[], None]] = []

    def above(self, write: Callable[[], None]) -> None:
        self.asked.append(write)

    def turn(self) -> None:
        for write in self.asked:
            self._out.write("^")
            write()
        self.asked.clear()


def test_without_a_prompt_all_is_written_at_once() -> None:
    out = io.StringIO()
    screen = Screen(out)
    screen.show("one")
    assert screen.write("two")
    screen.show("three")  # never in the middle of a line
    assert out.getvalue() == "one\ntwo\nthree\n"


def test_above_a_prompt_a_burst_is_written_in_one_go() -> None:
    out = io.StringIO()
    screen, prompt = Screen(out), Prompt(out)
    screen.write("no newline")
    screen.prompting(prompt)
    for number in range(3):
        screen.show(f"{number}\nmore")
    prompt.turn()
    screen.show("last")
    prompt.turn()
    assert out.getvalue() == "no newline\n^0\nmore\n1\nmore\n2\nmore\n^last\n"


def test_what_the_prompt_did_not_write_is_written_when_it_is_gone() -> None:
    out = io.StringIO()
    screen = Screen(out)
    screen.prompting(Prompt(out))
    screen.show("late")
    assert out.getvalue() == ""
    screen.prompted()
    assert out.getvalue() == "late\n"


def test_a_terminal_that_takes_nothing_costs_the_oldest() -> None:
    out = io.StringIO()
    screen = Screen(out)
    screen.prompting(Prompt(out))
    for number in range(MOST_WAITING + 5):
        screen.show(str(number))
    screen.prompted()
    lines = out.getvalue().splitlines()
    assert lines[0] == "<5 texts were dropped: the terminal took none>"
    assert lines[1:] == [str(number) for number in range(5, MOST_WAITING + 5)]


def test_a_stream_hands_over_whole_lines_while_a_prompt_waits() -> None:
    out = io.StringIO()
    screen, prompt = Screen(out), Prompt(out)
    stream = ScreenStream(screen, out)
    print("before", file=stream)
    screen.prompting(prompt)
    print("half", end="", file=stream, flush=True)
    prompt.turn()
    print(" and half", file=stream)
    prompt.turn()
    print("rest", end="", file=stream)
    screen.prompted()
    stream.flush()
    assert out.getvalue() == "before\n^half and half\nrest"
