"""Dependent reads: a gathering asks for rows, and what it asks next depends on them.

The one rule: **all rows of a gathering come from one snapshot.** A gathering is a generator. It does not know where
it runs, and is driven to its end in one hop.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Select, Table

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The rows of a statement; ``parameters`` fill its required bind parameters."""

    statement: Select[Any]
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Matching:
    """The rows whose column has one of these values, however many there are, in no particular order."""

    table: Table
    column: str
    values: Sequence[Any]


Question = Chosen | Matching
Gathering = Generator[Question, list[Row], T]


def drive(gathering: Generator[A, B, T], ask: Callable[[A], B]) -> T:
    """Run a gathering, or a decision, to its end, each of its questions answered by ``ask``."""
    try:
        question = next(gathering)
        while True:
            question = gathering.send(ask(question))
    except StopIteration as end:
        result: T = end.value
        return result
