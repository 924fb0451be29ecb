"""A state changes by its transitions alone, and of two who make the same one at once, one does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from framework.definitions import Definitions
from framework.errors import Duplicate, Gone, TransactionHeld, TransitionError, ValidationError
from framework.storage import Storage
from framework.storage.operations import Insert, Update
from framework.transactions.session import Session
from tests.conftest import Recorder
from tests.script.test_scope import bound

pytestmark = pytest.mark.anyio

Start = Callable[..., Awaitable[dict[str, Any]]]

ORDER = """\
name: Order
attributes:
  identifier: {field_name: orderId, field_type: string, field_default: uuid.uuid4().hex}
  local_fields:
  - {field_name: note, field_type: string}
  - field_name: status
    field_type: string
    field_enum: [waiting, packing, packed, failed, sent]
    field_default: waiting
    field_fsm:
      pack:
        execution_method: pack
        pre_statuses: [waiting, failed]
        status_value: packing
        success_transition: packed
        failure_transition: failed
      send:
        execution_method: send
        pre_statuses: [packed]
        success_transition: sent
methods:
  instance_methods:
  - method_body: |
      async def pack(self, note=None, *, error=None, during=None):
          if during is not None:
              await during(self)
          if error is not None:
              raise error
          await self.save(note=note)
          return self.status
  - method_body: |
      async def send(self, during=None):
          if during is not None:
              await during(self)
          return self.status
"""


@pytest.fixture
def start(define: Callable[..., Definitions], session: Session, storage: Storage) -> Start:
    """The scope of definitions, with tables and methods, as a start makes it."""

    async def start(*texts: str) -> dict[str, Any]:
        snapshot = bound(define(*texts), session)
        await storage.ensure_tables(snapshot.atoms.records)
        snapshot.atoms.define_methods(snapshot.scope)
        return snapshot.scope

    return start


async def row(scope: dict[str, Any], key: str) -> str:
    """The state as another reader finds it."""
    found = await scope["atom"].Order.load(key)
    state: str = found.status
    return state


async def test_a_method_leads_through_its_state_to_the_one_of_success(start: Start) -> None:
    scope = await start(ORDER)
    order = await scope["atom"].Order().save()
    seen: list[str] = []

    async def during(self: Any) -> None:
        seen.extend((self.status, await row(scope, self.orderId)))

    assert await order.pack("careful", during=during) == "packing"
    assert seen == ["packing", "packing"]
    assert (order.status, await row(scope, order.orderId)) == ("packed", "packed")
    assert (await scope["atom"].Order.load(order.orderId)).note == "careful"


async def test_a_method_that_raises_leads_to_the_one_of_failure_and_its_error_goes_on(start: Start) -> None:
    scope = await start(ORDER)
    order = await scope["atom"].Order().save()
    with pytest.raises(ZeroDivisionError):
        await order.pack(error=ZeroDivisionError())
    assert (order.status, await row(scope, order.orderId)) == ("failed", "failed")
    assert await order.pack() == "packing"
    assert order.status == "packed"


async def test_a_method_that_is_cancelled_has_failed(start: Start) -> None:
    scope = await start(ORDER)
    order = await scope["atom"].Order().save()
    began = asyncio.Event()

    async def during(self: Any) -> None:
        began.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(order.pack(during=during))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (order.status, await row(scope, order.orderId)) == ("failed", "failed")


async def test_without_states_of_its_own_a_failure_leaves_the_one_before(start: Start) -> None:
    scope = await start(ORDER)
    order = await scope["atom"].Order(status="packed").save()

    async def fails(self: Any) -> None:
        assert await row(scope, self.orderId) == "packed"
        raise LookupError

    with pytest.raises(LookupError):
        await order.send(fails)
    assert (order.status, await row(scope, order.orderId)) == ("packed", "packed")
    assert await order.send() == "packed"
    assert (order.status, await row(scope, order.orderId)) == ("sent", "sent")


async def test_a_transition_that_is_not_allowed_names_everything_and_runs_nothing(
    start: Start, recorder: Recorder
) -> None:
    scope = await start(ORDER)
    order = await scope["atom"].Order(orderId="k", status="sent").save()
    recorder.units.clear()
    with pytest.raises(TransitionError) as caught:
        await order.pack()
    error = caught.value
    assert str(error) == (
        "Order.status: `pack` is not possible for 'k' in the state 'sent': it starts in 'waiting' or 'failed'; "
        "possible now: nothing"
    )
    assert (error.class_name, error.field, error.rule) == ("Order", "status", "transition")
    assert (error.key, error.state, error.possible) == ("k", "sent", ())
    assert isinstance(error, ValidationError)
    assert not recorder.units
    with pytest.raises(TransitionError, match="possible now: `send`"):
        await (await scope["atom"].Order(status="packed").save()).pack()


async def test_a_state_is_not_assigned(start: Start) -> None:
    scope = await start(ORDER)
    order = scope["atom"].Order(orderId="k")
    order.status = "packed"  # not stored yet: it is still being made
    await order.save()
    order.status = "packed"
    told = "a state is not assigned: it changes when `pack` or `send` is called; possible now: `send`"
    with pytest.raises(TransitionError, match=told):
        order.status = "sent"
    with pytest.raises(TransitionError):
        await order.save(status="sent")
    with pytest.raises(TransitionError):
        order += {"note": "x", "status": "sent"}
    assert (order.status, order.note, await row(scope, "k")) == ("packed", None, "packed")
    with pytest.raises(ValidationError, match="must be `waiting`"):
        order.status = "lost"


async def test_a_wrong_call_changes_no_state(start: Start, recorder: Recorder) -> None:
    scope = await start(ORDER)
    order = await scope["atom"].Order().save()
    recorder.units.clear()
    with pytest.raises(TypeError, match="unexpected keyword argument 'nothing'"):
        await order.pack(nothing=1)
    assert (order.status, recorder.units) == ("waiting", [])


async def test_a_new_instance_is_stored_before_its_first_transition(start: Start, recorder: Recorder) -> None:
    scope = await start(ORDER)
    order = scope["atom"].Order(orderId="k")
    recorder.units.clear()
    await order.pack()
    assert [type(unit[0]) for unit in recorder.units] == [Insert, Update, Update]
    assert await row(scope, "k") == "packed"
    with pytest.raises(Duplicate):
        await scope["atom"].Order(orderId="k").pack()


async def test_what_was_destroyed_makes_no_transition(start: Start) -> None:
    scope = await start(ORDER)
    order = await scope["atom"].Order(orderId="k").save()
    again = await scope["atom"].Order.load("k")
    await order.destroy()
    for gone in (order, again):
        with pytest.raises(Gone):
            await gone.pack()
    packed = await scope["atom"].Order(orderId="p", status="packed").save()
    await (await scope["atom"].Order.load("p")).destroy()
    with pytest.raises(Gone):
        await packed.send()


# ---- two at once ----------------------------------------------------------------------------


@pytest.mark.parametrize("number", [2, 20])
async def test_of_many_who_begin_at_once_one_runs_and_the_others_are_told(start: Start, number: int) -> None:
    scope = await start(ORDER)
    await scope["atom"].Order(orderId="k").save()
    orders = [await scope["atom"].Order.load("k") for _ in range(number)]
    ran: list[Any] = []

    async def during(self: Any) -> None:
        ran.append(self)
        await asyncio.sleep(0.01)

    outcomes = await asyncio.gather(*(order.pack(during=during) for order in orders), return_exceptions=True)
    errors = [outcome for outcome in outcomes if outcome != "packing"]
    assert len(ran) == 1
    assert len(errors) == number - 1
    for error in errors:
        assert isinstance(error, TransitionError)
        assert (error.state, error.possible) == ("packing", ())
    assert await row(scope, "k") == "packed"
    assert {order.status for order in orders} == {"packed", "packing"}


async def test_without_a_state_of_its_own_the_row_decides_at_the_end(start: Start) -> None:
    scope = await start(ORDER)
    await scope["atom"].Order(orderId="k", status="packed").save()
    one, two = [await scope["atom"].Order.load("k") for _ in range(2)]

    async def other_first(self: Any) -> None:
        await two.send()

    with pytest.raises(TransitionError, match="in the state 'sent'"):
        await one.send(other_first)
    assert (one.status, two.status, await row(scope, "k")) == ("sent", "sent", "sent")


async def test_a_memory_that_is_behind_is_told_and_follows(start: Start) -> None:
    scope = await start(ORDER)
    await scope["atom"].Order(orderId="k", status="packed").save()
    one, two = [await scope["atom"].Order.load("k") for _ in range(2)]
    await one.send()
    with pytest.raises(TransitionError, match="`send` is not possible for 'k' in the state 'sent'"):
        await two.send()
    assert two.status == "sent"


async def test_the_same_instance_in_another_task_is_another_call(start: Start) -> None:
    scope = await start(ORDER)
    order = await scope["atom"].Order().save()
    began, go_on = asyncio.Event(), asyncio.Event()

    async def during(self: Any) -> None:
        began.set()
        await go_on.wait()

    first = asyncio.create_task(order.pack(during=during))
    await began.wait()
    with pytest.raises(TransitionError, match="in the state 'packing'"):
        await order.pack()
    go_on.set()
    assert await first == "packing"


# ---- inside each other, parents, transactions -----------------------------------------------


async def test_a_transition_inside_another_has_the_last_word(start: Start) -> None:
    text = ORDER.replace("pre_statuses: [packed]", "pre_statuses: [packed, packing]")
    scope = await start(text)
    order = await scope["atom"].Order().save()

    async def during(self: Any) -> None:
        await self.send()

    await order.pack(during=during)
    assert (order.status, await row(scope, order.orderId)) == ("sent", "sent")


async def test_a_child_takes_the_states_over_and_super_is_the_plain_method(start: Start) -> None:
    child = (
        "name: Express\nextends: [Order]\nattributes: {}\nmethods:\n  instance_methods:\n"
        "  - method_body: |\n      async def pack(self, note=None):\n"
        "          return ['express', self.status, await super().pack(note)]\n"
    )
    scope = await start(child, ORDER)
    express = await scope["atom"].Express().save()
    assert await express.pack() == ["express", "packing", "packing"]
    assert express.status == "packed"
    with pytest.raises(TransitionError, match="Express"):
        await express.pack()


async def test_in_a_transaction_the_states_are_stored_with_it_or_not_at_all(
    start: Start, session: Session
) -> None:
    text = ORDER.replace(
        "async def send(self, during=None):", "async def send(self, conn=None, during=None):"
    )
    scope = await start(text)
    order = await scope["atom"].Order(status="packed").save()
    with pytest.raises(LookupError):
        async with scope["model"].aiodb() as conn, conn.begin():
            await order.send(conn=conn)
            assert order.status == "sent"
            raise LookupError
    assert (order.status, await row(scope, order.orderId)) == ("packed", "packed")
    async with scope["model"].aiodb() as conn, conn.begin():
        with pytest.raises(TransactionHeld):
            await order.send()
        await order.send(conn)
    assert (order.status, await row(scope, order.orderId)) == ("sent", "sent")
    fresh = await scope["atom"].Order().save()
    async with session.collected():
        await fresh.pack()
        assert fresh.status == "packed"
    assert await row(scope, fresh.orderId) == "packed"


async def test_two_collected_transactions_cannot_both_make_a_transition(
    start: Start, session: Session
) -> None:
    scope = await start(ORDER)
    await scope["atom"].Order(orderId="k").save()

    async def script(note: str) -> str:
        async with session.collected():
            order = await scope["atom"].Order.load("k")
            await asyncio.sleep(0.01)
            await order.pack(note)
        return note

    outcomes = await asyncio.gather(script("a"), script("b"), return_exceptions=True)
    won = [outcome for outcome in outcomes if isinstance(outcome, str)]
    assert len(won) == 1
    assert (await scope["atom"].Order.load("k")).note == won[0]


async def test_a_failure_state_that_cannot_be_stored_does_not_hide_the_error(
    start: Start, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    scope = await start(ORDER)
    order = await scope["atom"].Order().save()

    async def during(self: Any) -> None:
        recorder.failures.append(OSError("no space"))

    caplog.set_level(logging.ERROR)
    with pytest.raises(ZeroDivisionError):
        await order.pack(during=during, error=ZeroDivisionError())
    assert "the state after a failed `pack` could not be stored: no space" in caplog.text
    assert order.status == await row(scope, order.orderId) == "packing"


async def test_a_class_without_a_table_has_states_too(start: Start) -> None:
    scope = await start("persistence: false\n" + ORDER)
    await scope["atom"].Order(orderId="k").save()
    one, two = [await scope["atom"].Order.load("k") for _ in range(2)]

    async def other_too(self: Any) -> None:
        with pytest.raises(TransitionError, match="in the state 'packing'"):
            await two.pack()

    await one.pack(during=other_too)
    assert (one.status, two.status, await row(scope, "k")) == ("packed", "packing", "packed")
    with pytest.raises(TransitionError, match="in the state 'packed'"):
        await two.pack()
    await one.send()
    assert await row(scope, "k") == "sent"


async def test_an_instance_with_references_makes_transitions_as_any(start: Start) -> None:
    text = ORDER.replace(
        "methods:", "  ref_fields:\n  - {field_name: parts, field_type: array<AxisAtom.Order>}\nmethods:", 1
    )
    scope = await start(text)
    part = scope["atom"].Order(orderId="part")
    order = scope["atom"].Order(orderId="k", parts=[part])
    await order.pack("noted")
    assert (await row(scope, "k"), await row(scope, "part")) == ("packed", "waiting")
    await part.pack()
    await order.send()
    assert (await row(scope, "k"), await row(scope, "part")) == ("sent", "packed")
