"""A method that propagates goes through the tree of references in order, and is done whole or not at all."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from textwrap import indent
from typing import Any

import pytest

from framework.definitions import Definitions
from framework.errors import Duplicate, FrameworkError
from framework.storage import Storage
from framework.transactions.session import Session
from tests.conftest import Recorder
from tests.script.test_scope import bound

pytestmark = pytest.mark.anyio

Start = Callable[..., Awaitable[dict[str, Any]]]

NODE = """\
name: Node
attributes:
  identifier: {field_name: name, field_type: string}
  local_fields:
  - {field_name: visits, field_type: integer, field_default: 0}
  - {field_name: extras, field_type: MU, field_default: "MU(seen=[])"}
  - {field_name: code, field_type: string, field_unique: true}
  ref_fields:
  - {field_name: first, field_type: <AxisAtom.Node>}
  - {field_name: others, field_type: array<AxisAtom.Node>}
  - {field_name: leaf, field_type: <AxisAtom.Leaf>}
methods:
  instance_methods:
"""

LEAF = """\
name: Leaf
attributes:
  identifier: {field_name: name, field_type: string}
  ref_fields:
  - {field_name: node, field_type: <AxisAtom.Node>}
"""

VISIT = """\
async def visit(self, log, fail=()):
    log.append(self.name)
    await self.save(visits=self.visits + 1)
    self.extras.seen.append(len(log))
    if self.name in fail:
        raise LookupError(self.name)
    return self.name.upper()
"""


def node(body: str = VISIT, more: str = "", **keys: Any) -> str:
    listed = "".join(f"    {name}: {str(value).lower()}\n" for name, value in keys.items())
    return f"{NODE}  - method_body: |\n{indent(body, '      ')}    propagation_mode: true\n{listed}{more}"


@pytest.fixture
def start(define: Callable[..., Definitions], session: Session, storage: Storage) -> Start:
    async def start(*texts: str) -> dict[str, Any]:
        snapshot = bound(define(*texts), session)
        await storage.ensure_tables(snapshot.atoms.records)
        snapshot.atoms.define_methods(snapshot.scope)
        return snapshot.scope

    return start


async def tree(scope: dict[str, Any]) -> Any:
    """a(first=b(first=d, others=[e]), others=[c, d], leaf=l(node=f)): d is reached on two ways."""
    make, leaf = scope["atom"].Node, scope["atom"].Leaf
    d = make(name="d")
    b = make(name="b", first=d, others=[make(name="e")])
    a = make(name="a", first=b, others=[make(name="c"), d], leaf=leaf(name="l", node=make(name="f")))
    await a.save()
    return a


async def counts(scope: dict[str, Any]) -> dict[str, int]:
    return {one.name: one.visits for one in await scope["atom"].Node.retrieve(shallow=True, order_by="name")}


@pytest.mark.parametrize(
    ("keys", "order"),
    [
        ({}, "abdecf"),
        ({"topdown": False}, "debcfa"),
        ({"field_order": "descend"}, "afcbde"),
        ({"topdown": False, "field_order": "descend"}, "fcdeba"),
    ],
)
async def test_parents_come_first_or_last_and_fields_in_their_order(
    start: Start, keys: dict[str, Any], order: str
) -> None:
    scope = await start(node(**keys), LEAF)
    log: list[str] = []
    assert await (await tree(scope)).visit(log) == "A"
    assert "".join(log) == order
    assert await counts(scope) == dict.fromkeys("abcdef", 1)


async def test_it_goes_through_what_was_loaded_and_passes_over_keys(start: Start) -> None:
    scope = await start(node(), LEAF)
    await tree(scope)
    for shallow, order in ((False, "abdecf"), (True, "a")):
        log: list[str] = []
        await (await scope["atom"].Node.load("a", shallow=shallow)).visit(log)
        assert "".join(log) == order


async def test_a_circle_is_gone_through_once(start: Start) -> None:
    scope = await start(node(topdown=False), LEAF)
    make = scope["atom"].Node
    a, b, c = make(name="a"), make(name="b"), make(name="c")
    a.first, b.first, c.first, c.others = b, c, a, [c, b]
    await a.save()
    log: list[str] = []
    await a.visit(log)
    assert "".join(log) == "cba"


async def test_a_long_line_is_no_depth(start: Start) -> None:
    scope = await start(node("def visit(self, log):\n    log.append(self.name)\n"), LEAF)
    last = None
    for number in range(5000):
        last = scope["atom"].Node(name=str(number), first=last)
    log: list[str] = []
    last.visit(log)
    assert log == [str(number) for number in reversed(range(5000))]


async def test_a_method_that_does_not_propagate_is_called_and_goes_no_further(start: Start) -> None:
    plain = (
        LEAF
        + "methods:\n  instance_methods:\n  - {method_body: 'def visit(self, log, fail=()): log.append(self.name)'}\n"
    )
    scope = await start(node(), plain)
    log: list[str] = []
    await (await tree(scope)).visit(log)
    assert "".join(log) == "abdecl"


async def test_super_and_a_child_s_own_method_are_called_once_for_each(start: Start) -> None:
    child = (
        "name: Child\nextends: [Node]\nattributes: {}\nmethods:\n  instance_methods:\n"
        "  - propagation_mode: true\n    method_body: |\n      async def visit(self, log, fail=()):\n"
        "          log.append('child')\n          return await super().visit(log, fail)\n"
    )
    scope = await start(node(), LEAF, child)
    make = scope["atom"].Node
    log: list[str] = []
    one = scope["atom"].Child(name="a", first=make(name="b"))
    assert await one.visit(log) == "A"
    assert log == ["child", "a", "b"]


# ---- whole or not at all --------------------------------------------------------------------


async def test_what_ran_is_undone_when_one_raises(start: Start, recorder: Recorder) -> None:
    scope = await start(node(), LEAF)
    a = await tree(scope)
    extras, seen = a.extras, a.extras.seen
    recorder.units.clear()
    log: list[str] = []
    with pytest.raises(LookupError):
        await a.visit(log, fail="c")
    assert "".join(log) == "abdec"
    assert await counts(scope) == dict.fromkeys("abcdef", 0)
    assert recorder.units == []
    assert (a.visits, a.first.visits, a.others[0].visits) == (0, 0, 0)
    assert a.extras is extras
    assert a.extras.seen == []
    assert (await scope["atom"].Node.load("a")).extras.seen == []
    await a.visit([])  # and it can be done again
    assert await counts(scope) == dict.fromkeys("abcdef", 1)
    assert len(recorder.units) == 1
    assert a.first.first is a.others[1]
    del seen


async def test_what_the_database_refuses_at_the_end_undoes_the_memory_too(start: Start) -> None:
    body = "async def visit(self):\n    await self.save(code='same')\n"
    scope = await start(node(body), LEAF)
    a = await tree(scope)
    with pytest.raises(Duplicate):
        await a.visit()
    assert [one.code for one in (a, a.first, *a.others)] == [None] * 4
    assert {one.code for one in await scope["atom"].Node.retrieve(shallow=True)} == {None}


async def test_structure_and_new_instances_are_undone(start: Start) -> None:
    body = (
        "async def visit(self):\n    self.others.append(atom.Node(name=self.name * 2))\n    self.first = None\n"
        "    await self.save()\n    if self.name == 'd':\n        raise LookupError\n"
    )
    scope = await start(node(body), LEAF)
    a = await tree(scope)
    others = a.others
    with pytest.raises(LookupError):
        await a.visit()
    assert a.others is others
    assert [one.name for one in a.others] == ["c", "d"]
    assert a.first.name == "b"
    assert set(await counts(scope)) == set("abcdef")


async def test_what_was_destroyed_is_there_again(start: Start) -> None:
    body = "async def visit(self):\n    if self.name == 'a':\n        raise LookupError\n    await self.destroy()\n"
    scope = await start(node(body, topdown=False), LEAF)
    a = scope["atom"].Node(name="a", others=[scope["atom"].Node(name="b")])
    await a.save()
    with pytest.raises(LookupError):
        await a.visit()
    await a.others[0].save(visits=5)
    assert await counts(scope) == {"a": 0, "b": 5}


async def test_without_auto_rollback_what_ran_stays(start: Start) -> None:
    scope = await start(node(auto_rollback=False), LEAF)
    a = await tree(scope)
    with pytest.raises(LookupError):
        await a.visit([], fail="c")
    assert await counts(scope) == {"a": 1, "b": 1, "c": 1, "d": 1, "e": 1, "f": 0}
    assert a.visits == 1


async def test_time_is_for_all_together_and_what_ran_is_undone(start: Start) -> None:
    body = (
        "async def visit(self, waits):\n    await self.save(visits=1)\n"
        "    await asyncio.sleep(60 if self.name == waits else 0)\n"
    )
    scope = await start(node(body, timeout=0.2), LEAF)
    a = await tree(scope)
    with pytest.raises(TimeoutError, match=r"Node\.visit took longer than its time-out of 0\.2 s"):
        await a.visit("c")
    assert a.visits == 0
    assert await counts(scope) == dict.fromkeys("abcdef", 0)
    await a.visit("nobody")


async def test_a_method_that_goes_nowhere_has_its_time_too(start: Start) -> None:
    text = node().replace("    propagation_mode: true\n", "") + (
        "  - {method_body: 'async def slow(self): await asyncio.sleep(60)', timeout: 0.05}\n"
        "  - {method_body: 'async def own(self): raise TimeoutError(\"mine\")', timeout: 5}\n"
        "  - {method_body: 'def plain(self): return 1', timeout: 0.05}\n"
    )
    scope = await start(text, LEAF)
    one = scope["atom"].Node(name="a")
    with pytest.raises(TimeoutError, match=r"Node\.slow took longer"):
        await one.slow()
    with pytest.raises(TimeoutError, match="mine"):
        await one.own()
    assert one.plain() == 1


async def test_in_a_script_that_is_one_transaction_only_the_propagation_is_undone(
    start: Start, session: Session
) -> None:
    scope = await start(node(), LEAF)
    a = await tree(scope)
    async with session.collected():
        await scope["atom"].Node(name="before").save()
        with pytest.raises(LookupError):
            await a.visit([], fail="c")
        await a.save(visits=10)
    assert await counts(scope) == {**dict.fromkeys("bcdef", 0), "a": 10, "before": 0}


async def test_what_is_in_the_database_already_takes_the_whole_transaction_along(
    start: Start, session: Session
) -> None:
    scope = await start(node(), LEAF)
    a = await tree(scope)
    with pytest.raises(FrameworkError, match="could not be undone alone"):
        async with session.collected():
            await scope["atom"].Node(name="before").save()
            await scope["atom"].Node.load("a")  # it is read: what was collected must be there
            with pytest.raises(LookupError):
                await a.visit([], fail="c")
    assert await counts(scope) == dict.fromkeys("abcdef", 0)
    assert a.visits == 0


async def test_in_an_explicit_transaction_it_takes_the_connection(start: Start) -> None:
    body = (
        "async def visit(self, conn, fail=''):\n    await self.save(conn=conn, visits=1)\n"
        "    if fail == self.name:\n        raise LookupError\n"
    )
    scope = await start(node(body), LEAF)
    a = await tree(scope)
    with pytest.raises(LookupError):
        async with scope["model"].aiodb() as conn, conn.begin():
            await a.visit(conn, fail="c")
    assert (a.visits, await counts(scope)) == (0, dict.fromkeys("abcdef", 0))
    async with scope["model"].aiodb() as conn, conn.begin():
        await a.visit(conn)
    assert (a.visits, await counts(scope)) == (1, dict.fromkeys("abcdef", 1))


# ---- several at a time ----------------------------------------------------------------------

SLOW = """\
async def visit(self, log, fail=None):
    log.append(('+', self.name))
    await self.save(visits=1)
    await asyncio.sleep(0.01)
    if self.name == fail:
        raise LookupError(fail)
    log.append(('-', self.name))
    return self.name
"""


def most(log: list[tuple[str, str]]) -> int:
    """How many were under way at once."""
    now = highest = 0
    for sign, _ in log:
        now += 1 if sign == "+" else -1
        highest = max(highest, now)
    return highest


@pytest.mark.parametrize("topdown", [True, False])
@pytest.mark.parametrize("number", [1, 2, 5, 100])
async def test_so_many_at_a_time_and_each_after_those_that_it_must_wait_for(
    start: Start, number: int, topdown: bool
) -> None:
    scope = await start(node(SLOW, multiplexable_number=number, topdown=topdown), LEAF)
    make = scope["atom"].Node
    rows = [[make(name=f"{i}.{j}") for j in range(4)] for i in range(4)]
    shared = make(name="shared")
    for i, row in enumerate(rows):
        for one in row:
            one.first = shared
        rows[i] = [make(name=str(i), others=row)]
    root = make(name="root", others=[row[0] for row in rows])
    await root.save()
    log: list[tuple[str, str]] = []
    assert await root.visit(log) == "root"
    assert len(log) == 2 * (1 + 4 + 16 + 1)
    assert most(log) == {1: 1, 2: 2, 5: 5, 100: 16}[number]
    place = {entry: index for index, entry in enumerate(log)}
    for i in range(4):
        for j in range(4):
            chain = ["root", str(i), f"{i}.{j}", "shared"]
            for one, other in itertools.pairwise(chain):
                first, second = (one, other) if topdown else (other, one)
                assert place["-", first] < place["+", second]
    assert set((await counts(scope)).values()) == {1}


async def test_one_that_raises_ends_the_others_and_all_is_undone(start: Start) -> None:
    scope = await start(node(SLOW, multiplexable_number=3), LEAF)
    a = await tree(scope)
    log: list[tuple[str, str]] = []
    with pytest.raises(LookupError):
        await a.visit(log, fail="b")
    assert not [entry for entry in log if entry[1] in "de"]
    await asyncio.sleep(0.03)
    assert ("-", "b") not in log
    assert await counts(scope) == dict.fromkeys("abcdef", 0)
    assert {one.visits for one in (a, a.first, *a.others)} == {0}


async def test_who_is_cancelled_leaves_nobody_running(start: Start) -> None:
    scope = await start(node(SLOW.replace("0.01", "60"), multiplexable_number=3, topdown=False), LEAF)
    a = await tree(scope)
    log: list[tuple[str, str]] = []
    task = asyncio.create_task(a.visit(log))
    while len(log) < 3:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not [other for other in asyncio.all_tasks() if other.get_name() == "Node.visit"]
    assert await counts(scope) == dict.fromkeys("abcdef", 0)


# ---- plain functions, and states ------------------------------------------------------------


async def test_a_plain_function_goes_on_at_once_and_is_undone_in_memory(start: Start) -> None:
    body = (
        "def visit(self, fail=None):\n    self.visits += 1\n"
        "    if self.name == fail:\n        raise LookupError\n    return self.name\n"
    )
    scope = await start(node(body), LEAF)
    a = await tree(scope)
    assert a.visit() == "a"
    with pytest.raises(LookupError):
        a.visit("c")
    assert [one.visits for one in (a, a.first, *a.others)] == [1] * 4


async def test_a_plain_function_cannot_go_on_to_a_coroutine(start: Start) -> None:
    leaf = LEAF + "methods:\n  instance_methods:\n  - {method_body: 'async def visit(self): pass'}\n"
    scope = await start(node("def visit(self):\n    self.visits = 9\n"), leaf)
    a = await tree(scope)
    with pytest.raises(FrameworkError, match=r"Node\.visit is no coroutine and goes on to Leaf"):
        a.visit()
    assert a.visits == 0


async def test_each_instance_makes_its_own_transition_or_none_does(start: Start) -> None:
    text = (
        "name: Part\nattributes:\n  identifier: {field_name: name, field_type: string}\n  local_fields:\n"
        "  - field_name: state\n    field_type: string\n    field_default: new\n    field_fsm:\n"
        "      build: {execution_method: build, pre_statuses: [new], status_value: busy, success_transition: built}\n"
        "  ref_fields:\n  - {field_name: parts, field_type: array<AxisAtom.Part>}\n"
        "methods:\n  instance_methods:\n  - propagation_mode: true\n    topdown: false\n    method_body: |\n"
        "      async def build(self, fail=None):\n          if self.name == fail:\n              raise LookupError\n"
        "          return self.state\n"
    )
    scope = await start(text)
    part = scope["atom"].Part
    whole = part(name="whole", parts=[part(name="left"), part(name="right")])
    await whole.save()
    with pytest.raises(LookupError):
        await whole.build(fail="right")
    states = [one.state for one in await part.retrieve()]
    assert states == ["new"] * 3
    assert [one.state for one in (whole, *whole.parts)] == ["new"] * 3
    assert await whole.build() == "busy"
    assert [one.state for one in await part.retrieve()] == ["built"] * 3


# ---- __ROOT__ -------------------------------------------------------------------------------

ROOTED = """\
async def visit(self, log):
    'Says who began.'
    await asyncio.sleep(0)
    log.append((self.name, __ROOT__.name, (lambda: __ROOT__ is self)()))
    return await self.alone()
"""
ALONE = """\
  - method_body: |
      async def alone(this, *, deep=None):
          return f'{this.name} of {__ROOT__.name}'
  - method_body: |
      async def any(*args):
          return __ROOT__ is args[0]
"""


@pytest.mark.parametrize(
    "keys", [{}, {"topdown": False}, {"multiplexable_number": 3}, {"auto_rollback": False}]
)
async def test_root_is_the_instance_that_the_propagation_began_with(
    start: Start, keys: dict[str, Any]
) -> None:
    scope = await start(node(ROOTED, ALONE, **keys), LEAF)
    root = await tree(scope)
    log: list[Any] = []
    assert await root.visit(log) == "a of a"
    assert {(name, of) for name, of, _ in log} == {(name, "a") for name in "abcdef"}
    assert [itself for name, _, itself in log if name == "a"] == [True]
    log.clear()
    assert await root.first.visit(log) == "b of b"
    assert {of for _, of, _ in log} == {"b"}
    assert await root.first.alone() == "b of b", "without a propagation it is the instance itself"
    assert await root.any(1)
    assert scope["atom"].Node.visit.__doc__ == "Says who began."


async def test_two_propagations_at_once_do_not_mix(start: Start) -> None:
    scope = await start(node(ROOTED, ALONE), LEAF)
    one, two = await tree(scope), scope["atom"].Node(name="z")
    logs: tuple[list[Any], list[Any]] = ([], [])
    await asyncio.gather(one.visit(logs[0]), two.visit(logs[1]))
    assert {of for _, of, _ in logs[0]} == {"a"}
    assert {of for _, of, _ in logs[1]} == {"z"}
