"""A database of an older version: it starts as it is, and everything in it is there and works."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from .conftest import Serve
from .server import Server, run, until

FIXTURES = Path(__file__).parents[1] / "fixtures" / "database"
DEFINITIONS = FIXTURES / "definitions.yaml"
TOKEN = "qLzdbBWgyRj-kc4lLjUZiMfZjA_NXBNd4923c1oO6bU"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The file of a database that the first version made, and the definitions in a folder beside it."""
    definitions = tmp_path / "definitions"
    definitions.mkdir()
    (definitions / "a.yaml").write_text(DEFINITIONS.read_text(encoding="utf-8"), encoding="utf-8")
    file = tmp_path / "orders.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript((FIXTURES / "first.sql").read_text(encoding="utf-8"))
        connection.execute("PRAGMA journal_mode = WAL")
    return file


def test_everything_in_it_is_there_and_works(old: Path, serve: Serve) -> None:
    server = serve(old.parent / "definitions", "--no-workers")
    assert orders(server) == [order(number, "standby") for number in range(3)]
    fifos = json.loads(run("fifo", "ls", "--format", "json", cwd=old.parent, env=database(old)).out)
    assert {fifo["name"]: fifo["length"] for fifo in fifos} == {"bad": 0, "orders": 3}
    assert [letter["reason"] for letter in dead(old)] == ["ValueError: poisoned"]
    server.stop()

    # The items are worked off, and the dead letter is offered once more: it dies again.
    server = serve(old.parent / "definitions")
    until(lambda: orders(server) == [order(number, "done") for number in range(3)])
    again = run("fifo", "dead", "redrive", "1", cwd=old.parent, env=database(old))
    assert again.code == 0, again.err
    until(lambda: [letter["id"] for letter in dead(old)] == [2])
    assert dead(old)[0]["payload"] == {"poison": 1}


def test_migrate_finds_nothing_to_do_in_it_and_doctor_nothing_wrong(old: Path) -> None:
    folder = old.parent / "definitions"
    assert "nothing to do" in run("migrate", folder, cwd=old.parent, env=database(old)).out
    assert run("doctor", cwd=old.parent, env=database(old)).code == 0
    changed = folder / "a.yaml"
    changed.write_text(changed.read_text().replace("price, field_type: number", "price, field_type: string"))
    done = run("migrate", folder, "--apply", cwd=old.parent, env=database(old))
    assert (done.code, "number → string, 3 rows converted" in done.out) == (0, True), done.out + done.err
    with closing(sqlite3.connect(old)) as connection:
        prices = connection.execute('SELECT price FROM "OrderEntry" ORDER BY number').fetchall()
    assert prices == [("0.0",), ("0.5",), ("1.0",)]


def order(number: int, status: str) -> dict[str, Any]:
    """An order as it was saved then."""
    return {
        "xid": "x",
        "xname": "y",
        "orderId": f"o{number}",
        "parameters": {"n": number, "text": "ü 'quoted'"},
        "status": status,
        "number": number,
        "price": number / 2,
        "paid": number == 1,
        "at": "2026-01-31T10:00:00+00:00",
        "extras": {"big": 2**70},
        "lines": [1, None, "x"],
    }


def orders(server: Server) -> list[dict[str, Any]]:
    """All orders, asked for with the token of that time."""
    answer = server.get("/orders", token=TOKEN)
    assert answer.code == 200, answer.body
    found: list[dict[str, Any]] = answer.json()
    assert all(order.pop("instance") for order in found)
    return found


def dead(file: Path) -> list[dict[str, Any]]:
    listed = run("fifo", "dead", "list", "bad", "--format", "json", cwd=file.parent, env=database(file))
    assert listed.code == 0, listed.err
    letters: list[dict[str, Any]] = json.loads(listed.out)
    return letters


def database(file: Path) -> dict[str, str]:
    return {"FRAMEWORK_DATABASE": f"sqlite:///{file.name}"}
