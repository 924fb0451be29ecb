"""Classes without a table: `persistence: false` is kept by the process, `abstract: true` has no instances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from framework.atom import Atom
from framework.atom.classes import Atoms, Models
from framework.definitions import MODULES, Definitions
from framework.errors import Duplicate, FrameworkError, Gone, TransitionError, ValidationError
from framework.storage import Storage
from framework.transactions.session import Session
from tests.conftest import Recorder

pytestmark = pytest.mark.anyio

PASSING = """\
- name: Visit
  persistence: false
  attributes:
    identifier: {field_name: visitId, field_type: integer}
    local_fields:
    - {field_name: place, field_type: string}
    - {field_name: badge, field_type: string, field_unique: true}
    - {field_name: data, field_type: object, field_default: dict()}
    - field_name: state
      field_type: string
      field_default: waiting
      field_fsm:
        admit: {execution_method: admit, pre_statuses: [waiting], success_transition: admitted}
    ref_fields:
    - {field_name: host, field_type: <AxisAtom.Person>}
    - {field_name: before, field_type: array<AxisAtom.Visit>}
    - {field_name: keys, field_type: array<AxisAtom.Person>, field_unique: true}
  methods:
    instance_methods:
    - method_body: |
        async def admit(self):
            return self.place
- name: Person
  attributes:
    identifier: {field_name: name, field_type: string}
    ref_fields:
    - {field_name: last, field_type: <AxisAtom.Visit>, field_persistence: false}
- name: Being
  abstract: true
  attributes:
    identifier: {field_name: name, field_type: string}
"""


@pytest.fixture
async def atom(define: Callable[..., Definitions], session: Session, storage: Storage) -> Atoms:
    atoms = Atoms(define(PASSING).atoms, session, {**MODULES})
    atoms.define_methods({**MODULES})
    await storage.ensure_tables(atoms.records)
    return atoms


async def numbers(cls: Any, **arguments: Any) -> list[int]:
    return [each.visitId for each in await cls.retrieve(**arguments)]


async def test_what_was_saved_is_found_until_the_process_stops(atom: Atoms, recorder: Recorder) -> None:
    visit = await atom.Visit(visitId=1, place="a", data={"x": [1]}).save()
    loaded = await atom.Visit.load(1)
    assert loaded is not visit
    assert loaded.dictionary == visit.dictionary
    loaded.data["x"].append(2)
    assert (await atom.Visit.load(1)).data == {"x": [1]}, "what is not saved is nobody else's"
    await loaded.save(place="b")
    again = await atom.Visit.load(1)
    assert (again.place, again.data) == ("b", {"x": [1, 2]})
    assert recorder.units == []
    assert [table.name for table in atom.records] == ["Person"]


async def test_duplicate_and_gone_are_as_of_a_table(atom: Atoms) -> None:
    visit = await atom.Visit(visitId=1, badge="x").save()
    with pytest.raises(Duplicate) as caught:
        await atom.Visit(visitId=1).save()
    assert (caught.value.table, caught.value.columns) == ("Visit", ("visitId",))
    other = await atom.Visit(visitId=2).save()
    with pytest.raises(Duplicate) as caught:
        await other.save(badge="x")
    assert caught.value.columns == ("badge",)
    assert other.badge is None
    stale = await atom.Visit.load(1)
    await visit.destroy()
    with pytest.raises(Gone):
        await stale.save(place="x")
    with pytest.raises(Gone):
        await stale.destroy()
    await other.save(badge="x")
    assert await numbers(atom.Visit) == [2]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, [3, 1, 2]),
        ({"place": "a"}, [3, 2]),
        ({"place": None}, [1]),
        ({"order_by": ["visitId"]}, [1, 2, 3]),
        ({"order_by": ["place", "-visitId"]}, [1, 3, 2]),
        ({"order_by": "-place"}, [3, 2, 1]),
        ({"limit": 1, "offset": 1}, [1]),
        ({"offset": 2}, [2]),
        ({"host": "p"}, [1]),
        ({"before": 3}, [1]),
    ],
)
async def test_it_is_retrieved_as_from_a_table(
    atom: Atoms, filters: dict[str, Any], found: list[int]
) -> None:
    await atom.Visit(visitId=3, place="a").save()
    await atom.Visit(visitId=1, host={"name": "p"}, before=[3]).save()
    await atom.Visit(visitId=2, place="a").save()
    assert await numbers(atom.Visit, **filters) == found
    bounds = {"limit", "offset", "order_by"}
    equals = {name: value for name, value in filters.items() if name not in bounds}
    if not bounds & filters.keys():
        assert await atom.Visit.count(**equals) == len(found)
        assert [each.visitId async for each in atom.Visit.iterate(**equals)] == found
    with pytest.raises(ValidationError, match="cannot compare"):
        await atom.Visit.retrieve(data={})
    with pytest.raises(FrameworkError, match="has no table"):
        await atom.Visit.retrieve(order_by=[atom.Person._model.table.c.name])


async def test_it_refers_to_what_is_stored_and_is_saved_with_it(atom: Atoms) -> None:
    person = atom.Person(name="p")
    visit = atom.Visit(visitId=1, host=person)
    visit.before = [visit]
    await visit.save()
    assert await atom.Person.load("p") is not None
    loaded = await atom.Visit.load(1)
    assert (type(loaded.host), loaded.host.name) == (atom.Person, "p")
    assert loaded.before == [loaded]
    assert (await atom.Visit.load(1, shallow=True)).host == "p"
    person.last = visit
    await person.save()
    assert (await atom.Person.load("p")).last is None, "it is not stored"
    with pytest.raises(ValidationError, match="there is no Person"):
        await atom.Visit(visitId=2, host="nobody").save()
    assert await numbers(atom.Visit) == [1]


async def test_a_transaction_that_is_not_stored_takes_it_back(atom: Atoms, session: Session) -> None:
    await atom.Visit(visitId=1, place="a").save()
    with pytest.raises(RuntimeError):
        async with session.collected():
            visit = await atom.Visit.load(1)
            await visit.save(place="b", host={"name": "p"})
            await atom.Visit(visitId=2).save()
            await (await atom.Visit(visitId=3).save()).destroy()
            assert await numbers(atom.Visit, place="b") == [1]
            raise RuntimeError
    assert await numbers(atom.Visit, place="a") == [1]
    assert await numbers(atom.Visit) == [1]
    assert visit.place == "a"
    async with session.collected():
        await visit.save(place="c")
    assert await numbers(atom.Visit, place="c") == [1]


async def test_its_states_change_as_those_of_a_table(atom: Atoms) -> None:
    visit = await atom.Visit(visitId=1, place="a").save()
    other = await atom.Visit.load(1)
    assert await visit.admit() == "a"
    assert (await atom.Visit.load(1)).state == "admitted"
    with pytest.raises(TransitionError):
        await other.admit()
    assert other.state == "admitted", "it learns what the other one has done"
    await visit.save(place="b")
    assert (await atom.Visit.load(1)).state == "admitted"


async def test_an_abstract_class_has_no_instances_and_says_so(atom: Atoms, session: Session) -> None:
    with pytest.raises(FrameworkError, match="Being is abstract"):
        atom.Being(name="x")
    for call in (atom.Being.load("x"), atom.Being.retrieve(), atom.Being.count()):
        with pytest.raises(FrameworkError, match="Being is abstract"):
            await call
    with pytest.raises(FrameworkError, match="Being is abstract"):
        _ = [each async for each in atom.Being.iterate()]
    model = Models(atom, session)
    for name in ("Being", "Visit"):
        with pytest.raises(AttributeError, match="no table"):
            getattr(model, name)
    assert isinstance(await atom.Person(name="x").save(), Atom)


async def test_what_is_unique_is_referred_to_once(atom: Atoms) -> None:
    people = [await atom.Person(name=name).save() for name in ("Ada", "Bo")]
    with pytest.raises(Duplicate):
        await atom.Visit(visitId=1, keys=[people[0], people[0]]).save()
    visit = await atom.Visit(visitId=1, keys=people[:1]).save()
    with pytest.raises(Duplicate):
        await visit.save(keys=[*people, people[1]])
    with pytest.raises(Duplicate):
        await atom.Visit(visitId=2, keys=[people[0]]).save()
    await visit.save(keys=[people[1]])
    await atom.Visit(visitId=2, keys=[people[0]]).save()
    assert [[each.name for each in one.keys] for one in await atom.Visit.retrieve()] == [["Bo"], ["Ada"]]
