"""ATOM classes: values are checked where they are given, and come back as they went in."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from framework.atom import Atom
from framework.atom.classes import Atoms, Models
from framework.definitions import MODULES, Definitions
from framework.errors import Duplicate, FrameworkError, Gone, Unavailable, ValidationError
from framework.storage import Storage
from framework.storage.operations import Insert, Update
from framework.transactions.session import Session
from framework.values.mu import MU
from tests.conftest import REFERENCE_APP, Recorder
from tests.values.test_mu import JSON, TEXT

pytestmark = pytest.mark.anyio

UTC = dt.UTC

EVERYTHING = """\
name: Everything
attributes:
  identifier: {field_name: key, field_type: string, field_default: uuid.uuid1().hex}
  local_fields:
  - {field_name: text, field_type: string}
  - {field_name: whole, field_type: integer}
  - {field_name: real, field_type: number}
  - {field_name: flag, field_type: boolean}
  - {field_name: thing, field_type: object}
  - {field_name: listed, field_type: array}
  - {field_name: mu, field_type: MU}
  - {field_name: mus, field_type: array<MU>}
  - {field_name: at, field_type: DateTime}
  - {field_name: code, field_type: integer, field_unique: true}
  - {field_name: fixed, field_type: string, field_immutable: true}
  - {field_name: needed, field_type: integer, field_nullable: false, field_default: 7}
  - {field_name: state, field_type: string, field_enum: [new, old], field_default: new}
"""

# Names that mean something to SQL, to Python or to a statement's own parameters.
ODD = """\
name: select
attributes:
  identifier: {field_name: key, field_type: integer}
  local_fields:
  - {field_name: v_key, field_type: string}
  - {field_name: limit_, field_type: string}
  - {field_name: offset_, field_type: string}
  - {field_name: order, field_type: string}
  - {field_name: items, field_type: MU}
  - {field_name: self, field_type: string}
  - {field_name: cls, field_type: string}
  - {field_name: name, field_type: string}
  - {field_name: v_limit_, field_type: string}
"""

NO_IDENTIFIER = """\
name: Note
attributes:
  local_fields:
  - {field_name: text, field_type: string}
"""

REQUIRED = """\
name: Strict
attributes:
  identifier: {field_name: id, field_type: integer}
  local_fields:
  - {field_name: needed, field_type: string, field_nullable: false}
  - {field_name: note, field_type: string}
"""


@pytest.fixture
def atoms(define: Callable[..., Definitions], session: Session) -> Atoms:
    reference = (REFERENCE_APP / "OrderEntry.yaml").read_text(encoding="utf-8")
    definitions = define(EVERYTHING, ODD, NO_IDENTIFIER, REQUIRED, reference)
    return Atoms(definitions.atoms, session, {**MODULES})


@pytest.fixture
async def atom(atoms: Atoms, storage: Storage) -> Atoms:
    """The classes, with their tables."""
    await storage.ensure_tables(atoms.records)
    return atoms


@pytest.fixture
async def order(atom: Atoms) -> Atom:
    """A saved order of the reference application."""
    return await atom.OrderEntry(parameters={"name": "hoge0"}).save()


def refused(rule: str, field: str) -> Any:
    """The ValidationError of a rule on a field."""
    return pytest.raises(ValidationError, check=lambda error: (error.rule, error.field) == (rule, field))


# ---- construction ---------------------------------------------------------------------------


async def test_the_reference_class(atoms: Atoms) -> None:
    order = atoms.OrderEntry(parameters={"name": "x"})
    assert re.fullmatch("[0-9a-f]{32}", order.orderId)
    assert (order.parameters, order.status) == ({"name": "x"}, "standby")
    assert atoms.OrderEntry.key_field == "orderId"
    assert atoms.OrderEntry.fieldnames() == ["instance", "xid", "xname", "orderId", "parameters", "status"]
    assert order.localfields() == {"orderId": order.orderId, "parameters": {"name": "x"}, "status": "standby"}


async def test_instance_is_the_class_and_an_identity_of_its_own(atoms: Atoms) -> None:
    order = atoms.OrderEntry()
    name, _, identity = base64.b64decode(order.instance, validate=True).decode().partition(":")
    assert name == "OrderEntry"
    assert re.fullmatch("[0-9a-f]{12}1[0-9a-f]{19}", identity), "a time-based UUID"
    assert identity != order.orderId
    assert len({atoms.OrderEntry().instance for _ in range(1000)}) == 1000


async def test_defaults_are_made_anew_for_each_instance(atoms: Atoms) -> None:
    one, two = atoms.OrderEntry(), atoms.OrderEntry()
    assert one.orderId != two.orderId
    one.parameters["x"] = 1
    assert two.parameters == {}
    assert atoms.OrderEntry().parameters == {}
    everything = atoms.Everything()
    assert (everything.needed, everything.state, everything.text) == (7, "new", None)


async def test_a_given_value_wins_over_the_default(atoms: Atoms) -> None:
    assert atoms.OrderEntry(orderId="mine", status="done").localfields() == {
        "orderId": "mine",
        "parameters": {},
        "status": "done",
    }


async def test_what_is_needed_and_has_no_default_must_be_given(atoms: Atoms) -> None:
    with refused("required", "needed"):
        atoms.Strict(id=1)
    with refused("nullable", "needed"):
        atoms.Strict(id=1, needed=None)
    assert atoms.Strict(id=1, needed="x").note is None


@pytest.mark.parametrize("give", ["assign", "add", "save", "setattr"])
async def test_an_identifier_is_given_once_before_the_first_save(atom: Atoms, give: str) -> None:
    new = atom.Strict(needed="x")
    assert new.id is None
    with pytest.raises(ValidationError, match=r"Strict\.id: a value is needed") as caught:
        await new.save()
    assert (caught.value.class_name, caught.value.field, caught.value.rule) == ("Strict", "id", "required")
    assert await atom.Strict.retrieve() == []
    with refused("nullable", "id"):
        new.id = None
    with refused("type", "id"):
        new.id = "7"
    if give == "save":
        await new.save(id=7)
    elif give == "add":
        new += {"id": 7}
    else:
        new.id = 7
    with refused("immutable", "id"):
        new.id = 8
    new.id = 7  # as it is
    assert (await new.save()) is new
    assert (await atom.Strict.load(7)).needed == "x"
    with refused("immutable", "id"):
        (await atom.Strict.load(7)).id = 8


async def test_what_is_awaited_is_the_instance(atom: Atoms) -> None:
    one = await atom.Strict(id=1, needed="x")
    assert isinstance(one, atom.Strict)
    assert await one is one
    assert await atom.Strict.retrieve() == []
    found = await asyncio.gather(atom.OrderEntry().save(), asyncio.wait_for(one.save(), 5))
    assert found[1] is one


@pytest.mark.parametrize("give", ["construct", "assign", "add", "save"])
async def test_an_unknown_name_says_what_was_meant(atom: Atoms, give: str) -> None:
    order = await atom.OrderEntry().save()
    before = order.localfields()

    async def attempt() -> None:
        nonlocal order
        if give == "construct":
            atom.OrderEntry(statsu="done")
        elif give == "assign":
            order.statsu = "done"
        elif give == "add":
            order += {"parameters": {"x": 1}, "statsu": "done"}
        else:
            await order.save(parameters={"x": 1}, statsu="done")

    with pytest.raises(ValidationError, match=r"OrderEntry\.statsu: no such field; did you mean 'status'\?"):
        await attempt()
    assert order.localfields() == before
    assert not hasattr(order, "statsu")


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("status", "dnoe", "enum"),
        ("status", "", "enum"),
        ("status", None, "nullable"),
        ("status", 1, "type"),
        ("parameters", None, "nullable"),
        ("parameters", [], "type"),
        ("parameters", {"a": float("nan")}, "range"),
        ("parameters", {1: 2}, "type"),
        ("parameters", {"a": "\ud800"}, "text"),
        ("parameters", {"a": {1, 2}}, "type"),
        ("orderId", None, "nullable"),
        ("orderId", 7, "type"),
    ],
)
async def test_a_bad_value_is_refused_wherever_it_is_given(
    atom: Atoms, field: str, value: Any, rule: str
) -> None:
    order = await atom.OrderEntry(parameters={"a": 1}).save()
    before = order.localfields()
    with refused(rule, field):
        atom.OrderEntry(**{field: value})
    with refused(rule, field):
        setattr(order, field, value)
    with refused(rule, field):
        order += {field: value}
    with refused(rule, field):
        await order.save(**{field: value})
    assert order.localfields() == before
    loaded = await atom.OrderEntry.load(order.orderId)
    assert loaded is not None
    assert loaded.localfields() == before


async def test_an_immutable_field_is_given_once(atom: Atoms) -> None:
    everything = atom.Everything(fixed="x")
    everything.fixed = "x"
    with refused("immutable", "fixed"):
        everything.fixed = "y"
    with refused("immutable", "key"):
        everything.key = "other"
    with refused("immutable", "instance"):
        everything.instance = "other"
    await everything.save()
    with refused("immutable", "fixed"):
        await everything.save(fixed="y")
    loaded = await atom.Everything.load(everything.key)
    with refused("immutable", "fixed"):
        loaded += {"fixed": None}
    assert loaded.fixed == "x"


async def test_a_field_cannot_be_deleted(order: Atom) -> None:
    with pytest.raises(ValidationError):
        del order.status
    assert order.status == "standby"


async def test_xid_and_xname_are_text_and_kept(atom: Atoms) -> None:
    note = atom.Note(xid="7", xname="other", text="x")
    for bad, rule in ((7, "type"), ("\ud800", "text")):
        with refused(rule, "xid"):
            note.xid = bad
        with refused(rule, "xname"):
            atom.Note(xname=bad)
        with refused(rule, "xid"):
            await atom.Note.retrieve(xid=bad)
    await note.save()
    note.xname = "renamed"
    await note.save()
    loaded = await atom.Note.load(note.instance)
    assert loaded is not None
    assert (loaded.xid, loaded.xname, loaded.text) == ("7", "renamed", "x")


async def test_an_unknown_class_says_what_was_meant(atoms: Atoms) -> None:
    with pytest.raises(AttributeError, match="no ATOM class 'OrderEntri'; did you mean 'OrderEntry'"):
        _ = atoms.OrderEntri
    with pytest.raises(AttributeError, match="did you mean 'OrderEntry'"):
        _ = Models(atoms, Session()).OrderEntri
    assert "OrderEntry" in dir(atoms)


# ---- formats --------------------------------------------------------------------------------


async def test_yaml_format_is_that_of_the_transcript_to_the_letter(atoms: Atoms) -> None:
    lines = (REFERENCE_APP / "transcript.txt").read_text(encoding="utf-8").splitlines()
    start = lines.index("OrderEntry:")
    shown = "\n".join(lines[start : lines.index("OrderEntry:", start + 1)]) + "\n"
    order = atoms.OrderEntry(
        instance="T3JkZXJFbnRyeTpiMTk2YTQ5Yzg2YmMxMWViYjIwMGFjZGU0ODAwMTEyMg==",
        orderId="b1969fc486bc11ebb200acde48001122",
        parameters={"name": "hoge0"},
        status="done",
    )
    assert order.yaml_format == shown


async def test_dictionary_and_yaml_leave_out_what_is_none(atom: Atoms) -> None:
    everything = atom.Everything(key="k", text="任意", mu={"items": [{"x": None}]})
    assert everything.dictionary == {
        "instance": everything.instance,
        "key": "k",
        "text": "任意",
        "mu": {"items": [{"x": None}]},
        "needed": 7,
        "state": "new",
    }
    await everything.save()
    loaded = await atom.Everything.load("k")
    assert loaded is not None
    assert loaded.dictionary == everything.dictionary
    assert yaml.safe_load(loaded.yaml_format) == {"Everything": everything.dictionary}
    assert "任意" in loaded.yaml_format


async def test_repr_names_class_and_key(order: Atom) -> None:
    assert repr(order) == f"<OrderEntry orderId={order.orderId!r}>"


# ---- saving ---------------------------------------------------------------------------------


async def test_a_saved_instance_comes_back(atom: Atoms, order: Atom) -> None:
    loaded = await atom.OrderEntry.load(order.orderId)
    assert loaded is not None
    assert loaded is not order
    assert type(loaded) is atom.OrderEntry
    assert (loaded.localfields(), loaded.instance) == (order.localfields(), order.instance)


async def test_saving_writes_the_fields_that_differ_and_no_others(
    atom: Atoms, recorder: Recorder, order: Atom
) -> None:
    assert isinstance(recorder.units[-1][0], Insert)
    recorder.units.clear()
    for saved in (order, await atom.OrderEntry.load(order.orderId)):
        await saved.save()
        saved.status = saved.status
        saved.parameters = dict(saved.parameters)
        await saved.save()
    assert recorder.units == [], "nothing has changed by value"
    loaded = await atom.OrderEntry.load(order.orderId)
    await loaded.save(status="done")
    loaded.parameters["deep"] = {"list": [1]}
    await loaded.save()
    loaded.parameters["deep"]["list"].append(2)
    await loaded.save()
    await loaded.save()
    written = [set(operation.values) for [operation] in recorder.units if isinstance(operation, Update)]
    assert written == [{"status"}, {"parameters"}, {"parameters"}]
    again = await atom.OrderEntry.load(order.orderId)
    assert again.localfields() == loaded.localfields()
    assert again.parameters["deep"] == {"list": [1, 2]}


async def test_two_that_save_other_fields_do_not_undo_each_other(atom: Atoms, order: Atom) -> None:
    one, two = [await atom.OrderEntry.load(order.orderId) for _ in range(2)]
    await asyncio.gather(one.save(status="done"), two.save(parameters={"x": 1}))
    loaded = await atom.OrderEntry.load(order.orderId)
    assert (loaded.status, loaded.parameters) == ("done", {"x": 1})


async def test_a_change_inside_an_object_is_checked_when_it_is_saved(atom: Atoms, order: Atom) -> None:
    order.parameters["bad"] = float("nan")
    with refused("range", "parameters"):
        await order.save()
    loaded = await atom.OrderEntry.load(order.orderId)
    assert loaded.parameters == {"name": "hoge0"}


async def test_a_second_insert_is_a_duplicate_and_never_overwrites(atom: Atoms, order: Atom) -> None:
    with pytest.raises(Duplicate) as caught:
        await atom.OrderEntry(orderId=order.orderId, status="done").save()
    assert (caught.value.table, caught.value.columns) == ("OrderEntry", ("orderId",))
    loaded = await atom.OrderEntry.load(order.orderId)
    assert loaded.status == "standby"


async def test_a_unique_value_is_there_once(atom: Atoms) -> None:
    await atom.Everything(code=1).save()
    other = await atom.Everything(code=2).save()
    await atom.Everything(code=None).save()
    await atom.Everything(code=None).save()
    for save in (atom.Everything(code=1).save(), other.save(code=1)):
        with pytest.raises(Duplicate) as caught:
            await save
        assert caught.value.columns == ("code",)
    assert other.code == 2


@pytest.mark.parametrize("new", [True, False])
async def test_updates_stay_only_if_the_save_succeeded(
    atom: Atoms, recorder: Recorder, order: Atom, new: bool
) -> None:
    saved = atom.OrderEntry() if new else order
    recorder.failures = [Unavailable("the disk is full")]
    with pytest.raises(Unavailable):
        await saved.save(status="done", parameters={"x": 1})
    assert saved.status == "standby"
    assert saved.parameters == ({} if new else {"name": "hoge0"})
    await saved.save(status="done")
    loaded = await atom.OrderEntry.load(saved.orderId)
    assert (loaded.status, loaded.parameters) == ("done", saved.parameters)


async def test_save_answers_the_instance(atom: Atoms, order: Atom) -> None:
    assert await order.save(status="done") is order
    assert await order.save() is order


async def test_what_was_destroyed_elsewhere_is_gone(atom: Atoms, order: Atom) -> None:
    loaded = await atom.OrderEntry.load(order.orderId)
    await order.destroy()
    with pytest.raises(Gone) as caught:
        await loaded.save(status="done")
    assert (caught.value.table, caught.value.key) == ("OrderEntry", order.orderId)
    assert loaded.status == "standby"
    for again in (loaded.destroy(), order.destroy(), order.save(), order.save(status="done")):
        with pytest.raises(Gone):
            await again
    assert await atom.OrderEntry.load(order.orderId) is None
    assert await atom.OrderEntry.retrieve() == []


async def test_what_was_never_saved_cannot_be_destroyed(atom: Atoms) -> None:
    with pytest.raises(Gone):
        await atom.OrderEntry().destroy()


async def test_a_failed_destroy_can_be_tried_again(atom: Atoms, order: Atom, recorder: Recorder) -> None:
    recorder.failures = [Unavailable("the disk is full")]
    with pytest.raises(Unavailable):
        await order.destroy()
    await order.destroy()
    assert await atom.OrderEntry.load(order.orderId) is None


async def test_destroying_may_wait(atom: Atoms, order: Atom) -> None:
    waiting = asyncio.create_task(order.destroy(delay_seconds=0.05))
    await asyncio.sleep(0.01)
    assert await atom.OrderEntry.load(order.orderId) is not None
    await waiting
    assert await atom.OrderEntry.load(order.orderId) is None


async def test_adding_merges_all_fields_or_none(order: Atom) -> None:
    same = order
    order += {"status": "done", "parameters": {"x": 1}}
    assert order is same
    assert (order.status, order.parameters) == ("done", {"x": 1})
    order += MU(status="standby")
    with refused("enum", "status"):
        order += {"parameters": {}, "status": "bad"}
    assert (order.status, order.parameters) == ("standby", {"x": 1})


async def test_an_mu_is_one_from_the_beginning(atom: Atoms) -> None:
    thing = atom.Everything(key="a", mu={"a": {"b": 1}}, mus=[{"a": 1}])
    assert (thing.mu.a.b, thing.mus[0].a) == (1, 1)
    thing.mu = {"c": [{"d": 2}]}
    assert thing.mu.c[0].d == 2
    await thing.save(mu={"e": {}}, mus=[{"f": 3}])
    thing.mu.e.g = 4
    assert thing.mus[0].f == 3
    await thing.save()
    assert (await atom.Everything.load("a")).mu == {"e": {"g": 4}}


# ---- loading and retrieving -----------------------------------------------------------------


@pytest.mark.parametrize(
    "key", [None, 7, True, "", "unknown", "\ud800", b"x", [], {}, object(), float("nan"), "x" * 1_000_000]
)
async def test_a_key_that_no_row_has_finds_none(atom: Atoms, order: Atom, key: Any) -> None:
    assert await atom.OrderEntry.load(key) is None
    assert await atom.Note.load(key) is None
    assert await atom.select.load(key) is None


async def test_a_class_without_identifier_is_loaded_by_its_instance(atom: Atoms) -> None:
    note = await atom.Note(text="x").save()
    assert atom.Note.key_field is None
    loaded = await atom.Note.load(note.instance)
    assert loaded is not None
    assert loaded.text == "x"
    await loaded.save(text="y")
    await loaded.destroy()
    assert await atom.Note.retrieve() == []


@pytest.fixture
async def many(atom: Atoms) -> Atoms:
    """Six rows of Everything, c a b ..., in this order."""
    for n, text in enumerate(["c", "a", "b", "a", None, "ü"]):
        at = dt.datetime(2026, 1, 10 - n, tzinfo=UTC)
        await atom.Everything(key=str(n), text=text, whole=n % 3, real=n / 2, flag=n < 2, at=at).save()
    return atom


async def found(cls: Any, *args: Any, **filters: Any) -> str:
    return "".join([each.key for each in await cls.retrieve(*args, **filters)])


async def test_retrieve_without_anything_is_all_in_the_order_of_insertion(many: Atoms) -> None:
    assert await found(many.Everything) == "012345"
    first = await many.Everything.load("0")
    await first.save(text="changed")
    assert await found(many.Everything) == "012345"


@pytest.mark.parametrize(
    ("filters", "keys"),
    [
        ({"text": "a"}, "13"),
        ({"text": "a", "whole": 1}, "1"),
        ({"text": None}, "4"),
        ({"text": "ü"}, "5"),
        ({"text": "' OR 1=1 --"}, ""),
        ({"text": "%"}, ""),
        ({"whole": 0}, "03"),
        ({"real": 1}, "2"),
        ({"real": 0.5}, "1"),
        ({"flag": True}, "01"),
        ({"flag": False}, "2345"),
        ({"at": dt.datetime(2026, 1, 8, 9, tzinfo=dt.timezone(dt.timedelta(hours=9)))}, "2"),
        ({"at": "2026-01-08T00:00:00+00:00"}, "2"),
        ({"code": None}, "012345"),
        ({"key": "3"}, "3"),
        ({"xid": "none"}, ""),
        ({"limit": 2}, "01"),
        ({"limit": 2, "offset": 3}, "34"),
        ({"offset": 4}, "45"),
        ({"limit": 0}, ""),
        ({"offset": 100}, ""),
        ({"limit": 2**70, "offset": 0}, "012345"),
        ({"order_by": ["text"]}, "413205"),
        ({"order_by": "-text"}, "502134"),
        ({"order_by": ["-whole", "text"]}, "254130"),
        ({"order_by": ["at"]}, "543210"),
        ({"order_by": ["flag", "-key"], "limit": 3, "offset": 1}, "432"),
        ({"order_by": ["text"], "text": "a"}, "13"),
    ],
)
async def test_retrieve(many: Atoms, filters: dict[str, Any], keys: str) -> None:
    for _ in range(2):  # the second time by the statement that was kept
        assert await found(many.Everything, **filters) == keys


async def test_retrieve_takes_columns_of_the_table(many: Atoms) -> None:
    table = Models(many, Session()).Everything
    assert await found(many.Everything, order_by=[table.c.text.desc(), table.c.key.desc()]) == "502314"
    assert await found(many.Everything, order_by=table.c.at) == "543210"


async def test_retrieve_by_the_platforms_identity(many: Atoms) -> None:
    wanted = await many.Everything(key="x", xid="7", xname="n").save()
    assert await found(many.Everything, xid="7") == "x"
    assert await found(many.Everything, xname="n") == "x"
    assert await found(many.Everything, instance=wanted.instance) == "x"


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"txet": "a"}, ValidationError, "did you mean 'text'"),
        ({"order_by": ["txet"]}, ValidationError, "did you mean 'text'"),
        ({"order_by": ["-txet"]}, ValidationError, "did you mean 'text'"),
        ({"order_by": ["text; DROP TABLE x"]}, ValidationError, "no such field"),
        ({"order_by": [3]}, FrameworkError, "order_by takes names of fields and columns, not 3"),
        ({"order_by": [None]}, FrameworkError, "order_by takes names of fields and columns, not None"),
        ({"whole": "1"}, ValidationError, "whole number"),
        ({"flag": 1}, ValidationError, "true or false"),
        ({"thing": {"a": 1}}, ValidationError, "cannot compare"),
        ({"limit": -1}, FrameworkError, "limit"),
        ({"offset": -1}, FrameworkError, "offset"),
        ({"limit": True}, FrameworkError, "limit"),
        ({"limit": "2"}, FrameworkError, "limit"),
    ],
)
async def test_retrieve_refuses_what_it_cannot_do(
    many: Atoms, arguments: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        await many.Everything.retrieve(**arguments)


async def test_odd_names_of_classes_and_fields(atom: Atoms) -> None:
    odd = {"v_key": "a", "limit_": "b", "offset_": "c", "order": "d", "name": "e", "v_limit_": "f"}
    odd |= {"self": "g", "cls": "h"}
    one = await atom.select(key=1, items={"keys": [1]}, **odd).save()
    await atom.select(key=2).save()
    assert await found_numbers(atom.select) == [1, 2]
    for name, value in odd.items():
        assert await found_numbers(atom.select, **{name: value}) == [1], name
        assert await found_numbers(atom.select, order_by=[f"-{name}"], limit=1) == [1], name
    assert await found_numbers(atom.select, **odd) == [1]
    assert await found_numbers(atom.select, key=2) == [2]
    await one.save(v_key="x", limit_="y", order="z", self="s")
    loaded = await atom.select.load(1)
    assert (loaded.v_key, loaded.limit_, loaded.offset_, loaded.order) == ("x", "y", "c", "z")
    assert (loaded.self, loaded.cls, await atom.select.count(self="s", cls="h")) == ("s", "h", 1)
    assert [each.self async for each in atom.select.iterate(self="s", cls="h")] == ["s"]
    loaded.items.values = [2]
    await loaded.save()
    again = await atom.select.load(1)
    assert again.items == {"keys": [1], "values": [2]}


async def found_numbers(cls: Any, /, **arguments: Any) -> list[int]:
    return [each.key for each in await cls.retrieve(**arguments)]


# ---- values ---------------------------------------------------------------------------------

OBJECTS = st.dictionaries(TEXT, JSON, max_size=4)
OFFSETS = st.builds(
    lambda minutes: dt.timezone(dt.timedelta(minutes=minutes)), st.integers(-24 * 60 + 1, 24 * 60 - 1)
)
EARLIEST, LATEST = dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30, 23, 59, 59, 999999)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "text": TEXT,
    "whole": st.integers(-(2**63), 2**63 - 1),
    "real": st.floats(allow_nan=False, allow_infinity=False),
    "flag": st.booleans(),
    "thing": OBJECTS,
    "listed": st.lists(JSON, max_size=4),
    "mu": OBJECTS,
    "mus": st.lists(OBJECTS, max_size=3),
    "at": st.datetimes(EARLIEST, LATEST, timezones=OFFSETS),
}


def deep(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


EDGES: list[dict[str, Any]] = [
    {"text": ""},
    {"text": "x" * 1_000_000},
    {"text": "\x00a\x00", "thing": {"\x00": "\x00"}},
    {"text": "\u2028\ufeff\U0010ffff\x7f", "whole": 2**63 - 1},
    {"whole": -(2**63), "real": 5e-324, "flag": False},
    {"real": 1.7976931348623157e308, "listed": [1, 1.0, True, 0, 0.0, False, None]},
    {"mu": {"items": 1}, "thing": {"items": [1]}},
    {"thing": {"big": 10**4000, "negative": -(2**64)}, "mu": {"values": 1, "dictionary": 2}},
    {"thing": deep(190), "mu": deep(190), "mus": [deep(180)]},
    {"at": dt.datetime(1, 1, 1, tzinfo=UTC)},
    {"at": dt.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)},
    {"at": dt.datetime(1, 1, 1, 10, tzinfo=dt.timezone(dt.timedelta(hours=9)))},
    {"at": dt.datetime(2026, 3, 29, 1, 30, fold=1, tzinfo=dt.timezone(dt.timedelta(hours=-3, minutes=-30)))},
    dict.fromkeys(VALUES),
]


def same(value: Any, back: Any) -> bool:
    """Equal, and of the same types all the way down: True is not 1, and 1 is not 1.0."""
    if isinstance(value, dt.datetime):
        return bool(value == back and back.utcoffset() == dt.timedelta(0))
    if isinstance(value, dict):
        return (
            isinstance(back, dict)
            and list(value) == list(back)
            and all(same(value[key], back[key]) for key in value)
        )
    if isinstance(value, list):
        return type(back) is list and len(back) == len(value) and all(map(same, value, back))
    return type(value) is type(back) and bool(value == back)


async def there_and_back(atom: Atoms, fields: dict[str, Any]) -> None:
    inserted = await atom.Everything(**fields).save()
    updated = await atom.Everything().save()
    await updated.save(**fields)
    for saved in (inserted, updated):
        loaded = await atom.Everything.load(saved.key)
        assert loaded is not None
        for name, value in fields.items():
            back = getattr(loaded, name)
            assert same(value, back), name
            assert same(back, getattr(saved, name)), name
            if name == "mu" and value is not None:
                assert type(back) is MU
        assert await loaded.save() is loaded


@pytest.mark.parametrize("fields", EDGES, ids=range(len(EDGES)))
async def test_edges_come_back_as_they_went_in(atom: Atoms, fields: dict[str, Any]) -> None:
    await there_and_back(atom, fields)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(fields=st.fixed_dictionaries({}, optional=VALUES))
@example(fields={"listed": [{"a": [{}]}], "mus": [{}]})
async def test_every_value_comes_back_as_it_went_in(atom: Atoms, fields: dict[str, Any]) -> None:
    await there_and_back(atom, fields)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("whole", value) for value in (2**63, -(2**63) - 1, True, 1.0, "1")),
        *(("real", value) for value in (float("nan"), float("inf"), True, "1", 2**53 + 1, 10**400)),
        *(("text", value) for value in ("\ud800", "a\udfff", 1, b"x")),
        *(("flag", value) for value in (0, 1, "true")),
        *(("thing", value) for value in ([], "x", {1: 2}, {"a": float("inf")}, {"\ud800": 1}, deep(5000))),
        *(("listed", value) for value in ({}, "x", [float("nan")], [{1: 2}], [object()], [10**30000])),
        *(("mus", value) for value in ([1], {}, [[]])),
        ("at", dt.datetime(2026, 1, 1)),
        ("at", dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=9)))),
        ("at", dt.datetime(9999, 12, 31, 23, tzinfo=dt.timezone(dt.timedelta(hours=-9)))),
        ("at", dt.date(2026, 1, 1)),
        ("at", "2026-01-01T00:00:00"),
        ("at", "yesterday"),
        ("at", "2026-01-01T00:00:00.1234567+00:00"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isalpha() else type(value).__name__,
)
async def test_what_would_not_come_back_is_refused(atoms: Atoms, field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        atoms.Everything(**{field: value})
    assert (caught.value.class_name, caught.value.field) == ("Everything", field)
