"""What becomes of a filled table when its definition changes: one case for each change.

Each is made by a start itself, planned and then made by ``framework migrate``, or refused; and after each, every
row holds what it should. ``docs/migration.md`` has a line for each, with its outcome.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from framework import storage as engines
from framework.atom.classes import Atoms
from framework.definitions import MODULES, check
from framework.errors import CannotOpen
from framework.transactions.session import Session

pytestmark = pytest.mark.anyio

BY_ITSELF, PLANNED, REFUSED = "by itself", "planned", "refused"

Rows = Sequence[Mapping[str, Any]]


def order(*fields: str, head: str = "name: Order", key: str = "field_name: id, field_type: integer") -> str:
    """A class; each field is what stands between the braces of its mapping."""
    listed = "".join(f"\n  - {{{field}}}" for field in fields)
    return f"{head}\nattributes:\n  identifier: {{{key}}}\n  local_fields:{listed or ' []'}\n"


def of(type_: str, more: str = "", name: str = "f") -> str:
    return f"field_name: {name}, field_type: {type_}" + (f", {more}" if more else "")


NOTE, NULL, REQUIRED = of("string", name="note"), "field_nullable: true", "field_nullable: false"
TWO = ({"id": 2, "f": "b"}, {"id": 1, "f": "a"})


@dataclass(frozen=True)
class Case:
    """A change: the definitions before and after, the rows before and after, and what is told of it."""

    change: str
    outcome: str
    before: str | Sequence[str]
    rows: Rows | Mapping[str, Rows]
    after: str | Sequence[str]
    then: Rows | Mapping[str, Rows] | None = None
    told: str = ""
    drop: Sequence[str] = field(default=())


UTC = dt.UTC
NEW_YEAR = dt.datetime(2026, 1, 1, tzinfo=UTC)

CASES = (
    # ---- classes
    Case(
        "a new class",
        BY_ITSELF,
        order(NOTE),
        [{"id": 1, "note": "x"}],
        [order(NOTE), order(NOTE, head="name: Other")],
        {"Order": [{"id": 1, "note": "x"}], "Other": []},
    ),
    Case(
        "a class that is no longer defined",
        BY_ITSELF,
        [order(NOTE), order(NOTE, head="name: Other")],
        {"Order": [{"id": 1, "note": "x"}], "Other": [{"id": 7, "note": "y"}]},
        order(NOTE),
        [{"id": 1, "note": "x"}],
        "- table Other: no longer defined; kept, with 1 row",
    ),
    Case(
        "the same, dropped by name (`--drop`)",
        PLANNED,
        [order(NOTE), order(NOTE, head="name: Other")],
        {"Order": [{"id": 1, "note": "x"}], "Other": [{"id": 7, "note": "y"}]},
        order(NOTE),
        [{"id": 1, "note": "x"}],
        "- table Other: dropped, with 1 row",
        ("Other",),
    ),
    Case(
        "a class renamed (`renamed_from`)",
        PLANNED,
        order(of("string", "field_unique: true")),
        TWO,
        order(of("string", "field_unique: true"), head="name: Purchase\nrenamed_from: Order"),
        {"Purchase": TWO},
        "~ table Purchase: renamed from Order, 2 rows",
    ),
    Case(
        "a class renamed, and the new one has rows already",
        REFUSED,
        [order(of("string")), order(of("string"), head="name: Purchase")],
        {"Order": TWO, "Purchase": [{"id": 9, "f": "z"}]},
        order(of("string"), head="name: Purchase\nrenamed_from: Order"),
        told="! table Purchase: is to be renamed from Order, and both have rows (1 and 2)",
    ),
    Case(
        "a class renamed only in upper and lower case",
        PLANNED,
        order(of("string", "field_unique: true")),
        TWO,
        order(of("string", "field_unique: true"), head="name: order"),
        {"order": TWO},
        "~ table order: renamed from Order, 2 rows",
    ),
    # ---- fields that come, go and are renamed
    Case(
        "a new field that may be null",
        BY_ITSELF,
        order(NOTE),
        [{"id": 1, "note": "x"}, {"id": 2, "note": None}],
        order(NOTE, of("DateTime")),
        [{"id": 1, "note": "x", "f": None}, {"id": 2, "note": None, "f": None}],
        "+ column Order.f: new, null in 2 rows",
    ),
    Case(
        "a new field with a constant default",
        BY_ITSELF,
        order(NOTE),
        [{"id": 1, "note": "x"}],
        order(NOTE, of("string", f"{REQUIRED}, field_default: new"), of("number", "field_default: 1.5", "g")),
        [{"id": 1, "note": "x", "f": "new", "g": 1.5}],
        "+ column Order.f: new, the default in 1 row",
    ),
    Case(
        "a new field that must have a value, with a default that is computed",
        PLANNED,
        order(NOTE),
        [{"id": 1, "note": "x"}, {"id": 2, "note": "y"}],
        order(NOTE, of("integer", f"{REQUIRED}, field_default: len('four')")),
        [{"id": 1, "note": "x", "f": 4}, {"id": 2, "note": "y", "f": 4}],
        "+ column Order.f: new, the default is made for 2 rows",
    ),
    Case(
        "a new field that must have a value, without a default",
        REFUSED,
        order(NOTE),
        [{"id": 1, "note": "x"}],
        order(NOTE, of("string", REQUIRED)),
        told="! column Order.f: new, not nullable and without a default, and there is 1 row",
    ),
    Case(
        "a new unique field with one default for all rows",
        REFUSED,
        order(NOTE),
        [{"id": 1, "note": "x"}, {"id": 2, "note": "y"}],
        order(NOTE, of("string", "field_unique: true, field_default: same")),
        told="! column Order.f: is to be unique, and several rows have the same value",
    ),
    Case(
        "a field renamed (`renamed_from`)",
        PLANNED,
        order(of("string", "field_unique: true", "old")),
        [{"id": 2, "old": "b"}, {"id": 1, "old": "a"}],
        order(of("string", "field_unique: true, renamed_from: old")),
        TWO,
        "~ column Order.f: renamed from old",
    ),
    Case(
        "a field renamed, after a start has added the new one",
        PLANNED,
        order(of("string", name="old"), of("string")),
        [{"id": 1, "old": "a", "f": None}],
        order(of("string", "renamed_from: old")),
        [{"id": 1, "f": "a"}],
        "~ column Order.f: renamed from old",
    ),
    Case(
        "a field renamed, and the new one has values already",
        REFUSED,
        order(of("string", name="old"), of("string")),
        [{"id": 1, "old": "a", "f": "b"}],
        order(of("string", "renamed_from: old")),
        told="! column Order.f: is to be renamed from old, but is there already, with values in 1 row",
    ),
    Case(
        "a field renamed and of another type",
        PLANNED,
        order(of("string", name="old")),
        [{"id": 1, "old": "7"}],
        order(of("integer", "renamed_from: old")),
        [{"id": 1, "f": 7}],
        "~ column Order.f: string → integer, 1 row converted",
    ),
    Case(
        "a field that is no longer defined",
        BY_ITSELF,
        order(NOTE, of("string")),
        [{"id": 1, "note": "x", "f": "kept"}],
        order(NOTE),
        [{"id": 1, "note": "x"}],
        "- column Order.f: no longer defined; kept, with the values of 1 row",
    ),
    Case(
        "the same, of a field that had to have a value",
        PLANNED,
        order(NOTE, of("string", REQUIRED)),
        [{"id": 1, "note": "x", "f": "kept"}],
        order(NOTE),
        [{"id": 1, "note": "x"}],
        "~ column Order.f: is no longer defined, and new rows have no value for it: it may be null from now on",
    ),
    Case(
        "a field dropped by name (`--drop`)",
        PLANNED,
        order(NOTE, of("string")),
        [{"id": 1, "note": "x", "f": "gone"}],
        order(NOTE),
        [{"id": 1, "note": "x"}],
        "- column Order.f: dropped, with the values of 1 row",
        ("Order.f",),
    ),
    Case(
        "a field that loses its column (`field_persistence: false`)",
        BY_ITSELF,
        order(of("string")),
        TWO,
        order(of("string", "field_persistence: false")),
        [{"id": 2, "f": None}, {"id": 1, "f": None}],
        "- column Order.f: no longer defined; kept, with the values of 2 rows",
    ),
    # ---- other types
    Case(
        "`integer` to `number`",
        PLANNED,
        order(of("integer")),
        [{"id": 1, "f": 2**53}, {"id": 2, "f": None}, {"id": 3, "f": -7}],
        order(of("number")),
        [{"id": 1, "f": 2.0**53}, {"id": 2, "f": None}, {"id": 3, "f": -7.0}],
        "~ column Order.f: integer → number, 2 rows converted",
    ),
    Case(
        "`integer` to `number`, beyond what a double can carry",
        REFUSED,
        order(of("integer")),
        [{"id": 1, "f": 2**53 + 1}],
        order(of("number")),
        told="! column Order.f: is integer and is to be number: 1 row does not fit: id 1 must be a number that a "
        "double can carry exactly",
    ),
    Case(
        "`number` to `integer`, all of them whole",
        PLANNED,
        order(of("number")),
        [{"id": 1, "f": 7.0}, {"id": 2, "f": -(2.0**60)}],
        order(of("integer")),
        [{"id": 1, "f": 7}, {"id": 2, "f": -(2**60)}],
        "~ column Order.f: number → integer, 2 rows converted",
    ),
    Case(
        "`number` to `integer`, one of them not whole",
        REFUSED,
        order(of("number")),
        [{"id": 1, "f": 7.0}, {"id": 2, "f": 7.5}],
        order(of("integer")),
        told="1 row does not fit: id 2 must be a whole number, not 7.5",
    ),
    Case(
        "`string` to `integer`, all of them whole numbers",
        PLANNED,
        order(of("string", "field_unique: true")),
        [{"id": 1, "f": "12"}, {"id": 2, "f": "-7"}, {"id": 3, "f": None}],
        order(of("integer", "field_unique: true")),
        [{"id": 1, "f": 12}, {"id": 2, "f": -7}, {"id": 3, "f": None}],
        "~ column Order.f: string → integer, 2 rows converted",
    ),
    Case(
        "`string` to `integer`, some with leading zeros or no numbers",
        REFUSED,
        order(of("string")),
        [{"id": number, "f": text} for number, text in enumerate(("1", "007", "x", "", "1.0"))],
        order(of("integer")),
        told="4 rows do not fit: id 1 must be a whole number as it is usually written, not '007'; id 2 must be a "
        "whole number as it is usually written, not 'x'; id 3",
    ),
    Case(
        "`string` to `DateTime`, all of them with an offset",
        PLANNED,
        order(of("string")),
        [{"id": 1, "f": "2026-01-01T09:00:00+09:00"}],
        order(of("DateTime")),
        [{"id": 1, "f": NEW_YEAR}],
        "~ column Order.f: string → DateTime, 1 row converted",
    ),
    Case(
        "`DateTime` to `string`",
        PLANNED,
        order(of("DateTime")),
        [{"id": 1, "f": NEW_YEAR}],
        order(of("string")),
        [{"id": 1, "f": "2026-01-01T00:00:00+00:00"}],
        "~ column Order.f: DateTime → string, 1 row converted",
    ),
    Case(
        "`string` to `object`, all of them JSON",
        PLANNED,
        order(of("string")),
        [{"id": 1, "f": '{"b": 1.0, "a": [1]}'}, {"id": 2, "f": None}],
        order(of("object")),
        [{"id": 1, "f": {"b": 1.0, "a": [1]}}, {"id": 2, "f": None}],
        "~ column Order.f: string → object, 1 row converted",
    ),
    Case(
        "`string` to `object`, one of them not JSON",
        REFUSED,
        order(of("string")),
        [{"id": 1, "f": "{}"}, {"id": 2, "f": "plain"}],
        order(of("object")),
        told="1 row does not fit: id 2 must be JSON, not 'plain'",
    ),
    Case(
        "`object` to `MU`",
        BY_ITSELF,
        order(of("object")),
        [{"id": 1, "f": {"a": {"b": 1}}}],
        order(of("MU")),
        [{"id": 1, "f": {"a": {"b": 1}}}],
        "~ column Order.f: takes other values than before; the row that there is fits",
    ),
    Case(
        "`boolean` to `integer`",
        PLANNED,
        order(of("boolean")),
        [{"id": 1, "f": True}, {"id": 2, "f": False}],
        order(of("integer")),
        [{"id": 1, "f": 1}, {"id": 2, "f": 0}],
        "~ column Order.f: boolean → integer, 2 rows converted",
    ),
    Case(
        "`DateTime` to `integer`",
        REFUSED,
        order(of("DateTime")),
        [{"id": 1, "f": NEW_YEAR}],
        order(of("integer")),
        told="! column Order.f: is DateTime and is to be integer: between these there is no conversion",
    ),
    Case(
        "another type of the column (`field_dbtype`)",
        PLANNED,
        order(of("string")),
        TWO,
        order(of("string", "field_dbtype: VARCHAR(40)")),
        TWO,
        "~ column Order.f: TEXT → VARCHAR(40), the values stay",
    ),
    # ---- null, unique, index
    Case(
        "a field that must now have a value, and each row has one",
        PLANNED,
        order(of("string")),
        TWO,
        order(of("string", REQUIRED)),
        TWO,
        "~ column Order.f: must not be null from now on; no row is",
    ),
    Case(
        "the same, rows without one and a default",
        PLANNED,
        order(of("string")),
        [{"id": 1, "f": "a"}, {"id": 2, "f": None}],
        order(of("string", f"{REQUIRED}, field_default: new")),
        [{"id": 1, "f": "a"}, {"id": 2, "f": "new"}],
        "~ column Order.f: must not be null from now on: the default is made for 1 row without a value",
    ),
    Case(
        "the same, rows without one and no default",
        REFUSED,
        order(of("string")),
        [{"id": 1, "f": "a"}, {"id": 2, "f": None}, {"id": 3, "f": None}],
        order(of("string", REQUIRED)),
        told="! column Order.f: must not be null, and in 2 rows it is (id 2, 3). Fill them in",
    ),
    Case(
        "a field that may now be null",
        PLANNED,
        order(of("string", REQUIRED)),
        TWO,
        order(of("string")),
        TWO,
        "~ column Order.f: may be null from now on",
    ),
    Case(
        "a unique field whose values differ",
        BY_ITSELF,
        order(of("string")),
        [*TWO, {"id": 3, "f": None}, {"id": 4, "f": None}],
        order(of("string", "field_unique: true")),
        [*TWO, {"id": 3, "f": None}, {"id": 4, "f": None}],
        "+ index Order.f: new, unique",
    ),
    Case(
        "a unique field of which two rows have the same value",
        REFUSED,
        order(of("string")),
        [*TWO, {"id": 3, "f": "a"}],
        order(of("string", "field_unique: true")),
        told='! column Order.f: is to be unique, and several rows have the same value: "a". Make them differ',
    ),
    Case(
        "a field that is no longer unique",
        BY_ITSELF,
        order(of("string", "field_unique: true")),
        TWO,
        order(of("string")),
        TWO,
        "- index Order.f: no longer defined: dropped",
    ),
    Case(
        "a new index (`field_metadata: {index: true}`)",
        BY_ITSELF,
        order(of("string")),
        TWO,
        order(of("string", "field_metadata: {index: true}")),
        TWO,
        "+ index Order.f: new",
    ),
    # ---- rules
    Case(
        "a smaller enum that each row fits",
        BY_ITSELF,
        order(of("string", "field_enum: [a, b, c]")),
        TWO,
        order(of("string", "field_enum: [a, b]")),
        TWO,
        "~ column Order.f: takes other values than before; each of the 2 rows fits",
    ),
    Case(
        "a smaller enum that a row does not fit",
        REFUSED,
        order(of("string", "field_enum: [a, b, c]")),
        TWO,
        order(of("string", "field_enum: [a, c]")),
        told="! column Order.f: 1 row does not fit: id 2 must be `a` or `c`, not 'b'",
    ),
    Case(
        "a format or length that a row does not fit",
        REFUSED,
        order(of("string"), of("string", name="g")),
        [{"id": 1, "f": "a@example.com", "g": "abc"}, {"id": 2, "f": "nobody", "g": "abcd"}],
        order(of("string", "field_format: email"), of("string", "field_length: 3", "g")),
        told="! column Order.f: 1 row does not fit: id 2 must have the format email",
    ),
    # ---- the identifier
    Case(
        "an identifier of another type",
        PLANNED,
        order(NOTE),
        [{"id": 2, "note": "x"}, {"id": 1, "note": "y"}],
        order(NOTE, key="field_name: id, field_type: string"),
        [{"id": "2", "note": "x"}, {"id": "1", "note": "y"}],
        "~ column Order.id: integer → string, 2 rows converted",
    ),
    Case(
        "another field as the identifier",
        PLANNED,
        order(of("string")),
        TWO,
        order(of("integer", "", "id"), key="field_name: f, field_type: string"),
        [{"f": "b", "id": 2}, {"f": "a", "id": 1}],
        "~ column Order.f: must not be null from now on; no row is",
    ),
    Case(
        "another field as the identifier, of which two rows have the same value",
        REFUSED,
        order(of("string")),
        [*TWO, {"id": 3, "f": "a"}],
        order(of("integer", "", "id"), key="field_name: f, field_type: string"),
        told="! column Order.f: is to be unique, and several rows have the same value",
    ),
    # ---- names
    Case(
        "classes and fields whose names are SQL keywords",
        PLANNED,
        order(of("string", "field_unique: true", "select"), head="name: Table"),
        {"Table": [{"id": 1, "select": 'it\'s "x"'}]},
        order(
            of("string", "field_unique: true, renamed_from: select", "group"),
            of("string", name="where"),
            head="name: Table",
        ),
        {"Table": [{"id": 1, "group": 'it\'s "x"', "where": None}]},
        "~ column Table.group: renamed from select",
    ),
    Case(
        "a field renamed only in upper and lower case",
        PLANNED,
        order(of("string", "field_unique: true")),
        TWO,
        order(of("string", "field_unique: true", "F")),
        [{"id": 2, "F": "b"}, {"id": 1, "F": "a"}],
        "~ column Order.F: renamed from f",
    ),
    Case(
        "several changes of one class at once",
        PLANNED,
        order(of("string"), of("string", REQUIRED, "g"), of("integer", "", "h")),
        [{"id": 2, "f": "b", "g": "1", "h": 1}, {"id": 1, "f": None, "g": "2", "h": None}],
        order(
            of("string", f"{REQUIRED}, field_default: none_yet"),
            of("integer", "renamed_from: g", "amount"),
            of("string", "field_default: new", "state"),
        ),
        [
            {"id": 2, "f": "b", "amount": 1, "state": "new"},
            {"id": 1, "f": "none_yet", "amount": 2, "state": "new"},
        ],
        "~ column Order.amount: renamed from g",
        ("Order.h",),
    ),
)


def test_there_are_thirty_changes_and_more_and_each_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "migration.md").read_text("utf-8")
    assert len({case.change for case in CASES}) == len(CASES) >= 30
    missing = [case.change for case in CASES if f"| {case.change} | {case.outcome} |" not in page]
    assert not missing


class Application:
    """A folder of definitions and a database, started again and again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.file = folder / "app.db"
        self.url = f"sqlite:///{self.file}"

    def define(self, texts: str | Sequence[str]) -> Atoms:
        definitions = self._folder / "definitions"
        definitions.mkdir(exist_ok=True)
        for old in definitions.iterdir():
            old.unlink()
        for number, text in enumerate([texts] if isinstance(texts, str) else texts):
            (definitions / f"{number}.yaml").write_text(text, encoding="utf-8")
        checked = check(definitions, environ={})
        assert not checked.errors, checked.errors
        self._session = Session()
        return Atoms(checked.definitions.atoms, self._session, {**MODULES})

    async def start(
        self, texts: str | Sequence[str], rows: Mapping[str, Rows] | None = None
    ) -> dict[str, Rows]:
        """Start with these definitions, save these rows, and give all rows that there are then."""
        atoms = self.define(texts)
        async with engines.open_storage(self.url) as storage:
            await storage.ensure_tables(atoms.records)
            self._session.bind(storage)
            for name, values in (rows or {}).items():
                for value in values:
                    await getattr(atoms, name)(**value).save()
            found = {}
            for generated in atoms:
                found[generated.__name__] = [each.localfields() for each in await generated.retrieve()]
                for each in await generated.retrieve():  # every row is one that its class takes
                    await each.save(**each.localfields())
                    assert await generated.load(getattr(each, each._model.key_column)) is not None
            self._session.stop()
        return found

    def raw(self) -> dict[str, Any]:
        """Everything in the tables of the classes, and how they are made."""
        with closing(sqlite3.connect(self.file)) as connection:
            made = connection.execute(
                "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE '\\_%' ESCAPE '\\' ORDER BY name"
            ).fetchall()
            tables = connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\' "
                "AND name NOT LIKE 'sqlite%'"
            ).fetchall()
            return {
                "made": made,
                **{name: connection.execute(f'SELECT * FROM "{name}"').fetchall() for (name,) in tables},
            }


@pytest.fixture
def application(tmp_path: Path) -> Application:
    return Application(tmp_path)


def by_class(rows: Rows | Mapping[str, Rows]) -> dict[str, Rows]:
    found = rows if isinstance(rows, Mapping) else {"Order": rows}
    return {name: [dict(row) for row in values] for name, values in found.items()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.change)
async def test_a_change(case: Case, application: Application) -> None:
    rows = by_class(case.rows)
    assert await application.start(case.before, rows) == rows
    before = application.raw()
    tables = application.define(case.after).records
    plan = engines.plan_migration(application.url, tables, case.drop)
    told = "\n".join(f"{change.sign} {change.what}: {change.text}" for change in plan.changes)
    assert case.told in told
    assert application.raw() == before, "a plan changes nothing"

    if case.outcome == BY_ITSELF:
        assert not plan.waiting, told
        assert await application.start(case.after) == by_class(case.then or [])
        return

    if not case.drop:
        with pytest.raises(CannotOpen) as stopped:
            await application.start(case.after)
        assert "framework migrate" in str(stopped.value)
        assert case.told.partition(": ")[2] in str(stopped.value)
        assert application.raw() == before, "a start that stops changes nothing"

    done, copy = engines.migrate(application.url, tables, case.drop)
    if case.outcome == REFUSED:
        assert done.refused
        assert copy is None
        assert application.raw() == before
        assert await application.start(case.before) == rows
        return
    assert not done.refused, told
    assert copy is not None
    assert await application.start(case.after) == by_class(case.then or [])
    again = engines.plan_migration(application.url, application.define(case.after).records)
    assert not again.made, "a second migration has nothing to do"
    with closing(sqlite3.connect(application.file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    application.file = Path(copy)
    assert application.raw() == before, "the copy is the database as it was"
