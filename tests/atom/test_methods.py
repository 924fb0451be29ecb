"""Methods of ATOM classes mean what they mean in a class statement of Python."""

from __future__ import annotations

import inspect
import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from framework.atom import Atom
from framework.definitions import Definitions
from framework.definitions.method import INTERNAL, OVERRIDABLE, RESERVED_METHODS, SPECIAL
from framework.serving.snapshot import Snapshot
from framework.storage import Storage
from framework.transactions.session import Session
from tests.script.test_scope import bound

pytestmark = pytest.mark.anyio

Make = Callable[..., Awaitable[Any]]

TEA = """\
name: Tea
attributes:
  identifier: {field_name: teaId, field_type: string, field_default: uuid.uuid4().hex}
  local_fields:
  - {field_name: kind, field_type: string}
  - {field_name: grams, field_type: integer, field_default: 10}
"""


def tea(*methods: str, kind: str = "instance", name: str = "Tea", more: str = "") -> str:
    text = TEA.replace("Tea", name, 1) + more + f"methods:\n  {kind}_methods:\n"
    for method in methods:
        text += "  - method_body: |\n" + "".join(f"      {line}\n" for line in method.splitlines())
    return text


@pytest.fixture
def make(define: Callable[..., Definitions], session: Session, storage: Storage) -> Make:
    """The classes of definitions, with tables and methods, as a start makes them."""

    async def make(*texts: str) -> Any:
        snapshot: Snapshot = bound(define(*texts), session)
        await storage.ensure_tables(snapshot.atoms.records)
        snapshot.atoms.define_methods(snapshot.scope)
        return snapshot.atoms

    return make


async def test_methods_of_the_instance_and_of_the_class_plain_and_awaited(make: Make) -> None:
    text = tea(
        "def cups(self, each=2):\n    return self.grams // each",
        "async def brew(self, *, strong: bool = False) -> 'str':\n"
        "    await asyncio.sleep(0)\n    await self.save(kind='strong' if strong else 'mild')\n    return self.kind",
    )
    text += (
        "  class_methods:\n  - method_body: 'async def of(cls, kind): return await cls.retrieve(kind=kind)'\n"
        "  - method_body: 'def plain(cls, *args): return cls(kind=\"-\".join(args))'\n"
    )
    atoms = await make(text)
    one = atoms.Tea()
    assert (one.cups(), one.cups(each=5)) == (5, 2)
    assert await one.brew(strong=True) == "strong"
    assert [found.teaId for found in await atoms.Tea.of("strong")] == [one.teaId]
    assert atoms.Tea.plain("a", "b").kind == "a-b"
    assert inspect.iscoroutinefunction(atoms.Tea.brew)
    assert atoms.Tea.brew.__qualname__ == "Tea.brew"
    assert str(inspect.signature(one.brew)) == "(*, strong: bool = False) -> 'str'"


async def test_a_method_sees_the_built_in_objects_and_its_own_logger(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    atoms = await make(
        tea(
            "def seen(self):\n    logger.info('here')\n"
            "    return atom.Tea, model.Tea.name, context.tools.twice(2), FIFO('a'), MU(a=1), json.dumps([1])"
        ),
        "name: tools\ncode: |\n  def twice(x): return 2 * x\n",
    )
    seen = atoms.Tea().seen()
    assert seen[:3] == (atoms.Tea, "Tea", 4)
    assert seen[4:] == ({"a": 1}, "[1]")
    assert [(record.name, record.message) for record in caplog.records] == [("framework.script.Tea", "here")]


async def test_what_a_method_binds_globally_stays_in_its_class(make: Make) -> None:
    atoms = await make(
        tea("def set(self):\n    global found\n    found = 1\n    return found"),
        tea(
            "def look(self):\n    try:\n        return found\n    except NameError:\n        return None",
            name="Other",
        ),
    )
    assert atoms.Tea().set() == 1
    assert atoms.Other().look() is None


@pytest.mark.parametrize("name", ["callout", "FIFO", "atom", "Tea_", "len"])
async def test_a_method_with_the_name_of_something_global_hides_it_from_nobody(make: Make, name: str) -> None:
    atoms = await make(
        tea(f"def {name}(self): return 1", "def all(self): return callout, FIFO, atom, len('ab')")
    )
    one = atoms.Tea()
    assert getattr(one, name)() == 1
    assert one.all()[2:] == (atoms, 2)


async def test_an_error_shows_the_line_and_the_column_in_the_yaml(make: Make) -> None:
    atoms = await make(tea("def fails(self, part):\n    whole = 'é', self.grams / part\n    return whole"))
    with pytest.raises(ZeroDivisionError) as caught:
        atoms.Tea().fails(0)
    frame = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert (frame.name, frame.lineno, frame.line) == ("fails", 11, "whole = 'é', self.grams / part")
    assert frame.filename.endswith("0.yaml")
    assert frame.colno is not None
    assert frame._line.encode()[frame.colno : frame.end_colno] == b"self.grams / part"  # type: ignore[attr-defined]


async def test_decorators_and_defaults_are_evaluated_once_at_the_start(make: Make) -> None:
    tools = (
        "name: tools\ncode: |\n  made = []\n  def noted(function):\n"
        "    made.append(function.__name__)\n    return function\n"
    )
    atoms = await make(
        tea("@context.tools.noted\ndef once(self, seen=context.tools.made):\n    return seen"), tools
    )
    assert atoms.Tea().once() == ["once"]
    assert atoms.Tea().once() == ["once"]


async def test_binding_runs_nothing_of_a_method(define: Callable[..., Definitions], session: Session) -> None:
    snapshot = bound(define(tea("def f(self, x=1 / 0): pass")), session)
    with pytest.raises(ZeroDivisionError):
        snapshot.atoms.define_methods(snapshot.scope)


# ---- inheritance ----------------------------------------------------------------------------

CHILD = (
    "name: Green\nextends: [Tea]\nattributes:\n  local_fields:\n  - {field_name: leaf, field_type: string}\n"
)


async def test_a_child_is_a_python_subclass_with_a_table_of_its_own(make: Make) -> None:
    atoms = await make(tea("def cups(self): return self.grams // 2"), CHILD)
    assert issubclass(atoms.Green, atoms.Tea)
    green = atoms.Green(kind="sencha", leaf="fine")
    assert isinstance(green, atoms.Tea)
    assert green.cups() == 5
    assert atoms.Green.fieldnames() == ["instance", "xid", "xname", "teaId", "kind", "grams", "leaf"]
    await green.save()
    assert (await atoms.Green.load(green.teaId)).leaf == "fine"
    assert await atoms.Tea.load(green.teaId) is None
    assert await atoms.Tea.retrieve() == []


async def test_super_reaches_the_parents_in_their_order(make: Make) -> None:
    def with_path(name: str, extends: str) -> str:
        text = f"name: {name}\nextends: [{extends}]\nattributes: {{}}\nmethods:\n  instance_methods:\n"
        text += f"  - {{method_body: 'def path(self): return [\"{name}\", *super().path()]'}}\n"
        text += (
            f"  - {{method_body: 'async def later(self): return [\"{name}\", *await super().later()]'}}\n"
            "  class_methods:\n"
            f"  - {{method_body: 'def named(cls): return [cls.__name__, *super().named()]'}}\n"
        )
        return text

    base = tea("def path(self): return ['Tea']", "async def later(self): return ['Tea']")
    base += "  class_methods:\n  - {method_body: 'def named(cls): return [cls.__name__]'}\n"
    atoms = await make(
        with_path("Bottom", "Left, Right"), with_path("Left", "Tea"), with_path("Right", "Tea"), base
    )
    assert atoms.Bottom().path() == ["Bottom", "Left", "Right", "Tea"]
    assert await atoms.Bottom().later() == ["Bottom", "Left", "Right", "Tea"]
    assert atoms.Bottom.named() == ["Bottom"] * 4
    assert atoms.Left().path() == ["Left", "Tea"]


async def test_the_framework_s_own_methods_can_be_extended(make: Make) -> None:
    text = tea(
        "async def save(self, *args, **updates):\n    self.kind = (self.kind or '') + '!'\n"
        "    return await super().save(*args, **updates)",
        "async def destroy(self, *args, **options):\n    if self.grams > 10:\n        raise Error(409, 'too good')\n"
        "    await super().destroy(*args, **options)",
    )
    text += (
        "  class_methods:\n  - method_body: |\n      async def load(cls, key, *args, **options):\n"
        "          return await super().load(key.lower(), *args, **options)\n"
    )
    atoms = await make(text)
    one = await atoms.Tea(teaId="a", kind="x").save()
    assert one.kind == "x!"
    found = await atoms.Tea.load("A")
    assert found.kind == "x!"
    await found.save(grams=11)
    with pytest.raises(Exception, match="too good"):
        await found.destroy()
    await found.save(grams=1)
    await found.destroy()
    assert await atoms.Tea.load("a") is None


async def test_private_names_are_those_of_the_class(make: Make) -> None:
    atoms = await make(
        tea("def __secret(self): return 1", "def told(self): return self.__secret()"),
        CHILD + "methods:\n  instance_methods:\n  - {method_body: 'def __secret(self): return 2'}\n",
    )
    assert atoms.Green().told() == 1


def test_the_names_that_methods_cannot_have_are_those_of_the_base_class() -> None:
    own = {name for name in dir(Atom) if name not in dir(object)} | set(Atom.__annotations__)
    special = {name for name in own if name.startswith("__")}
    public = {name for name in own if not name.startswith("_")}
    assert own - special - public <= INTERNAL, "INTERNAL of framework/definitions/method.py lacks some"
    assert public <= RESERVED_METHODS | set(OVERRIDABLE), "RESERVED_METHODS lacks some"
    assert not special & SPECIAL
    for name, kind in OVERRIDABLE.items():
        method = inspect.getattr_static(Atom, name)
        assert isinstance(method, classmethod) == (kind == "class")
        assert inspect.iscoroutinefunction(getattr(Atom, name))
