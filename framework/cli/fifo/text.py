"""FIFOs, items and dead letters as text for people, made from the records for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

_WIDTH = 70  # for a payload that shares its line


class FifoTable:
    """A line for each FIFO. Only the displayed parts of a record are kept."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, str, str, str]] = []

    def add(self, record: dict[str, Any]) -> None:
        row = record["name"], str(record["length"]), str(record["dead"]), _mark(record) + record["why"]
        self._rows.append(row)

    def lines(self) -> Iterator[str]:
        """Print it with a heading, or nothing if there is no FIFO."""
        if not self._rows:
            return
        rows = [("NAME", "LENGTH", "DEAD", "STATE"), *self._rows]
        width = max(len(row[0]) for row in rows)
        for name, length, dead, state in rows:
            yield f"{name:<{width}}  {length:>7}  {dead:>6}  {state}"


def fifo_page(record: dict[str, Any]) -> Iterator[str]:
    """Everything of one FIFO."""
    yield f"FIFO {record['name']}"
    yield f"  now      {_mark(record)}{record['why']}"
    yield f"  length   {record['length']}"
    yield f"  dead     {record['dead']}"
    yield f"  paused   {'yes' if record['paused'] else 'no'}"
    policy = record["policy"]
    told = "of the definitions" if policy["recorded"] else "the defaults"
    yield f"  policy   {told}: " + ", ".join(_policy(policy))
    head = record["head"]
    if head is not None:
        yield from _head(head)


def item_line(record: dict[str, Any], in_work: int | None) -> str:
    """An item in a list of them."""
    marks = [f"attempts {record['attempts']}"] if record["attempts"] else []
    marks += [f"crashes {record['crashes']}"] if record["crashes"] else []
    marks += ["in work"] if record["id"] == in_work else []
    marks += ["held"] if record["held"] else []
    return "  ".join([f"{record['id']:>7}", _second(record["put_at"]), *marks, shortened(record["payload"])])


def dead_line(record: dict[str, Any]) -> str:
    """A dead letter in a list of them."""
    return "  ".join(
        [
            f"{record['id']:>5}",
            f"{record['fifo']:<12}",
            f"died {_second(record['died_at'])}",
            f"attempts {record['attempts']}",
            _cut(record["reason"].partition("\n")[0], _WIDTH),
            shortened(record["payload"]),
        ]
    )


def dead_page(record: dict[str, Any]) -> Iterator[str]:
    """Everything of a dead letter."""
    yield f"dead letter {record['id']} of FIFO {record['fifo']}"
    if record["request_id"] is not None:
        yield f"  request  {record['request_id']}"
    for name in (
        "item_id",
        "reason",
        "attempts",
        "crashes",
        "put_at",
        "first_at",
        "last_at",
        "died_at",
    ):
        yield f"  {name:<8} {record[name] if record[name] is not None else '-'}"
    yield f"  payload  {_json(record['payload'])}"
    yield from _traceback(record["traceback"])


def shortened(payload: Any) -> str:
    """A payload that shares its line with others."""
    return _cut(_json(payload), _WIDTH)


def _head(head: dict[str, Any]) -> Iterator[str]:
    key = f", key {head['key']!r}" if head["key"] is not None else ""
    yield f"  head     item {head['id']}, put {_second(head['put_at'])}{key}"
    if head["request_id"] is not None:
        yield f"  request  {head['request_id']}"
    if head["first_at"] is not None:
        counts = f"attempts {head['attempts']}, crashes {head['crashes']}"
        yield f"           {counts}, first {_second(head['first_at'])}, last {_second(head['last_at'])}"
    yield f"  payload  {shortened(head['payload'])}"
    if head["reason"] is not None:
        yield f"  error    {head['reason']}"
    yield from _traceback(head["traceback"])


def _policy(policy: dict[str, Any]) -> Iterator[str]:
    for name, value in policy.items():
        if name == "backoff":
            yield f"backoff {value['initial']:g} s x {value['factor']:g} up to {value['max']:g} s"
        elif name != "recorded" and value is not None:
            yield f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"


def _traceback(traceback: str | None) -> Iterator[str]:
    for line in (traceback or "").splitlines():
        yield f"    {line}"


def _mark(record: dict[str, Any]) -> str:
    return "SLOW: " if record["in_work"] and record["in_work"]["slow"] else ""


def _second(iso: str) -> str:
    """To the second, as ``2026-01-31T10:00:00Z``."""
    return iso[:19] + "Z"


def _json(payload: Any) -> str:
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":"))


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
